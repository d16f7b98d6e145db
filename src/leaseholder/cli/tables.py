"""Tables and lists on the terminal: colours as it allows, and no escape of somebody else's."""

import json
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
    """Print a table, as kubectl does."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, no_wrap=column != "MESSAGE", overflow="fold")
    for row in rows:
        made.add_row(*(_text(cell) for cell in row))
    _print(made)


def details(pairs: Iterable[tuple[str, str]]) -> None:
    """Print labels and what stands beside them."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    for label, text in pairs:
        made.add_row(Text(label), Text(printable(text)))
    _print(made)


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


def console(stream: TextIO) -> "Console":
    """A console that cuts and wraps at the terminal's edge, and nothing where there is none."""
    from rich.console import Console

    width = None if stream.isatty() else _UNBOUNDED
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def _print(made: "Table") -> None:
    """Print to stdout; without blanks at the ends of lines where a program reads them."""
    out = console(sys.stdout)
    if out.is_terminal:
        out.print(made)
        return
    with out.capture() as captured:
        out.print(made)
    lines = captured.get().splitlines()
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))


def _text(cell: str) -> "Text":
    from rich.text import Text

    return Text(printable(cell), style=_COLOURS.get(cell, ""))
