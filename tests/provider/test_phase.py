"""What is Phase's own, at the emulator; what all providers promise is in ``conformance``."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Attempt, Issued, Lease, Provider
from tests.provider.benches import phase as benches
from tests.provider.benches.phase import PhaseBench
from tests.world import certificates
from tests.world.phase import seeds


class Bench(PhaseBench):
    """With an account that isn't ours alone, unless said otherwise."""

    def plain(self, *, tail: str = "", exclusive: bool = False) -> Provider:
        url = f"{self.line.url}{tail}"
        return self.built(url=url, auth=benches.token("ours"), exclusive=exclusive)

    def wanted(
        self,
        adapter: Provider,
        *,
        source: dict[str, Any] | None = None,
        ttl: int | None = 600,
        attempt_id: str = "attempt-1",
    ) -> Attempt:
        named = {**benches.SOURCE, "name": "aws-deploy", **(source or {})}
        meant = {key: value for key, value in named.items() if value is not None}
        return self.attempt(adapter, meant, ttl=ttl, attempt_id=attempt_id)

    async def ready(self, adapter: Provider, **changes: Any) -> Attempt:
        wanted = self.wanted(adapter, **changes)
        return dataclasses.replace(wanted, handle=await adapter.prepare(wanted))

    async def issue(self, adapter: Provider, **changes: Any) -> Issued:
        return await adapter.issue(await self.ready(adapter, **changes))

    async def busy(self) -> bool:
        """Whether the server has a request in work."""
        return self.server.server.world.traffic.in_flight > 0

    async def status(self, lease: Lease) -> str:
        """What the server's own row says."""
        known = await self.server.admin.keys()
        return next(one.lease.status for one in known if one.lease and one.lease_id == lease.id)

    async def log_in_as(self, account: str) -> None:
        self.values.held["ours"] = await self.server.admin.token(account)


@pytest.fixture
async def bench(line_files: certificates.ServerFiles) -> AsyncIterator[Bench]:
    async with benches.opened(line_files, Bench) as opened:
        yield opened


async def test_the_notes_hold_what_later_looks_need_and_no_credentials(bench: Bench) -> None:
    adapter = bench.plain()
    issued = await bench.issue(adapter)
    handle = dict(issued.lease.handle)
    assert handle["keys"] == sorted(issued.credentials.keys())
    assert (handle["maxTTL"], handle["ttl"]) == (86_400, 600)
    assert (handle["owner"], handle["personal"]) == (seeds.DEMO_ACCOUNT, False)
    values = issued.credentials.reveal().values()
    assert not any(value in repr(handle) for value in values)


@pytest.mark.parametrize(
    "tail", ["", "/", "/v1/", "/service/public", "/service/public/v1", "/public"]
)
async def test_any_way_to_write_the_url_leads_there(bench: Bench, tail: str) -> None:
    adapter = bench.plain(tail=tail)
    assert (await adapter.check()).capabilities == ("Renew", "Inspect", "Revoke")
    assert await bench.works(await bench.issue(adapter))


async def test_a_url_that_leads_to_pages_is_told(bench: Bench) -> None:
    adapter = bench.plain(tail="/console")
    for web_ui in (False, True):
        await bench.server.admin.turn(webUi=web_ui)
        with pytest.raises(errors.Unavailable) as caught:
            await adapter.check()
        assert caught.value.reason is Reason.BAD_ANSWER
        assert "/service/public" in caught.value.sentence


@pytest.mark.parametrize(
    "form", ["{}", "ServiceAccount {}", "Bearer ServiceAccount {}\n", "pss_service:v2:{}:a:b:c"]
)
async def test_any_form_of_the_token_lets_in(bench: Bench, form: str) -> None:
    bench.values.held["ours"] = form.format(bench.values.held["ours"])
    assert await bench.works(await bench.issue(bench.plain()))


async def test_a_personal_token_leases_and_its_limits_are_said(bench: Bench) -> None:
    adapter = bench.built(auth=benches.token("person"))
    assert (await adapter.check()).capabilities == ("Inspect",)
    issued = await bench.issue(adapter, ttl=1)
    assert not adapter.capabilities(issued.lease.handle).renewable
    with pytest.raises(errors.Denied) as caught:
        await adapter.revoke(issued.lease)
    assert "service account" in caught.value.sentence
    await bench.until_dead(issued)
    for call in (adapter.inspect, adapter.revoke):
        with pytest.raises(errors.LeaseGone):
            await call(issued.lease)


async def test_a_lease_outlives_the_name_of_its_environment(bench: Bench) -> None:
    adapter = bench.plain()
    issued = await bench.issue(adapter)
    await bench.server.admin.rename_environment("Production", "live")
    with pytest.raises(errors.Invalid):
        await bench.issue(adapter, source={"name": "aws-short"})
    until = issued.lease.expires_at + timedelta(seconds=60)
    renewed = await adapter.renew(issued.lease, until)
    assert (await adapter.inspect(renewed)).expires_at == until
    assert (await adapter.revoke(renewed)).done
    assert not await bench.works(issued)


async def test_one_dynamic_secret_is_leased_of_two_with_the_same_name(bench: Bench) -> None:
    adapter = bench.plain()
    await bench.issue(adapter, source={"name": "twice"})
    await bench.issue(adapter, source={"name": "twice", "path": "/backend/"})
    (root, backend) = await bench.server.admin.alive()
    paths = [(await bench.server.admin.secret("twice", path))["id"] for path in ("/", "/backend")]
    assert [root.lease.secret, backend.lease.secret] == paths  # type: ignore[union-attr]


async def test_an_id_alone_is_enough(bench: Bench) -> None:
    found = await bench.server.admin.secret("aws-backend", "/backend")
    adapter = bench.plain()
    issued = await bench.issue(adapter, source={"name": None, "id": found["id"]})
    assert await bench.works(issued)


async def test_an_ambiguous_name_issues_nothing(bench: Bench) -> None:
    again = seeds.DynamicSecret(name="aws-deploy")
    await bench.server.admin.seed(seeds.Seed(dynamic_secrets=[again]))
    adapter = bench.plain()
    with pytest.raises(errors.Invalid) as caught:
        await bench.issue(adapter)
    assert "write its id" in caught.value.sentence
    assert await bench.living() == set()


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
async def test_what_is_not_there_is_told_before_an_issue(
    bench: Bench, changes: dict[str, Any], part: str
) -> None:
    with pytest.raises(errors.Invalid) as caught:
        await bench.issue(bench.plain(), source=changes)
    assert caught.value.reason is Reason.SOURCE_MISSING
    assert part in caught.value.sentence
    assert bench.line.counted(bench.routes.issue) == 0


async def test_a_404_is_not_remembered(bench: Bench) -> None:
    adapter = bench.plain()
    with pytest.raises(errors.Invalid):
        await bench.issue(adapter, source={"name": "new"})
    await bench.server.admin.seed(seeds.Seed(dynamic_secrets=[seeds.DynamicSecret(name="new")]))
    assert await bench.works(await bench.issue(adapter, source={"name": "new"}))


async def test_a_dynamic_secret_that_goes_before_the_issue_is_told_and_forgotten(
    bench: Bench,
) -> None:
    adapter = bench.plain()
    ready = await bench.ready(adapter)
    await bench.server.admin.delete_secret("aws-deploy")
    with pytest.raises(errors.Invalid) as caught:
        await adapter.issue(ready)
    assert caught.value.reason is Reason.SOURCE_MISSING
    await bench.server.admin.seed(
        seeds.Seed(dynamic_secrets=[seeds.DynamicSecret(name="aws-deploy")])
    )
    assert await bench.works(await bench.issue(adapter))


async def test_ttls_out_of_bounds_are_told_before_an_issue(bench: Bench) -> None:
    adapter = bench.plain()
    for ttl, source, reason, part in (
        (0, {}, Reason.INVALID, "below 1s"),
        (86_401, {}, Reason.TTL_TOO_LONG, "24h"),
        (None, {"name": "misconfigured"}, Reason.TTL_TOO_LONG, "default"),
    ):
        with pytest.raises(errors.Invalid) as caught:
            await adapter.prepare(bench.wanted(adapter, ttl=ttl, source=source))
        assert caught.value.reason is reason
        assert part in caught.value.sentence
    assert bench.line.counted(bench.routes.issue) == 0


async def test_a_maximum_that_shrinks_before_the_issue_is_told(bench: Bench) -> None:
    adapter = bench.plain()
    ready = await bench.ready(adapter)
    await bench.server.admin.edit_secret("aws-deploy", maxTtlSeconds=60)
    with pytest.raises(errors.Invalid) as caught:
        await adapter.issue(ready)
    assert caught.value.reason is Reason.TTL_TOO_LONG


async def test_issues_of_one_dynamic_secret_come_one_after_the_other(bench: Bench) -> None:
    await bench.server.admin.turn(latencyMs=30)
    adapter = bench.plain()
    ready = [await bench.ready(adapter) for _ in range(4)]
    other = await bench.ready(adapter, source={"name": "aws-short"}, ttl=60)
    await bench.server.admin.reset_counters()
    await asyncio.gather(*(adapter.issue(one) for one in (*ready, other)))
    assert (await bench.server.admin.counters()).peak_in_flight == 2
    assert len(await bench.living()) == 5


async def test_a_maximum_that_shrank_is_learned_from_the_refusal(bench: Bench) -> None:
    adapter = bench.plain()
    lease = (await bench.issue(adapter)).lease
    await bench.server.admin.edit_secret("aws-deploy", maxTtlSeconds=630)
    renewed = await adapter.renew(lease, lease.expires_at + timedelta(seconds=100))
    assert renewed.expires_at - lease.expires_at == timedelta(seconds=30)
    with pytest.raises(errors.CannotRenew):
        await adapter.renew(renewed, renewed.expires_at + timedelta(seconds=100))


async def test_a_renewed_lease_that_ended_at_its_first_expiry_is_gone(bench: Bench) -> None:
    adapter = bench.plain()
    issued = await bench.issue(adapter, ttl=1)
    renewed = await adapter.renew(issued.lease, issued.lease.expires_at + timedelta(seconds=600))
    assert await bench.works(issued)
    await bench.until_dead(issued)
    assert adapter.now() < renewed.expires_at
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(renewed)
    with pytest.raises(errors.LeaseGone):
        await adapter.renew(renewed, renewed.expires_at + timedelta(seconds=60))
    assert (await adapter.revoke(renewed)).done


async def test_at_a_mended_server_a_renewed_lease_outlives_its_first_expiry(
    bench: Bench,
) -> None:
    await bench.server.admin.turn(renewal="Fixed")
    adapter = bench.plain()
    issued, other = [await bench.issue(adapter, ttl=1) for _ in range(2)]
    renewed = await adapter.renew(issued.lease, issued.lease.expires_at + timedelta(seconds=600))
    await bench.until_dead(other)
    assert await bench.works(issued)
    assert (await adapter.inspect(renewed)).expires_at == renewed.expires_at


async def test_a_lease_past_its_end_with_the_worker_down_is_taken_back(bench: Bench) -> None:
    await bench.server.admin.turn(workerDown=True)
    adapter = bench.plain()
    issued = await bench.issue(adapter, ttl=1)
    await bench.server.admin.turn(clockOffsetSeconds=20)
    seen = await adapter.inspect(issued.lease)
    assert seen.expires_at < adapter.now()
    assert await bench.works(issued)
    with pytest.raises(errors.CannotRenew):
        await adapter.renew(issued.lease, adapter.now() + timedelta(seconds=60))
    assert (await adapter.revoke(issued.lease)).done
    assert not await bench.works(issued)


async def test_a_renewal_that_undid_a_revocation_is_undone_itself(bench: Bench) -> None:
    bench.settle = 2
    adapter = bench.plain()
    issued = await bench.issue(adapter)
    await bench.server.admin.turn(awsSeconds=0.1, renewalSeconds=1.5)
    later = asyncio.create_task(bench.server.renew({"id": issued.lease.id}))
    await bench.server.until(bench.busy)
    assert (await adapter.revoke(issued.lease)).done
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(issued.lease)
    assert (await later).status == 200
    assert await bench.status(issued.lease) == "active"

    async def mended() -> bool:
        return await bench.status(issued.lease) == "revoked"

    await bench.server.until(mended)
    assert not await bench.works(issued)


async def test_an_aws_that_is_away_issues_nothing_and_hinders_nobody_else(bench: Bench) -> None:
    adapter = bench.plain()
    held = await bench.issue(adapter)
    await bench.server.admin.turn(awsDown=True)
    for _ in range(8):
        with pytest.raises(errors.Invalid) as caught:
            await bench.issue(adapter)
        assert caught.value.reason is Reason.BACKEND_FAILED
    renewed = await adapter.renew(held.lease, held.lease.expires_at + timedelta(seconds=60))
    assert renewed.expires_at > held.lease.expires_at, "the server works: no circuit is open"
    assert await bench.living() == {held.lease.id}


async def test_another_plan_is_told_on_the_way_to_a_lease_and_of_a_renewal(
    bench: Bench,
) -> None:
    adapter = bench.plain()
    held = await bench.issue(adapter)
    await bench.server.admin.turn(plan="PR")
    with pytest.raises(errors.Invalid) as invalid:
        await bench.issue(adapter)
    assert "Enterprise" in invalid.value.sentence
    with pytest.raises(errors.Denied) as denied:
        await adapter.renew(held.lease, held.lease.expires_at + timedelta(seconds=60))
    assert denied.value.reason is Reason.PLAN
    assert (await adapter.revoke(held.lease)).done


async def test_a_missing_right_is_named(bench: Bench) -> None:
    nothing = seeds.Role(name="Leaseholder", permissions=[])
    await bench.server.admin.seed(seeds.Seed(roles=[nothing]))
    with pytest.raises(errors.Denied) as caught:
        await bench.issue(bench.plain())
    assert "Secrets:read" in caught.value.sentence


async def test_the_right_that_pr_1024_asks_for_is_named(bench: Bench) -> None:
    await bench.server.admin.turn(pr1024=True)
    adapter = bench.plain()
    assert await bench.works(await bench.issue(adapter))
    reader = seeds.Role(name="Leaseholder", permissions=["Secrets:read"])
    await bench.server.admin.seed(seeds.Seed(roles=[reader]))
    with pytest.raises(errors.Denied) as caught:
        await bench.issue(adapter)
    assert "DynamicSecretLeases:create" in caught.value.sentence


async def test_a_lease_of_another_account_is_denied(bench: Bench) -> None:
    adapter = bench.plain()
    held = await bench.issue(adapter)
    await bench.log_in_as("other-bot")
    other = bench.plain()
    with pytest.raises(errors.Denied) as caught:
        await other.revoke(held.lease)
    assert "same service account" in caught.value.sentence
    assert await bench.works(held)


async def test_a_throttle_is_waited_for_as_long_as_told(bench: Bench) -> None:
    adapter = bench.plain()
    held = await bench.issue(adapter)
    await bench.server.admin.turn(requestsPerMinute=1)
    await adapter.inspect(held.lease)
    with pytest.raises(errors.Throttled) as caught:
        await adapter.inspect(held.lease)
    assert caught.value.retry_after in range(50, 61)
    await bench.server.admin.reset_counters()
    with pytest.raises(errors.Throttled):
        await adapter.revoke(held.lease)
    assert bench.line.counted(bench.routes.revoke) == 0


# ---------------------------------------------------------------- leases of lost answers


async def lost(bench: Bench, adapter: Provider, **changes: Any) -> Attempt:
    """An attempt whose lease was made and never answered."""
    await bench.server.admin.turn(loseLeases=1)
    ready = await bench.ready(adapter, **changes)
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.issue(ready)
    assert caught.value.sent
    return ready


async def test_a_lease_that_is_there_though_the_server_failed_is_found(bench: Bench) -> None:
    adapter = bench.plain(exclusive=True)
    await bench.server.admin.turn(queueDown=True)
    ready = await bench.ready(adapter)
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.issue(ready)
    assert caught.value.sent
    (found,) = await adapter.recover(ready)
    assert (await adapter.revoke(found)).done
    assert await bench.living() == set()


async def test_the_ttl_tells_attempts_apart_and_costs_little(bench: Bench) -> None:
    adapter = bench.plain(exclusive=True)
    asked = [(await bench.ready(adapter, attempt_id=str(n))).handle["ttl"] for n in range(40)]
    assert all(570 <= one < 600 for one in asked)
    assert len(set(asked)) > 15
    plain = bench.plain()
    assert (await bench.ready(plain)).handle["ttl"] == 600


async def test_leases_of_others_are_never_taken_for_ours(bench: Bench) -> None:
    """Even where the account's role shows it everybody's."""
    await bench.server.admin.seed(seeds.Seed(roles=[seeds.Role(name="Leaseholder")]))
    adapter = bench.plain(exclusive=True)
    searched = await bench.ready(adapter)
    ttl = str(searched.handle["ttl"])
    await bench.server.act_as("other-bot")
    await bench.server.leased(ttl=ttl)
    await bench.server.act_as("owner")
    await bench.server.leased(ttl=ttl)
    assert await adapter.recover(searched) == ()
    await bench.server.act_as("kube-bot")
    ours = await bench.server.leased(ttl=ttl)
    assert [one.id for one in await adapter.recover(searched)] == [ours["id"]]


async def test_leases_of_another_time_or_ttl_are_not_the_attempts(bench: Bench) -> None:
    adapter = bench.plain(exclusive=True)
    searched = await bench.lost(adapter)
    other_ttl = dataclasses.replace(searched, handle={**searched.handle, "ttl": 601})
    assert await adapter.recover(other_ttl) == ()
    before = searched.started_at - timedelta(seconds=600)
    earlier = dataclasses.replace(
        searched, started_at=before, deadline=before + timedelta(seconds=20)
    )
    assert await adapter.recover(earlier) == ()
    start = searched.started_at + timedelta(seconds=10)
    assert await adapter.recover(dataclasses.replace(searched, started_at=start)) == ()


async def test_a_lost_lease_is_found_among_twenty_thousand(bench: Bench) -> None:
    """Twelve megabytes; who gave up waiting for the list is answered by it all the same."""
    await bench.server.admin.turn(rowSeconds=0)
    await bench.server.admin.age("aws-deploy", 20_000)
    adapter = bench.plain(exclusive=True)
    held, searched = await bench.issue(adapter, attempt_id="kept"), await bench.lost(adapter)
    begun, _ = await bench.server.admin.lists()
    async with asyncio.timeout(120):
        found: list[Lease] = []
        while not found:
            with contextlib.suppress(errors.Unavailable):
                found = [*await adapter.recover(searched)]
    assert {one.id for one in found} == await bench.living() - {held.lease.id}
    assert (await bench.server.admin.lists())[0] == begun + 1
    for one in (*found, held.lease):
        assert (await adapter.revoke(one)).done


async def test_an_owner_that_is_not_known_yet_is_waited_for(bench: Bench) -> None:
    await bench.server.admin.turn(whoami=False)
    adapter = bench.plain(exclusive=True)
    assert await adapter.recover(bench.wanted(adapter)) == ()
    searched = await bench.lost(adapter)
    assert "owner" not in searched.handle
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.recover(searched)
    assert caught.value.reason is Reason.UNCLEAR
    kept = await bench.issue(adapter, attempt_id="kept")
    (found,) = await adapter.recover(searched)
    assert found.id != kept.lease.id


async def test_a_look_at_a_lease_of_ours_tells_who_we_are(bench: Bench) -> None:
    await bench.server.admin.turn(whoami=False)
    kept = await bench.issue(bench.plain(), attempt_id="kept")
    adapter = bench.plain(exclusive=True)
    searched = await bench.lost(adapter)
    await adapter.inspect(kept.lease)
    assert len(await adapter.recover(searched)) == 1


async def test_the_lease_of_a_deleted_dynamic_secret_is_still_found(bench: Bench) -> None:
    adapter = bench.plain(exclusive=True)
    await bench.server.admin.turn(workerDown=True)
    searched = await bench.lost(adapter)
    await bench.server.admin.delete_secret("aws-deploy")
    (found,) = await adapter.recover(searched)
    assert (await adapter.revoke(found)).done
    assert await bench.living() == set()


@pytest.mark.parametrize("exclusive", [True, False])
async def test_only_an_account_of_our_own_is_searched(bench: Bench, exclusive: bool) -> None:
    can = bench.plain(exclusive=exclusive).capabilities({})
    assert (can.recoverable, can.found_by, can.proven_after) == (exclusive, "OwnerAndTime", 120)
