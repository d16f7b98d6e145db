"""Rollouts as decided: what counts as moved, what is told, what gives way at the limit."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leaseholder.api import conditions
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.lease import DynamicLease, DynamicLeaseStatus, RestartTarget, WorkloadKind
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import revocations, rollout
from leaseholder.core.actions import Acquire, Idle, Later, Move, Restart, Sustain
from leaseholder.core.memory import Memory, RefusedRestart
from leaseholder.core.observation import Restarted, TargetView
from leaseholder.core.view import View
from tests.unit.core import views
from tests.unit.core.views import decide

TARGETS = [{"kind": "Deployment", "name": "orders"}]
NAMED = RestartTarget.model_validate(TARGETS[0])
KEY = rollout.stamp_key(views.lease())
UNSEEN = "its controller hasn't seen the restart yet"
ELSEWHERE = replace(views.CAN, renewable=False)


def lease(**rotation: Any) -> DynamicLease:
    return views.lease({"rotation": {"restartTargets": TARGETS, **rotation}})


def target(*stamps: RecordedLease, refusal: str = "", **changes: Any) -> TargetView:
    marks = {f"{KEY}{n or ''}": record.attempt_id for n, record in enumerate(stamps)}
    return TargetView(NAMED, (views.workload(stamps=marks, **changes),), refusal)


def moving(*targets: TargetView, dl: DynamicLease | None = None, **more: Any) -> View:
    """A view in which a lease was replaced, and the rollout is under way."""
    old, new = views.superseded(1), views.record(2, restarts=True)
    return views.view(old, new, shows=new, dl=dl or lease(), targets=targets, **more)


def told(seen: View) -> rollout.Verdict | None:
    return rollout.verdict(seen, views.wanted(seen))


NEW = views.record(2, restarts=True)

# ----------------------------------------------------------------------------------- the stamp


@example(name="a" * 64)
@given(name=st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", fullmatch=True))
def test_a_stamps_key_is_a_valid_annotation_key_whatever_the_name(name: str) -> None:
    dl = views.lease()
    named = dl.model_copy(update={"metadata": dl.metadata.model_copy(update={"name": name})})
    prefix, _, key = rollout.stamp_key(named).partition("/")
    assert prefix == "restart.leaseholder.dev"
    assert 0 < len(key) <= 63
    assert key[0].isalnum()
    assert key[-1].isalnum()
    assert (key == name) == (len(name) <= 63)


# --------------------------------------------------------------------------------- when, and who


def test_a_first_lease_replaces_none_and_a_later_one_does() -> None:
    first = views.view(dl=lease())
    assert not rollout.replaces(first, lease())
    held = views.record()
    assert rollout.replaces(views.holding(lease()), lease())
    assert not rollout.replaces(views.holding(), views.lease())
    former = views.secret(held, name="former")
    assert rollout.replaces(replace(first, secrets=(former,)), lease())
    assert rollout.replaces(views.view(views.superseded(), dl=lease()), lease())
    bare = replace(views.secret(held), labels={}, annotations={})
    mute = replace(views.holding(lease()), secrets=(bare,), target=bare)
    assert rollout.replaces(mute, lease())
    assert not rollout.replaces(replace(mute, records=()), lease())


def test_a_lease_whose_secret_is_gone_is_remembered_by_the_condition() -> None:
    seen = views.told(views.holding(lease()))
    bare = replace(seen, records=(), secrets=(), target=None)
    _, step = views.after_reports(bare)
    assert step == Acquire(restarts=True)
    kept = conditions.find(
        views.wanted(views.told(bare)).status.conditions, ConditionType.ROLLOUT_COMPLETE
    )
    assert kept is not None
    assert kept.status == "True"


def test_a_restart_waits_for_others_and_then_takes_place() -> None:
    _, step = views.after_reports(moving(target(), memory=shown(1000)))
    assert step == Idle(views.at(5))
    due = decide(moving(target(), memory=shown(995)))
    assert due == Restart(target().workloads[0], KEY, NEW.attempt_id, 995)


def test_another_leases_restart_since_the_delivery_serves_as_long_as_the_pods_show_it() -> None:
    other = f"{KEY}-queue"
    rolled = {"Deployment-orders": Restarted(950, other, "queue-2")}
    shared = TargetView(NAMED, (views.workload(stamps={other: "queue-2"}, observed=False),))
    seen = moving(shared, memory=shown(949), rolled=rolled)
    assert not isinstance(decide(seen), Restart)
    assert told(seen) == (False, Reason.ROLLING_OUT, f"Deployment orders: {UNSEEN}")
    complete = moving(TargetView(NAMED, (views.workload(stamps={other: "queue-2"}),)))
    complete = replace(complete, memory=shown(949), rolled=rolled)
    assert told(complete) == (True, Reason.ROLLED_OUT, "")
    for later in (replace(complete, memory=shown(951)), replace(complete, rolled={})):
        assert isinstance(decide(later), Restart)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Rollout"])
@pytest.mark.parametrize("stamps", [(), (views.superseded(1),)])
def test_a_restart_that_was_taken_back_proves_nothing_and_is_made_again_ever_later(
    kind: WorkloadKind, stamps: tuple[RecordedLease, ...]
) -> None:
    def taken_back(since: float, last: float) -> View:
        rolled = {f"{kind}-orders": Restarted(last, KEY, NEW.attempt_id)}
        return moving(target(*stamps, kind=kind), memory=shown(since), rolled=rolled)

    found = told(taken_back(900, 950))
    assert found is not None
    assert found[:2] == (False, Reason.ROLLOUT_FAILED)
    assert "taken back" in found[2]
    again = taken_back(995 - rollout.TAKEN_BACK_AGAIN, 1000 - rollout.TAKEN_BACK_AGAIN)
    assert not isinstance(decide(again), Restart)
    assert isinstance(decide(views.later(again, 5)), Restart)
    later = taken_back(700, 850)
    assert not isinstance(decide(views.later(later, 59)), Restart)
    assert isinstance(decide(views.later(later, 60)), Restart)


def test_a_refused_restart_rests_for_a_minute() -> None:
    refused = {"Deployment-orders": RefusedRestart("no", 960)}
    memory = replace(shown(900), refused=refused)
    assert not isinstance(decide(moving(target(), memory=memory)), Restart)
    assert isinstance(decide(views.later(moving(target(), memory=memory), 20)), Restart)


def test_a_complete_rollout_is_put_on_record_and_only_then_the_old_lease_goes() -> None:
    seen = views.later(moving(target(NEW)), 500)
    step = decide(seen)
    assert isinstance(step, Move)
    assert (step.record.attempt_id, step.to.rolled_out_at) == (NEW.attempt_id, views.at(500))
    assert step.to.state is State.HELD
    done = views.record(2, restarts=True, rolled=500)
    after = replace(seen, records=(seen.records[0], done))
    _, last = views.after_reports(after)
    assert last == revocations.begin(after, seen.records[0], Reason.SUPERSEDED)


def test_a_replaced_lease_is_renewed_even_where_leases_are_replaced_by_choice() -> None:
    dl = views.lease({"rotation": {"restartTargets": TARGETS}, "renewal": {"strategy": "Rotate"}})
    old = views.superseded().model_copy()
    life = {"issued_at": views.at(60 - 3600), "expires_at": views.at(60)}
    near = old.but(**life)
    seen = moving(target(NEW, observed=False), dl=dl)
    _, step = views.after_reports(replace(seen, records=(near, seen.records[1])))
    assert step == Sustain(near, views.at(3600))


def test_a_longer_ttl_is_on_record_before_a_replaced_lease_is_renewed_by_it() -> None:
    dl = views.lease({"rotation": {"restartTargets": TARGETS}, "ttl": "48h"})
    seen = moving(target(NEW, observed=False), dl=dl)
    old, new = seen.records
    kept = new.but(ttl_seconds=48 * 3600, expires_at=views.at(48 * 3600))
    _, step = views.after_reports(replace(seen, records=(old, kept)))
    assert step == Move(old, old.but(ttl_seconds=48 * 3600))


def test_a_replaced_lease_that_cant_be_renewed_is_kept_to_its_end_and_no_longer() -> None:
    seen = moving(target(NEW, observed=False), can=ELSEWHERE)
    old, new = seen.records
    assert rollout.keeps(seen, old)
    alive = new.but(expires_at=views.at(9999))
    ended = views.later(replace(seen, records=(old, alive)), 3540)
    assert not rollout.keeps(ended, old)


def test_a_replaced_lease_that_cant_be_asked_about_is_to_be_revoked_some_time_after_its_end() -> (
    None
):
    seen = moving(target(NEW, observed=False))
    old, new = seen.records
    alive = new.but(expires_at=views.at(9999))
    seen = replace(seen, records=(old, alive))
    assert rollout.keeps(views.later(seen, 3540 + 599), old)
    assert not rollout.keeps(views.later(seen, 3540 + 600), old)
    late = views.later(seen, 3540 + 590)
    late.memory.of(old.attempt_id).sustain_at = views.at(9999)
    assert revocations.pending(replace(late, records=(old,))) == Later(views.at(3540 + 600))


def test_a_replaced_lease_whose_end_nobody_knows_is_kept_until_something_happens() -> None:
    seen = moving(target(NEW, observed=False))
    old = seen.records[0].but(expires_at=None)
    assert revocations.pending(replace(seen, records=(old, seen.records[1]))) is None


# ------------------------------------------------------------------------------- what is told


def test_nothing_new_is_told_without_a_delivery_or_on_deletion() -> None:
    assert told(views.view(dl=lease())) is None
    gone = lease().model_copy(update={"metadata": views.lease(deleted_at=views.NOW).metadata})
    assert told(moving(target(), dl=gone)) is None


def test_the_gravest_trouble_is_told() -> None:
    refused = target(refusal="no right to look")
    missing = TargetView(NAMED)
    failed, waiting = target(NEW, stuck=True, updated=0), target(NEW, observed=False)
    reasons = []
    for troubles in ([waiting], [waiting, failed], [missing, failed], [missing, refused]):
        found = told(moving(*troubles))
        assert found is not None
        reasons.append(found[1])
    assert reasons == [
        Reason.ROLLING_OUT,
        Reason.ROLLOUT_FAILED,
        Reason.TARGET_MISSING,
        Reason.RESTART_REFUSED,
    ]
    assert told(moving(missing)) == (
        False,
        Reason.TARGET_MISSING,
        "there is no Deployment orders",
    )


def test_many_troubles_are_told_in_short() -> None:
    found = told(moving(*(target(NEW, name=f"w{n}", observed=False) for n in range(5))))
    assert found is not None
    assert found[2].endswith("; 2 more")
    assert found[2].count("Deployment w") == 3


def test_a_refused_restart_is_told_until_it_succeeds() -> None:
    memory = Memory(refused={"Deployment-orders": RefusedRestart("no right", 1)})
    assert told(moving(target(), memory=memory)) == (False, Reason.RESTART_REFUSED, "no right")
    assert told(moving(target(NEW), memory=memory)) == (True, Reason.ROLLED_OUT, "")


def test_the_timeout_counts_from_when_the_rollout_was_first_told() -> None:
    begun = views.told(moving(target(NEW, observed=False), dl=lease(rolloutTimeout="10m")))
    soon, late = views.later(begun, 599), views.later(begun, 600)
    assert reason_of(soon) == Reason.ROLLING_OUT
    assert reason_of(late) == Reason.ROLLOUT_FAILED
    message = (told(late) or (0, 0, ""))[2]
    assert message.startswith("Deployment orders: ")
    assert message.endswith("after more than 10m")
    suspended = views.wanted(late).model_copy(
        update={"spec": views.wanted(late).spec.model_copy(update={"suspend": True})}
    )
    assert reason_of(replace(late, dl=suspended)) == Reason.ROLLING_OUT


def test_a_rollout_that_wasnt_told_yet_is_not_late() -> None:
    assert reason_of(moving(target(NEW, observed=False), dl=lease(rolloutTimeout="0s"))) == (
        Reason.ROLLING_OUT
    )


def reason_of(seen: View) -> Reason | None:
    found = told(seen)
    return found[1] if found is not None else None


# ------------------------------------------------------------------------------- at the limit


def test_at_the_limit_a_lease_that_a_workload_was_restarted_for_stays() -> None:
    replaced = tuple(views.superseded(n, until=9999) for n in range(1, 6))
    seen = views.view(*replaced, dl=lease(), targets=(target(*replaced[:2]),))
    assert rollout.matters(seen)
    assert decide(seen) == revocations.begin(seen, replaced[2], Reason.SUPERSEDED)


def test_workloads_are_looked_at_only_when_it_matters() -> None:
    assert rollout.matters(moving())
    assert not rollout.matters(moving(dl=views.lease()))
    assert not rollout.matters(views.holding(lease()))
    assert not rollout.matters(views.view(vanished=True))
    rolled = views.record(2, restarts=True, rolled=0)
    assert not rollout.matters(views.holding(lease(), rolled))


def test_a_rollout_is_looked_at_ever_more_seldom() -> None:
    waits = []
    for age in (0, 80, 10_000):
        new = views.record(2, restarts=True, issued=-age, expires=99_999)
        seen = views.view(
            new, shows=new, dl=lease(), targets=(target(new, observed=False),), memory=shown(1)
        )
        found = rollout.settle(seen, views.wanted(seen))
        assert isinstance(found, Later)
        waits.append((found.at - views.NOW) / timedelta(seconds=1))
    assert waits == [1, 10, 30]


def test_an_old_lease_past_its_end_keeps_nobody_from_looking() -> None:
    seen = moving(target(NEW, observed=False), memory=shown(1))
    old, new = seen.records
    ended = old.but(expires_at=views.at(-5))
    seen = replace(seen, records=(ended, new), memory=shown(1))
    seen.known(old).sustain_at = views.at(60)
    assert rollout.keeps(seen, ended)
    assert rollout.settle(seen, views.wanted(seen)) == Later(views.at(7.5))


def shown(since: float) -> Memory:
    return views.remembers(NEW, shown_since=since, shown_at=views.NOW, inspected_at=views.NOW)


def test_a_status_that_was_lost_is_rebuilt() -> None:
    seen = moving(target(NEW, observed=False))
    bare = views.wanted(seen).model_copy(update={"status": DynamicLeaseStatus()})
    again = views.told(replace(seen, dl=bare))
    found = conditions.find(views.wanted(again).status.conditions, ConditionType.ROLLOUT_COMPLETE)
    assert found is not None
    assert found.reason == Reason.ROLLING_OUT
