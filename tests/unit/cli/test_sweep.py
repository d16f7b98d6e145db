"""What ``leaseholder sweep`` lists, and says when it is over."""

from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.cli import sweep
from leaseholder.controller.survey import Lost, Place, Swept
from tests.unit import clocks
from tests.unit.controller import fakes
from tests.unit.controller.world import infisical
from tests.unit.core import views


def swept(*, shared: tuple[bool, ...] = (), **more: Any) -> Swept:
    """A provider with so many lost leases."""
    place = Place(views.supply(), fakes.FakeProvider(fakes.Trace(), clocks.FakeClock()), [])
    lost = [Lost(place, views.known(views.record(n), 3540), one) for n, one in enumerate(shared, 1)]
    return Swept(infisical(), lost=lost, **more)


def test_each_provider_and_each_lost_lease_has_a_line() -> None:
    down = errors.Unavailable(Reason.UNAVAILABLE, "it is down", sent=False)
    found = [
        swept(),
        swept(shared=(False, True)),
        swept(sweepable=False),
        swept(shared=(False,), failure=down),
    ]
    who = "LeaseProvider shop/infisical"
    assert [*sweep.listed(found)] == [
        f"{who}: nothing",
        f"{who}: lease lease-1 is on no record, ends 2026-01-01T12:59:00Z",
        f"{who}: lease lease-2 is on no record, ends 2026-01-01T12:59:00Z; stays: a shared account",
        f"{who}: can't be swept: leases there have no mark of whose they are",
        f"{who}: not all is known: it is down",
        f"{who}: lease lease-1 is on no record, ends 2026-01-01T12:59:00Z",
    ]


@pytest.mark.parametrize(
    ("lost", "written", "told"),
    [
        (0, 0, "no lease is on no record"),
        (2, 0, "on no record: 2 leases; none was put on record"),
        (1, 1, "put on record: 1 lease; the operator revokes it within ten minutes"),
        (
            3,
            2,
            "put on record: 2 leases; the operator revokes them within ten minutes; 1 left: run it "
            "again when these are gone",
        ),
    ],
)
def test_the_end_is_said_in_a_line(lost: int, written: int, told: str) -> None:
    assert sweep.summary(lost, written) == told
