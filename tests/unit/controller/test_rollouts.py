"""Rollouts: workloads restarted once, and a replaced lease that waits for them."""

from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api import conditions, names, record
from leaseholder.api.conditions import Condition, ConditionType, Reason
from leaseholder.api.lease import DynamicLeaseStatus
from leaseholder.controller import rollouts
from leaseholder.core import actions, rollout
from leaseholder.core.memory import Memory
from leaseholder.ports.workloads import Workload
from tests.unit.controller.world import KEY, SHOP, World, away, cluster_away, key_of, manifest
from tests.unit.core import views

BY_NAME = [{"kind": "Deployment", "name": "orders"}]
BY_LABEL = [{"kind": "Deployment", "selector": {"matchLabels": {"app": "orders"}}}]
WINDOW = rollout.GATHER
OVERLAP = 120.0


def rotation(*targets: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"restartTargets": list(targets or BY_NAME), **more}


async def delivered(world: World, **more: Any) -> Workload:
    """A Deployment, and the first lease of a DynamicLease that restarts it."""
    workload = world.cluster.user_runs("orders", app="orders")
    world.cluster.user_applies(manifest(rotation=rotation(**more)))
    await world.settle()
    return workload


async def rotated(world: World, nonce: str = "1") -> None:
    """Another lease in the Secret."""
    spec = world.dl.spec.dump()
    world.cluster.user_applies(manifest(annotations={names.ROTATE: nonce}, **spec))
    await world.settle()


async def restarted(world: World) -> None:
    """Another lease in the Secret, and the restart under way."""
    await rotated(world)
    await world.settle(after=WINDOW)


def told(world: World) -> Condition | None:
    return conditions.find(world.dl.status.conditions, ConditionType.ROLLOUT_COMPLETE)


def why(world: World) -> tuple[str, str] | None:
    """Status and reason of RolloutComplete."""
    found = told(world)
    return (found.status, found.reason) if found is not None else None


def refused() -> errors.Refused:
    return errors.Refused(Reason.DENIED, "no right to patch deployments")


# ------------------------------------------------------------------------------ when, and once


async def test_nothing_is_restarted_at_the_first_delivery_nor_at_a_renewal() -> None:
    world = World()
    await delivered(world)
    assert why(world) == ("True", "RolloutComplete")
    await world.settle(after=2400)
    assert world.meter.renewals == ["ok"]
    assert world.cluster.restarts == []
    assert world.count("get workload") == 0


async def test_without_targets_nothing_is_told_and_nothing_looked_at() -> None:
    world = World()
    await world.settle()
    await rotated(world)
    await world.settle(after=OVERLAP)
    assert why(world) is None
    assert world.count("get workload") == 0
    assert world.records == [("Held", "lease-2")]


async def test_a_rotation_restarts_once_and_the_old_lease_waits_for_the_rollout() -> None:
    world = World()
    workload = await delivered(world)
    await rotated(world)
    assert (world.cluster.restarts, why(world)) == ([], ("False", "RolloutPending"))
    await world.settle(after=WINDOW)
    assert world.cluster.restarts == ["orders"]
    assert world.ready == "Ready"
    await world.settle(after=OVERLAP)
    assert world.records == [("Superseded", "lease-1"), ("Held", "lease-2")]
    world.cluster.rolls_out(workload)
    await world.settle(after=30)
    assert world.records == [("Held", "lease-2")]
    assert why(world) == ("True", "RolloutComplete")
    assert world.cluster.restarts == ["orders"]
    reasons = [note.reason for _, note in world.cluster.notes]
    assert reasons.count(Reason.RESTARTED) == 1


async def test_a_quick_rollout_still_leaves_the_overlap() -> None:
    world = World()
    workload = await delivered(world)
    await restarted(world)
    world.cluster.rolls_out(workload)
    await world.settle(after=2)
    assert why(world) == ("True", "RolloutComplete")
    assert world.records == [("Superseded", "lease-1"), ("Held", "lease-2")]
    await world.settle(after=OVERLAP)
    assert world.records == [("Held", "lease-2")]


async def test_the_stamp_is_the_attempt_id_under_a_key_of_the_dynamic_leases_own() -> None:
    world = World()
    await delivered(world)
    await restarted(world)
    (known,) = world.cluster.running.values()
    key = f"{names.RESTART}/orders"
    assert known.stamps == {key: world.cluster.recorded[-1].attempt_id}


async def test_without_waiting_the_old_lease_goes_after_its_overlap() -> None:
    world = World()
    await delivered(world, waitForRollout=False)
    await restarted(world)
    await world.settle(after=OVERLAP)
    assert world.records == [("Held", "lease-2")]
    assert why(world) == ("False", "RolloutPending")


async def test_a_healed_secret_restarts_too() -> None:
    world = World()
    await delivered(world)
    del world.cluster.secrets[KEY], world.cluster.values[KEY]
    await world.settle()
    assert world.secret == "lease-2"
    await world.settle(after=WINDOW)
    assert world.cluster.restarts == ["orders"]


@pytest.mark.parametrize(("is_there", "age"), [(True, 600), (True, 1), (False, 600)])
async def test_a_restore_without_status_and_marks_restarts_too(is_there: bool, age: int) -> None:
    world = World()
    await delivered(world)
    world.clock.move(age)
    if is_there:
        world.cluster.user_writes_secret(*KEY, labels={}, annotations={})
    else:
        del world.cluster.secrets[KEY], world.cluster.values[KEY]
    blank = world.dl.model_copy(update={"status": DynamicLeaseStatus()})
    world.cluster.leases[KEY] = blank
    world.crash()
    await world.settle()
    assert world.records == [("Superseded", "lease-1"), ("Held", "lease-2")]
    await world.settle(after=WINDOW)
    assert world.cluster.restarts == ["orders"]
    await world.settle(after=OVERLAP)
    assert "lease-1" in world.provider.live
    world.cluster.rolls_out(world.cluster.running["Deployment", SHOP, "orders"])
    await world.settle(after=30)
    assert "lease-1" not in world.provider.live


async def _made_again(world: World, **spec: Any) -> None:
    """Its DynamicLease is made again under its name; the garbage collector was slower."""
    secret, values = world.cluster.secrets[KEY], world.cluster.values[KEY]
    world.cluster.vanish(SHOP, "orders")
    world.cluster.secrets[KEY], world.cluster.values[KEY] = secret, values
    world.holder = world.cluster.user_applies(manifest(rotation=rotation(), **spec)).holder


async def test_a_lease_that_takes_the_place_of_a_former_one_restarts_too() -> None:
    world = World()
    await delivered(world)
    other = {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "other"}
    await _made_again(world, infisical=other)
    world.crash()
    await world.settle()
    assert world.records == [("Superseded", "lease-1"), ("Held", "lease-2")]
    await world.settle(after=WINDOW)
    assert world.cluster.restarts == ["orders"]
    await world.settle(after=OVERLAP)
    assert "lease-1" in world.provider.live
    world.cluster.rolls_out(world.cluster.running["Deployment", SHOP, "orders"])
    await world.settle(after=30)
    assert "lease-1" not in world.provider.live


async def test_a_lease_that_is_taken_over_restarts_nothing() -> None:
    world = World()
    await delivered(world)
    await _made_again(world)
    world.crash()
    await world.settle()
    await world.settle(after=WINDOW)
    assert (world.ready, world.records) == ("Ready", [("Held", "lease-1")])
    assert world.cluster.restarts == []


async def test_targets_that_are_added_later_count_from_the_next_lease_on() -> None:
    world = World()
    await world.settle()
    await rotated(world)
    world.cluster.user_runs("orders")
    world.cluster.user_applies(
        manifest(annotations={names.ROTATE: "1"}, rotation=rotation(overlap="1s"))
    )
    await world.settle(after=60)
    assert (world.cluster.restarts, why(world)) == ([], ("True", "RolloutComplete"))


async def test_a_lease_whose_targets_were_taken_away_is_done() -> None:
    world = World()
    await delivered(world)
    await rotated(world)
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}))
    await world.settle(after=OVERLAP)
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}, rotation=rotation()))
    await world.settle(after=60)
    assert world.records == [("Held", "lease-2")]
    assert world.cluster.restarts == []


async def test_a_workload_that_came_after_the_rollout_is_left_alone() -> None:
    world = World()
    workload = await delivered(world)
    await restarted(world)
    world.cluster.rolls_out(workload)
    await world.settle(after=OVERLAP)
    world.cluster.user_runs("orders")
    world.crash()
    await world.settle(after=60)
    assert world.cluster.restarts == ["orders"]
    assert why(world) == ("True", "RolloutComplete")


async def test_nothing_is_restarted_while_suspended() -> None:
    world = World()
    workload = await delivered(world)
    await rotated(world)
    spec = world.dl.spec.dump()
    marks = {names.ROTATE: "1"}
    world.cluster.user_applies(manifest(annotations=marks, **{**spec, "suspend": True}))
    await world.settle(after=3000)
    assert world.cluster.restarts == []
    assert why(world) == ("False", "RolloutPending")
    assert "lease-1" in world.provider.live
    world.cluster.user_applies(manifest(annotations=marks, **spec))
    await world.settle()
    assert world.cluster.restarts == ["orders"]
    world.cluster.rolls_out(workload)
    await world.settle(after=OVERLAP)
    assert world.records == [("Held", "lease-2")]


async def test_a_deletion_waits_for_no_rollout() -> None:
    world = World()
    await delivered(world)
    await rotated(world)
    world.cluster.user_deletes(SHOP, "orders")
    await world.settle(after=WINDOW)
    assert (world.records, world.cluster.restarts) == ([], [])


# ----------------------------------------------------------------------------------- crashes


@pytest.mark.parametrize("writes", range(1, 12))
async def test_a_crash_after_any_write_restarts_once(writes: int) -> None:
    world = World()
    workload = await delivered(world)
    await _until_write(world, writes)
    world.crash()
    world.controller = world.process()
    world.observer, world.performer = world.controller.observer, world.controller.performer
    for _ in range(4):
        await world.settle(after=WINDOW)
    world.cluster.rolls_out(workload)
    await world.settle(after=OVERLAP)
    await world.settle(after=600)
    assert world.cluster.restarts == ["orders"]
    assert set(world.provider.live) == {world.secret}
    assert why(world) == ("True", "RolloutComplete")


async def _until_write(world: World, count: int) -> None:
    """Rotate, as far as so many writes get."""
    spec = world.dl.spec.dump()
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}, **spec))
    done = 0
    while done < count:
        before = _writes(world)
        if isinstance(await world.step(), actions.Idle):
            world.clock.move(WINDOW)
            done += 1
        done += _writes(world) - before


def _writes(world: World) -> int:
    verbs = [call.split()[0] for call in world.trace.calls]
    return sum(verb in ("create", "patch", "write", "stamp") for verb in verbs)


async def test_a_restart_whose_answer_was_lost_is_not_made_again() -> None:
    world = World()
    await delivered(world)
    await rotated(world)
    world.cluster.after("stamp workload", cluster_away())
    with pytest.raises(errors.ClusterUnavailable):
        await world.settle(after=WINDOW)
    await world.settle(after=WINDOW)
    assert world.cluster.restarts == ["orders"]


async def test_a_workload_that_changed_meanwhile_is_looked_at_again() -> None:
    world = World()
    workload = await delivered(world)
    await rotated(world)
    world.cluster.before("stamp workload", lambda: world.cluster.rolls_out(workload))
    await world.settle(after=WINDOW)
    assert world.cluster.restarts == ["orders"]
    assert world.count("stamp workload") == 2


# ---------------------------------------------------------------------- several, one restart


async def _two(world: World) -> tuple[record.Holder, record.Holder]:
    """Two DynamicLeases of one workload, each with another lease in its Secret."""
    orders = world.holder
    await delivered(world)
    world.memory = Memory()
    world.holder = world.cluster.user_applies(manifest("queue", rotation=rotation())).holder
    await world.settle()
    queue = world.holder
    world.cluster.user_applies(
        manifest("queue", annotations={names.ROTATE: "1"}, rotation=rotation())
    )
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}, rotation=rotation()))
    return orders, queue


async def test_leases_that_rotate_together_restart_a_workload_once() -> None:
    world = World()
    orders, queue = await _two(world)
    memories = {orders: Memory(), queue: Memory()}
    for after in (0, 2, WINDOW, WINDOW, 30):
        world.clock.move(after)
        for holder, memory in memories.items():
            world.holder, world.memory = holder, memory
            await world.settle()
    (known,) = world.cluster.running.values()
    assert world.cluster.restarts == ["orders"]
    assert len(known.stamps) == 1
    world.cluster.rolls_out(known)
    world.clock.move(OVERLAP)
    for holder, memory in memories.items():
        world.holder, world.memory = holder, memory
        await world.settle()
    assert [one.state for one in world.cluster.recorded] == ["Held", "Held"]


async def test_a_lease_that_came_after_the_restart_needs_one_of_its_own() -> None:
    world = World()
    orders, queue = await _two(world)
    for holder in (orders, queue):
        world.holder, world.memory = holder, Memory()
        await world.settle(after=1)
        await world.settle(after=WINDOW)
    assert world.cluster.restarts == ["orders", "orders"]


async def test_a_restart_that_an_undo_took_back_keeps_the_old_lease_and_is_made_again() -> None:
    world = World()
    workload = await delivered(world)
    await restarted(world)
    world.cluster.rolls_out(workload, stamps={})
    await world.settle(after=30)
    assert why(world) == ("False", "RolloutFailed")
    assert world.records == [("Superseded", "lease-1"), ("Held", "lease-2")]
    assert world.cluster.restarts == ["orders"]
    await world.settle(after=rollout.TAKEN_BACK_AGAIN)
    assert world.cluster.restarts == ["orders", "orders"]
    world.cluster.rolls_out(workload, stamps={})
    await world.settle(after=OVERLAP)
    assert "lease-1" in world.provider.live
    await world.settle(after=OVERLAP)
    world.cluster.rolls_out(workload)
    await world.settle(after=30)
    assert world.records == [("Held", "lease-2")]
    assert why(world) == ("True", "RolloutComplete")


async def test_an_undo_after_the_rollout_changes_nothing() -> None:
    world = World()
    workload = await delivered(world)
    await restarted(world)
    world.cluster.rolls_out(workload)
    await world.settle(after=30)
    world.cluster.rolls_out(workload, stamps={})
    await world.settle(after=OVERLAP)
    assert why(world) == ("True", "RolloutComplete")
    assert world.records == [("Held", "lease-2")]
    assert world.cluster.restarts == ["orders"]


async def test_a_restart_is_remembered_for_a_day() -> None:
    world = World()
    workload = await delivered(world)
    await restarted(world)
    world.cluster.rolls_out(workload)
    await world.settle(after=OVERLAP)
    del world.cluster.running["Deployment", SHOP, "orders"]
    again = world.cluster.user_runs("orders")
    for _ in range(40):
        await world.settle(after=2300)
    await rotated(world, "2")
    await world.settle(after=WINDOW)
    assert list(world.performer.mover.rolled) == [again.uid]


async def test_so_many_restarts_are_remembered_whoever_makes_workloads_without_end() -> None:
    world, shown = World(), views.holding()
    mover = world.performer.mover
    for number in range(rollouts.MOST_REMEMBERED + 10):
        workload = world.cluster.user_runs(f"orders-{number}")
        await mover.restart(shown, actions.Restart(workload, "k", "a-1", since=0.0))
        assert workload.uid in mover.rolled
    assert len(mover.rolled) == rollouts.MOST_REMEMBERED


async def test_a_refused_restart_of_a_workload_that_is_gone_is_forgotten() -> None:
    world, shown = World(), views.holding()
    world.cluster.before("stamp workload", *(refused() for _ in range(3)))
    made = [world.cluster.user_runs(name) for name in ("one", "two", "three")]
    for workload in made:
        await world.performer.mover.restart(shown, actions.Restart(workload, "k", "a-1", since=0.0))
    assert list(shown.memory.refused) == [made[-1].uid]


async def test_what_several_targets_choose_is_looked_at_and_reported_once() -> None:
    world = World()
    world.cluster.user_runs("orders", app="orders")
    world.cluster.user_runs("billing", app="orders")
    world.cluster.user_applies(manifest(rotation=rotation(*BY_LABEL * 8, *BY_NAME, *BY_LABEL * 7)))
    await world.settle()
    await rotated(world)
    view, _ = await world.look()
    shown = [workload.name for target in view.targets for workload in target.workloads]
    assert sorted(shown) == ["billing", "orders"]
    assert why(world) == ("False", "RolloutPending")
    found = told(world)
    assert found is not None
    assert sorted(found.message.split("; ")) == [
        "Deployment billing is still to be restarted",
        "Deployment orders is still to be restarted",
    ]


async def test_two_workers_at_the_same_workload_restart_it_once() -> None:
    world = World(workers=2)
    await _two(world)
    async with world.running() as controller:
        for dl in world.cluster.leases.values():
            await controller.offer(key_of(dl.holder))
        await world.passed()
        await world.passed(after=WINDOW + 1)
        await world.passed(after=2)
        await world.trace.until(lambda: world.cluster.restarts != [])
        await world.passed(after=2)
        await world.passed(after=2)
    assert world.cluster.restarts == ["orders"]


# -------------------------------------------------------------------------- when it goes wrong


async def test_a_rollout_that_takes_too_long_has_failed_and_the_old_lease_lives_on() -> None:
    world = World()
    workload = await delivered(world, rolloutTimeout="10m")
    await restarted(world)
    await world.settle(after=540)
    assert why(world) == ("False", "RolloutPending")
    await world.settle(after=100)
    found = told(world)
    assert found is not None
    assert (found.status, found.reason) == ("False", "RolloutFailed")
    assert "Deployment orders" in found.message
    assert world.ready == "Ready"
    for _ in range(8):
        await world.settle(after=900)
    assert set(world.provider.live) == {"lease-1", "lease-2"}
    assert [note.reason for _, note in world.cluster.notes].count(Reason.ROLLOUT_FAILED) == 1
    world.cluster.rolls_out(workload)
    await world.settle(after=30)
    assert world.records == [("Held", "lease-2")]
    assert why(world) == ("True", "RolloutComplete")


async def test_a_named_target_that_is_missing_keeps_the_old_lease() -> None:
    world = World()
    await delivered(world)
    world.cluster.running.clear()
    await restarted(world)
    await world.settle(after=OVERLAP)
    assert why(world) == ("False", "RestartTargetMissing")
    assert "lease-1" in world.provider.live
    world.cluster.user_runs("orders")
    await world.settle(after=30)
    assert world.cluster.restarts == ["orders"]


async def test_a_selector_restarts_all_that_carry_its_labels_and_may_match_nothing() -> None:
    world = World()
    world.cluster.user_applies(manifest(rotation=rotation(*BY_LABEL)))
    await world.settle()
    await rotated(world)
    assert why(world) == ("True", "RolloutComplete")
    world.cluster.user_runs("orders", app="orders")
    world.cluster.user_runs("workers", app="orders")
    world.cluster.user_runs("web", app="web")
    await rotated(world, "2")
    await world.settle(after=WINDOW)
    assert sorted(world.cluster.restarts) == ["orders", "workers"]


async def test_without_the_right_to_look_it_is_said_which_to_give() -> None:
    world = World()
    await delivered(world)
    world.cluster.before("get workload", *(refused() for _ in range(9)))
    await rotated(world)
    assert why(world) == ("False", "RestartRefused")
    assert world.ready == "Ready"


async def test_a_refused_restart_is_told_and_tried_again_later() -> None:
    world = World()
    await delivered(world)
    await rotated(world)
    world.cluster.before("stamp workload", refused())
    await world.settle(after=WINDOW)
    found = told(world)
    assert found is not None
    assert (found.reason, found.message) == ("RestartRefused", "no right to patch deployments")
    await world.settle(after=30)
    assert (world.count("stamp workload"), world.cluster.restarts) == (1, [])
    await world.settle(after=rollout.REFUSED_AGAIN)
    assert world.cluster.restarts == ["orders"]
    assert why(world) == ("False", "RolloutPending")


# ---------------------------------------------------------------- the old lease is kept alive


async def _old_is_due(world: World) -> None:
    """A rotation whose rollout isn't complete when the old lease is to be renewed."""
    await delivered(world)
    await world.settle(after=1000)
    await restarted(world)
    world.clock.move(1400)


async def test_a_replaced_lease_is_renewed_when_due_and_its_record_says_so() -> None:
    world = World()
    await _old_is_due(world)
    await world.settle()
    old = world.provider.live["lease-1"]
    first, _ = world.cluster.recorded
    assert first.expires_at == old.expires_at
    assert (old.expires_at - world.provider.now()).total_seconds() == 3600
    assert world.meter.renewals == ["ok"]


async def test_an_outage_at_the_old_leases_renewal_is_no_trouble_of_the_new_one() -> None:
    world = World()
    await _old_is_due(world)
    world.provider.before("renew", away(sent=True))
    await world.settle()
    assert (world.ready, world.meter.renewals) == ("Ready", ["unclear"])
    assert world.dl.status.retry is None
    await world.settle(after=60)
    assert world.meter.renewals == ["unclear", "ok"]


async def test_a_renewal_of_an_old_lease_whose_answer_was_lost_is_not_made_again() -> None:
    world = World()
    await _old_is_due(world)
    world.provider.after("renew", away(sent=True))
    await world.settle()
    await world.settle(after=60)
    assert world.count("renew") == 1
    assert world.meter.renewals == ["unclear", "ok"]


async def test_in_an_outage_past_its_end_an_old_lease_is_tried_seldom_and_then_to_be_revoked() -> (
    None
):
    world = World()
    await _old_is_due(world)
    world.crash()
    world.provider.before("inspect", *(away() for _ in range(99)))
    for _ in range(40):
        await world.settle(after=60)
    assert world.count("inspect") < 80
    assert world.records[0] == ("Revoking", "lease-1")


async def test_an_old_lease_that_is_gone_at_the_provider_is_pending_and_then_confirmed() -> None:
    world = World()
    await _old_is_due(world)
    del world.provider.live["lease-1"]
    world.crash()
    await world.settle()
    await world.settle(after=10)
    await world.settle(after=10)
    await world.settle(after=10)
    assert world.records == [("Held", "lease-2")]
    assert world.ready == "Ready"


async def test_an_old_lease_that_cant_be_renewed_goes_when_it_ends() -> None:
    world = World()
    await _old_is_due(world)
    world.provider.before("renew", errors.CannotRenew(Reason.CANNOT_RENEW, "at its end"))
    await world.settle()
    assert world.records == [("Superseded", "lease-1"), ("Held", "lease-2")]
    await world.settle(after=1300)
    await world.settle(after=30)
    assert world.records == [("Held", "lease-2")]


async def test_an_old_lease_whose_renewal_does_nothing_goes_when_it_ends() -> None:
    world = World()
    await _old_is_due(world)
    world.provider.adds = False
    await world.settle()
    assert world.count("renew") == 1
    world.provider.adds = True
    await world.settle(after=1300)
    await world.settle(after=30)
    assert world.records == [("Held", "lease-2")]


async def test_a_rollout_that_is_stuck_never_keeps_the_secret_from_a_living_lease() -> None:
    world = World()
    await delivered(world)
    for nonce in "123456":
        await rotated(world, nonce)
        await world.settle(after=60)
    assert len(world.records) == 5
    assert world.ready == Reason.TOO_MANY
    for _ in range(10):
        await world.settle(after=900)
        assert world.secret in world.provider.live
    del world.provider.live[str(world.secret)]
    for _ in range(5):
        await world.settle(after=120)
    assert world.secret in world.provider.live
