"""A candidate at work: what it does when the Lease can't be written, is taken, or released."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.controller.leader import Elector, Several
from leaseholder.core.election import DEADLINE, Election
from leaseholder.ports.seats import Seat
from tests.unit.clocks import FakeClock

pytestmark = pytest.mark.asyncio


@dataclass
class FakeSeats:
    seat: Seat | None = None
    down: bool = False

    async def read(self) -> Seat | None:
        if self.down:
            raise errors.ClusterUnavailable(Reason.CLUSTER, "no answer in time")
        return self.seat

    async def write(self, seat: Seat) -> Seat:
        await self.read()
        self.seat = replace(seat, version=f"{seat.version}+", begins=False)
        return self.seat


@contextlib.asynccontextmanager
async def running(elector: Elector | Several) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(elector.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_who_cannot_write_in_time_does_not_lead_and_goes_on_if_the_lease_is_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    seats, clock = FakeSeats(), FakeClock()
    elector = Elector(seats, clock, Election("a"))
    async with running(elector):
        await asyncio.wait_for(elector.elected.wait(), 30)
        assert _leads(elector)
    seats.down = True
    clock.move(DEADLINE)
    assert not _leads(elector)
    async with running(elector), asyncio.timeout(30):
        while "doesn't lead for now" not in caplog.text:  # noqa: ASYNC110 - it is a log
            await asyncio.sleep(0)
    seats.down = False
    caplog.clear()
    async with running(elector), asyncio.timeout(30):
        while "this process leads" not in caplog.text:  # noqa: ASYNC110 - it is a log
            await asyncio.sleep(0)
    assert elector.trouble == ""


async def test_who_finds_the_lease_taken_ends() -> None:
    seats = FakeSeats()
    elector = Elector(seats, FakeClock(), Election("a"))
    async with running(elector):
        await asyncio.wait_for(elector.elected.wait(), 30)
    assert seats.seat is not None
    seats.seat = replace(seats.seat, holder="b", version="9")
    await asyncio.wait_for(elector.run(), 30)
    assert not elector.leads


async def test_a_release_that_fails_is_told_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seats = FakeSeats()
    elector = Elector(seats, FakeClock(), Election("a"))
    async with running(elector):
        await asyncio.wait_for(elector.elected.wait(), 30)
    seats.down = True
    await elector.release()
    assert "the Lease isn't released" in caplog.text
    assert not elector.leads


async def test_who_stands_by_says_why_the_lease_can_not_be_taken() -> None:
    seats = FakeSeats(down=True)
    elector = Elector(seats, FakeClock(), Election("a"))
    async with running(elector), asyncio.timeout(30):
        while "no answer in time" not in elector.trouble:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
    assert not elector.elected.is_set()


def _leads(elector: Elector | Several) -> bool:
    return elector.leads


async def test_who_waits_to_lead_is_told_of_each_reason_once_and_until_its_own_clock_says() -> None:
    clock, said = FakeClock(), list[str]()
    held = Seat(holder="b", duration=15, version="1", transitions=0)
    elector = Elector(FakeSeats(held), clock, Election("a"))

    def say(waits: str) -> None:
        said.append(waits)
        clock.move(5)  # a machine that slept: only this clock went on

    async with running(elector), asyncio.timeout(30):
        assert await elector.awaited(clock.monotonic() + 5, say) == "b leads"
    assert said == ["b leads"]


async def test_who_leads_waits_for_nothing() -> None:
    elector = Elector(FakeSeats(), FakeClock(), Election("a"))
    async with running(elector), asyncio.timeout(30):
        await elector.elected.wait()
        assert await elector.awaited(0.0, pytest.fail) == ""


def several(*seats: FakeSeats) -> tuple[Several, FakeClock]:
    clock = FakeClock()
    each = {f"at {n}": Elector(one, clock, Election("a")) for n, one in enumerate(seats, 1)}
    return Several(each), clock


async def test_who_is_to_lead_in_several_places_leads_when_it_does_in_each_and_says_where_not() -> (
    None
):
    held = Seat(holder="b", duration=15, version="1", transitions=0)
    candidate, clock = several(FakeSeats(), FakeSeats(held), FakeSeats())
    said = list[str]()

    def say(waits: str) -> None:
        said.append(waits)
        clock.move(5)

    async with running(candidate), asyncio.timeout(30):
        assert await candidate.awaited(clock.monotonic() + 5, say) == "at 2: b leads"
        assert not _leads(candidate)
        assert not candidate.elected.is_set()
    assert said == ["at 2: b leads"]
    clock.move(15)
    async with running(candidate), asyncio.timeout(30):
        assert await candidate.awaited(clock.monotonic() + 60, say) == ""
        await candidate.elected.wait()
        assert _leads(candidate)
        assert candidate.trouble == ""


async def test_who_loses_one_of_several_leases_ends_and_releases_the_others() -> None:
    seats = FakeSeats(), FakeSeats()
    candidate, clock = several(*seats)
    async with running(candidate):
        await asyncio.wait_for(candidate.elected.wait(), 30)
    assert seats[1].seat is not None
    seats[1].seat = replace(seats[1].seat, holder="b", version="9")
    clock.move(DEADLINE)
    await asyncio.wait_for(candidate.run(), 30)
    assert not _leads(candidate)
    await candidate.release()
    assert [one.seat.holder for one in seats if one.seat is not None] == ["", "b"]


async def test_a_place_whose_lease_cannot_be_written_keeps_all_from_leading() -> None:
    seats = FakeSeats(), FakeSeats(down=True)
    candidate, _ = several(*seats)
    async with running(candidate), asyncio.timeout(30):
        while "no answer in time" not in candidate.electors["at 2"].trouble:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await candidate.electors["at 1"].elected.wait()
        assert not _leads(candidate)
        assert "no answer in time" in candidate.trouble
