"""One connection to the API server, dicts in and out.

Flows in: a place (``places``) and a body. Flows out: the answer's body, or one of
``leaseholder.errors`` on the spot (``refusals``). All modules here send by it; ``documents`` reads
what comes back.

Of ``kubernetes.aio`` only the configuration is used (``login``). Its client's models and its
exceptions, whose text holds the answer's body, aren't. Certificates go with each request: new ones
are used for the next connection, and what is under way on an old one ends as it would.
"""

import contextlib
import json
import pathlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self

import yarl

from leaseholder import errors, server_clock
from leaseholder.api.conditions import Reason
from leaseholder.cluster import documents, places, refusals, streams
from leaseholder.cluster import login as logins
from leaseholder.cluster.lean import aiohttp
from leaseholder.secrecy import Hidden

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"

Body = dict[str, Any]
Observe = Callable[[str, str], None]
"""Called with verb and resource of each request."""

_VERBS: Final = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
_TIMEOUT: Final = 30.0
PAGE: Final = 50
"""Objects in a page of a list: metadata alone can take a quarter of a MiB each."""
_LONGEST_LINE: Final = 16 * 2**20
"""Bytes of one event of a watch, whatever JSON makes of three MiB."""
_CONNECT_TIMEOUT: Final = 10.0
_SLACK: Final = 5.0
_SILENT: Final = 90.0
"""Seconds after which a watch from which nothing came is given up: the API server sends a bookmark
each minute, so nobody is at the other end any more."""
_NO_JSON: Final = "its answer is no JSON"
_BROKEN: Final = (TimeoutError, aiohttp.ClientError, OSError)


class _TooLong(Exception):
    """An answer has more bytes, or values, than are wanted at once."""


class Api:
    """The API server."""

    def __init__(
        self,
        login: logins.ClusterLogin,
        observe: Observe,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._login = login
        self._session = login.session()
        self._observe = observe
        self.clock = server_clock.ServerClock(monotonic, lambda: datetime.now(UTC))
        """The API server's clock, as its answers tell it."""
        self.may_act: Callable[[], bool] = lambda: True
        """Whether this process may read and write now; another one leads, else."""
        self.streams = streams.Streams()
        """Which of our own watches are open."""

    @classmethod
    async def connect(
        cls,
        kubeconfig: pathlib.Path | None = None,
        *,
        context: str = "",
        observe: Observe | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Connect by ``kubeconfig``, else by what kubectl would read, else as the pod that we are.

        Raises:
            ClusterUnavailable: there is no usable configuration.
        """
        login = await logins.ClusterLogin.read(kubeconfig, context=context, monotonic=monotonic)
        return cls(login, observe or _unobserved, monotonic)

    async def request(
        self,
        method: str,
        place: places.Place,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float = _TIMEOUT,
        most: int | None = None,
    ) -> Body:
        """Send one request and give the answer's body; POST and PATCH are never sent twice.

        aiohttp sends GET and DELETE again on a fresh connection when a kept one turns out dead.

        Raises:
            NotFound: 404.
            Conflict: 409.
            Refused: any other 4xx.
            ClusterUnavailable: 401, 429, 5xx or no usable answer; nothing is sent by who may not.
        """
        if not self.may_act():
            raise errors.ClusterUnavailable(Reason.CLUSTER, "this process doesn't lead for now")
        verb = _VERBS.get(method) or ("get" if place.name else "list")
        headers = {"Accept": accept, "Content-Type": content_type}
        answer, found = await self._exchange(
            method, place, verb, query, headers, body, timeout, most
        )
        self._check(verb, place, answer, found)
        if found is None:
            raise refusals.unreachable(verb, place, _NO_JSON)
        return found

    async def answered(
        self,
        method: str,
        place: places.Place,
        *,
        query: Mapping[str, str],
        body: Body,
        content_type: str,
    ) -> tuple[int, Body]:
        """Code and body of whatever the API server answers, refusals too.

        For users who are shown what it says of their own manifests. The operator passes on no text
        of an answer.

        Raises:
            ClusterUnavailable: no usable answer.
        """
        verb = _VERBS[method]
        headers = {"Accept": JSON, "Content-Type": content_type}
        answer, found = await self._exchange(method, place, verb, query, headers, body, _TIMEOUT)
        if found is None:
            raise refusals.unreachable(verb, place, _NO_JSON)
        return answer.status, found

    async def pages(
        self, place: places.Place, *, query: Mapping[str, str], accept: str = JSON
    ) -> AsyncGenerator[Body, None]:
        """A list in pages of ``PAGE`` objects or fewer, so that no answer is long.

        Raises:
            ClusterError: as ``request``; Refused (410) where it took too long from page to page.
        """
        following, size = "", documents.PageSize(PAGE)
        while True:
            there = {"continue": following} if following else {}
            asked = {**query, "limit": str(size.now), **there}
            try:
                page = await self.request("GET", place, query=asked, accept=accept, most=size.bytes)
            except _TooLong:
                size.shrink()
                continue
            size.grow()
            yield page
            following = (page.get("metadata") or {}).get("continue") or ""
            if not following:
                return

    async def watch(
        self,
        place: places.Place,
        *,
        query: Mapping[str, str],
        accept: str,
        seconds: int,
        silent: float = _SILENT,
    ) -> AsyncGenerator[Body, None]:
        """The events of a watch until the API server ends it after ``seconds``.

        One from which neither event nor bookmark came for ``silent`` seconds ends as well: who
        watches on from the last version misses nothing.
        """
        headers = {"Accept": accept, "Content-Type": JSON}
        asked = {**query, "watch": "true", "timeoutSeconds": str(seconds)}
        limit = aiohttp.ClientTimeout(
            total=seconds + _SLACK, sock_connect=_CONNECT_TIMEOUT, sock_read=silent
        )
        what, is_open = "", False
        self.streams.asked(place.path)
        try:
            answer = await self._send("GET", place, "watch", asked, headers, None, limit)
            with contextlib.closing(answer):
                if answer.status != 200:
                    self._check("watch", place, answer, documents.parse_object(await answer.read()))
                self.streams.opened(place.path)
                is_open = True
                async for line in _lines(answer.content):
                    event = documents.parse_object(line)
                    if event is None:
                        what = _NO_JSON
                        break
                    yield event
        except _BROKEN as error:
            hung = is_open and isinstance(error, aiohttp.SocketTimeoutError)
            what = "" if hung else _broken(error)
        finally:
            self.streams.troubled(place.path, "it ended")
        if what:
            raise refusals.unreachable("watch", place, what)

    @property
    def namespace(self) -> str:
        """The namespace that kubectl would work in."""
        return self._login.namespace

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Host and port of the API server; None where its address names none."""
        return self._login.endpoint

    def bearer(self) -> Hidden | None:
        """The operator's own token, where it logs in with one."""
        return self._login.bearer()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _send(
        self,
        method: str,
        place: places.Place,
        verb: str,
        query: Mapping[str, str] | None,
        headers: dict[str, str],
        body: Body | None,
        limit: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        self._observe(verb, place.label)
        login = self._login
        await login.refresh()
        try:
            answer = await self._session.request(
                method,
                yarl.URL(login.server + place.path, encoded=True),
                params=query,
                headers={**headers, **login.headers},
                data=None if body is None else json.dumps(body),
                timeout=limit,
                ssl=login.tls,
                server_hostname=login.tls_server_name,
                allow_redirects=False,
            )
        except _BROKEN:
            login.expire()
            raise
        self.clock.observe(answer.headers.get("Date"))
        return answer

    async def _exchange(
        self,
        method: str,
        place: places.Place,
        verb: str,
        query: Mapping[str, str] | None,
        headers: dict[str, str],
        body: Body | None,
        timeout: float,
        most: int | None = None,
    ) -> tuple[aiohttp.ClientResponse, Body | None]:
        """An answer and its body; None where that is no JSON.

        Raises:
            _TooLong: it is too much for a page of ``most`` bytes.
        """
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=_CONNECT_TIMEOUT)
        try:
            answer = await self._send(method, place, verb, query, headers, body, limit)
            whole = await documents.read(answer, most)
        except _BROKEN as error:
            what = _broken(error)
        else:
            if whole is None:
                raise _TooLong
            return answer, documents.parse_object(whole)
        raise refusals.unreachable(verb, place, what)

    def _check(
        self, verb: str, place: places.Place, answer: aiohttp.ClientResponse, found: Body | None
    ) -> None:
        code = answer.status
        if 200 <= code < 300:
            return
        if code == 401:
            self._login.expire()
        raise refusals.translate(
            verb,
            place,
            code=code,
            status=found or {},
            retry_after=refusals.seconds(answer.headers.get("Retry-After")),
        )


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """The lines of a stream; aiohttp's own are too short for an object with long annotations.

    Raises:
        aiohttp.ClientPayloadError: one is longer than any object can be.
    """
    rest = bytearray()
    async for piece in content.iter_any():
        *whole, last = piece.split(b"\n")
        for line in whole:
            yield bytes(rest + line)
            rest.clear()
        rest += last
        if len(rest) > _LONGEST_LINE:
            raise aiohttp.ClientPayloadError
    if rest:
        yield bytes(rest)


def _broken(error: Exception) -> str:
    """What to say of a broken connection; the error itself, which may hold headers, is dropped."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no connection, because its name can't be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "no connection, because its certificate isn't trusted"
    return f"no connection ({type(error).__name__})"


def _unobserved(verb: str, resource: str) -> None:
    """Count nothing."""
