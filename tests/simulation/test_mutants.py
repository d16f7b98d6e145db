"""The mutants fit the code that they change; ``make mutants`` lets the machine hunt them."""

import pytest

from tests.simulation import stories, tales
from tests.simulation.mutants import classic, known, marked, switched
from tests.simulation.mutants.registry import MUTANTS, RULES


def test_each_group_has_its_mutants() -> None:
    groups = {module.__name__.rpartition(".")[2] for module in (classic, known, marked, switched)}
    assert {mutant.group for mutant in MUTANTS.values()} == groups


def test_each_rule_of_the_core_has_its_mutant() -> None:
    assert {rule.id for rule in RULES} <= MUTANTS.keys()
    assert switched.HINTS.keys() <= {rule.id for rule in RULES}


def test_a_mutant_names_a_story_or_a_tale_that_is_there() -> None:
    there = {"", *stories.STORIES, *tales.TALES}
    assert {mutant.story for mutant in MUTANTS.values()} <= there


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_changes_something_that_is_there(name: str) -> None:
    with MUTANTS[name].applied():
        assert MUTANTS[name].patches()
