"""Manifests that users write, or that other operators' users wrote: YAML or JSON, one or many."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pydantic
import yaml

from leaseholder.cli.exits import Failed

Manifest = dict[str, Any]
_MOST: Final = 1_000_000
"""Values of a file with its aliases written out: a few lines can stand for billions."""


def read(path: str) -> list[Manifest]:
    """The objects of a file, or of stdin where the path is ``-``; those in Lists singly.

    Raises:
        Failed: it can't be read, or holds something that is no object.
    """
    named = title(path)
    try:
        documents = [one for one in yaml.load_all(text(path), _ManifestLoader) if one is not None]
        if _weight(documents, {}) > _MOST:
            raise Failed(f"{named} holds too much: its aliases grow to more than a million values")
        documents = json.loads(json.dumps(documents))  # keys are texts, as kubectl makes them
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "something is wrong"
        raise Failed(f"{named}{where} is no YAML: {problem}") from None
    except (TypeError, ValueError, RecursionError):
        raise Failed(f"{named} holds what no JSON can say") from None
    if not documents:
        raise Failed(f"{named} is empty: nothing but blanks and comments")
    return [one for document in documents for one in _objects(named, document)]


class _ManifestLoader(yaml.SafeLoader):
    """YAML as kubectl reads it: a date is a text."""

    _merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge what ``<<`` names, counted before: a few lines can stand for billions here, too."""
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    self._count(one)
        super().flatten_mapping(node)

    def _count(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            self.flatten_mapping(node)
            self._merged += len(node.value)
        if self._merged > _MOST:
            problem = "its merges grow to more than a million values"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


_ManifestLoader.yaml_implicit_resolvers = {
    first: [one for one in known if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _weight(node: Any, known: dict[int, int]) -> int:
    """How many values there are with aliases written out; one within itself counts as too many."""
    if not isinstance(node, dict | list):
        return 1
    if id(node) not in known:
        known[id(node)] = _MOST + 1
        inner = node.values() if isinstance(node, dict) else node
        known[id(node)] = 1 + sum(_weight(one, known) for one in inner)
    return known[id(node)]


def text(path: str) -> str:
    """The text of a file, or of stdin where the path is ``-``.

    Raises:
        Failed: it can't be read.
    """
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it isn't UTF-8"
        raise Failed(f"{title(path)} can't be read: {why}") from None


def title(path: str) -> str:
    """What to call a file in a sentence."""
    return "stdin" if path == "-" else path


def _objects(path: str, document: Any) -> Iterator[Manifest]:
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise Failed(f"{path}: a document is no object of Kubernetes: write apiVersion and kind")
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _objects(path, item)
        return
    yield document


def faults(error: pydantic.ValidationError) -> list[str]:
    """What a model finds wrong with a user's own manifest: each field with its sentence."""
    return [
        f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
        for one in error.errors(include_input=False, include_url=False)
    ]


def group(manifest: Manifest) -> str:
    """The API group of an object."""
    return str(manifest.get("apiVersion") or "").partition("/")[0]


def name(manifest: Manifest) -> str:
    """An object's name; empty where it has none."""
    return str(metadata(manifest).get("name") or "")


def namespace(manifest: Manifest, default: str) -> str:
    """The namespace that an object is for."""
    return str(metadata(manifest).get("namespace") or default)


def spec(manifest: Manifest) -> Manifest:
    """An object's spec; empty where it has none."""
    found = manifest.get("spec")
    return found if isinstance(found, dict) else {}


def metadata(manifest: Manifest) -> Manifest:
    """An object's metadata; empty where it has none."""
    found = manifest.get("metadata")
    return found if isinstance(found, dict) else {}
