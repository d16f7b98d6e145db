"""/metrics, /healthz and /readyz over plain HTTP.

Whoever reaches the port may open connections and send nothing, or read slowly. So there are few
connections, none lives long, and where one is too many the oldest goes: a probe gets through.
Metrics of ten thousand leases are megabytes: a thread makes them, once for all who ask within a
second, and they are sent in pieces, so that a slow reader keeps no copy.
"""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from leaseholder.telemetry import auth, exposition

MOST: Final = 64
"""Connections at once."""
LIFETIME: Final = 20.0
FRESH: Final = 1.0
"""Seconds for which metrics are handed out as they are: to make them takes a while."""
_PAUSES: Final = 9
"""They are handed out as they are for so many times as long as it took to make them: whoever asks
without end has them made for a tenth of the time."""
_PIECE: Final = 64 * 2**10

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Gather = Callable[[], Callable[[str], bytes]]
"""Called in the event loop; what it gives is called in a thread, with the content type wanted."""
Check = Callable[[], str | None]
"""None when well, else what is wrong."""
Authorize = Callable[[str | None], Awaitable[auth.AuthResponse]]
"""Called with the header ``Authorization`` of who asks for metrics."""


class CannotListen(Exception):
    """The address is taken, or not ours to listen at."""


@asynccontextmanager
async def serving(
    address: str,
    *,
    metrics: Gather,
    healthy: Check,
    ready: Check,
    authorize: Authorize | None = None,
    lifetime: float = LIFETIME,
) -> AsyncIterator[int]:
    """Serve while the context is open.

    Args:
        address: ``host:port`` to listen at; port 0 takes a free one.
        metrics: what makes the metrics.
        healthy: whether the process works, or should be restarted.
        ready: whether the process does its work.
        authorize: who may have metrics; None: whoever reaches the port.
        lifetime: seconds after which a connection is closed, whatever it is doing.

    Yields:
        The port.

    Raises:
        CannotListen: the address is taken, or not ours.
    """
    app = web.Application()
    shown = _metrics(metrics)
    app.router.add_get(auth.PATH, shown if authorize is None else _guarded(shown, authorize))
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


class _Made:
    """Metrics as they were last made, in one format: as they are, and packed."""

    def __init__(self, gather: Gather, content_type: str, turn: asyncio.Lock) -> None:
        self._gather, self._content_type, self._turn = gather, content_type, turn
        self._task: asyncio.Task[tuple[bytes, bytes]] | None = None
        self._until = float("-inf")

    async def content(self, *, packed: bool) -> bytes:
        """What there is, if it is fresh or being made; else what is made now."""
        if self._task is None or (self._task.done() and time.monotonic() >= self._until):
            self._task = asyncio.create_task(self._make())
        return (await asyncio.shield(self._task))[packed]

    async def _make(self) -> tuple[bytes, bytes]:
        async with self._turn:
            started = time.monotonic()
            try:
                return await asyncio.to_thread(self._render, self._gather())
            finally:
                took = time.monotonic() - started
                self._until = time.monotonic() + max(FRESH, took * _PAUSES)

    def _render(self, render: Callable[[str], bytes]) -> tuple[bytes, bytes]:
        made = render(self._content_type)
        return made, gzip.compress(made, compresslevel=1, mtime=0)


def _metrics(gather: Gather) -> Handler:
    turn = asyncio.Lock()
    formats = (exposition.TEXT, exposition.OPEN_METRICS)
    made = {kind: _Made(gather, kind, turn) for kind in formats}

    async def answer(request: web.Request) -> web.StreamResponse:
        is_open = "application/openmetrics-text" in request.headers.get("Accept", "")
        kind = exposition.OPEN_METRICS if is_open else exposition.TEXT
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        content = await made[kind].content(packed=packed)
        headers = {"Content-Type": kind, "Content-Length": str(len(content))}
        response = web.StreamResponse(
            headers={**headers, **({"Content-Encoding": "gzip"} if packed else {})}
        )
        await response.prepare(request)
        for at in range(0, len(content), _PIECE):
            await response.write(content[at : at + _PIECE])
        return response

    return answer


def _guarded(handler: Handler, authorize: Authorize) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        verdict = await authorize(request.headers.get("Authorization"))
        if verdict.status == 200:
            return await handler(request)
        text = f"{verdict.sentence}\n"
        return web.Response(text=text, status=verdict.status, headers=verdict.headers)

    return answer


def _verdict(check: Check) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        wrong = check()
        return web.Response(text=(wrong or "ok") + "\n", status=503 if wrong else 200)

    return answer
