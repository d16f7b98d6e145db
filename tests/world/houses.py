"""Houses: each kind of provider as demo and kills see it, from outside and through one door.

A house is a running server behind a fault proxy, with what a user applies to lease from it, and
eyes on what lives there. What a lease's credentials open is tried, not asked.
"""

import asyncio
import collections.abc
import contextlib
import dataclasses
import datetime
import typing

from tests.world import faults, kube, openbao, openbao_mounts
from tests.world import world as worlds
from tests.world.infisical import client as infisical
from tests.world.phase import client as phase_client
from tests.world.phase import part as phase_part
from tests.world.phase import seeds as phase_seeds

NAMES: typing.Final = ("infisical", "phase", "openbao")


@dataclasses.dataclass(frozen=True, slots=True)
class Living:
    """A lease that lives at the provider."""

    source: str
    """The dynamic secret, or the last part of the path."""
    ends: datetime.datetime


class House(typing.Protocol):
    """One provider."""

    type: str
    """As a spec names it."""
    sources: tuple[str, str]
    """Names of two sources that give the same kind of credentials."""
    settings: collections.abc.Mapping[str, str]
    """The operator's, for leases of seconds."""
    faults: faults.Faults
    """Before the server."""

    def login(self) -> collections.abc.Mapping[str, str]:
        """What the auth Secret holds."""
        ...

    def spec(self, secret: str) -> kube.Object:
        """A LeaseProvider's spec; ``secret`` is the auth Secret's name."""
        ...

    def source(self, name: str) -> kube.Object:
        """What a DynamicLease asks for, under ``spec.<type>``."""
        ...

    async def living(self) -> dict[str, Living]:
        """The leases that live there, by id."""
        ...

    async def issued(self) -> int:
        """How many credentials were ever made there."""
        ...

    async def lets_in(self, values: collections.abc.Mapping[str, str]) -> bool:
        """Whether these credentials open what they are for."""
        ...


def manifests(
    house: House, namespace: str, name: str, ca_bundle: str | None = None
) -> list[kube.Object]:
    """What a user applies to be let in: auth Secret and LeaseProvider."""
    place = {"namespace": namespace}
    secret = f"{name}-auth"
    trust = {"caBundle": ca_bundle} if ca_bundle is not None else {}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": secret, **place},
            "stringData": dict(house.login()),
        },
        {
            "apiVersion": "leaseholder.dev/v1alpha1",
            "kind": "LeaseProvider",
            "metadata": {"name": name, **place},
            "spec": {**house.spec(secret), **trust},
        },
    ]


@dataclasses.dataclass(slots=True)
class Infisical:
    """The emulator of Infisical, which makes PostgreSQL roles."""

    world: worlds.World
    admin: infisical.InfisicalAdmin
    faults: faults.Faults
    url: str
    type: str = "infisical"
    sources: tuple[str, str] = ("orders-db", "endless-db")
    settings: collections.abc.Mapping[str, str] = dataclasses.field(default_factory=dict)

    def login(self) -> collections.abc.Mapping[str, str]:
        server = self.world.infisical
        return {"clientId": server.client_id, "clientSecret": server.client_secret}

    def spec(self, secret: str) -> kube.Object:
        auth = {
            "clientIdSecretRef": {"name": secret, "key": "clientId"},
            "clientSecretRef": {"name": secret, "key": "clientSecret"},
        }
        return {"infisical": {"url": self.url, "auth": {"universalAuth": auth}}}

    def source(self, name: str) -> kube.Object:
        place = {"projectSlug": "demo", "environmentSlug": "prod", "path": "/"}
        return {**place, "dynamicSecretName": name}

    async def living(self) -> dict[str, Living]:
        found = (one for one in await self.admin.leases() if one.alive or one.row is not None)
        return {
            one.id: Living(one.dynamic_secret, one.row.expire_at if one.row else one.issued_at)
            for one in found
            if one.id is not None
        }

    async def issued(self) -> int:
        return len(await self.admin.leases())

    async def lets_in(self, values: collections.abc.Mapping[str, str]) -> bool:
        user, password = values["DB_USERNAME"], values["DB_PASSWORD"]
        return await self.world.postgres.can_log_in_async(user, password)


@dataclasses.dataclass(slots=True)
class Phase:
    """The emulator of Phase, whose keys are AWS's; renewals don't outlive the first expiry."""

    server: phase_part.Phase
    admin: phase_client.PhaseAdmin
    faults: faults.Faults
    url: str
    type: str = "phase"
    sources: tuple[str, str] = ("aws-deploy", "aws-other")
    settings: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=lambda: {
            "LEASEHOLDER_PHASE__MINIMUM_TTL_SECONDS": "2",
            "LEASEHOLDER_PHASE__SETTLE_SECONDS": "2",
            "LEASEHOLDER_PHASE__REPLICA_LAG_SECONDS": "1",
            "LEASEHOLDER_PHASE__LATE_EXPIRY_SECONDS": "3",
        }
    )

    def login(self) -> collections.abc.Mapping[str, str]:
        return {"token": self.server.token}

    def spec(self, secret: str) -> kube.Object:
        auth = {"tokenSecretRef": {"name": secret, "key": "token"}}
        return {"phase": {"url": self.url, "auth": auth, "exclusive": True}}

    def source(self, name: str) -> kube.Object:
        return {"appId": phase_seeds.DEMO_APP, "env": "production", "path": "/", "name": name}

    async def living(self) -> dict[str, Living]:
        return {
            key.lease_id or key.username: Living(
                key.secret, key.lease.expires_at if key.lease else key.issued_at
            )
            for key in await self.admin.alive()
        }

    async def issued(self) -> int:
        return len(await self.admin.keys())

    async def lets_in(self, values: collections.abc.Mapping[str, str]) -> bool:
        key, secret = values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"]
        return await self.admin.can_log_in(key, secret) is not None


@dataclasses.dataclass(slots=True)
class OpenBao:
    """A real OpenBao server, which makes PostgreSQL roles."""

    world: worlds.World
    server: openbao.OpenBao
    role: openbao.AppRole
    faults: faults.Faults
    url: str
    type: str = "openbao"
    sources: tuple[str, str] = ("orders", "stock")
    settings: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=lambda: {
            "LEASEHOLDER_OPENBAO__SETTLE_SECONDS": str(openbao.LONGEST_REQUEST + 1),
            "LEASEHOLDER_OPENBAO__REPLICA_LAG_SECONDS": "0",
        }
    )
    _seen: set[str] = dataclasses.field(default_factory=set)

    def login(self) -> collections.abc.Mapping[str, str]:
        return {"secretId": self.role.secret_id}

    def spec(self, secret: str) -> kube.Object:
        reference = {"name": secret, "key": "secretId"}
        auth = {"appRole": {"roleId": self.role.role_id, "secretIdSecretRef": reference}}
        return {"openbao": {"url": self.url, "auth": auth}}

    def source(self, name: str) -> kube.Object:
        return {"path": f"database/creds/{name}"}

    async def living(self) -> dict[str, Living]:
        return await asyncio.to_thread(self._living)

    def _living(self) -> dict[str, Living]:
        found = {one: self.server.lease(one) for one in self.server.leases("database/creds/")}
        self._seen |= found.keys()
        return {
            lease_id: Living(
                lease_id.split("/")[-2], datetime.datetime.fromisoformat(lease["expire_time"])
            )
            for lease_id, lease in found.items()
            if lease is not None
        }

    async def issued(self) -> int:
        """So many as were ever seen to live."""
        await self.living()
        return len(self._seen)

    async def lets_in(self, values: collections.abc.Mapping[str, str]) -> bool:
        user, password = values["username"], values["password"]
        return await self.world.postgres.can_log_in_async(user, password)


@contextlib.asynccontextmanager
async def opened(
    world: worlds.World, type_: str
) -> collections.abc.AsyncIterator[tuple[House, str | None]]:
    """Start one, with a fault proxy before it; also what clients are to trust (PEM).

    The world's own emulator of Infisical is running already.
    """
    async with contextlib.AsyncExitStack() as stack:
        if type_ == "infisical":
            admin = await stack.enter_async_context(infisical.InfisicalAdmin(world.infisical.url))
            before = world.provider_faults
            assert before is not None
            house: House = Infisical(world, admin, before.faults, before.url)
        elif type_ == "phase":
            server = await asyncio.to_thread(
                lambda: phase_part.Phase.start(
                    directory=world.directory,
                    min_ttl=2,
                    arguments=("--worker-busy=0", "--aws-seconds=0.3"),
                )
            )
            stack.callback(server.stop)
            before = _proxy(world, stack, server.url, type_)
            keys = await stack.enter_async_context(phase_client.PhaseAdmin(server.url))
            other = phase_seeds.DynamicSecret(name="aws-other")
            await keys.seed(phase_seeds.Seed(dynamic_secrets=[other]))
            house = Phase(server, keys, before.faults, before.url)
        else:
            bao = await asyncio.to_thread(openbao.OpenBao.start, world.directory, world.postgres)
            stack.callback(bao.stop)
            before = _proxy(world, stack, bao.url, type_)
            for name in ("orders", "stock"):
                await asyncio.to_thread(bao.role, name)
            role = await asyncio.to_thread(
                lambda: bao.approle(openbao_mounts.POLICY, token_ttl="20m")
            )
            house = OpenBao(world, bao, role, before.faults, before.url)
        ca = before.ca_file
        yield house, ca.read_text(encoding="utf-8") if ca is not None else None


def _proxy(
    world: worlds.World, stack: contextlib.AsyncExitStack, url: str, type_: str
) -> faults.FaultProxy:
    proxy = faults.FaultProxy.start(url, directory=world.directory, name=f"{type_}-faults")
    stack.callback(proxy.stop)
    return proxy
