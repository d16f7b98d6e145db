"""Renew: renewed in time, looked at where that is unclear, replaced when it is gone."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api import conditions, names
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.record import State
from leaseholder.core import actions
from leaseholder.ports.provider import RevocationAnswer
from tests.unit.clocks import NOW
from tests.unit.controller import fakes
from tests.unit.controller.world import World, away, infisical, manifest

DUE = 2400.0
"""Seconds after which a lease of an hour is surely due."""


def at(seconds: float) -> datetime:
    """So many seconds after the start."""
    return NOW + timedelta(seconds=seconds)


def ends(world: World, lease_id: str = "lease-1") -> float:
    """When a lease ends, in seconds after the start."""
    return (world.provider.live[lease_id].expires_at - NOW).total_seconds()


async def live(world: World, seconds: float) -> None:
    """Time passes, and all that falls due in it is done."""
    end = world.clock.monotonic() + seconds
    while (now := world.clock.monotonic()) < end:
        rest = await world.settle()
        assert isinstance(rest, actions.Idle)
        assert rest.until is not None
        wait = (rest.until - world.provider.now()).total_seconds()
        world.clock.move(min(max(0.2, wait), end - now))
    await world.settle()


async def test_a_lease_is_renewed_to_its_whole_life_without_another_look() -> None:
    world = World()
    await world.settle()
    await world.settle(after=DUE)
    assert ends(world) == DUE + 3600
    assert (world.count("renew"), world.count("inspect")) == (1, 1)
    assert world.meter.renewals == ["ok"]
    assert world.dl.status.lease is not None
    assert world.dl.status.lease.expires_at == NOW + timedelta(seconds=DUE + 3600)


@pytest.mark.parametrize(("later", "believed"), [(1.0, False), (fakes.CAN.replica_lag + 2, True)])
async def test_an_earlier_end_is_believed_when_no_replica_trails_any_more(
    later: float, *, believed: bool
) -> None:
    world = World()
    await world.settle()
    former = world.provider.live["lease-1"]
    await world.settle(after=DUE)
    world.provider.live["lease-1"] = former
    world.clock.move(later)
    view, _ = await world.look()
    await world.performer.perform(view, actions.Inspect(world.recorded))
    known = world.memory.of(world.recorded.attempt_id).shown
    assert known is not None
    assert (known.expires_at == former.expires_at) == believed


async def test_after_a_renewal_that_failed_the_lease_is_looked_at_first() -> None:
    world = World()
    await world.settle()
    world.provider.before("renew", away(sent=True))
    await world.settle(after=DUE)
    assert (world.ready, ends(world)) == ("ProviderUnavailable", 3600)
    looks = world.count("inspect")
    await world.settle(after=3)
    assert world.count("inspect") == looks + 1
    assert ends(world) == DUE + 3 + 3600
    assert world.meter.renewals == ["unclear", "ok"]
    assert world.ready == "Ready"


async def test_a_renewal_whose_answer_was_lost_is_not_made_again() -> None:
    world = World()
    await world.settle()
    world.provider.after("renew", away(sent=True))
    await world.settle(after=DUE)
    await world.settle(after=3)
    assert world.count("renew") == 1
    assert ends(world) == DUE + 3600
    assert world.ready == "Ready"


async def test_after_a_restart_the_lease_is_looked_at_before_it_is_renewed() -> None:
    world = World()
    await world.settle()
    world.crash()
    looks = world.count("inspect")
    await world.settle(after=DUE)
    assert world.count("inspect") > looks
    assert ends(world) == DUE + 3600


async def test_a_change_while_the_lease_is_gone_makes_one_more_look_and_no_more() -> None:
    world = World()
    await world.settle()
    del world.provider.live["lease-1"]
    await world.settle(after=DUE)
    looks = world.count("inspect") + world.count("renew")
    world.memory.poked = True
    await world.settle(after=1)
    assert world.count("inspect") + world.count("renew") == looks + 1


async def test_a_lease_that_is_gone_when_it_is_renewed_is_believed_at_the_second_look() -> None:
    world = World()
    await world.settle()
    world.provider.live.clear()
    await world.settle(after=DUE)
    assert (world.ready, world.count("issue")) == ("LeaseGone", 1)
    await world.settle(after=6)
    assert world.secret == "lease-2"
    assert world.records == [("Revoking", "lease-1"), ("Held", "lease-2")]
    await world.settle(after=6)
    assert world.records == [("Held", "lease-2")]


async def test_the_back_off_of_an_outage_does_not_hold_the_issue_after_it_back() -> None:
    world = World()
    await world.settle()
    for _ in range(8):
        world.provider.before("renew", away())
        await world.settle(after=DUE if world.ready == "Ready" else 60)
    assert world.dl.status.retry is not None
    assert world.dl.status.retry.failures >= 5
    world.provider.live.clear()
    await world.settle(after=60)
    assert (world.ready, world.count("issue")) == ("LeaseGone", 1)
    await world.settle(after=6)
    assert world.secret == "lease-2"
    assert world.ready == "Ready"


async def test_a_lease_that_the_provider_shows_to_be_over_is_replaced_at_once() -> None:
    world = World()
    await world.settle()
    world.provider.live.clear()
    over = errors.LeaseGone(Reason.GONE, "it ended", certain=True)
    world.provider.before("renew", over)
    await world.settle(after=DUE)
    assert world.secret == "lease-2"


async def test_a_lease_that_a_stale_replica_does_not_show_is_kept() -> None:
    world = World()
    await world.settle()
    world.provider.before("renew", errors.LeaseGone(Reason.GONE, "no such lease"))
    await world.settle(after=DUE)
    await world.settle(after=6)
    assert world.secret == "lease-1"
    assert world.ready == "Ready"


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_renewal_after_which_a_lease_ends_sooner_counts_before_what_was_noted(
    restarted: bool,
) -> None:
    world = World()
    world.cluster.put_provider(infisical(probe={"interval": "1h"}))
    world.cluster.user_applies(manifest(renewal={"strategy": "Renew"}))
    await world.settle()
    world.provider.grants = -timedelta(seconds=600)
    await world.settle(after=DUE)
    assert ends(world) == 3000
    shown = world.dl.status.lease
    assert (shown and shown.expires_at, world.recorded.expires_at) == (at(3000), at(3000))
    if restarted:
        world.crash()
        world.provider.before("renew", *[away()] * 20)
    world.provider.before("issue", *[away()] * 20)
    await live(world, 3000 - DUE)
    assert (world.ready, world.secret) == ("LeaseExpired", "lease-1")


async def test_an_inspection_that_trails_a_renewal_brings_no_outdated_end_back() -> None:
    world = World()
    world.cluster.put_provider(infisical(probe={"interval": "10s"}))
    world.cluster.user_applies(manifest(renewal={"strategy": "Renew"}))
    await world.settle()
    before = world.provider.live["lease-1"]
    world.provider.grants = -timedelta(seconds=600)
    await world.settle(after=DUE)
    after, world.provider.live["lease-1"] = world.provider.live["lease-1"], before
    await world.settle(after=11)
    shown = world.dl.status.lease
    assert (shown and shown.expires_at, after.expires_at) == (at(3000), at(3000))


async def test_the_probe_finds_a_revoked_lease_between_two_renewals() -> None:
    world = World()
    await world.settle()
    world.provider.live.clear()
    await world.settle(after=301)
    assert world.secret == "lease-1"
    await world.settle(after=6)
    assert world.secret == "lease-2"


@pytest.mark.parametrize("deleted", [False, True])
async def test_the_probe_finds_a_revoked_lease_whose_provider_object_is_not_there(
    deleted: bool,
) -> None:
    world = World()
    await world.settle()
    if deleted:
        world.cluster.providers.clear()
    else:
        world.cluster.user_applies(manifest(providerRef={"name": "another"}))
    await world.settle(after=10)
    assert world.ready == "ProviderMissing"
    assert conditions.is_true(world.dl.status.conditions, ConditionType.READY)
    world.provider.live.clear()
    await world.settle(after=291)
    await world.settle(after=6)
    assert world.ready == "ProviderMissing"
    assert not conditions.is_true(world.dl.status.conditions, ConditionType.READY)


async def test_a_probe_that_fails_changes_nothing() -> None:
    world = World()
    await world.settle()
    world.provider.before("inspect", away())
    await world.settle(after=301)
    assert (world.ready, world.records) == ("Ready", [("Held", "lease-1")])


async def test_a_lease_that_can_not_be_renewed_is_replaced() -> None:
    world = World()
    world.provider.latest = NOW + timedelta(seconds=3600)
    await world.settle()
    world.provider.latest = None
    await world.settle(after=DUE)
    assert world.secret == "lease-2"
    assert [state for state, _ in world.records] == ["Superseded", "Held"]


async def test_a_provider_that_says_so_only_when_asked_is_believed() -> None:
    world = World()
    await world.settle()
    end = errors.CannotRenew(Reason.CANNOT_RENEW, "at its end")
    world.provider.before("renew", end, end)
    await world.settle(after=DUE)
    assert world.secret == "lease-2"
    assert world.meter.renewals == ["refused"] * 2


async def test_a_lease_that_another_process_just_renewed_to_its_end_is_not_replaced() -> None:
    world = World()
    await world.settle()
    end = errors.CannotRenew(Reason.CANNOT_RENEW, "it would live too long")
    world.provider.before("renew", end)
    await world.settle(after=DUE)
    assert world.secret == "lease-1"
    assert world.ready == "Ready"


async def test_a_renew_command_at_full_life_does_not_count_as_a_renewal_that_adds_nothing() -> None:
    world = World(can=replace(fakes.CAN, minimum_renewal=0, replica_lag=0))
    await world.settle()
    await world.settle()
    world.cluster.user_applies(manifest(annotations={names.RENEW: "now"}))
    await world.settle()
    assert world.count("renew") == 1
    await world.settle(after=DUE)
    assert (world.secret, ends(world)) == ("lease-1", DUE + 3600)


async def test_a_renewal_that_adds_nothing_makes_the_lease_be_replaced() -> None:
    world = World()
    await world.settle()
    world.provider.adds = False
    await world.settle(after=DUE)
    assert world.secret == "lease-2"


@pytest.mark.parametrize("strategy", ["Auto", "Renew"])
@pytest.mark.parametrize("spec", [{}, {"afterPercent": 3}, {"before": "30m"}])
@pytest.mark.parametrize(("added", "renewals"), [(1, 40), (10, 90), (60, 60), (0, 0)])
async def test_a_provider_that_renews_by_less_than_is_asked_for_is_not_asked_without_end(
    added: int, renewals: int, spec: dict[str, Any], strategy: str
) -> None:
    world = World(can=replace(fakes.CAN, minimum_renewal=1, replica_lag=0))
    world.provider.grants = timedelta(seconds=added)
    world.cluster.user_applies(manifest(renewal={"strategy": strategy, **spec}))
    await live(world, 3600)
    assert 1 <= world.count("renew") <= renewals + world.count("issue")
    assert world.count("issue") <= (40 if spec == {"afterPercent": 3} else 3)
    assert world.ready == "Ready"


async def test_a_lease_whose_renewals_get_nowhere_is_replaced_before_its_end_and_says_so() -> None:
    world = World(can=replace(fakes.CAN, minimum_renewal=1, replica_lag=0))
    await world.settle()
    world.provider.grants = timedelta(seconds=1)
    world.provider.before("issue", away(sent=False))
    await world.settle(after=DUE)
    said = conditions.find(world.dl.status.conditions, ConditionType.LEASE_HELD)
    assert said is not None
    assert said.message == (
        "the last renewal left 1201 s of the 3600 s that were asked for: the lease is replaced "
        "before its end; find out what bounds renewals at the provider"
    )
    await live(world, 60)
    assert world.secret == "lease-2"
    assert ends(world) == 3601


@pytest.mark.parametrize("served", [True, False])
async def test_a_lease_whose_renewals_fail_is_replaced_while_it_lives_but_not_for_an_outage(
    served: bool,
) -> None:
    world = World()
    await world.settle()
    failure = errors.Unavailable(Reason.UNAVAILABLE, "not done", sent=False, served=served)
    world.provider.before("renew", *[failure] * 1000)
    await live(world, 3240)
    assert world.secret == "lease-1"
    said = conditions.find(world.dl.status.conditions, ConditionType.LEASE_HELD)
    assert said is not None
    assert ("its renewals fail: without one the lease is replaced at" in said.message) == served
    await live(world, 150)
    assert world.secret == ("lease-2" if served else "lease-1")
    assert "lease-1" in world.provider.live


@pytest.mark.parametrize("until", [3300, 3425])
@pytest.mark.parametrize(
    "reason", [Reason.LOGIN_REFUSED, Reason.AUTH_MISSING, Reason.HOST_NOT_ALLOWED]
)
async def test_a_login_that_was_refused_for_long_costs_no_lease_when_it_works_again(
    reason: Reason, until: int
) -> None:
    world = World()
    await world.settle()
    world.provider.down = errors.Denied(reason, "who is that?")
    await live(world, until)
    said = conditions.find(world.dl.status.conditions, ConditionType.LEASE_HELD)
    assert said is not None
    assert said.message == ""
    world.provider.down = None
    await live(world, 100)
    assert (world.secret, world.count("issue")) == ("lease-1", 1)
    assert ends(world) > 3600


@pytest.mark.parametrize("renewed", [True, False])
async def test_renewals_that_fail_do_not_have_an_issue_tried_sooner_that_costs_each_time(
    renewed: bool,
) -> None:
    world = World()
    world.cluster.user_applies(manifest(renewal={"strategy": "Renew"}))
    await world.settle()
    world.provider.before("issue", *[errors.Invalid(Reason.BACKEND_FAILED, "not made")] * 100)
    if not renewed:
        world.provider.before("renew", *[errors.Denied(Reason.DENIED, "not allowed")] * 100)
    await live(world, 2300)
    world.cluster.user_applies(
        manifest(renewal={"strategy": "Renew"}, annotations={names.ROTATE: "now"})
    )
    await live(world, 1200)
    assert world.count("issue") == 6
    assert 1 <= world.count("renew") < 40
    stalled = conditions.find(world.dl.status.conditions, ConditionType.STALLED)
    assert stalled is not None
    assert (stalled.reason, stalled.message) == (Reason.BACKEND_FAILED, "not made")


async def test_a_renewal_that_fails_is_reported_once_no_issue_that_costs_is_wanted() -> None:
    world = World()
    strategy = {"strategy": "Renew"}
    world.cluster.user_applies(manifest(renewal=strategy))
    await world.settle()
    world.provider.before("issue", errors.Invalid(Reason.BACKEND_FAILED, "not made"))
    world.provider.before("renew", *[errors.Denied(Reason.DENIED, "not allowed")] * 100)
    await live(world, 2400)
    world.cluster.user_applies(manifest(renewal=strategy, annotations={names.ROTATE: "now"}))
    await live(world, 30)
    assert world.ready == "BackendFailed"
    world.cluster.user_applies(manifest(renewal=strategy))
    await live(world, 60)
    assert (world.ready, world.count("issue")) == ("PermissionDenied", 2)


async def test_no_lease_waits_for_the_overlap_of_replaced_ones_that_are_over() -> None:
    world = World()
    world.cluster.user_applies(manifest(rotation={"overlap": "6h"}))
    failure = errors.Unavailable(Reason.UNAVAILABLE, "not done", sent=False, served=True)
    world.provider.before("renew", *[failure] * 1000)
    await world.settle()
    for _ in range(7 * 20):
        await live(world, 180)
        assert at(ends(world, world.secret or "")) > world.provider.now() + timedelta(seconds=100)


async def test_refused_renewals_are_not_made_on_while_each_look_shows_a_later_end() -> None:
    world = World(can=replace(fakes.CAN, minimum_renewal=1, replica_lag=0))
    await world.settle()

    def refuse() -> None:
        known = world.provider.live["lease-1"]
        longer = known.expires_at + timedelta(seconds=1)
        world.provider.live["lease-1"] = replace(known, expires_at=longer)
        raise errors.CannotRenew(Reason.CANNOT_RENEW, "not now")

    world.provider.before("renew", *[refuse] * 100)
    await world.settle(after=DUE)
    assert world.count("renew") <= 2
    assert world.secret == "lease-2"


@pytest.mark.parametrize("ahead", [120, -120])
async def test_a_date_that_jumps_puts_no_renewal_off_and_replaces_no_lease(ahead: int) -> None:
    """A proxy writes it; the lease's own clock goes on, or forward with it."""
    world = World(can=replace(fakes.CAN, minimum_renewal=1, replica_lag=0))
    world.cluster.user_applies(manifest(ttl="60s", renewal={"afterPercent": 3}))
    await world.settle()

    def jump() -> None:
        world.provider.date_ahead += ahead

    for _ in range(3):
        world.provider.after("renew", jump)
        await live(world, 30)
    assert world.count("issue") == 1
    assert (world.secret, world.ready) == ("lease-1", "Ready")
    assert world.count("renew") > 20


async def test_a_longer_ttl_is_asked_for_at_once_whatever_the_last_renewal_gave() -> None:
    world = World(can=replace(fakes.CAN, minimum_renewal=1, replica_lag=0))
    await world.settle()
    world.provider.grants = timedelta(seconds=600)
    await world.settle(after=DUE)
    world.provider.grants = None
    world.cluster.user_applies(manifest(ttl="12h"))
    await world.settle(after=1)
    assert ends(world) == DUE + 1 + 12 * 3600


async def test_a_renewal_waits_until_every_replica_shows_the_last_one() -> None:
    world = World(can=replace(fakes.CAN, minimum_renewal=1, replica_lag=60))
    await world.settle()
    await world.settle(after=60)
    world.cluster.user_applies(manifest(annotations={names.RENEW: "now"}))
    await world.settle()
    assert world.count("renew") == 0
    assert world.cluster.notes[-1][1].reason == Reason.RENEWAL_TOO_SOON
    world.cluster.user_applies(manifest(annotations={names.RENEW: "again"}))
    await world.settle(after=1)
    assert world.count("renew") == 1


async def test_after_a_longer_ttl_a_renewal_waits_until_every_replica_shows_the_last_one() -> None:
    world = World(can=replace(fakes.CAN, minimum_renewal=1, replica_lag=60))
    await world.settle()
    world.clock.move(100)
    for ttl in ("12h", "48h"):
        world.cluster.user_applies(manifest(ttl=ttl))
        await world.settle()
    world.cluster.user_applies(manifest(ttl="48h", annotations={names.RENEW: "now"}))
    await world.settle()
    assert world.count("renew") == 1
    assert world.cluster.notes[-1][1].reason == Reason.RENEWAL_TOO_SOON
    await live(world, 62)
    assert world.count("renew") == 2
    assert ends(world) == 161 + 48 * 3600


async def test_a_renewal_that_comes_too_soon_waits() -> None:
    world = World()
    await world.settle()
    soon = errors.CannotRenew(Reason.RENEWAL_TOO_SOON, "too short a renewal")
    world.provider.before("renew", soon)
    await world.settle(after=DUE)
    assert world.secret == "lease-1"
    assert world.ready == Reason.RENEWAL_TOO_SOON
    await world.settle(after=3)
    assert world.ready == "Ready"


@pytest.mark.parametrize("works", [True, False])
async def test_a_renew_command_acts_once_and_says_when_it_can_not(works: bool) -> None:
    world = World()
    await world.settle()
    world.cluster.user_applies(manifest(annotations={names.RENEW: "1"}))
    if not works:
        reason = Reason.RENEWAL_TOO_SOON
        world.provider.before("renew", errors.CannotRenew(reason, "too short a renewal"))
    await world.settle(after=600)
    assert world.count("renew") == 1
    assert world.dl.status.handled is not None
    assert world.dl.status.handled.renew == "1"
    told = [note.reason for _, note in world.cluster.notes]
    assert (Reason.RENEWAL_TOO_SOON in told) is not works


async def test_a_renew_command_at_a_leases_latest_says_what_to_do_instead() -> None:
    world = World()
    await world.settle()
    world.cluster.user_applies(manifest(annotations={names.RENEW: "1"}))
    latest = errors.CannotRenew(Reason.CANNOT_RENEW, "it is at its end")
    world.provider.before("renew", latest)
    await world.settle(after=600)
    assert world.dl.status.handled is not None
    assert world.dl.status.handled.renew == "1"
    texts = [note.message for _, note in world.cluster.notes]
    assert f"it is at its end; for a new lease, annotate {names.ROTATE}" in texts


async def test_a_renew_command_on_a_lease_that_is_kept_by_replacement_is_answered() -> None:
    world = World()
    spec = {"strategy": "Rotate"}
    world.cluster.user_applies(manifest(renewal=spec))
    await world.settle()
    world.cluster.user_applies(manifest(annotations={names.RENEW: "1"}, renewal=spec))
    await world.settle(after=10)
    await world.settle(after=10)
    assert world.dl.status.handled is not None
    assert world.dl.status.handled.renew == "1"
    assert world.count("renew") == 0
    told = [note.reason for _, note in world.cluster.notes]
    assert told.count(Reason.CANNOT_RENEW) == 1


async def test_a_rotate_command_replaces_the_lease_and_revokes_the_old_one_after_the_overlap() -> (
    None
):
    world = World()
    await world.settle()
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}))
    await world.settle()
    assert world.secret == "lease-2"
    assert [*world.provider.live] == ["lease-1", "lease-2"]
    await world.settle(after=121)
    assert [*world.provider.live] == ["lease-2"]
    assert world.records == [("Held", "lease-2")]


async def test_a_ttl_that_was_raised_asked_for_and_lowered_counts_until_the_lease_is_revoked() -> (
    None
):
    """By a full record above all, which lets go of what is over by all that was asked for."""
    world = World()
    await world.settle()
    for ttl in ("48h", "1h"):
        world.cluster.user_applies(manifest(ttl=ttl))
        await world.settle(after=1)
    lives_until = world.provider.live["lease-1"].expires_at
    assert lives_until > NOW + timedelta(hours=47)
    world.crash()
    refused = RevocationAnswer(done=False, reason=Reason.FAILED_TO_DELETE, sentence="it failed")
    world.provider.answers.extend([refused] * 20)
    world.cluster.user_applies(manifest(ttl="1h", annotations={names.ROTATE: "1"}))
    await world.settle()
    await world.settle(after=121)
    view, _ = await world.look()
    (pending,) = view.in_state(State.REVOKING)
    assert (pending.lease_id, pending.expires_at) == ("lease-1", lives_until)


async def test_a_longer_ttl_is_on_record_before_it_is_asked_for() -> None:
    world = World()
    await world.settle()
    world.cluster.user_applies(manifest(ttl="48h"))
    world.provider.before("renew", away(sent=True))
    await world.settle(after=1)
    assert world.recorded.ttl_seconds == 48 * 3600
