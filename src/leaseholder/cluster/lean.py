"""Imports of ``kubernetes.aio`` that leave out what isn't used.

The package imports its synchronous client along, and with it requests, oauthlib and urllib3: a
quarter of the time in which a command starts; and by dateutil ctypes, for clocks of Windows. Those
modules are put off here: they are there, and load when somebody uses them.
"""

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Final

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


class _Later(importlib.abc.MetaPathFinder):
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
            found.loader = importlib.util.LazyLoader(found.loader)
        return found


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Put those modules off that are imported within."""
    finder = _Later()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
