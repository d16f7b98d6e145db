from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from leaseholder.api import conditions, durations, names, provider
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.lease import DynamicLease, Retry
from leaseholder.api.record import State
from leaseholder.core import revocations, wanted
from leaseholder.core.actions import (
    Acquire,
    DeleteSecret,
    Deliver,
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
    assert seen.dl is not None
    assert conditions.is_true(seen.dl.status.conditions, ConditionType.STALLED)


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
    memory = views.remembers(claimed, shown=views.known(claimed, 3600))
    assert decide(views.view(claimed, memory=memory)) == Hold(claimed)
    answered = claimed.but(lease_id="lease-1")
    assert not isinstance(decide(views.view(answered, memory=memory)), Hold)


def test_an_attempt_of_our_own_without_an_answer_is_claimed_at_once() -> None:
    posted = views.attempt(issued=0)
    seen = views.view(posted, memory=views.remembers(posted, ours=True))
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
    memory = views.remembers(posted, shown=views.known(posted, 3600))
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


# --------------------------------------------------------------------------------- rotate


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
    memory = views.remembers(new, shown_at=views.NOW)
    seen = views.view(old, new, target=target, secrets=(former, target), memory=memory)
    assert decide(seen) == DeleteSecret(former)
    going = replace(former, deleting=True)
    step = decide(replace(seen, secrets=(going, target)))
    assert isinstance(step, Move)
    assert (step.record, step.to.state) == (old, State.SUPERSEDED)


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
    memory = views.remembers(held, shown=views.known(held, 600))
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
    memory = views.remembers(held, inspected_at=views.at(seconds))
    settings = {"memory": memory, "supply": views.supply(), **more}
    return views.told(views.holding(held=held, **settings))


def test_a_held_lease_is_looked_at_at_the_interval_of_the_probe() -> None:
    assert decide(inspected_at(0)) == Idle(views.at(300))
    seen = inspected_at(-300)
    assert decide(seen) == Inspect(held_by(seen))


def test_a_lease_that_seems_gone_is_looked_at_again_soon() -> None:
    held = views.record()
    memory = views.remembers(held, inspected_at=views.NOW, gone_since=views.NOW)
    assert decide(inspected_at(0, memory=memory)) == Idle(views.at(5))


@pytest.mark.parametrize(
    "more",
    [
        {"can": replace(views.CAN, verifiable=False)},
        {"can": None},
    ],
)
def test_what_cannot_be_looked_at_is_not(more: dict[str, Any]) -> None:
    step = decide(inspected_at(-300, **more))
    assert isinstance(step, Idle)
    assert step.until == views.at(3540 - 1224)


def test_a_held_lease_is_looked_at_also_where_the_provider_that_is_wanted_is_not_there() -> None:
    none = {"supply": None, "supply_failure": views.FAILURE}
    assert decide(inspected_at(-299, **none)) == Idle(views.at(1))
    seen = inspected_at(-300, **none)
    assert decide(seen) == Inspect(held_by(seen))
    assert durations.parse(provider.Probe().interval) == wanted.USUAL_INTERVAL


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
    memory = views.remembers(held, inspected_at=views.at(inspected_at))
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
    seen = views.told(replace(views.holding(held=held), dl=wanted))
    assert decide(seen) == Deliver(held)


def test_nothing_is_repaired_while_suspended() -> None:
    held = views.record()
    metadata = {"labels": {"team": "shop"}, "annotations": {}}
    spec = {"suspend": True, "target": {"template": {"metadata": metadata}}}
    seen = views.told(replace(views.holding(held=held), dl=views.lease(spec=spec)))
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
