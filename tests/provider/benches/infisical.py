"""Infisical: the emulator, which makes real PostgreSQL roles through a relay that can be cut."""

import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from leaseholder.ports.provider import Lease, Provider
from leaseholder.providers.settings import InfisicalSettings, ProviderSettings
from tests.provider.benches import base
from tests.provider.benches import line as lines
from tests.world import certificates, relay
from tests.world import postgres as servers
from tests.world.infisical import bench as emulated
from tests.world.infisical import emulator as emulators
from tests.world.infisical import seeds

SOURCE = {"projectSlug": "demo", "environmentSlug": "prod", "path": "/", "config": {}}
_SHORT_SECONDS = 60
_NAMES = {
    base.Kind.PLAIN: "orders-db",
    base.Kind.CAPPED: "short-db",
    base.Kind.MISSING: "nowhere-db",
}


def universal_auth(name: str) -> dict[str, Any]:
    """Log in with the client id and secret that stand under a name."""
    keys = {"clientIdSecretRef": f"{name}-id", "clientSecretRef": f"{name}-secret"}
    return {"universalAuth": {way: {"name": "auth", "key": key} for way, key in keys.items()}}


class InfisicalBench(base.Bench):
    """See ``base.Bench``."""

    provider = "infisical"
    least_ttl = 2
    right = "permission 'lease'"
    routes = lines.Routes(
        issue=lines.Route("POST", "/dynamic-secrets/leases$"),
        renew=lines.Route("POST", "/leases/[^/]+/renew"),
        look=lines.Route("GET", "/dynamic-secrets/leases/"),
        revoke=lines.Route("DELETE", "/dynamic-secrets/leases/"),
        login=lines.Route("POST", "/auth/universal-auth/login"),
    )

    def __init__(
        self,
        line: lines.Line,
        server: emulated.Bench,
        postgres: servers.Postgres,
        database: relay.Relay,
    ) -> None:
        super().__init__(line)
        self.server = server
        self.postgres = postgres
        self.database = database

    async def furnish(self) -> None:
        """Two more identities, and what all of them log in with."""
        another = seeds.Identity(name="another", universal_auth=seeds.UniversalAuth())
        brief = seeds.UniversalAuth(access_token_ttl=_SHORT_SECONDS)
        short = seeds.Identity(name="short", universal_auth=brief)
        await self.server.admin.turn(minTtlSeconds=self.least_ttl)
        await self.server.admin.seed(seeds.Seed(identities=[another, short]))
        self.hold(base.Login.OURS, await self.server.admin.identity())
        self.hold(base.Login.ANOTHER, another)
        self.hold(base.Login.SHORT, short)
        await self.server.admin.reset_counters()

    def hold(self, name: str, identity: seeds.Identity) -> None:
        """Keep under a name what an identity logs in with."""
        login = emulated.credentials(identity)
        values = {f"{name}-id": login["clientId"], f"{name}-secret": login["clientSecret"]}
        self.values.held |= values

    def source(self, kind: base.Kind) -> Mapping[str, Any]:
        return SOURCE | {"dynamicSecretName": _NAMES[kind]}

    async def unrenewable(self) -> tuple[Provider, Mapping[str, Any]]:
        return self.adapter(), SOURCE | {"dynamicSecretName": "k8s"}

    async def living(self) -> set[str]:
        known = await self.server.admin.leases()
        return {one.id or one.entity_id for one in known if one.alive or one.row is not None}

    async def ends_at(self, lease: Lease) -> datetime:
        known = await self.server.admin.leases()
        row = next(one.row for one in known if one.id == lease.id)
        assert row is not None
        return row.expire_at

    async def revoke_outside(self, lease: Lease) -> None:
        assert (await self.server.revoke(lease.id)).status == 200

    async def end_login(self) -> None:
        await self.server.admin.revoke_all_tokens()

    async def outlive_login(self) -> None:
        await self.server.admin.turn(clockOffsetSeconds=2 * _SHORT_SECONDS)

    def mistype_login(self) -> None:
        held = self.values.held
        held["right"], held["ours-secret"] = held["ours-secret"], "wrong"

    def correct_login(self) -> None:
        self.values.held["ours-secret"] = self.values.held.pop("right")

    async def take_rights(self) -> None:
        await self._grant(seeds.Grant(actions=[]))

    async def give_rights(self) -> None:
        await self._grant(seeds.Grant())

    @contextlib.asynccontextmanager
    async def backend_down(self) -> AsyncIterator[None]:
        self.database.cut()
        try:
            yield
        finally:
            self.database.mend()
            await self.until(self._has_database, "the emulator reaches PostgreSQL again")

    @contextlib.asynccontextmanager
    async def revocations_refused(self) -> AsyncIterator[None]:
        await self.server.admin.turn(revokeError="must be owner of role")
        try:
            yield
        finally:
            await self.server.admin.turn(revokeError=None)

    def _server(self, login: base.Login) -> Mapping[str, Any]:
        return {"auth": universal_auth(login)}

    def _settings(self, patience: float) -> ProviderSettings:
        own = InfisicalSettings(
            minimum_ttl_seconds=self.least_ttl,
            read_timeout_seconds=patience,
            write_timeout_seconds=patience,
        )
        return ProviderSettings(infisical=own)

    async def _lets_in(self, credentials: Mapping[str, str]) -> bool:
        if "DB_USERNAME" not in credentials:
            return await self.server.admin.check(credentials)
        user, password = credentials["DB_USERNAME"], credentials["DB_PASSWORD"]
        return await self.postgres.can_log_in_async(user, password)

    def _credentials_in(self, body: bytes) -> Mapping[str, str]:
        found: Mapping[str, str] = json.loads(body).get("data", {})
        return found

    async def _grant(self, grant: seeds.Grant) -> None:
        ours = await self.server.admin.identity()
        changed = ours.model_copy(update={"grants": [grant]})
        await self.server.admin.seed(seeds.Seed(identities=[changed]))

    async def _has_database(self) -> bool:
        """A connection that was cut shows when it is used, and is replaced then."""
        try:
            await self.server.admin.leases()
        except RuntimeError:
            return False
        return True


@contextlib.asynccontextmanager
async def opened(
    postgres: servers.Postgres, files: certificates.ServerFiles
) -> AsyncIterator[InfisicalBench]:
    """An emulator of our own, with a database behind a relay."""
    with relay.Relay.start(postgres.host, postgres.port) as database:
        through = dataclasses.replace(postgres, host=database.host, port=database.port)
        settings = emulators.Settings(postgres_dsn=through.dsn)
        async with (
            emulated.open_bench(settings) as server,
            lines.laid(server.url, files) as line,
        ):
            bench = InfisicalBench(line, server, postgres, database)
            await bench.furnish()
            try:
                yield bench
            finally:
                await bench.adapters.aclose()
