"""JSON from the API server, however deep somebody made it.

Flows in: the text of an answer or of a watch. Flows out: dicts that are no deeper than what we
read, for ``client``, ``streams`` and ``watching``.

Whoever may create an object may give it ``metadata.managedFields`` that are thousands of levels
deep: no CRD bounds those, and Python's parser gives up on them (CPython 3.11: at about 1,000).
One such object would hide all others of a list, and end the watch that meets it. So what is too
deep is cut out of the text before it is parsed, without recursion; nothing that we read is that
deep.
"""

import contextlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import pydantic

from leaseholder.api import lease
from leaseholder.cluster.lean import aiohttp

METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""What to ask for where data needn't cross the wire."""
MOST_PAGE: Final = 8 * 2**20
"""Bytes of a page of a list, unless it is of one object. An object may have a megabyte and a half
of whatever its writer likes, and parsed it takes several times as much."""
MOST_VALUES: Final = 2**18
"""Values of such a page, about: 500 usual DynamicLeases have half as many. The managed fields of
an object may be a hundred thousand empty maps, and eight megabytes of those take half a second to
parse, in which nobody else has a turn, and 180 MiB."""
DEEPEST: Final = 200
"""Levels that are kept; an object of ours has about 15."""
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
"""A text, whose brackets don't count, or a bracket."""
_BEFORE_VALUES: Final = b"[{,"
"""Each stands before a value, or in a text: then that counts for more than it is."""
_OPENING: Final = b"[{"
_CLOSING: Final = b"]}"


def parse(document: bytes) -> Any:
    """A document, without what is too deep in it.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return json.loads(document)
    except RecursionError:
        return json.loads(shallow(document))


def parse_object(document: bytes) -> dict[str, Any] | None:
    """A document that is an object; None: it is something else, or no JSON."""
    # The error isn't passed on, not even as context: it holds the document.
    with contextlib.suppress(ValueError):
        found = parse(document)
        if isinstance(found, dict):
            return found
    return None


def shallow(document: bytes) -> bytes:
    """The document with ``null`` in the place of each list or object that is too deep."""
    if document.count(b"{") + document.count(b"[") <= DEEPEST:
        return document
    kept, depth, start = [], 0, 0
    for token in _TOKEN.finditer(document):
        mark = document[token.start()]
        if mark in _OPENING:
            depth += 1
            if depth == DEEPEST + 1:
                kept += [document[start : token.start()], b"null"]
        elif mark in _CLOSING:
            if depth == DEEPEST + 1:
                start = token.end()
            depth -= 1
    return b"".join([*kept, document[start:]])


def outline(document: bytes) -> lease.Outline | None:
    """Metadata and status of a DynamicLease; None: they can't be read."""
    with contextlib.suppress(pydantic.ValidationError):
        return lease.Outline.model_validate_json(document)
    return None


@dataclass(slots=True)
class PageSize:
    """How many objects of a list are asked for at once: fewer where they are large."""

    most: int
    now: int = 0

    def __post_init__(self) -> None:
        self.now = self.most

    @property
    def bytes(self) -> int | None:
        """So many a page may have; None: it is read whatever it has, because it is of one."""
        return MOST_PAGE if self.now > 1 else None

    def shrink(self) -> None:
        """A page was too much: it is asked for again with fewer objects."""
        self.now = max(1, self.now // 5)

    def grow(self) -> None:
        """A page was read: the next ones may be of small objects again."""
        self.now = min(self.most, self.now * 2)


async def read(answer: aiohttp.ClientResponse, most: int | None) -> bytes | None:
    """The body of an answer; None: it is longer than ``most`` bytes, or has too many values."""
    if most is None:
        return await answer.read()
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > most:
            answer.close()
            return None
    return None if sum(map(body.count, _BEFORE_VALUES)) > MOST_VALUES else bytes(body)


async def first(pages: AsyncGenerator[dict[str, Any], None], most: int) -> list[dict[str, Any]]:
    """The first ``most`` items of a list that comes in pages; the rest isn't asked for."""
    found = list[dict[str, Any]]()
    async with contextlib.aclosing(pages):
        async for page in pages:
            found += page.get("items") or ()
            if len(found) >= most:
                break
    return found[:most]


class Feed(Protocol):
    """Who gets the objects of a collection before kopf does, and says what kopf gets."""

    async def page(self, page: dict[str, Any]) -> dict[str, Any]:
        """A page of a list."""
        ...

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        """An event of a watch."""
        ...


class _Lines:
    """A stream whose lines are documents, each of them changed on the way.

    kopf reads a watch by ``iter_chunked`` alone; aiohttp uses the rest.
    """

    def __init__(self, inner: aiohttp.StreamReader, change: Callable[[bytes], bytes]) -> None:
        self._inner, self._change = inner, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def iter_chunked(self, n: int) -> Any:
        """Whole lines; ``n`` bytes at most are read at once."""
        return self._lines(n)

    async def _lines(self, n: int) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._inner.iter_chunked(n):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield self._change(line) + b"\n"
        if rest:
            yield self._change(rest)


class Response(aiohttp.ClientResponse):
    """An answer for kopf, which parses what it gets by Python's own means."""

    feed: Feed | None = None
    """Who sees it first."""

    async def start(self, connection: Any) -> "Response":
        """Read the headers."""
        await super().start(connection)
        if "watch" in self.url.query:
            self.content = _Lines(self.content, self._line)  # type: ignore[assignment]  # stands for it
        return self

    async def fits(self, most: int | None) -> bool:
        """Read the body; False: it is too much for a page of ``most`` bytes, and was given up."""
        self._body = await read(self, most)
        return self._body is not None

    async def json(self, **_: Any) -> Any:
        """The body; an empty list of metadata has ``null`` for items, which kopf doesn't take."""
        found = parse(await self.read())
        if isinstance(found, dict) and found.get("items", ...) is None:
            found["items"] = []
        if self.feed is not None and self.status == 200 and isinstance(found, dict):
            return await self.feed.page(found)
        return found

    def _line(self, line: bytes) -> bytes:
        line = shallow(line)
        if self.feed is None or self.status != 200 or not line.strip():
            return line
        return json.dumps(self.feed.event(json.loads(line))).encode()
