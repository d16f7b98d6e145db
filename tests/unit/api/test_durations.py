from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api import durations


@given(seconds=st.integers(min_value=0, max_value=99_999 * 3600))
def test_a_length_that_is_rendered_is_read_again(seconds: int) -> None:
    length = timedelta(seconds=seconds)
    text = durations.render(length)
    assert durations.parse(text) == length
    assert len(text) <= durations.MAX_LENGTH


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1h30m", 5400), ("0s", 0), ("1m1m", 120), ("999ms", 0), ("1500ms", 1)],
)
def test_a_duration_is_read_in_whole_seconds(text: str, seconds: int) -> None:
    assert durations.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "1d", "-5s", "1.5h", "1h 5m", "100000s", "1s1s1s1s1s", "1h\n", "५s"]
)
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write a Kubernetes duration"):
        durations.parse(text)


@given(text=st.text(alphabet="0123456789hms.- d\n", max_size=12))
def test_what_is_read_is_written_again_as_the_same_length(text: str) -> None:
    try:
        length = durations.parse(text)
    except ValueError:
        return
    assert durations.parse(durations.render(length)) == length
