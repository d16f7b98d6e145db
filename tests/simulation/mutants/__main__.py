"""``python -m tests.simulation.mutants``: tales, sweep and histories against every mutant.

What is known to find a mutant is played first, and the first find ends the hunt. That is its tale,
or the case of the sweep that found it in the last whole run (``finds.json``); after those come the
story that needs the rule, histories, and the whole sweep, until the mutant's time is over. Times
are of the processor, so that a busy machine finds as much as a quiet one.

A whole run writes ``finds.json``, and the tables of docs/design/proof.md between their two marks;
the rest of that page is written by hand.
"""

import argparse
import json
import logging
import multiprocessing
import os
import pathlib
import re
import sys
import time
from dataclasses import astuple, dataclass
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
FINDS: Final = pathlib.Path(__file__).with_name("finds.json")
PATIENCE: Final = 30.0
"""Seconds of the processor after which a mutant counts as not found."""
_IDLE: Final = "nothing calls it"
_ALWAYS: Final = "broken without it, too"
_BEGIN, _END = "<!-- mutants: begin -->", "<!-- mutants: end -->"


@dataclass(frozen=True, slots=True)
class Found:
    """How a mutant fared."""

    name: str
    by: str
    """What finds it, with the promise that breaks; empty where nothing does."""
    case: sweep.Case | None
    """The case of the sweep that finds it."""
    seconds: float
    """Of the processor."""


def hunt(name: str, patience: float = PATIENCE, first: sweep.Case | None = None) -> Found:
    """Play what may find a mutant, ``first`` before all else, until something does.

    What breaks while the rule stands, too, or while nothing calls what is changed, is no find.
    """
    mutant, begun = MUTANTS[name], time.process_time()
    logging.disable(logging.CRITICAL)
    CALLED.clear()
    with mutant.applied():
        by, case = _hunted(mutant, patience, first)
    if not CALLED:
        by = _IDLE
    elif case is not None and sweep.play(case).broken:
        by = _ALWAYS
    is_swept = case is not None and case.story not in tales.TALES
    return Found(name, by, case if is_swept else None, time.process_time() - begun)


def _hunted(
    mutant: Mutant, patience: float, first: sweep.Case | None
) -> tuple[str, sweep.Case | None]:
    """What breaks, and in which case of the sweep or which tale."""
    if mutant.story in tales.TALES:
        return _heard(mutant)
    ends = time.process_time() + patience
    swept = sweep.play(first) if first is not None else sweep.Swept()
    if not swept.broken and mutant.story:
        swept = sweep.sweep(mutant.kinds, [mutant.story], ends=ends)
    seed, played = FIRST, 0
    half = (time.process_time() + ends) / 2
    while not swept.broken and time.process_time() < half:
        result = explore.explore(seed, BATCH, mutant.kinds, shrink=False)
        seed, played = seed + 1, played + result.figures["histories"]
        if result.failure:
            return f"{_broken(result.failure)}, in history {played + 1}", None
    if not swept.broken:
        swept = sweep.sweep(mutant.kinds, ends=ends)
    for failure, case in zip(swept.broken, swept.where, strict=True):
        return f"{_broken(failure)}, in `{case.story}` ({case.meddle}; {case.kind})", case
    return "", None


def _heard(mutant: Mutant) -> tuple[str, sweep.Case | None]:
    """What breaks in the mutant's tale."""
    for kind in tales.TALES[mutant.story].kinds:
        case = sweep.Case(kind, mutant.story)
        if kind in mutant.kinds and (swept := sweep.play(case)).broken:
            return f"{_broken(swept.broken[0])}, in the tale `{mutant.story}`", case
    return "", None


def _broken(failure: str) -> str:
    known = re.findall(r"Broken: (promise \d)", failure) or re.findall(r"^(promise \d)", failure)
    busy = "never rests" in failure or "at one go" in failure
    return known[-1] if known else "busy for nothing" if busy else "an assertion"


def table(found: list[Found]) -> str:
    """The table of the page."""
    lines = []
    for module, title in GROUPS.items():
        group = module.rpartition(".")[2]
        lines += [f"| {title} | Switched off | Found by |", "|---|---|---|"]
        for one in found:
            mutant = MUTANTS[one.name]
            if mutant.group == group:
                cells = [f"{mutant.rule} (`{one.name}`)", mutant.how, one.by or _unfound(mutant)]
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
    firsts = {name: sweep.Case(*case) for name, case in json.loads(FINDS.read_text()).items()}
    found = []
    with multiprocessing.Pool(asked.processes) as pool:
        jobs = [
            pool.apply_async(hunt, (name, asked.patience, firsts.get(name))) for name in asked.names
        ]
        for job in jobs:
            one = job.get()
            found.append(one)
            by = one.by or _unfound(MUTANTS[one.name])
            print(f"{one.name:40} {one.seconds:5.1f} s  {by}", flush=True)
    print(f"{sum(one.seconds for one in found) / 60:.1f} minutes of one processor")
    if asked.names == [*MUTANTS]:
        _write(found)
    return int(any(_is_missed(one) for one in found))


def _write(found: list[Found]) -> None:
    text = PAGE.read_text()
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    PAGE.write_text(f"{before}{_BEGIN}\n\n{table(found)}\n{_END}{after}")
    cases = [f'  "{one.name}": {json.dumps(astuple(one.case))}' for one in found if one.case]
    FINDS.write_text("{\n" + ",\n".join(sorted(cases)) + "\n}\n")


def _is_missed(found: Found) -> bool:
    covered = not found.by and bool(MUTANTS[found.name].covered)
    return not covered and found.by in ("", _IDLE, _ALWAYS)


if __name__ == "__main__":
    sys.exit(main())
