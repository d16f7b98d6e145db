"""``PhaseAdmin``: the admin API with types, for tests, demo and benchmarks.

async with client.PhaseAdmin(url) as admin:
    await admin.turn(minTtlSeconds=2, renewal="Fixed")
    assert [one for one in await admin.alive() if one.lease_id not in known] == []
"""

from typing import Any

import aiohttp
import pydantic

from tests.world.emulation import client, models
from tests.world.phase import seeds, switches


class Row(pydantic.BaseModel):
    """A lease as the API shows it."""

    model_config = models.Model.model_config | pydantic.ConfigDict(extra="ignore")

    id: str
    secret: str
    ttl: str
    status: str
    owner: dict[str, Any]
    created_at: pydantic.AwareDatetime
    expires_at: pydantic.AwareDatetime
    revoked_at: pydantic.AwareDatetime | None


class Key(models.Model):
    """A key that was made: alive at AWS or not, told to anybody or not."""

    username: str
    access_key_id: str
    secret: str
    issued_at: pydantic.AwareDatetime
    alive: bool
    answered: bool
    lease_id: str | None
    lease: Row | None


class PhaseAdmin(client.Admin[switches.Switches, seeds.Seed]):
    """The control API of a running emulator, and its identity service."""

    switches = switches.Switches

    async def token(self, account: str = "kube-bot") -> str:
        """A token of an account, as 64 hexadecimal digits."""
        known = (await self.state())["accounts"]
        found = next(one for one in known if account in (one["name"], one["id"]))
        return str(found["tokens"][0])

    async def secret(self, name: str = "aws-deploy", path: str = "/") -> dict[str, Any]:
        """A dynamic secret as the API shows it."""
        known: list[dict[str, Any]] = (await self.state())["dynamicSecrets"]
        return next(one for one in known if (one["name"], one["path"]) == (name, path))

    async def keys(self) -> list[Key]:
        """Everything that was ever issued, oldest first."""
        return [Key.model_validate(one) for one in (await self.act("keys"))["keys"]]

    async def alive(self) -> list[Key]:
        """What AWS would let in now."""
        return [one for one in await self.keys() if one.alive]

    async def can_log_in(self, access_key_id: str, secret_access_key: str) -> str | None:
        """The user whose key this is, asked of AWS itself; None if it doesn't log in."""
        auth = aiohttp.encode_basic_auth(access_key_id, secret_access_key)
        url = f"{self.url}/__aws/identity"
        async with self.session.get(url, headers={"Authorization": auth}) as answer:
            told: dict[str, str] = await answer.json()
            return told["Arn"].rpartition("/")[2] if answer.status == 200 else None

    async def age(self, secret: str, leases: int) -> None:
        """So many leases of a dynamic secret ended long ago."""
        await self.act("age", {"secret": secret, "leases": leases})

    async def lists(self) -> tuple[int, int]:
        """How many lists of leases were begun, and how many are under way."""
        told = await self.act("lists")
        return told["begun"], told["underWay"]

    async def strays(self) -> list[str]:
        """Users at AWS that a failed lease left, and no row shows."""
        users: list[str] = (await self.act("strays"))["users"]
        return users

    async def kill(self, lease_id: str) -> None:
        """Remove a user at AWS, behind the server's back."""
        await self.act("kill", {"leaseId": lease_id})

    async def allow(self, environment: str, *, allowed: bool, account: str = "kube-bot") -> None:
        """Give an account the key of an environment, or take it away."""
        body = {"account": account, "environment": environment, "allowed": allowed}
        await self.act("access", body)

    async def rename_environment(self, environment: str, name: str) -> None:
        """Call an environment something else."""
        await self.act("rename-environment", {"environment": environment, "name": name})

    async def issue_token(self, account: str = "kube-bot", *, seconds: float | None = None) -> str:
        """Another token of an account."""
        answer = await self.act("tokens", {"account": account, "seconds": seconds})
        return str(answer["token"])

    async def delete_tokens(self, account: str = "kube-bot") -> None:
        """All tokens that an account has."""
        await self.act("delete-tokens", {"account": account})

    async def delete_secret(self, name: str) -> None:
        """A dynamic secret, by name or id."""
        await self.act("delete-secret", {"secret": name})

    async def edit_secret(self, name: str, **changes: object) -> None:
        """E.g. ``keys={"username": "AWS_USER"}`` or ``maxTtlSeconds=90``."""
        await self.act("edit-secret", {"secret": name, **changes})
