"""``InfisicalAdmin``: the admin API with types, for tests, demo and benchmarks.

async with client.InfisicalAdmin(url) as admin:
    await admin.turn(minTtlSeconds=2, clockOffsetSeconds=3600)
    assert [one for one in await admin.leases() if one.alive and one.row is None] == []
"""

import types
from collections.abc import Mapping
from typing import Any, Self

import aiohttp
import pydantic

from tests.world.infisical import seeds, switches


class Row(pydantic.BaseModel):
    """A lease as the API shows it."""

    model_config = switches.Model.model_config | pydantic.ConfigDict(extra="ignore")

    id: str
    external_entity_id: str
    expire_at: pydantic.AwareDatetime
    created_at: pydantic.AwareDatetime
    status: str | None
    status_details: str | None
    config: Any = None


class Lease(switches.Model):
    """A credential that was made: alive at the target or not, with a row or not."""

    id: str | None
    entity_id: str
    dynamic_secret: str
    type: str
    config: Any = None
    minted_at: pydantic.AwareDatetime
    alive: bool
    row: Row | None


class Request(pydantic.BaseModel):
    """A request as the emulator logged it; status 0 is an answer that was lost."""

    time: pydantic.AwareDatetime
    method: str
    route: str
    path: str
    status: int
    milliseconds: float


class Counters(switches.Model):
    """Requests by route (``POST /api/v1/…``) and by status."""

    by_route: dict[str, int]
    by_status: dict[str, int]
    in_flight: int
    peak_in_flight: int


class InfisicalAdmin:
    """The control API of a running emulator."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def seed(self, seed: seeds.Seed) -> None:
        """Add to the server's state, or change it."""
        await self._call("POST", "/seed", seed.model_dump(mode="json", by_alias=True))

    async def state(self) -> dict[str, Any]:
        """Projects, dynamic secrets, identities (secrets in plain)."""
        return await self._call("GET", "/state")

    async def identity(self, name: str = "demo") -> seeds.Identity:
        """An identity with its client id and secret."""
        known = (await self.state())["identities"]
        found = next(one for one in known if name in (one["name"], one["id"]))
        return seeds.Identity.model_validate(found)

    async def leases(self) -> list[Lease]:
        """Everything that was ever minted, oldest first."""
        answer = await self._call("GET", "/leases")
        return [Lease.model_validate(one) for one in answer["leases"]]

    async def alive(self) -> list[Lease]:
        """What the targets would let in now."""
        return [one for one in await self.leases() if one.alive]

    async def kill(self, lease_id: str) -> None:
        """Remove a credential at its target, behind the server's back."""
        await self._call("POST", f"/leases/{lease_id}/kill")

    async def log(self) -> list[Request]:
        answer = await self._call("GET", "/log")
        return [Request.model_validate(one) for one in answer["requests"]]

    async def counters(self) -> Counters:
        return Counters.model_validate(await self._call("GET", "/counters"))

    async def reset_counters(self) -> None:
        """Empty the log and start counting anew."""
        await self._call("POST", "/counters/reset")

    async def read_switches(self) -> switches.Switches:
        return switches.Switches.model_validate(await self._call("GET", "/switches"))

    async def turn(self, **changes: object) -> switches.Switches:
        """Move switches, by their names on the wire, e.g. ``replicaLagSeconds=2``."""
        return switches.Switches.model_validate(await self._call("PATCH", "/switches", changes))

    async def revoke_token(self, token: str) -> None:
        await self._call("POST", "/tokens/revoke", {"accessToken": token})

    async def revoke_all_tokens(self) -> None:
        await self._call("POST", "/tokens/revoke", {})

    async def issue_token(self, identity: str = "demo") -> str:
        """A static access token, as token auth uses it."""
        answer = await self._call("POST", f"/identities/{identity}/tokens", {})
        return str(answer["accessToken"])

    async def delete_dynamic_secret(self, name: str, *, forced: bool = False) -> None:
        await self._call("POST", "/dynamic-secrets/delete", {"name": name, "forced": forced})

    async def check(self, data: Mapping[str, object]) -> bool:
        """Whether a credential that isn't SQL would be let in: any value of its data."""
        answer = await self._call("POST", "/check", dict(data))
        return bool(answer["alive"])

    async def _call(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("use it as a context manager")
        async with self._session.request(method, f"{self.url}/__admin{path}", json=body) as answer:
            parsed: dict[str, Any] = await answer.json()
            if answer.status != 200:
                raise RuntimeError(f"{method} {path}: {answer.status} {parsed.get('message')}")
            return parsed
