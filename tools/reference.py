"""The reference of all fields (docs/reference.md), made of the CRDs' schemas.

One section for each kind, one table for each object in it; what the API server checks stands
beside the field that it checks, in the words of the rule's own message.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from leaseholder.api import base, crds, durations, names
from leaseholder.api.crds import Crd, Schema

_INTRODUCTION: Final = f"""\
<!-- Generated from leaseholder.api by `make crds`. -->

# Reference

Every field of the resources of `{names.API_VERSION}`, generated from the CRDs in
`crds/`. "required" means that a manifest without the field is refused. For a
duration, {durations.SENTENCE}. A moment is UTC, cut to the second.
"""
_BOUNDS: Final = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " entries"),
    ("minProperties", "maxProperties", " entries"),
)


def rendered() -> str:
    """The reference as Markdown."""
    contents = "\n".join(f"- [{kind.kind}](#{kind.kind.lower()})" for kind in crds.KINDS)
    sections = "\n".join(_section(kind) for kind in crds.KINDS)
    return f"{_INTRODUCTION}\n{contents}\n\n{sections}"


def _section(kind: Crd) -> str:
    root = crds.schema(kind)
    scope = "Namespaced" if kind.namespaced else "Cluster-scoped"
    parts = [
        f"## {kind.kind}\n\n{root.get('description', '')}\n\n"
        f"{scope}; plural `{kind.plural}`, short name `{kind.short}`.\n"
    ]
    for name in ("spec", "status"):
        if name in root["properties"]:
            parts += _objects(f"{kind.kind}.{name}", root["properties"][name])
    return "\n".join(parts)


def _objects(path: str, node: Schema) -> Iterator[str]:
    """One table for ``node`` and each object below it, outer ones first."""
    yield _table(path, node)
    for name, inner in node["properties"].items():
        found, suffix = _object_in(inner)
        if found is not None:
            yield from _objects(f"{path}.{name}{suffix}", found)


def _object_in(node: Schema) -> tuple[Schema | None, str]:
    """The object with fields of its own that a field holds, alone or in a list."""
    suffix = ""
    if node.get("type") == "array":
        node, suffix = node["items"], "[]"
    return (node if "properties" in node else None), suffix


def _table(path: str, node: Schema) -> str:
    required = node.get("required", ())
    lines = [f"### {path}", "", node.get("description", ""), ""]
    rules = list(_messages(node))
    if rules:
        lines += [*(f"- Rule: {message}." for message in rules), ""]
    lines += ["| Field | Type | Default | Rules | Description |", "|---|---|---|---|---|"]
    for name, field in node["properties"].items():
        default = "required" if name in required else _default(field)
        cells = [f"`{name}`", _type(field), default, _rules(field), field.get("description", "")]
        lines.append(f"| {' | '.join(_cell(text) for text in cells)} |")
    return "\n".join([*lines, ""])


def _type(node: Mapping[str, Any]) -> str:
    kind = str(node.get("type", "any"))
    if kind == "array":
        return f"list of {_type(node['items'])}"
    if kind == "object" and "properties" not in node:
        values = node.get("additionalProperties")
        return f"map to {_type(values)}" if isinstance(values, Mapping) else "map to any value"
    if _is_duration(node):
        return "duration"
    return "moment" if _is_moment(node) else kind


def _default(node: Schema) -> str:
    """A field's default; that of an object stands beside its own fields."""
    if "properties" in node or node.get("default") in (None, {}, [], ""):
        return ""
    return f"`{json.dumps(node['default'])}`"


def _rules(node: Schema) -> str:
    """What the API server checks of a field; an object's own rules stand above its table."""
    found = []
    if "enum" in node:
        found.append("one of " + ", ".join(f"`{value}`" for value in node["enum"]))
    if not _is_moment(node) and not _is_duration(node):
        found += _bounds(node)
    if "pattern" in node and not _is_duration(node):
        found.append(f"matches `{node['pattern']}`")
    if _object_in(node)[0] is None:
        found += [text for text in _messages(node) if text != base.DURATION_RULE["message"]]
    return "; ".join(found)


def _bounds(node: Schema) -> Iterator[str]:
    for least, most, unit in _BOUNDS:
        if least in node and most in node:
            yield f"{node[least]} to {node[most]}{unit}"
        elif least in node:
            yield f"at least {node[least]}{unit}"
        elif most in node:
            yield f"at most {node[most]}{unit}"


def _is_moment(node: Mapping[str, Any]) -> bool:
    return node.get("format") == "date-time"


def _is_duration(node: Mapping[str, Any]) -> bool:
    return base.DURATION_RULE in node.get("x-kubernetes-validations", ())


def _messages(node: Schema) -> Iterator[str]:
    for rule in node.get("x-kubernetes-validations", ()):
        yield str(rule["message"])


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;")
