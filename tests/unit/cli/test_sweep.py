"""What ``leaseholder sweep`` lists, and says when it is over."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.cli import sweep
from leaseholder.cli.exits import Exit
from leaseholder.controller import survey
from leaseholder.controller import sweep as controller
from leaseholder.controller.survey import Lost, Swept, SweptSource
from leaseholder.settings import Settings
from tests.unit import clocks
from tests.unit.controller import fakes
from tests.unit.controller.world import KEY, World, infisical
from tests.unit.core import views


def swept(*, shared: tuple[bool, ...] = (), **more: Any) -> Swept:
    """A provider with so many lost leases."""
    place = SweptSource(views.supply(), fakes.FakeProvider(fakes.Trace(), clocks.FakeClock()), [])
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


def test_where_not_all_is_known_it_does_not_say_that_nothing_was_lost() -> None:
    assert sweep.summary(0, 0, failed=True) == "not all is known"


def test_what_stays_is_not_said_to_be_left_for_the_next_sweep() -> None:
    assert sweep.summary(3, 1, 2).endswith("within ten minutes; 2 stay, as said above")
    assert sweep.summary(3, 1, 1).endswith(
        "; 1 left: run it again when these are gone; 1 stays, as said above"
    )


async def test_what_came_on_record_while_the_question_was_open_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody restores the records before saying yes."""
    world = World(can=dataclasses.replace(fakes.CAN, sweepable=True))
    await world.settle()
    world.others_write()
    del world.cluster.secrets[KEY], world.cluster.values[KEY]
    world.crash()
    world.clock.move(120)
    known = world.observer.records
    eyes = survey.Survey(world.cluster, known, world.supplies)
    parts = world.clock, world.meter, world.journal
    sweeper = controller.Sweeper(world.cluster, known, eyes, *parts, _nothing)

    @contextlib.asynccontextmanager
    async def composed(_: object) -> AsyncIterator[object]:
        yield SimpleNamespace(sweeper=sweeper)

    def agreed(*_: object, **__: object) -> bool:
        world.rival(1, state="Held", leaseId="lease-1")
        return True

    monkeypatch.setattr("leaseholder.app.composed", composed)
    monkeypatch.setattr("leaseholder.telemetry.logs.configure", lambda *_: None)
    monkeypatch.setattr("click.confirm", agreed)
    assert await sweep.sweep(_settings(), ask=True, dry_run=True) is Exit.NOT_DONE
    assert await sweep.sweep(_settings(), ask=True, dry_run=False) is Exit.OK
    assert ("Revoking", "lease-1") not in world.records
    world.cluster.unread["LeaseRecord"] = ("leaseholder/odd",)
    with pytest.raises(errors.Refused):
        await eyes.still_lost([])


async def _nothing(_: object) -> None:
    return


def _settings() -> Settings:
    return Settings(operator_namespace="leaseholder")
