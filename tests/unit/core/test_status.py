from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from leaseholder.api import conditions, names
from leaseholder.api.conditions import Condition, ConditionType, Reason
from leaseholder.api.lease import DynamicLeaseStatus, Handled
from leaseholder.api.record import Revocation, State
from leaseholder.core import status
from leaseholder.core.memory import Memory
from leaseholder.core.view import View
from leaseholder.ports.events import Note
from tests.unit.core import views

PERMANENT = replace(views.FAILURE, reason=Reason.LOGIN_REFUSED, permanent=True)


def derived(seen: View) -> DynamicLeaseStatus:
    return status.status(seen, views.wanted(seen))


def condition(of: DynamicLeaseStatus, kind: ConditionType) -> Condition:
    found = conditions.find(of.conditions, kind)
    assert found is not None
    return found


def said(of: DynamicLeaseStatus, kind: ConditionType) -> tuple[str, str]:
    found = condition(of, kind)
    return found.status, found.reason


def reasons(notes: Sequence[Note]) -> list[tuple[str, Reason]]:
    return [(note.type, note.reason) for note in notes]


def test_a_delivered_lease_is_ready() -> None:
    told = derived(views.holding())
    assert said(told, ConditionType.READY) == ("True", Reason.READY)
    assert said(told, ConditionType.LEASE_HELD) == ("True", Reason.HELD)
    assert said(told, ConditionType.SECRET_SYNCED) == ("True", Reason.DELIVERED)
    assert said(told, ConditionType.REVOCATION_PENDING) == ("False", Reason.NONE_PENDING)
    assert said(told, ConditionType.STALLED) == ("False", Reason.NOT_STALLED)
    assert told.lease is not None
    assert told.lease.expires_at == views.at(3540)
    assert told.lease.renew_at == views.at(3540 - 1224)
    assert told.target is not None
    assert told.target.keys == ("DB_PASSWORD", "DB_USERNAME")


def test_a_lease_in_hand_is_held_and_not_synced() -> None:
    fresh = views.record()
    told = derived(views.view(fresh, memory=views.in_hand(fresh)))
    assert said(told, ConditionType.LEASE_HELD) == ("True", Reason.HELD)
    assert said(told, ConditionType.SECRET_SYNCED) == ("False", Reason.PROGRESSING)
    assert told.lease is None
    assert told.target is not None
    assert told.target.keys == ()


@pytest.mark.parametrize(
    ("spec", "reason"), [({}, Reason.PROGRESSING), ({"suspend": True}, Reason.SUSPENDED)]
)
def test_without_a_lease_ready_says_why(spec: dict[str, bool], reason: Reason) -> None:
    told = derived(views.view(dl=views.lease(spec)))
    assert said(told, ConditionType.READY) == ("False", reason)


def test_a_lease_past_its_expiry_is_not_ready() -> None:
    told = derived(views.later(views.holding(), 3540))
    assert said(told, ConditionType.READY) == ("False", Reason.EXPIRED)
    met = derived(views.later(views.holding(memory=Memory(failure=views.FAILURE)), 3540))
    message = condition(met, ConditionType.READY).message
    assert "the credentials end at 2026-01-01T12:59:00Z" in message
    assert said(derived(views.later(views.holding(), 3536)), ConditionType.READY)[0] == "True"
    soon = derived(views.later(views.holding(), 3537))
    assert said(soon, ConditionType.READY) == ("False", Reason.EXPIRED)
    assert views.FAILURE.sentence in message


def test_for_a_lease_past_its_end_tries_come_every_minute_at_least() -> None:
    dead = views.later(views.holding(memory=Memory(failure=views.FAILURE)), 3600)
    for failures in range(1, 20):
        told = derived(dead)
        assert told.retry is not None
        assert told.retry.failures == failures
        assert told.retry.next_at <= dead.now + timedelta(seconds=60)
        dead = replace(views.tell(dead, told), memory=Memory(failure=views.FAILURE))


def test_in_an_outage_everyone_can_see_how_long_the_credentials_are_good() -> None:
    told = derived(views.holding(memory=Memory(failure=views.FAILURE)))
    assert said(told, ConditionType.READY) == ("True", Reason.UNAVAILABLE)
    assert "2026-01-01T12:59:00Z" in condition(told, ConditionType.READY).message


def test_credentials_of_unknown_expiry_say_so() -> None:
    held = views.record(expires=None)
    told = derived(views.holding(held=held, memory=Memory(failure=views.FAILURE)))
    assert "an unknown moment" in condition(told, ConditionType.READY).message
    assert told.lease is not None
    assert told.lease.expires_at == views.NOW


def test_a_failure_that_somebody_must_mend_stalls_until_it_is_overcome() -> None:
    seen = views.view(memory=Memory(failure=PERMANENT))
    told = views.told(seen)
    first = views.wanted(told).status
    assert said(first, ConditionType.STALLED) == ("True", Reason.LOGIN_REFUSED)
    assert derived(told) == first
    mended = views.record()
    target = views.secret(mended)
    after = replace(told, records=(mended,), target=target, secrets=(target,))
    assert said(derived(after), ConditionType.STALLED) == ("False", Reason.NOT_STALLED)
    assert derived(after).retry is None


def test_a_reason_in_the_words_of_another_version_is_understood_as_internal() -> None:
    seen = views.told(views.view(memory=Memory(failure=views.FAILURE)))
    told = views.wanted(seen).status
    assert told.retry is not None
    odd = told.model_copy(
        update={
            "retry": told.retry.model_copy(update={"reason": "FromTheFuture"}),
            "conditions": (),
        }
    )
    assert said(derived(views.tell(seen, odd)), ConditionType.READY) == ("False", Reason.INTERNAL)


def test_failures_in_a_row_are_counted_and_put_off_ever_longer() -> None:
    seen = views.view(memory=Memory(failure=views.FAILURE))
    first = derived(seen).retry
    again = replace(views.told(seen), memory=Memory(failure=views.FAILURE))
    second = derived(again).retry
    assert first is not None
    assert second is not None
    assert (first.failures, second.failures) == (1, 2)
    assert second.next_at >= first.next_at > views.NOW


def test_a_changed_spec_starts_the_count_again() -> None:
    seen = views.told(views.view(memory=Memory(failure=views.FAILURE)))
    dl = views.lease(status=views.wanted(seen).status, generation=2)
    again = replace(seen, dl=dl, memory=Memory(failure=views.FAILURE))
    retry = derived(again).retry
    assert retry is not None
    assert retry.failures == 1


def test_tries_come_closer_as_the_expiry_nears() -> None:
    held = views.record(expires=10)
    seen = views.holding(held=held, memory=Memory(failure=replace(PERMANENT)))
    for _ in range(6):
        seen = replace(views.told(seen), memory=Memory(failure=PERMANENT))
    retry = derived(seen).retry
    assert retry is not None
    assert retry.next_at <= views.at(2)


def test_tries_that_cost_come_after_a_minute_and_later_after_hours_also_near_an_expiry() -> None:
    failure = replace(PERMANENT, reason=Reason.BACKEND_FAILED)
    dl = views.lease(annotations={names.ROTATE: "now"})
    seen = views.holding(dl, held=views.record(expires=600), memory=Memory(failure=failure))
    waits = []
    for _ in range(12):
        told = derived(seen)
        assert told.retry is not None
        assert told.retry.rotate == "now"
        waits.append((told.retry.next_at - seen.now).total_seconds())
        seen = replace(views.tell(seen, told), memory=Memory(failure=failure))
    assert 45 <= waits[0] <= 60
    assert 4 * 3600 < waits[-1] <= 6 * 3600
    assert waits[:8] == sorted(waits[:8])
    assert said(derived(seen), ConditionType.STALLED) == ("True", Reason.BACKEND_FAILED)


def test_after_an_outage_the_first_try_that_costs_is_followed_by_the_next_in_a_minute() -> None:
    away = replace(PERMANENT, reason=Reason.UNAVAILABLE, permanent=False)
    seen = views.holding(held=views.record(), memory=Memory(failure=away))
    for _ in range(15):
        seen = replace(views.told(seen), memory=Memory(failure=away))
    costs, waits = replace(PERMANENT, reason=Reason.BACKEND_FAILED), []
    for _ in range(3):
        seen = replace(seen, memory=Memory(failure=costs))
        retry = derived(seen).retry
        assert retry is not None
        waits.append((retry.next_at - seen.now).total_seconds())
        seen = views.told(seen)
    assert 45 <= waits[0] <= 60 < waits[1] <= 120 < waits[2] <= 240


@pytest.mark.parametrize("suspend", [True, False])
def test_no_replacement_is_announced_that_suspend_holds_back(suspend: bool) -> None:
    held = views.record()
    memory = views.remembers(held, not_renewed=True)
    seen = views.holding(views.lease({"suspend": suspend}), held=held, memory=memory)
    (told,) = [one for one in derived(seen).conditions if one.type == ConditionType.LEASE_HELD]
    assert ("is replaced at" in told.message) is not suspend


def test_a_renewal_is_counted_once() -> None:
    held = views.record()
    seen = views.told(views.holding(held=held))
    renewed = replace(seen, memory=views.remembers(held, shown=views.known(held, 7200)))
    told = derived(renewed)
    assert told.lease is not None
    assert (told.lease.renewals, told.lease.expires_at) == (1, views.at(7200))
    assert derived(views.tell(renewed, told)) == told


def test_another_lease_starts_its_own_count() -> None:
    seen = views.told(views.holding())
    new = views.record(2, expires=7200)
    target = views.secret(new)
    told = derived(replace(seen, records=(new,), target=target, secrets=(target,)))
    assert told.lease is not None
    assert told.lease.renewals == 0


# -------------------------------------------------------------------------------- handled


def test_commands_at_first_sight_count_as_handled() -> None:
    notes = {names.ROTATE: "a", names.RENEW: "b", names.FORCE: "c" * 5000}
    dl = views.lease(annotations=notes, status=DynamicLeaseStatus())
    handled = derived(views.view(dl=dl)).handled
    assert handled == Handled(rotate="a", renew="b", force="c" * 1024)


def test_a_rotate_command_is_handled_when_the_lease_that_answers_it_is_delivered() -> None:
    dl = views.lease(annotations={names.ROTATE: "now"})
    waiting = derived(views.holding(dl)).handled
    answered = derived(views.holding(dl, views.record(rotate_nonce="now"))).handled
    assert waiting == Handled()
    assert answered == Handled(rotate="now")
    assert derived(views.view(dl=dl)).handled == Handled()


def test_a_renew_command_is_handled_when_it_was_acted_on() -> None:
    dl = views.lease(annotations={names.RENEW: "now"})
    assert derived(views.holding(dl)).handled == Handled()
    acted = views.holding(dl, memory=Memory(renew_handled="now"))
    assert derived(acted).handled == Handled(renew="now")


def test_a_force_command_is_handled_when_every_pending_revocation_was_tried_for_it() -> None:
    dl = views.lease(annotations={names.FORCE: "now"})
    tried, waiting = views.pending(1, forced_nonce="now"), views.pending(2)
    bare = views.record(3, State.REVOKING)
    assert derived(views.view(tried, dl=dl)).handled == Handled(force="now")
    assert derived(views.view(tried, waiting, dl=dl)).handled == Handled()
    assert derived(views.view(tried, bare, dl=dl)).handled == Handled()


# -------------------------------------------------------------------- pending revocations


def test_what_is_pending_is_told_with_what_the_last_try_met() -> None:
    untried = derived(views.view(views.pending(1)))
    assert said(untried, ConditionType.REVOCATION_PENDING) == ("True", Reason.REVOCATION_PENDING)
    tried = views.pending(2, attempts=1, last_reason="AuthGone")
    told = condition(derived(views.view(views.pending(1), tried)), ConditionType.REVOCATION_PENDING)
    assert told.reason == Reason.AUTH_GONE
    assert told.message == "2 leases are still to be revoked"


def test_a_lease_in_its_overlap_is_not_pending() -> None:
    told = derived(views.view(views.superseded()))
    assert said(told, ConditionType.REVOCATION_PENDING) == ("False", Reason.NONE_PENDING)


def test_a_lease_that_was_given_up_is_told_with_what_to_do() -> None:
    revocation = Revocation(attempts=99, last_reason="AuthGone")
    given_up = views.record(1, State.ABANDONED, revoke=revocation)
    before = derived(views.view(views.pending(1, attempts=98, last_reason="AuthGone")))
    now = derived(views.view(given_up))
    told = condition(now, ConditionType.REVOCATION_PENDING)
    assert told.reason == Reason.ABANDONED
    assert given_up.attempt_id in told.message
    assert reasons(status.notes(now, before)) == [("Warning", Reason.ABANDONED)]


# --------------------------------------------------------------------------------- events


def test_an_event_says_when_a_lease_is_no_longer_ready_and_when_it_is_again() -> None:
    waiting, ready = derived(views.view()), derived(views.holding())
    dead = derived(views.later(views.holding(), 3540))
    assert reasons(status.notes(waiting, DynamicLeaseStatus())) == []
    assert reasons(status.notes(ready, dead)) == [("Normal", Reason.READY)]
    assert reasons(status.notes(ready, ready)) == []
    assert reasons(status.notes(dead, ready)) == [("Warning", Reason.EXPIRED)]
    assert reasons(status.notes(DynamicLeaseStatus(), ready)) == []


def test_that_a_first_lease_is_ready_is_no_event_beside_its_issue() -> None:
    waiting, ready = derived(views.view()), derived(views.holding())
    assert reasons(status.notes(ready, DynamicLeaseStatus())) == []
    assert reasons(status.notes(ready, waiting)) == []
    unseen = tuple(one.model_copy(update={"reason": Reason.PENDING}) for one in waiting.conditions)
    assert reasons(status.notes(ready, waiting.model_copy(update={"conditions": unseen}))) == []


def test_more_keys_than_status_can_hold_are_left_out() -> None:
    held = views.record()
    target = views.secret(held, keys=[f"key-{n}" for n in range(300)])
    told = derived(replace(views.holding(held=held), target=target, secrets=(target,))).target
    assert told is not None
    assert len(told.keys) == 256


def test_a_missing_right_is_watched_beside_what_was_known_before() -> None:
    before = views.wanted(views.told(views.holding()))
    told = status.refused(before, PERMANENT, views.at(60))
    assert said(told, ConditionType.READY) == ("False", PERMANENT.reason)
    assert said(told, ConditionType.STALLED) == ("True", PERMANENT.reason)
    assert said(told, ConditionType.LEASE_HELD) == ("True", Reason.HELD)
    assert condition(told, ConditionType.READY).message == PERMANENT.sentence
    assert status.refused(before, PERMANENT, views.at(60)) == told
    assert told.observed_generation == before.metadata.generation


def test_a_before_that_is_longer_than_half_of_the_life_is_told() -> None:
    dl = views.lease({"ttl": None, "renewal": {"before": "2h"}})
    held = condition(derived(views.holding(dl)), ConditionType.LEASE_HELD)
    assert "renewal.before 2h is more than half of the life" in held.message


@pytest.mark.parametrize("delivered", [True, False])
def test_a_rotate_command_that_a_suspended_lease_holds_up_is_answered(delivered: bool) -> None:
    dl = views.lease({"suspend": True}, annotations={names.ROTATE: "now"})
    seen = views.told(views.holding(dl) if delivered else views.view(dl=dl))
    ready = condition(views.wanted(seen).status, ConditionType.READY)
    assert ready.reason == Reason.SUSPENDED
    assert ready.message.endswith("leaseholder.dev/rotate waits until it is false")
    assert views.wanted(seen).status.handled == Handled()
