"""The chart's values as a table: read from values.yaml, whose comments describe them.

A value is described by the lines above it that begin with ``# --``. What is described is a row,
with all that is below it; what isn't is looked into.
"""

import collections.abc
import dataclasses
import json
import pathlib
import typing

import yaml

MARK: typing.Final = "# --"


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """One value that a user may write."""

    path: str
    default: typing.Any
    meaning: str

    @property
    def row(self) -> str:
        """Its row of the table."""
        return f"| `{self.path}` | `{_short(self.default)}` | {self.meaning} |"


def read(path: pathlib.Path) -> list[Value]:
    """The values of a values.yaml, in its order.

    Raises:
        ValueError: one isn't described; names it.
    """
    text = path.read_text(encoding="utf-8")
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError(f"{path} has no values")
    return list(_below(root, text.splitlines(), yaml.safe_load(text), ()))


def table(values: collections.abc.Iterable[Value]) -> str:
    """All values as a table of Markdown."""
    head = ["| Value | Default | Meaning |", "|---|---|---|"]
    return "\n".join([*head, *(one.row for one in values)]) + "\n"


def kinds(values: collections.abc.Iterable[Value]) -> str:
    """What may be written for each value, as the YAML that the chart reads for its refusals.

    One whose table says what ``null`` means is left out: it may be null.
    """
    known = {one.path: _kind(one.default) for one in values if "`null`" not in one.meaning}
    return f"# Written by `make chart` from values.yaml.\n{yaml.safe_dump(known, sort_keys=False)}"


def _kind(default: typing.Any) -> str:
    match default:
        case bool():
            return "true or false"
        case int():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list; an empty one is []"
        case dict():
            return "a map; an empty one is {}"
        case _:
            raise ValueError(f"{default!r} is a default of no known kind")


def _below(
    node: yaml.MappingNode, lines: list[str], defaults: dict[str, typing.Any], path: tuple[str, ...]
) -> collections.abc.Iterator[Value]:
    for key, inner in node.value:
        here = (*path, key.value)
        meaning = _meaning(lines, key.start_mark.line)
        default = defaults[key.value]
        if meaning:
            yield Value(".".join(here), default, meaning)
        elif isinstance(inner, yaml.MappingNode) and inner.value:
            yield from _below(inner, lines, default, here)
        else:
            raise ValueError(f"write what {'.'.join(here)} means above it, after {MARK}")


def _meaning(lines: list[str], line: int) -> str:
    """The comment above a line, if it begins with the mark."""
    found: list[str] = []
    for above in reversed(lines[:line]):
        text = above.strip()
        if not text.startswith("#"):
            return ""
        found.insert(0, text.removeprefix(MARK).removeprefix("#").strip())
        if text.startswith(MARK):
            return " ".join(found)
    return ""


def _short(default: typing.Any) -> str:
    """A default as it would be written, on one line."""
    if isinstance(default, str) and default:
        return default
    return json.dumps(default, ensure_ascii=False)
