"""deploy/operator binds what every installation needs, and leaves the rest to the administrator."""

import pathlib
from collections.abc import Iterator
from typing import Any

import yaml

from leaseholder.cluster import refusals

OPERATOR = pathlib.Path(__file__).parents[2] / "deploy" / "operator"


def documents(*paths: pathlib.Path) -> Iterator[dict[str, Any]]:
    for path in paths:
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def bound(*paths: pathlib.Path) -> set[str]:
    """The roles that these files bind."""
    found = (one for one in documents(*paths) if one["kind"].endswith("RoleBinding"))
    return {one["roleRef"]["name"] for one in found}


def test_only_secrets_are_bound_beside_what_the_operator_cant_do_without() -> None:
    assert bound(*OPERATOR.glob("*.yaml")) == {
        "leaseholder",
        "leaseholder-secrets",
        "leaseholder-ledger",
    }


def test_each_other_role_is_bound_by_a_file_of_its_own() -> None:
    options = {path.stem: bound(path) for path in (OPERATOR / "options").glob("*.yaml")}
    assert options == {name: {f"leaseholder-{name}"} for name in options}
    roles = {one["metadata"]["name"] for one in documents(OPERATOR / "10-rbac.yaml")}
    assert {name for names in options.values() for name in names} < roles
    assert {*options} == {"tokens", "workloads", "configmaps"}


def test_every_role_is_one_that_a_refusal_advises_to_bind() -> None:
    roles = {
        f"the {one['kind']} {one['metadata']['name']} there"
        for one in documents(OPERATOR / "10-rbac.yaml")
        if one["kind"] in ("ClusterRole", "Role")
    }
    assert {*refusals.ROLES.values()} == roles - {"the ClusterRole leaseholder there"}
