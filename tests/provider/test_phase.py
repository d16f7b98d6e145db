"""The adapter before the emulator, whose AWS says whether a key logs in: alive is alive."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leaseholder import errors, ports
from leaseholder.api import provider, refs
from leaseholder.api.conditions import Reason
from leaseholder.providers import registry
from leaseholder.providers.settings import PhaseSettings, ProviderSettings
from leaseholder.secrecy import Hidden
from tests.world.phase import bench as benches
from tests.world.phase import seeds

SETTINGS = ProviderSettings(phase=PhaseSettings(minimum_ttl_seconds=1))
MINT = "GET /v1/secrets/dynamic/ lease"
LOOK = "GET /v1/secrets/dynamic/"
SOURCE = {"appId": seeds.DEMO_APP, "env": "production", "path": "/", "name": "aws-deploy"}


class MachineClock:
    """This machine's time."""

    def monotonic(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class Values:
    """What a cluster's Secret would hold."""

    token: str = ""

    async def secret_value(self, ref: refs.SecretKeyRef) -> Hidden:
        return Hidden(self.token)

    async def service_account_token(self, ref: refs.ServiceAccountRef, audience: str) -> Hidden:
        raise NotImplementedError

    async def ca_bundle(self) -> str | None:
        return None


@dataclass
class World:
    """An emulator, and adapters to it."""

    bench: benches.Bench
    values: Values
    built: list[ports.Provider] = field(default_factory=list)

    def adapter(self, *, url: str = "", exclusive: bool = False) -> ports.Provider:
        phase = {
            "url": url or self.bench.url,
            "auth": {"tokenSecretRef": {"name": "phase", "key": "token"}},
            "exclusive": exclusive,
        }
        building = registry.Registry(
            clock=MachineClock(), settings=SETTINGS, observe=lambda *_: None
        )
        spec = provider.ProviderSpec.model_validate({"phase": phase})
        built = building.build(ports.Access(spec=spec, namespace="shop"), self.values)
        self.built.append(built)
        return built

    async def log_in_as(self, account: str) -> None:
        known = (await self.bench.admin.state())["accounts"]
        kind = next(one["kind"] for one in known if one["name"] == account)
        token = await self.bench.admin.token(account)
        self.values.token = f"User {token}" if kind == "user" else token

    async def minted(self, adapter: ports.Provider, **changes: Any) -> ports.Issued:
        """As the controller does: what ``prepare`` notes is on record before the mint."""
        return await adapter.issue(await prepared(adapter, **changes))

    async def logs_in(self, issued: ports.Issued) -> bool:
        values = issued.credentials.reveal()
        user = await self.bench.admin.can_log_in(
            values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"]
        )
        assert user in (None, values["AWS_IAM_USERNAME"])
        return user is not None

    async def alive(self) -> list[str | None]:
        """The leases whose keys AWS takes."""
        return [one.lease_id for one in await self.bench.admin.alive()]

    async def counted(self, route: str) -> int:
        return (await self.bench.admin.counters()).by_route.get(route, 0)

    async def until_dead(self, issued: ports.Issued) -> None:
        async def dead() -> bool:
            return not await self.logs_in(issued)

        await self.bench.until(dead)


def attempt(adapter: ports.Provider, **changes: Any) -> ports.Attempt:
    now = adapter.now()
    values: dict[str, Any] = {
        "installation": "kube-1/leaseholder",
        "attempt_id": "attempt-1",
        "source": {k: v for k, v in (SOURCE | changes.pop("source", {})).items() if v is not None},
        "ttl_seconds": 600,
        "started_at": now,
        "deadline": now + timedelta(seconds=20),
    }
    return ports.Attempt(**(values | changes))


async def prepared(adapter: ports.Provider, **changes: Any) -> ports.Attempt:
    plain = attempt(adapter, **changes)
    handle = await adapter.prepare(plain)
    return attempt(adapter, **(changes | {"handle": handle}))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with benches.open_bench() as bench, contextlib.AsyncExitStack() as stack:
        await bench.admin.turn(minTtlSeconds=1, expiryLagSeconds=0, awsPatienceSeconds=0)
        opened = World(bench, Values())
        await opened.log_in_as("kube-bot")
        yield opened
        for one in opened.built:
            stack.push_async_callback(one.aclose)


async def test_a_minted_key_logs_in_and_is_dead_once_revoked(world: World) -> None:
    adapter = world.adapter()
    issued = await world.minted(adapter)
    assert await world.logs_in(issued)
    lease = issued.lease
    assert lease.expires_at - lease.issued_at == timedelta(seconds=600)
    seen = await adapter.inspect(lease)
    assert (seen.expires_at, seen.latest) == (lease.expires_at, lease.latest)
    assert seen.handle == lease.handle
    assert (await adapter.revoke(lease)).done
    assert not await world.logs_in(issued)
    assert (await adapter.revoke(lease)).done, "it can be said again"
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(lease)
    assert await world.counted(MINT) == 1


async def test_the_notes_hold_what_later_looks_need_and_no_credentials(world: World) -> None:
    adapter = world.adapter()
    issued = await world.minted(adapter)
    handle = dict(issued.lease.handle)
    assert handle["keys"] == sorted(issued.credentials.keys())
    assert (handle["maxTTL"], handle["ttl"]) == (86_400, 600)
    assert (handle["owner"], handle["personal"]) == (seeds.DEMO_ACCOUNT, False)
    values = issued.credentials.reveal().values()
    assert not any(value in repr(handle) for value in values)


@pytest.mark.parametrize(
    "tail", ["", "/", "/v1/", "/service/public", "/service/public/v1", "/public"]
)
async def test_any_way_to_write_the_url_leads_there(world: World, tail: str) -> None:
    adapter = world.adapter(url=f"{world.bench.url}{tail}")
    assert (await adapter.check()).capabilities == ("Extend", "Inspect", "Revoke")
    assert await world.logs_in(await world.minted(adapter))


async def test_a_url_that_leads_to_pages_is_told(world: World) -> None:
    adapter = world.adapter(url=f"{world.bench.url}/console")
    for web_ui in (False, True):
        await world.bench.admin.turn(webUi=web_ui)
        with pytest.raises(errors.Unavailable) as caught:
            await adapter.check()
        assert caught.value.reason is Reason.BAD_ANSWER
        assert "/service/public" in caught.value.sentence


@pytest.mark.parametrize(
    "form", ["{}", "ServiceAccount {}", "Bearer ServiceAccount {}\n", "pss_service:v2:{}:a:b:c"]
)
async def test_any_form_of_the_token_lets_in(world: World, form: str) -> None:
    world.values.token = form.format(world.values.token)
    assert await world.logs_in(await world.minted(world.adapter()))


async def test_a_personal_token_leases_and_its_limits_are_said(world: World) -> None:
    await world.log_in_as("rohan")
    adapter = world.adapter()
    assert (await adapter.check()).capabilities == ("Inspect",)
    issued = await world.minted(adapter, ttl_seconds=1)
    assert not adapter.capabilities(issued.lease.handle).renewable
    with pytest.raises(errors.Denied) as caught:
        await adapter.revoke(issued.lease)
    assert "service account" in caught.value.sentence
    await world.until_dead(issued)
    for call in (adapter.inspect, adapter.revoke):
        with pytest.raises(errors.LeaseGone):
            await call(issued.lease)


async def test_a_lease_outlives_the_name_of_its_environment(world: World) -> None:
    adapter = world.adapter()
    issued = await world.minted(adapter)
    await world.bench.admin.rename_environment("Production", "live")
    with pytest.raises(errors.Invalid):
        await world.minted(adapter, source={"name": "aws-short"})
    until = issued.lease.expires_at + timedelta(seconds=60)
    extended = await adapter.extend(issued.lease, until)
    assert (await adapter.inspect(extended)).expires_at == until
    assert (await adapter.revoke(extended)).done
    assert not await world.logs_in(issued)


async def test_one_dynamic_secret_is_leased_of_two_with_the_same_name(world: World) -> None:
    adapter = world.adapter()
    await world.minted(adapter, source={"name": "twice"})
    await world.minted(adapter, source={"name": "twice", "path": "/backend/"})
    (root, backend) = await world.bench.admin.alive()
    paths = [(await world.bench.admin.secret("twice", path))["id"] for path in ("/", "/backend")]
    assert [root.lease.secret, backend.lease.secret] == paths  # type: ignore[union-attr]


async def test_an_id_alone_is_enough(world: World) -> None:
    found = await world.bench.admin.secret("aws-backend", "/backend")
    adapter = world.adapter()
    issued = await world.minted(adapter, source={"name": None, "id": found["id"]})
    assert await world.logs_in(issued)


async def test_an_ambiguous_name_mints_nothing(world: World) -> None:
    again = seeds.DynamicSecret(name="aws-deploy")
    await world.bench.admin.seed(seeds.Seed(dynamic_secrets=[again]))
    adapter = world.adapter()
    with pytest.raises(errors.Invalid) as caught:
        await world.minted(adapter)
    assert "write its id" in caught.value.sentence
    assert await world.alive() == []


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"name": "nope"}, "check name"),
        ({"path": "/nope"}, "check name, path"),
        ({"appId": "nope"}, "check appId"),
        ({"env": "nope"}, "check env"),
        ({"name": None, "id": "nope"}, "the id nope"),
    ],
)
async def test_what_is_not_there_is_told_before_a_mint(
    world: World, changes: dict[str, Any], part: str
) -> None:
    with pytest.raises(errors.Invalid) as caught:
        await world.minted(world.adapter(), source=changes)
    assert caught.value.reason is Reason.SOURCE_MISSING
    assert part in caught.value.sentence
    assert await world.counted(MINT) == 0


async def test_a_404_is_not_remembered(world: World) -> None:
    adapter = world.adapter()
    with pytest.raises(errors.Invalid):
        await world.minted(adapter, source={"name": "new"})
    await world.bench.admin.seed(seeds.Seed(dynamic_secrets=[seeds.DynamicSecret(name="new")]))
    assert await world.logs_in(await world.minted(adapter, source={"name": "new"}))


async def test_a_dynamic_secret_that_goes_before_the_mint_is_told_and_forgotten(
    world: World,
) -> None:
    adapter = world.adapter()
    ready = await prepared(adapter)
    await world.bench.admin.delete_secret("aws-deploy")
    with pytest.raises(errors.Invalid) as caught:
        await adapter.issue(ready)
    assert caught.value.reason is Reason.SOURCE_MISSING
    await world.bench.admin.seed(
        seeds.Seed(dynamic_secrets=[seeds.DynamicSecret(name="aws-deploy")])
    )
    assert await world.logs_in(await world.minted(adapter))


async def test_ttls_out_of_bounds_are_told_before_a_mint(world: World) -> None:
    adapter = world.adapter()
    for ttl, source, reason, part in (
        (0, {}, Reason.INVALID, "below 1s"),
        (86_401, {}, Reason.TTL_TOO_LONG, "24h"),
        (None, {"name": "misconfigured"}, Reason.TTL_TOO_LONG, "default"),
    ):
        with pytest.raises(errors.Invalid) as caught:
            await adapter.prepare(attempt(adapter, ttl_seconds=ttl, source=source))
        assert caught.value.reason is reason
        assert part in caught.value.sentence
    assert await world.counted(MINT) == 0


async def test_a_maximum_that_shrinks_before_the_mint_is_told(world: World) -> None:
    adapter = world.adapter()
    ready = await prepared(adapter)
    await world.bench.admin.edit_secret("aws-deploy", maxTtlSeconds=60)
    with pytest.raises(errors.Invalid) as caught:
        await adapter.issue(ready)
    assert caught.value.reason is Reason.TTL_TOO_LONG


async def test_without_a_ttl_the_default_counts(world: World) -> None:
    issued = await world.minted(world.adapter(), ttl_seconds=None)
    assert issued.lease.expires_at - issued.lease.issued_at == timedelta(hours=1)


async def test_mints_of_one_dynamic_secret_come_one_after_the_other(world: World) -> None:
    await world.bench.admin.turn(latencyMs=30)
    adapter = world.adapter()
    ready = [await prepared(adapter) for _ in range(4)]
    other = await prepared(adapter, source={"name": "aws-short"}, ttl_seconds=60)
    await world.bench.admin.reset_counters()
    await asyncio.gather(*(adapter.issue(one) for one in (*ready, other)))
    assert (await world.bench.admin.counters()).peak_in_flight == 2
    assert len(await world.alive()) == 5


async def test_an_extension_ends_where_it_was_asked_to(world: World) -> None:
    adapter = world.adapter()
    lease = (await world.minted(adapter)).lease
    until = lease.expires_at + timedelta(seconds=250)
    extended = await adapter.extend(lease, until)
    assert extended.expires_at == until
    again = await adapter.extend(extended, until + timedelta(seconds=1))
    assert (await adapter.inspect(again)).expires_at == again.expires_at
    with pytest.raises(errors.CannotExtend) as caught:
        await adapter.extend(again, again.expires_at)
    assert caught.value.reason is Reason.RENEWAL_TOO_SOON


async def test_an_extension_is_cut_to_the_maximum_and_then_impossible(world: World) -> None:
    adapter = world.adapter()
    lease = (await world.minted(adapter, source={"name": "aws-short"}, ttl_seconds=60)).lease
    far = lease.expires_at + timedelta(days=1)
    extended = await adapter.extend(lease, far)
    assert extended.expires_at == extended.latest == lease.expires_at + timedelta(seconds=540)
    with pytest.raises(errors.CannotExtend) as caught:
        await adapter.extend(extended, far)
    assert caught.value.latest == extended.expires_at
    assert (await adapter.inspect(lease)).expires_at == extended.expires_at


async def test_a_maximum_that_shrank_is_learned_from_the_refusal(world: World) -> None:
    adapter = world.adapter()
    lease = (await world.minted(adapter)).lease
    await world.bench.admin.edit_secret("aws-deploy", maxTtlSeconds=630)
    extended = await adapter.extend(lease, lease.expires_at + timedelta(seconds=100))
    assert extended.expires_at - lease.expires_at == timedelta(seconds=30)
    with pytest.raises(errors.CannotExtend):
        await adapter.extend(extended, extended.expires_at + timedelta(seconds=100))


async def test_an_unclear_extension_is_told_and_a_look_clears_it(world: World) -> None:
    adapter = world.adapter()
    lease = (await world.minted(adapter)).lease
    await world.bench.admin.turn(loseRenewals=1)
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.extend(lease, lease.expires_at + timedelta(seconds=60))
    assert caught.value.sent
    seen = await adapter.inspect(lease)
    assert seen.expires_at - lease.expires_at == timedelta(seconds=60)


async def test_a_renewed_lease_that_ended_at_its_first_expiry_is_gone(world: World) -> None:
    adapter = world.adapter()
    issued = await world.minted(adapter, ttl_seconds=1)
    extended = await adapter.extend(issued.lease, issued.lease.expires_at + timedelta(seconds=600))
    assert await world.logs_in(issued)
    await world.until_dead(issued)
    assert adapter.now() < extended.expires_at
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(extended)
    with pytest.raises(errors.LeaseGone):
        await adapter.extend(extended, extended.expires_at + timedelta(seconds=60))
    assert (await adapter.revoke(extended)).done


async def test_at_a_mended_server_a_renewed_lease_outlives_its_first_expiry(
    world: World,
) -> None:
    await world.bench.admin.turn(renewal="Fixed")
    adapter = world.adapter()
    issued, other = [await world.minted(adapter, ttl_seconds=1) for _ in range(2)]
    extended = await adapter.extend(issued.lease, issued.lease.expires_at + timedelta(seconds=600))
    await world.until_dead(other)
    assert await world.logs_in(issued)
    assert (await adapter.inspect(extended)).expires_at == extended.expires_at


async def test_a_lease_past_its_end_with_the_worker_down_is_taken_back(world: World) -> None:
    await world.bench.admin.turn(workerDown=True)
    adapter = world.adapter()
    issued = await world.minted(adapter, ttl_seconds=1)
    await world.bench.admin.turn(clockOffsetSeconds=20)
    seen = await adapter.inspect(issued.lease)
    assert seen.expires_at < adapter.now()
    assert await world.logs_in(issued)
    with pytest.raises(errors.CannotExtend):
        await adapter.extend(issued.lease, adapter.now() + timedelta(seconds=60))
    assert (await adapter.revoke(issued.lease)).done
    assert not await world.logs_in(issued)


async def test_a_revocation_that_aws_refuses_is_not_done(world: World) -> None:
    adapter = world.adapter()
    issued = await world.minted(adapter)
    await world.bench.admin.turn(awsDown=True)
    revocation = await adapter.revoke(issued.lease)
    assert (revocation.done, revocation.reason) == (False, Reason.FAILED_TO_DELETE)
    assert await world.logs_in(issued)
    await world.bench.admin.turn(awsDown=False)
    assert (await adapter.revoke(issued.lease)).done
    assert not await world.logs_in(issued)


async def test_a_lost_revocation_is_done_when_it_is_said_again(world: World) -> None:
    adapter = world.adapter()
    issued = await world.minted(adapter)
    await world.bench.admin.turn(loseRevocations=1)
    with pytest.raises(errors.Unavailable):
        await adapter.revoke(issued.lease)
    assert (await adapter.revoke(issued.lease)).done


async def test_an_aws_that_is_away_mints_nothing_and_hinders_nobody_else(world: World) -> None:
    adapter = world.adapter()
    held = await world.minted(adapter)
    await world.bench.admin.turn(awsDown=True)
    for _ in range(8):
        with pytest.raises(errors.Invalid) as caught:
            await world.minted(adapter)
        assert caught.value.reason is Reason.UNAVAILABLE
    extended = await adapter.extend(held.lease, held.lease.expires_at + timedelta(seconds=60))
    assert extended.expires_at > held.lease.expires_at, "the server works: no circuit is open"
    assert await world.alive() == [held.lease.id]


async def test_another_plan_is_told_on_the_way_to_a_lease_and_of_an_extension(
    world: World,
) -> None:
    adapter = world.adapter()
    held = await world.minted(adapter)
    await world.bench.admin.turn(plan="PR")
    with pytest.raises(errors.Invalid) as invalid:
        await world.minted(adapter)
    assert "Enterprise" in invalid.value.sentence
    with pytest.raises(errors.Denied) as denied:
        await adapter.extend(held.lease, held.lease.expires_at + timedelta(seconds=60))
    assert denied.value.reason is Reason.PLAN
    assert (await adapter.revoke(held.lease)).done


async def test_a_lost_environment_is_no_bad_token(world: World) -> None:
    adapter = world.adapter()
    held = await world.minted(adapter)
    await world.bench.admin.allow("Production", allowed=False)
    for call in (world.minted(adapter), adapter.inspect(held.lease), adapter.revoke(held.lease)):
        with pytest.raises(errors.Denied) as caught:
            await call
        assert caught.value.reason is Reason.DENIED
        assert "environment production" in caught.value.sentence
    await world.bench.admin.allow("Production", allowed=True)
    assert (await adapter.revoke(held.lease)).done


async def test_a_missing_right_is_named(world: World) -> None:
    nothing = seeds.Role(name="Service", permissions=[])
    await world.bench.admin.seed(seeds.Seed(roles=[nothing]))
    with pytest.raises(errors.Denied) as caught:
        await world.minted(world.adapter())
    assert "Secrets:read" in caught.value.sentence


async def test_the_right_that_pr_1024_asks_for_is_named(world: World) -> None:
    await world.bench.admin.turn(pr1024=True)
    adapter = world.adapter()
    assert await world.logs_in(await world.minted(adapter))
    reader = seeds.Role(name="Service", permissions=["Secrets:read"])
    await world.bench.admin.seed(seeds.Seed(roles=[reader]))
    with pytest.raises(errors.Denied) as caught:
        await world.minted(adapter)
    assert "DynamicSecretLeases:create" in caught.value.sentence


async def test_a_replaced_token_is_found_within_the_call(world: World) -> None:
    adapter = world.adapter()
    held = await world.minted(adapter)
    await world.bench.admin.delete_tokens()
    world.values.token = await world.bench.admin.issue_token()
    assert (await adapter.revoke(held.lease)).done, "another token of the account holds it too"
    assert await world.logs_in(await world.minted(adapter))
    assert len(await world.bench.admin.keys()) == 2


async def test_a_token_that_is_not_taken_is_tried_once(world: World) -> None:
    await world.bench.admin.delete_tokens()
    adapter = world.adapter()
    for _ in range(5):
        with pytest.raises(errors.Denied) as caught:
            await adapter.check()
        assert caught.value.reason is Reason.LOGIN_REFUSED
    assert await world.counted("GET /v1/apps/") == 1


async def test_a_lease_of_another_account_is_denied(world: World) -> None:
    adapter = world.adapter()
    held = await world.minted(adapter)
    await world.log_in_as("other-bot")
    other = world.adapter()
    with pytest.raises(errors.Denied) as caught:
        await other.revoke(held.lease)
    assert "same service account" in caught.value.sentence
    assert await world.logs_in(held)


async def test_a_throttle_is_waited_for_as_long_as_told(world: World) -> None:
    adapter = world.adapter()
    held = await world.minted(adapter)
    await world.bench.admin.turn(requestsPerMinute=1)
    await adapter.inspect(held.lease)
    with pytest.raises(errors.Throttled) as caught:
        await adapter.inspect(held.lease)
    assert caught.value.retry_after in range(50, 61)
    await world.bench.admin.reset_counters()
    with pytest.raises(errors.Throttled):
        await adapter.revoke(held.lease)
    assert await world.counted("DELETE /v1/secrets/dynamic/leases/") == 0


async def test_a_burst_of_errors_passes(world: World) -> None:
    adapter = world.adapter()
    held = await world.minted(adapter)
    for status in (500, 502, 503, 504):
        await world.bench.admin.turn(burst=1, burstStatus=status)
        with pytest.raises(errors.Unavailable) as caught:
            await adapter.extend(held.lease, held.lease.expires_at + timedelta(seconds=60))
        assert caught.value.sent
    assert (await adapter.inspect(held.lease)).expires_at == held.lease.expires_at


# ---------------------------------------------------------------- leases of lost answers


async def lost(world: World, adapter: ports.Provider, **changes: Any) -> ports.Attempt:
    """An attempt whose lease was made and never answered."""
    await world.bench.admin.turn(loseLeases=1)
    ready = await prepared(adapter, **changes)
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.issue(ready)
    assert caught.value.sent
    return ready


async def test_a_lost_mint_is_found_among_others_and_taken_back(world: World) -> None:
    adapter = world.adapter(exclusive=True)
    attempts = {}
    for number in range(3):
        ready = await prepared(adapter, attempt_id=f"kept-{number}")
        attempts[(await adapter.issue(ready)).lease.id] = ready
    searched = await lost(world, adapter, attempt_id="lost")
    (found,) = await world.adapter(exclusive=True).recover(searched)
    assert found.id not in attempts
    assert (await adapter.revoke(found)).done
    assert sorted(await world.alive(), key=str) == sorted(attempts)
    assert await adapter.recover(searched) == ()


async def test_two_leases_of_one_attempt_are_both_found(world: World) -> None:
    adapter = world.adapter(exclusive=True)
    searched = await lost(world, adapter)
    await world.bench.admin.turn(loseLeases=1)
    with pytest.raises(errors.Unavailable):
        await adapter.issue(searched)
    assert {one.id for one in await adapter.recover(searched)} == set(await world.alive())


async def test_a_late_lease_is_found_when_it_is_there(world: World) -> None:
    adapter = world.adapter(exclusive=True)
    await world.bench.admin.turn(lateLeases=1, lateSeconds=0.2)
    searched = await prepared(adapter)
    with pytest.raises(errors.Unavailable):
        await adapter.issue(searched)
    assert await adapter.recover(searched) == ()

    async def found() -> bool:
        return len(await adapter.recover(searched)) == 1

    await world.bench.until(found)


async def test_a_lease_that_is_there_though_the_server_failed_is_found(world: World) -> None:
    adapter = world.adapter(exclusive=True)
    await world.bench.admin.turn(queueDown=True)
    ready = await prepared(adapter)
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.issue(ready)
    assert caught.value.sent
    (found,) = await adapter.recover(ready)
    assert (await adapter.revoke(found)).done
    assert await world.alive() == []


async def test_the_ttl_tells_attempts_apart_and_costs_little(world: World) -> None:
    adapter = world.adapter(exclusive=True)
    asked = [(await prepared(adapter, attempt_id=str(n))).handle["ttl"] for n in range(40)]
    assert all(570 <= one < 600 for one in asked)
    assert len(set(asked)) > 15
    plain = world.adapter()
    assert (await prepared(plain)).handle["ttl"] == 600


async def test_leases_of_others_are_never_taken_for_ours(world: World) -> None:
    adapter = world.adapter(exclusive=True)
    searched = await prepared(adapter)
    ttl = str(searched.handle["ttl"])
    await world.bench.act_as("other-bot")
    await world.bench.leased(ttl=ttl)
    await world.bench.act_as("owner")
    await world.bench.leased(ttl=ttl)
    assert await adapter.recover(searched) == ()
    await world.bench.act_as("kube-bot")
    ours = await world.bench.leased(ttl=ttl)
    assert [one.id for one in await adapter.recover(searched)] == [ours["id"]]


async def test_leases_of_another_time_or_ttl_are_not_the_attempts(world: World) -> None:
    adapter = world.adapter(exclusive=True)
    searched = await lost(world, adapter)
    other_ttl = attempt(adapter, handle={**searched.handle, "ttl": 601})
    assert await adapter.recover(other_ttl) == ()
    before = searched.started_at - timedelta(seconds=600)
    earlier = attempt(
        adapter,
        handle=searched.handle,
        started_at=before,
        deadline=before + timedelta(seconds=20),
    )
    assert await adapter.recover(earlier) == ()
    later = attempt(
        adapter, handle=searched.handle, started_at=searched.started_at + timedelta(seconds=10)
    )
    assert await adapter.recover(later) == ()


async def test_an_owner_that_is_not_known_yet_is_waited_for(world: World) -> None:
    await world.bench.admin.turn(whoami=False)
    adapter = world.adapter(exclusive=True)
    assert await adapter.recover(attempt(adapter)) == ()
    searched = await lost(world, adapter)
    assert "owner" not in searched.handle
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.recover(searched)
    assert caught.value.reason is Reason.UNCLEAR
    kept = await world.minted(adapter, attempt_id="kept")
    (found,) = await adapter.recover(searched)
    assert found.id != kept.lease.id


async def test_a_look_at_a_lease_of_ours_tells_who_we_are(world: World) -> None:
    await world.bench.admin.turn(whoami=False)
    kept = await world.minted(world.adapter(), attempt_id="kept")
    adapter = world.adapter(exclusive=True)
    searched = await lost(world, adapter)
    await adapter.inspect(kept.lease)
    assert len(await adapter.recover(searched)) == 1


async def test_the_lease_of_a_deleted_dynamic_secret_is_still_found(world: World) -> None:
    adapter = world.adapter(exclusive=True)
    await world.bench.admin.turn(workerDown=True)
    searched = await lost(world, adapter)
    await world.bench.admin.delete_secret("aws-deploy")
    (found,) = await adapter.recover(searched)
    assert (await adapter.revoke(found)).done
    assert await world.alive() == []


@pytest.mark.parametrize("exclusive", [True, False])
async def test_only_an_account_of_our_own_is_searched(world: World, exclusive: bool) -> None:
    can = world.adapter(exclusive=exclusive).capabilities({})
    assert (can.recoverable, can.found_by, can.renewal) == (exclusive, "OwnerAndTime", "Unproven")


@pytest.mark.parametrize("minutes", [10, -10])
async def test_a_clock_that_is_off_changes_nothing(world: World, minutes: int) -> None:
    await world.bench.admin.turn(clockOffsetSeconds=minutes * 60)
    adapter = world.adapter(exclusive=True)
    health = await adapter.check()
    assert abs(health.clock_skew - minutes * 60) <= 2
    searched = await lost(world, adapter)
    assert len(await adapter.recover(searched)) == 1
    issued = await world.minted(adapter)
    left = issued.lease.expires_at - adapter.now()
    assert timedelta(seconds=565) < left <= timedelta(seconds=601)
