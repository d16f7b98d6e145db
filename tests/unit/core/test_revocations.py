from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLeaseStatus, Handled
from leaseholder.api.record import RecordedLease, Revocation, State
from leaseholder.core import lease_clock, revocations
from leaseholder.core.actions import Drop, Later, Move, Revoke, Search
from leaseholder.core.memory import Memory
from leaseholder.core.view import View
from leaseholder.ports.provider import Capabilities
from tests.unit.core import views

FORCED = views.lease(annotations={names.FORCE: "now"})


def revocation(after: RecordedLease | None) -> Revocation:
    assert after is not None
    assert after.revoke is not None
    return after.revoke


def test_a_lease_to_be_revoked_keeps_the_best_known_expiry() -> None:
    held = views.record(expires=10)
    seen = views.view(held, memory=views.remembers(held, shown=views.known(held, 99)))
    move = revocations.begin(seen, held, Reason.GONE)
    assert move.to.state == State.REVOKING
    assert move.to.expires_at == views.at(99)
    assert move.to.revoke == Revocation(reason=Reason.GONE, since=views.NOW)


def test_what_goes_on_record_ends_no_later_than_was_asked_for() -> None:
    endless = views.record(expires=900 * 365 * 86_400)
    assert revocations.begin(views.view(endless), endless, Reason.GONE).to.expires_at == views.at(
        3600
    )
    longer = endless.but(ttl_seconds=7200)
    move = revocations.begin(views.view(longer), longer, Reason.GONE)
    assert move.to.expires_at == views.at(7200)


def test_a_superseded_lease_lives_until_its_overlap_is_over() -> None:
    old = views.superseded(until=120)
    seen = views.view(old)
    assert isinstance(revocations.pending(seen), Later)
    assert revocations.pending(seen) == Later(views.at(120))
    assert isinstance(revocations.pending(views.later(seen, 119)), Later)
    later = views.later(seen, 120)
    assert revocations.pending(later) == revocations.begin(later, old, Reason.SUPERSEDED)


@pytest.mark.parametrize(("overlap", "until"), [("0s", 0), ("30s", 30), ("90s", 90), ("1h", 120)])
def test_a_shorter_overlap_counts_at_once_and_a_longer_one_does_not(
    overlap: str, until: float
) -> None:
    known = Revocation(reason=Reason.SUPERSEDED, since=views.at(0), not_before=views.at(120))
    old = views.record(1, State.SUPERSEDED, revoke=known)
    seen = views.view(old, dl=views.lease({"rotation": {"overlap": overlap}}))
    if until:
        assert revocations.pending(seen) == Later(views.at(until))
    assert revocations.pending(views.later(seen, until)) == revocations.begin(
        views.later(seen, until), old, Reason.SUPERSEDED
    )


def test_a_superseded_lease_of_no_known_overlap_is_pending_at_once() -> None:
    old = views.record(state=State.SUPERSEDED)
    assert isinstance(revocations.pending(views.view(old)), Move)


# ---------------------------------------------------------------------- unclear attempts


def searching(
    can: Capabilities | None = views.CAN,
    *,
    seen: float | None = 0,
    searched: float | None = None,
) -> View:
    """An attempt of 20 seconds that was claimed at ``seen`` and looked for at ``searched``."""
    known = Revocation(
        reason=Reason.UNCLEAR,
        first_seen_at=views.at(seen) if seen is not None else None,
        searched_at=views.at(searched) if searched is not None else None,
    )
    return views.view(views.attempt(state=State.REVOKING, revoke=known), can=can)


def test_the_claim_says_when_the_attempt_was_first_seen_by_its_providers_clock() -> None:
    posted, told = views.attempt(), views.at(99 - 600)
    clock = lease_clock.LeaseClock.start(0, told, views.at(99), 1099)
    seen = views.later(views.view(posted, memory=views.remembers(posted, clock=clock)), 99)
    seen = replace(seen, shifts={posted.attempt_id: clock.shift})
    claimed = revocations.begin(seen, posted, Reason.UNCLEAR).to
    assert revocation(claimed).first_seen_at == told
    assert revocation(revocations.begin(seen, posted, Reason.DELETING).to).first_seen_at is None
    settled = replace(seen, records=(claimed,))
    wait = 20 + views.CAN.settle
    assert revocations.pending(settled) == Later(views.at(99 + wait))
    assert isinstance(revocations.pending(views.later(settled, wait)), Search)


def test_where_no_answer_has_told_the_time_an_attempt_isnt_searched_for_before_its_deadline() -> (
    None
):
    posted = views.attempt()
    seen = views.later(views.view(posted), 99)
    claimed = revocations.begin(seen, posted, Reason.UNCLEAR).to
    assert revocation(claimed).first_seen_at is None
    due = posted.deadline + timedelta(seconds=views.CAN.settle)
    assert revocations.pending(views.later(views.view(claimed), -11)) == Later(due)


def test_an_unclear_attempt_is_searched_when_a_late_commit_must_be_visible() -> None:
    seen = searching()
    assert isinstance(revocations.pending(seen), Later)
    assert revocations.pending(seen) == Later(views.at(50))
    assert isinstance(revocations.pending(views.later(seen, 49)), Later)
    assert isinstance(revocations.pending(views.later(seen, 50)), Search)


def test_an_attempt_that_was_put_back_without_a_first_sight_counts_from_its_start() -> None:
    assert revocations.pending(views.later(searching(seen=None), -60)) == Later(views.at(-60 + 50))
    assert isinstance(revocations.pending(searching(seen=None)), Search)


def test_a_second_search_comes_a_replica_lag_after_the_first() -> None:
    seen = searching(searched=1000)
    assert revocations.pending(seen) == Later(views.at(1060))
    assert isinstance(revocations.pending(views.later(seen, 1060)), Search)


def test_replicas_that_do_not_trail_are_asked_again_after_some_seconds() -> None:
    assert revocations.pending(searching(replace(views.CAN, replica_lag=0), searched=0)) == Later(
        views.at(5)
    )


def test_both_moments_of_a_search_outlive_a_restart() -> None:
    before = views.later(searching(), 50)
    (lost,) = before.records
    once = revocations.after_search(before, lost)
    assert revocation(once).searched_at == views.at(50)
    assert revocation(once).first_seen_at == views.NOW
    assert once is not None
    read = RecordedLease.model_validate_json(once.model_dump_json(by_alias=True))
    another_process = views.later(views.view(read, memory=Memory()), 50)
    assert isinstance(revocations.pending(another_process), Later)
    assert revocations.pending(another_process) == Later(views.at(110))
    assert revocations.pending(views.later(another_process, 60)) == Search(read)


def test_what_two_searches_did_not_find_is_not_there() -> None:
    seen = searching(searched=0)
    assert revocations.after_search(seen, seen.records[0]) is None


def test_a_failed_search_waits_for_its_back_off() -> None:
    tried = Revocation(first_seen_at=views.at(-60), next_at=views.at(30))
    seen = views.view(views.attempt(state=State.REVOKING, revoke=tried))
    assert revocations.pending(seen) == Later(views.at(30))
    assert isinstance(revocations.pending(views.later(seen, 30)), Search)


def test_an_attempt_at_an_unknown_provider_waits() -> None:
    assert revocations.pending(searching(can=None)) == Later(views.at(300))


def test_an_attempt_that_cannot_be_found_stays_until_its_lease_would_be_over() -> None:
    seen = searching(can=replace(views.CAN, recoverable=False))
    assert revocations.pending(seen) == Later(views.at(-60 + 20 + 30 + 3600))
    assert isinstance(revocations.pending(views.later(seen, 3590)), Drop)


def test_an_attempt_of_unknown_ttl_is_thought_to_live_for_32_days() -> None:
    lost = views.attempt(state=State.REVOKING, ttl=None)
    seen = views.view(lost, can=replace(views.CAN, recoverable=False))
    assert revocations.pending(seen) == Later(views.at(-60 + 20 + 30) + timedelta(days=32))


# --------------------------------------------------------------------------- revocations


def test_what_is_to_be_revoked_is_revoked_at_once() -> None:
    pending = views.pending()
    assert revocations.pending(views.view(pending)) == Revoke(pending)


def test_a_pending_revocation_whose_next_try_is_later_waits() -> None:
    seen = views.view(views.pending(next_at=views.at(30)))
    assert isinstance(revocations.pending(seen), Later)
    assert revocations.pending(seen) == Later(views.at(30))


def test_a_waiting_pending_revocation_does_not_keep_another_from_its_turn() -> None:
    waiting, due = views.pending(1, next_at=views.at(30)), views.pending(2)
    assert revocations.pending(views.view(waiting, due)) == Revoke(due)


@pytest.mark.parametrize("reason", [Reason.SUPERSEDED, Reason.UNDELIVERED, Reason.UNCLEAR])
def test_a_lease_that_the_secret_names_after_all_is_held_again(reason: Reason) -> None:
    pending = views.pending(reason=reason)
    step = revocations.held_again(views.view(pending, shows=pending))
    assert isinstance(step, Move)
    assert step.to.state == State.HELD
    assert step.to.revoke is None


@pytest.mark.parametrize("reason", [Reason.GONE, Reason.ROTATING, Reason.DELETING])
def test_a_lease_that_is_gone_or_must_go_is_revoked_whatever_the_secret_names(
    reason: Reason,
) -> None:
    pending = views.pending(reason=reason)
    assert revocations.pending(views.view(pending, shows=pending)) == Revoke(pending)


def test_a_lease_that_nobody_wants_is_revoked_whatever_the_secret_names() -> None:
    pending = views.pending()
    for dl in (None, views.lease(deleted_at=views.NOW)):
        seen = views.view(pending, shows=pending, dl=dl, vanished=dl is None)
        assert revocations.pending(seen) == Revoke(pending)


def test_an_undelivered_lease_is_fenced_before_its_first_revocation() -> None:
    held, pending = views.record(1), views.pending(2, reason=Reason.UNDELIVERED)
    seen = views.view(held, pending, shows=held)
    assert revocations.pending(seen) == Revoke(pending, fence=seen.target)
    tried = views.pending(2, reason=Reason.UNDELIVERED, attempts=1)
    assert revocations.pending(views.view(held, tried, shows=held)) == Revoke(tried)


def test_the_secret_of_somebody_else_is_never_written_as_a_fence() -> None:
    pending = views.pending(reason=Reason.UNDELIVERED)
    target = views.secret(owner=None)
    assert revocations.pending(views.view(pending, target=target, target_contested=True)) == Revoke(
        pending
    )


def test_expiry_confirms_the_end_of_a_lease_that_can_be_neither_inspected_nor_revoked() -> None:
    pending = views.pending()
    blind = replace(views.CAN, verifiable=False, revocable=False)
    seen = views.view(pending, can=blind)
    assert revocations.pending(seen) == Later(views.at(3540 + 60))
    assert revocations.pending(views.later(seen, 3600)) == Drop(pending, "Expired")


def test_a_force_command_does_not_wait_for_the_back_off() -> None:
    pending = views.pending(next_at=views.at(30))
    assert revocations.pending(views.view(pending, dl=FORCED)) == Revoke(pending, force=True)


def test_a_force_command_at_first_sight_counts_as_handled() -> None:
    dl = views.lease(annotations={names.FORCE: "now"}, status=DynamicLeaseStatus())
    assert revocations.force_nonce(views.view(dl=dl)) == ""
    assert revocations.force_nonce(views.view(vanished=True)) == ""
    handled = views.lease(
        annotations={names.FORCE: "now"}, status=DynamicLeaseStatus(handled=Handled(force="now"))
    )
    assert revocations.force_nonce(views.view(dl=handled)) == ""


Outcome = Callable[[View, RecordedLease], RecordedLease | None]


def failed(seen: View, pending: RecordedLease) -> RecordedLease:
    return revocations.after_failure(seen, pending, Reason.UNAVAILABLE)


@pytest.mark.parametrize("outcome", [revocations.after_answer, revocations.after_gone, failed])
@pytest.mark.parametrize("issued", [-60, 0])
def test_a_force_command_is_tried_once_whatever_the_outcome(outcome: Outcome, issued: int) -> None:
    pending = views.pending().but(issued_at=views.at(issued))
    after = outcome(views.view(pending, dl=FORCED), pending)
    assert revocation(after).forced_nonce == "now"
    assert after is not None
    assert isinstance(revocations.pending(views.view(after, dl=FORCED)), Later)


# ------------------------------------------------------------------------------ outcomes


def test_a_revocation_that_the_provider_still_shows_is_looked_at_again_soon() -> None:
    pending = views.pending()
    after = revocation(revocations.after_answer(views.view(pending), pending))
    assert after.answered_at == views.NOW
    assert after.next_at == views.at(5)
    assert (after.attempts, after.last_reason) == (1, Reason.NOT_CONFIRMED)


def test_a_revocation_that_is_never_confirmed_is_tried_ever_more_slowly_and_given_up() -> None:
    pending = views.pending(attempts=12, answered_at=views.at(-99))
    status = revocations.after_answer(views.view(pending), pending)
    assert revocation(status).answered_at == views.at(-99)
    assert revocation(status).next_at > views.at(300)  # type: ignore[operator]
    late = revocations.after_answer(views.later(views.view(pending), 3540 + 7 * 86400), pending)
    assert late.state == State.ABANDONED


def test_a_lease_that_is_gone_is_believed_when_it_was_said_twice() -> None:
    pending = views.pending()
    seen = views.view(pending)
    first = revocations.after_gone(seen, pending)
    assert revocation(first).answered_at == views.NOW
    assert revocation(first).next_at == views.at(5)
    assert first is not None
    assert revocations.after_gone(seen, first) is None


def test_a_young_lease_that_seems_gone_is_looked_at_when_replicas_have_caught_up() -> None:
    young = views.pending().but(issued_at=views.at(-10))
    after = revocation(revocations.after_gone(views.view(young), young))
    assert after.answered_at is None
    assert after.next_at == views.at(50)
    blind = views.view(young, can=None)
    assert revocation(revocations.after_gone(blind, young)).next_at == views.at(50)


def test_a_failed_revocation_is_tried_again_later() -> None:
    pending = views.pending()
    status = revocations.after_failure(
        views.view(pending), pending, Reason.THROTTLED, retry_after=90
    )
    assert status.state == State.REVOKING
    after = revocation(status)
    assert (after.attempts, after.last_reason) == (1, Reason.THROTTLED)
    assert after.next_at is not None
    assert views.at(90) <= after.next_at <= views.at(1.25 * 90)


def test_past_expiry_tries_are_hourly_at_most_and_end_after_a_week() -> None:
    pending = views.pending(attempts=20)
    dead = views.later(views.view(pending), 3540)
    status = revocations.after_failure(dead, pending, Reason.UNAVAILABLE)
    assert status.state == State.REVOKING
    wait = revocation(status).next_at - dead.now  # type: ignore[operator]
    assert timedelta(minutes=45) <= wait <= timedelta(hours=1)
    week = views.later(dead, 7 * 86400)
    assert revocations.after_failure(week, pending, Reason.UNAVAILABLE).state == State.ABANDONED


def test_a_search_that_never_succeeds_is_given_up_a_week_after_the_lease_would_be_over() -> None:
    lost = views.attempt(state=State.REVOKING)
    seen = views.view(lost)
    end = -60 + 20 + 30 + 3600 + 7 * 86400
    late, later = views.later(seen, end - 1), views.later(seen, end)
    assert revocations.after_failure(late, lost, Reason.UNAVAILABLE).state == State.REVOKING
    assert revocations.after_failure(later, lost, Reason.UNAVAILABLE).state == State.ABANDONED
    blind = replace(later, capabilities={})
    assert revocations.after_failure(blind, lost, Reason.UNAVAILABLE).state == State.ABANDONED


def test_a_try_that_was_held_back_does_not_count() -> None:
    pending = views.pending(attempts=3)
    held = revocations.held_back(views.view(pending), pending, Reason.UNAVAILABLE, 2.5)
    assert held.revoke is not None
    assert (held.revoke.attempts, held.revoke.next_at) == (3, views.at(3))


def test_the_newest_lease_is_held_again_where_the_secret_still_shows_it() -> None:
    alone = views.view(replaced := views.superseded(), shows=replaced)
    step = revocations.held_again(alone)
    assert isinstance(step, Move)
    assert (step.to.state, step.to.revoke) == (State.HELD, None)
    newer = views.view(replaced, views.record(2), shows=replaced)
    assert revocations.held_again(newer) is None


def test_a_lease_of_unknown_issue_is_shown_a_lag_after_its_attempt_began() -> None:
    unclear = views.record(1, State.REVOKING, issued=None, revoke=Revocation(reason=Reason.UNCLEAR))
    seen = views.view(unclear)
    began = unclear.started_at
    assert revocations.shows_from(seen, unclear) == began + timedelta(seconds=views.CAN.replica_lag)
    assert revocations.after_gone(seen, unclear) is not None
