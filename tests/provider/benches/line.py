"""The line between adapters and a server: TLS, and faults on demand.

It is the world's fault proxy, run in the test's own process: it starts at once, and what it threw
away can be read, so that also a credential which nobody was told can be tried.
"""

import contextlib
import dataclasses
import re
import ssl
from collections.abc import AsyncIterator

from aiohttp import web

from tests.world import certificates, faultproxy, faultrules, processes

Action = faultrules.Action
Rule = faultrules.Rule


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """Requests of one kind, by regular expressions for method and for path with query."""

    method: str
    path: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What a provider's adapter sends."""

    issue: Route
    renew: Route
    look: Route
    """By which a lease is inspected."""
    revoke: Route
    login: Route
    """By which a login shows whether it is taken; from ``check()``, once."""


class _Book(faultrules.Book):
    """Remembers what came."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[tuple[str, str]] = []

    def arrived(self, method: str, path: str) -> None:
        self.came.append((method, path))
        super().arrived(method, path)


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A line that is up."""

    url: str
    bundle: str
    """PEM of the authority that it is trusted by."""
    _proxy: faultproxy.Proxy
    _book: _Book

    def lose_answer(self, route: Route) -> None:
        """The next request is done, its answer lost."""
        self._rule(route, Action.RESET_AFTER, times=1)

    def double(self, route: Route) -> None:
        """The next request is done twice, both answers lost."""
        self._rule(route, Action.TWICE, times=1)

    def hold_back(self, route: Route, seconds: float) -> None:
        """The next request gets there late, also when nobody waits for it any more."""
        self._book.add(Rule(method=route.method, path=route.path, times=1, delay=seconds))

    def slow(self, route: Route, seconds: float) -> None:
        """The next answer comes late."""
        self._book.add(Rule(method=route.method, path=route.path, times=1, delay_answer=seconds))

    def hang(self, route: Route) -> None:
        """Requests get nowhere, and aren't answered."""
        self._rule(route, Action.HANG)

    def reset(self, route: Route) -> None:
        """Connections are reset, and requests get nowhere."""
        self._rule(route, Action.RESET_BEFORE)

    def answer(self, route: Route, status: int, *, retry_after: int | None = None) -> None:
        """The next request gets nowhere, but this answer."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._rule(route, Action.ANSWER, times=1, status=status, headers=headers)

    def clear(self) -> None:
        """No more faults; what hangs is reset."""
        self._book.clear()
        self._proxy.release()

    async def settled(self) -> None:
        """Return once everything is done whose sender had given up."""
        await self._proxy.settled()

    def counted(self, route: Route) -> int:
        """How many requests of a kind came so far."""
        return sum(
            re.fullmatch(route.method, method) is not None
            and re.search(route.path, path) is not None
            for method, path in self._book.came
        )

    @property
    def lost(self) -> tuple[bytes, ...]:
        """The answers that nobody got."""
        return tuple(self._proxy.discarded)

    def _rule(
        self,
        route: Route,
        action: Action,
        *,
        times: int | None = None,
        status: int = 503,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._book.add(
            Rule(
                action=action,
                method=route.method,
                path=route.path,
                times=times,
                status=status,
                headers=headers or {},
            )
        )


@contextlib.asynccontextmanager
async def laid(upstream: str, files: certificates.ServerFiles) -> AsyncIterator[Line]:
    """A line to a server, until the block ends."""
    book = _Book()
    proxy = faultproxy.Proxy(upstream, None, book)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.certificate, files.key)
    runner = web.AppRunner(
        proxy.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    site = web.TCPSite(runner, processes.LOOPBACK, 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        bundle = files.ca.read_text(encoding="utf-8")
        yield Line(f"https://{host}:{port}", bundle, proxy, book)
    finally:
        proxy.release()
        await runner.cleanup()
