"""What becomes of the leases beside the current one."""

from dataclasses import replace
from typing import Any

from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLeaseStatus
from leaseholder.api.record import MOST_LEASES, RecordedLease, State
from leaseholder.core import contents, replaced, revocations
from leaseholder.core.actions import Drop, Idle, Move
from tests.unit.core import views
from tests.unit.core.views import decide


def test_a_lower_number_never_replaces_a_higher() -> None:
    old, new = views.record(1), views.record(2)
    seen = views.view(old, new, shows=new, memory=views.in_hand(old))
    step = decide(seen)
    assert isinstance(step, Move)
    assert (step.record, step.to.state) == (old, State.SUPERSEDED)


def test_an_overtaken_lease_is_pending_not_delivered() -> None:
    old, newer = views.record(1), views.pending(2, Reason.GONE)
    seen = views.view(old, newer, shows=newer, memory=views.in_hand(old))
    assert decide(seen) == revocations.begin(seen, old, Reason.UNDELIVERED)


def test_a_lease_that_died_before_its_delivery_is_never_delivered() -> None:
    dead = views.record(expires=0)
    seen = views.view(dead, memory=views.in_hand(dead))
    assert decide(seen) == revocations.begin(seen, dead, Reason.UNDELIVERED)


def test_a_held_lease_whose_credentials_are_lost_is_pending() -> None:
    held = views.record()
    seen = views.view(held)
    assert decide(seen) == revocations.begin(seen, held, Reason.UNDELIVERED)


def test_a_lease_that_outlived_a_lost_status_may_have_been_delivered() -> None:
    old = views.record(issued=-300)
    unseen = {"type": "Ready", "status": "Unknown", "reason": "Pending", "message": ""}
    default = {"conditions": [{**unseen, "lastTransitionTime": "1970-01-01T00:00:00Z"}]}
    lost = views.lease(status=DynamicLeaseStatus.model_validate(default))  # the CRD fills it in
    move = decide(views.view(old, dl=lost))
    assert isinstance(move, Move)
    assert (move.to.state, move.to.revocation.reason) == (State.SUPERSEDED, Reason.SUPERSEDED)
    told = views.wanted(views.told(views.view(dl=lost))).status
    known = views.view(old, dl=views.lease(status=told))
    assert decide(known) == revocations.begin(known, old, Reason.UNDELIVERED)
    moved_to = views.record(restarts=True, rolled=-10)
    moved = decide(views.view(moved_to, dl=views.lease(status=told)))
    assert isinstance(moved, Move)
    assert moved.to.state is State.SUPERSEDED


def test_what_this_process_saw_in_the_secret_is_replaced_also_where_status_trails() -> None:
    held = views.record()
    memory = views.remembers(held, contents=contents.Contents())
    step = decide(views.view(held, memory=memory))
    assert isinstance(step, Move)
    assert step.to.state is State.SUPERSEDED


def test_a_lease_may_have_been_delivered_before_somebody_else_took_the_secret() -> None:
    held = views.record()
    step = decide(views.view(held, target=views.secret(owner=None), target_contested=True))
    assert isinstance(step, Move)
    assert step.to.state is State.SUPERSEDED
    assert step.to.revocation.not_before == views.at(120)


def test_a_replaced_lease_lives_on_for_its_overlap() -> None:
    old, new = views.record(1), views.record(2)
    dl = views.lease({"rotation": {"overlap": "10m"}})
    step = decide(views.view(old, new, shows=new, dl=dl))
    assert isinstance(step, Move)
    assert step.to.state == State.SUPERSEDED
    assert step.to.revoke is not None
    assert step.to.revoke.not_before == views.at(600)


def test_at_the_limit_with_nothing_delivered_the_oldest_replaced_lease_goes() -> None:
    replaced = tuple(views.superseded(n, until=9999) for n in range(1, 6))
    seen = views.view(*replaced)
    assert decide(seen) == revocations.begin(seen, replaced[0], Reason.SUPERSEDED)
    waiting = (views.pending(1, next_at=views.at(60)), *replaced[1:])
    _, step = views.after_reports(views.view(*waiting))
    assert step == Idle(views.at(60))


def test_at_the_limit_with_a_delivered_lease_overlaps_are_kept() -> None:
    replaced = tuple(views.superseded(n, until=9999) for n in range(1, 5))
    held = views.record(5)
    _, step = views.after_reports(views.view(*replaced, held, shows=held))
    assert isinstance(step, Idle)


def unconfirmed(many: int, **more: Any) -> tuple[RecordedLease, ...]:
    """Leases whose revocation failed, past each end that was asked for; the second for longest."""
    since = [-8000 if number == 2 else -7000 + number for number in range(1, many + 1)]
    return tuple(
        views.pending(number, since=views.at(at), expires=at + 60, attempts=3, **more)
        for number, at in enumerate(since, 1)
    )


def test_a_full_record_lets_go_of_the_lease_whose_end_is_longest_past() -> None:
    over = unconfirmed(MOST_LEASES)
    seen = views.view(*over)
    step = decide(seen)
    assert isinstance(step, Drop)
    assert (step.record, step.why) == (over[1], "Expired")
    assert step.note is not None
    assert (step.note.type, step.note.reason) == ("Warning", Reason.ABANDONED)
    assert "lease-2 ended by" in step.note.message
    step = decide(views.view(over[0], over[1].but(lease_id=""), *over[2:]))
    assert isinstance(step, Drop)
    assert step.note is not None
    assert "of attempt attempt-2 ended by" in step.note.message


def test_at_the_limit_a_replaced_lease_that_is_over_does_not_wait_for_its_overlap() -> None:
    replaced = [views.superseded(n, until=9999) for n in range(1, 5)]
    held = views.record(5)
    assert isinstance(decide(views.told(views.view(*replaced, held, shows=held))), Idle)
    over = replaced[2] = replaced[2].but(expires_at=views.at(0))
    seen = views.told(views.view(*replaced, held, shows=held))
    assert decide(seen) == revocations.begin(seen, over, Reason.SUPERSEDED)
    below = views.told(views.view(*replaced[1:], held, shows=held))
    assert isinstance(decide(below), Idle)


def test_a_record_with_room_or_without_need_lets_nothing_go() -> None:
    over = unconfirmed(MOST_LEASES)
    assert not isinstance(decide(views.view(*over[1:])), Drop)
    held = views.record(99)
    holding = views.view(*over[1:], held, shows=held)
    assert not isinstance(decide(holding), Drop)
    idle = views.view(*over, dl=views.lease({"suspend": True}))
    assert not isinstance(decide(idle), Drop)


def test_a_full_record_lets_nothing_go_by_a_wall_clock_that_may_be_wrong() -> None:
    over = unconfirmed(MOST_LEASES)
    seen = views.view(*over, has_time=False)
    assert isinstance(decide(replace(seen, has_time=True)), Drop)
    assert not isinstance(decide(seen), Drop)


def test_a_full_record_keeps_what_may_live_and_what_is_just_over() -> None:
    fresh = tuple(views.pending(n, since=views.at(-3500 - n), expires=-1) for n in range(1, 17))
    seen = views.view(*fresh)
    first = replaced.LONG_OVER.total_seconds() + 3600 - 3516
    assert not isinstance(decide(views.later(seen, first - 1)), Drop)
    assert isinstance(decide(views.later(seen, first)), Drop)
    in_use = tuple(views.superseded(n) for n in range(1, 17))
    assert not isinstance(decide(views.view(*in_use)), Drop)


def test_what_was_given_up_makes_room_too() -> None:
    given_up = tuple(one.but(state=State.ABANDONED) for one in unconfirmed(MOST_LEASES))
    step = decide(views.view(*given_up))
    assert isinstance(step, Drop)
    assert step.record == given_up[1]
