"""What the emulator's own tests hold in hand: a server, its admin, a client that is logged in."""

import contextlib
import dataclasses
import datetime
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from tests.world.emulation import bench as benches
from tests.world.emulation import server as servers
from tests.world.emulation.bench import Reply as Reply
from tests.world.infisical import client, seeds, server
from tests.world.infisical import emulator as emulators

API: Final = "/api/v1"
LEASES: Final = f"{API}/dynamic-secrets/leases"
LOGIN: Final = f"{API}/auth/universal-auth/login"


@dataclasses.dataclass(slots=True)
class Bench(benches.Bench):
    """A running emulator and a session with a token."""

    server: server.Server
    admin: client.InfisicalAdmin
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
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return await self.send(method, path, query=query, headers=headers, body=body)

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
    emulator = server.Server(emulators.Emulator(settings))
    async with (
        servers.running(emulator) as (url, _),
        client.InfisicalAdmin(url) as admin,
        benches.opened_session() as session,
    ):
        bench = Bench(url, session, emulator, admin)
        await bench.login()
        yield bench
