"""The HTTP surface: one table of routes, one way through it for every request.

Rate limit, then authentication, then the body, then the handler, as in the real server; whatever
comes of it, ``emulation.server`` sends.
"""

import json
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from tests.world.emulation import errors as failures
from tests.world.emulation import server
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
)
from tests.world.infisical import emulator as emulators
from tests.world.infisical import secrets as secret_routes

PROXYS: Final = (502, 503)


class Server(server.Server):
    """The routes, and the order of what comes before them."""

    world: emulators.Emulator
    jobs: expiry.Jobs

    def __init__(self, world: emulators.Emulator) -> None:
        self.world = world
        self.jobs = expiry.Jobs(world)
        secrets = secret_routes.Secrets(self.jobs)
        self.admin = admin.Admin(world, self.jobs, secrets)
        self.routes = _routes(self.jobs, secrets)

    async def answer(self, request: web.Request, headers: dict[str, str]) -> object:
        route, params = self._find(request)
        category = route.category if route else "none"
        headers |= self.world.limits.take(request.remote or "", category)
        if route is None:
            told = f"Route {request.method}:{request.path} not found"
            raise errors.ApiError(404, "Not Found", told)
        call = calls.Call(self.world, request, params)
        if route.authenticated:
            call.holder = guard.authenticate(self.world, request)
        call.body = await _body(request)
        return await route.handler(call)

    def route_name(self, request: web.Request) -> str:
        route, _ = self._find(request)
        return route.name if route else "none"

    def failure(self, status: int) -> failures.Refusal:
        if status in PROXYS:
            return failures.PageError(status)
        told = "InternalServerError" if status == 500 else "GatewayTimeoutError"
        return errors.ApiError(status, told, "Something went wrong")

    def _find(self, request: web.Request) -> tuple[calls.Route | None, dict[str, str]]:
        path = request.path.rstrip("/") or "/"
        for route in self.routes:
            params = route.match(request.method, path)
            if params is not None:
                return route, params
        return None, {}


def _routes(jobs: expiry.Jobs, secret: secret_routes.Secrets) -> Sequence[calls.Route]:
    """Static segments come before parameters, as the server's router has it."""
    lease = leases.Leases(jobs)
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
