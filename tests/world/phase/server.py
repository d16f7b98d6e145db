"""The HTTP surface: the roots that all lead to the same routes, one way through for every request.

Token, environment, addresses, throttle, method, and then the route, as in the real server. A path
that isn't known, also for want of its last slash, is an HTML page. The imaginary AWS skips all of
it.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from tests.world.emulation import errors as failures
from tests.world.emulation import server
from tests.world.phase import admin, calls, errors, expiry, guard, leases, overview
from tests.world.phase import emulator as emulators
from tests.world.phase import secrets as secret_routes

ROOTS: Final = re.compile(r"(?:/service)?(?:/public)?(?P<path>/v1/.*)")
TOKENS: Final = re.compile(r"(?:/service)?/secrets/tokens/")
DYNAMIC: Final = "/v1/secrets/dynamic/"
NOT_FOUND: Final = "<!doctype html><html><head><title>Not Found</title></head></html>"
WEB_UI: Final = "<!doctype html><html><head><title>Phase Console</title></head></html>"

Handler = Callable[[calls.Call], Awaitable[object]]


class Server(server.Server):
    """The routes, and the order of what comes before them."""

    world: emulators.Emulator
    jobs: expiry.Jobs

    def __init__(self, world: emulators.Emulator) -> None:
        self.world = world
        self.jobs = expiry.Jobs(world)
        self.admin = admin.Admin(world, self.jobs)
        self.routes = _routes(self.jobs)

    def application(self) -> web.Application:
        application = super().application()
        application.router.add_get("/__aws/identity", self.identify)
        return application

    async def identify(self, request: web.Request) -> web.StreamResponse:
        return self.world.aws.answer(request)

    async def answer(self, request: web.Request, headers: dict[str, str]) -> object:
        path = _path(request)
        if TOKENS.fullmatch(path) and self.world.switches.whoami:
            return await overview.tokens(self._call(request))
        if path not in self.routes:
            if self.world.switches.web_ui:
                return WEB_UI
            raise failures.PageError(404, NOT_FOUND)
        call = self._call(request)
        guard.admit(call)
        return await self._handler(request.method, path)(call)

    def route_name(self, request: web.Request) -> str:
        """A GET that leases is told apart."""
        path = _path(request)
        if path != DYNAMIC or request.method != "GET":
            return f"{request.method} {path}"
        asked = request.query.get("lease", "false").lower() != "false"
        return f"GET {path}{' lease' if asked else ''}"

    def failure(self, status: int) -> failures.Refusal:
        return errors.internal() if status == 500 else failures.PageError(status)

    def _call(self, request: web.Request) -> calls.Call:
        return calls.Call(self.world, request, calls.snake_cased(request.query))

    def _handler(self, method: str, path: str) -> Handler:
        handlers = self.routes[path]
        if method in handlers:
            return handlers[method]
        if path == DYNAMIC and method in ("PATCH", "HEAD", "OPTIONS"):
            raise errors.ApiError(403, f"Unsupported HTTP method: {method}")
        raise errors.ApiError(405, f'Method "{method}" not allowed.')


def _routes(jobs: expiry.Jobs) -> Mapping[str, Mapping[str, Handler]]:
    secret, lease = secret_routes.Secrets(jobs), leases.Leases(jobs)
    return {
        DYNAMIC: {"GET": secret.dynamic},
        f"{DYNAMIC}leases/": {"GET": lease.history, "PUT": lease.renew, "DELETE": lease.revoke},
        "/v1/secrets/": {"GET": secret.everything},
        "/v1/apps/": {"GET": overview.apps},
        "/v1/environments/": {"GET": overview.environments},
    }


def _path(request: web.Request) -> str:
    """Below whichever root it was asked."""
    found = ROOTS.fullmatch(request.path)
    return found["path"] if found else request.path
