"""Figures of a look, for metrics."""

from dataclasses import replace

from leaseholder.api.conditions import Reason
from leaseholder.api.record import State
from leaseholder.core import status
from tests.unit.core import views


def test_a_held_lease_has_its_moments_and_its_readiness() -> None:
    shown = status.figures(views.told(views.holding()))
    assert (shown.ready, shown.reason) == (True, Reason.READY)
    assert (shown.issued_at, shown.expires_at) == (views.at(-60), views.at(3540))
    assert shown.renews_at is not None
    assert views.NOW < shown.renews_at < views.at(3540)
    assert [(state, ref[0]) for _, state, ref in shown.leases] == [(State.HELD, "LeaseProvider")]
    assert shown.pending_since is None


def test_before_the_first_status_it_is_pending_and_has_no_moments() -> None:
    shown = status.figures(views.view(dl=views.lease()))
    assert (shown.ready, shown.reason) == (False, Reason.PENDING)
    assert (shown.issued_at, shown.expires_at, shown.renews_at) == (None, None, None)


def test_a_renewal_from_memory_shows_although_status_stands_still() -> None:
    held = views.record()
    seen = views.told(views.holding(held=held))
    seen.memory.of(held.attempt_id).shown = views.known(held, expires=7200)
    shown = status.figures(seen)
    assert shown.expires_at == views.at(7200)
    assert shown.renews_at is not None
    assert shown.renews_at > views.at(3540)


def test_a_pending_revocation_is_told_with_the_time_of_its_condition() -> None:
    held, other = views.record(2), views.pending(1)
    seen = views.told(views.view(held, other, shows=held))
    assert status.figures(seen).pending_since == views.NOW
    assert status.figures(views.told(views.holding())).pending_since is None


def test_of_a_dynamic_lease_that_is_gone_only_its_leases_are_left() -> None:
    seen = replace(views.view(views.pending(1)), dl=None)
    shown = status.figures(seen)
    assert (shown.ready, shown.expires_at) == (None, None)
    assert [state for _, state, _ in shown.leases] == [State.REVOKING]
