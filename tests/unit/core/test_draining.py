"""An installation that goes issues nothing, and waits for nobody who may come again."""

from dataclasses import replace

import pytest

from leaseholder.api.conditions import Reason
from leaseholder.api.record import RecordedLease
from leaseholder.core import revocations
from leaseholder.core.actions import Idle, Release
from leaseholder.core.memory import Memory
from leaseholder.core.view import View
from tests.unit.core import views
from tests.unit.core.views import decide


def draining(seen: View) -> View:
    return replace(seen, draining=True)


@pytest.mark.parametrize(
    "records", [(), (views.record(),), (views.attempt(),), (views.pending(), views.record(2))]
)
def test_nothing_is_done_for_a_dynamiclease_that_is_not_being_deleted(
    records: tuple[RecordedLease, ...],
) -> None:
    assert decide(draining(views.view(*records))) == Idle(None)


def test_a_dynamiclease_that_is_being_deleted_is_revoked_and_released() -> None:
    going = views.lease({}, deleted_at=views.NOW)
    held = views.record()
    seen = draining(views.view(held, dl=going))
    assert decide(seen) == revocations.begin(seen, held, Reason.DELETING)
    assert decide(draining(views.view(dl=going))) == Release()


def test_leases_of_a_dynamiclease_that_is_gone_do_not_wait_for_one_of_its_name() -> None:
    held, just_gone = views.record(), Memory(vanished_since=1000.0)
    seen = views.view(held, vanished=True, memory=just_gone)
    assert isinstance(decide(seen), Idle)
    assert decide(draining(seen)) == revocations.begin(draining(seen), held, Reason.DELETING)
