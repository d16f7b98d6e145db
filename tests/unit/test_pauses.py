"""How pauses grow."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from leaseholder import pauses

TIMES = st.integers(1, 10**9)


def test_a_pause_doubles_with_each_failure_up_to_the_longest() -> None:
    assert [pauses.doubled(times, 2.0, 30.0) for times in range(1, 7)] == [2, 4, 8, 16, 30, 30]
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    assert [pauses.doubled(times, minute, hour) for times in (1, 2, 9)] == [
        minute,
        2 * minute,
        hour,
    ]


@given(times=TIMES, first=st.floats(0.1, 100), longer=st.floats(0, 1000))
def test_no_pause_is_shorter_than_the_first_or_the_one_before_nor_beyond_the_longest(
    times: int, first: float, longer: float
) -> None:
    most = first + longer
    pause, following = (pauses.doubled(one, first, most) for one in (times, times + 1))
    assert first <= pause <= following <= most
