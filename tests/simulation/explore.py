"""Histories in batches: a batch is a seed, and the same seed plays the same histories."""

import logging
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import hypothesis
from hypothesis import stateful

from tests.simulation import machine, server, world
from tests.simulation.loop import ManualLoop

STEPS: Final = 60
BATCH: Final = 100
KINDS: Final = tuple(server.KINDS)


@dataclass(slots=True)
class Result:
    """What a batch showed."""

    seed: int
    seconds: float = 0.0
    failure: str = ""
    """The shortest history that breaks a promise, and how; empty where none does."""
    figures: Counter[str] = field(default_factory=Counter)


def explore(
    seed: int, histories: int = BATCH, kinds: Sequence[str] = KINDS, *, shrink: bool = True
) -> Result:
    """Play one batch."""
    loop, total, result = ManualLoop(), world.Figures(), Result(seed)

    class Batch(machine.Histories):
        pass

    Batch.loop, Batch.kinds, Batch.total = loop, tuple(kinds), total
    phases = [hypothesis.Phase.generate, *([hypothesis.Phase.shrink] if shrink else [])]
    settings = hypothesis.settings(
        max_examples=histories,
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=[*hypothesis.HealthCheck],
    )
    begun = time.monotonic()
    logging.disable(logging.CRITICAL)
    try:
        stateful.run_state_machine_as_test(hypothesis.seed(seed)(Batch), settings=settings)
    except Exception as error:
        result.failure = "".join(traceback.format_exception(error))
    finally:
        loop.close()
        logging.disable(logging.NOTSET)
    result.seconds = time.monotonic() - begun
    result.figures = total.counted()
    return result
