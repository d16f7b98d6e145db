"""One shared account: whoever holds it keeps it, and everybody else says so."""

import functools
from dataclasses import replace

import pytest

from leaseholder.api import conditions, names, record
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.record import LeaseRecord, RecordSpec, State
from leaseholder.core import actions, schedule
from leaseholder.ports.records import MOST_RIVALS
from tests.unit.controller import fakes
from tests.unit.controller.world import HERE, SHOP, World, away, manifest

ONE = replace(fakes.CAN, slots="One")


def message(world: World, kind: ConditionType) -> str:
    found = conditions.find(world.dl.status.conditions, kind)
    assert found is not None
    return found.message


async def test_a_second_dynamic_lease_on_a_shared_account_is_stalled_until_it_is_free() -> None:
    world = World(can=ONE)
    await world.settle()
    first = world.holder
    world.holder, mine = world.cluster.user_applies(manifest("second")).holder, world.memory
    world.memory = type(world.memory)()
    await world.settle()
    second = world.cluster.leases[SHOP, "second"].status.conditions
    assert [c.reason for c in second if c.type == "Stalled"] == [Reason.SLOT_TAKEN]
    assert "DynamicLease shop/orders" in next(c.message for c in second if c.type == "Stalled")
    assert (world.count("issue"), [*world.provider.live]) == (1, ["lease-1"])
    world.holder, theirs, world.memory = first, world.memory, mine
    world.cluster.user_deletes(SHOP, "orders")
    await world.settle()
    world.holder, world.memory = world.cluster.leases[SHOP, "second"].holder, theirs
    await world.settle(after=60)
    assert world.cluster.values[SHOP, "second"]["DB_USERNAME"] == "lease-2"


async def test_what_a_kind_of_lease_keeps_us_from_promising_is_told() -> None:
    world = World(can=replace(ONE, revocable=False))
    await world.settle()
    told = message(world, ConditionType.LEASE_HELD)
    assert "shared account" in told
    assert "can't be revoked" in told


async def test_a_shared_account_is_replaced_in_place_but_another_source_is_not() -> None:
    world = World(can=ONE)
    await world.settle()
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "now"}))
    await world.settle()
    assert world.trace.calls.index("revoke") < len(world.trace.calls) - 1
    assert ([*world.provider.live], world.records) == (["lease-2"], [("Held", "lease-2")])
    source = {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "other"}
    world.cluster.user_applies(manifest(infisical=source, annotations={names.ROTATE: "now"}))
    await world.settle()
    assert world.records == [("Superseded", "lease-2"), ("Held", "lease-3")]


async def neighbour(world: World, name: str, state: State) -> LeaseRecord:
    """Another process puts a lease of the same account on the record of another name."""
    own = world.recorded
    theirs = own.but(attempt_id="theirs", holder_uid="theirs", state=state)
    subject = world.subject.model_copy(update={"name": name})
    spec = RecordSpec(for_=subject, installation=HERE, leases=(theirs,))
    return await world.cluster.create_record(spec)


@pytest.mark.parametrize(
    ("name", "state", "goes_on"),
    [
        ("aaa", State.ATTEMPT, False),
        ("zzz", State.ATTEMPT, False),
        ("zzz", State.HELD, False),
        ("zzz", State.SUPERSEDED, False),
        ("zzz", State.REVOKING, False),
        ("aaa", State.ABANDONED, True),
    ],
)
async def test_beside_anything_that_may_live_on_a_shared_account_nothing_is_asked_for(
    name: str, state: State, goes_on: bool
) -> None:
    world = World(can=ONE)
    view, step = await world.upto(actions.Acquire)
    world.cluster.after("create record", lambda: neighbour(world, name, state))
    await world.performer.perform(view, step)
    assert world.count("issue") == goes_on
    own = [one.lease_id for one in world.page.leases]
    assert own == (["lease-1"] if goes_on else [])
    if not goes_on:
        assert [one.why for one in world.page.spec.ended] == ["NotIssued"]


async def test_where_more_records_name_a_shared_account_than_are_read_nothing_is_asked_for() -> (
    None
):
    world = World(can=ONE)
    view, step = await world.upto(actions.Acquire)

    async def many() -> None:
        theirs = world.recorded.but(state=State.ABANDONED)
        for number in range(MOST_RIVALS - 1):
            subject = world.subject.model_copy(update={"name": f"given-up-{number}"})
            spec = RecordSpec(for_=subject, installation=HERE, leases=(theirs,))
            await world.cluster.create_record(spec)

    world.cluster.after("create record", many)
    await world.performer.perform(view, step)
    assert world.count("issue") == 0
    failure = world.memory.failure
    assert failure is not None
    assert "20 records or more have leases of it" in failure.sentence


async def test_a_revocation_that_the_next_lease_waits_for_is_tried_each_minute() -> None:
    world = World(can=ONE)
    world.cluster.user_applies(manifest(ttl="10m"))
    await world.settle()
    world.cluster.user_applies(manifest(ttl="10m", annotations={names.ROTATE: "now"}))
    world.provider.down = away(sent=False)
    for _ in range(120):
        await world.settle(after=60)
    assert 100 < world.count("revoke") < 150
    assert (world.secret, world.count("issue")) == ("lease-1", 1)
    world.provider.down = None
    for after in (60, schedule.INSPECT_AGAIN):
        await world.settle(after)
    assert (world.secret, world.ready) == ("lease-2", "Ready")


async def test_where_an_account_has_room_for_many_nobody_looks_for_rivals() -> None:
    world = World()
    view, step = await world.upto(actions.Acquire)
    world.cluster.after("create record", lambda: neighbour(world, "aaa", State.HELD))
    await world.performer.perform(view, step)
    assert world.count("issue") == 1


async def test_of_two_that_ask_at_once_the_lower_record_name_asks_again_first() -> None:
    waits = []
    for name in ("aaa", "zzz"):
        world = World(can=ONE)
        view, step = await world.upto(actions.Acquire)
        put = functools.partial(neighbour, world, name, State.ATTEMPT)
        world.cluster.after("create record", put)
        await world.performer.perform(view, step)
        assert world.memory.failure is not None
        assert not world.memory.failure.permanent
        waits.append(world.memory.failure.retry_after)
    later, sooner = waits
    assert sooner is not None
    assert later is not None
    assert later > sooner


async def test_an_attempt_on_another_account_is_no_rival() -> None:
    world = World(can=ONE)
    view, step = await world.upto(actions.Acquire)

    async def elsewhere() -> None:
        known = await neighbour(world, "aaa", State.HELD)
        other = known.leases[0].but(slot="another")
        spec = known.spec.model_copy(update={"leases": (other,)})
        await world.cluster.write_record(known, spec)

    world.cluster.after("create record", elsewhere)
    await world.performer.perform(view, step)
    assert world.count("issue") == 1


async def test_another_look_comes_when_the_turn_was_given_back() -> None:
    world = World(can=ONE)
    view, step = await world.upto(actions.Acquire)
    world.cluster.after("create record", lambda: neighbour(world, "aaa", State.ATTEMPT))
    await world.performer.perform(view, step)
    await world.settle()
    assert world.ready == Reason.SLOT_TAKEN
    for page in list(world.cluster.ledger.values()):
        if page.subject.name == "aaa":
            world.cluster.user_takes_record(page.name)
    await world.settle(after=60)
    assert (world.ready, world.secret) == ("Ready", "lease-1")
    assert record.name_of(HERE, world.subject) in world.cluster.ledger


async def beside_a_hundred(world: World) -> None:
    """A hundred others have a lease from the source, and the one here is to be rotated."""
    await world.settle()
    page = world.page
    for number in range(100):
        subject = page.subject.model_copy(update={"name": f"other-{number}"})
        spec = page.spec.model_copy(update={"for_": subject})
        name = record.name_of(HERE, subject)
        meta = page.metadata.model_copy(update={"name": name, "uid": name})
        world.cluster.put_record(LeaseRecord(metadata=meta, spec=spec))
    await world.observer.records.compare()
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "now"}))


async def test_of_the_many_that_share_an_account_only_a_few_are_looked_at() -> None:
    world = World(can=ONE)
    await beside_a_hundred(world)
    view, _ = await world.look()
    assert 0 < len(view.rivals) <= 20
    await world.settle()
    assert (world.ready, world.secret) == (Reason.SLOT_TAKEN, "lease-1")


async def test_leases_that_end_no_other_are_not_looked_at() -> None:
    world = World()
    await beside_a_hundred(world)
    view, _ = await world.upto(actions.Acquire)
    assert view.rivals == ()
    await world.settle()
    assert world.secret == "lease-2"
