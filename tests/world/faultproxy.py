"""The proxy itself: forwards every request as it is, unless a rule says otherwise.

Header by header and chunk by chunk, so that watches flow. What was sent on is finished even when
its client gives up waiting: then the answer is lost but the write is done, which is what clients
have to survive. A client that sees `reset` gets a TCP reset, not an orderly end.
"""

import asyncio
import collections
import collections.abc
import contextlib
import datetime
import re
import socket
import ssl
import struct
import typing
from email import utils

import aiohttp
import multidict
import yarl
from aiohttp import web

from tests.world import faultrules

# They are between two neighbours (RFC 9110, 7.6.1); Host names the upstream.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"}
    | {"te", "trailer", "transfer-encoding", "upgrade", "host"}
)
_ADDED_BY_AIOHTTP = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_LARGEST_BODY = 64 * 1024 * 1024
_DISCARDED = 20
_DATELESS = web.ResponseKey("dateless", bool)
_Result = typing.TypeVar("_Result")
_EXPIRED = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version",
        "reason": "Expired",
        "code": 410,
    },
}


class Proxy:
    """One upstream, one book of rules, and the watches that are open."""

    def __init__(self, upstream: str, tls: ssl.SSLContext | None, book: faultrules.Book) -> None:
        self._upstream = upstream.rstrip("/")
        self._tls = tls
        self._book = book
        self._watches: list[web.Request] = []
        self._released = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None
        self._under_way: set[asyncio.Future[typing.Any]] = set()
        self.discarded: collections.deque[bytes] = collections.deque(maxlen=_DISCARDED)
        """The last answers that no client got."""

    def application(self) -> web.Application:
        """What listens for clients."""
        application = web.Application(client_max_size=_LARGEST_BODY)
        application.router.add_route("*", "/{path:.*}", self._handle)
        application.cleanup_ctx.append(self._upstream_session)
        application.on_response_prepare.append(_without_date)
        return application

    def drop_watches(self, path: str) -> int:
        """Reset the open watches whose path and query match; returns how many."""
        dropped = [watch for watch in self._watches if re.search(path, watch.raw_path)]
        for request in dropped:
            _reset(request)
        return len(dropped)

    def release(self) -> None:
        """End what hangs, by a reset."""
        self._released.set()
        self._released = asyncio.Event()

    async def settled(self) -> None:
        """Return once nothing is under way to the upstream, not even for clients that are gone."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _upstream_session(self, _: web.Application) -> collections.abc.AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls if self._tls else True)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_ADDED_BY_AIOHTTP,
        ) as self._session:
            yield
            for one in self._under_way:
                one.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path
        self._book.arrived(request.method, path)
        try:
            rule = self._book.pick(request.method, path) or faultrules.Rule()
            return await self._apply(rule, request)
        finally:
            self._book.left(path)

    async def _apply(self, rule: faultrules.Rule, request: web.Request) -> web.StreamResponse:
        match rule.action:
            case faultrules.Action.ANSWER:
                await asyncio.sleep(rule.delay)
                return self._answer(rule)
            case faultrules.Action.EXPIRE_WATCH:
                await asyncio.sleep(rule.delay)
                self._book.answered("410")
                return web.json_response(_EXPIRED)
            case faultrules.Action.HANG:
                return await self._hang(request)
            case faultrules.Action.RESET_BEFORE:
                await asyncio.sleep(rule.delay)
                return self._lose(request, "reset")
            case faultrules.Action.PASS:
                return await self._pass(rule, request)
            case (
                faultrules.Action.RESET_AFTER
                | faultrules.Action.HANG_AFTER
                | faultrules.Action.TWICE
            ):
                return await self._discard(rule, request)

    def _answer(self, rule: faultrules.Rule) -> web.Response:
        self._book.answered(str(rule.status))
        is_json = rule.body.lstrip().startswith(("{", "["))
        headers = {"Content-Type": "application/json" if is_json else "text/plain", **rule.headers}
        return web.Response(status=rule.status, body=rule.body.encode(), headers=headers)

    async def _hang(self, request: web.Request) -> web.Response:
        self._book.answered("hung")
        await self._released.wait()
        _reset(request)
        return web.Response()

    def _lose(self, request: web.Request, outcome: str) -> web.Response:
        self._book.answered(outcome)
        _reset(request)
        return web.Response()

    async def _discard(self, rule: faultrules.Rule, request: web.Request) -> web.StreamResponse:
        for _ in range(2 if rule.action is faultrules.Action.TWICE else 1):
            await self._keep(await self._commit(rule, request))
        if rule.action is faultrules.Action.HANG_AFTER:
            return await self._hang(request)
        return self._lose(request, "reset")

    async def _pass(self, rule: faultrules.Rule, request: web.Request) -> web.StreamResponse:
        answer = await self._commit(rule, request)
        if answer is None:
            return self._lose(request, "reset")
        async with answer:
            self._book.answered(str(answer.status))
            await asyncio.sleep(rule.delay_answer)
            return await self._relay(rule, request, answer)

    async def _commit(
        self, rule: faultrules.Rule, request: web.Request
    ) -> aiohttp.ClientResponse | None:
        """Forward, come what may: the client's going doesn't take the request back."""
        body = await request.read()
        sending = self._followed(self._forward(rule, request, body))
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            self._followed(self._finish(sending))
            raise

    def _followed(
        self, work: collections.abc.Coroutine[typing.Any, typing.Any, _Result]
    ) -> "asyncio.Task[_Result]":
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _finish(self, sending: "asyncio.Future[aiohttp.ClientResponse | None]") -> None:
        await self._keep(await sending)

    async def _keep(self, answer: aiohttp.ClientResponse | None) -> None:
        """Read an answer that goes to nobody."""
        if answer is None:
            return
        async with answer:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                self.discarded.append(await answer.read())

    async def _forward(
        self, rule: faultrules.Rule, request: web.Request, body: bytes
    ) -> aiohttp.ClientResponse | None:
        """The upstream's answer; None when there is none."""
        await asyncio.sleep(rule.delay)
        assert self._session is not None
        try:
            return await self._session.request(
                request.method,
                yarl.URL(self._upstream + request.raw_path, encoded=True),
                headers=_end_to_end(request.headers),
                data=body or None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError):
            return None

    async def _relay(
        self, rule: faultrules.Rule, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        headers = _end_to_end(answer.headers)
        if rule.date_ahead and "Date" in headers:
            headers["Date"] = _moved(headers["Date"], rule.date_ahead)
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        response[_DATELESS] = rule.dateless
        with self._watching(request):
            try:
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            except (aiohttp.ClientError, ConnectionError):
                _reset(request)
        return response

    @contextlib.contextmanager
    def _watching(self, request: web.Request) -> collections.abc.Iterator[None]:
        if not faultrules.is_watch(request.raw_path):
            yield
            return
        self._watches.append(request)
        self._book.watches = len(self._watches)
        try:
            yield
        finally:
            self._watches = [watch for watch in self._watches if watch is not request]
            self._book.watches = len(self._watches)


def control(proxy: Proxy, book: faultrules.Book) -> web.Application:
    """The API that changes rules while the proxy runs; `faults.Faults` speaks to it."""

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="ready")

    async def add(request: web.Request) -> web.Response:
        try:
            rule = faultrules.Rule.from_json(await request.json())
        except (TypeError, ValueError) as error:
            return web.Response(status=400, text=str(error))
        return web.json_response({"id": book.add(rule)})

    async def rules(_: web.Request) -> web.Response:
        return web.json_response({name: rule.to_json() for name, rule in book.rules().items()})

    async def remove(request: web.Request) -> web.Response:
        return web.json_response({"removed": book.remove(request.match_info["name"])})

    async def clear(_: web.Request) -> web.Response:
        book.clear()
        proxy.release()
        return web.json_response({})

    async def drop(request: web.Request) -> web.Response:
        return web.json_response({"dropped": proxy.drop_watches((await request.json())["path"])})

    async def counters(_: web.Request) -> web.Response:
        count = book.counters()
        fields = {name: getattr(count, name) for name in faultrules.Counters.__slots__}
        return web.json_response(fields)

    async def reset(_: web.Request) -> web.Response:
        book.reset_counters()
        return web.json_response({})

    application = web.Application()
    application.router.add_get("/ready", ready)
    application.router.add_post("/rules", add)
    application.router.add_get("/rules", rules)
    application.router.add_delete("/rules/{name}", remove)
    application.router.add_delete("/rules", clear)
    application.router.add_post("/drop", drop)
    application.router.add_get("/counters", counters)
    application.router.add_delete("/counters", reset)
    return application


def _end_to_end(
    headers: collections.abc.Mapping[str, str],
) -> "multidict.CIMultiDict[str]":
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return multidict.CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP | named
    )


def _moved(date: str, seconds: float) -> str:
    """A ``Date`` so many seconds later."""
    at = utils.parsedate_to_datetime(date) + datetime.timedelta(seconds=seconds)
    return utils.format_datetime(at, usegmt=True)


async def _without_date(_: web.Request, response: web.StreamResponse) -> None:
    """aiohttp adds a ``Date`` to each answer: take it off where a rule says so."""
    if response.get(_DATELESS):
        response.headers.pop("Date", None)


def _reset(request: web.Request) -> None:
    """End the connection by a TCP reset: without lingering, closing discards and resets."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
