"""The mutants fit the code that they change; ``make mutants`` lets the machine hunt them."""

import pytest

from tests.simulation.mutants import classic, marked
from tests.simulation.mutants.registry import MUTANTS


def test_each_group_has_its_mutants() -> None:
    groups = {module.__name__.rpartition(".")[2] for module in (classic, marked)}
    assert {mutant.group for mutant in MUTANTS.values()} == groups


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_changes_something_that_is_there(name: str) -> None:
    with MUTANTS[name].applied():
        assert MUTANTS[name].patches()
