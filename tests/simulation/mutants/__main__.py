"""``python -m tests.simulation.mutants``: the machine against every mutant, and the sweep.

Writes the table of docs/design/proof.md between its two marks; the rest of the page is written
by hand.
"""

import argparse
import logging
import multiprocessing
import os
import pathlib
import re
import sys
import time
from dataclasses import dataclass
from typing import Final

from tests.simulation import explore, sweep, tales
from tests.simulation.mutants import classic, known, marked, switched
from tests.simulation.mutants.registry import CALLED, MUTANTS, Mutant

GROUPS: Final = {
    switched.__name__: "Rules of the core, by id",
    marked.__name__: "Rules marked !",
    known.__name__: "Secrets that are known",
    classic.__name__: "Classic faults",
}
PAGE: Final = pathlib.Path("docs/design/proof.md")
FIRST: Final = 500_000
BATCH: Final = 25
PATIENCE: Final = 120.0
"""Seconds after which a mutant counts as not found."""
HISTORIES: Final = 0.25
"""The share of that time that histories get; the rest is the sweep's."""
Case = tuple[str, str, str, int]
_IDLE: Final = "nothing calls it"
_ALWAYS: Final = "broken without it, too"
_BEGIN, _END = "<!-- mutants: begin -->", "<!-- mutants: end -->"


@dataclass(frozen=True, slots=True)
class Found:
    """How a mutant fared."""

    name: str
    by: str
    """Promise that it breaks; empty where nothing does."""
    histories: int
    seconds: float


def hunt(name: str, patience: float = PATIENCE) -> Found:
    """Play the tale that needs the rule; or sweep the story, play histories, sweep everything.

    What breaks while the rule stands, too, or while nothing calls what is changed, is no find.
    """
    mutant, begun = MUTANTS[name], time.monotonic()
    logging.disable(logging.CRITICAL)
    CALLED.clear()
    with mutant.applied():
        by, played, where = _hunted(mutant, patience)
    if not CALLED:
        by = _IDLE
    elif any(sweep.is_broken(*case) for case in where):
        by = _ALWAYS
    return Found(name, by, played, time.monotonic() - begun)


def _hunted(mutant: Mutant, patience: float) -> tuple[str, int, list[Case]]:
    """What breaks, after how many histories, and in which case of the sweep."""
    played, seed = 0, FIRST
    if mutant.story in tales.TALES:
        return _heard(mutant)
    told = [mutant.story] if mutant.story else []
    swept = sweep.sweep(mutant.kinds, told, patience=patience)
    begun = time.monotonic()
    while not swept.broken and time.monotonic() - begun < patience * HISTORIES:
        result = explore.explore(seed, BATCH, mutant.kinds, shrink=False)
        played, seed = played + result.figures["histories"], seed + 1
        if result.failure:
            return _broken(result.failure), played + 1, []
    if not swept.broken:
        swept = sweep.sweep(mutant.kinds, patience=patience * (1 - HISTORIES))
    by = [f"{_broken(one)}, in case {swept.cases} of the sweep" for one in swept.broken]
    return "".join(by), played, swept.where


def _heard(mutant: Mutant) -> tuple[str, int, list[Case]]:
    """What breaks in the mutant's tale."""
    for kind in tales.TALES[mutant.story].kinds:
        if kind in mutant.kinds and (failure := sweep.tell(mutant.story, kind)):
            return (
                f"{_broken(failure)}, in the tale {mutant.story}",
                0,
                [(kind, mutant.story, "", 0)],
            )
    return "", 0, []


def _broken(failure: str) -> str:
    known = re.findall(r"Broken: (promise \d)", failure) or re.findall(r"^(promise \d)", failure)
    busy = "never rests" in failure or "at one go" in failure
    return known[-1] if known else "busy for nothing" if busy else "an assertion"


def table(found: list[Found]) -> str:
    """The table of the page."""
    lines = []
    for module, title in GROUPS.items():
        group = module.rpartition(".")[2]
        lines += [f"| {title} | Switched off | Found by | Histories | Seconds |"]
        lines += ["|---|---|---|---|---|"]
        for one in found:
            mutant = MUTANTS[one.name]
            if mutant.group == group:
                cells = [f"{mutant.rule} (`{one.name}`)", mutant.how, one.by or _unfound(mutant)]
                cells += [str(one.histories), f"{one.seconds:.1f}"]
                lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _unfound(mutant: Mutant) -> str:
    return f"nothing: {mutant.covered}" if mutant.covered else "nothing"


def main() -> int:
    """Hunt all mutants, or those that are named; 1 where one isn't found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[*MUTANTS])
    parser.add_argument("--patience", type=float, default=PATIENCE)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    with multiprocessing.Pool(asked.processes) as pool:
        jobs = [pool.apply_async(hunt, (name, asked.patience)) for name in asked.names]
        found = []
        for job in jobs:
            one = job.get()
            found.append(one)
            how = f"{one.histories} histories, {one.seconds:.1f} s"
            print(f"{one.name:40} {one.by or _unfound(MUTANTS[one.name]):48} {how}", flush=True)
    if asked.names == [*MUTANTS] and PAGE.exists():
        text = PAGE.read_text()
        before, after = text.split(_BEGIN)[0], text.split(_END)[1]
        PAGE.write_text(f"{before}{_BEGIN}\n\n{table(found)}\n{_END}{after}")
    return int(any(_is_missed(one) for one in found))


def _is_missed(found: Found) -> bool:
    covered = not found.by and bool(MUTANTS[found.name].covered)
    return not covered and found.by in ("", _IDLE, _ALWAYS)


if __name__ == "__main__":
    sys.exit(main())
