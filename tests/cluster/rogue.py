"""A server that a tenant runs: it speaks Infisical's API as far as it likes, and remembers.

What it is told to do for a route takes the place of the honest answer.
"""

import asyncio
import collections.abc
import contextlib
import dataclasses
import datetime
import itertools
import typing

from aiohttp import web

Answer = collections.abc.Callable[[web.Request], collections.abc.Awaitable[web.StreamResponse]]

LOGIN = "POST /api/v1/auth/universal-auth/login"
BY_ACCOUNT = "POST /api/v1/auth/kubernetes-auth/login"
LOOK = "GET /api/v1/dynamic-secrets/{name}"
ISSUE = "POST /api/v1/dynamic-secrets/leases"
SHOW = "GET /api/v1/dynamic-secrets/leases/{id}"
END = "DELETE /api/v1/dynamic-secrets/leases/{id}"
STATUS = "GET /api/status"
GONE = "Dynamic secret lease with ID 'x' not found"
KINDS = {"name": "orders-db", "type": "sql-database", "defaultTTL": "1h", "maxTTL": "24h"}


@dataclasses.dataclass(slots=True)
class Asked:
    """One request that came in."""

    route: str
    path: str
    body: dict[str, typing.Any]
    bearer: str


class Rogue:
    """The server."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.lease_id = ""
        """That of each lease; empty: each has one of its own."""
        self.begins = datetime.timedelta(0)
        """What a new lease's moment of issue is off from now."""
        self.lives = datetime.timedelta(hours=1)
        """From its issue to its end."""
        self.alive: set[str] = set()
        self._numbers = itertools.count(1)
        self.empty = asyncio.Event()
        """The last lease is gone."""
        self._tricks: dict[str, Answer] = {}
        self._hanging = asyncio.Event()

    def trick(self, route: str, answer: Answer | None) -> None:
        """Answer a route by ``answer`` from now on; None: honestly."""
        if answer is None:
            self._tricks.pop(route, None)
        else:
            self._tricks[route] = answer

    def behave(self) -> None:
        """Be honest again, and forget; whoever hangs is let go."""
        self.asked.clear()
        self._tricks.clear()
        self.lease_id = ""
        self.begins, self.lives = datetime.timedelta(0), datetime.timedelta(hours=1)
        self._hanging.set()
        self._hanging = asyncio.Event()

    async def hang(self, _: web.Request) -> web.StreamResponse:
        """Keep the connection and say nothing."""
        await self._hanging.wait()
        return web.Response(status=500)

    def count(self, route: str) -> int:
        return sum(one.route == route for one in self.asked)

    def application(self) -> web.Application:
        made = web.Application()
        for route in (LOGIN, BY_ACCOUNT, LOOK, ISSUE, SHOW, END, STATUS):
            method, _, path = route.partition(" ")
            made.router.add_route(method, path, self._handler(route))
        made.router.add_route("*", "/{rest:.*}", self._handler("*"))
        return made

    def _handler(self, route: str) -> Answer:
        async def answer(request: web.Request) -> web.StreamResponse:
            body = await request.json() if request.can_read_body else {}
            bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
            self.asked.append(Asked(route, request.path, body, bearer))
            trick = self._tricks.get(route)
            return await trick(request) if trick is not None else self._honest(route, request, body)

        return answer

    def _honest(
        self, route: str, request: web.Request, body: dict[str, typing.Any]
    ) -> web.Response:
        if route in (LOGIN, BY_ACCOUNT):
            return web.json_response({"accessToken": "rogue-token", "expiresIn": 7200})
        if route == LOOK:
            return web.json_response({"dynamicSecret": KINDS})
        if route == STATUS:
            return web.json_response({"version": "1.0"})
        if route == ISSUE:
            return self.issued(body, {"DB_USERNAME": "nobody", "DB_PASSWORD": "nothing"})
        known = request.match_info.get("id", "")
        if known in self.alive:
            if route == END:
                self.alive.discard(known)
                self.empty.set()
            return web.json_response({"lease": self._lease(known, {})})
        refusal = {"reqId": "req-1", "statusCode": 404, "message": GONE}
        return web.json_response({**refusal, "error": "NotFound"}, status=404)

    def issued(self, body: dict[str, typing.Any], data: dict[str, str]) -> web.Response:
        """A new lease with these values."""
        lease_id = self.lease_id or f"made-up-{next(self._numbers)}"
        self.alive.add(lease_id)
        self.empty.clear()
        lease = self._lease(lease_id, body)
        return web.json_response({"lease": lease, "dynamicSecret": KINDS, "data": data})

    def _lease(self, lease_id: str, body: dict[str, typing.Any]) -> dict[str, typing.Any]:
        made = datetime.datetime.now(datetime.UTC) + self.begins
        return {
            "id": lease_id,
            "createdAt": made.isoformat(),
            "expireAt": (made + self.lives).isoformat(),
            "status": None,
            "config": body.get("config"),
        }


@contextlib.asynccontextmanager
async def serving() -> collections.abc.AsyncIterator[Rogue]:
    """A server on a free port of loopback, over plain http."""
    rogue = Rogue()
    runner = web.AppRunner(rogue.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    rogue.url = f"http://127.0.0.1:{port}"
    try:
        yield rogue
    finally:
        rogue.behave()
        await runner.cleanup()
