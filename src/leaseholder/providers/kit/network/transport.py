"""httpx2's requests over httpcore2's public pool, with connections made by ``dialing``.

httpx2's own transport takes no network backend, so this takes its place. Proxies that the
environment names aren't used: they would look names up where nobody judges the addresses. The
pool has no bound of its own: how many requests are under way is ``gate``'s to say, and one that
waited here would look like a server that doesn't answer.
"""

import contextlib
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from typing import Final

import httpcore2
import httpx2

from leaseholder.providers.kit.network import bounds, dialing

_KINDS: Final = (
    (httpcore2.ConnectTimeout, httpx2.ConnectTimeout),
    (httpcore2.ReadTimeout, httpx2.ReadTimeout),
    (httpcore2.WriteTimeout, httpx2.WriteTimeout),
    (httpcore2.PoolTimeout, httpx2.PoolTimeout),
    (httpcore2.ConnectError, httpx2.ConnectError),
    (httpcore2.ReadError, httpx2.ReadError),
    (httpcore2.WriteError, httpx2.WriteError),
    (httpcore2.LocalProtocolError, httpx2.LocalProtocolError),
    (httpcore2.RemoteProtocolError, httpx2.RemoteProtocolError),
    (httpcore2.UnsupportedProtocol, httpx2.UnsupportedProtocol),
)
"""What httpcore2 raises, and what httpx2 calls it."""


class Transport(httpx2.AsyncBaseTransport):
    """A pool of connections to one provider."""

    def __init__(
        self, context: ssl.SSLContext, dialer: dialing.Dialer, *, keep_alive: float
    ) -> None:
        """No connection is made yet; one that is idle for ``keep_alive`` seconds is closed."""
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            # L14: a request that waited in the pool looked like a server that doesn't answer.
            max_connections=None,
            keepalive_expiry=keep_alive,
            network_backend=dialer,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it, and wait for the head of its answer; extension ``most``: bytes of the body.

        Raises:
            httpx2.TransportError: there is none.
            dialing.AddressRefused, bounds.Unbounded: there will be none.
        """
        url = request.url
        asked = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _translated():
            answer = await self._pool.handle_async_request(asked)
        meter = answer.extensions["network_stream"].get_extra_info("meter")
        if isinstance(meter, bounds.Received):
            meter.expect(request.extensions["most"])
        assert isinstance(answer.stream, AsyncIterable)  # noqa: S101 - of an asynchronous pool
        return httpx2.Response(
            status_code=answer.status, headers=answer.headers, stream=_Body(answer)
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        with _translated():
            await self._answer.aclose()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except tuple(theirs for theirs, _ in _KINDS) as error:
        ours = next(ours for theirs, ours in _KINDS if isinstance(error, theirs))
        raise ours("") from error  # no text: it can quote what the server sent
