"""Renewals that aren't proven: Ready is False around the first expiry, until a look shows it."""

from dataclasses import replace
from typing import Any

import pytest

from leaseholder.api.conditions import ConditionType, Reason, find
from leaseholder.core import proof, status
from leaseholder.core.actions import Acquire, Idle, Inspect
from leaseholder.core.view import View
from tests.unit.core import views
from tests.unit.core.views import decide

UNPROVEN = replace(views.CAN, minimum_renewal=1, proven_after=120)
RENEW: dict[str, Any] = {"renewal": {"strategy": "Renew"}}


def renewed(now: float, *, shown: float | None = None, **more: Any) -> View:
    """A lease that first ended in 100 seconds and was renewed to an hour, seen later."""
    held = views.record(issued=-3500, expires=100)
    memory = views.remembers(held, inspected_at=views.at(-10))
    memory.of(held.attempt_id).shown = views.known(held, 3500)
    if shown is not None:
        memory.of(held.attempt_id).shown_at = memory.of(held.attempt_id).inspected_at = views.at(
            shown
        )
    seen = views.holding(
        views.lease(RENEW), held=held, **{"can": UNPROVEN, "memory": memory, **more}
    )
    return views.told(views.later(seen, now))


def ready(view: View) -> tuple[str, str]:
    assert view.dl is not None
    told = find(status.status(view, view.dl).conditions, ConditionType.READY)
    assert told is not None
    return told.status, told.reason


@pytest.mark.parametrize(
    ("now", "shown", "expected"),
    [
        (0, None, ("True", Reason.READY)),
        (96, None, ("True", Reason.READY)),
        (97, None, ("False", Reason.RENEWAL_UNPROVEN)),
        (101, 101, ("False", Reason.RENEWAL_UNPROVEN)),
        (219, 219, ("False", Reason.RENEWAL_UNPROVEN)),
        (300, 219, ("False", Reason.RENEWAL_UNPROVEN)),
        (221, 220, ("True", Reason.READY)),
        (900, 220, ("True", Reason.READY)),
    ],
)
def test_ready_is_false_from_just_before_the_first_expiry_until_no_expiry_can_be_late(
    now: float, shown: float | None, expected: tuple[str, str]
) -> None:
    assert ready(renewed(now, shown=shown)) == expected


def test_a_reliable_renewal_needs_no_proof() -> None:
    assert ready(renewed(101, can=views.CAN)) == ("True", Reason.READY)


def test_a_lease_that_was_not_renewed_needs_no_proof() -> None:
    held = views.record(issued=-3500, expires=100)
    seen = views.holding(held=held, can=UNPROVEN)
    assert proof.doubted_at(seen, held) is None
    assert proof.inspection_due(seen, held) is None


def test_ready_goes_false_in_time_while_a_step_is_under_way() -> None:
    seen = renewed(0)
    (held,) = seen.records
    assert status.unready_at(seen, held) == views.at(97)
    assert seen.dl is not None
    told = find(status.ended(seen, seen.dl).conditions, ConditionType.READY)
    assert told is not None
    assert (told.status, told.reason) == ("False", Reason.RENEWAL_UNPROVEN)


def test_a_process_that_comes_later_looks_before_it_believes() -> None:
    assert isinstance(decide(renewed(200)), Inspect)


def test_it_is_inspected_soon_after_the_first_expiry_and_then_ever_more_seldom() -> None:
    assert decide(renewed(0)) == Idle(views.at(97))
    assert decide(renewed(98)) == Idle(views.at(101))
    assert isinstance(decide(renewed(101)), Inspect)
    assert decide(renewed(102, shown=102)) == Idle(views.at(107))
    assert isinstance(decide(renewed(107, shown=102)), Inspect)
    assert decide(renewed(140, shown=140)) == Idle(views.at(160))


def test_the_last_inspection_comes_when_no_expiry_can_be_late_any_more() -> None:
    assert decide(renewed(200, shown=200)) == Idle(views.at(220))
    assert isinstance(decide(renewed(220, shown=200)), Inspect)
    assert not isinstance(decide(renewed(221, shown=220)), Inspect)


def test_a_provider_that_says_when_to_ask_again_is_not_asked_before() -> None:
    seen = renewed(101)
    seen.memory.of(seen.records[0].attempt_id).inspect_from = views.at(130)
    assert decide(views.told(seen)) == Idle(views.at(130))
    assert isinstance(decide(views.later(seen, 29)), Inspect)


def test_with_auto_an_unproven_renewal_is_not_tried() -> None:
    held = views.record(issued=-3500, expires=100)
    seen = views.holding(held=held, can=UNPROVEN)
    assert decide(views.told(seen)) == Acquire(reason=Reason.ROTATING)


def test_what_is_gone_although_it_was_renewed_is_said() -> None:
    (held,) = renewed(0).records
    assert proof.failed(renewed(50), held) is None
    note = proof.failed(renewed(101), held)
    assert note is not None
    assert "ended the lease at its first expiry" in note.message
    assert proof.failed(renewed(101, can=views.CAN), held) is None


def test_a_renew_command_that_auto_does_not_obey_says_why() -> None:
    held = views.record()
    dl = views.lease(annotations={"leaseholder.dev/renew": "now"})
    seen = views.holding(dl, held=held, can=UNPROVEN)
    told = decide(seen)
    assert "may end it at its first expiry" in str(told)
