"""The adapter before a real OpenBao that mints real PostgreSQL roles: alive is alive, dead dead."""

import itertools
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leaseholder import errors, ports
from leaseholder.api import provider, refs
from leaseholder.providers import registry
from leaseholder.providers.settings import OpenBaoSettings, ProviderSettings
from leaseholder.secrecy import Hidden
from tests.world import openbao, openbao_mounts
from tests.world import postgres as servers

ORDERS = openbao_mounts.ORDERS
INSTALLATION = "kube-1/leaseholder"
NUMBERS = itertools.count(1)


class MachineClock:
    """This machine's time."""

    def monotonic(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class Values:
    """What a cluster's Secrets would hold."""

    held: dict[str, str] = field(default_factory=dict)
    bundle: str | None = None

    async def secret_value(self, ref: refs.SecretKeyRef) -> Hidden:
        return Hidden(self.held[ref.key])

    async def service_account_token(self, ref: refs.ServiceAccountRef, audience: str) -> Hidden:
        return Hidden(self.held[f"{ref.name}/{audience}"])

    async def ca_bundle(self) -> str | None:
        return self.bundle


@dataclass
class World:
    """A server, and adapters to it."""

    bao: openbao.OpenBao
    postgres: servers.Postgres
    values: Values = field(default_factory=Values)
    built: list[ports.Provider] = field(default_factory=list)

    def adapter(
        self,
        auth: dict[str, Any] | None = None,
        *,
        url: str | None = None,
        namespace: str | None = None,
        settings: OpenBaoSettings | None = None,
    ) -> ports.Provider:
        """Logs in by AppRole, as a fresh role unless ``auth`` says otherwise."""
        server: dict[str, Any] = {"url": f"{url or self.bao.url}/v1/"}
        server["auth"] = auth or self.approle()
        if namespace:
            server["namespace"] = namespace
        known = registry.Registry(
            clock=MachineClock(),
            settings=ProviderSettings(openbao=settings or OpenBaoSettings()),
            observe=lambda *_: None,
        )
        spec = provider.ProviderSpec.model_validate({"openbao": server})
        built = known.build(ports.Access(spec=spec, namespace="shop"), self.values)
        self.built.append(built)
        return built

    def approle(self, *, namespace: str = "", **options: Any) -> dict[str, Any]:
        name = f"role-{next(NUMBERS)}"
        role = self.bao.approle(name, namespace=namespace, **options)
        self.values.held[name] = role.secret_id
        reference = {"name": "auth", "key": name}
        return {"appRole": {"roleId": role.role_id, "secretIdSecretRef": reference}}

    def token(self, token: str) -> dict[str, Any]:
        self.values.held["token"] = token
        return {"token": {"tokenSecretRef": {"name": "auth", "key": "token"}}}

    async def logs_in(self, issued: ports.Issued) -> bool:
        values = issued.credentials.reveal()
        return await self.postgres.can_log_in_async(values["username"], values["password"])


@pytest.fixture
async def world(bao: openbao.OpenBao, postgres: servers.Postgres) -> AsyncIterator[World]:
    opened = World(bao, postgres)
    yield opened
    for one in opened.built:
        await one.aclose()


def wanted(
    adapter: ports.Provider, path: str = ORDERS, *, ttl: int | None = None, **source: Any
) -> ports.Attempt:
    now = adapter.now()
    return ports.Attempt(
        installation=INSTALLATION,
        attempt_id=secrets.token_hex(8),
        source={"path": path, "method": "GET", "parameters": {}, **source},
        ttl_seconds=ttl,
        started_at=now,
        deadline=now + timedelta(seconds=30),
    )


async def prepared(adapter: ports.Provider, attempt: ports.Attempt) -> ports.Attempt:
    """The attempt with the notes that its record would keep."""
    notes = await adapter.prepare(attempt)
    return ports.Attempt(
        installation=attempt.installation,
        attempt_id=attempt.attempt_id,
        source=attempt.source,
        ttl_seconds=attempt.ttl_seconds,
        started_at=attempt.started_at,
        deadline=attempt.deadline,
        handle=notes,
    )


async def mint(
    adapter: ports.Provider, path: str = ORDERS, *, ttl: int | None = None, **source: Any
) -> ports.Issued:
    return await adapter.issue(await prepared(adapter, wanted(adapter, path, ttl=ttl, **source)))


def left(adapter: ports.Provider, lease: ports.Lease) -> float:
    return (lease.expires_at - adapter.now()).total_seconds()


async def test_a_lease_logs_in_until_it_is_revoked(world: World) -> None:
    adapter = world.adapter()
    issued = await mint(adapter)
    lease = issued.lease
    assert await world.logs_in(issued)
    assert lease.id in world.bao.leases()
    assert 3590 <= left(adapter, lease) <= 3600
    assert (await adapter.inspect(lease)).expires_at == pytest.approx(
        lease.expires_at, abs=timedelta(seconds=2)
    )
    assert (await adapter.revoke(lease)).done
    assert not await world.logs_in(issued)
    assert world.bao.lease(lease.id) is None
    assert lease.handle["accessor"] not in world.bao.accessors()
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(lease)
    assert (await adapter.revoke(lease)).done


async def test_the_ttl_asked_for_is_given_longer_or_shorter(world: World) -> None:
    adapter = world.adapter()
    for ttl in (600, 7200):
        lease = (await mint(adapter, ttl=ttl)).lease
        seen = await adapter.inspect(lease)
        assert ttl - 4 <= left(adapter, seen) <= ttl + 1
        assert seen.expires_at >= lease.expires_at
