"""One shared account: whoever holds it keeps it, and everybody else says so."""

from dataclasses import replace

import pytest

from leaseholder import ports
from leaseholder.api import conditions, names, record
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.record import State
from tests.unit.controller import fakes
from tests.unit.controller.world import SHOP, World, manifest

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
    assert "shop/orders" in next(c.message for c in second if c.type == "Stalled")
    assert (world.count("issue"), [*world.provider.live]) == (1, ["lease-1"])
    world.holder, theirs, world.memory = first, world.memory, mine
    world.cluster.user_deletes(SHOP, "orders")
    await world.settle()
    world.holder, world.memory = world.cluster.leases[SHOP, "second"].holder, theirs
    await world.settle(after=60)
    assert world.cluster.values[SHOP, "second"]["DB_USERNAME"] == "lease-2"


def is_decided(world: World) -> bool:
    told = conditions.find(world.dl.status.conditions, ConditionType.READY)
    return told is not None and told.reason in (Reason.READY, Reason.SLOT_TAKEN)


def rival_of(posted: record.LeaseRecord, *, later: int, state: State) -> record.LeaseRecord:
    """Another DynamicLease's record on the same account, posted so much later."""
    version = str(int(posted.metadata.resource_version) + later)
    labels = {**posted.metadata.labels, names.FOR_UID: "theirs"}
    told = {"name": "theirs-1", "uid": "theirs", "resource_version": version, "labels": labels}
    meta = posted.metadata.model_copy(update=told)
    spec = posted.spec.model_copy(
        update={"for_": record.Holder(namespace=SHOP, name="theirs", uid="theirs")}
    )
    status = posted.status.model_copy(update={"state": state})
    return posted.model_copy(update={"metadata": meta, "spec": spec, "status": status})


@pytest.mark.parametrize(
    ("can", "later", "state", "issued"),
    [
        (ONE, -1, State.ATTEMPT, False),
        (ONE, +1, State.ATTEMPT, True),
        (ONE, +1, State.HELD, False),
        (ONE, -1, State.ABANDONED, True),
        (fakes.CAN, -1, State.HELD, True),
    ],
)
async def test_of_two_that_find_a_shared_account_free_who_was_posted_later_stands_back(
    can: ports.Capabilities, later: int, state: State, *, issued: bool
) -> None:
    world = World(can=can)

    def come_beside() -> None:
        (posted,) = world.cluster.ledger.values()
        rival = rival_of(posted, later=later, state=state)
        world.cluster.ledger[rival.name] = rival

    world.cluster.after("create record", come_beside)
    async with world.running() as controller:
        await controller.offer(world.holder)
        await world.trace.until(lambda: is_decided(world))
    assert world.count("issue") == issued
    assert world.ready == ("Ready" if issued else "SlotTaken")
    left = [one.spec.for_.name for one in world.cluster.ledger.values()]
    assert sorted(left) == (["orders", "theirs"] if issued else ["theirs"])


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
