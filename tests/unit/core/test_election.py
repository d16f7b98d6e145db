"""Who leads: never two at once, always one in the end, whatever gets lost."""

import itertools
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaseholder.core.election import DEADLINE, DURATION, LONGEST, RETRY, Election, Standing
from leaseholder.ports.seats import Seat


@dataclass
class Server:
    """Has the Lease, and takes a write only of what was read."""

    seat: Seat | None = None
    versions: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def write(self, bid: Seat) -> Seat | None:
        if bid.version != (self.seat.version if self.seat is not None else ""):
            return None
        self.seat = replace(bid, version=str(next(self.versions)), begins=False)
        return self.seat


@dataclass
class Candidate:
    """A process whose requests take time, and whose answers may be lost."""

    server: Server
    election: Election
    offset: float
    """What its clock is off; no two agree."""
    bid: Seat | None = None
    asked: float = 0.0
    answer: Seat | None = None
    stage: int = 0

    def goes_on(self, now: float, *, lost: bool) -> None:
        """One stage: it reads; it decides and sends; the write arrives; the answer comes."""
        here = now + self.offset
        match self.stage:
            case 0:
                self.answer, self.stage = self.server.seat, 1
            case 1:
                self.bid = self.election.bid(self.answer, here)
                self.asked, self.stage = here, 2 if self.bid is not None else 0
            case 2:
                assert self.bid is not None
                self.answer, self.stage = self.server.write(self.bid), 3
            case _:
                if self.answer is not None and not lost:
                    self.election.wrote(self.answer, self.asked, here)
                self.stage = 0

    def leads(self, now: float) -> bool:
        return self.election.standing(now + self.offset) is Standing.LEADING

    def stops(self) -> None:
        seat = self.election.released()
        if seat is not None:
            self.server.write(seat)


def candidates(server: Server, *offsets: float) -> list[Candidate]:
    return [Candidate(server, Election(f"c{n}"), one) for n, one in enumerate(offsets)]


def led(me: str = "a", at: float = 0.0) -> tuple[Server, Election]:
    server, one = Server(), Election(me)
    bid = one.bid(None, at)
    assert bid is not None
    written = server.write(bid)
    assert written is not None
    one.wrote(written, at, at)
    return server, one


STEP = st.tuples(
    st.integers(0, 2),
    st.floats(0, DURATION) | st.floats(0, 1),
    st.sampled_from(["goes on", "goes on", "goes on", "goes on", "loses", "stops"]),
)


@settings(max_examples=400)
@given(st.lists(STEP, max_size=120), st.tuples(*[st.floats(-1e6, 1e6)] * 3))
def test_however_requests_hang_and_answers_are_lost_two_never_lead_at_once(
    history: list[tuple[int, float, str]], offsets: tuple[float, float, float]
) -> None:
    server, now = Server(), 0.0
    all_ = candidates(server, *offsets)
    for who, passes, what in history:
        now += passes
        if what == "stops":
            all_[who].stops()
        else:
            all_[who].goes_on(now, lost=what == "loses")
        assert sum(one.leads(now) for one in all_) <= 1


@given(st.floats(0, 1e5), st.floats(0, RETRY))
def test_after_a_crash_another_leads_within_the_leases_duration_and_one_look(
    began: float, late: float
) -> None:
    server, _ = led(at=began)
    other = Candidate(server, Election("b"), offset=-began)
    now = began + late
    while not other.leads(now):
        for _ in range(4):
            other.goes_on(now, lost=False)
        if not other.leads(now):
            wanted = other.election.next_at(now - began) + began
            now = max(wanted, now + 0.001)  # floats round: time passes all the same
        assert now <= began + DURATION + RETRY + 0.01
    assert now >= began + DURATION - 0.01


def test_a_released_lease_is_taken_at_the_next_look_and_who_released_it_leads_no_more() -> None:
    server, one = led()
    other = Election("b")
    assert other.bid(server.seat, 1.0) is None
    seat = one.released()
    assert seat is not None
    server.write(seat)
    assert one.standing(1.0) is Standing.LOST
    assert one.released() is None
    assert one.bid(server.seat, 1.0) is None
    bid = other.bid(server.seat, 2.0)
    assert bid is not None
    assert (bid.holder, bid.transitions, bid.begins) == ("b", 1, True)


def test_who_never_led_releases_nothing() -> None:
    server, _ = led()
    other = Election("b")
    other.bid(server.seat, 1.0)
    assert other.released() is None
    assert Election("c").released() is None


def test_the_leader_writes_its_lease_again_and_leads_from_when_it_asked() -> None:
    server, one = led()
    again = one.bid(server.seat, 2.0)
    assert again is not None
    assert not again.begins
    written = server.write(again)
    assert written is not None
    one.wrote(written, 2.0, 9.0)
    assert one.standing(2.0 + DEADLINE - 0.01) is Standing.LEADING
    assert one.standing(2.0 + DEADLINE) is Standing.UNSURE
    assert one.next_at(9.0) == 9.0 + RETRY


def test_who_could_not_write_in_time_leads_again_if_the_lease_is_still_its_own() -> None:
    server, one = led()
    assert one.standing(100.0) is Standing.UNSURE
    bid = one.bid(server.seat, 100.0)
    assert bid is not None
    written = server.write(bid)
    assert written is not None
    one.wrote(written, 100.0, 100.0)
    assert one.standing(101.0) is Standing.LEADING


@pytest.mark.parametrize("gone", [True, False])
def test_who_finds_the_lease_taken_or_gone_leads_never_again(gone: bool) -> None:
    server, one = led()
    taken = replace(server.seat, holder="b", version="9") if server.seat is not None else None
    assert one.bid(None if gone else taken, 1.0) is None
    assert one.standing(1.0) is Standing.LOST
    assert one.leader == ("" if gone else "b")


def test_a_lost_answer_to_the_first_write_is_made_good_by_the_next_look() -> None:
    server, one = Server(), Election("a")
    bid = one.bid(None, 0.0)
    assert bid is not None
    server.write(bid)
    assert one.standing(0.0) is Standing.WAITING
    assert one.bid(server.seat, 2.0) == server.seat


@pytest.mark.parametrize(("says", "waits"), [(1, DURATION), (60, 60), (10**9, LONGEST)])
def test_a_lease_of_another_making_is_left_alone_for_as_long_as_it_says_within_bounds(
    says: float, waits: float
) -> None:
    theirs = Seat(holder="x", duration=says, version="1", transitions=7)
    one = Election("a")
    assert one.bid(theirs, 0.0) is None
    assert one.next_at(waits - 0.5) == waits
    assert one.next_at(waits + 5) == waits + 5
    assert one.bid(theirs, waits - 0.01) is None
    bid = one.bid(theirs, waits)
    assert bid is not None
    assert bid.transitions == 8


def test_who_has_seen_nothing_asks_again_soon() -> None:
    assert Election("a").next_at(5.0) == 5.0 + RETRY
