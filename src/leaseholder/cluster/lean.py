"""Imports of ``kubernetes.aio`` and ``aiohttp`` that leave out what isn't used.

``kubernetes.aio`` imports its synchronous client along, and with it requests, oauthlib and urllib3:
a quarter of the time in which a command starts; and by dateutil ctypes, for clocks of Windows.
Those modules are put off here: they are there, and load when somebody uses them. A look at what
they are is no use: pydantic takes one at all modules for each model with docstrings, and with
``importlib.util.LazyLoader`` that loaded them all.

kopf, too, imports that client where it is there, for objects that nobody here gives it.

aiohttp makes two TLS contexts as it is imported, with all authorities of the system: a tenth of
that time. We always give it a context of our own (``login``), so those load them when somebody uses
one. Whoever is first to import aiohttp takes it from here.
"""

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import ssl
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any, Final

_SYNCHRONOUS: Final = (
    *("client", "config", "dynamic", "informer", "leaderelection", "stream", "utils", "watch"),
)
_ASYNCHRONOUS: Final = ("dynamic", "leaderelection", "stream", "utils", "watch")
PUT_OFF: Final = frozenset(
    [
        *(f"kubernetes.{name}" for name in _SYNCHRONOUS),
        *(f"kubernetes.aio.{name}" for name in _ASYNCHRONOUS),
        "ctypes",
    ]
)
"""Modules that load when an attribute of theirs is asked for."""


class _PutOff(types.ModuleType):
    """A module that loads when something is asked for that only loading brings."""

    def __getattr__(self, name: str) -> Any:
        """What isn't there yet."""
        if name.startswith("__") or self.__spec__ is None or self.__spec__.loader is None:
            raise AttributeError(name)
        self.__class__ = types.ModuleType  # type: ignore[assignment]  # from now on it is one
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


class _LeanLoader(importlib.abc.Loader):
    def __init__(self, real: importlib.abc.Loader) -> None:
        self._real = real

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """A module that is empty for now."""
        return _PutOff(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing; whoever loads it later finds the loader that can."""
        assert module.__spec__ is not None  # noqa: S101 - it was just imported
        module.__spec__.loader = module.__loader__ = self._real


class _LeanFinder(importlib.abc.MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module that is put off; None: it is found as usual."""
        if fullname not in PUT_OFF:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if found is not None and found.loader is not None:
            found.loader = _LeanLoader(found.loader)
        return found


class _TrustPutOff(ssl.SSLContext):
    """A context that loads the system's authorities before its first connection."""

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """A connection without a socket, as asyncio makes them."""
        self._trust()
        return self.wrap_bio(*arguments, **named)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        """A connection by a socket."""
        self._trust()
        return self.wrap_socket(*arguments, **named)

    def _trust(self) -> None:
        self.__class__ = ssl.SSLContext  # type: ignore[assignment]  # from now on it is one
        self.set_default_verify_paths()


def _trust_later(context: ssl.SSLContext) -> None:
    context.__class__ = _TrustPutOff


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Put off what is imported within, and the authorities of TLS contexts that are made there."""
    finder = _LeanFinder()
    sys.meta_path.insert(0, finder)
    ssl.SSLContext.set_default_verify_paths = _trust_later  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # there is that of its base again
        sys.meta_path.remove(finder)


@contextlib.contextmanager
def without(name: str) -> Iterator[None]:
    """What is imported within finds no module of that name."""
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # as Python has it: there is none
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


with importing():
    import aiohttp as aiohttp
