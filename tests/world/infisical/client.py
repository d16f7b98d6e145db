"""``InfisicalAdmin``: the admin API with types, for tests, demo and benchmarks.

async with client.InfisicalAdmin(url) as admin:
    await admin.turn(minTtlSeconds=2, clockOffsetSeconds=3600)
    assert [one for one in await admin.leases() if one.alive and one.row is None] == []
"""

from collections.abc import Mapping
from typing import Any

import pydantic

from tests.world.emulation import client, models
from tests.world.infisical import seeds, switches


class Row(pydantic.BaseModel):
    """A lease as the API shows it."""

    model_config = models.Model.model_config | pydantic.ConfigDict(extra="ignore")

    id: str
    external_entity_id: str
    expire_at: pydantic.AwareDatetime
    created_at: pydantic.AwareDatetime
    status: str | None
    status_details: str | None
    config: Any = None


class Lease(models.Model):
    """A credential that was made: alive at the target or not, with a row or not."""

    id: str | None
    entity_id: str
    dynamic_secret: str
    type: str
    config: Any = None
    issued_at: pydantic.AwareDatetime
    alive: bool
    row: Row | None


class InfisicalAdmin(client.Admin[switches.Switches, seeds.Seed]):
    """The control API of a running emulator."""

    switches = switches.Switches

    async def identity(self, name: str = "demo") -> seeds.Identity:
        """An identity with its client id and secret."""
        known = (await self.state())["identities"]
        found = next(one for one in known if name in (one["name"], one["id"]))
        return seeds.Identity.model_validate(found)

    async def leases(self) -> list[Lease]:
        """Everything that was ever issued, oldest first."""
        answer = await self.act("leases")
        return [Lease.model_validate(one) for one in answer["leases"]]

    async def alive(self) -> list[Lease]:
        """What the targets would let in now."""
        return [one for one in await self.leases() if one.alive]

    async def kill(self, lease_id: str) -> None:
        """Remove a credential at its target, behind the server's back."""
        await self.act("kill", {"leaseId": lease_id})

    async def revoke_token(self, token: str) -> None:
        await self.act("revoke-tokens", {"accessToken": token})

    async def revoke_all_tokens(self) -> None:
        await self.act("revoke-tokens")

    async def issue_token(self, identity: str = "demo") -> str:
        """A static access token, as token auth uses it."""
        return str((await self.act("issue-token", {"identity": identity}))["accessToken"])

    async def delete_dynamic_secret(self, name: str, *, forced: bool = False) -> None:
        await self.act("delete-secret", {"name": name, "forced": forced})

    async def check(self, data: Mapping[str, object]) -> bool:
        """Whether a credential that isn't SQL would be let in: any value of its data."""
        return bool((await self.act("check", data))["alive"])
