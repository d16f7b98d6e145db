"""The ledger as known: each write a compare-and-swap, and no lease lost that this process knows."""

import dataclasses
import json
import time
from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api import names, record
from leaseholder.api.conditions import Reason
from leaseholder.api.record import Ended, LeaseRecord, RecordedLease, Revocation, State, Subject
from leaseholder.controller import known_records
from leaseholder.controller.compare import Comparison
from leaseholder.controller.keys import Key
from leaseholder.controller.records import Records
from leaseholder.core import actions
from leaseholder.core.memory import MOST_FORMER, Memory
from leaseholder.ports.namespaces import NamespaceView
from tests.unit.controller.world import HERE, KEY, NAME, SHOP, World, away, cluster_away, manifest
from tests.unit.core.views import decide

SUBJECT = Subject(namespace=SHOP, namespace_uid=SHOP, name=NAME)
TRUST = {"caBundle": "PEM"}


def lease(world: World, number: int = 1, **fields: Any) -> RecordedLease:
    """A lease that isn't on record yet."""
    made = World().rival(number, **fields)
    when = world.clock.wall()
    return made.but(started_at=when, deadline=when)


def another(world: World) -> Records:
    """The ledger as another process knows it."""
    return Records(HERE, cluster=world.cluster)


def attempts(page: LeaseRecord | None) -> list[str]:
    return [one.attempt_id for one in page.leases] if page is not None else []


async def recorded(*numbers: int, **fields: Any) -> tuple[World, Records]:
    """A ledger on which this process put some leases."""
    world = World()
    records = another(world)
    await records.load()
    for number in numbers:
        await records.add(SUBJECT, lease(world, number, **fields))
    return world, records


# ------------------------------------------------------------------------------- reading, writing


async def test_the_first_lease_makes_the_record_and_each_later_write_changes_it() -> None:
    world, records = await recorded(1, 2)
    assert world.trace.calls == ["list records", "create record", "patch record"]
    held = world.cluster.recorded[0].but(state=State.HELD, lease_id="lease-1")
    await records.replace(SUBJECT, held)
    assert world.records == [("Held", "lease-1"), ("Attempt", "")]
    assert attempts(records.known(SUBJECT)) == ["rival-1", "rival-2"]
    assert world.count("get record") == 0


async def test_the_ledger_is_listed_once_and_each_record_is_known_by_its_last_write() -> None:
    world, records = await recorded(1)
    await records.load()
    restarted = another(world)
    await restarted.load()
    assert world.count("list records") == 2
    assert [*restarted] == [*records] == [*world.cluster.ledger.values()]
    assert restarted.of(SHOP, NAME) == [restarted.known(SUBJECT)]
    assert restarted.of(SHOP, "nobody") == []


async def test_a_provider_counts_as_needed_while_a_lease_of_it_is_on_record_or_to_be_put_back() -> (
    None
):
    world, records = await recorded(1, 2)
    first, second = world.cluster.recorded
    elsewhere = second.provider.model_copy(update={"uid": "another-uid"})
    await records.replace(SUBJECT, second.but(provider=elsewhere))
    assert records.providers() == {"provider-uid", "another-uid"}
    await records.end(SUBJECT, first.attempt_id, "Confirmed", world.clock.wall())
    assert records.providers() == {"another-uid"}
    world.cluster.ledger.clear()
    await records.reread(SUBJECT)
    assert records.providers() == {"another-uid"}
    assert another(world).providers() == set()


async def test_which_providers_are_needed_is_known_without_going_through_all_records() -> None:
    world = World()
    records, one = world.observer.records, lease(world)
    await records.load()
    for number in range(3000):
        await records.add(SUBJECT.model_copy(update={"name": f"lease-{number}"}), one)
    began = time.thread_time()
    for _ in range(100):
        assert records.providers() == {"provider-uid"}
    asked = time.thread_time() - began
    assert {one.provider.uid for page in records for one in page.leases} == {"provider-uid"}
    assert asked < time.thread_time() - began - asked


async def test_attempts_that_are_open_at_the_start_are_those_of_a_process_that_is_gone() -> None:
    world, records = await recorded(1)
    await records.add(SUBJECT, lease(world, 2, state="Held"))
    restarted = another(world)
    await restarted.load()
    assert restarted.at_start == {"rival-1"}
    assert records.at_start == frozenset()


async def test_a_write_that_meets_anothers_changes_nothing_and_reads_the_record() -> None:
    world, records = await recorded(1)
    theirs = another(world)
    await theirs.load()
    await theirs.add(SUBJECT, lease(world, 2))
    with pytest.raises(errors.Conflict):
        await records.add(SUBJECT, lease(world, 3))
    assert attempts(records.known(SUBJECT)) == ["rival-1", "rival-2"]
    assert not records.lost(SUBJECT)
    await records.add(SUBJECT, lease(world, 3))
    assert attempts(world.page) == ["rival-1", "rival-2", "rival-3"]


async def test_of_two_that_make_the_record_one_meets_a_conflict() -> None:
    world, records = await recorded()
    theirs = another(world)
    await theirs.load()
    await theirs.add(SUBJECT, lease(world, 1))
    with pytest.raises(errors.Conflict):
        await records.add(SUBJECT, lease(world, 2))
    assert attempts(records.known(SUBJECT)) == ["rival-1"]


async def test_what_is_not_on_record_cannot_be_replaced_and_goes_without_a_write() -> None:
    world, records = await recorded(1)
    with pytest.raises(errors.Conflict):
        await records.replace(SUBJECT, lease(world, 9))
    nobody = SUBJECT.model_copy(update={"name": "nobody"})
    with pytest.raises(errors.Conflict):
        await records.replace(nobody, lease(world, 9))
    writes = world.count("patch record")
    await records.end(SUBJECT, "rival-9", "Confirmed", world.clock.wall())
    await records.end(nobody, "rival-9", "Confirmed", world.clock.wall())
    assert world.count("patch record") == writes


async def test_what_was_decided_from_an_older_record_is_not_written_on_a_newer_one() -> None:
    """The record may be read anew in the background, between decision and write."""
    world, records = await recorded(1)
    (seen,) = world.cluster.recorded
    theirs = another(world)
    await theirs.load()
    await theirs.replace(SUBJECT, seen.but(state=State.REVOKING))
    await records.compare()
    with pytest.raises(errors.Conflict):
        await records.replace(SUBJECT, seen.but(state=State.HELD), was=seen)
    with pytest.raises(errors.Conflict):
        await records.end(SUBJECT, "rival-1", "NotFound", world.clock.wall(), was=seen)
    assert world.records == [("Revoking", "")]


async def test_nothing_is_issued_where_the_record_was_read_anew_since_the_decision() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    theirs = another(world)
    await theirs.load()
    await theirs.add(SUBJECT, lease(world, 1))
    await world.observer.records.compare()
    with pytest.raises(errors.Conflict):
        await world.performer.perform(view, step)
    assert world.count("issue") == 0


async def test_a_write_without_an_answer_that_took_effect_is_met_by_the_next_one() -> None:
    world, records = await recorded(1)
    world.cluster.after("patch record", cluster_away())
    with pytest.raises(errors.ClusterUnavailable):
        await records.add(SUBJECT, lease(world, 2))
    assert attempts(records.known(SUBJECT)) == ["rival-1"]
    with pytest.raises(errors.Conflict):
        await records.end(SUBJECT, "rival-1", "Confirmed", world.clock.wall())
    assert attempts(records.known(SUBJECT)) == ["rival-1", "rival-2"]


async def test_what_a_newer_version_wrote_survives_our_write() -> None:
    world, records = await recorded()
    later = {"laterField": {"deep": 1}, "provider": {**lease(world).provider.dump(), "later": "x"}}
    newer = RecordedLease.model_validate({**lease(world).dump(), **later})
    world.others_write(newer, later_spec="kept")
    await records.compare()
    await records.replace(SUBJECT, records.of(SHOP, NAME)[0].leases[0].but(state=State.HELD))
    await records.add(SUBJECT, lease(world, 2))
    (first, _) = world.page.spec.dump()["leases"]
    assert first["state"] == "Held"
    assert first["laterField"] == {"deep": 1}
    assert first["provider"]["later"] == "x"


# ----------------------------------------------------------------------------------- what ended


async def test_a_lease_goes_by_a_write_that_names_it_and_the_last_few_are_remembered() -> None:
    world, records = await recorded()
    for number in range(1, record.MOST_ENDED + 4):
        await records.add(SUBJECT, lease(world, number))
        await records.end(SUBJECT, f"rival-{number}", "Confirmed", world.clock.wall())
    named = [one.attempt_id for one in world.page.spec.ended]
    assert named == [f"rival-{number}" for number in range(4, record.MOST_ENDED + 4)]
    assert world.page.leases == ()
    assert world.page.metadata.finalizers == ()


async def test_a_record_without_leases_is_deleted_and_one_with_a_lease_is_not() -> None:
    world, records = await recorded(1)
    await records.discard(SUBJECT)
    assert attempts(world.page) == ["rival-1"]
    await records.end(SUBJECT, "rival-1", "NotIssued", world.clock.wall())
    await records.discard(SUBJECT)
    assert world.cluster.ledger == {}
    assert records.known(SUBJECT) is None
    assert records.of(SHOP, NAME) == []
    await records.discard(SUBJECT)
    assert world.count("delete record") == 1


async def test_a_record_that_another_process_uses_again_is_not_deleted() -> None:
    world, records = await recorded(1)
    await records.end(SUBJECT, "rival-1", "NotIssued", world.clock.wall())
    theirs = another(world)
    await theirs.load()
    await theirs.add(SUBJECT, lease(world, 2))
    with pytest.raises(errors.Conflict):
        await records.discard(SUBJECT)
    assert attempts(records.known(SUBJECT)) == attempts(world.page) == ["rival-2"]


# --------------------------------------------------------------------- what was taken off is lost


async def test_what_a_restore_took_off_is_put_back_as_it_was_known() -> None:
    world, records = await recorded(1, 2, state="Held", leaseId="lease-9")
    world.others_write(world.cluster.recorded[0])
    assert await records.compare() == [Key(SHOP, NAME)]
    assert records.lost(SUBJECT)
    await records.put_back(SUBJECT)
    assert world.records == [("Held", "lease-9")] * 2
    assert not records.lost(SUBJECT)


async def test_an_attempt_that_is_put_back_is_unclear_and_nobody_can_complete_it() -> None:
    world, records = await recorded(1)
    world.others_write()
    await records.reread(SUBJECT)
    await records.put_back(SUBJECT)
    assert world.records == [("Revoking", "")]
    assert world.recorded.revocation.reason == Reason.UNCLEAR


async def test_what_ended_says_is_over_is_not_put_back() -> None:
    world, records = await recorded(1, 2)
    over = Ended(attempt_id="rival-2", at=world.clock.wall(), why="Forgotten")
    world.others_write(world.cluster.recorded[0], ended=(over,))
    await records.compare()
    assert not records.lost(SUBJECT)
    assert attempts(records.known(SUBJECT)) == ["rival-1"]


async def test_leases_of_a_record_that_somebody_deleted_are_put_back_on_a_new_one() -> None:
    world, records = await recorded(1, 2, state="Held", leaseId="lease-9")
    world.cluster.user_takes_record(world.page.name)
    with pytest.raises(errors.Conflict):
        await records.end(SUBJECT, "rival-1", "Confirmed", world.clock.wall())
    assert records.known(SUBJECT) is None
    assert records.lost(SUBJECT)
    await records.put_back(SUBJECT)
    assert attempts(world.page) == ["rival-1", "rival-2"]


async def test_a_putting_back_that_fails_is_still_to_be_done() -> None:
    world, records = await recorded(1)
    world.others_write()
    await records.compare()
    world.cluster.before("patch record", cluster_away())
    with pytest.raises(errors.ClusterUnavailable):
        await records.put_back(SUBJECT)
    assert records.lost(SUBJECT)
    await records.put_back(SUBJECT)
    assert attempts(world.page) == ["rival-1"]


async def test_what_somebody_put_back_before_us_is_not_doubled_and_keeps_its_state() -> None:
    world, records = await recorded(1)
    known = world.recorded
    world.others_write()
    await records.compare()
    world.others_write(known.but(state=State.SUPERSEDED))
    with pytest.raises(errors.Conflict):
        await records.put_back(SUBJECT)
    await records.put_back(SUBJECT)
    assert world.records == [("Superseded", "")]
    assert not records.lost(SUBJECT)


async def test_a_lease_that_only_this_process_knows_is_put_back_with_its_id() -> None:
    world, records = await recorded(1)
    answered = world.recorded.but(
        state=State.REVOKING,
        lease_id="lease-1",
        revoke=Revocation(reason=Reason.UNDELIVERED),
    )
    world.others_write()
    await records.compare()
    records.miss(SUBJECT, answered)
    await records.put_back(SUBJECT)
    assert world.records == [("Revoking", "lease-1")]


async def test_what_is_put_back_stands_in_the_order_in_which_it_began() -> None:
    world, records = await recorded(1)
    world.clock.move(10)
    await records.add(SUBJECT, lease(world, 2))
    world.others_write(world.cluster.recorded[1])
    await records.compare()
    await records.put_back(SUBJECT)
    assert attempts(world.page) == ["rival-1", "rival-2"]


async def test_the_controller_puts_back_what_a_hand_took_off_and_goes_on() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        world.others_write()
        await world.observer.records.compare()
        await controller.offer(world.key)
        await world.passed()
    assert world.records == [("Held", "lease-1")]
    assert (world.ready, world.count("issue")) == ("Ready", 1)


async def test_credentials_of_a_lease_that_was_taken_off_its_record_are_not_delivered() -> None:
    world = World()
    view, _ = await world.upto(actions.Deliver)
    world.others_write()
    await world.observer.records.compare()
    await world.performer.put_back(view)
    assert not world.memory.has_credentials
    await world.settle(after=600)
    assert (world.secret, world.ready) == ("lease-2", "Ready")
    assert list(world.provider.live) == ["lease-2"]


async def test_nor_are_those_of_a_lease_that_somebody_restored_before_it_was_put_back() -> None:
    world = World()
    view, _ = await world.upto(actions.Deliver)
    before = world.cluster.recorded
    world.others_write()
    await world.observer.records.compare()
    world.provider.live.clear()  # who took it off revoked it
    world.others_write(*before)
    await world.observer.records.compare()
    assert world.observer.records.lost(view.subject)
    await world.performer.put_back(view)
    assert not world.memory.has_credentials
    await world.settle(after=600)
    assert (world.secret, world.ready) == ("lease-2", "Ready")


async def test_the_finalizer_stays_while_a_lease_is_to_be_put_back() -> None:
    world = World()
    await world.settle()
    world.cluster.user_deletes(*KEY)
    view, step = await world.upto(actions.Release)
    gone = RecordedLease.model_validate({**lease(world, 7).dump(), "state": "Held"})
    world.others_write(gone)
    with pytest.raises(errors.Conflict):
        await world.performer.perform(view, step)
    assert KEY in world.cluster.leases


# ------------------------------------------------------------------------------------- comparing


async def test_a_comparison_names_what_changed_and_takes_it() -> None:
    world, records = await recorded(1)
    assert await records.compare() == []
    other = SUBJECT.model_copy(update={"name": "other"})
    theirs = another(world)
    await theirs.load()
    await theirs.add(SUBJECT, lease(world, 2))
    await theirs.add(other, lease(world, 3))
    assert {*await records.compare()} == {Key(SHOP, NAME), Key(SHOP, "other")}
    assert attempts(records.known(SUBJECT)) == ["rival-1", "rival-2"]
    assert attempts(records.known(other)) == ["rival-3"]


async def test_a_record_that_a_list_misses_is_read_before_it_counts_as_gone() -> None:
    world, records = await recorded(1)
    page = world.cluster.user_takes_record(world.page.name)
    world.cluster.after("list records", lambda: world.cluster.ledger.update({page.name: page}))
    assert await records.compare() == [Key(SHOP, NAME)]
    assert attempts(records.known(SUBJECT)) == ["rival-1"]
    assert not records.lost(SUBJECT)
    world.cluster.user_takes_record(page.name)
    await records.compare()
    assert records.known(SUBJECT) is None
    assert records.lost(SUBJECT)


async def test_a_list_that_is_older_than_our_own_write_changes_nothing() -> None:
    world, records = await recorded(1)
    before = world.page

    async def write_meanwhile() -> None:
        await records.add(SUBJECT, lease(world, 2))

    listed = world.cluster.records

    async def stale() -> list[LeaseRecord]:
        found = [before]
        await write_meanwhile()
        return found

    world.cluster.records = stale  # type: ignore[method-assign]
    assert await records.compare() == []
    world.cluster.records = listed  # type: ignore[method-assign]
    assert attempts(records.known(SUBJECT)) == ["rival-1", "rival-2"]


async def test_records_of_another_installation_or_under_a_wrong_name_are_left_alone() -> None:
    world, records = await recorded(1)
    (known,) = world.cluster.ledger.values()
    theirs = known.spec.model_copy(update={"installation": "another"})
    await world.cluster.create_record(theirs)
    forged = known.metadata.model_copy(update={"name": "forged", "uid": "forged"})
    world.cluster.put_record(known.model_copy(update={"metadata": forged}))
    assert await records.compare() == []
    assert len([*records]) == 1


# ---------------------------------------------------------------------------------------- trusts


async def test_a_trust_stands_on_the_record_once_and_goes_with_its_last_lease() -> None:
    world, records = await recorded()
    trusted = lease(world).provider.model_copy(update={"trust": record.trust_key(TRUST)})
    for number in (1, 2):
        await records.add(SUBJECT, lease(world, number).but(provider=trusted), TRUST)
    await records.add(SUBJECT, lease(world, 3))
    assert world.page.spec.trusts == {record.trust_key(TRUST): TRUST}
    await records.end(SUBJECT, "rival-1", "Confirmed", world.clock.wall())
    assert world.page.spec.trusts == {record.trust_key(TRUST): TRUST}
    await records.end(SUBJECT, "rival-2", "Confirmed", world.clock.wall())
    assert world.page.spec.trusts == {}


async def test_a_lease_that_is_put_back_has_its_trust_again() -> None:
    world, records = await recorded()
    trusted = lease(world).provider.model_copy(update={"trust": record.trust_key(TRUST)})
    await records.add(SUBJECT, lease(world).but(provider=trusted), TRUST)
    world.others_write(trusts={})
    await records.compare()
    await records.put_back(SUBJECT)
    assert world.page.spec.trusts == {record.trust_key(TRUST): TRUST}


async def test_trusts_that_no_record_needs_are_not_kept_for_ever() -> None:
    world, records = await recorded(1)
    for number in range(200):
        trust = {"caBundle": f"PEM {number}"}
        provider = lease(world).provider.model_copy(update={"trust": record.trust_key(trust)})
        attempt = lease(world).but(attempt_id="passing", provider=provider)
        await records.add(SUBJECT, attempt, trust)
        await records.end(SUBJECT, "passing", "NotIssued", world.clock.wall())
    assert len(records._shelf.trusts) <= 2 + 64 + 1


# ------------------------------------------------------------------------------------------ room


async def test_no_lease_is_put_on_a_record_that_has_no_room_for_what_it_grows_by() -> None:
    world, records = await recorded()
    large = {"parameters": {"note": "<" * 20_000}}  # six bytes each, as the API server writes it
    for number in range(1, 9):
        await records.add(SUBJECT, lease(world, number, source=large))
    with pytest.raises(errors.Refused) as refused:
        await records.add(SUBJECT, lease(world, 9, source=large))
    assert refused.value.reason == Reason.TOO_MANY
    assert len(json.dumps(world.page.spec.dump()).replace("<", "\\u003c")) < record.MOST_BYTES
    await records.add(SUBJECT, lease(world, 10))
    assert records.room_for(SUBJECT, [lease(world, 11), lease(world, 12, source=large)]) == 1
    assert records.room_for(SUBJECT, [lease(world, 12, source=large)]) == 0


async def test_trusts_have_a_bound_of_their_own() -> None:
    world, records = await recorded()
    for number in range(4):
        trust = {"caBundle": f"{number}" * 60_000}
        provider = lease(world).provider.model_copy(update={"trust": record.trust_key(trust)})
        await records.add(SUBJECT, lease(world, number).but(provider=provider), trust)
    trust = {"caBundle": "ä" * 30_000}
    provider = lease(world).provider.model_copy(update={"trust": record.trust_key(trust)})
    with pytest.raises(errors.Refused):
        await records.add(SUBJECT, lease(world, 9).but(provider=provider), trust)
    assert len(world.page.leases) == 4


async def test_no_more_leases_are_put_on_a_record_than_it_is_for() -> None:
    world, records = await recorded(*range(record.MOST_LEASES))
    with pytest.raises(errors.Refused):
        await records.add(SUBJECT, lease(world, 99))
    assert records.room_for(SUBJECT, [lease(world, 99)]) == 0


async def test_of_what_is_to_be_put_back_so_many_as_have_room_and_the_rest_later() -> None:
    world, records = await recorded(*range(record.MOST_LEASES))
    ours = [f"rival-{number}" for number in range(record.MOST_LEASES)]
    world.others_write(*(lease(world, number) for number in range(100, 112)))
    await records.compare()
    assert records.lost(SUBJECT)
    assert len(await records.put_back(SUBJECT)) == record.MOST_IN_ALL - 12
    assert not records.lost(SUBJECT)
    for number in range(100, 112):
        await records.end(SUBJECT, f"rival-{number}", "NotFound", world.clock.wall())
    assert records.lost(SUBJECT)
    assert len(await records.put_back(SUBJECT)) == 4
    assert not records.lost(SUBJECT)
    assert sorted(attempts(world.page)) == sorted(ours)


# ------------------------------------------------------------------------------ former namespaces


def made_again(world: World, uid: str = "another") -> None:
    world.cluster.namespaces[SHOP] = NamespaceView(name=SHOP, labels={}, terminating=False, uid=uid)


async def test_a_namespace_that_was_made_again_has_a_record_of_its_own() -> None:
    world = World()
    await world.settle()
    former = world.subject
    world.cluster.vanish(*KEY)
    made_again(world)
    world.holder = world.cluster.user_applies(manifest()).holder
    await world.settle()
    assert [page.subject.namespace_uid for page in world.cluster.ledger.values()] == [
        SHOP,
        "another",
    ]
    records = world.observer.records
    assert (records.is_former(former), records.is_former(world.subject)) == (True, False)
    assert len(records.of(SHOP, NAME)) == 2
    assert world.page.leases[0].lease_id == "lease-2"


async def test_what_a_former_tenant_left_is_revoked_and_the_next_ones_secret_is_left_alone() -> (
    None
):
    world = World()
    await world.settle()
    world.cluster.vanish(*KEY)
    made_again(world)
    world.holder = world.cluster.user_applies(manifest()).holder
    await world.settle()
    mine, world.memory = world.memory, type(world.memory)()
    view = await world.observer.observe(Key(SHOP, NAME, SHOP), world.memory)
    assert (view.dl, view.terminating, view.subject.namespace_uid) == (None, True, SHOP)
    assert [one.lease_id for one in view.records] == ["lease-1"]
    for _ in range(6):
        view = await world.observer.observe(Key(SHOP, NAME, SHOP), world.memory)
        await world.performer.perform(view, decide(view))
    assert [*world.provider.live] == ["lease-2"]
    assert len(world.cluster.ledger) == 1
    world.memory = mine
    await world.settle()
    assert (world.ready, world.secret) == ("Ready", "lease-2")


async def test_after_a_lost_answer_the_record_is_read() -> None:
    world = World()
    await world.settle()
    world.cluster.after("patch record", cluster_away())
    lease = world.recorded
    before = world.count("get record")
    with pytest.raises(errors.ClusterUnavailable):
        await world.observer.records.replace(world.subject, lease.but(restarts=True))
    assert world.count("get record") == before
    view, _ = await world.look()
    assert world.count("get record") == before + 1
    assert view.records[0].restarts
    await world.look()
    assert world.count("get record") == before + 1


async def test_while_a_dynamic_lease_stands_its_namespace_is_read_once() -> None:
    world = World()
    await world.settle()
    before = world.count("get namespace")
    await world.settle(1000)
    assert world.count("get namespace") == before
    world.cluster.user_deletes(*KEY)
    await world.settle()
    assert world.count("get namespace") > before


async def test_for_one_that_came_while_another_stood_the_namespace_is_not_read() -> None:
    world = World()
    await world.settle()
    before, first = world.count("get namespace"), world.holder
    world.cluster.user_applies(manifest(name="beside"))
    view = await world.observer.observe(Key(SHOP, "beside"), Memory())
    assert (view.subject.namespace_uid, world.count("get namespace")) == (SHOP, before)
    world.cluster.vanish(first.namespace, first.name)
    made_again(world)
    world.cluster.user_applies(manifest(name="later"))
    view = await world.observer.observe(Key(SHOP, "later"), Memory())
    assert (view.subject.namespace_uid, world.count("get namespace")) == ("another", before + 1)


async def test_what_was_read_of_a_namespace_before_it_was_made_again_says_nothing_of_it() -> None:
    world = World()
    await world.settle()
    world.provider.before("revoke", *[away()] * 9)
    world.cluster.user_deletes(*KEY)
    await world.settle()
    world.cluster.vanish(*KEY)
    made_again(world)
    world.cluster.user_applies(manifest(name="beside"))
    await world.observer.observe(Key(SHOP, "beside"), Memory())
    dl = world.cluster.user_applies(manifest())
    world.cluster._put_lease(dl, finalizers=(names.FINALIZER,))
    world.cluster.user_deletes(*KEY)
    view = await world.observer.observe(world.key, world.memory)
    assert (view.subject.namespace_uid, view.terminating) == ("another", False)
    assert world.observer.records.namespaces[SHOP] == "another"


async def test_a_look_under_the_name_makes_what_a_former_tenant_left_due() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        world.cluster.vanish(*KEY)
        made_again(world)
        world.holder = world.cluster.user_applies(manifest()).holder
        await controller.offer(world.key)
        await world.trace.until(lambda: "lease-1" not in world.provider.live)
        await world.passed()
    assert [*world.provider.live] == ["lease-2"]


async def test_what_is_missed_while_status_is_told_is_put_back_and_revoked() -> None:
    world = World()
    records = world.observer.records

    def misses() -> None:
        lost = world.recorded.but(
            attempt_id="b" * 32,
            lease_id="lost",
            state=State.REVOKING,
            revoke=Revocation(reason=Reason.UNCLEAR),
        )
        records.miss(world.subject, lost)

    world.cluster.after("patch dynamiclease", misses)
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        assert world.ready == "Ready"
        assert world.count("revoke") == 1


async def test_what_is_left_of_a_namespace_that_is_gone_is_revoked() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        world.cluster.vanish(*KEY)
        world.cluster.namespaces[SHOP] = None
        await controller.offer(world.key)
        await world.trace.until(lambda: not world.provider.live)
        await world.passed()
    assert not world.cluster.ledger


async def test_a_comparison_makes_what_a_former_tenant_left_due() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        world.cluster.vanish(*KEY)
        made_again(world)
        world.holder = world.cluster.user_applies(manifest()).holder
        await controller.offer(world.key)
        await world.passed()
        comparison = Comparison(world.cluster, controller, world.observer.records, world.supplies)
        await comparison.compare()
        await world.trace.until(lambda: "lease-1" not in world.provider.live)
        await world.passed()
    assert [*world.provider.live] == ["lease-2"]


async def test_a_secret_that_names_an_earlier_owner_of_the_name_is_found_and_deleted() -> None:
    world = World()
    await world.settle()
    target = world.cluster.secrets[KEY]
    world.cluster.values[SHOP, "left"] = dict(world.cluster.values[KEY])
    uid = target.labels[names.OWNER_UID]
    world.cluster.vanish(*KEY)
    world.cluster.secrets[SHOP, "left"] = dataclasses.replace(
        target,
        name="left",
        annotations={names.OWNER_NAME: NAME, names.SECRET: f"{SHOP}/left"},
        labels={names.OWNER_UID: "earlier"},
        owner_uids=(),
    )
    assert uid != "earlier"
    world.holder = world.cluster.user_applies(manifest()).holder
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        assert (SHOP, "left") in world.cluster.secrets
        assert controller.note_owner(world.key, "earlier")
        assert not controller.note_owner(world.key, "earlier")
        await controller.offer(world.key)
        await world.passed()
        assert (SHOP, "left") not in world.cluster.secrets
        assert controller.note_owner(world.key, "earlier")
        assert not controller.note_owner(Key(SHOP, "nobody"), "earlier")


async def test_who_makes_a_name_again_and_again_makes_no_look_longer() -> None:
    """Each earlier owner that Secrets still name costs a list; the tenant writes such marks."""
    world = World()
    await world.settle()
    for number in range(3 * MOST_FORMER):
        marks = {names.OWNER_UID: world.holder.uid}
        world.cluster.user_writes_secret(SHOP, f"left-{number}", labels=marks)
        world.cluster.vanish(*KEY)
        world.holder = world.cluster.user_applies(manifest()).holder
        world.trace.calls.clear()
        await world.look()
    assert world.count("list secrets") <= MOST_FORMER + 2


async def test_a_namespace_that_was_let_go_among_thousands_is_read_again() -> None:
    world = World()
    await world.settle()
    known = world.observer.records.namespaces
    for number in range(known_records.MOST_NAMESPACES):
        known[f"preview-{number}"] = "uid"
    assert SHOP not in known
    assert isinstance(await world.settle(), actions.Idle)
    assert known[SHOP] == SHOP
    assert len(known) == known_records.MOST_NAMESPACES
    assert world.records == [("Held", "lease-1")]
