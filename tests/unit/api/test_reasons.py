"""docs/reasons.md: in step with the reasons, and none left out."""

import pathlib
from collections import Counter

import pytest

from leaseholder.api import reasons
from leaseholder.api.conditions import Reason
from tools import reasons as table

CHECKOUT = pathlib.Path(__file__).parents[3]
ENTRIES = [pair for section in reasons.SECTIONS.values() for pair in section.items()]


def test_the_table_is_in_step_with_the_reasons() -> None:
    text = (CHECKOUT / "docs" / "reasons.md").read_text(encoding="utf-8")
    assert text == table.rendered(), "run `make crds`"


def test_every_reason_has_one_row() -> None:
    assert Counter(reason for reason, _ in ENTRIES) == Counter(Reason)


@pytest.mark.parametrize(("reason", "entry"), ENTRIES)
def test_a_row_says_what_it_means_and_what_to_do(
    reason: Reason, entry: reasons.Explanation
) -> None:
    (row,) = [line for line in table.rendered().splitlines() if f"| `{reason}` |" in line]
    assert entry.meaning in row
    assert entry.remedy in row
    assert entry.example in row
    assert row.count("|") == 5
