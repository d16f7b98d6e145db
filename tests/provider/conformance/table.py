"""The table of the suite, cases by providers: what passed, what was skipped and why."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Final

import pytest

PROVIDERS: Final = ("infisical", "phase", "openbao")
CHAPTERS: Final = (
    "issuing",
    "renewing",
    "inspecting",
    "revoking",
    "logging_in",
    "outages",
    "recovering",
)
"""The modules of cases, as the page has them."""
_TITLES: Final = {"infisical": "Infisical", "phase": "Phase", "openbao": "OpenBao"}
_CASE: Final = re.compile(r"conformance/test_(\w+)\.py::test_(\w+)\[(.+)\]$")
_HEAD: Final = """\
# What every provider is held to

Written by `make conformance`: each case of `tests/provider/conformance` runs at each provider, at
OpenBao's real server and at the emulators of Infisical and Phase, which are held to the answers
of the real ones. Whether a credential works or is dead is found by using it.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A case at a provider; the variant tells it from others of the same test."""

    chapter: str
    sentence: str
    variant: str
    provider: str


def case_of(node: str) -> Case | None:
    """The case that a test is, None where it is none of the suite's."""
    found = _CASE.search(node)
    if found is None:
        return None
    parts = found[3].split("-")
    provider = next((one for one in parts if one in PROVIDERS), None)
    if provider is None:
        return None
    variant = "-".join(one for one in parts if one != provider)
    sentence = found[2].replace("_", " ")
    return Case(found[1], sentence[0].upper() + sentence[1:], variant, provider)


def render(outcomes: Mapping[Case, str], order: Sequence[str] = PROVIDERS) -> str:
    """The page; the cases of a chapter stand in the order in which they came."""
    lines, chapter = [_HEAD.rstrip()], None
    shown: dict[tuple[str, str], dict[str, list[str]]] = {}
    for case in sorted(outcomes, key=lambda case: CHAPTERS.index(case.chapter)):
        row = shown.setdefault((case.chapter, case.sentence), {})
        row.setdefault(case.provider, []).append(outcomes[case])
    for (where, sentence), row in shown.items():
        if where != chapter:
            chapter = where
            lines += [
                f"\n## {where.replace('_', ' ').capitalize()}\n",
                _line("", *(_TITLES[one] for one in order)),
            ]
            lines.append(_line(*["---"] * (len(order) + 1)))
        lines.append(_line(sentence, *(_joined(row.get(one, [])) for one in order)))
    return "\n".join(lines) + "\n"


class Writer:
    """Writes the table at the end of a run in which every case ran and none failed."""

    def __init__(self, path: str) -> None:
        self._path = pathlib.Path(path)
        self._outcomes: dict[Case, str] = {}
        self._whole = True

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._whole = self._whole and not items

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = case_of(report.nodeid)
        if case is None:
            return
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            self._outcomes[case] = f"skipped: {reason}"
        elif report.when == "call" and report.passed:
            self._outcomes[case] = "passed"

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        chapters = {case.chapter for case in self._outcomes}
        if exitstatus == 0 and self._whole and chapters == set(CHAPTERS):
            self._path.write_text(render(self._outcomes), encoding="utf-8")


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _joined(outcomes: Sequence[str]) -> str:
    """One word where all variants went alike."""
    return "; ".join(dict.fromkeys(outcomes)) or "—"
