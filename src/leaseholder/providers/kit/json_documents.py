"""JSON from servers that may be anybody's: counted before anything is built of it.

Three bytes of JSON, ``{},``, can become a kilobyte in memory, and a parser that is asked for a
whole document holds Python's lock until it is done. So a document of which one thing is wanted may
have only so many values, and a long list is read row by row, with turns for the loop in between.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, Final

import ijson

CONTAINERS: Final = 1000
"""Objects and arrays in a document that is read at once."""
MEMBERS: Final = 10_000
"""Commas in it."""
ROWS: Final = 40_000
"""Rows of a list."""
ROW_EVENTS: Final = 1000
"""Names, values, beginnings and ends in one row."""
DEPTH: Final = 32
"""How deep a list and its rows may be nested."""
TEXT: Final = 64 * 2**10
"""Bytes of one text in it, or of blanks: longer ones are looked at over and over."""
_PART: Final = 2048
"""Bytes that are parsed in one turn of the loop: about two milliseconds."""


class Malformed(Exception):
    """Not the list that was asked for; carries no text of anybody's."""


def is_modest(content: bytes | bytearray) -> bool:
    """Whether a document can be read at once; signs within texts count too."""
    return (
        content.count(b"{") + content.count(b"[") <= CONTAINERS and content.count(b",") <= MEMBERS
    )


async def rows(content: bytes | bytearray, *, under: str | None = None) -> AsyncIterator[Any]:
    """Each object of a list of objects, one after the other.

    Args:
        content: the document: the list itself, or an object that holds it.
        under: the list's name in that object.

    Raises:
        Malformed: there is no such list, or too much of anything.
    """
    async for row in rows_in(_cut(content), under=under):
        yield row


async def rows_in(parts: AsyncIterable[bytes], *, under: str | None = None) -> AsyncIterator[Any]:
    """Each object of a list of objects that comes in parts, as soon as it is there.

    Raises:
        Malformed: there is no such list, or too much of anything.
    """
    reading = _RowReader(under)
    async for events in _events(parts):
        for event, value in events:
            if reading.takes(event, value):
                yield reading.row
    if not reading.found:
        raise Malformed


async def _cut(content: bytes | bytearray) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _PART):
        yield bytes(content[start : start + _PART])


async def _events(parts: AsyncIterable[bytes]) -> AsyncIterator[list[tuple[str, Any]]]:
    """What the document's parts bring, one part after the other, each in a turn of the loop."""
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, use_float=True)
    silent = 0
    async for whole in parts:
        for start in range(0, len(whole), _PART):
            part = whole[start : start + _PART]
            _parse(lambda sent: parser.send(sent), part)
            silent = 0 if events else silent + len(part)
            if silent > TEXT:
                raise Malformed
            yield events
            events.clear()
            await asyncio.sleep(0)
    _parse(lambda _: parser.close(), b"")
    yield events


def _parse(step: Callable[[bytes], object], part: bytes) -> None:
    """Do a step; what the parser raises quotes the document, so nothing of it gets on."""
    try:
        step(part)
        return
    except (ijson.JSONError, ValueError, OverflowError, RecursionError, StopIteration):
        pass
    raise Malformed


class _RowReader:
    """Where in the document we are."""

    def __init__(self, under: str | None) -> None:
        self._under = under
        self._level = 0 if under is None else 1
        """How deep what holds the list is."""
        self._depth = 0
        self._name: str | None = None
        self._within = False
        self._builder: Any = None
        self._events = self._rows = 0
        self.found = False
        self.row: dict[str, Any] = {}

    def takes(self, event: str, value: Any) -> bool:
        """Whether ``row`` is a whole row after this event.

        Raises:
            Malformed: there is too much of something, or a row isn't an object.
        """
        if event.startswith("end"):
            self._depth -= 1
        at_row = self._within and self._depth == self._level + 1
        if self._builder is not None:
            self._build(event, value)
        elif at_row and event == "start_map":
            self._begin_row(event, value)
        elif at_row and not event.startswith("end"):
            raise Malformed
        elif event == "start_array" and self._depth == self._level and self._is_wanted():
            self.found = self._within = True
        elif event == "map_key" and self._depth == self._level:
            self._name = value
        elif event == "end_array" and self._depth == self._level:
            self._within = False
        if event.startswith("start"):
            self._depth += 1
            if self._depth > DEPTH:
                raise Malformed
        return at_row and event == "end_map"

    def _is_wanted(self) -> bool:
        return not self.found and (self._under is None or self._name == self._under)

    def _begin_row(self, event: str, value: Any) -> None:
        self._rows += 1
        if self._rows > ROWS:
            raise Malformed
        self._builder, self._events = ijson.ObjectBuilder(), 0
        self._builder.event(event, value)

    def _build(self, event: str, value: Any) -> None:
        self._events += 1
        if self._events > ROW_EVENTS:
            raise Malformed
        self._builder.event(event, value)
        if event == "end_map" and self._depth == self._level + 1:
            self.row, self._builder = self._builder.value, None
