"""The directed sweep: one process paused at each of its calls in turn, the world going on without.

A story is a piece of a lease's life. While a process plays it, it stops at one call; then
something happens (``stories.MEDDLES``): mostly a second process takes over. Then the first goes on
where it stood, and all must become well. Once for each call, until there is none left to stop at.
"""

import itertools
import logging
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.simulation import gate, server, stories, tales, world
from tests.simulation.loop import ManualLoop

KINDS: Final = tuple(server.KINDS)
AFTER: Final = 30.0
"""Seconds for which both processes work before the second one ends."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is played once: a tale, or a story with a process that stops at one of its calls."""

    kind: str
    story: str
    meddle: str = ""
    call: int = 0


@dataclass(slots=True)
class Swept:
    """What a sweep showed."""

    cases: int = 0
    calls: set[tuple[str, str]] = field(default_factory=set)
    """Kind of provider and call, where a process stood at least once."""
    broken: list[str] = field(default_factory=list)
    where: list[Case] = field(default_factory=list)
    """The case of each that is broken."""


def sweep(
    kinds: Iterable[str] = KINDS,
    told: Iterable[str] = tuple(stories.STORIES),
    meddles: Iterable[str] = tuple(stories.MEDDLES),
    *,
    stop_at_first: bool = True,
    ends: float = math.inf,
) -> Swept:
    """Every call of some stories under some meddles, for some classes of provider.

    Not all of them where that takes beyond ``ends`` (seconds of this process's processor time).
    """
    loop, swept = ManualLoop(), Swept()
    logging.disable(logging.CRITICAL)
    try:
        for kind, story, meddle in _all(kinds, tuple(told), tuple(meddles)):
            call = 0
            while _played(loop, Case(kind, story, meddle, call), swept):
                call += 1
                if (swept.broken and stop_at_first) or time.process_time() > ends:
                    return swept
    finally:
        loop.close()
        logging.disable(logging.NOTSET)
    return swept


def play(case: Case) -> Swept:
    """One case alone; none is counted where the process makes fewer calls."""
    if case.story in tales.TALES:
        failure = tell(case.story, case.kind)
        return Swept(1, broken=[failure], where=[case]) if failure else Swept(1)
    loop, swept = ManualLoop(), Swept()
    logging.disable(logging.CRITICAL)
    try:
        _played(loop, case, swept)
    finally:
        loop.close()
        logging.disable(logging.NOTSET)
    return swept


def tell(tale: str, kind: str) -> str:
    """How a tale breaks a promise for a kind of provider; empty where it doesn't."""
    loop = ManualLoop()
    logging.disable(logging.CRITICAL)
    one = tales.TALES[tale]
    known = world.World(loop, server.KINDS[kind], one.every, **one.spec)
    try:
        one.play(known)
        known.finish()
    except AssertionError as error:
        return f"{error} ({tale}, {kind})"
    finally:
        known.close()
        loop.close()
        logging.disable(logging.NOTSET)
    return ""


def _all(
    kinds: Iterable[str], told: tuple[str, ...], meddles: tuple[str, ...]
) -> Iterator[tuple[str, str, str]]:
    for story, kind, meddle in itertools.product(told, tuple(kinds), meddles):
        if meddle in stories.STORIES[story].meddles:
            yield kind, story, meddle


def _played(loop: ManualLoop, case: Case, swept: Swept) -> bool:
    """Play one case; False where the process made fewer calls."""
    story = stories.STORIES[case.story]
    known = world.World(loop, server.KINDS[case.kind], **story.spec)
    known.start()
    try:
        story.begin(known)
        first = known.processes[-1]
        known.arm(first, case.call, gate.Fate.PAUSE, world.ALL)
        for act in story.acts:
            act(known)
            if first in known.processes and first.gate.paused:
                stories.MEDDLES[case.meddle](known, first)
                _go_on(known)
        if first in known.processes and first.gate.armed:
            return False
        swept.cases += 1
        swept.calls |= {(case.kind, name) for name, _ in first.gate.met}
        known.apply(suspend=False)
        known.finish()
    except AssertionError as error:
        swept.broken.append(
            f"{error} (call {case.call} of {case.story}, {case.meddle}, {case.kind})"
        )
        swept.where.append(case)
    finally:
        known.close()
    return True


def _go_on(known: world.World) -> None:
    """Whoever stands still goes on; then one process is left."""
    for process in [*known.processes]:
        if process.gate.paused:
            known.go_on(process)
    known.wait(AFTER)
    for process in known.processes[1:]:
        known.crash(process)
