"""What is known of watches: which are open, and when each was last asked for.

Flows in: kopf's lists and watches, which go by ``Attendant``. Flows out: whole objects to
``known``, their metadata to kopf, and whether each watch is open, for ``watches`` and readiness.

kopf doesn't say which watches are open. But it asks with a session of ours: a watch is open from
the answer's 200 until its collection is listed or watched again, which kopf does as soon as a watch
ends, and where none of its events or bookmarks came for 70 seconds. kopf gets the events of watches
with metadata alone, which is all that our handlers need: it would log bodies at DEBUG. Of lists it
gets nothing but their versions, and the handlers are told here: kopf would make a task and a memory
for each object, and after a start with thousands its thread kept ours from the processor.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from leaseholder.cluster import documents, known, places, refusals
from leaseholder.cluster import login as logins
from leaseholder.cluster.lean import aiohttp

_SHORTEST: Final = 1.0
_LONGEST: Final = 10.0
_ASKING: Final = aiohttp.ClientTimeout(total=30, sock_connect=10)


_log = logging.getLogger(__name__)


class Restored(Exception):
    """The API server hasn't come to where a watch is to go on: etcd was restored."""


class Renewed(Exception):
    """The API server is to be trusted by other certificates, or knows us by another one."""


@dataclass(slots=True)
class _Watch:
    asked: float
    is_open: bool = False
    trouble: str = "not asked for yet"


@dataclass(slots=True)
class Streams:
    """The watches that are to be open, by their paths. Any thread may tell, and read."""

    monotonic: Callable[[], float] = time.monotonic
    _watches: dict[str, _Watch] = field(default_factory=dict)
    _refusals: dict[str, str] = field(default_factory=dict)
    """What was logged of a watch that isn't open, until it is."""

    def expect(self, paths: Iterable[str]) -> None:
        """From now on just these are to be open; those that weren't expected are closed."""
        known, now = self._watches, self.monotonic()
        self._watches = {path: known.get(path) or _Watch(now) for path in paths}

    def asked(self, path: str) -> None:
        """A watch is asked for: it isn't open."""
        self._report(path, is_open=False, trouble="no answer yet")

    def opened(self, path: str) -> None:
        """A watch is open."""
        self._refusals.pop(path, None)
        self._report(path, is_open=True, trouble="")

    def troubled(self, path: str, trouble: str) -> None:
        """A watch isn't open, and why."""
        self._report(path, is_open=False, trouble=trouble)

    def refused(self, path: str, why: str) -> None:
        """A watch isn't open before somebody does something: a line for that, not for each try."""
        self.troubled(path, why)
        if self._refusals.get(path) != why:
            self._refusals[path] = why
            _log.warning("a watch isn't open", extra={"fields": {"path": path, "why": why}})

    def _report(self, path: str, *, is_open: bool, trouble: str) -> None:
        if path in self._watches:
            self._watches[path] = _Watch(self.monotonic(), is_open, trouble)

    def is_open(self, path: str) -> bool:
        """Whether a watch is open; one that isn't expected isn't."""
        known = self._watches.get(path)
        return known is not None and known.is_open

    @property
    def closed(self) -> dict[str, str]:
        """The watches that aren't open, with what is known of the reason."""
        return {path: one.trouble for path, one in self._watches.items() if not one.is_open}

    @property
    def silent_for(self) -> float:
        """Seconds since anything was heard of the watch that was heard of least."""
        now = self.monotonic()
        return max((now - one.asked for one in self._watches.values()), default=0.0)


@dataclass(slots=True)
class KnownFeed:
    """Keeps the objects of one collection that kopf lists and watches."""

    kept: known.Known
    within: str
    """The namespace; empty: all."""
    hear: Callable[[Mapping[str, Any], bool], Awaitable[None]]
    """Told with the metadata of what a list shows, and of what it misses (True)."""
    size: documents.PageSize | None = None
    """How many objects are asked for at once; None: as many as kopf wants."""
    _listing: known.Listing | None = None

    def list_begins(self) -> None:
        """The first page of a list is asked for."""
        self._listing = self.kept.listing(self.within)

    async def page(self, page: dict[str, Any]) -> dict[str, Any]:
        """A page of a list; without its objects, for kopf."""
        listing = self._listing or self.kept.listing(self.within)
        gone = listing.page(page)
        for item in page["items"]:
            await self.hear(known.compact(item)["metadata"], False)
        for meta in gone:
            await self.hear(meta, True)
        return {**page, "items": []}

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        """An event of a watch; that of our own write is just a version for kopf, a bookmark."""
        kind, found = event.get("type"), event.get("object")
        if kind == "ERROR" or not isinstance(found, dict):
            return event
        own = kind == "MODIFIED" and self.kept.is_own(found)
        self.kept.event(str(kind), found)
        if own:
            version = found["metadata"]["resourceVersion"]
            return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}
        return {"type": kind, "object": _slim(found)}


def _slim(body: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {key: body[key] for key in ("apiVersion", "kind") if key in body}
    return {**kinds, "metadata": known.compact(body)["metadata"]}


@dataclass(frozen=True, slots=True)
class Attendant:
    """aiohttp's middleware for each request of kopf's: it logs in, and notes what becomes of it.

    Where the API server doesn't accept the login, the request waits and is sent again: kopf would
    give up, although a 401 is often a restart behind a load balancer, or a token that rotates.
    """

    login: logins.ClusterLogin
    streams: Streams
    feeds: Mapping[str, KnownFeed]
    """By path of the collection."""
    trusted: ssl.SSLContext
    """What the session was made with."""

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request.

        Raises:
            Renewed: a session with other certificates is needed.
            Restored: a watch would wait for what isn't to come.
        """
        path, wait = request.url.path.removeprefix(self.login.base_path), _SHORTEST
        while True:
            await self.login.refresh()
            if self.login.tls is not self.trusted:
                raise Renewed
            request.headers.update(self.login.headers)
            self.streams.asked(path)
            feed, query = self.feeds.get(path), request.url.query
            if feed is not None and not query.keys() & {"watch", "continue"}:
                feed.list_begins()
            size = _sized(request, feed)
            try:
                refused = await self._refused(request)
                answer = refused or await handler(request)
            except (aiohttp.ClientError, OSError) as error:
                self.login.expire()
                self.streams.troubled(path, f"no connection ({type(error).__name__})")
                raise
            if answer.status == 200 and "watch" in query:
                self.streams.opened(path)
            elif answer.status == 403 and feed is not None:
                verb = "watch" if "watch" in query and refused is None else "list"
                self.streams.refused(path, await _refusal(verb, path, answer))
            elif answer.status != 200:
                self.streams.troubled(path, f"the API server answers {answer.status}")
            if isinstance(answer, documents.Response):
                answer.feed = feed
                if size is not None and answer.status == 200:
                    if not await answer.fits(size.bytes):
                        size.shrink()
                        continue
                    size.grow()
            if answer.status != 401:
                return answer
            self.login.expire()
            answer.close()
            await asyncio.sleep(wait)
            wait = min(_LONGEST, wait * 2)

    async def _refused(self, request: aiohttp.ClientRequest) -> aiohttp.ClientResponse | None:
        """Ask where the API server is before a watch goes on from a version; None: it goes on.

        After a restore of etcd the API server would take the watch and be silent until it gets
        there, which may be days.

        Raises:
            Restored: it isn't there yet.
        """
        since = request.url.query.get("resourceVersion")
        if "watch" not in request.url.query or since is None:
            return None
        answer = await request.session.get(
            request.url.with_query(limit="1"),
            headers={**self.login.headers, "Accept": documents.METADATA_LIST},
            timeout=_ASKING,
            middlewares=(),
        )
        if answer.status != 200:
            return answer
        found = await answer.json()
        if known.is_older(found, since):
            raise Restored
        return None


async def _refusal(verb: str, path: str, answer: aiohttp.ClientResponse) -> str:
    """Which right is missing; kopf can read the answer all the same."""
    status = documents.parse_object(await answer.read()) or {}
    place = places.collection(path)
    return refusals.translate(verb, place, code=answer.status, status=status).sentence


def _sized(request: aiohttp.ClientRequest, feed: KnownFeed | None) -> documents.PageSize | None:
    """How many objects a page of a list is asked for; None: it is no list in pages."""
    query = request.url.query
    if feed is None or "watch" in query or "limit" not in query:
        return None
    feed.size = feed.size or documents.PageSize(int(query["limit"]))
    request.url = request.url.update_query(limit=str(feed.size.now))
    return feed.size


def session(
    login: logins.ClusterLogin, streams: Streams, feeds: Mapping[str, KnownFeed]
) -> aiohttp.ClientSession:
    """A session for kopf."""
    attendant = Attendant(login, streams, feeds, login.tls)
    return login.session(attendant, response_class=documents.Response)
