"""What the emulator's own tests hold in hand: a server, its admin, a client with a token."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from tests.world.emulation import bench as benches
from tests.world.emulation import server as servers
from tests.world.emulation.bench import Reply as Reply
from tests.world.phase import client, seeds, server
from tests.world.phase import emulator as emulators

DYNAMIC: Final = "/v1/secrets/dynamic/"
LEASES: Final = "/v1/secrets/dynamic/leases/"
WHERE: Final = {"app_id": seeds.DEMO_APP, "env": "production"}


@dataclasses.dataclass(slots=True)
class Bench(benches.Bench):
    """A running emulator and a session with a token."""

    server: server.Server
    admin: client.PhaseAdmin
    authorization: str = ""

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: object = None,
        authorization: str | None = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Reply:
        said = self.authorization if authorization is None else authorization
        sent = {**({"Authorization": said} if said else {}), **(headers or {})}
        return await self.send(method, path, query=query, headers=sent, body=body, data=data)

    async def act_as(self, account: str) -> None:
        """Use that account's token from now on."""
        known = (await self.admin.state())["accounts"]
        kind = next(one["kind"] for one in known if one["name"] == account)
        word = "User" if kind == "user" else "ServiceAccount"
        self.authorization = f"Bearer {word} {await self.admin.token(account)}"

    async def dynamic(self, **query: str) -> Reply:
        return await self.call("GET", DYNAMIC, WHERE | query)

    async def lease(self, name: str = "aws-deploy", **query: str) -> Reply:
        """Lease one dynamic secret by its id."""
        found = await self.admin.secret(name)
        return await self.dynamic(id=found["id"], lease="true", **query)

    async def leased(self, name: str = "aws-deploy", **query: str) -> dict[str, Any]:
        """The lease, which there has to be."""
        reply = await self.lease(name, **query)
        assert reply.status == 200, reply.body
        (shown,) = reply.body
        lease: dict[str, Any] = shown["lease"]
        return lease

    async def history(self, name: str = "aws-deploy") -> list[dict[str, Any]]:
        found = await self.admin.secret(name)
        rows: list[dict[str, Any]]
        rows = (await self.call("GET", LEASES, {"secret_id": found["id"]})).body
        return rows

    async def row(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        query = {"secret_id": lease["secret"]}
        rows = (await self.call("GET", LEASES, query)).body
        return next(one for one in rows if one["id"] == lease["id"])

    async def renew(self, lease: Mapping[str, Any], ttl: object = 60) -> Reply:
        body = {"lease_id": lease["id"], "ttl": ttl}
        return await self.call("PUT", LEASES, WHERE, body=body)

    async def revoke(self, lease: Mapping[str, Any]) -> Reply:
        return await self.call("DELETE", LEASES, WHERE, body={"lease_id": lease["id"]})

    async def logs_in(self, lease: Mapping[str, Any]) -> bool:
        """Whether the lease's key is alive, asked of AWS, and is the user's that it says."""
        values = [one["value"] for one in lease["credentials"]]
        user = await self.admin.can_log_in(values[1], values[2])
        assert user in (None, values[0])
        return user is not None


@contextlib.asynccontextmanager
async def open_bench(seed: seeds.Seed | None = None) -> AsyncIterator[Bench]:
    emulator = server.Server(emulators.Emulator(seed))
    async with (
        servers.running(emulator) as (url, _),
        client.PhaseAdmin(url) as admin,
        benches.opened_session() as session,
    ):
        bench = Bench(url, session, emulator, admin)
        await bench.act_as("kube-bot")
        yield bench
