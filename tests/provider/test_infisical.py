"""The adapter before the emulator, which mints real PostgreSQL roles: alive is alive, dead dead."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from leaseholder import errors, ports
from leaseholder.api import provider, refs
from leaseholder.api.conditions import Reason
from leaseholder.providers import registry
from leaseholder.providers.settings import InfisicalSettings, ProviderSettings
from leaseholder.secrecy import Hidden
from tests.world import postgres as servers
from tests.world.infisical import bench as benches
from tests.world.infisical import emulator as emulators
from tests.world.infisical import seeds

SETTINGS = ProviderSettings(infisical=InfisicalSettings(minimum_ttl_seconds=2))
LOGIN = "POST /api/v1/auth/universal-auth/login"
CREATE = "POST /api/v1/dynamic-secrets/leases"
UNIVERSAL = {"clientIdSecretRef": {"name": "a", "key": "id"}}
UNIVERSAL |= {"clientSecretRef": {"name": "a", "key": "secret"}}
TOKEN = {"tokenAuth": {"tokenSecretRef": {"name": "a", "key": "token"}}}


ISSUER = "https://cluster.test"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


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

    async def secret_value(self, ref: refs.SecretKeyRef) -> Hidden:
        return Hidden(self.held[ref.key])

    async def service_account_token(self, ref: refs.ServiceAccountRef, audience: str) -> Hidden:
        claims = {"sub": f"system:serviceaccount:shop:{ref.name}", "aud": audience, "iss": ISSUER}
        return Hidden(jwt.encode(claims | {"exp": int(time.time()) + 600}, KEY, "RS256"))

    async def ca_bundle(self) -> str | None:
        return None


@dataclass
class World:
    """An emulator, and adapters to it."""

    bench: benches.Bench
    postgres: servers.Postgres
    values: Values
    built: list[ports.Provider] = field(default_factory=list)

    def adapter(self, auth: dict[str, Any] | None = None) -> ports.Provider:
        spec = {"infisical": {"url": f"{self.bench.url}/api/", "auth": auth or UA}}
        known = registry.Registry(clock=MachineClock(), settings=SETTINGS, observe=lambda *_: None)
        access = ports.Access(spec=provider.ProviderSpec.model_validate(spec), namespace="shop")
        built = known.build(access, self.values)
        self.built.append(built)
        return built

    async def log_in_as(self, identity: seeds.Identity) -> None:
        login = benches.credentials(identity)
        self.values.held |= {"id": login["clientId"], "secret": login["clientSecret"]}

    async def counted(self, route: str) -> int:
        return (await self.bench.admin.counters()).by_route.get(route, 0)

    async def logs_in(self, issued: ports.Issued) -> bool:
        values = issued.credentials.reveal()
        return await self.postgres.can_log_in_async(values["DB_USERNAME"], values["DB_PASSWORD"])


UA = {"universalAuth": UNIVERSAL}


@pytest.fixture
async def world(postgres: servers.Postgres) -> AsyncIterator[World]:
    settings = emulators.Settings(postgres_dsn=postgres.dsn)
    async with benches.open_bench(settings) as bench, contextlib.AsyncExitStack() as stack:
        await bench.admin.turn(minTtlSeconds=2)
        opened = World(bench, postgres, Values())
        await opened.log_in_as(await bench.admin.identity())
        await bench.admin.reset_counters()
        yield opened
        for one in opened.built:
            stack.push_async_callback(one.aclose)


def attempt(adapter: ports.Provider, name: str = "orders-db", **changes: Any) -> ports.Attempt:
    source = {"projectSlug": "demo", "environmentSlug": "prod", "path": "/", "config": {}}
    now = adapter.now()
    values: dict[str, Any] = {
        "installation": "kube-1/leaseholder",
        "attempt_id": "attempt-1",
        "source": source | {"dynamicSecretName": name} | changes.pop("source", {}),
        "ttl_seconds": 600,
        "started_at": now,
        "deadline": now + timedelta(days=3650),
    }
    return ports.Attempt(**(values | changes))


async def test_a_minted_credential_logs_in_and_is_dead_once_revoked(world: World) -> None:
    adapter = world.adapter()
    issued = await adapter.issue(attempt(adapter, "ORDERS-DB"))
    assert await world.logs_in(issued)
    assert 0 <= (issued.lease.latest - issued.lease.issued_at).total_seconds() - 86_400 <= 1  # type: ignore[operator]
    seen = await adapter.inspect(issued.lease)
    assert (seen.expires_at, seen.latest) == (issued.lease.expires_at, issued.lease.latest)
    assert (await adapter.revoke(issued.lease)).done
    assert not await world.logs_in(issued)
    for call in (adapter.inspect, adapter.revoke):
        with pytest.raises(errors.LeaseGone):
            await call(issued.lease)


async def test_an_extension_ends_where_it_was_asked_to(world: World) -> None:
    adapter = world.adapter()
    lease = (await adapter.issue(attempt(adapter, ttl_seconds=100))).lease
    until = lease.expires_at + timedelta(seconds=250)
    extended = await adapter.extend(lease, until)
    assert extended.expires_at == until
    again = await adapter.extend(extended, until + timedelta(seconds=50))
    assert again.expires_at == until + timedelta(seconds=50)
    assert (await adapter.inspect(again)).expires_at == again.expires_at


async def test_an_extension_is_cut_to_the_maximum_and_then_impossible(world: World) -> None:
    adapter = world.adapter()
    lease = (await adapter.issue(attempt(adapter, "short-db", ttl_seconds=60))).lease
    far = lease.expires_at + timedelta(days=1)
    extended = await adapter.extend(lease, far)
    assert extended.latest is not None
    assert timedelta(0) <= extended.latest - extended.expires_at <= timedelta(seconds=3)
    with pytest.raises(errors.CannotExtend) as caught:
        await adapter.extend(extended, far)
    assert caught.value.latest == extended.expires_at
    unaware = ports.Lease(
        id=extended.id,
        source=extended.source,
        issued_at=extended.issued_at,
        expires_at=extended.expires_at,
    )
    with pytest.raises(errors.CannotExtend):
        await adapter.extend(unaware, far)


async def test_a_failed_revocation_is_not_taken_for_done(world: World) -> None:
    adapter = world.adapter()
    issued = await adapter.issue(attempt(adapter))
    await world.bench.admin.turn(revokeError="connection refused")
    revocation = await adapter.revoke(issued.lease)
    assert (revocation.done, revocation.reason) == (False, Reason.FAILED_TO_DELETE)
    assert await world.logs_in(issued)
    assert (await adapter.inspect(issued.lease)).handle["status"] == "Failed to delete"
    assert (await adapter.revoke(issued.lease, force=True)).done
    assert await world.logs_in(issued), "Infisical forgot it, PostgreSQL didn't"


async def test_a_lost_mint_is_found_and_taken_back(world: World) -> None:
    adapter = world.adapter()
    await world.bench.admin.turn(loseAnswers=1)
    lost = attempt(adapter, attempt_id="lost")
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.issue(lost)
    assert caught.value.sent
    await adapter.issue(attempt(adapter, attempt_id="other"))
    (found,) = await adapter.recover(lost)
    assert len(await world.bench.admin.alive()) == 2
    assert (await adapter.revoke(found)).done
    (left,) = await world.bench.admin.alive()
    assert left.config["leaseholder"]["attempt"] == "other"
    assert await adapter.recover(lost) == ()


async def test_a_stale_replica_says_that_the_lease_is_gone(world: World) -> None:
    await world.bench.admin.turn(replicaLagSeconds=30)
    adapter = world.adapter()
    lease = (await adapter.issue(attempt(adapter))).lease
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(lease)


async def test_a_revoked_token_is_replaced_within_the_mint(world: World) -> None:
    adapter = world.adapter()
    await adapter.check()
    await world.bench.admin.revoke_all_tokens()
    issued = await adapter.issue(attempt(adapter))
    assert await world.logs_in(issued)
    assert await world.counted(LOGIN) == 2
    assert len(await world.bench.admin.leases()) == 1


async def test_an_expired_token_is_replaced_within_the_call(world: World) -> None:
    adapter = world.adapter()
    await adapter.check()
    await world.bench.admin.turn(clockOffsetSeconds=40 * 86_400)
    await adapter.issue(attempt(adapter, "k8s"))
    assert await world.counted(LOGIN) == 2
    assert (await adapter.check()).clock_skew in range(40 * 86_400 - 2, 40 * 86_400 + 3)


async def test_a_wrong_secret_never_locks_the_identity_and_a_right_one_logs_in(
    world: World,
) -> None:
    right = world.values.held["secret"]
    world.values.held["secret"] = "wrong"
    adapter = world.adapter()
    for _ in range(10):
        with pytest.raises(errors.Denied) as caught:
            await adapter.check()
        assert caught.value.reason is Reason.LOGIN_REFUSED
    assert await world.counted(LOGIN) == 1
    world.values.held["secret"] = right
    assert (await adapter.check()).server_version


async def test_a_locked_identity_is_told_and_left_alone(world: World) -> None:
    wrong = {"clientId": world.values.held["id"], "clientSecret": "wrong"}
    for _ in range(3):
        await world.bench.call("POST", benches.LOGIN, wrong)
    await world.bench.admin.reset_counters()
    adapter = world.adapter()
    for _ in range(3):
        with pytest.raises(errors.Denied) as caught:
            await adapter.check()
        assert caught.value.reason is Reason.LOCKED_OUT
    assert await world.counted(LOGIN) == 1


async def test_a_static_token_logs_in(world: World) -> None:
    world.values.held["token"] = await world.bench.admin.issue_token()
    adapter = world.adapter(TOKEN)
    assert await world.logs_in(await adapter.issue(attempt(adapter)))
    assert await world.counted(LOGIN) == 0


async def test_a_service_account_logs_in_with_a_token_for_its_audience(world: World) -> None:
    shown = serialization.PublicFormat.SubjectPublicKeyInfo
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, shown).decode()
    oidc = seeds.OidcAuth(
        public_key=public,
        bound_issuer=ISSUER,
        bound_audiences="infisical",
        bound_subject="system:serviceaccount:shop:shop",
    )
    await world.bench.admin.seed(seeds.Seed(identities=[seeds.Identity(name="o", oidc_auth=oidc)]))
    known = (await world.bench.admin.identity("o")).id
    way = {"identityId": known, "serviceAccountRef": {"name": "shop"}, "audience": "infisical"}
    adapter = world.adapter({"oidcAuth": way})
    assert await world.logs_in(await adapter.issue(attempt(adapter)))
    with pytest.raises(errors.Denied):
        await world.adapter({"oidcAuth": way | {"audience": "other"}}).check()


async def test_a_project_may_be_given_by_its_id(world: World) -> None:
    adapter = world.adapter()
    wanted = attempt(adapter, source={"projectId": seeds.DEMO_PROJECT_ID})
    by_id = {key: value for key, value in wanted.source.items() if key != "projectSlug"}
    issued = await adapter.issue(attempt(adapter, source={"projectSlug": None, **by_id}))
    assert (await adapter.revoke(issued.lease)).done


async def test_an_identity_that_may_only_lease_can_do_everything(world: World) -> None:
    poor = seeds.Identity(
        name="poor",
        universal_auth=seeds.UniversalAuth(),
        grants=[seeds.Grant(actions=["lease"])],
    )
    await world.bench.admin.seed(seeds.Seed(identities=[poor]))
    await world.log_in_as(poor)
    adapter = world.adapter()
    wanted = attempt(adapter)
    await adapter.prepare(wanted)
    issued = await adapter.issue(wanted)
    until = issued.lease.expires_at + timedelta(seconds=60)
    await adapter.inspect(await adapter.extend(issued.lease, until))
    assert len(await adapter.recover(wanted)) == 1
    assert (await adapter.revoke(issued.lease)).done


async def test_without_the_right_the_sentence_names_it(world: World) -> None:
    member = seeds.Identity(
        name="member", universal_auth=seeds.UniversalAuth(), grants=[seeds.Grant(actions=[])]
    )
    await world.bench.admin.seed(seeds.Seed(identities=[member]))
    await world.log_in_as(member)
    adapter = world.adapter()
    with pytest.raises(errors.Denied, match="permission 'lease'") as caught:
        await adapter.issue(attempt(adapter))
    assert caught.value.reason is Reason.DENIED


@pytest.mark.parametrize(
    ("source", "ttl", "reason"),
    [
        ({"projectSlug": "nope"}, 600, Reason.SOURCE_MISSING),
        ({"environmentSlug": "nope"}, 600, Reason.SOURCE_MISSING),
        ({"path": "/nope"}, 600, Reason.SOURCE_MISSING),
        ({"dynamicSecretName": "nope"}, 600, Reason.SOURCE_MISSING),
        ({}, 86_401, Reason.TTL_TOO_LONG),
    ],
)
async def test_what_cannot_be_minted_is_refused_before_and_at_the_mint(
    world: World, source: dict[str, str], ttl: int, reason: Reason
) -> None:
    adapter = world.adapter()
    wanted = attempt(adapter, source=source, ttl_seconds=ttl)
    calls: tuple[Callable[[ports.Attempt], Any], ...] = (adapter.prepare, adapter.issue)
    for call in calls:
        with pytest.raises(errors.Invalid) as caught:
            await call(wanted)
        assert caught.value.reason is reason


async def test_a_source_being_deleted_is_noticed(world: World) -> None:
    adapter = world.adapter()
    await adapter.issue(attempt(adapter))
    await world.bench.admin.turn(jobsPaused=True)
    await world.bench.admin.delete_dynamic_secret("orders-db")
    with pytest.raises(errors.Invalid) as caught:
        await adapter.prepare(attempt(adapter))
    assert caught.value.reason is Reason.SOURCE_DELETED


async def test_the_plan_is_told(world: World) -> None:
    await world.bench.admin.turn(planAllows=False)
    adapter = world.adapter()
    with pytest.raises(errors.Denied) as caught:
        await adapter.issue(attempt(adapter))
    assert caught.value.reason is Reason.PLAN


async def test_a_server_that_takes_no_config_is_served_without_tag(world: World) -> None:
    await world.bench.admin.turn(configRejected=True)
    adapter = world.adapter()
    issued = await adapter.issue(attempt(adapter))
    assert await world.logs_in(issued)
    assert not adapter.capabilities(issued.lease.handle).recoverable
    assert len(await world.bench.admin.leases()) == 1


async def test_the_rate_limit_is_learned(world: World) -> None:
    limits = {"enabled": True, "write": 2}
    await world.bench.admin.turn(limits=limits)
    adapter = world.adapter()
    await adapter.issue(attempt(adapter, "k8s"))
    with pytest.raises(errors.Throttled) as caught:
        await adapter.issue(attempt(adapter, "k8s"))
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 60
    before = await world.counted(CREATE)
    with pytest.raises(errors.Throttled):
        await adapter.issue(attempt(adapter, "k8s"))
    assert await world.counted(CREATE) == before


async def test_a_burst_of_server_errors_is_unclear_for_a_mint_only(world: World) -> None:
    adapter = world.adapter()
    lease = (await adapter.issue(attempt(adapter))).lease
    await world.bench.admin.turn(burst=2)
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.inspect(lease)
    assert not caught.value.sent
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.issue(attempt(adapter))
    assert caught.value.sent


@pytest.mark.parametrize(
    ("name", "renewable", "revocable", "slots"),
    [
        ("orders-db", True, True, "Many"),
        ("k8s", False, True, "Many"),
        ("aws-sts", False, False, "Many"),
        ("aws-user", True, True, "Many"),
        ("ldap", True, True, "Many"),
        ("ldap-static", True, True, "One"),
        ("github", False, False, "Many"),
    ],
)
async def test_what_the_adapter_promises_of_a_kind_is_true(
    world: World, name: str, renewable: bool, revocable: bool, slots: str
) -> None:
    adapter = world.adapter()
    wanted = attempt(adapter, name)
    await adapter.prepare(wanted)
    issued = await adapter.issue(wanted)
    able = adapter.capabilities(issued.lease.handle)
    assert (able.renewable, able.revocable, able.slots) == (renewable, revocable, slots)
    revocation = await adapter.revoke(issued.lease)
    assert revocation.done
    alive = await world.bench.admin.alive()
    assert bool(alive) is not revocable


async def test_a_lease_ends_by_itself_and_is_gone(world: World) -> None:
    adapter = world.adapter()
    issued = await adapter.issue(attempt(adapter, ttl_seconds=600))
    await world.bench.admin.turn(clockOffsetSeconds=700)

    async def gone() -> bool:
        return not await world.bench.admin.alive()

    await world.bench.until(gone)
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(issued.lease)
