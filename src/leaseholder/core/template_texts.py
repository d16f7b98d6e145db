"""One text of a template, read: Jinja2's parser, an allow-list, and a flat list of our own.

What is allowed of the syntax tree (names, constant texts, filters) is taken over into parts,
constant text and places to fill. Jinja2 has no further part in it: nothing is compiled or
called, so that there are no loops, calls or arithmetic to bound.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import jinja2
from jinja2 import nodes
from jinja2.parser import Parser

from leaseholder.core import filters

_USAGES: Final = ", ".join(known.usage for known in filters.FILTERS.values())
_ONLY: Final = f"write only {{{{ NAME }}}} and {{{{ NAME | filter }}}}, with the filters {_USAGES}"
_MOST_WORD: Final = 60
_FOR_TEXT: Final = 60
_FOR_OBJECT: Final = 80
"""Bytes that an empty text, and an object of a few fields, take."""
_WORDS: Final[Mapping[type[nodes.Node], str]] = {
    nodes.Call: "a call",
    nodes.For: "a loop",
    nodes.If: "a condition",
    nodes.CondExpr: "a condition",
    nodes.Test: "a test",
    nodes.Compare: "a comparison",
    nodes.Getattr: "an attribute (or a name with a dot)",
    nodes.Getitem: "an index",
    nodes.Sub: "arithmetic (or a name with a hyphen)",
    nodes.BinExpr: "arithmetic",
    nodes.UnaryExpr: "arithmetic",
    nodes.Concat: "joining with ~",
    nodes.Tuple: "a list",
    nodes.List: "a list",
    nodes.Dict: "a mapping",
    nodes.Const: "a constant that isn't a text in quotes",
}
"""What to call that which isn't allowed; the first that fits."""
_ENVIRONMENT: Final = jinja2.Environment(
    autoescape=False,  # noqa: S701 - a Secret is no HTML
    keep_trailing_newline=True,
)
"""Only for its lexer and parser."""


@dataclass(frozen=True, slots=True)
class Step:
    """One filter of a place, with its constant arguments."""

    name: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        written = ", ".join(map(repr, self.arguments))
        return f"{self.name}({written})" if written else self.name


@dataclass(frozen=True, slots=True)
class Blank:
    """A place to fill: with a name's value or a constant, and what the filters make of it."""

    line: int
    name: str | None
    """The name whose value is asked for; None: ``constant`` stands there."""
    constant: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        head = repr(self.constant) if self.name is None else self.name
        return "{{ " + " | ".join([head, *map(str, self.steps)]) + " }}"


Parts = tuple[str | Blank, ...]
"""Constant text and places to fill, in their order."""


class Unread(Exception):
    """A text isn't one that we take; ``why`` says where, and what to write instead."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def read(text: str) -> Parts:
    """The parts of a template's text.

    Raises:
        Unread: it can't be read, or holds what isn't allowed.
    """
    return tuple(_parts(_tree(text)))


def tokens(text: str, most: int) -> int:
    """How many tokens of Jinja2 a text has, up to its first mistake; no more than ``most`` + 1.

    Each costs the parser some ten microseconds, in which nobody else has a turn: a text of 64 KiB
    that is all braces and bars would take half a second, at each edit.
    """
    found = 0
    with contextlib.suppress(jinja2.TemplateSyntaxError):
        for _ in _ENVIRONMENT.lexer.tokeniter(text, None):
            found += 1
            if found > most:
                break
    return found


def size(parts: Parts) -> int:
    """About how many bytes of memory the parts take."""
    return sum(map(_size, parts))


def _size(part: str | Blank) -> int:
    if isinstance(part, str):
        return _FOR_TEXT + len(part)
    arguments = sum(_FOR_TEXT + len(one) for step in part.steps for one in step.arguments)
    texts = 2 * _FOR_TEXT + len(part.name or "") + len(part.constant)
    return _FOR_OBJECT * (2 + 2 * len(part.steps)) + texts + arguments


def is_text(text: str) -> bool:
    """Whether a text can be written in UTF-8: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def short(text: str, most: int = _MOST_WORD) -> str:
    """``text``, cut to ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _tree(text: str) -> nodes.Template:
    """The syntax tree of Jinja2.

    Its parser raises more than it says: RecursionError for deep nesting, ValueError and
    SyntaxError for odd numbers. What it can't read, for whatever reason, isn't a template.
    """
    why = "it can't be read"
    try:
        return Parser(_ENVIRONMENT, text).parse()
    except jinja2.TemplateSyntaxError as error:
        why = f"line {error.lineno}: {short((error.message or '').rstrip('.'), 100)}"
    except Exception:  # noqa: S110 - told below
        pass
    raise Unread(f"{why}: {_ONLY}")


def _parts(tree: nodes.Template) -> Iterator[str | Blank]:
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            raise _forbidden(output)
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                yield _encodable(node.data, node.lineno)
            else:
                yield _place(node)


def _place(node: nodes.Expr) -> Blank:
    line, steps = node.lineno, list[Step]()
    while isinstance(node, nodes.Filter) and node.node is not None:
        steps.insert(0, _step(node))
        node = node.node
    if isinstance(node, nodes.Name):
        return Blank(line, node.name, "", tuple(steps))
    return Blank(line, None, _constant(node), tuple(steps))


def _step(node: nodes.Filter) -> Step:
    known = filters.FILTERS.get(node.name)
    if known is None:
        name = short(node.name)
        raise Unread(f"line {node.lineno}: there is no filter {name}: write one of {_USAGES}")
    if node.kwargs or node.dyn_args or node.dyn_kwargs or len(node.args) != known.arguments:
        raise Unread(f"line {node.lineno}: write the filter as {known.usage}")
    return Step(node.name, tuple(_constant(argument) for argument in node.args))


def _constant(node: nodes.Node) -> str:
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        return _encodable(node.value, node.lineno)
    raise _forbidden(node)


def _encodable(text: str, line: int) -> str:
    if not is_text(text):
        raise Unread(f"line {line}: a lone surrogate is no character: leave it out")
    return text


def _forbidden(node: nodes.Node) -> Unread:
    fitting = (word for kind, word in _WORDS.items() if isinstance(node, kind))
    word = next(fitting, f"{type(node).__name__.lower()} of Jinja")
    return Unread(f"line {node.lineno}: {word} isn't taken: {_ONLY}")
