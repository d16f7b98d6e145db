"""What a mutant is, and the list of them all."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

from leaseholder.core import actions, rules
from leaseholder.core.view import View
from tests.simulation import server

Patch = contextlib.AbstractContextManager[object]
ALL: Final = tuple(server.KINDS)
ONE_SLOT: Final = ("one-slot",)
FOUND_BY_TAG: Final = ("taggable", "accessor")
LAGGING: Final = ("taggable", "owner-and-time", "one-slot")
"""Classes whose reads may trail."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule, switched off."""

    name: str
    rule: str
    """The rule in DESIGN's words."""
    how: str
    """What is changed."""
    patches: Callable[[], list[Patch]]
    kinds: tuple[str, ...]
    """Classes of provider for which the rule matters."""
    group: str
    """The module that holds it."""
    story: str
    """The story of the sweep that needs the rule; empty: histories need it often enough."""
    covered: str
    """What does the rule's work while it is off; empty: nothing does, and it must be found."""

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The rule is off within the context."""
        with contextlib.ExitStack() as stack:
            for patch in self.patches():
                stack.enter_context(patch)
            yield


MUTANTS: Final[dict[str, Mutant]] = {}
RULES: Final = tuple({one.id: one for chain in rules.RULES.values() for one in chain}.values())
"""The rules of the core, each once."""
CALLED: Final[set[str]] = set()
"""What was called of that which stands in another's place, by its name there."""


def switched_off(
    rule: str, how: str, kinds: tuple[str, ...] = ALL, *, story: str = "", covered: str = ""
) -> Callable[[Callable[[], list[Patch]]], Callable[[], list[Patch]]]:
    """A function that makes the patches which switch a rule off."""

    def register(patches: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
        name = patches.__name__.replace("_", "-")
        group = patches.__module__.rpartition(".")[2]
        MUTANTS[name] = Mutant(name, rule, how, patches, kinds, group, story, covered)
        return patches

    return register


def swap(owner: object, name: str, new: object) -> Patch:
    """``new`` in the place of a function, which counts as called from then on.

    Fails where there is none of that name.
    """
    return mock.patch.object(owner, name, _noted(name, new))


def without(rule: str, case: rules.Case | None = None) -> Patch:
    """A rule of the core finds nothing, everywhere or in one case.

    It counts as called where it would have found something.
    """
    return changed(rule, lambda view, found: None, case)


def changed(
    rule: str,
    change: Callable[[View, actions.Found], actions.Found],
    case: rules.Case | None = None,
) -> Patch:
    """What a rule of the core finds is changed; it counts as called where that isn't the same.

    Fails where there is no rule of that name.
    """
    if all(one.id != rule for one in RULES):
        raise LookupError(rule)

    def off(one: rules.Rule) -> rules.Rule:
        def find(view: View) -> actions.Found:
            found = one.find(view)
            now = change(view, found)
            if now != found:
                CALLED.add(one.id)
            return now

        return dataclasses.replace(one, find=find)

    mine = {
        name: tuple(off(one) if one.id == rule and case in (None, name) else one for one in chain)
        for name, chain in rules.RULES.items()
    }
    return mock.patch.object(rules, "RULES", mine)


def moved_behind(rule: str, other: str, case: rules.Case) -> Patch:
    """A rule of the core comes after another one, in one case."""
    chain = [one for one in rules.RULES[case] if one.id != rule]
    mine = next(one for one in rules.RULES[case] if one.id == rule)
    place = next(number for number, one in enumerate(chain, 1) if one.id == other)
    chain.insert(place, mine)
    CALLED.add(rule)
    return mock.patch.object(rules, "RULES", {**rules.RULES, case: tuple(chain)})


def _noted(name: str, new: Any) -> Any:
    if isinstance(new, property):
        return property(_noted(name, new.fget), new.fset)
    if not callable(new):
        return new

    @functools.wraps(new)
    def called(*args: Any, **kwargs: Any) -> Any:
        CALLED.add(name)
        return new(*args, **kwargs)

    return called
