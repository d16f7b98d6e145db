"""Connections to servers that may be anybody's, within ``bounds``.

TLS is ours, because of its handshake: a chain of large keys costs a fifth of a second, so it runs
in a thread of its own; OpenSSL gives up Python's lock there. It never runs a second time, since
renegotiation is switched off (``connections``). ``dialing`` decides where to connect to, and
httpcore2 speaks HTTP over what is made here.
"""

import abc
import asyncio
import concurrent.futures
import contextlib
import ipaddress
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpcore2

from leaseholder.providers.kit.network import bounds

_HANDSHAKE_READ: Final = 16 * 2**10
_HANDSHAKES: Final = concurrent.futures.ThreadPoolExecutor(4, thread_name_prefix="tls-handshake")
"""Few, so that hostile handshakes take no more of the machine than this."""


class Network:
    """Connects to addresses; one provider's way to its server."""

    def __init__(self, gate: bounds.Turnstile | None = None) -> None:
        """No connection is made yet; ``gate`` is what all providers read through."""
        self._gate = gate or bounds.Turnstile()
        self._computing = asyncio.Lock()

    async def turn(self, reads: int = 1) -> None:
        """Wait until something that was read, and counts for so many reads, may be looked at."""
        await self._gate.turn(self, reads)

    async def compute(self, step: Callable[[], None]) -> None:
        """Do a step of a handshake, in one of the threads; one provider has one at most."""
        async with self._computing:
            await asyncio.get_running_loop().run_in_executor(_HANDSHAKES, step)

    async def connect(
        self, address: str, port: int, patience: float
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to an address, within so many seconds.

        Raises:
            httpcore2.ConnectError, httpcore2.ConnectTimeout: nobody answers there.
        """
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        loop = asyncio.get_running_loop()
        made: socket.socket | None = None
        with _translated(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            async with asyncio.timeout(patience):
                try:
                    made = socket.socket(family, socket.SOCK_STREAM)
                    made.setblocking(False)
                    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    await loop.sock_connect(made, (address, port))
                except BaseException:
                    if made is not None:
                        made.close()
                    raise
        assert made is not None  # noqa: S101 - a connection, or an exception
        return Plain(made, self)


class _Metered(httpcore2.AsyncNetworkStream):
    """Counts what the server sends."""

    network: Network
    meter: bounds.Received

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes, ``READ`` at most; none at the end.

        Raises:
            bounds.Unbounded: the server has sent too much.
            httpcore2.ReadError, httpcore2.ReadTimeout: nothing came.
        """
        with _translated(httpcore2.ReadTimeout, httpcore2.ReadError):
            async with asyncio.timeout(timeout):
                data = await self._read(min(max_bytes, bounds.READ))
        reads = self.meter.text(data)
        if reads > 1:
            await self.network.turn(reads)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it.

        Raises:
            httpcore2.WriteError, httpcore2.WriteTimeout: the server doesn't take it.
        """
        self.meter.restart()
        with _translated(httpcore2.WriteTimeout, httpcore2.WriteError):
            async with asyncio.timeout(timeout):
                await self._write(buffer)

    @abc.abstractmethod
    async def _read(self, most: int) -> bytes: ...

    @abc.abstractmethod
    async def _write(self, buffer: bytes) -> None: ...


class Plain(_Metered):
    """A TCP connection."""

    def __init__(self, made: socket.socket, network: Network) -> None:
        """Takes a connected socket that doesn't block, and closes it in the end."""
        self._socket = made
        self.network = network
        self.meter = bounds.Received()

    async def aclose(self) -> None:
        """Close the connection at once; nobody is waited for."""
        self._socket.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Speak TLS from now on.

        Raises:
            bounds.Unbounded: the server sends too much.
            httpcore2.ConnectError: it isn't trusted, or doesn't speak TLS.
            httpcore2.ConnectTimeout: it doesn't come to an end.
        """
        try:
            with _translated(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                secured = Secured(self, ssl_context, server_hostname)
                async with asyncio.timeout(timeout):
                    await secured.shake_hands()
        except BaseException:
            self._socket.close()
            raise
        return secured

    def get_extra_info(self, info: str) -> Any:
        """``meter``; ``is_readable``: bytes, or the end, have come unasked."""
        if info == "meter":
            return self.meter
        if info != "is_readable":
            return None
        if self._socket.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    async def receive(self, most: int) -> bytes:
        """Bytes off the wire; none at the end."""
        data = await asyncio.get_running_loop().sock_recv(self._socket, most)
        self.meter.wire(len(data))
        return data

    async def send(self, data: bytes) -> None:
        """Bytes onto the wire."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def _read(self, most: int) -> bytes:
        data = await self.receive(most)
        await self.network.turn()
        return data

    async def _write(self, buffer: bytes) -> None:
        await self.send(buffer)


class Secured(_Metered):
    """TLS over a TCP connection."""

    def __init__(self, plain: Plain, context: ssl.SSLContext, hostname: str | None) -> None:
        """Nothing is sent yet.

        Raises:
            ValueError: no certificate can have that name.
        """
        self._plain = plain
        self.network, self.meter = plain.network, plain.meter
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)

    async def shake_hands(self) -> None:
        """Agree on keys, and check who the server is.

        Raises:
            bounds.Unbounded: the server sends too much.
            OSError: there is no agreement, or the connection is lost.
        """
        received, done = 0, False
        while not done:
            try:
                await self.network.compute(self._tls.do_handshake)
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    await self._flush()  # the alert that says why
                raise
            await self._flush()
            if not done:
                received += await self._feed(_HANDSHAKE_READ)
            if received > bounds.HANDSHAKE:
                raise bounds.Unbounded

    async def aclose(self) -> None:
        """Close the connection at once; nobody is waited for."""
        await self._plain.aclose()

    def get_extra_info(self, info: str) -> Any:
        """What the connection below says; ``ssl_object``: the keys agreed on."""
        return self._tls if info == "ssl_object" else self._plain.get_extra_info(info)

    async def _write(self, buffer: bytes) -> None:
        self._tls.write(buffer)  # into memory: all of it, at once
        await self._flush()

    async def _read(self, most: int) -> bytes:
        while True:
            await self.network.turn()
            try:
                data = self._tls.read(most)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed(bounds.READ)
                continue
            except ssl.SSLZeroReturnError:
                return b""
            self.meter.record()
            return data

    async def _feed(self, most: int) -> int:
        data = await self._plain.receive(most)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return len(data)

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._plain.send(self._outgoing.read())


@contextlib.contextmanager
def _translated(late: type[Exception], failed: type[Exception]) -> Iterator[None]:
    """What the system raises, as what httpcore2 raises; the cause stays, for who asks why."""
    try:
        yield
    except TimeoutError as error:
        raise late from error
    except (OSError, ValueError) as error:
        raise failed from error
