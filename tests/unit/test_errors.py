"""What an error says wherever it is told."""

from hypothesis import given
from hypothesis import strategies as st

from leaseholder import errors
from leaseholder.api.conditions import Reason


@given(st.text())
def test_a_sentence_is_one_line_that_prints_whatever_a_name_in_it_holds(name: str) -> None:
    error = errors.Invalid(Reason.INVALID, f"there is no {name}: create it")
    assert error.sentence.isprintable()
    assert str(error) == error.sentence
    assert error.sentence.startswith("there is no ")


def test_a_line_break_starts_no_line_of_the_log() -> None:
    error = errors.Invalid(Reason.INVALID, "there is no x\n2026-01-01 ERROR \x1b[31m\u202e\u2028y")
    assert error.sentence == "there is no x 2026-01-01 ERROR  [31m  y"


def test_a_sentence_stays_short_enough_for_a_condition() -> None:
    assert len(errors.Invalid(Reason.INVALID, "x" * 100_000).sentence) == 4000
