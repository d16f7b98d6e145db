import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from leaseholder.api import crds

FOLDER = pathlib.Path(__file__).parents[3] / "crds"
Node = dict[str, Any]


def schema(kind: crds.Crd) -> Node:
    (version,) = crds.manifest(kind)["spec"]["versions"]
    found: Node = version["schema"]["openAPIV3Schema"]
    return found


def nodes(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """Every schema below a node, with where it stands; what the API server owns left out."""
    yield path, node
    for name, inner in node.get("properties", {}).items():
        if "." in path or name not in ("apiVersion", "kind", "metadata"):
            yield from nodes(inner, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(node.get(key), dict):
            yield from nodes(node[key], path + mark)


ALL = [found for kind in crds.KINDS for found in nodes(schema(kind), kind.kind)]


def test_the_manifests_in_the_repository_are_the_generated_ones() -> None:
    generated = dict(crds.rendered())
    assert {path.name: path.read_text() for path in FOLDER.glob("*.yaml")} == generated


def test_every_property_is_described() -> None:
    bare = [
        path
        for path, node in ALL
        if "." in path and not path.endswith(("[]", "{}")) and not node.get("description")
    ]
    assert bare == []


def bounded(node: Node) -> bool:
    if node.get("x-kubernetes-preserve-unknown-fields"):
        return True
    match node.get("type"):
        case "string":
            return any(key in node for key in ("maxLength", "enum", "format"))
        case "array":
            return "maxItems" in node
        case "object":
            return "properties" in node or "maxProperties" in node
    return True


def test_everything_is_bounded_so_that_rules_stay_cheap() -> None:
    assert [path for path, node in ALL if not bounded(node)] == []


def test_every_rule_says_what_to_write_in_a_sentence_of_its_own() -> None:
    for path, node in ALL:
        sentences = [rule["message"] for rule in node.get("x-kubernetes-validations", [])]
        assert len(set(sentences)) == len(sentences), path
        assert all(sentences), path


@pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.kind)
def test_a_definition_is_structural(kind: crds.Crd) -> None:
    forbidden = {"$ref", "anyOf", "title", "const", "$defs"}
    for path, node in nodes(schema(kind), kind.kind):
        assert not forbidden & set(node), path
        closed = "properties" in node and "additionalProperties" in node
        assert not closed, path


def test_expiry_columns_are_strings_because_a_future_date_prints_invalid() -> None:
    (version,) = crds.manifest(crds.KINDS[0])["spec"]["versions"]
    columns = {c["name"]: c["type"] for c in version["additionalPrinterColumns"]}
    assert columns["Expires"] == columns["Renews"] == "string"
