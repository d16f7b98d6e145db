"""A mutant for each rule of the core, made from the list itself: the rule finds nothing.

What a hunt should know of a rule beside its id stands in ``HINTS``.
"""

import functools
from dataclasses import dataclass
from typing import Final

from tests.simulation.mutants.registry import (
    ALL,
    MUTANTS,
    ONE_SLOT,
    RULES,
    Mutant,
    Patch,
    without,
)


@dataclass(frozen=True, slots=True)
class Hint:
    """Where the hunt begins, or why nothing finds the mutant."""

    story: str = ""
    kinds: tuple[str, ...] = ALL
    covered: str = ""


_VERIFIABLE: Final = ("taggable", "owner-and-time", "exclusive", "accessor")
HINTS: Final = {
    "drained": Hint("drained"),
    "finalizer-put-on": Hint("unheard"),
    "unclear-attempt-claimed": Hint("creation", ONE_SLOT),
    "held-again": Hint("creation"),
    "taken-over": Hint("restored"),
    "renewed-before-delivery": Hint(
        "undeletable",
        covered="while the back-off holds the delivery back, a due renewal has its turn",
    ),
    "room-made": Hint("crowd"),
    "over-let-go": Hint("unconfirmed"),
    "failure-reported": Hint("outages"),
    "inspected-first": Hint(
        covered="Ready waits for an inspection, and `inspected` makes it a step later"
    ),
    "renewed-first": Hint("short-life"),
    "slot-vacated": Hint("", ONE_SLOT),
    "ready-taken-back": Hint("ended", _VERIFIABLE),
    "renewed-second": Hint("outages"),
    "former-secret-deleted": Hint("rename"),
    "secret-repaired": Hint("marks"),
    "workload-restarted": Hint("rolled-out"),
    "rollout-complete": Hint("rolled-out"),
    "replaced-renewed": Hint("stuck"),
    "inspected": Hint("ended-outside", _VERIFIABLE),
    "released-wedged": Hint("wedged"),
    "orphaned": Hint("orphaned"),
    "attempts-reported": Hint("refused"),
    "ready-of-before-taken-back": Hint("awaited"),
    "handed-over-held": Hint("moved-unrecorded"),
    "handed-over-claimed": Hint("moved-unanswered"),
    "handed-over-discarded": Hint("emptied"),
    "handed-over-delivered": Hint("moved-undelivered"),
}


def _mutants() -> None:
    for rule in RULES:
        hint = HINTS.get(rule.id, Hint())
        MUTANTS[rule.id] = Mutant(
            name=rule.id,
            rule=rule.why.removesuffix("."),
            how="it finds nothing",
            patches=functools.partial(_off, rule.id),
            kinds=hint.kinds,
            group=__name__.rpartition(".")[2],
            story=hint.story,
            covered=hint.covered,
        )


def _off(name: str) -> list[Patch]:
    return [without(name)]


_mutants()
