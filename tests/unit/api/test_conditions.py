from datetime import UTC, datetime

import pytest

from leaseholder.api import conditions
from leaseholder.api.conditions import Condition, ConditionType, Reason, Verdict

OLD = datetime(2026, 1, 1, tzinfo=UTC)
NEW = datetime(2026, 1, 2, tzinfo=UTC)


def ready(status: Verdict, moment: datetime, reason: Reason = Reason.READY) -> Condition:
    return Condition(
        type=ConditionType.READY, status=status, reason=reason, last_transition_time=moment
    )


def test_the_transition_time_stays_while_the_status_does() -> None:
    (kept,) = conditions.carry([ready("True", NEW, Reason.THROTTLED)], [ready("True", OLD)])
    assert kept.last_transition_time == OLD
    assert kept.reason == Reason.THROTTLED


def test_the_transition_time_moves_when_the_status_does() -> None:
    fresh = ready("False", NEW)
    assert conditions.carry([fresh], [ready("True", OLD)]) == (fresh,)


def test_a_condition_that_is_new_has_its_own_time() -> None:
    fresh = ready("True", NEW)
    assert conditions.carry([fresh], []) == (fresh,)


def test_a_condition_that_is_no_more_is_dropped() -> None:
    assert conditions.carry([], [ready("True", OLD)]) == ()


def test_carrying_twice_changes_nothing() -> None:
    old = [ready("True", OLD)]
    once = conditions.carry([ready("True", NEW)], old)
    assert conditions.carry(once, old) == once


@pytest.mark.parametrize(("status", "is_true"), [("True", True), ("False", False)])
def test_a_condition_is_true_when_it_stands_and_says_so(status: Verdict, is_true: bool) -> None:
    known = [ready(status, OLD)]
    assert conditions.is_true(known, ConditionType.READY) is is_true
    assert conditions.find(known, ConditionType.READY) == known[0]
    assert not conditions.is_true(known, ConditionType.STALLED)


def test_reasons_are_words_that_kubernetes_takes() -> None:
    assert all(reason.value.isalnum() and reason.value[0].isupper() for reason in Reason)
