"""The HTTP surface: one table of routes, one way through it for every request.

Rate limit, then authentication, then the body, then the handler, as in the real server; whatever
goes wrong becomes an error body there, and every answer carries the server's own Date. The admin
routes skip all of it.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import secrets
import string
from collections.abc import AsyncIterator, Sequence
from typing import Final, NoReturn

import pydantic
from aiohttp import web

from tests.world.infisical import (
    admin,
    calls,
    errors,
    expiry,
    fields,
    guard,
    leases,
    logins,
    projects,
    seeds,
    traffic,
)
from tests.world.infisical import clock as clocks
from tests.world.infisical import emulator as emulators
from tests.world.infisical import secrets as secret_routes

LOGGER: Final = logging.getLogger(__name__)
ADMIN: Final = "/__admin"
LARGEST_BODY: Final = 1024**2
PROXY_PAGE: Final = "<html><body><h1>upstream error</h1></body></html>"
ALPHABET: Final = string.ascii_letters + string.digits


@dataclasses.dataclass(slots=True)
class Answer:
    """What will be sent; None for a body that never arrives."""

    status: int
    body: object
    headers: dict[str, str]
    lost: bool = False


class ProxyError(Exception):
    """Whatever stands before the server answers in its place."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class Server:
    """The emulator behind a socket."""

    def __init__(self, world: emulators.Emulator) -> None:
        self.world = world
        self.jobs = expiry.Jobs(world)
        self.routes = _routes(self.jobs)

    def application(self) -> web.Application:
        application = web.Application(client_max_size=LARGEST_BODY)
        application.router.add_route("*", "/{tail:.*}", self.handle)
        return application

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.rstrip("/") or "/"
        route, params = self._find(request.method, path)
        if path.startswith(ADMIN):
            return await self._administer(request, route, params)
        return await self._serve(request, route, params)

    async def _serve(
        self, request: web.Request, route: calls.Route | None, params: dict[str, str]
    ) -> web.StreamResponse:
        self.world.traffic.entered()
        started = self.world.clock.now()
        status = 0
        try:
            answer = await self._answer(request, route, params)
            if self.world.switches.latency_ms:
                await asyncio.sleep(self.world.switches.latency_ms / 1000)
            status = 0 if answer.lost else answer.status
        finally:
            self.world.traffic.left(
                traffic.Entry(
                    time=clocks.iso(started),
                    method=request.method,
                    route=route.name if route else "none",
                    path=request.path,
                    status=status,
                    milliseconds=self.world.clock.now() - started,
                )
            )
        return self._rendered(request, answer)

    async def _answer(
        self, request: web.Request, route: calls.Route | None, params: dict[str, str]
    ) -> Answer:
        headers: dict[str, str] = {}
        try:
            self._burst()
            category = route.category if route else "none"
            headers = self.world.limits.take(request.remote or "", category)
            if route is None:
                _unknown(request)
            call = calls.Call(self.world, request, params)
            if route.authenticated:
                call.holder = guard.authenticate(self.world, request)
            call.body = await _body(request)
            return Answer(200, await route.handler(call), headers)
        except errors.LostAnswerError:
            return Answer(200, None, {}, lost=True)
        except ProxyError as failure:
            return Answer(failure.status, PROXY_PAGE, {})
        except errors.ApiError as failure:
            body = failure.body(_request_id())
            return Answer(failure.status, body, {**headers, **failure.headers})
        except Exception:
            # The real server's fall-through; a traceback here is a bug of the emulator's.
            LOGGER.exception("%s %s", request.method, request.path)
            return Answer(500, errors.internal().body(_request_id()), headers)

    def _burst(self) -> None:
        turned = self.world.switches
        if turned.burst > 0:
            turned.burst -= 1
            if turned.burst_status in (502, 503):
                raise ProxyError(turned.burst_status)
            told = "InternalServerError" if turned.burst_status == 500 else "GatewayTimeoutError"
            raise errors.ApiError(turned.burst_status, told, "Something went wrong")

    def _rendered(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        if answer.lost:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        headers = {"Date": self.world.clock.http_date(), **answer.headers}
        if isinstance(answer.body, str):
            return web.Response(
                text=answer.body, status=answer.status, headers=headers, content_type="text/html"
            )
        return web.json_response(answer.body, status=answer.status, headers=headers)

    async def _administer(
        self, request: web.Request, route: calls.Route | None, params: dict[str, str]
    ) -> web.StreamResponse:
        if route is None:
            return web.json_response({"message": "no such admin route"}, status=404)
        try:
            call = calls.Call(self.world, request, params, body=await _body(request))
            return web.json_response(await route.handler(call))
        except (pydantic.ValidationError, ValueError) as failure:
            return web.json_response({"message": str(failure)}, status=400)
        except errors.ApiError as failure:
            return web.json_response(failure.body(_request_id()), status=failure.status)

    def _find(self, method: str, path: str) -> tuple[calls.Route | None, dict[str, str]]:
        for route in self.routes:
            params = route.match(method, path)
            if params is not None:
                return route, params
        return None, {}


@contextlib.asynccontextmanager
async def running(
    settings: emulators.Settings, seed: seeds.Seed | None = None, *, port: int = 0
) -> AsyncIterator[tuple[str, Server]]:
    """The emulator on a loopback port, with its jobs, until the block ends."""
    world = emulators.Emulator(settings, seed)
    server = Server(world)
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
        await world.close()


def _routes(jobs: expiry.Jobs) -> Sequence[calls.Route]:
    """Static segments come before parameters, as the server's router has it."""
    lease = leases.Leases(jobs)
    secret = secret_routes.Secrets(jobs)
    route = calls.Route
    ds = "/api/v1/dynamic-secrets"
    auth = "/api/v1/auth"
    return [
        route("POST", f"{auth}/universal-auth/login", logins.universal, "write", False),
        route("POST", f"{auth}/kubernetes-auth/login", logins.kubernetes, "write", False),
        route("POST", f"{auth}/oidc-auth/login", logins.foreign, "write", False),
        route("POST", f"{auth}/token/renew", logins.renew, "write", False),
        route("POST", f"{auth}/token/revoke", logins.revoke, "write", False),
        route("POST", f"{ds}/leases", lease.create, "write"),
        route("POST", f"{ds}/leases/kubernetes", lease.create_kubernetes, "write"),
        route("GET", f"{ds}/leases/{{leaseId}}", lease.get, "read"),
        route("DELETE", f"{ds}/leases/{{leaseId}}", lease.revoke, "write"),
        route("POST", f"{ds}/leases/{{leaseId}}/renew", lease.renew, "write"),
        route("GET", ds, secret.list_all, "read"),
        route("GET", f"{ds}/{{name}}", secret.get, "read"),
        route("PATCH", f"{ds}/{{name}}", secret.patch, "write"),
        route("DELETE", f"{ds}/{{name}}", secret.delete, "write"),
        route("GET", f"{ds}/{{name}}/leases", lease.list_all, "read"),
        route("GET", "/api/v1/workspace/{projectId}", projects.workspace, "read"),
        route("GET", "/api/v1/projects/slug/{slug}", projects.by_slug, "read"),
        route("GET", "/api/v1/projects/{projectId}", projects.by_id, "read"),
        route("GET", "/api/status", projects.status, "none", False),
        *admin.Admin(jobs, secret).routes(),
    ]


async def _body(request: web.Request) -> object:
    """The JSON body; what the framework can't parse falls through to a 500."""
    raw = await request.read()
    if not raw:
        return fields.ABSENT
    if request.content_type != "application/json":
        raise errors.internal()
    try:
        parsed: object = json.loads(raw)
    except ValueError as failure:
        raise errors.internal() from failure
    return parsed


def _unknown(request: web.Request) -> NoReturn:
    raise errors.ApiError(404, "Not Found", f"Route {request.method}:{request.path} not found")


def _request_id() -> str:
    return "req-" + "".join(secrets.choice(ALPHABET) for _ in range(14))
