"""The HTTP surface: the roots that all lead to the same routes, one way through for every request.

Token, environment, addresses, throttle, method, and then the route, as in the real server. A path
that isn't known, also for want of its last slash, is an HTML page. The admin's routes and the
imaginary AWS skip all of it.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from tests.world.infisical import traffic
from tests.world.phase import admin, calls, errors, expiry, guard, leases, overview, seeds
from tests.world.phase import clock as clocks
from tests.world.phase import emulator as emulators
from tests.world.phase import secrets as secret_routes

LOGGER: Final = logging.getLogger(__name__)
ROOTS: Final = re.compile(r"(?:/service)?(?:/public)?(?P<path>/v1/.*)")
TOKENS: Final = re.compile(r"(?:/service)?/secrets/tokens/")
DYNAMIC: Final = "/v1/secrets/dynamic/"
NOT_FOUND: Final = "<!doctype html><html><head><title>Not Found</title></head></html>"
WEB_UI: Final = "<!doctype html><html><head><title>Phase Console</title></head></html>"
PROXY_PAGE: Final = "<html><body><h1>upstream error</h1></body></html>"

Handler = Callable[[calls.Call], Awaitable[object]]


@dataclasses.dataclass(slots=True)
class Answer:
    """What will be sent; None for a body that never arrives."""

    status: int
    body: object
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    lost: bool = False


class Server:
    """The emulator behind a socket."""

    def __init__(self, world: emulators.Emulator) -> None:
        self.world = world
        self.jobs = expiry.Jobs(world)
        self.routes = _routes(self.jobs)
        self.admin = admin.Admin(world, self.jobs)

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/__aws/identity", self.identify)
        application.router.add_route("*", "/__admin/{tail:.*}", self.admin.handle)
        application.router.add_route("*", "/{tail:.*}", self.serve)
        return application

    async def identify(self, request: web.Request) -> web.StreamResponse:
        return self.world.aws.answer(request)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.world.traffic.entered()
        started = self.world.clock.now()
        found = ROOTS.fullmatch(request.path)
        path = found["path"] if found else request.path
        status = 0
        try:
            answer = await self._answer(request, path)
            if self.world.switches.latency_ms:
                await asyncio.sleep(self.world.switches.latency_ms / 1000)
            status = 0 if answer.lost else answer.status
        finally:
            lasted = (self.world.clock.now() - started).total_seconds() * 1000
            self.world.traffic.left(
                traffic.Entry(
                    time=clocks.iso(started),
                    method=request.method,
                    route=_route_name(request, path),
                    path=request.path_qs,
                    status=status,
                    milliseconds=lasted,
                )
            )
        return self._rendered(request, answer)

    async def _answer(self, request: web.Request, path: str) -> Answer:
        try:
            if self.world.switches.burst > 0:
                return self._burst()
            if TOKENS.fullmatch(path) and self.world.switches.whoami:
                return Answer(200, await overview.tokens(self._call(request)))
            if path not in self.routes:
                ui = self.world.switches.web_ui
                return Answer(200, WEB_UI) if ui else Answer(404, NOT_FOUND)
            call = self._call(request)
            guard.admit(call)
            return Answer(200, await self._handler(request.method, path)(call))
        except errors.LostAnswerError:
            return Answer(200, None, lost=True)
        except errors.WorkerKilledError:
            return Answer(504, PROXY_PAGE)
        except errors.ApiError as failure:
            return Answer(failure.status, failure.body, failure.headers)
        except Exception:
            # The real server's fall-through; a traceback here is a bug of the emulator's.
            LOGGER.exception("%s %s", request.method, request.path)
            return Answer(500, errors.internal().body)

    def _call(self, request: web.Request) -> calls.Call:
        return calls.Call(self.world, request, calls.snake_cased(request.query))

    def _handler(self, method: str, path: str) -> Handler:
        handlers = self.routes[path]
        if method in handlers:
            return handlers[method]
        if path == DYNAMIC and method in ("PATCH", "HEAD", "OPTIONS"):
            raise errors.ApiError(403, f"Unsupported HTTP method: {method}")
        raise errors.ApiError(405, f'Method "{method}" not allowed.')

    def _burst(self) -> Answer:
        self.world.switches.burst -= 1
        status = self.world.switches.burst_status
        return Answer(status, errors.internal().body if status == 500 else PROXY_PAGE)

    def _rendered(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        if answer.lost:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        page = isinstance(answer.body, str)
        return web.Response(
            text=answer.body if isinstance(answer.body, str) else json.dumps(answer.body),
            status=answer.status,
            headers={"Date": self.world.clock.http_date(), **answer.headers},
            content_type="text/html" if page else "application/json",
        )


@contextlib.asynccontextmanager
async def running(
    seed: seeds.Seed | None = None, *, port: int = 0
) -> AsyncIterator[tuple[str, Server]]:
    """The emulator on a loopback port, with its worker, until the block ends."""
    server = Server(emulators.Emulator(seed))
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


def _routes(jobs: expiry.Jobs) -> Mapping[str, Mapping[str, Handler]]:
    secret, lease = secret_routes.Secrets(jobs), leases.Leases(jobs)
    return {
        DYNAMIC: {"GET": secret.dynamic},
        f"{DYNAMIC}leases/": {"GET": lease.history, "PUT": lease.renew, "DELETE": lease.revoke},
        "/v1/secrets/": {"GET": secret.everything},
        "/v1/apps/": {"GET": overview.apps},
        "/v1/environments/": {"GET": overview.environments},
    }


def _route_name(request: web.Request, path: str) -> str:
    """As counters call it; a GET that leases is told apart."""
    if path != DYNAMIC or request.method != "GET":
        return f"{request.method} {path}"
    asked = request.query.get("lease", "false").lower() != "false"
    return f"GET {path}{' lease' if asked else ''}"
