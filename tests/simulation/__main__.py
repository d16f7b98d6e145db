"""``python -m tests.simulation``: many batches on all processors; those that fail are told."""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from typing import Final

from tests.simulation import explore

HISTORIES: Final = 10_000
FIRST: Final = 1


def main() -> int:
    """Explore; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=HISTORIES)
    parser.add_argument("--first", type=int, default=FIRST, help="seed of the first batch")
    parser.add_argument("--seed", type=int, help="play this one batch again, and shorten it")
    parser.add_argument("--kinds", nargs="*", default=explore.KINDS, choices=explore.KINDS)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    if asked.seed is not None:
        return _told(explore.explore(asked.seed, kinds=asked.kinds))
    batches = asked.histories // explore.BATCH
    return _many(asked.first, batches, tuple(asked.kinds), asked.processes)


def _many(first: int, batches: int, kinds: tuple[str, ...], processes: int) -> int:
    begun, total, broken = time.monotonic(), Counter[str](), 0
    with multiprocessing.Pool(processes) as pool:
        jobs = [(seed, kinds) for seed in range(first, first + batches)]
        for result in pool.imap_unordered(_one, jobs):
            total += result.figures
            if result.failure:
                broken += 1
                print(f"\nseed {result.seed}: {_how(result)}")
            done, seconds = total["histories"], time.monotonic() - begun
            print(f"\r{done} histories, {seconds:.0f} s", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(f"{time.monotonic() - begun:.0f} seconds")
    for name, count in sorted(total.items()):
        print(f"{count:9d}  {name}")
    return bool(broken)


def _one(job: tuple[int, tuple[str, ...]]) -> explore.Result:
    seed, kinds = job
    return explore.explore(seed, kinds=kinds, shrink=False)


def _how(result: explore.Result) -> str:
    """The promise that was broken, in a line."""
    told = [line for line in result.failure.splitlines() if "Broken:" in line]
    return told[-1].rpartition("Broken: ")[2] if told else "an assertion failed"


def _told(result: explore.Result) -> int:
    print(result.failure or f"seed {result.seed}: every promise is kept")
    if result.failure:
        print(f"\nreplay: make simulate SEED={result.seed}")
    return bool(result.failure)


if __name__ == "__main__":
    sys.exit(main())
