"""/metrics, /healthz and /readyz over plain HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Check = Callable[[], str | None]
"""None when well, else what is wrong."""


class CannotListen(Exception):
    """The address is taken, or not ours to listen at."""


@asynccontextmanager
async def serving(
    address: str, *, metrics: Callable[[], bytes], healthy: Check, ready: Check
) -> AsyncIterator[int]:
    """Serve while the context is open.

    Args:
        address: ``host:port`` to listen at; port 0 takes a free one.
        metrics: the metrics in the Prometheus text format.
        healthy: whether the process works, or should be restarted.
        ready: whether the process does its work.

    Yields:
        The port.

    Raises:
        CannotListen: the address is taken, or not ours.
    """
    app = web.Application()
    app.router.add_get("/metrics", _metrics(metrics))
    app.router.add_get("/healthz", _verdict(healthy))
    app.router.add_get("/readyz", _verdict(ready))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await _listen(runner, address)
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
    except OSError as error:
        raise CannotListen(f"can't listen at {address}: {error.strerror or 'refused'}") from error


def _metrics(metrics: Callable[[], bytes]) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    return answer


def _verdict(check: Check) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        wrong = check()
        return web.Response(text=(wrong or "ok") + "\n", status=503 if wrong else 200)

    return answer
