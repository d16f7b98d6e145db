"""The directed sweep: one process paused at each of its calls in turn, another taking over.

The life of a lease is played from creation over delivery, renewal, rotation and a change of
source to deletion. At one call the first process stops; a second one starts, time passes beyond
every deadline, and it brings everything to rest; then the first goes on where it stood. Once for
each call of the first process, until there is none left to stop at.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from leaseholder.api import names
from tests.simulation import gate, process, server, world
from tests.simulation.loop import ManualLoop

HOUR: Final = 3600.0
BEYOND: Final = (0.0, 300.0)
"""Seconds that pass while the first process stands still: none, or more than every deadline."""


@dataclass(slots=True)
class Swept:
    """What a sweep showed."""

    cases: int = 0
    calls: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)


def sweep(kind: str, *, stop_at_first: bool = True) -> Swept:
    """Every call of one class of provider."""
    loop, swept = ManualLoop(), Swept()
    try:
        for beyond in BEYOND:
            call = 0
            while _case(loop, kind, call, beyond, swept):
                call += 1
                if swept.broken and stop_at_first:
                    return swept
    finally:
        loop.close()
    return swept


def _case(loop: ManualLoop, kind: str, call: int, beyond: float, swept: Swept) -> bool:
    """One case; False where the first process made fewer calls."""
    known = world.World(loop, server.KINDS[kind], ttl="1h")
    first = known.start()
    known.arm(first, call, gate.Fate.PAUSE, world.ALL)
    try:
        life: list[Callable[[], None]] = [
            known.apply,
            lambda: known.wait(0.8 * HOUR),
            lambda: known.command(names.ROTATE),
            lambda: known.wait(200),
            lambda: known.change_source("e"),
            lambda: known.wait(200),
            known.delete,
            lambda: known.wait(400),
        ]
        for step in life:
            step()
            if first.gate.paused:
                _take_over(known, first, beyond)
        if first.gate.armed:
            return False
        swept.cases += 1
        swept.calls |= {name for name, _ in first.gate.met}
        known.finish()
    except AssertionError as error:
        swept.broken.append(f"{error} (call {call} of {kind}, {beyond:.0f} s later)")
    finally:
        known.close()
    return True


def _take_over(known: world.World, first: process.Process, beyond: float) -> None:
    """The second process does all there is to do, the first finds it done."""
    second = known.start()
    known.wait(beyond)
    known.wait(1.0)
    known.go_on(first)
    known.wait(30)
    known.crash(second)
