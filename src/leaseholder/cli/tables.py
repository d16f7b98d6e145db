"""Tables and lists on the terminal: colours as it allows, and no escape of somebody else's."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, TextIO

import click
import yaml

from leaseholder.cli.exits import printable

if TYPE_CHECKING:  # programs, who want values, wait for no import of it
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_UNBOUNDED: Final = 100_000
"""Columns where no terminal cuts them: what a script reads is whole."""
_LEAST: Final = 30
"""Columns that MESSAGE has, so that it is folded beside the others."""
_GAP: Final = 2
_FOLDED: Final = "MESSAGE"
_BLANKS: Final = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$")
"""At the end of a line, before what ends a colour."""
_COLOURS: Final = {
    "True": "green",
    "False": "red",
    "Unknown": "yellow",
    "Warning": "yellow",
    "ok": "green",
    "warn": "yellow",
    "FAIL": "red",
}


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, as kubectl does: no cell is cut, whatever the terminal's width.

    Where there is room, MESSAGE is folded beside the others; else the terminal wraps each line.
    """
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, no_wrap=column != _FOLDED, overflow="fold")
    cells = [[_text(cell) for cell in row] for row in rows]
    for row in cells:
        made.add_row(*row)
    lengths = zip(columns, *([one.cell_len for one in row] for row in cells), strict=True)
    others = (max(len(head), *below) + _GAP for head, *below in lengths if head != _FOLDED)
    room = console(sys.stdout).width - sum(others)
    _print(made, folded=sys.stdout.isatty() and room >= _LEAST)


def details(pairs: Iterable[tuple[str, str]]) -> None:
    """Print labels and what stands beside them."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    for label, text in pairs:
        made.add_row(Text(label), Text(printable(text)))
    _print(made, folded=sys.stdout.isatty())


def lines(texts: Iterable[str]) -> None:
    """Print lines as they are."""
    for text in texts:
        click.echo(printable(text))


def values(known: object, output: str) -> None:
    """Print plain values for programs: ``output`` is ``json`` or ``yaml``."""
    if output == "json":
        click.echo(json.dumps(known, indent=2))
    else:
        click.echo(yaml.safe_dump(known, sort_keys=False, allow_unicode=False), nl=False)


def console(stream: TextIO, *, folded: bool = True) -> "Console":
    """A console that folds at the terminal's edge, and nothing where there is none."""
    from rich.console import Console

    width = None if folded and stream.isatty() else _UNBOUNDED
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def _print(made: "Table", *, folded: bool) -> None:
    """Print to stdout; where nothing is folded, each row is one line, without blanks at its end."""
    out = console(sys.stdout, folded=folded)
    if folded:
        out.print(made)
        return
    with out.capture() as captured:
        out.print(made)
    for line in captured.get().splitlines():
        click.echo(_BLANKS.sub(r"\1", line))


def _text(cell: str) -> "Text":
    from rich.text import Text

    return Text(printable(cell), style=_COLOURS.get(cell, ""))
