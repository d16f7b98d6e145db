"""One provider's connections: whom they trust, and how much of an answer they take.

Servers may be a tenant's own: they get no redirect followed, no cookie back, and no more room than
an honest answer needs. So httpx2's transport is used without httpx2's client, which would read
cookies, unpack what nobody asked to be packed, and log urls.
"""

import asyncio
import contextlib
import functools
import hashlib
import logging
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from typing import Any, Final

import httpx2

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.credentials import Credentialing
from leaseholder.providers.kit import answer_memory, json_documents
from leaseholder.providers.kit.network import dialing, transport
from leaseholder.providers.kit.requests import Take

_KEEP_ALIVE: Final = 4.0
"""Shorter than servers' usual 5 s: an issue on a connection that the server is just closing would
be an unclear one."""
_IDLE: Final = 5.0
"""Seconds after which an unused pool goes: it holds memory, and no connection any more."""
_CONTEXTS: Final = 8
"""What trusts a bundle is kept for so many of them: up to 3 MiB each, 40 ms to make."""
_MOST_CERTIFICATES: Final = 256
"""Of a bundle: all public CAs are some 150."""
_END: Final = "-----END CERTIFICATE-----"
_CIPHERS: Final = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
"""Python's own list, without those where the server says how large a number we raise to what."""

Pool = httpx2.AsyncBaseTransport
"""Connections to one server, all of which trust the same."""


class Oversized(Exception):
    """An answer is too large, or compressed, which could make it too large when unpacked."""


class Late(Exception):
    """It was too late for a request when a connection was there."""


class Writing:
    """Told by httpcore2 what it does with a request."""

    def __init__(self, is_late: Callable[[], bool]) -> None:
        """``is_late`` is asked once more after connecting, right before the socket write."""
        self._is_late = is_late
        self.began = False
        """The server may have seen something of it."""

    async def __call__(self, event: str, _: Mapping[str, Any]) -> None:
        """Take note of an event.

        Raises:
            Late: it isn't to be written any more.
        """
        if not event.endswith("send_request_headers.started"):
            return
        if self._is_late():
            raise Late
        self.began = True


async def answer(
    pool: Pool,
    request: httpx2.Request,
    share: answer_memory.Share,
    heard: Callable[[httpx2.Headers], None],
    take: Take | None = None,
) -> tuple[httpx2.Response, bytearray, bool]:
    """The answer to a request, and its content, for which there is room.

    ``heard`` is told the headers as soon as they are there.
    With ``take`` the rows of a 200 are read as they come, and there is no content: room is
    taken for what is kept of them. Then the last value says whether it was a list.

    Raises:
        Oversized, bounds.Unbounded: it goes beyond all bounds.
        answer_memory.NoRoom: other answers take all the memory.
        httpx2.HTTPError, dialing.AddressRefused: there is none.
    """
    content, listed = bytearray(), False
    response = await pool.handle_async_request(request)
    try:
        heard(response.headers)
        # Unasked: a kilobyte could be unpacked to a gigabyte.
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Oversized
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101
        parts = _bounded(response.stream, request.extensions["most"])
        if take is not None and response.status_code == httpx2.codes.OK:
            listed = await _taken(parts, take, share)
        else:
            async for part in parts:
                share.hold(len(content) + len(part))
                content += part
    finally:
        await response.aclose()
    return response, content, listed


async def _bounded(parts: AsyncIterable[bytes], most: int) -> AsyncIterator[bytes]:
    """The parts of an answer, as long as they are ``most`` bytes together."""
    size = 0
    async for part in parts:
        size += len(part)
        if size > most:
            raise Oversized
        yield part


async def _taken(parts: AsyncIterator[bytes], take: Take, share: answer_memory.Share) -> bool:
    """Whether an answer is a list, each row of which was taken."""
    kept = 0
    try:
        async for row in json_documents.rows_in(parts):
            kept += take(row)
            share.hold(kept)
    except json_documents.Malformed:
        return False
    return True


class Pools:
    """The pool that trusts the CA bundle as it is now, and older ones while they are in use."""

    def __init__(
        self,
        credentialing: Credentialing,
        dialer: dialing.Dialer,
        network: httpx2.AsyncBaseTransport | None = None,
        *,
        idle: float = _IDLE,
    ) -> None:
        """No connection is made yet.

        Args:
            credentialing: where the CA certificates to trust come from.
            dialer: makes the connections.
            network: what to send with instead.
            idle: seconds after which a pool goes that nobody uses.
        """
        _hush()
        self._credentialing = credentialing
        self._dialer = dialer
        self._network = network
        self._building = asyncio.Lock()
        self._pool: Pool | None = None
        self._bundle = b""
        """Hash of the bundle that was read last. The text may have a megabyte, and whoever may
        write LeaseProviders may have a thousand refer to it."""
        self._users: dict[Pool, int] = {}
        self._patience = idle
        self._idle: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def current(self) -> AsyncIterator[Pool]:
        """The pool, kept open for so long.

        Raises:
            Unavailable: the CA bundle can't be read.
        """
        async with self._building:
            if self._pool is None:
                self._pool = await self._made(await self._credentialing.ca_bundle())
            pool = self._pool
        self._users[pool] = self._users.get(pool, 0) + 1
        try:
            yield pool
        finally:
            self._users[pool] -= 1
            if not self._users[pool]:
                del self._users[pool]
                if pool is not self._pool:
                    await pool.aclose()
                else:
                    self._wait_for_users(pool)

    def _wait_for_users(self, pool: Pool) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(self._patience, self._let_go, pool)

    def _let_go(self, pool: Pool) -> None:
        """Forget a pool that nobody has used for a while; the next request makes another."""
        if pool is not self._pool or pool in self._users:
            return
        self._pool = None
        task = asyncio.get_running_loop().create_task(pool.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def is_replaced(self, used: Pool) -> bool:
        """Whether there is another pool to try, because the CA bundle has changed.

        Raises:
            Unavailable: the CA bundle can't be read.
        """
        async with self._building:
            if self._pool is not used:
                return True
            bundle = await self._credentialing.ca_bundle()
            if _digest(bundle) == self._bundle:
                return False
            self._pool = await self._made(bundle)
            if used not in self._users:
                await used.aclose()
            return True

    async def aclose(self) -> None:
        """Close all connections."""
        if self._idle is not None:
            self._idle.cancel()
        pool, self._pool = self._pool, None
        for one in {*self._users, *([pool] if pool is not None else [])}:
            await one.aclose()

    async def _made(self, bundle: str | None) -> Pool:
        self._bundle = _digest(bundle)
        context = await asyncio.to_thread(_tls, bundle)
        return self._network or transport.Transport(context, self._dialer, keep_alive=_KEEP_ALIVE)


def _digest(bundle: str | None) -> bytes:
    return hashlib.sha256((bundle or "").encode(errors="surrogatepass")).digest()


@functools.lru_cache(_CONTEXTS)
def _tls(bundle: str | None) -> ssl.SSLContext:
    """What trusts the system's CAs and those of the bundle; shared, because it takes memory."""
    context = ssl.create_default_context()
    # A server could ask for the next handshake in the middle of an answer, in the loop's thread.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    if bundle is None or _trusts(context, bundle):
        return context
    sentence = "the CA bundle holds no readable certificate: write PEM certificates"
    raise errors.Unavailable(Reason.UNTRUSTED, sentence, sent=False)


def _trusts(context: ssl.SSLContext, bundle: str) -> bool:
    """Make it trust a bundle, one certificate at a time: OpenSSL keeps Python's lock for each."""
    *certificates, _ = bundle.split(_END)
    if len(certificates) > _MOST_CERTIFICATES:
        sentence = (
            f"the CA bundle has more than {_MOST_CERTIFICATES} certificates: write only those of "
            "the provider's CA"
        )
        raise errors.Unavailable(Reason.UNTRUSTED, sentence, sent=False)
    try:
        for one in certificates:
            context.load_verify_locations(cadata=f"{one}{_END}\n")
    except (ssl.SSLError, ValueError):
        return False
    return bool(certificates)


def _hush() -> None:
    """Keep httpx2's and httpcore2's own logs out of ours: they show URLs, headers, exceptions."""
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
