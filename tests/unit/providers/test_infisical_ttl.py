"""Lengths of time as Infisical's administrators write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.providers.infisical import ttl

UNITS = {
    1: ("s", "sec", "secs", "second", "seconds"),
    60: ("m", "min", "mins", "minute", "minutes"),
    3600: ("h", "hr", "hrs", "hour", "hours"),
    86_400: ("d", "day", "days"),
    604_800: ("w", "week", "weeks"),
    31_557_600: ("y", "yr", "yrs", "year", "years"),
}
SPELLINGS = [(seconds, word) for seconds, words in UNITS.items() for word in words]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h", 3600),
        ("2 days", 172_800),
        ("1.5h", 5400),
        (".5h", 1800),
        ("3600000", 3600),
        ("3600", 3),
        ("90 MSECS", 0),
        ("1500 milliseconds", 1),
        ("10m", 600),
        ("1mo", 2_629_800),
        ("-1h", -3600),
        ("1y", 31_557_600),
    ],
)
def test_every_form_that_the_server_takes_is_read(text: str, seconds: int) -> None:
    assert ttl.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "1h30m", "PT1H", "abc", "1 fortnight", "h", "1" * 101])
def test_what_the_server_cannot_read_says_nothing(text: str) -> None:
    assert ttl.parse(text) is None


@given(st.integers(0, 10**9), st.sampled_from(SPELLINGS), st.sampled_from(["", " "]), st.booleans())
def test_units_are_read_in_any_spelling(
    number: int, unit: tuple[int, str], space: str, upper: bool
) -> None:
    seconds, word = unit
    text = f"{number}{space}{word.upper() if upper else word}"
    assert ttl.parse(text) == number * seconds


@given(st.integers(0, 10**12))
def test_what_is_sent_is_read_back_as_it_was(seconds: int) -> None:
    assert ttl.parse(ttl.render(seconds)) == seconds


@given(st.text(max_size=120))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert isinstance(ttl.parse(text), int | None)
