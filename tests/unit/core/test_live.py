from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from leaseholder.api import conditions, names
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.lease import DynamicLease, DynamicLeaseStatus, Retry
from leaseholder.api.record import MOST_LEASES, RecordedLease, State
from leaseholder.core import contents, replaced, revocations
from leaseholder.core.actions import (
    Acquire,
    DeleteSecret,
    Deliver,
    Drop,
    Hold,
    Idle,
    Inspect,
    Move,
    Protect,
    Renew,
    Report,
    Revoke,
)
from leaseholder.core.memory import Memory
from leaseholder.core.view import View
from leaseholder.ports.provider import Capabilities
from tests.unit.core import views
from tests.unit.core.views import decide

UNRENEWABLE = replace(views.CAN, renewable=False)
ONE_SLOT = replace(views.CAN, slots="One", renewable=False)


def held_by(seen: View) -> Any:
    assert seen.delivered is not None
    return seen.delivered


def with_retry(seen: View, *, failures: int, next_at: float) -> View:
    retry = Retry(failures=failures, next_at=views.at(next_at), reason="ProviderUnavailable")
    status = views.wanted(views.told(seen)).status.model_copy(update={"retry": retry})
    return views.told(views.tell(seen, status))


# -------------------------------------------------------------------------------- outage


@pytest.mark.parametrize("failures", range(1, 7))
@pytest.mark.parametrize("away", [1, 3000, 4000, 10**6])
def test_an_outage_however_long_ends_in_a_look_and_never_in_an_issue(
    failures: int, away: int
) -> None:
    seen = views.later(with_retry(views.holding(), failures=failures, next_at=0), away)
    _, step = views.after_reports(seen)
    assert not isinstance(step, Acquire)
    if away >= 3000:
        assert isinstance(step, Renew)
        assert step.inspect_first


# ------------------------------------------------------------------------------- acquire


def test_nothing_is_issued_before_the_finalizer_is_on() -> None:
    assert decide(views.view(dl=views.lease(finalizers=()))) == Protect()


def test_a_first_lease_is_issued() -> None:
    assert decide(views.view()) == Acquire()


def test_nothing_is_issued_while_the_back_off_lasts() -> None:
    seen = with_retry(views.view(), failures=2, next_at=30)
    assert decide(seen) == Idle(views.at(30))
    assert decide(views.later(seen, 30)) == Acquire()


def test_a_failure_is_told_before_the_next_try() -> None:
    step = decide(views.view(memory=Memory(failure=views.FAILURE)))
    assert isinstance(step, Report)
    assert step.status.retry is not None
    assert step.status.retry.failures == 1


def test_nothing_is_issued_into_a_contested_secret() -> None:
    target = views.secret(owner=None)
    seen, step = views.after_reports(views.view(target=target, target_contested=True))
    assert step == Idle(views.at(60))
    assert seen.lease is not None
    assert conditions.is_true(seen.lease.status.conditions, ConditionType.STALLED)


def test_nothing_is_issued_without_a_provider_and_it_is_looked_for_again() -> None:
    _, step = views.after_reports(views.view(supply=None, supply_failure=views.FAILURE))
    assert step == Idle(views.at(60))


def test_nothing_is_issued_while_suspended() -> None:
    _, step = views.after_reports(views.view(dl=views.lease({"suspend": True})))
    assert step == Idle(None)


def test_ready_goes_false_before_a_dead_credential_is_replaced() -> None:
    seen = views.told(views.holding())
    gone = replace(seen, records=(views.pending(reason=Reason.GONE),))
    step = decide(gone)
    assert isinstance(step, Report)
    assert not conditions.is_true(step.status.conditions, ConditionType.READY)
    assert decide(views.tell(gone, step.status)) == Acquire()


def test_of_a_lease_that_is_over_ready_is_taken_back_before_the_provider_is_asked() -> None:
    over = views.later(views.told(views.holding()), 3600)
    step = decide(over)
    assert isinstance(step, Report)
    assert not conditions.is_true(step.status.conditions, ConditionType.READY)
    assert isinstance(decide(views.tell(over, step.status)), Renew)


def test_a_lease_that_is_about_to_end_is_renewed_before_status_is_written() -> None:
    assert isinstance(decide(views.later(views.told(views.holding()), 3539)), Renew)


def test_ready_stays_true_while_a_living_credential_is_replaced() -> None:
    seen = views.told(views.holding())
    moved = replace(seen, supply=views.supply("another"))
    assert decide(moved) == Acquire(reason=Reason.SOURCE_CHANGED)


def test_a_rotate_command_goes_on_record_with_the_lease_that_answers_it() -> None:
    dl = views.lease(annotations={names.ROTATE: "now"})
    assert decide(views.holding(dl)) == Acquire("now", reason=Reason.COMMANDED)


def test_an_acquisition_that_is_done_does_not_wait_for_the_back_off_of_earlier_ones() -> None:
    blocked = with_retry(views.view(), failures=5, next_at=300)
    fresh = views.record()
    issued = replace(blocked, records=(fresh,), memory=views.in_hand(fresh))
    assert decide(issued) == Deliver(fresh)


# ------------------------------------------------------------------------------- unclear


def test_an_attempt_of_another_process_is_its_own_until_its_deadline() -> None:
    posted = views.attempt(issued=0)
    seen, step = views.after_reports(views.view(posted))
    assert step == Idle(posted.deadline)
    assert isinstance(decide(views.later(seen, 19)), Idle)
    over = views.later(seen, 20)
    assert decide(over) == revocations.begin(over, posted, Reason.UNCLEAR)


def test_a_claimed_attempt_whose_answer_is_ours_gets_its_lease_id() -> None:
    claimed = views.attempt(state=State.REVOKING)
    memory = Memory(leases={claimed.attempt_id: views.known(claimed, 3600)})
    assert decide(views.view(claimed, memory=memory)) == Hold(claimed)
    answered = claimed.but(lease_id="lease-1")
    assert not isinstance(decide(views.view(answered, memory=memory)), Hold)


def test_an_attempt_of_our_own_without_an_answer_is_claimed_at_once() -> None:
    posted = views.attempt(issued=0)
    seen = views.view(posted, memory=Memory(ours={posted.attempt_id}))
    assert decide(seen) == revocations.begin(seen, posted, Reason.UNCLEAR)


def test_nothing_else_waits_for_an_attempt_of_another_process() -> None:
    held, posted = views.record(1), views.attempt(2, issued=0)
    assert isinstance(decide(views.view(held, posted, shows=held)), Report)
    overdue = due(records=(*due().records, posted))
    assert isinstance(decide(overdue), Renew)
    pending = views.told(views.view(views.pending(1), posted))
    assert decide(pending) == Revoke(pending.records[0])


def test_an_attempt_whose_answer_is_ours_is_completed() -> None:
    posted = views.attempt()
    memory = Memory(leases={posted.attempt_id: views.known(posted, 3600)})
    assert decide(views.view(posted, memory=memory)) == Hold(posted)


# ------------------------------------------------------------------------------- deliver


def test_a_lease_in_hand_is_delivered() -> None:
    fresh = views.record()
    assert decide(views.view(fresh, memory=views.in_hand(fresh))) == Deliver(fresh)


def test_a_delivery_that_failed_waits_for_its_back_off() -> None:
    fresh = views.record()
    memory = views.in_hand(fresh)
    memory.failure = views.FAILURE
    step = decide(views.view(fresh, memory=memory))
    assert isinstance(step, Report)
    told = views.tell(views.view(fresh, memory=memory), step.status)
    rest = decide(told)
    assert isinstance(rest, Idle)
    assert rest.until is not None
    waited = views.later(told, (rest.until - views.NOW).total_seconds())
    assert decide(waited) == Deliver(fresh)


def test_a_delivery_that_failed_waits_even_while_suspended() -> None:
    fresh = views.record()
    memory = views.in_hand(fresh)
    memory.failure = views.FAILURE
    seen = views.view(fresh, dl=views.lease({"suspend": True}), memory=memory)
    _, step = views.after_reports(seen)
    assert isinstance(step, Idle)


def test_nothing_is_delivered_into_a_contested_secret() -> None:
    fresh = views.record()
    seen = views.view(
        fresh,
        memory=views.in_hand(fresh),
        target=views.secret(owner=None),
        target_contested=True,
    )
    assert not isinstance(views.after_reports(seen)[1], Deliver)


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
    memory = Memory(contents={held.attempt_id: contents.Contents()})
    step = decide(views.view(held, memory=memory))
    assert isinstance(step, Move)
    assert step.to.state is State.SUPERSEDED


def test_a_lease_may_have_been_delivered_before_somebody_else_took_the_secret() -> None:
    held = views.record()
    step = decide(views.view(held, target=views.secret(owner=None), target_contested=True))
    assert isinstance(step, Move)
    assert step.to.state is State.SUPERSEDED
    assert step.to.revocation.not_before == views.at(120)


# --------------------------------------------------------------------------------- rotate


def test_a_replaced_lease_lives_on_for_its_overlap() -> None:
    old, new = views.record(1), views.record(2)
    dl = views.lease({"rotation": {"overlap": "10m"}})
    step = decide(views.view(old, new, shows=new, dl=dl))
    assert isinstance(step, Move)
    assert step.to.state == State.SUPERSEDED
    assert step.to.revoke is not None
    assert step.to.revoke.not_before == views.at(600)


def test_a_replaced_lease_is_told_before_it_is_revoked() -> None:
    old, new = views.superseded(1, until=0), views.record(2)
    seen = views.told(views.view(old, new, shows=new))
    assert decide(seen) == revocations.begin(seen, old, Reason.SUPERSEDED)


def test_a_secret_under_a_former_name_keeps_its_lease_until_the_new_one_is_delivered() -> None:
    held = views.record()
    former = views.secret(held, name="former")
    assert decide(views.view(held, secrets=(former,))) == Deliver(held)


def test_a_secret_under_a_former_name_goes_before_its_lease_is_superseded() -> None:
    old, new = views.record(1), views.record(2)
    former, target = views.secret(old, name="former"), views.secret(new)
    memory = Memory(shown_at={new.attempt_id: views.NOW})
    seen = views.view(old, new, target=target, secrets=(former, target), memory=memory)
    assert decide(seen) == DeleteSecret(former)
    going = replace(former, deleting=True)
    step = decide(replace(seen, secrets=(going, target)))
    assert isinstance(step, Move)
    assert (step.record, step.to.state) == (old, State.SUPERSEDED)


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


# ------------------------------------------------------------------------------- one slot


def test_with_one_slot_every_lease_is_gone_before_the_next_is_issued() -> None:
    held = views.record(1, issued=-3599, expires=1)
    seen = views.told(views.holding(held=held, can=ONE_SLOT))
    move = decide(seen)
    assert move == revocations.begin(seen, held, Reason.ROTATING)
    assert isinstance(move, Move)
    pending = move.to
    seen = replace(seen, records=(pending,))
    step = decide(seen)
    assert isinstance(step, Report)
    assert not conditions.is_true(step.status.conditions, ConditionType.READY)
    seen = views.tell(seen, step.status)
    assert decide(seen) == Revoke(pending)
    assert decide(replace(seen, records=())) == Acquire()


def test_with_one_slot_a_superseded_lease_does_not_outlive_the_issue() -> None:
    old = views.superseded()
    seen = views.view(old, can=ONE_SLOT)
    assert decide(seen) == revocations.begin(seen, old, Reason.ROTATING)


def test_with_one_slot_a_waiting_pending_revocation_holds_the_issue() -> None:
    pending = views.pending(next_at=views.at(30))
    _, step = views.after_reports(views.view(pending, can=ONE_SLOT))
    assert step == Idle(views.at(30))


def test_with_one_slot_an_abandoned_lease_does_not_hold_the_issue() -> None:
    given_up = views.record(1, State.ABANDONED)
    assert decide(views.view(given_up, can=ONE_SLOT)) == Acquire()


# ---------------------------------------------------------------------------------- renew


def due(dl: DynamicLease | None = None, **more: Any) -> View:
    """A delivered lease whose renewal is due."""
    held = views.record(issued=-3000, expires=600)
    memory = Memory(leases={held.attempt_id: views.known(held, 600)})
    return views.holding(dl, held, **{"memory": memory, **more})


def test_a_lease_is_renewed_to_the_life_that_is_asked_for() -> None:
    seen = due()
    assert decide(seen) == Renew(held_by(seen), views.at(3600), inspect_first=False)


def test_a_lease_not_known_first_hand_is_looked_at_before_it_is_renewed() -> None:
    seen = due(memory=Memory())
    assert decide(seen) == Renew(held_by(seen), views.at(3600), inspect_first=True)


def test_after_an_unclear_renewal_the_lease_is_looked_at_first() -> None:
    seen = with_retry(due(), failures=1, next_at=10)
    assert isinstance(decide(seen), Idle)
    step = decide(views.later(seen, 10))
    assert isinstance(step, Renew)
    assert step.inspect_first


def test_a_renew_command_renews_at_once() -> None:
    dl = views.lease(annotations={names.RENEW: "now"})
    step = decide(views.holding(dl))
    assert isinstance(step, Renew)
    assert step.nonce == "now"


def test_a_renew_command_that_failed_waits_for_its_back_off() -> None:
    dl = views.lease(annotations={names.RENEW: "now"})
    seen = views.holding(dl, memory=Memory(failure=views.FAILURE))
    told, step = views.after_reports(seen)
    assert isinstance(step, Idle)
    assert views.wanted(told).status.retry is not None


def test_renewals_go_on_while_suspended() -> None:
    assert isinstance(decide(due(views.lease({"suspend": True}))), Renew)


def test_renewals_go_on_while_suspended_past_the_greatest_age() -> None:
    dl = views.lease({"suspend": True, "rotation": {"maxAge": "60s"}})
    assert isinstance(decide(due(dl)), Renew)


def test_a_lease_is_renewed_while_its_replacement_fails() -> None:
    seen = due(supply=views.supply("broken"))
    assert isinstance(decide(seen), Renew)
    tried = with_retry(seen, failures=1, next_at=0)
    assert isinstance(decide(tried), Acquire)
    assert isinstance(decide(with_retry(seen, failures=2, next_at=0)), Renew)


def test_a_lease_that_cannot_be_renewed_is_replaced_when_it_is_due() -> None:
    seen = due(can=UNRENEWABLE)
    assert decide(views.told(seen)) == Acquire(reason=Reason.ROTATING)
    assert isinstance(decide(views.told(views.holding(can=UNRENEWABLE))), Idle)


# ----------------------------------------------------------------------------------- look


def inspected_at(seconds: float, **more: Any) -> View:
    held = views.record()
    memory = Memory(inspected_at={held.attempt_id: views.at(seconds)})
    settings = {"memory": memory, "supply": views.supply(), **more}
    return views.told(views.holding(held=held, **settings))


def test_a_held_lease_is_looked_at_at_the_interval_of_the_probe() -> None:
    assert decide(inspected_at(0)) == Idle(views.at(300))
    seen = inspected_at(-300)
    assert decide(seen) == Inspect(held_by(seen))


def test_a_lease_that_seems_gone_is_looked_at_again_soon() -> None:
    held = views.record()
    memory = Memory(
        inspected_at={held.attempt_id: views.NOW}, gone_since={held.attempt_id: views.NOW}
    )
    assert decide(inspected_at(0, memory=memory)) == Idle(views.at(5))


@pytest.mark.parametrize(
    "more",
    [
        {"can": replace(views.CAN, verifiable=False)},
        {"can": None},
        {"supply": None},
    ],
)
def test_what_cannot_be_looked_at_is_not(more: dict[str, Any]) -> None:
    step = decide(inspected_at(-300, **more))
    assert isinstance(step, Idle)
    assert step.until == views.at(3540 - 1224)


# ------------------------------------------------------------------------------- tell, wake


def test_pending_revocations_are_tried_after_the_news_is_told() -> None:
    pending, held = views.pending(1), views.record(2)
    seen = views.view(pending, held, shows=held)
    assert isinstance(decide(seen), Report)
    assert decide(views.told(seen)) == Revoke(pending)


def test_a_lease_at_rest_wakes_when_its_renewal_is_due() -> None:
    assert decide(views.told(views.holding())) == Idle(views.at(3540 - 1224))


def test_a_lease_at_rest_wakes_at_its_end_where_nothing_may_replace_it() -> None:
    dl = views.lease({"suspend": True})
    seen = views.later(views.holding(dl, can=UNRENEWABLE), 3000)
    assert decide(views.told(seen)) == Idle(views.at(3537))
    assert decide(views.told(views.later(seen, 537))) == Idle(views.at(3540))


def test_a_lease_at_rest_wakes_for_its_pending_revocations() -> None:
    old, held = views.superseded(1, until=120), views.record(2)
    assert decide(views.told(views.view(old, held, shows=held))) == Idle(views.at(120))


def test_a_renewal_due_after_the_greatest_age_wakes_a_suspended_lease() -> None:
    dl = views.lease({"suspend": True, "rotation": {"maxAge": "60s"}})
    assert decide(views.told(views.holding(dl))) == Idle(views.at(3540 - 1224))


@pytest.mark.parametrize(
    ("cheap", "inspected_at", "due"),
    [(30, -10, 0), (30, -1, 0), (30, 0, 30), (100_000, -10, 290), (300, 0, 300)],
)
def test_where_a_probe_costs_little_it_comes_sooner_and_with_those_of_others(
    cheap: int, inspected_at: float, due: float
) -> None:
    held = views.record()
    can = replace(views.CAN, probe_seconds=cheap)
    assert views.NOW.timestamp() % 30 == 0
    memory = Memory(inspected_at={held.attempt_id: views.at(inspected_at)})
    seen = views.holding(held=held, can=can, supply=views.supply(), memory=memory)
    assert not isinstance(decide(views.told(views.later(seen, due - 1))), Inspect)
    assert isinstance(decide(views.told(views.later(seen, due))), Inspect)


def test_a_probe_interval_longer_than_the_life_does_not_delay_the_renewal() -> None:
    slow = replace(views.supply(), probe_interval=timedelta(days=1))
    assert decide(inspected_at(0, supply=slow)) == Idle(views.at(3540 - 1224))


def test_capabilities_default_to_what_is_known_of_most_providers() -> None:
    plain = Capabilities(renewable=True, revocable=True, verifiable=True, recoverable=True)
    assert isinstance(decide(due(can=plain)), Renew)


@pytest.mark.parametrize(
    "taken",
    [
        {"labels": {}},
        {"annotations": {}},
    ],
)
def test_marks_that_were_taken_off_are_repaired_without_an_issue(taken: dict[str, Any]) -> None:
    held = views.record()
    before = views.told(views.holding(held=held))
    secret = replace(views.secret(held), **taken)
    seen = views.told(replace(before, target=secret, secrets=(secret,)))
    assert decide(seen) == Deliver(held)


def test_a_label_that_is_wanted_now_is_put_on_without_an_issue() -> None:
    held = views.record()
    metadata = {"labels": {"team": "shop"}, "annotations": {}}
    wanted = views.lease(spec={"target": {"template": {"metadata": metadata}}})
    seen = views.told(replace(views.holding(held=held), lease=wanted))
    assert decide(seen) == Deliver(held)


def test_nothing_is_repaired_while_suspended() -> None:
    held = views.record()
    metadata = {"labels": {"team": "shop"}, "annotations": {}}
    spec = {"suspend": True, "target": {"template": {"metadata": metadata}}}
    seen = views.told(replace(views.holding(held=held), lease=views.lease(spec=spec)))
    assert isinstance(decide(seen), Idle)


def test_a_renewal_that_just_failed_is_told_before_it_is_tried_again() -> None:
    """Found by the simulation: with a Secret that is refused it was tried without end."""
    seen = due()
    refused = Retry(failures=1, next_at=views.at(10**6), reason="SecretWriteRefused")
    told = views.tell(seen, views.wanted(seen).status.model_copy(update={"retry": refused}))
    assert isinstance(decide(told), Renew)
    gone = replace(told, memory=replace(told.memory, failure=views.FAILURE))
    assert isinstance(decide(gone), Report)


def test_a_lease_in_hand_that_cant_be_delivered_is_looked_at_when_it_ends() -> None:
    fresh = views.record(expires=30)
    told = views.told(views.view(fresh, memory=views.in_hand(fresh)))
    retry = Retry(failures=5, next_at=views.at(600), reason=Reason.UNAVAILABLE)
    status = views.wanted(told).status.model_copy(update={"retry": retry})
    waiting = views.told(views.tell(told, status))
    assert decide(waiting) == Idle(views.at(30))
    over = decide(views.later(waiting, 30))
    assert isinstance(over, Move)
    assert over.to.state is State.REVOKING


# ------------------------------------------------------------------------- a full record


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
