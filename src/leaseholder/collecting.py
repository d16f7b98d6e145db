"""Garbage collection in small pieces: what lives long isn't looked through again and again.

Python stops all else while it looks for cycles in everything that lives. With 10,000 leases that
took a second, each time that a quarter as many objects had come as there were, also where just as
many had gone. So what outlives a whole collection is set aside (``gc.freeze``), and the next one
looks through what came since. Most of what goes does so without the collector.

A cycle that dies after it was set aside stays. ``whole`` looks through everything where so much is
set aside that it may matter.
"""

import asyncio
import gc
from typing import Final

EVERY: Final = 600.0
"""Seconds between two looks at how much is set aside."""
SELDOM: Final = 20
"""So many collections of the young come before one of all that isn't set aside: Python's own ten
set aside more of what is under way for a moment, and each of fifty holds the loop for longer."""
MANY: Final = 2
"""So many times as much as after the last whole collection may be set aside before the next."""


def begin() -> None:
    """Set aside what there is, and from now on what outlives a whole collection."""
    gc.collect()
    gc.freeze()
    youngest, young, _ = gc.get_threshold()
    gc.set_threshold(youngest, young, SELDOM)
    if _set_aside not in gc.callbacks:
        gc.callbacks.append(_set_aside)


def _set_aside(phase: str, info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] == 2:
        gc.freeze()


def whole(last: int) -> int:
    """Look through everything, if much more than ``last`` objects are set aside.

    Returns:
        How many were, when that was last done.
    """
    if gc.get_freeze_count() <= MANY * last:
        return last
    gc.unfreeze()
    gc.collect()
    return gc.get_freeze_count()


async def run() -> None:
    """Do so where it is needed, now and then; never returns."""
    last = gc.get_freeze_count()
    while True:
        await asyncio.sleep(EVERY)
        last = whole(last)
