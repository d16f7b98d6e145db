"""Acquire: on record before it is issued, issued once, never without a record."""

from dataclasses import replace
from datetime import timedelta

import pytest

from leaseholder import errors
from leaseholder.api import base, names
from leaseholder.api.conditions import Reason
from leaseholder.api.record import MOST_LEASES, LeaseRecord
from leaseholder.controller import undelivered
from leaseholder.core import actions
from leaseholder.core.view import View
from leaseholder.ports.provider import Attempt, Issued
from tests.unit.controller import fakes
from tests.unit.controller.world import (
    HERE,
    KEY,
    World,
    away,
    cluster_away,
    denied,
    key_of,
    manifest,
)

CALLS = ("try secret", "prepare", "create record", "issue", "patch record", "write secret")


async def test_a_lease_is_on_record_before_it_is_issued_and_held_before_it_is_delivered() -> None:
    world = World()
    await world.settle()
    assert [call for call in world.trace.calls if call in CALLS] == [*CALLS]
    assert world.records == [("Held", "lease-1")]
    assert (world.secret, world.ready) == ("lease-1", "Ready")
    assert world.meter.issues == ["ok"]


async def test_the_record_says_what_finds_and_reaches_the_lease_again() -> None:
    world = World()
    await world.settle()
    known = world.recorded
    assert world.page.subject == world.subject
    assert world.page.spec.installation == HERE
    assert world.page.metadata.finalizers == (names.ON_RECORD,)
    assert known.holder_uid == world.holder.uid
    assert world.provider.tags["lease-1"] == (HERE, known.attempt_id)
    assert known.provider.address == "https://infisical.example"
    assert known.ttl_seconds == 3600
    assert known.handle == {"kind": "fake"}


async def test_without_a_ttl_the_providers_default_holds() -> None:
    world = World()
    world.cluster.user_applies(manifest(ttl=None))
    await world.settle()
    known = world.recorded
    assert known.ttl_seconds is None
    assert world.secret == "lease-1"


async def test_when_another_process_writes_the_record_first_nothing_is_issued() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    world.cluster.before("create record", lambda: world.rival(1))
    with pytest.raises(errors.Conflict):
        await world.performer.perform(view, step)
    assert [one.attempt_id for one in world.cluster.recorded] == ["rival-1"]
    assert world.count("issue") == 0


async def test_an_attempt_of_another_process_is_waited_for_and_claimed_after_its_deadline() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    ends = base.whole_second(world.clock.wall()) + timedelta(seconds=20)
    world.cluster.before("create record", lambda: world.rival(1, deadline=ends))
    with pytest.raises(errors.Conflict):
        await world.performer.perform(view, step)
    await world.settle(after=10)
    assert world.records == [("Attempt", "")]
    await world.settle(after=10)
    assert (world.records, world.secret) == ([("Revoking", ""), ("Held", "lease-1")], "lease-1")


async def test_nothing_is_issued_for_a_dynamiclease_that_is_deleted_before_its_record_stands() -> (
    None
):
    world = World()
    view, step = await world.upto(actions.Acquire)
    world.cluster.before("create record", lambda: world.cluster.user_deletes(*KEY))
    await world.performer.perform(view, step)
    assert world.count("issue") == 0
    assert world.records == []


@pytest.mark.parametrize("call", ["list slot", "get dynamiclease"])
async def test_an_attempt_that_was_not_sent_goes_again_where_nothing_can_be_seen(call: str) -> None:
    world = World(can=replace(fakes.CAN, slots="One"))
    view, step = await world.upto(actions.Acquire)
    world.cluster.after("create record", lambda: world.cluster.before(call, cluster_away()))
    with pytest.raises(errors.ClusterUnavailable):
        await world.performer.perform(view, step)
    assert (world.records, world.count("issue")) == ([], 0)


async def test_what_would_refuse_the_secret_refuses_before_the_issue() -> None:
    world = World()
    world.cluster.before("try secret", errors.Refused(Reason.WRITE_REFUSED, "over quota"))
    await world.settle()
    assert world.records == []
    assert world.ready == "SecretWriteRefused"
    assert world.count("issue") == 0


@pytest.mark.parametrize("refusal", [denied(), away(sent=False)])
async def test_an_issue_that_was_not_done_leaves_no_record(refusal: errors.ProviderError) -> None:
    world = World()
    world.provider.before("issue", refusal)
    await world.settle()
    assert world.records == []
    assert world.ready == refusal.reason
    assert world.meter.issues == [refusal.outcome]


async def test_an_issue_is_not_sent_after_its_deadline() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    world.cluster.after("create record", lambda: world.clock.move(30))
    await world.performer.perform(view, step)
    assert world.records == []
    assert world.provider.live == {}


async def test_an_issue_whose_answer_is_lost_is_claimed_found_and_revoked() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    world.provider.after("issue", away(sent=True))
    await world.performer.perform(view, step)
    assert world.records == [("Attempt", "")]
    await world.settle()
    assert ("Revoking", "") in world.records
    assert world.count("recover") == 0
    await world.settle(after=50)
    assert world.count("recover") == 1
    assert [*world.provider.live] == ["lease-2"]
    assert (world.records, world.secret) == ([("Held", "lease-2")], "lease-2")


async def test_an_attempt_without_a_lease_is_searched_for_twice_and_then_goes() -> None:
    world = World()
    world.provider.before("issue", away(sent=True))
    await world.settle()
    await world.settle(after=49)
    assert world.count("recover") == 0
    await world.settle(after=1)
    assert world.count("recover") == 1
    await world.settle(after=59)
    assert ("Revoking", "") in world.records
    await world.settle(after=1)
    assert world.count("recover") == 2
    assert world.records == [("Held", "lease-1")]


async def test_the_lease_of_an_adopted_attempt_is_found_by_the_tag_of_who_issued_it() -> None:
    world = World()
    adopted = world.rival(1, installation="cluster/old")
    asked = world.performer.acquirer.attempt_of(adopted)
    world.provider.make(replace(asked, installation="cluster/old"))
    for _ in range(4):
        await world.settle(after=60)
    assert [*world.provider.live] == ["lease-2"]
    assert world.records == [("Held", "lease-2")]


async def test_a_search_that_fails_is_tried_again_later() -> None:
    world = World()
    world.provider.after("issue", away(sent=True))
    await world.settle()
    world.provider.before("recover", away())
    await world.settle(after=50)
    assert ("Revoking", "") in world.records
    await world.settle(after=10)
    assert [*world.provider.live] == ["lease-2"]


async def test_an_attempt_that_left_two_leases_makes_two_pending_revocations() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    world.provider.after("issue", away(sent=True))
    await world.performer.perform(view, step)
    known = world.recorded
    world.provider.make(world.performer.acquirer.attempt_of(known))
    await world.settle()
    world.clock.move(50)
    view, step = await world.upto(actions.Search)
    await world.performer.perform(view, step)
    pending = [lease_id for state, lease_id in world.records if state == "Revoking"]
    assert sorted(pending) == ["lease-1", "lease-2"]
    await world.settle()
    assert [*world.provider.live] == ["lease-3"]


async def test_a_claimed_record_gets_the_lease_id_and_the_credentials_are_dropped() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    world.provider.after("issue", world.claim)
    await world.performer.perform(view, step)
    assert world.records == [("Revoking", "lease-1")]
    assert not world.memory.has_credentials
    await world.settle()
    assert [*world.provider.live] == ["lease-2"]


async def test_a_record_that_only_changed_is_held_with_its_credentials() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    world.provider.after("issue", lambda: [*map(world.cluster.put_record, _known(world))])
    await world.performer.perform(view, step)
    await world.settle()
    assert (world.records, world.secret) == ([("Held", "lease-1")], "lease-1")


def _known(world: World) -> list[LeaseRecord]:
    return [*world.cluster.ledger.values()]


async def test_a_lease_whose_record_is_gone_is_put_back_to_be_revoked() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    world.provider.after("issue", world.cluster.ledger.clear)
    await world.performer.perform(view, step)
    pending = world.recorded
    assert world.records == [("Revoking", "lease-1")]
    assert pending.revoke is not None
    assert pending.revoke.reason == Reason.UNDELIVERED
    assert not world.memory.has_credentials


async def test_a_record_that_goes_after_it_was_claimed_is_put_back_too() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    world.provider.after("issue", world.claim)
    world.cluster.before("get record", None, world.cluster.ledger.clear)
    await world.performer.perform(view, step)
    assert world.records == [("Revoking", "lease-1")]


async def test_a_lease_without_a_record_is_put_back_when_the_ledger_takes_it_again() -> None:
    world = World()
    world.provider.after("issue", world.cluster.ledger.clear)
    world.cluster.before("create record", None, cluster_away())
    async with world.running():
        await world.controller.offer(world.key)
        await world.passed()
        assert world.records == []
        await world.passed(after=5)
    assert [*world.provider.live] == ["lease-2"]
    assert world.secret == "lease-2"


async def test_an_issue_that_the_ledger_did_not_take_is_held_by_the_same_process() -> None:
    world = World()
    world.cluster.before("patch record", cluster_away())
    view, step = await world.upto(actions.Acquire)
    with pytest.raises(errors.ClusterUnavailable):
        await world.performer.perform(view, step)
    assert world.records == [("Attempt", "")]
    await world.settle()
    assert (world.records, world.secret) == ([("Held", "lease-1")], "lease-1")
    assert world.count("issue") == 1


async def test_a_claimed_attempt_gets_its_lease_id_also_where_the_first_write_failed() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    world.cluster.before("patch record", cluster_away())
    with pytest.raises(errors.ClusterUnavailable):
        await world.performer.perform(view, step)
    world.claim()
    await world.observer.records.compare()
    view, step = await world.upto(actions.Hold)
    await world.performer.perform(view, step)
    assert world.records == [("Revoking", "lease-1")]
    assert not world.memory.has_credentials
    await world.settle()
    assert world.count("recover") == 0
    assert [*world.provider.live] == ["lease-2"]


async def test_a_ledger_that_refuses_an_issued_lease_is_asked_again_and_nothing_is_issued() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    refusal = errors.Refused(Reason.WRITE_REFUSED, "no right")
    world.cluster.before("patch record", cluster_away(), refusal)
    with pytest.raises(errors.ClusterUnavailable):
        await world.performer.perform(view, step)
    with pytest.raises(errors.Refused):
        await world.step()
    await world.settle()
    assert world.secret == "lease-1"


async def test_an_attempt_of_a_process_that_crashed_is_never_completed() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    world.cluster.before("patch record", cluster_away())
    with pytest.raises(errors.ClusterUnavailable):
        await world.performer.perform(view, step)
    world.crash()
    await world.settle()
    await world.settle(after=50)
    assert [*world.provider.live] == ["lease-2"]
    assert world.secret == "lease-2"


async def test_what_the_provider_notes_is_on_record_before_the_issue() -> None:
    world = World()
    world.provider.notes = {"accessor": "a-1"}
    view, step = await world.upto(actions.Acquire)
    world.provider.after("issue", away(sent=True))
    await world.performer.perform(view, step)
    known = world.recorded
    assert (known.notes, known.handle) == ({"accessor": "a-1"}, {})
    (asked,) = world.provider.attempts
    assert asked.handle == {"accessor": "a-1"}
    assert world.performer.acquirer.attempt_of(known).handle == {"accessor": "a-1"}


async def test_an_event_says_why_a_lease_takes_another_ones_place() -> None:
    world = World()
    await world.settle()
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "now"}))
    await world.settle()
    told = [note.message for _, note in world.cluster.notes if note.reason == Reason.ISSUED]
    assert told == ["issued lease lease-1", "issued lease lease-2: leaseholder.dev/rotate says so"]


async def test_a_claim_that_a_list_showed_meanwhile_is_not_written_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    issue = world.provider.issue

    async def issued(attempt: Attempt) -> Issued:
        answer = await issue(attempt)
        world.claim()
        await world.observer.records.compare()
        return answer

    monkeypatch.setattr(world.provider, "issue", issued)
    await world.performer.perform(view, step)
    assert world.records == [("Revoking", "lease-1")]
    assert not world.memory.has_credentials


async def _left_behind(world: World, leases: int) -> tuple[View, actions.Search]:
    """An attempt that left so many leases, when it is searched for."""
    view, step = await world.upto(actions.Acquire)
    world.provider.after("issue", away(sent=True))
    await world.performer.perform(view, step)
    known = world.recorded
    for _ in range(leases - 1):
        world.provider.make(world.performer.acquirer.attempt_of(known))
    await world.settle()
    world.clock.move(50)
    view, found = await world.upto(actions.Search)
    assert isinstance(found, actions.Search)
    return view, found


async def test_what_an_attempt_left_is_on_record_by_one_write_and_once() -> None:
    world = World()
    view, step = await _left_behind(world, 3)
    world.cluster.before("patch record", cluster_away())
    with pytest.raises(errors.ClusterUnavailable):
        await world.performer.perform(view, step)
    assert [lease_id for state, lease_id in world.records if state == "Revoking"] == [""]
    writes = world.count("patch record")
    view, step = await world.upto(actions.Search)
    await world.performer.perform(view, step)
    assert world.count("patch record") == writes + 1
    found = [lease_id for state, lease_id in world.records if state == "Revoking"]
    assert sorted(found) == ["lease-1", "lease-2", "lease-3"]


async def test_more_leases_than_a_record_holds_are_taken_back_some_at_a_time() -> None:
    world = World()
    view, step = await _left_behind(world, 60)
    await world.performer.perform(view, step)
    assert len(world.records) == MOST_LEASES
    assert ("Revoking", "") in world.records
    for _ in range(8):
        await world.settle(after=20)
    assert [*world.provider.live] == ["lease-61"]
    assert world.records == [("Held", "lease-61")]


async def test_what_no_secret_takes_fills_no_memory_and_is_taken_back() -> None:
    """Each answer leaves no room for what the template makes of it, and so is kept in memory."""
    world = World()
    world.provider.values = {f"KEY{number}": "x" * 16_000 for number in range(50)}
    target = {"template": {"data": {"ALL": "{{ KEY1 }}" * 30}}}
    keys = [
        key_of(world.cluster.user_applies(manifest(f"large-{n}", target=target)).holder)
        for n in range(20)
    ]
    async with world.running() as controller:
        for key in keys:
            await controller.offer(key)
        await world.passed()
        await world.passed(after=600)
        entries = (controller._entries[key] for key in keys)
        leases = [one for entry in entries for one in entry.memory.leases.values()]
        held = sum(one.credentials.size for one in leases if one.credentials is not None)
        assert undelivered.MOST / 2 < held <= undelivered.MOST
        assert world.count("revoke") > 0
