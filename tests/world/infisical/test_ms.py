"""The ttl grammar."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.world.infisical import errors, ms

SPACES = st.sampled_from(["", " "])
UNITS = st.sampled_from(sorted(ms.UNITS))
NUMBERS = st.decimals(min_value=-1_000_000, max_value=1_000_000, places=3)


@given(NUMBERS, SPACES, UNITS, st.booleans())
def test_a_number_and_a_unit_multiply(number: object, space: str, unit: str, upper: bool) -> None:
    text = f"{number}{space}{unit.upper() if upper else unit}"
    assert ms.parse(text) == pytest.approx(float(str(number)) * ms.UNITS[unit])


@given(st.integers(min_value=0, max_value=10**15))
def test_a_number_without_a_unit_is_milliseconds(number: int) -> None:
    assert ms.parse(str(number)) == number


@pytest.mark.parametrize("text", ["1h30m", "PT1H", "abc", "1 fortnight", "--1s", "1,5h", "h", " "])
def test_what_does_not_parse_passes_validation(text: str) -> None:
    assert math.isnan(ms.parse(text))
    assert ms.complaints(text, minimum_ms=60_000) == []


@given(st.text(min_size=1, max_size=100))
def test_no_text_of_legal_length_raises(text: str) -> None:
    ms.parse(text)


@pytest.mark.parametrize("text", ["", "1" * 101])
def test_empty_and_overlong_texts_are_refused(text: str) -> None:
    with pytest.raises(errors.ApiError) as refused:
        ms.parse(text)
    assert (refused.value.status, str(refused.value.message)[:28]) == (
        400,
        "Invalid date format string: ",
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("60s", []),
        ("1m", []),
        ("59999", [ms.TOO_SHORT]),
        ("3600", [ms.TOO_SHORT]),
        ("-1h", [ms.TOO_SHORT]),
        ("10y", []),
        ("11y", [ms.TOO_LONG]),
        ("", []),
        (None, []),
    ],
)
def test_validation_complains_of_short_and_long(text: str | None, found: list[str]) -> None:
    assert ms.complaints(text, minimum_ms=60_000) == found
