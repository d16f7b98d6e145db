"""Phase: the emulator, whose imaginary AWS says whether a key lets in."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from leaseholder.ports.provider import Lease, Provider
from leaseholder.providers.settings import PhaseSettings, ProviderSettings
from tests.provider.benches import base
from tests.provider.benches import line as lines
from tests.world import certificates
from tests.world.phase import bench as emulated
from tests.world.phase import seeds

SOURCE = {"appId": seeds.DEMO_APP, "env": "production", "path": "/"}
_SHORT_SECONDS = 60
_NAMES = {
    base.Kind.PLAIN: "aws-deploy",
    base.Kind.CAPPED: "aws-short",
    base.Kind.MISSING: "nowhere",
}


class PhaseBench(base.Bench):
    """See ``base.Bench``; the account is OURS alone, so that leases can be found again."""

    provider = "phase"
    lacks: ClassVar = {
        "renewal": "renewal is Unproven: the server of today ends a renewed lease at its first "
        "expiry all the same"
    }
    least_ttl = 1
    settle = 150
    shortened = 60
    right = "environment production"
    routes = lines.Routes(
        issue=lines.Route("GET", r"/v1/secrets/dynamic/\?.*lease=true"),
        renew=lines.Route("PUT", "/v1/secrets/dynamic/leases/"),
        look=lines.Route("GET", "/v1/secrets/dynamic/leases/"),
        revoke=lines.Route("DELETE", "/v1/secrets/dynamic/leases/"),
        login=lines.Route("GET", "/v1/apps/"),
    )

    def __init__(self, line: lines.Line, server: emulated.Bench) -> None:
        super().__init__(line)
        self.server = server

    async def furnish(self) -> None:
        """Tokens of two accounts and a user."""
        admin = self.server.admin
        await admin.turn(
            minTtlSeconds=self.least_ttl,
            expiryLagSeconds=0,
            workerBusySeconds=0,
            awsPatienceSeconds=0,
            awsSeconds=0,
            renewalSeconds=0,
            queueDown=False,
        )
        ours, brief = await admin.token(), await admin.issue_token(seconds=_SHORT_SECONDS)
        held = {base.Login.OURS: ours, base.Login.SHORT: brief}
        self.values.held |= {str(login): token for login, token in held.items()}
        self.values.held[base.Login.ANOTHER] = await admin.token("other-bot")
        self.values.held["person"] = f"User {await admin.token('rohan')}"

    def source(self, kind: base.Kind) -> Mapping[str, Any]:
        return SOURCE | {"name": _NAMES[kind]}

    async def unrenewable(self) -> tuple[Provider, Mapping[str, Any]]:
        """Leases of a person can't be renewed by that person."""
        return self.built(auth=token("person")), self.source(base.Kind.PLAIN)

    async def living(self) -> set[str]:
        return {one.lease_id or one.username for one in await self.server.admin.alive()}

    async def ends_at(self, lease: Lease) -> datetime:
        known = await self.server.admin.keys()
        row = next(one.lease for one in known if one.lease_id == lease.id)
        assert row is not None
        return row.expires_at

    async def revoke_outside(self, lease: Lease) -> None:
        await self.server.act_as("owner")
        assert (await self.server.revoke({"id": lease.id})).status == 200

    async def end_login(self) -> None:
        """The token is deleted, and its successor is in the Secret."""
        await self.server.admin.delete_tokens()
        self.values.held["ours"] = await self.server.admin.issue_token()

    async def outlive_login(self) -> None:
        """The token ends, and its successor is in the Secret."""
        await self.server.admin.turn(clockOffsetSeconds=2 * _SHORT_SECONDS)
        self.values.held["short"] = await self.server.admin.issue_token()

    def mistype_login(self) -> None:
        held = self.values.held
        held["right"], held["ours"] = held["ours"], "0" * 64

    def correct_login(self) -> None:
        self.values.held["ours"] = self.values.held.pop("right")

    async def take_rights(self) -> None:
        await self.server.admin.allow("Production", allowed=False)

    async def give_rights(self) -> None:
        await self.server.admin.allow("Production", allowed=True)

    @contextlib.asynccontextmanager
    async def backend_down(self) -> AsyncIterator[None]:
        await self.server.admin.turn(awsDown=True)
        try:
            yield
        finally:
            await self.server.admin.turn(awsDown=False)

    @contextlib.asynccontextmanager
    async def revocations_refused(self) -> AsyncIterator[None]:
        await self.server.admin.turn(awsDenies=[_NAMES[base.Kind.PLAIN]])
        try:
            yield
        finally:
            await self.server.admin.turn(awsDenies=[])

    def _server(self, login: base.Login) -> Mapping[str, Any]:
        return {"auth": token(login), "exclusive": True}

    def _settings(self, patience: float) -> ProviderSettings:
        own = PhaseSettings(
            minimum_ttl_seconds=self.least_ttl,
            settle_seconds=self.settle,
            read_timeout_seconds=patience,
            write_timeout_seconds=patience,
        )
        return ProviderSettings(phase=own)

    async def _lets_in(self, credentials: Mapping[str, str]) -> bool:
        user = await self.server.admin.can_log_in(
            credentials["AWS_ACCESS_KEY_ID"], credentials["AWS_SECRET_ACCESS_KEY"]
        )
        assert user in (None, credentials["AWS_IAM_USERNAME"])
        return user is not None

    def _credentials_in(self, body: bytes) -> Mapping[str, str]:
        answer = json.loads(body)
        if not isinstance(answer, list) or not answer or "credentials" not in answer[0]["lease"]:
            return {}
        return {one["key"]: one["value"] for one in answer[0]["lease"]["credentials"]}


def token(name: str) -> dict[str, Any]:
    """Log in with the token that stands under a name."""
    return {"tokenSecretRef": {"name": "auth", "key": name}}


_Bench = TypeVar("_Bench", bound=PhaseBench)


@contextlib.asynccontextmanager
async def opened(files: certificates.ServerFiles, kind: type[_Bench]) -> AsyncIterator[_Bench]:
    """An emulator of our own."""
    async with emulated.open_bench() as server, lines.laid(server.url, files) as line:
        bench = kind(line, server)
        await bench.furnish()
        try:
            yield bench
        finally:
            await bench.adapters.aclose()
