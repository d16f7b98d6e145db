"""What the emulator's own tests hold in hand: a server, its admin, a client that is logged in."""

import contextlib
import dataclasses
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp

from tests.world import processes
from tests.world.infisical import client, seeds, server
from tests.world.infisical import emulator as emulators

API: Final = "/api/v1"
LEASES: Final = f"{API}/dynamic-secrets/leases"
LOGIN: Final = f"{API}/auth/universal-auth/login"
PATIENCE: Final = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def message(self) -> Any:
        return self.body["message"]


@dataclasses.dataclass(slots=True)
class Bench:
    """A running emulator and a session with a token."""

    url: str
    server: server.Server
    admin: client.InfisicalAdmin
    session: aiohttp.ClientSession
    token: str | None = None

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Reply:
        bearer = token or self.token
        async with self.session.request(
            method,
            self.url + path,
            json=body,
            params=query,
            headers={"Authorization": f"Bearer {bearer}"} if bearer else {},
        ) as response:
            return Reply(response.status, await response.json(), response.headers.copy())

    async def login(self, identity: seeds.Identity | None = None) -> Reply:
        """Log in as an identity and use its token from now on."""
        who = identity or await self.admin.identity()
        assert who.universal_auth is not None
        reply = await self.call("POST", LOGIN, credentials(who))
        if reply.status == 200:
            self.token = reply.body["accessToken"]
        return reply

    async def create(self, name: str = "orders-db", **more: object) -> Reply:
        return await self.call("POST", LEASES, {"dynamicSecretName": name, **address(), **more})

    async def created(self, name: str = "orders-db", **more: object) -> Any:
        reply = await self.create(name, **more)
        assert reply.status == 200, reply.body
        return reply.body

    async def get(self, lease_id: str, **more: str) -> Reply:
        return await self.call("GET", f"{LEASES}/{lease_id}", query={**address(), **more})

    async def leases_of(self, name: str = "orders-db", **more: str) -> Reply:
        path = f"{API}/dynamic-secrets/{name}/leases"
        return await self.call("GET", path, query={**address(), **more})

    async def renew(self, lease_id: str, **more: object) -> Reply:
        return await self.call("POST", f"{LEASES}/{lease_id}/renew", {**address(), **more})

    async def revoke(self, lease_id: str, **more: object) -> Reply:
        return await self.call("DELETE", f"{LEASES}/{lease_id}", {**address(), **more})

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for a condition, not for time."""
        await processes.wait_until_async(
            condition, timeout=PATIENCE, what="what the test waits for", interval=0.005
        )


def address() -> dict[str, str]:
    return {"projectSlug": "demo", "environmentSlug": "prod"}


def credentials(identity: seeds.Identity) -> dict[str, str]:
    assert identity.universal_auth is not None
    auth = identity.universal_auth
    return {"clientId": auth.client_id, "clientSecret": auth.client_secret}


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def someone(**more: Any) -> seeds.Seed:
    """A seed of one identity, ``someone``, with universal auth unless told otherwise."""
    facts: dict[str, Any] = {"universal_auth": seeds.UniversalAuth(), **more}
    return seeds.Seed(identities=[seeds.Identity(name="someone", **facts)])


@contextlib.asynccontextmanager
async def open_bench(settings: emulators.Settings) -> AsyncIterator[Bench]:
    async with (
        server.running(settings) as (url, running),
        client.InfisicalAdmin(url) as admin,
        aiohttp.ClientSession() as session,
    ):
        bench = Bench(url, running, admin, session)
        await bench.login()
        yield bench
