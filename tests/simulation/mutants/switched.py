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


HINTS: Final = {
    "finalizer-put-on": Hint("unheard"),
    "unclear-attempt-claimed": Hint("unclear"),
    "held-again": Hint("source"),
    "taken-over": Hint("restore"),
    "renewed-before-delivery": Hint("forbidden"),
    "ready-taken-back": Hint("ended", ("taggable", "owner-and-time", "exclusive", "accessor")),
    "slot-vacated": Hint("", ONE_SLOT),
    "former-secret-deleted": Hint("rename"),
    "secret-repaired": Hint("rename"),
    "inspected": Hint("ended", ("taggable", "owner-and-time", "exclusive", "accessor")),
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
