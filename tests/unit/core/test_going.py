from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from leaseholder.api.conditions import Condition, ConditionType, Reason, find
from leaseholder.api.lease import DynamicLease, DynamicLeaseStatus
from leaseholder.api.record import RecordedLease, Revocation, State
from leaseholder.core import revocations
from leaseholder.core.actions import (
    DeleteSecret,
    Discard,
    Disown,
    Drop,
    Hold,
    Idle,
    Release,
    Report,
    Revoke,
)
from leaseholder.core.memory import Memory
from leaseholder.core.view import View
from tests.unit.core import views
from tests.unit.core.views import decide


def going(**spec: Any) -> DynamicLease:
    return views.lease(spec, deleted_at=views.NOW)


def waited(seconds: float) -> Memory:
    """The memory of a process that has seen the deletion for so long."""
    return Memory(deleting_since=1000.0 - seconds)


def test_on_deletion_the_secrets_go_before_any_lease() -> None:
    held, left = views.record(2), views.pending(1)
    seen = views.view(left, held, shows=held, dl=going())
    assert decide(seen) == DeleteSecret(views.secret(held))


def test_a_secret_that_is_already_going_is_not_deleted_again() -> None:
    held = views.record()
    secret = views.secret(held, deleting=True)
    seen = views.view(held, target=secret, secrets=(secret,), dl=going())
    assert decide(seen) == revocations.begin(seen, held, Reason.DELETING)


@pytest.mark.parametrize("record", [views.record(), views.superseded()])
def test_on_deletion_every_lease_is_to_be_revoked(record: Any) -> None:
    seen = views.view(record, dl=going())
    assert decide(seen) == revocations.begin(seen, record, Reason.DELETING)


def test_on_deletion_pending_revocations_are_tried() -> None:
    left = views.pending(reason=Reason.DELETING)
    assert decide(views.view(left, dl=going())) == Revoke(left)


def test_on_deletion_an_issue_whose_answer_is_ours_is_put_on_record_first() -> None:
    posted = views.attempt()
    memory = views.remembers(posted, shown=views.known(posted, 3600))
    assert decide(views.view(posted, dl=going(), memory=memory)) == Hold(posted)


def test_the_finalizer_goes_when_nothing_is_pending() -> None:
    assert decide(views.view(dl=going())) == Release()


def test_an_abandoned_lease_does_not_hold_the_finalizer() -> None:
    assert decide(views.view(views.record(state=State.ABANDONED), dl=going())) == Release()


def test_a_deletion_waits_for_its_pending_revocations_and_looks_often() -> None:
    left = views.pending(reason=Reason.DELETING, next_at=views.at(300))
    assert decide(views.view(left, dl=going())) == Idle(views.at(10))
    soon = views.pending(reason=Reason.DELETING, next_at=views.at(3))
    assert decide(views.view(soon, dl=going())) == Idle(views.at(3))


def test_a_revocation_that_did_not_succeed_at_once_is_told_once() -> None:
    left = views.pending(
        reason=Reason.DELETING, attempts=1, next_at=views.at(9), last_reason="AuthGone"
    )
    seen = views.view(left, dl=going())
    step = decide(seen)
    assert isinstance(step, Report)
    ready = step.status.conditions[0]
    assert (ready.status, ready.reason) == ("False", Reason.DELETING)
    assert [note.reason for note in step.notes] == [Reason.AUTH_GONE]
    assert decide(views.tell(seen, step.status)) == Idle(views.at(9))


READY = DynamicLeaseStatus(
    conditions=(
        Condition(type="Ready", status="True", reason="Ready", last_transition_time=views.NOW),
    )
)


def test_before_a_wait_status_says_what_the_deletion_waits_for() -> None:
    unclear = Revocation(reason=Reason.UNCLEAR, since=views.NOW, first_seen_at=views.NOW)
    lost = views.attempt(state=State.REVOKING, revoke=unclear)
    seen = views.view(lost, dl=views.lease(deleted_at=views.NOW, status=READY))
    step = decide(seen)
    assert isinstance(step, Report)
    ready = find(step.status.conditions, ConditionType.READY)
    pending = find(step.status.conditions, ConditionType.REVOCATION_PENDING)
    assert ready is not None
    assert pending is not None
    assert (ready.status, ready.reason) == ("False", Reason.DELETING)
    assert pending.message == (
        "1 lease is still to be revoked; the answer to an issue was lost, so its lease is "
        "searched for first; the deletion waits for that, 15m (deletion.timeout) at most"
    )
    assert isinstance(decide(views.tell(seen, step.status)), Idle)


def test_a_deletion_that_waits_for_nothing_saves_the_report() -> None:
    dl = views.lease(deleted_at=views.NOW, status=READY)
    assert decide(views.view(dl=dl)) == Release()


def test_a_dynamiclease_that_others_keep_is_not_ready_once_its_secret_and_leases_are_gone() -> None:
    dl = views.lease(deleted_at=views.NOW, status=READY, finalizers=("example.com/other",))
    seen = views.view(dl=dl)
    step = decide(seen)
    assert isinstance(step, Report)
    ready = find(step.status.conditions, ConditionType.READY)
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", Reason.DELETING)
    assert decide(views.tell(seen, step.status)) == Idle(None)


def test_a_secret_that_can_not_go_yet_makes_nothing_ready_that_is_being_deleted() -> None:
    held = views.record()
    secret = views.secret(held, deleting=True)
    left = views.pending(reason=Reason.DELETING, attempts=1, next_at=views.at(9))
    seen = views.view(left, target=secret, secrets=(secret,), dl=going())
    step = decide(seen)
    assert isinstance(step, Report)
    assert step.status.conditions[0].status == "False"


def test_who_no_longer_holds_a_deletion_up_does_not_say_that_it_waits() -> None:
    left = views.pending(reason=Reason.DELETING, next_at=views.at(300))
    dl = views.lease(deleted_at=views.NOW, status=READY, finalizers=("example.com/other",))
    step = decide(views.view(left, dl=dl))
    assert isinstance(step, Report)
    pending = find(step.status.conditions, ConditionType.REVOCATION_PENDING)
    assert pending is not None
    assert pending.message == "1 lease is still to be revoked"


def test_the_finalizer_goes_when_the_time_is_over_and_says_what_is_pending() -> None:
    left = views.pending(reason=Reason.DELETING, next_at=views.at(300))
    seen = views.view(left, dl=going(), memory=waited(900))
    step = decide(seen)
    assert isinstance(step, Release)
    assert step.note is not None
    assert (step.note.type, step.note.reason) == ("Warning", Reason.TIMED_OUT)
    assert isinstance(decide(views.view(left, dl=going(), memory=waited(899))), Idle)


def test_the_wall_clock_does_not_end_the_wait_for_a_deletion() -> None:
    left = views.pending(reason=Reason.DELETING, next_at=views.at(300))
    long_ago = views.lease(deleted_at=views.at(-86_400))
    assert isinstance(decide(views.view(left, dl=long_ago)), Idle)


@pytest.mark.parametrize(
    ("spec", "terminating", "released"),
    [
        ({}, False, True),
        ({}, True, True),
        ({"deletion": {"policy": "Orphan"}}, True, True),
        ({"deletion": {"policy": "Orphan"}}, False, False),
    ],
)
def test_a_secret_that_cannot_be_deleted_does_not_wedge_the_namespace(
    spec: Mapping[str, Any], terminating: bool, released: bool
) -> None:
    held = views.record()

    def seen(seconds: float, *, refused: bool) -> View:
        memory = replace(waited(seconds), keeps_secret=refused)
        dl = going(**spec)
        return views.view(held, shows=held, dl=dl, terminating=terminating, memory=memory)

    assert isinstance(decide(seen(900, refused=True)), Release) is released
    assert not isinstance(decide(seen(899, refused=True)), Release)
    assert not isinstance(decide(seen(900, refused=False)), Release)


def test_a_terminating_namespace_is_left_at_once_where_revocation_cannot_succeed() -> None:
    tried = views.pending(reason=Reason.DELETING, attempts=1, next_at=views.at(300))
    untried = views.pending(2, reason=Reason.DELETING, next_at=views.at(300))
    seen = views.told(views.view(tried, dl=going(), terminating=True))
    assert isinstance(decide(seen), Release)
    assert isinstance(decide(replace(seen, terminating=False)), Idle)
    both = views.told(views.view(tried, untried, dl=going(), terminating=True))
    assert isinstance(decide(both), Idle)


def test_an_orphaned_lease_leaves_the_ledger_and_says_how_long_it_lives() -> None:
    held = views.record()
    dl = going(deletion={"policy": "Orphan"})
    step = decide(views.view(held, shows=held, dl=dl))
    assert isinstance(step, Drop)
    assert step.note is not None
    assert step.note.reason == Reason.ORPHANED
    assert "2026-01-01T12:59:00Z" in step.note.message
    assert step.until == views.record().expires_at


@pytest.mark.parametrize("dl", [None, views.lease(finalizers=(), deleted_at=views.NOW)])
def test_a_record_that_tells_of_an_orphaned_lease_stays_while_that_may_live(
    dl: DynamicLease | None,
) -> None:
    def seen(until: int, **more: Any) -> View:
        kept = views.at(until)
        memory = Memory(vanished_since=0.0)
        version: dict[str, Any] = {"record_version": "uid/1", "kept_until": kept}
        if dl is None:
            return views.view(vanished=True, memory=memory, **version, **more)
        return views.view(dl=dl, memory=memory, **version, **more)

    assert decide(seen(600)) == Idle(views.at(600))
    assert decide(seen(0)) == Discard()
    assert decide(seen(600, draining=True)) == Discard()


@pytest.mark.parametrize(("asked", "kept"), [(3600, 366), (None, 366), (400 * 86_400, 400)])
def test_the_record_of_an_orphaned_lease_does_not_stay_for_as_long_as_a_provider_likes(
    asked: int | None, kept: int
) -> None:
    held = views.record(ttl=asked, expires=900 * 365 * 86_400)
    step = decide(views.view(held, shows=held, dl=going(deletion={"policy": "Orphan"})))
    assert isinstance(step, Drop)
    assert step.until == views.at(kept * 86_400)
    assert step.note is not None
    assert "stays alive until 2925-" in step.note.message


def test_an_orphaned_lease_of_unknown_end_says_so() -> None:
    held = views.record(expires=None)
    step = decide(views.view(held, shows=held, dl=going(deletion={"policy": "Orphan"})))
    assert isinstance(step, Drop)
    assert step.note is not None
    assert "an unknown moment" in step.note.message


def test_an_orphaned_lease_is_found_in_the_secret_under_its_former_name() -> None:
    held = views.record()
    former = views.secret(held, name="former")
    dl = going(deletion={"policy": "Orphan"})
    assert isinstance(decide(views.view(held, secrets=(former,), dl=dl)), Drop)


def test_an_orphaned_secret_loses_our_marks_and_stays() -> None:
    secret = views.secret(views.record())
    dl = going(deletion={"policy": "Orphan"})
    assert decide(views.view(secrets=(secret,), target=secret, dl=dl)) == Disown(secret)
    assert decide(views.view(dl=dl)) == Release()


def test_what_an_orphan_does_not_show_is_revoked() -> None:
    old = views.superseded()
    seen = views.view(old, dl=going(deletion={"policy": "Orphan"}))
    assert decide(seen) == revocations.begin(seen, old, Reason.DELETING)


def test_without_our_finalizer_pending_revocations_are_tried_all_the_same() -> None:
    dl = views.lease(finalizers=(), deleted_at=views.NOW)
    held = views.record()
    seen = views.view(held, dl=dl)
    assert decide(seen) == revocations.begin(seen, held, Reason.DELETING)
    assert decide(views.view(dl=dl)) == Idle(None)


# ------------------------------------------------------------------------------ vanished


def gone(*records: RecordedLease, since: float = 60, **more: Any) -> View:
    """There has been no DynamicLease for so many seconds."""
    memory = Memory(vanished_since=1000.0 - since)
    return views.view(*records, vanished=True, **{"memory": memory, **more})


def test_what_a_vanished_resource_leaves_goes_secrets_first() -> None:
    held = views.record()
    secret = views.secret(held)
    assert decide(gone(held, secrets=(secret,))) == DeleteSecret(secret)
    seen = gone(held)
    assert decide(seen) == revocations.begin(seen, held, Reason.DELETING)


def test_for_a_minute_what_a_vanished_resource_leaves_waits_for_one_of_its_name() -> None:
    held = views.record()
    seen = gone(held, since=0, secrets=(views.secret(held),))
    assert decide(seen) == Idle(views.at(60))
    assert decide(views.later(seen, 59)) == Idle(views.at(60))
    assert isinstance(decide(views.later(seen, 60)), DeleteSecret)
    unknown = gone(held, memory=Memory())
    assert decide(unknown) == Idle(views.at(60))


@pytest.mark.parametrize("since", [0, 60])
def test_where_the_namespace_goes_nothing_waits_for_one_of_its_name(since: float) -> None:
    held = views.record()
    seen = gone(held, since=since, terminating=True)
    assert decide(seen) == revocations.begin(seen, held, Reason.DELETING)


def test_what_is_pending_anyway_goes_on_while_one_of_its_name_is_waited_for() -> None:
    held, left = views.record(1), views.pending(2)
    assert decide(gone(held, left, since=0)) == Revoke(left)
    lost = views.attempt(2)
    seen = gone(held, lost, since=0)
    assert decide(seen) == revocations.begin(seen, lost, Reason.UNCLEAR)
    later = views.pending(2, next_at=views.at(7))
    assert decide(gone(held, later, since=0)) == Idle(views.at(7))
    assert decide(gone(held, views.pending(2, next_at=views.at(99)), since=0)) == Idle(views.at(60))


def test_an_overlap_that_ends_while_one_of_its_name_is_waited_for_ends_the_lease() -> None:
    old = views.superseded(1, until=0)
    seen = gone(old, since=0)
    assert decide(seen) == revocations.begin(seen, old, Reason.SUPERSEDED)


def test_a_vanished_resource_with_no_pending_revocations_needs_nothing() -> None:
    assert decide(gone()) == Idle(None)
    left = views.pending(next_at=views.at(7))
    assert decide(gone(left)) == Idle(views.at(7))


@pytest.mark.parametrize("since", [0, 60])
def test_a_record_without_leases_goes_with_its_dynamic_lease(since: float) -> None:
    assert decide(gone(since=since, record_version="uid/1")) == Discard()
    assert isinstance(decide(gone(since=since, record_version="")), Idle)
    secret = views.secret(views.record(), deleting=True)
    assert isinstance(decide(gone(since=since, record_version="uid/1", secrets=(secret,))), Idle)


def test_a_record_without_leases_stays_while_its_dynamic_lease_stands() -> None:
    _, step = views.after_reports(
        views.view(dl=views.lease({"suspend": True}), record_version="uid/1")
    )
    assert step == Idle(None)
    released = views.lease(finalizers=(), deleted_at=views.NOW)
    assert decide(views.view(dl=released, record_version="uid/1")) == Discard()
