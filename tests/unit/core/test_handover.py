"""A name that goes to another shard: one process ends what it began, the other waits for that."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from leaseholder.api.conditions import Reason
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import actions, handover
from leaseholder.core.memory import Memory
from leaseholder.core.view import View
from tests.unit.core import views
from tests.unit.core.views import decide

DELIVERY = handover.DELIVERY.total_seconds()
DEADLINE = 20.0
"""Seconds from an issue to its deadline, as the views have it."""


def leaving(*records: RecordedLease, memory: Memory | None = None, **more: Any) -> View:
    return views.view(*records, memory=memory, elsewhere=True, shared=True, **more)


def coming(*records: RecordedLease, **more: Any) -> View:
    return views.view(*records, shared=True, **more)


# -- whose shard it was


def test_an_answer_that_only_this_process_has_is_put_on_record() -> None:
    for state in (State.ATTEMPT, State.REVOKING):
        open_ = views.attempt(state=state)
        answered = views.remembers(open_, shown=views.known(open_, 3600))
        assert decide(leaving(open_, memory=answered)) == actions.Hold(open_)


def test_an_attempt_of_its_own_without_an_answer_is_given_up_at_once() -> None:
    open_ = views.attempt(issued=0)
    step = decide(leaving(open_, memory=views.remembers(open_, ours=True)))
    assert isinstance(step, actions.Move)
    assert (step.to.state, step.to.revocation.reason) == (State.REVOKING, Reason.UNCLEAR)


def test_credentials_that_only_this_process_has_are_delivered() -> None:
    fresh = views.record(issued=0)
    assert decide(leaving(fresh, memory=views.in_hand(fresh))) == actions.Deliver(fresh)


@pytest.mark.parametrize("why", ["vanished", "deleting", "contested", "refused"])
def test_credentials_that_nobody_can_use_are_left_to_be_revoked(why: str) -> None:
    fresh = views.record(issued=0)
    memory = views.in_hand(fresh)
    seen = leaving(
        fresh,
        memory=memory,
        vanished=why == "vanished",
        dl=views.lease(deleted_at=views.NOW) if why == "deleting" else None,
        target_contested=why == "contested",
    )
    memory.failure = views.FAILURE if why == "refused" else None
    assert decide(seen) == actions.Idle(None)


def test_whatever_another_process_can_do_is_left_to_it() -> None:
    theirs = views.attempt(1, issued=-3600)
    held, pending = views.record(2), views.pending(3)
    seen = leaving(theirs, held, pending, shows=held)
    assert decide(seen) == actions.Idle(None)
    assert decide(replace(seen, dl=None)) == actions.Idle(None)
    assert decide(replace(seen, dl=views.lease(deleted_at=views.NOW))) == actions.Idle(None)


def test_a_record_that_its_own_deletion_left_empty_goes_at_once() -> None:
    assert decide(leaving(vanished=True, record_version="uid/1")) == actions.Discard()
    assert decide(leaving(record_version="uid/1")) == actions.Idle(None)


def test_a_record_that_says_of_a_lease_that_it_was_let_go_is_left_to_who_has_the_name() -> None:
    kept_until = views.NOW + timedelta(hours=1)
    empty = leaving(vanished=True, record_version="uid/1", kept_until=kept_until)
    assert decide(empty) == actions.Idle(None)
    assert decide(replace(empty, now=kept_until)) == actions.Discard()


# -- whose shard it is


def test_a_lease_that_may_be_on_its_way_into_the_secret_is_waited_for() -> None:
    theirs = views.record(issued=-1)
    seen, step = views.after_reports(coming(theirs))
    until = views.at(-1 + DEADLINE + DELIVERY)
    assert step == actions.Idle(until)
    after = views.later(seen, (until - views.NOW).total_seconds())
    step = views.after_reports(after)[1]
    assert isinstance(step, actions.Move)
    assert (step.to.state, step.to.revocation.reason) == (State.REVOKING, Reason.UNDELIVERED)


def test_a_rotation_that_is_due_waits_for_the_lease_that_may_be_its_answer() -> None:
    old = views.record(1, issued=-3000, expires=600)
    rotated = views.lease({"renewal": {"strategy": "Rotate"}})
    seen = coming(old, views.record(2, issued=-1), shows=old, dl=rotated)
    step = views.after_reports(seen)[1]
    assert step == actions.Idle(views.at(-1 + DEADLINE + DELIVERY))
    assert isinstance(views.after_reports(coming(old, shows=old, dl=rotated))[1], actions.Acquire)


def test_without_shards_nobody_else_can_deliver_so_nothing_is_waited_for() -> None:
    step = views.after_reports(views.view(views.record(issued=-1)))[1]
    assert isinstance(step, actions.Move)
    assert step.to.revocation.reason == Reason.UNDELIVERED


def test_what_this_process_issued_itself_or_a_secret_shows_is_not_waited_for() -> None:
    mine, shown = views.record(1, issued=-1), views.record(2, issued=-1)
    known = views.remembers(mine, shown=views.known(mine, 3600))
    assert handover.awaited(coming(mine, memory=known)) is None
    assert handover.awaited(coming(shown, shows=shown)) is None
