"""Lists on the pages that the code has, too: sentences, figures, commands, exit codes."""

import ast
import collections.abc
import functools
import re
import typing

import pytest

from bench import results
from leaseholder.cli import exits, plugin
from tests import pages

CLI: typing.Final = pages.DOCS / "cli.md"
RUNBOOK: typing.Final = pages.DOCS / "runbook.md"
SIZING: typing.Final = pages.DOCS / "sizing.md"
UNKNOWN: typing.Final = "…"
"""What stands on a page for a name, and here for what an f-string fills in."""


# --------------------------------------------------------------------------- sentences


@functools.cache
def sentences() -> tuple[str, ...]:
    """Every text of the code, with ``…`` where something is filled in."""
    found = []
    for module in (pages.ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (
                    one.value if isinstance(one, ast.Constant) else UNKNOWN for one in node.values
                )
                found.append("".join(map(str, parts)))
    return tuple(found)


def said() -> collections.abc.Iterator[tuple[str, str]]:
    """Each page with a table of what is said, and a piece of a sentence that stands there."""
    for page in (CLI, RUNBOOK):
        for part in pages.read(page).split("| It says |")[1:]:
            rows = part.split("\n\n", 1)[0].splitlines()[2:]
            for cell in (row.split(" | ")[0] for row in rows):
                for text in re.findall(r"`([^`]+)`", cell):
                    yield from (
                        (page.name, one.strip()) for one in text.split(UNKNOWN) if one.strip()
                    )


def test_the_code_says_what_the_pages_quote() -> None:
    pieces = [*said()]
    assert len(pieces) > 15
    texts = "\n".join(re.sub(r"\s+", " ", one) for one in sentences())
    assert [one for one in pieces if not any(form in texts for form in forms(one[1]))] == []


def forms(piece: str) -> collections.abc.Iterator[str]:
    """A piece of a sentence, and the same with each of its words filled in by the code."""
    words = piece.split()
    yield piece
    if len(words) > 1:
        yield from (" ".join([*words[:n], UNKNOWN, *words[n + 1 :]]) for n in range(len(words)))


# ------------------------------------------------------------------- commands and codes


def test_the_rights_of_each_command_are_on_its_page() -> None:
    told = {
        word.split()[0]
        for cell in pages.rows(CLI, "Command | Needs, in the namespace")
        for word in re.findall(r"[a-z][a-z -]*", cell)
    }
    assert plugin.main.commands.keys() - told == set()


@pytest.mark.parametrize("code", [exits.Exit.NOT_DONE, exits.Exit.STOPPED])
def test_the_ends_of_a_drain_and_an_adoption_are_told(code: exits.Exit) -> None:
    tables = pages.read(pages.DOCS / "operations.md").split("| Exit code | Meaning |")[1:]
    assert len(tables) == 2
    assert all(f"\n| {int(code)} | " in one.split("\n\n", 1)[0] for one in tables)


# ------------------------------------------------------------------------------ figures


KINDS: typing.Final = (
    "reads_each",
    "writes_each",
    "provider_requests_each",
    "operator_cpu_ms_each",
)


@functools.cache
def measures() -> dict[str, typing.Any]:
    """What was measured, by name."""
    return {one["name"]: one for one in results.read(results.DIRECTORY / "short.json")}


def measured(name: str) -> dict[str, float]:
    """The medians of a measurement, by what was measured."""
    return {key: value["median"] for key, value in measures()[name]["figures"].items()}


def test_the_page_says_of_which_commit_its_figures_are() -> None:
    page = pages.read(SIZING)
    for one in measures().values():
        assert f"commit {one['commit']}, on {one['measured']}" in page


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("A lease is issued and delivered", "acquire"),
        ("It is renewed by command, which posts an event", "renew"),
        ("Its DynamicLease is deleted, and it is revoked", "delete"),
    ],
)
def test_what_a_lease_costs_is_what_was_measured(row: str, what: str) -> None:
    known = measured("infisical-50ms-200")
    (cells,) = (line for line in pages.read(SIZING).splitlines() if line.startswith(f"| {row}"))
    told = [float(one.strip().removesuffix(" ms")) for one in cells.split("|")[2:6]]
    reads, writes, requests, processor = (known[f"{what}.{kind}"] for kind in KINDS)
    assert told == [round(reads, 1), round(writes, 1), round(requests, 1), round(processor)]


def test_what_many_leases_cost_at_once_is_what_was_measured() -> None:
    known = measured("infisical-50ms-200")
    for row, what in (("asked", "acquire"), ("renewed", "renew"), ("deleted", "delete")):
        (told,) = re.findall(rf"^\| {row} [^|]*\| (\d+) a second", pages.read(SIZING), re.MULTILINE)
        assert int(told) == round(known[f"{what}.per_second"])
