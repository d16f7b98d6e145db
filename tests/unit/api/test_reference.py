"""docs/reference.md: in step with the models, and nothing left out."""

import html
import pathlib
from collections.abc import Iterator

import pytest

from leaseholder.api import crds
from tools import reference

CHECKOUT = pathlib.Path(__file__).parents[3]


def test_the_reference_is_in_step_with_the_models() -> None:
    text = (CHECKOUT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert text == reference.rendered(), "run `make crds`"


@pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.kind)
def test_every_field_stands_in_its_objects_table_with_its_description(kind: crds.Crd) -> None:
    tables = _tables(reference.rendered())
    for path, node in _objects(kind):
        for name, field in node["properties"].items():
            row = next(line for line in tables[path] if line.startswith(f"| `{name}` |"))
            assert field.get("description", "").replace("|", r"\|") in row


@pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.kind)
def test_every_rule_stands_there_in_its_own_words(kind: crds.Crd) -> None:
    text = html.unescape(reference.rendered())
    messages = list(_messages(crds.schema(kind)["properties"]))
    assert all(message in text for message in messages)


def test_defaults_and_limits_stand_beside_the_field() -> None:
    tables = _tables(reference.rendered())
    (row,) = [
        line for line in tables["LeaseProvider.spec.limits"] if line.startswith("| `concurrency` |")
    ]
    assert "| integer | `8` | 1 to 64 |" in row


def _tables(text: str) -> dict[str, list[str]]:
    """The lines below each heading of an object."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        found.setdefault(heading, []).append(line)
    return found


def _objects(kind: crds.Crd) -> Iterator[tuple[str, crds.Schema]]:
    properties = crds.schema(kind)["properties"]
    for name in ("spec", "status") if kind.status_subresource else ("spec",):
        yield from _below(f"{kind.kind}.{name}", properties[name])


def _below(path: str, node: crds.Schema) -> Iterator[tuple[str, crds.Schema]]:
    if node.get("type") == "array":
        path, node = f"{path}[]", node["items"]
    if "properties" in node:
        yield path, node
        for name, inner in node["properties"].items():
            yield from _below(f"{path}.{name}", inner)


def _messages(node: object) -> Iterator[str]:
    if isinstance(node, list):
        for entry in node:
            yield from _messages(entry)
    if isinstance(node, dict):
        for rule in node.get("x-kubernetes-validations", ()):
            yield rule["message"]
        for inner in node.values():
            yield from _messages(inner)
