"""The page that the run writes names the cases that there are."""

import importlib
import pathlib
import re

import pytest

from tests.provider.conformance import table
from tests.world import processes

PAGE = processes.CHECKOUT / "docs/providers/conformance.md"
SUITE = pathlib.Path(table.__file__).parent


def cases() -> list[str]:
    """The sentences of all cases, as the page writes them."""
    found = []
    for chapter in table.CHAPTERS:
        module = importlib.import_module(f"tests.provider.conformance.test_{chapter}")
        for name in vars(module):
            case = table.case_of(f"conformance/test_{chapter}.py::{name}[{table.PROVIDERS[0]}]")
            found += [case.sentence] if case is not None else []
    return found


def test_every_module_of_cases_is_a_chapter() -> None:
    there = {one.stem for one in SUITE.glob("test_*.py")}
    assert there == {f"test_{chapter}" for chapter in table.CHAPTERS}


def test_the_page_is_of_this_suite() -> None:
    rows = re.findall(r"^\| ([^|-][^|]+?) \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert [sentence for sentence, _ in rows] == cases(), "run make conformance"
    for sentence, outcomes in rows:
        told = [one.strip() for one in outcomes.split("|")]
        assert len(told) == len(table.PROVIDERS), sentence
        assert all(one == "passed" or re.match("skipped: .{20}", one) for one in told), sentence


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (
            "tests/provider/conformance/test_logging_in.py::test_a_b[phase-look]",
            table.Case("logging_in", "A b", "look", "phase"),
        ),
        ("tests/provider/conformance/test_logging_in.py::test_a_b", None),
        ("tests/provider/test_phase.py::test_a_b[phase]", None),
    ],
)
def test_a_test_of_the_suite_is_told_from_others(node: str, expected: table.Case | None) -> None:
    assert table.case_of(node) == expected


def test_variants_that_went_alike_are_one_word() -> None:
    outcomes = {
        table.Case("issuing", "It holds", "", "infisical"): "passed",
        table.Case("issuing", "It holds", "x", "phase"): "passed",
        table.Case("issuing", "It holds", "y", "phase"): "passed",
        table.Case("issuing", "It holds", "", "openbao"): "skipped: it can't",
    }
    page = table.render(outcomes, ("phase", "openbao"))
    assert page.endswith("| It holds | passed | skipped: it can't |\n")
