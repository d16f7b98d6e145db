"""The server's clock: carried on, set by answers that agree, never moved by one alone."""

from datetime import datetime, timedelta
from email import utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder import server_clock
from tests.unit import clocks

SECONDS = st.integers(-100_000, 100_000)


class Bench:
    """A clock, and a server whose ``Date`` may be anywhere."""

    def __init__(self) -> None:
        self.time = clocks.FakeClock()
        self.off = 0.0
        """What this machine's wall clock is ahead of the truth."""
        self.doubts = self.sets = 0
        self.clock = server_clock.ServerClock(
            self.time.monotonic, self._wall, doubted=self._doubt, was_set=self._set
        )

    def _wall(self) -> datetime:
        return self.time.wall() + timedelta(seconds=self.off)

    def _doubt(self) -> None:
        self.doubts += 1

    def _set(self) -> None:
        self.sets += 1

    def answer(self, ahead: float = 0.0) -> None:
        """An answer whose ``Date`` is so many seconds ahead of the truth."""
        at = self.time.wall() + timedelta(seconds=ahead)
        self.clock.observe(utils.format_datetime(at, usegmt=True))

    @property
    def ahead(self) -> int:
        """So many seconds the clock is ahead of the truth."""
        return round((self.clock.now() - self.time.wall()).total_seconds())


def test_the_servers_clock_is_its_date_carried_on() -> None:
    bench = Bench()
    bench.answer(10)
    assert bench.clock.heard
    assert bench.clock.skew == 10
    bench.time.move(5.9)
    assert bench.clock.now() == clocks.NOW + timedelta(seconds=15)


@pytest.mark.parametrize(
    "date", [None, "", "yesterday", "Sat, 99 Foo 2026 12:00:00 GMT", "Sat, " + "9" * 99]
)
def test_a_date_that_cannot_be_read_is_ignored(date: str | None) -> None:
    bench = Bench()
    bench.clock.observe(date)
    assert bench.clock.now() == clocks.NOW
    assert bench.clock.skew == 0
    assert not bench.clock.heard


def test_without_a_date_the_wall_clock_is_read_once() -> None:
    bench = Bench()
    assert bench.ahead == 0
    bench.off = 86_400
    bench.time.move(10)
    bench.clock.observe(None)
    assert bench.ahead == 0


def test_one_answer_alone_moves_nothing_and_is_doubted_once_in_a_minute() -> None:
    bench = Bench()
    bench.answer()
    for _ in range(60):
        bench.answer(45)
        bench.time.move(1)
        bench.answer()
        assert bench.ahead == 0
    assert (bench.doubts, bench.sets) == (1, 0)
    bench.answer(45)
    assert bench.doubts == 2


def test_two_answers_that_agree_set_the_clock_forward() -> None:
    bench = Bench()
    bench.answer()
    bench.answer(600)
    bench.time.move(5)
    bench.answer(599)
    assert bench.ahead == 600
    assert (bench.doubts, bench.sets) == (1, 1)


def test_two_answers_that_contradict_each_other_set_nothing() -> None:
    bench = Bench()
    bench.answer()
    bench.answer(600)
    bench.answer(900)
    assert bench.ahead == 0
    bench.answer(903)
    assert bench.ahead == 903


def test_the_clock_goes_back_when_all_answers_of_a_minute_say_so() -> None:
    bench = Bench()
    bench.answer()
    for _ in range(6):
        bench.answer(-120)
        assert bench.ahead == 0
        bench.time.move(10)
    bench.answer(-119)
    assert bench.ahead == -119
    assert (bench.doubts, bench.sets) == (0, 0)


def test_of_two_servers_behind_one_address_the_one_ahead_counts() -> None:
    bench = Bench()
    bench.answer()
    for number in range(100):
        bench.answer(45 if number % 3 else 0)
        bench.time.move(1)
    assert bench.ahead == 45
    assert bench.sets == 1


def test_a_date_a_little_ahead_is_followed_at_once_and_one_behind_is_not() -> None:
    bench = Bench()
    bench.answer()
    bench.answer(20)
    assert bench.ahead == 20
    bench.answer(18)
    assert bench.ahead == 20


@given(st.lists(st.tuples(st.integers(0, 50), SECONDS), max_size=30), SECONDS)
def test_it_never_goes_back_within_a_minute_and_one_answer_never_carries_it_off(
    answers: list[tuple[int, int]], off: int
) -> None:
    bench = Bench()
    bench.answer()
    bench.off = off
    told = [0.0]
    for wait, ahead in answers:
        before = bench.ahead
        bench.time.move(wait)
        bench.answer(ahead)
        told.append(ahead)
        least, most = min(told), max(told)
        assert least - 1 <= bench.ahead <= most + 1
        moved = bench.ahead - before
        if moved > server_clock.JUMP.total_seconds() + 1:
            agree = [one for one in told[:-1] if abs(one - ahead) <= 11]
            assert agree, "two answers said so"
        if moved < -2:
            since = sum(seconds for seconds, _ in answers)
            assert since >= server_clock.BACK
