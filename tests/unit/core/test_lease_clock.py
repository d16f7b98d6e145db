"""The clock of a lease: carried on, forward with ``Date``, never back, brought to the view's."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from leaseholder.core.lease_clock import LeaseClock
from tests.unit.core import views

CHECKS = st.lists(
    st.tuples(st.integers(1, 500), st.integers(-9999, 9999), st.integers(-9999, 9999)), max_size=20
)
AHEAD = st.integers(-1800, 1800)


@given(AHEAD, CHECKS)
def test_it_never_goes_back_and_is_never_behind_date(
    ahead: int, looks: list[tuple[int, int, int]]
) -> None:
    clock, passed = LeaseClock.start(ahead, views.NOW, views.NOW, 0.0), 0
    for seconds, date_off, now_off in looks:
        before = clock.read(passed)
        passed += seconds
        date, now = views.at(passed + date_off), views.at(passed + now_off)
        clock = clock.seen(date, now, passed)
        own = clock.read(passed)
        assert own >= before + timedelta(seconds=seconds)
        assert own >= date + timedelta(seconds=ahead)
        most = max(off for _, off, _ in [(0, 0, 0), *looks])
        assert own <= views.at(passed + max(0, most) + ahead)
        assert abs(own + clock.shift - now) <= timedelta(seconds=1)


def test_a_proxys_date_that_goes_back_gives_no_lease_more_time() -> None:
    clock = LeaseClock.start(0, views.NOW, views.NOW, 0.0)
    clock = clock.seen(views.at(-100), views.at(-100), 20.0)
    assert clock.read(20.0) == views.at(20)
    assert clock.shift == timedelta(seconds=-120), "a lease that ends in 40 s still does"


def test_two_clocks_that_tick_at_different_times_move_nothing() -> None:
    clock = LeaseClock.start(-120, views.NOW, views.at(1800), 0.0)
    assert clock.shift == timedelta(seconds=1920)
    for seconds in range(1, 100):
        now = views.at(1800 + seconds + seconds % 2)
        clock = clock.seen(views.at(seconds), now, float(seconds))
        assert clock.shift == timedelta(seconds=1920)
