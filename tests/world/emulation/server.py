"""An emulator behind a socket: one way in for every request, one way out for every answer.

Each request is logged and answered late, with the server's own Date. Whatever goes wrong becomes
the server's own error there. The admin's routes skip all of it.
"""

import abc
import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar

from aiohttp import web

from tests.world.emulation import admin, errors, state, traffic, worker

LOGGER: Final = logging.getLogger(__name__)
LARGEST_BODY: Final = 1024**2


class Server(abc.ABC):
    """A world, its worker and its admin; routes are each server's own."""

    world: state.World[Any, Any, Any]
    jobs: worker.Worker
    admin: admin.Admin

    @abc.abstractmethod
    async def answer(self, request: web.Request, headers: dict[str, str]) -> object:
        """The body of a 200: JSON, or the text of an HTML page.

        Args:
            request: what came.
            headers: filled with those of the answer, whatever it will be.

        Raises:
            Refusal: the answer is another.
            LostAnswerError: there is none.
        """

    @abc.abstractmethod
    def route_name(self, request: web.Request) -> str:
        """What counters call the request's route."""

    @abc.abstractmethod
    def failure(self, status: int) -> errors.Refusal:
        """How the server, or the proxy before it, says that it is in trouble."""

    def application(self) -> web.Application:
        application = web.Application(client_max_size=LARGEST_BODY)
        application.router.add_post("/__admin/{act}", self.admin.handle)
        application.router.add_route("*", "/{tail:[\\s\\S]*}", self.serve)
        return application

    async def serve(self, request: web.Request) -> web.StreamResponse:
        entry = traffic.Entry(
            time=self.world.clock.moment().isoformat(),
            method=request.method,
            route=self.route_name(request),
            path=request.path,
        )
        with self.world.traffic.passing(entry):
            response = await self._response(request)
            await asyncio.sleep(self.world.switches.latency_ms / 1000)
            if response is not None:
                entry.status = response.status
        if response is not None:
            return response
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _response(self, request: web.Request) -> web.Response | None:
        """What is sent; None for an answer that is lost."""
        headers: dict[str, str] = {}
        try:
            self._burst()
            return self._rendered(200, await self.answer(request, headers), headers)
        except errors.LostAnswerError:
            return None
        except errors.Refusal as failure:
            refusal = failure
        except Exception:
            # The real server's fall-through; a traceback here is a bug of the emulator's.
            LOGGER.exception("%s %s", request.method, request.path)
            refusal = self.failure(500)
        return self._rendered(refusal.status, refusal.body(), headers | refusal.headers)

    def _burst(self) -> None:
        turned = self.world.switches
        if turned.burst > 0:
            turned.burst -= 1
            raise self.failure(turned.burst_status)

    def _rendered(self, status: int, body: object, headers: dict[str, str]) -> web.Response:
        page = isinstance(body, str)
        return web.Response(
            text=body if isinstance(body, str) else json.dumps(body),
            status=status,
            headers={"Date": self.world.clock.http_date(), **headers},
            content_type="text/html" if page else "application/json",
        )


Served = TypeVar("Served", bound=Server)


@contextlib.asynccontextmanager
async def running(server: Served, *, port: int = 0) -> AsyncIterator[tuple[str, Served]]:
    """A server on a loopback port, with its worker, until the block ends."""
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    server.jobs.start()
    try:
        address = runner.addresses[0]
        yield f"http://{address[0]}:{address[1]}", server
    finally:
        await server.jobs.stop()
        await runner.cleanup()
        await server.world.close()
