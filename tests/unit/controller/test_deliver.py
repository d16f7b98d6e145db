"""Deliver: only a lease that is held and wanted, and never over somebody else's write."""

import dataclasses

import pytest

from leaseholder import errors
from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.record import Ended, State
from leaseholder.core import actions
from tests.unit import clocks
from tests.unit.controller.world import KEY, NAME, SHOP, World, cluster_away, manifest


async def test_a_record_that_moved_meanwhile_is_not_delivered() -> None:
    world = World()
    view, step = await world.upto(actions.Deliver)
    view.known(step.record).fence = None
    world.others_write(step.record.but(state=State.REVOKING))
    await world.performer.perform(view, step)
    assert world.count("write secret") == 0


async def test_a_lease_that_is_off_the_record_meanwhile_is_not_delivered() -> None:
    world = World()
    view, step = await world.upto(actions.Deliver)
    view.known(step.record).fence = None
    over = Ended(attempt_id=step.record.attempt_id, at=world.clock.wall(), why="Forgotten")
    world.others_write(ended=(over,))
    await world.performer.perform(view, step)
    assert world.count("write secret") == 0
    await world.look()
    assert world.memory.leases == {}
    assert not world.memory.has_credentials


async def test_right_after_its_issue_a_lease_is_delivered_without_another_look() -> None:
    world = World()
    view, step = await world.upto(actions.Deliver)
    world.trace.calls.clear()
    await world.performer.perform(view, step)
    assert world.trace.calls == ["write secret"]
    assert view.known(step.record).fence is None


async def test_a_secret_that_was_written_since_the_lease_was_put_on_record_needs_another_look() -> (
    None
):
    world = World()
    await world.settle()
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}))
    await world.upto(actions.Deliver)
    world.cluster.user_writes_secret(SHOP, NAME)
    view, step = await world.upto(actions.Deliver)
    world.others_write(*(one.but(state=State.REVOKING) for one in world.cluster.recorded))
    await world.performer.perform(view, step)
    assert world.secret == "lease-1"


async def test_a_dynamiclease_that_is_deleted_before_a_later_delivery_gets_no_secret() -> None:
    world = World()
    view, step = await world.upto(actions.Deliver)
    view.known(step.record).fence = None
    world.cluster.user_deletes(*KEY)
    await world.performer.perform(view, step)
    world.cluster.vanish(*KEY)
    await world.performer.perform(view, step)
    assert world.count("write secret") == 0


async def test_a_secret_that_is_renamed_meanwhile_is_written_under_its_new_name() -> None:
    world = World()
    view, step = await world.upto(actions.Deliver)
    view.known(step.record).fence = None
    world.cluster.user_applies(manifest(target={"secretName": "other"}))
    await world.performer.perform(view, step)
    assert world.count("write secret") == 0
    await world.settle()
    assert [*world.cluster.secrets] == [(SHOP, "other")]
    assert world.count("issue") == 1


async def test_what_was_just_issued_is_delivered_without_another_look() -> None:
    world = World()
    view, step = await world.upto(actions.Deliver)
    looks = world.count("get dynamiclease")
    await world.performer.perform(view, step)
    assert world.count("get dynamiclease") == looks
    assert world.secret == "lease-1"


async def test_a_secret_that_changed_meanwhile_is_a_conflict_and_delivered_at_the_next_look() -> (
    None
):
    world = World()
    await world.settle()
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}))
    view, step = await world.upto(actions.Deliver)
    world.cluster.user_writes_secret(SHOP, NAME)
    with pytest.raises(errors.Conflict):
        await world.performer.perform(view, step)
    await world.settle()
    assert world.secret == "lease-2"
    assert world.count("issue") == 2


async def test_a_newer_lease_in_the_secret_is_never_replaced_by_an_older_one() -> None:
    world = World()
    view, step = await world.upto(actions.Deliver)
    newer = {names.ATTEMPT: world.rival(9, state="Held", leaseId="lease-9").attempt_id}
    ours = {names.OWNER_UID: world.holder.uid}
    seen = world.cluster.user_writes_secret(SHOP, NAME, labels=ours, annotations=newer)
    await world.performer.perform(dataclasses.replace(view, target=seen), step)
    assert world.count("write secret") == 0


async def test_a_delivery_that_is_refused_keeps_the_lease_for_later() -> None:
    world = World()
    world.cluster.before("write secret", errors.Refused(Reason.WRITE_REFUSED, "over quota"))
    await world.settle()
    assert (world.ready, world.secret) == ("SecretWriteRefused", None)
    await world.settle(after=10)
    assert (world.ready, world.secret) == ("Ready", "lease-1")
    assert world.count("issue") == 1


async def test_a_delivery_without_an_answer_is_seen_at_the_next_look() -> None:
    world = World()
    world.cluster.after("write secret", cluster_away())
    view, step = await world.upto(actions.Deliver)
    with pytest.raises(errors.ClusterUnavailable):
        await world.performer.perform(view, step)
    await world.settle()
    assert world.ready == "Ready"
    assert (world.count("issue"), world.count("revoke")) == (1, 0)


async def test_somebody_elses_secret_is_never_written() -> None:
    world = World()
    world.cluster.user_writes_secret(SHOP, NAME, values={"THEIRS": "x"})
    await world.settle()
    assert world.ready == "SecretNotOurs"
    assert world.cluster.values[KEY] == {"THEIRS": "x"}
    assert world.count("issue") == 0


async def test_a_secret_whose_owner_is_gone_is_taken_over_and_a_living_owners_is_not() -> None:
    world = World()
    other = world.cluster.user_applies(manifest("other"))
    labels = {names.OWNER_UID: other.metadata.uid}
    notes = {names.OWNER_NAME: "other"}
    world.cluster.user_writes_secret(SHOP, NAME, labels=labels, annotations=notes)
    await world.settle()
    assert world.ready == "SecretNotOurs"
    world.cluster.vanish(SHOP, "other")
    await world.settle()
    assert (world.ready, world.secret) == ("Ready", "lease-1")


async def test_marks_that_were_taken_off_come_back_without_an_issue() -> None:
    world = World()
    await world.settle()
    world.cluster.user_writes_secret(SHOP, NAME, labels={"team": "shop"})
    await world.settle()
    labels = world.cluster.secrets[KEY].labels
    assert labels["team"] == "shop"
    assert labels[names.OWNER_UID] == world.holder.uid
    assert (world.count("write secret"), world.count("issue")) == (2, 1)


async def test_a_former_secret_goes_when_the_renamed_one_is_delivered() -> None:
    world = World()
    await world.settle()
    world.cluster.user_applies(manifest(target={"secretName": "other"}))
    await world.settle()
    assert [*world.cluster.secrets] == [(SHOP, "other")]


async def test_what_was_gone_deletes_no_secret_that_one_made_again_has() -> None:
    world = World()
    await world.settle()
    world.cluster.vanish(*KEY)
    view, _ = await world.look()
    world.cluster.user_applies(manifest())
    await world.settle()
    taken_over = world.cluster.secrets[KEY]
    await world.performer.perform(view, actions.DeleteSecret(taken_over))
    assert world.cluster.secrets[KEY] == taken_over


async def test_an_orphans_lease_and_secret_stay() -> None:
    world = World()
    world.cluster.user_applies(manifest(deletion={"policy": "Orphan"}))
    await world.settle()
    world.cluster.user_deletes(*KEY)
    assert await world.settle() == actions.Release()
    assert world.records == []
    assert world.secret == "lease-1"
    assert world.cluster.secrets[KEY].owner_uids == ()
    assert world.cluster.notes[-1][1].reason == Reason.ORPHANED
    await world.settle(after=61)
    assert [(one.why, one.until) for one in world.page.spec.ended] == [
        ("Orphaned", world.provider.live["lease-1"].expires_at)
    ]
    await world.settle(after=3600)
    assert world.cluster.ledger == {}, "the lease is over, and so is what was kept of it"


@pytest.mark.parametrize("off", [-2 * 86400.0, 2 * 86400.0], ids=["behind", "ahead"])
async def test_an_orphans_record_is_kept_by_the_clusters_clock(off: float) -> None:
    world = World()
    world.cluster.user_applies(manifest(deletion={"policy": "Orphan"}))
    await world.settle()
    world.cluster.user_deletes(*KEY)
    await world.settle()
    right = world.cluster.clock = clocks.FakeClock()
    world.clock.ahead = off
    for passed, there in ((61, True), (3600, False)):
        right.move(passed)
        await world.settle(after=passed)
        assert bool(world.cluster.ledger) is there


MARKS = {names.OWNER_NAME: NAME, names.SECRET: f"{SHOP}/{NAME}"}


@pytest.mark.parametrize(
    ("labels", "notes", "stays"),
    [
        ({names.OWNER_UID: "a-former-uid"}, MARKS, False),
        ({}, MARKS, True),
        ({names.OWNER_UID: "a-former-uid"}, {**MARKS, names.OWNER_NAME: "another"}, True),
        ({names.OWNER_UID: "a-former-uid"}, {**MARKS, names.SECRET: f"{SHOP}/another"}, True),
        ({names.OWNER_UID: "a-former-uid"}, {names.OWNER_NAME: NAME}, True),
    ],
)
async def test_only_with_all_our_marks_a_secret_goes_with_one_that_never_wrote_it(
    labels: dict[str, str], notes: dict[str, str], stays: bool
) -> None:
    """What an earlier DynamicLease of the name left, whose leases are on no record any more."""
    world = World()
    world.cluster.providers.clear()
    former = {"DB_PASSWORD": "former"}
    world.cluster.user_writes_secret(SHOP, NAME, labels=labels, annotations=notes, values=former)
    await world.settle()
    assert world.cluster.values[KEY] == former
    world.cluster.user_deletes(*KEY)
    await world.settle()
    assert (KEY in world.cluster.secrets) is stays
    assert KEY not in world.cluster.leases
