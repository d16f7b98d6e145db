"""The adapter before a real OpenBao that mints real PostgreSQL roles: alive is alive, dead dead."""

import asyncio
import contextlib
import itertools
import json
import pathlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from leaseholder import errors, ports
from leaseholder.api import provider, refs
from leaseholder.api.conditions import Reason
from leaseholder.providers import registry
from leaseholder.providers.openbao.paths import ACCESSORS, LEASES
from leaseholder.providers.settings import OpenBaoSettings, ProviderSettings
from leaseholder.secrecy import Hidden
from tests.world import faults, kube, kubernetes, openbao, openbao_mounts, processes
from tests.world import postgres as servers

ORDERS = openbao_mounts.ORDERS
INSTALLATION = "kube-1/leaseholder"
NUMBERS = itertools.count(1)


@dataclass
class MachineClock:
    """This machine's time, or a wall clock that is off by so many seconds."""

    off: float = 0.0

    def monotonic(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.off)


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
        off: float = 0.0,
    ) -> ports.Provider:
        """Logs in by AppRole, as a fresh role unless ``auth`` says otherwise."""
        server: dict[str, Any] = {"url": f"{url or self.bao.url}/v1/"}
        server["auth"] = auth or self.approle()
        if namespace:
            server["namespace"] = namespace
        known = registry.Registry(
            clock=MachineClock(off),
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

    async def is_dead(self, issued: ports.Issued) -> bool:
        return not await self.logs_in(issued)

    async def has_no_lease(self, lease_id: str) -> bool:
        return self.bao.lease(lease_id) is None

    async def is_quiet(self, proxy: faults.FaultProxy) -> bool:
        return proxy.faults.counters().in_flight == 0

    def token_of(self, lease: ports.Lease) -> dict[str, Any]:
        body = {"accessor": lease.handle["accessor"]}
        found = self.bao.call("POST", "auth/token/lookup-accessor", body)["data"]
        return dict(found)


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


# ------------------------------------------------------------------------------- both ends


async def test_an_extension_moves_the_lease_and_its_token(world: World) -> None:
    adapter = world.adapter(world.approle(token_ttl="20m"))
    lease = (await mint(adapter, ttl=600)).lease
    until = adapter.now() + timedelta(hours=2)
    extended = await adapter.extend(lease, until)
    assert until - timedelta(seconds=3) <= extended.expires_at <= until
    seen = world.bao.lease(lease.id)
    token = world.token_of(lease)
    assert seen is not None
    for end in (seen["expire_time"], token["expire_time"]):
        assert extended.expires_at <= datetime.fromisoformat(end) <= until + timedelta(seconds=1)


async def test_nothing_is_ever_shortened(world: World) -> None:
    adapter = world.adapter()
    lease = (await mint(adapter)).lease
    with pytest.raises(errors.CannotExtend) as caught:
        await adapter.extend(lease, adapter.now() + timedelta(seconds=60))
    assert caught.value.reason is Reason.RENEWAL_TOO_SOON
    seen = world.bao.lease(lease.id)
    assert seen is not None
    assert seen["ttl"] > 3590


async def test_a_truncated_extension_teaches_the_maximum(world: World) -> None:
    adapter = world.adapter()
    path = world.bao.role("short", ttl="60s", max_ttl="90s")
    lease = (await mint(adapter, path)).lease
    assert lease.latest is None
    extended = await adapter.extend(lease, adapter.now() + timedelta(hours=1))
    assert extended.latest == extended.expires_at
    assert 85 <= (extended.expires_at - lease.issued_at).total_seconds() <= 90
    with pytest.raises(errors.CannotExtend) as caught:
        await adapter.extend(extended, adapter.now() + timedelta(hours=1))
    assert caught.value.latest == extended.expires_at
    later = (await mint(adapter, path)).lease
    assert later.latest is not None
    assert 80 <= (later.latest - later.issued_at).total_seconds() <= 90


async def test_a_ttl_above_the_maximum_is_refused_and_leaves_nothing(world: World) -> None:
    adapter = world.adapter()
    path = world.bao.role("capped", ttl="60s", max_ttl="90s")
    tokens = len(world.bao.accessors())
    attempt = await prepared(adapter, wanted(adapter, path, ttl=3600))
    with pytest.raises(errors.Invalid, match="which is 1m") as caught:
        await adapter.issue(attempt)
    assert caught.value.reason is Reason.TTL_TOO_LONG
    assert world.bao.leases("database/creds/capped/") == []
    with pytest.raises(errors.Invalid):  # known by now: no mint
        await adapter.prepare(wanted(adapter, path, ttl=3600))
    assert len(world.bao.accessors()) <= tokens + 1  # the shared login


@pytest.mark.parametrize("token", [{}, {"token_ttl": "60s", "token_max_ttl": "60s"}])
async def test_a_ttl_that_is_the_maximum_is_given_again_and_again(
    world: World, token: dict[str, str]
) -> None:
    adapter = world.adapter(world.approle(**token))
    path = world.bao.role("equal", ttl="30s", max_ttl="1h" if token else "60s")
    lease = (await mint(adapter, path, ttl=60)).lease
    for pause in (0.0, 0.4, 0.8):
        await asyncio.sleep(pause)  # where in a second it begins matters
        with contextlib.suppress(errors.CannotExtend):
            await adapter.extend(lease, adapter.now() + timedelta(seconds=90))
        lease = (await mint(adapter, path, ttl=60)).lease
    assert left(adapter, lease) > 55


async def test_a_lease_ends_with_a_token_that_cannot_live_longer(world: World) -> None:
    adapter = world.adapter(world.approle(token_ttl="30s", token_max_ttl="60s"))
    lease = (await mint(adapter)).lease
    assert 55 <= left(adapter, lease) <= 60
    assert lease.latest == lease.expires_at
    with pytest.raises(errors.CannotExtend):
        await adapter.extend(lease, adapter.now() + timedelta(hours=1))
    later = await mint(adapter, ttl=50)
    assert later.lease.latest is not None
    with pytest.raises(errors.Invalid) as caught:
        await adapter.prepare(wanted(adapter, ttl=600))
    assert caught.value.reason is Reason.TTL_TOO_LONG


async def test_a_periodic_token_is_extended_again_and_again(world: World) -> None:
    adapter = world.adapter(world.approle(token_period="30s"))
    lease = (await mint(adapter)).lease
    assert left(adapter, lease) <= 30
    assert lease.latest is None
    extended = await adapter.extend(lease, adapter.now() + timedelta(seconds=60))
    assert 25 <= left(adapter, extended) <= 30
    assert extended.latest is None
    with pytest.raises(errors.Invalid, match="token_period"):
        await adapter.prepare(wanted(adapter, ttl=600))


async def test_the_end_of_its_token_is_the_end_of_a_lease(world: World) -> None:
    adapter = world.adapter()
    issued = await mint(adapter)
    world.bao.revoke_accessor(issued.lease.handle["accessor"])
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(issued.lease)
    with pytest.raises(errors.LeaseGone):
        await adapter.extend(issued.lease, adapter.now() + timedelta(hours=3))
    await processes.wait_until_async(
        lambda: world.is_dead(issued), timeout=10, what="the credential is dead"
    )
    assert (await adapter.revoke(issued.lease)).done


async def test_a_lease_revoked_outside_is_gone(world: World) -> None:
    adapter = world.adapter()
    lease = (await mint(adapter)).lease
    world.bao.revoke_lease(lease.id)
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(lease)
    with pytest.raises(errors.LeaseGone):
        await adapter.extend(lease, adapter.now() + timedelta(hours=3))


# ---------------------------------------------------------------------------- lost answers


@pytest.fixture(scope="module")
def proxy(
    bao: openbao.OpenBao, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[faults.FaultProxy]:
    directory = tmp_path_factory.mktemp("bao-faults")
    with faults.FaultProxy.start(bao.url, directory=directory, tls=False) as running:
        yield running


async def test_a_lost_answer_is_found_by_its_accessor_and_taken_back(
    world: World, proxy: faults.FaultProxy
) -> None:
    adapter = world.adapter(url=proxy.url)
    path = world.bao.role("lost", ttl="1h", max_ttl="2h")
    attempt = await prepared(adapter, wanted(adapter, path))
    proxy.faults.reset_after_commit(method="GET", path="/v1/database/creds", times=1)
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.issue(attempt)
    assert caught.value.sent
    [orphan] = world.bao.leases(f"{path}/")
    restarted = world.adapter(world.approle())  # another process, another login
    [found] = await restarted.recover(attempt)
    assert found.id == f"accessor/{attempt.handle['accessor']}"
    assert (await restarted.inspect(found)).id == found.id
    with pytest.raises(errors.CannotExtend):
        await restarted.extend(found, restarted.now() + timedelta(hours=1))
    assert (await restarted.revoke(found)).done
    await processes.wait_until_async(
        lambda: world.has_no_lease(orphan), timeout=10, what="the orphan is gone"
    )
    with pytest.raises(errors.LeaseGone):
        await restarted.inspect(found)
    assert await restarted.recover(attempt) == ()


async def test_a_mint_that_comes_late_finds_its_login_ended(
    world: World, proxy: faults.FaultProxy
) -> None:
    hasty = OpenBaoSettings(write_timeout_seconds=0.5)
    adapter = world.adapter(url=proxy.url, settings=hasty)
    path = world.bao.role("late", ttl="1h", max_ttl="2h")
    attempt = await prepared(adapter, wanted(adapter, path))
    proxy.faults.reset_counters()
    proxy.faults.latency(2, method="GET", path="/v1/database/creds", times=1)
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.issue(attempt)
    assert caught.value.sent
    [found] = await adapter.recover(attempt)
    assert (await adapter.revoke(found)).done
    await processes.wait_until_async(
        lambda: world.is_quiet(proxy), timeout=10, what="the late mint has come"
    )
    assert world.bao.leases(f"{path}/") == []


async def test_an_attempt_that_was_never_sent_leaves_a_login_to_end(world: World) -> None:
    adapter = world.adapter()
    attempt = await prepared(adapter, wanted(adapter))
    [found] = await adapter.recover(attempt)
    assert (await adapter.revoke(found)).done
    assert await adapter.recover(attempt) == ()
    assert await adapter.recover(wanted(adapter)) == ()


async def test_an_extension_whose_answer_is_lost_is_seen_by_a_look(
    world: World, proxy: faults.FaultProxy
) -> None:
    adapter = world.adapter(url=proxy.url)
    lease = (await mint(adapter)).lease
    proxy.faults.reset_after_commit(path="/v1/sys/leases/renew", times=1)
    with pytest.raises(errors.Unavailable):
        await adapter.extend(lease, adapter.now() + timedelta(hours=3))
    seen = await adapter.inspect(lease)
    assert seen.expires_at > lease.expires_at + timedelta(hours=1)


# ------------------------------------------------------------------------------- outages


async def test_with_the_database_down_leases_are_kept(world: World) -> None:
    adapter = world.adapter()
    issued = await mint(adapter)
    attempt = await prepared(adapter, wanted(adapter))
    before = world.bao.leases()
    world.bao.database.cut()
    try:
        with pytest.raises(errors.Unavailable) as caught:
            await adapter.extend(issued.lease, adapter.now() + timedelta(hours=3))
        assert not caught.value.sent
        with pytest.raises(errors.Unavailable) as caught:
            await adapter.issue(attempt)
        assert not caught.value.sent
        undone = await adapter.revoke(issued.lease)
        assert not undone.done
        assert undone.reason is Reason.FAILED_TO_DELETE
        assert (await adapter.inspect(issued.lease)).expires_at >= issued.lease.expires_at
    finally:
        world.bao.database.mend()
    assert world.bao.leases() == before
    assert await world.logs_in(issued)
    extended = await adapter.extend(issued.lease, adapter.now() + timedelta(hours=3))
    assert left(adapter, extended) > 10_000
    assert (await adapter.revoke(extended)).done
    assert not await world.logs_in(issued)


async def test_a_database_that_is_down_does_not_make_the_server_look_down(world: World) -> None:
    adapter = world.adapter()
    lease = (await mint(adapter)).lease
    world.bao.database.cut()
    try:
        for _ in range(6):
            with pytest.raises(errors.Unavailable):
                await mint(adapter)
        assert (await adapter.inspect(lease)).id == lease.id
    finally:
        world.bao.database.mend()


async def test_a_sealed_server_is_told_and_its_leases_live_on(world: World) -> None:
    adapter = world.adapter()
    issued = await mint(adapter)
    attempt = await prepared(adapter, wanted(adapter))
    world.bao.seal()
    try:
        for call in (adapter.check(), adapter.inspect(issued.lease), adapter.issue(attempt)):
            with pytest.raises(errors.Unavailable, match="sealed") as caught:
                await call
            assert not caught.value.sent
    finally:
        world.bao.unseal()
    assert (await adapter.inspect(issued.lease)).id == issued.lease.id
    assert await world.logs_in(issued)
    assert (await adapter.revoke(issued.lease)).done


async def test_a_server_that_was_killed_is_back_with_its_leases(world: World) -> None:
    adapter = world.adapter()
    issued = await mint(adapter)
    world.bao.kill()
    try:
        with pytest.raises(errors.Unavailable):
            await adapter.inspect(issued.lease)
    finally:
        world.bao.restart(unseal=False)
    with pytest.raises(errors.Unavailable, match="sealed"):
        await adapter.check()
    world.bao.unseal()
    extended = await adapter.extend(issued.lease, adapter.now() + timedelta(hours=3))
    assert (await adapter.revoke(extended)).done
    assert not await world.logs_in(issued)


# --------------------------------------------------------------------------- who may what


async def test_health_tells_version_clock_and_what_can_be_done(world: World) -> None:
    health = await world.adapter().check()
    assert health.server_version is not None
    assert health.server_version.startswith("2.")
    assert abs(health.clock_skew) <= 2
    assert health.capabilities == ("Extend", "Inspect", "Revoke", "Recover")
    assert not health.caveat


@pytest.mark.parametrize("off", [-600.0, 600.0])
async def test_a_wall_clock_that_is_off_moves_no_end(world: World, off: float) -> None:
    adapter = world.adapter(off=off)
    assert abs((await adapter.check()).clock_skew + off) <= 2
    lease = (await mint(adapter, ttl=600)).lease
    extended = await adapter.extend(lease, adapter.now() + timedelta(seconds=900))
    for one in (lease, extended):
        seen = await adapter.inspect(one)
        assert abs((seen.issued_at - datetime.now(UTC)).total_seconds()) < 10
    known = world.bao.lease(lease.id)
    assert known is not None
    ends = datetime.fromisoformat(known["expire_time"])
    assert extended.expires_at <= ends <= extended.expires_at + timedelta(seconds=3)


async def test_a_wrong_secret_id_is_told_and_not_tried_at_once_again(world: World) -> None:
    auth = world.approle()
    world.values.held[auth["appRole"]["secretIdSecretRef"]["key"]] = "wrong"
    adapter = world.adapter(auth)
    for _ in range(3):
        with pytest.raises(errors.Denied, match="secret id") as caught:
            await adapter.check()
        assert caught.value.reason is Reason.LOGIN_REFUSED
        assert caught.value.retry_after is not None


@pytest.mark.parametrize(
    ("path", "right"),
    [(ORDERS, "read")] + [(right.path, right.capability) for right in (*LEASES, *ACCESSORS)],
)
async def test_a_missing_right_is_told_before_the_mint(world: World, path: str, right: str) -> None:
    lines = openbao_mounts.policy().splitlines()
    kept = [one for one in lines if path not in one and "database/creds/+" not in one]
    if path != ORDERS:
        kept.append(f'path "{ORDERS}" {{ capabilities = ["read"] }}')
    # The policy `default` gives some of them.
    kept.append(f'path "{path}" {{ capabilities = ["deny"] }}')
    world.bao.policy("poor", "\n".join(kept))
    adapter = world.adapter(world.approle(policies=("poor",)))
    tokens = len(world.bao.accessors())
    line = f'path "{path}" {{ capabilities = ["{right}"] }}'
    with pytest.raises(errors.Denied, match=re.escape(line)) as caught:
        await adapter.prepare(wanted(adapter))
    assert caught.value.reason is Reason.DENIED
    assert len(world.bao.accessors()) == tokens
    if path != ORDERS:
        with pytest.raises(errors.Denied, match=re.escape(line)):
            await adapter.check()


async def test_a_right_for_the_other_method_is_told(world: World) -> None:
    with pytest.raises(errors.Denied, match="or write method: GET"):
        await mint(world.adapter(), method="POST")


async def test_a_right_that_is_given_later_counts_at_the_next_mint(world: World) -> None:
    world.bao.policy("later", 'path "none" { capabilities = ["read"] }')
    adapter = world.adapter(world.approle(policies=("later",)))
    with pytest.raises(errors.Denied):
        await adapter.prepare(wanted(adapter))
    world.bao.policy("later", openbao_mounts.policy())
    assert await world.logs_in(await mint(adapter))


async def test_a_login_that_ended_is_made_again(world: World) -> None:
    adapter = world.adapter()
    lease = (await mint(adapter)).lease
    before = set(world.bao.accessors())
    await adapter.inspect(lease)
    [shared] = set(world.bao.accessors()) - before
    world.bao.revoke_accessor(shared)
    assert (await adapter.inspect(lease)).id == lease.id


async def test_batch_tokens_are_refused(world: World) -> None:
    adapter = world.adapter(world.approle(token_type="batch", token_ttl="5m"))
    with pytest.raises(errors.Denied, match="token_type"):
        await adapter.prepare(wanted(adapter))


async def test_a_ready_made_token_is_shared_and_finds_nothing_again(world: World) -> None:
    token = world.bao.token(ttl="2m", explicit_max_ttl="2h")
    adapter = world.adapter(world.token(token))
    attempt = await prepared(adapter, wanted(adapter))
    issued = await adapter.issue(attempt)
    assert await world.logs_in(issued)
    assert 3590 <= left(adapter, issued.lease) <= 3600
    assert not adapter.capabilities({}).recoverable
    assert not adapter.capabilities(issued.lease.handle).recoverable
    assert await adapter.recover(attempt) == ()
    health = await adapter.check()
    assert health.capabilities == ("Extend", "Inspect", "Revoke")
    assert "all leases share one ready-made token" in health.caveat
    extended = await adapter.extend(issued.lease, adapter.now() + timedelta(hours=3))
    assert extended.expires_at == extended.latest
    assert 7100 <= left(adapter, extended) <= 7200
    other = await mint(adapter)
    assert (await adapter.revoke(extended)).done
    assert not await world.logs_in(issued)
    assert await world.logs_in(other)


async def test_leases_of_a_namespace_stay_in_it(world: World) -> None:
    world.bao.make_namespace("apart", world.postgres)
    adapter = world.adapter(world.approle(namespace="apart"), namespace="apart")
    attempt = await prepared(adapter, wanted(adapter))
    issued = await adapter.issue(attempt)
    lease = issued.lease
    assert await world.logs_in(issued)
    assert lease.id in world.bao.leases(namespace="apart")
    extended = await adapter.extend(lease, adapter.now() + timedelta(hours=3))
    assert left(adapter, await adapter.inspect(extended)) > 10_000
    assert len(await adapter.recover(attempt)) == 1
    assert (await adapter.revoke(lease)).done
    assert not await world.logs_in(issued)
    assert world.bao.leases(namespace="apart") == []
    with pytest.raises(errors.Denied, match="namespace"):
        await world.adapter(world.approle(), namespace="nowhere").check()


async def test_service_accounts_log_in_with_a_token_for_the_audience(
    world: World, control_plane: kubernetes.ControlPlane
) -> None:
    world.bao.trust_cluster(control_plane)
    async with kube.Kube(control_plane) as cluster:
        meta = {"name": "shop", "namespace": "default"}
        await cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    path = "/api/v1/namespaces/default/serviceaccounts/shop/token"
    for audience in ("openbao", "other"):
        body = {"spec": {"audiences": [audience], "expirationSeconds": 600}}
        async with control_plane.session() as session, session.post(path, json=body) as made:
            world.values.held[f"shop/{audience}"] = (await made.json())["status"]["token"]
    for way in ("kubernetes", "jwt"):
        login = {"role": "leaseholder", "serviceAccountRef": {"name": "shop"}}
        issued = await mint(world.adapter({way: {**login, "audience": "openbao"}}))
        assert await world.logs_in(issued)
        with pytest.raises(errors.Denied):
            await world.adapter({way: {**login, "audience": "other"}}).check()


# ---------------------------------------------------------------------------- other paths


@pytest.mark.parametrize(
    ("source", "reason", "sentence"),
    [
        ({"path": "database/creds/nope"}, Reason.SOURCE_MISSING, "nothing at"),
        ({"path": "database/static-creds/nope"}, Reason.SOURCE_MISSING, "nothing at"),
        ({"path": ORDERS, "method": "POST"}, Reason.INVALID, "method: GET"),
        ({"path": "ssh/creds/otp"}, Reason.INVALID, "method: POST"),
        ({"path": "ssh/creds/otp", "method": "POST"}, Reason.INVALID, "parameters"),
        ({"path": "kv/plain"}, Reason.INVALID, "gives no lease"),
        (
            {"path": "pki/issue/bare", "method": "POST", "parameters": {"common_name": "a.test"}},
            Reason.INVALID,
            "generate_lease",
        ),
    ],
)
async def test_what_gives_no_lease_is_told_and_leaves_nothing(
    world: World, source: dict[str, Any], reason: Reason, sentence: str
) -> None:
    both = "".join(
        f'path "{path}" {{ capabilities = ["read", "update"] }}\n'
        for path in (ORDERS, "ssh/creds/+")
    )
    world.bao.policy("both", both)
    adapter = world.adapter(world.approle(policies=("leaseholder", "both")))
    await adapter.check()
    tokens, held = world.bao.accessors(), world.bao.leases()
    with pytest.raises(errors.Invalid, match=sentence) as caught:
        await mint(adapter, **source)
    assert caught.value.reason is reason
    assert sorted(world.bao.accessors()) == sorted(tokens)
    assert world.bao.leases() == held


@pytest.mark.parametrize(
    "path",
    [
        *("sys/seal", "auth/token/create", "identity/oidc/token/x", "cubbyhole/x", "sys"),
        *("team/sys/seal", "a/../sys/seal", "a//b", "a/./b", "", "a?b", "a%2fb", "a b"),
    ],
)
async def test_paths_of_the_server_itself_are_never_asked(world: World, path: str) -> None:
    adapter = world.adapter()
    for call in (adapter.prepare, adapter.issue):
        with pytest.raises(errors.Invalid):
            await call(wanted(adapter, path))


async def test_a_lease_that_cannot_be_renewed_is_held_and_revoked(world: World) -> None:
    adapter = world.adapter()
    asked = {"ip": "10.0.0.1"}
    issued = await mint(adapter, "ssh/creds/otp", method="POST", parameters=asked)
    assert issued.credentials.reveal()["port"] == "22"
    lease = issued.lease
    assert not adapter.capabilities(lease.handle).renewable
    assert lease.latest == lease.expires_at
    with pytest.raises(errors.CannotExtend):
        await adapter.extend(lease, lease.expires_at + timedelta(hours=1))
    assert (await adapter.inspect(lease)).expires_at >= lease.expires_at
    assert (await adapter.revoke(lease)).done
    assert lease.id not in world.bao.leases("ssh/")


async def test_a_certificate_is_leased_with_its_chain(world: World) -> None:
    adapter = world.adapter()
    parameters = {"common_name": "a.test", "ttl": "10m"}
    issued = await mint(adapter, "pki/issue/web", method="POST", parameters=parameters)
    values = issued.credentials.reveal()
    assert "BEGIN CERTIFICATE" in values["certificate"]
    assert isinstance(json.loads(values["ca_chain"]), list)
    assert 590 <= left(adapter, issued.lease) <= 600
    assert (await adapter.revoke(issued.lease)).done


async def test_static_credentials_are_no_lease(world: World) -> None:
    path = openbao_mounts.static_role(world.bao, world.postgres, "standing")
    adapter = world.adapter()
    with pytest.raises(errors.Invalid, match="gives no lease"):
        await mint(adapter, path)


async def test_a_lease_whose_role_was_deleted_is_replaced_not_extended(world: World) -> None:
    adapter = world.adapter()
    path = world.bao.role("leaving", ttl="10m", max_ttl="1h")
    issued = await mint(adapter, path)
    world.bao.call("DELETE", "database/roles/leaving")
    with pytest.raises(errors.CannotExtend):
        await adapter.extend(issued.lease, adapter.now() + timedelta(minutes=30))
    assert (await adapter.revoke(issued.lease)).done
    assert not await world.logs_in(issued)


async def test_a_lease_whose_user_was_dropped_is_replaced_not_extended(world: World) -> None:
    adapter = world.adapter()
    issued = await mint(adapter)
    with psycopg.connect(world.postgres.dsn) as connection:
        user = sql.Identifier(issued.credentials.reveal()["username"])
        connection.execute(sql.SQL("drop role {}").format(user))
    with pytest.raises(errors.CannotExtend):
        await adapter.extend(issued.lease, adapter.now() + timedelta(hours=3))
    assert (await adapter.revoke(issued.lease)).done


async def test_too_many_requests_are_told_with_the_wait(world: World) -> None:
    adapter = world.adapter()
    attempts = [await prepared(adapter, wanted(adapter)) for _ in range(3)]
    world.bao.quota(1, path="database/")
    outcomes = await asyncio.gather(*map(adapter.issue, attempts), return_exceptions=True)
    world.bao.quota(None)
    throttled = [one for one in outcomes if isinstance(one, errors.Throttled)]
    assert throttled
    assert all(0 < (one.retry_after or 0) <= 2 for one in throttled)


async def test_a_server_is_trusted_by_the_bundle_alone(
    postgres: servers.Postgres, tmp_path: pathlib.Path
) -> None:
    with openbao.OpenBao.start(tmp_path, postgres, tls=True) as secure:
        world = World(secure, postgres)
        with pytest.raises(errors.Unavailable) as caught:
            await world.adapter().check()
        assert caught.value.reason is Reason.UNTRUSTED
        assert secure.ca_file is not None
        world.values.bundle = secure.ca_file.read_text(encoding="utf-8")
        assert await world.logs_in(await mint(world.adapter()))
        for one in world.built:
            await one.aclose()
