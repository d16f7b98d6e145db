"""/metrics, /healthz and /readyz over plain HTTP.

Whoever reaches the port may open connections and send nothing, or read slowly. So there are few
connections, none lives long, and where one is too many the oldest goes: a probe gets through.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

MOST: Final = 64
"""Connections at once."""
LIFETIME: Final = 20.0
FRESH: Final = 1.0
"""Seconds for which metrics are handed out as they are: to gather them takes the loop a while."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Check = Callable[[], str | None]
"""None when well, else what is wrong."""


class CannotListen(Exception):
    """The address is taken, or not ours to listen at."""


@asynccontextmanager
async def serving(
    address: str,
    *,
    metrics: Callable[[], bytes],
    healthy: Check,
    ready: Check,
    lifetime: float = LIFETIME,
) -> AsyncIterator[int]:
    """Serve while the context is open.

    Args:
        address: ``host:port`` to listen at; port 0 takes a free one.
        metrics: the metrics in the Prometheus text format.
        healthy: whether the process works, or should be restarted.
        ready: whether the process does its work.
        lifetime: seconds after which a connection is closed, whatever it is doing.

    Yields:
        The port.

    Raises:
        CannotListen: the address is taken, or not ours.
    """
    app = web.Application()
    app.router.add_get("/metrics", _metrics(metrics))
    app.router.add_get("/healthz", _verdict(healthy))
    app.router.add_get("/readyz", _verdict(ready))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        listening = await _listen(_Door(_server(runner), lifetime), address)
    except CannotListen:
        await runner.cleanup()
        raise
    try:
        yield int(listening.sockets[0].getsockname()[1])
    finally:
        listening.close()
        await runner.cleanup()


def _server(runner: web.AppRunner) -> web.Server:
    if runner.server is None:
        raise RuntimeError("runner.setup() comes first")
    return runner.server


@dataclass(frozen=True, slots=True)
class _Door:
    """Lets connections in, and closes them in time."""

    server: web.Server
    lifetime: float

    def __call__(self) -> asyncio.Protocol:
        inside = self.server.connections  # the oldest first
        for one in inside[: max(0, len(inside) - MOST + 1)]:
            one.force_close()
        made = self.server()
        asyncio.get_running_loop().call_later(self.lifetime, made.force_close)
        return made


async def _listen(door: _Door, address: str) -> asyncio.Server:
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(door, host.strip("[]"), int(port), backlog=MOST)
    except OSError as error:
        raise CannotListen(f"can't listen at {address}: {error.strerror or 'refused'}") from error


def _metrics(metrics: Callable[[], bytes]) -> Handler:
    gathered, at = b"", float("-inf")

    async def answer(_: web.Request) -> web.Response:
        nonlocal gathered, at
        if time.monotonic() - at >= FRESH:
            gathered, at = metrics(), time.monotonic()
        return web.Response(
            body=gathered, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    return answer


def _verdict(check: Check) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        wrong = check()
        return web.Response(text=(wrong or "ok") + "\n", status=503 if wrong else 200)

    return answer
