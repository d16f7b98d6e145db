"""A DynamicLease made again under its name, and a status that was lost: what is believed."""

from dataclasses import replace
from typing import Any

from leaseholder.api.conditions import ConditionType, Reason, find
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import plan, revocations, status
from leaseholder.core.actions import Acquire, Deliver, Idle, Inspect, Move, Report
from leaseholder.core.memory import Memory
from leaseholder.core.view import View
from tests.unit.core import views
from tests.unit.core.views import decide

BLIND = replace(views.CAN, verifiable=False)


def former(number: int = 1, **more: Any) -> RecordedLease:
    """A lease that was issued for an earlier DynamicLease of the name."""
    return views.record(number, holder="former", **more)


def made_again(held: RecordedLease, **more: Any) -> View:
    """The first sight of a DynamicLease whose name has a lease and a Secret already."""
    secret = views.secret(held, owner="former")
    return views.view(held, target=secret, secrets=(secret,), **more)


def ready(seen: View) -> tuple[str, str]:
    told = find(status.status(seen, views.wanted(seen)).conditions, ConditionType.READY)
    assert told is not None
    return told.status, told.reason


def lived(held: RecordedLease) -> Memory:
    """This process has seen the lease live."""
    return views.remembers(held, shown_at=views.NOW, inspected_at=views.NOW)


def mine(held: RecordedLease) -> RecordedLease:
    return held.but(holder_uid=views.UID)


# ------------------------------------------------------------------------------ the same source


def test_a_lease_that_the_secret_proves_is_taken_over_and_nothing_is_issued() -> None:
    held = former()
    assert decide(made_again(held)) == Move(held, mine(held))


def test_nothing_is_taken_over_while_suspended_because_its_secret_keeps_the_former_marks() -> None:
    held = former()
    suspended = made_again(held, dl=views.lease({"suspend": True}), memory=lived(held))
    assert isinstance(decide(suspended), Report)
    assert isinstance(decide(views.told(suspended)), Idle)
    assert ready(suspended) == ("True", Reason.SUSPENDED)


def test_what_was_taken_over_is_inspected_before_ready_is_true() -> None:
    held = mine(former())
    seen = made_again(held)
    assert decide(seen) == Inspect(held)
    assert ready(seen) == ("False", Reason.PROGRESSING)
    told = views.told(seen)
    assert views.wanted(told).status.lease is None
    lives = replace(told, memory=views.remembers(held, shown_at=views.NOW))
    assert ready(lives) == ("True", Reason.READY)
    assert decide(lives) == Deliver(held)  # our label and owner, instead of the former one's
    assert views.wanted(views.told(lives)).status.lease is not None


def test_an_inspection_that_failed_is_tried_again_soon_and_told_meanwhile() -> None:
    held = mine(former())
    memory = views.remembers(held, inspected_at=views.NOW)
    ours = views.secret(held)
    seen = replace(made_again(held, memory=memory), target=ours, secrets=(ours,))
    step = decide(seen)
    assert isinstance(step, Report)
    waiting = decide(views.tell(seen, step.status))
    assert waiting == Idle(views.at(5))
    assert decide(views.later(views.tell(seen, step.status), 5)) == Inspect(held)


def test_a_lease_whose_data_somebody_changed_is_not_taken_over() -> None:
    held = former()
    target = views.changed(views.secret(held, owner="former"), DB_PASSWORD="edited")
    seen = views.view(held, target=target, secrets=(target,), memory=lived(held))
    assert not isinstance(decide(seen), Move)
    _, step = views.after_reports(seen)
    assert isinstance(step, Acquire)


def test_a_lease_that_is_replaced_or_revoked_is_not_taken_over() -> None:
    for state in (State.SUPERSEDED, State.REVOKING, State.ABANDONED):
        held = former(state=state, expires=3540)
        step = decide(made_again(held))
        assert not (isinstance(step, Move) and step.to.holder_uid == views.UID)


# ---------------------------------------------------------------------------------- another one


def test_a_lease_of_another_source_lives_until_the_new_one_is_delivered() -> None:
    old = former()
    seen = made_again(old, supply=views.supply("another"), memory=lived(old))
    _, step = views.after_reports(seen)
    assert step == Acquire(reason=Reason.SOURCE_CHANGED)
    new = views.record(2, source_hash="another")
    issued = replace(
        seen,
        records=(old, new),
        memory=views.in_hand(new),
        capabilities={new.attempt_id: views.CAN},
    )
    assert decide(issued) == Deliver(new)
    delivered = views.view(old, new, shows=new, supply=views.supply("another"))
    step = decide(delivered)
    assert isinstance(step, Move)
    assert (step.record, step.to.state) == (old, State.SUPERSEDED)


def test_a_lease_of_another_source_whose_secret_is_gone_lives_on_until_then() -> None:
    old = former()
    seen = views.view(old, supply=views.supply("another"))
    assert decide(seen) == Acquire()
    workloads = views.lease({"rotation": {"restartTargets": [{"kind": "Deployment", "name": "a"}]}})
    restarting = replace(seen, dl=workloads)
    assert decide(restarting) == Acquire(restarts=True)


def test_a_kind_that_cannot_be_inspected_is_rotated() -> None:
    old = former()
    seen = made_again(old, can=BLIND)
    _, step = views.after_reports(seen)
    assert step == Acquire(reason=Reason.SOURCE_CHANGED)


def test_nothing_is_taken_over_or_rotated_while_the_provider_is_unknown() -> None:
    away = {"supply": None, "supply_failure": views.FAILURE}
    for can in (views.CAN, BLIND, None):
        held = former()
        _, step = views.after_reports(made_again(held, can=can, **away))
        # The garbage collector would take a Secret whose owner is gone.
        assert step == Deliver(held) or isinstance(step, Inspect)


def test_at_the_limit_an_inherited_lease_that_nothing_shows_makes_room() -> None:
    old = tuple(former(number) for number in range(1, 6))
    seen = views.view(*old, supply=views.supply("another"))
    assert decide(seen) == revocations.begin(seen, old[0], Reason.SUPERSEDED)


# ----------------------------------------------------------------------------- a status was lost


def test_a_lease_is_unseen_until_provider_status_or_memory_tell_of_it() -> None:
    held = views.record()
    seen = views.view(held, target=views.secret(held), secrets=(views.secret(held),))
    assert plan.unseen(seen, held)
    known = views.remembers(held, shown=views.known(held, 3600))
    shown = views.remembers(held, shown_at=views.NOW)
    assert not plan.unseen(replace(seen, memory=known), held)
    assert not plan.unseen(replace(seen, memory=shown), held)
    told = views.told(replace(seen, memory=shown))
    assert not plan.unseen(replace(told, memory=Memory()), held)
    other = views.record(2)
    assert plan.unseen(replace(told, memory=Memory(), capabilities={"attempt-2": views.CAN}), other)


def test_a_kind_that_nobody_can_inspect_is_believed_without_a_status() -> None:
    held = views.record()
    for can in (BLIND, None):
        seen = views.view(held, target=views.secret(held), secrets=(views.secret(held),), can=can)
        assert not plan.unseen(seen, held)
        assert ready(seen) == ("True", Reason.READY)


def test_after_a_lost_status_the_lease_is_inspected_and_nothing_is_issued() -> None:
    held = views.record()
    secret = views.secret(held)
    lost = views.view(held, target=secret, secrets=(secret,))
    assert decide(lost) == Inspect(held)
    gone = replace(lost, memory=views.remembers(held, gone_since=views.NOW))
    assert decide(gone) == Inspect(held)
    assert ready(gone)[0] == "False"
    revoked = replace(lost, records=(views.pending(reason=Reason.GONE),))
    _, step = views.after_reports(revoked)
    assert step == Acquire()


def test_a_lease_told_in_status_is_looked_at_by_the_probe_and_stays_ready() -> None:
    held = views.record()
    told = views.told(views.holding(held=held))
    restarted = replace(told, memory=Memory())
    assert ready(restarted) == ("True", Reason.READY)
    assert decide(restarted) == Inspect(held)
