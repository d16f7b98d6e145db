"""Connections on a real socket: how much is read at once, and TLS of servers that mean no good."""

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import httpcore2
import pytest

from leaseholder import errors
from leaseholder.api import provider
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import client, requests
from leaseholder.providers.kit.network import bounds, dialing, sockets
from tests.unit.providers import support
from tests.world import certificates

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextlib.asynccontextmanager
async def served(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that talks so; yields its port."""
    tasks = set()

    async def talked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await talk(reader, writer)
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(talked(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> certificates.ServerFiles:
    return certificates.write_server(tmp_path_factory.mktemp("tls"), "server")


def server_side(files: certificates.ServerFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    return context


def client_to(url: str, bundle: str | None = None, concurrency: int = 8) -> client.Client:
    way = support.way_to(
        url,
        limits=provider.Limits(concurrency=concurrency),
        credentialing=support.FakeCredentialing(bundle=bundle),
        dialer=dialing.Dialer(support.LOOPBACK),
    )
    return client.Client(way)


def request(**changes: object) -> requests.Request:
    values: dict[str, object] = {"operation": "look", "method": "GET", "path": "/secret-path"}
    return requests.Request(**(values | {"timeout": 20.0} | changes))  # type: ignore[arg-type]


async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


@pytest.mark.parametrize("secured", [False, True])
async def test_a_read_takes_little_however_much_there_is(
    files: certificates.ServerFiles, secured: bool
) -> None:
    async with served(flood, server_side(files) if secured else None) as port:
        stream = await sockets.Network().connect("127.0.0.1", port, 20.0)
        if secured:
            context = ssl.create_default_context(cafile=files.ca)
            stream = await stream.start_tls(context, "127.0.0.1", 20.0)
        stream.get_extra_info("meter").expect(2**20)
        sizes = [len(await stream.read(65_536, 20.0)) for _ in range(50)]
        assert 0 < max(sizes) <= bounds.READ
        await stream.aclose()


async def test_the_handshake_computes_in_a_thread_of_its_own(
    files: certificates.ServerFiles,
) -> None:
    threads: set[str] = set()

    class Watched(ssl.SSLObject):
        def do_handshake(self) -> None:
            threads.add(threading.current_thread().name)
            super().do_handshake()

    context = ssl.create_default_context(cafile=files.ca)
    context.sslobject_class = Watched
    async with served(flood, server_side(files)) as port:
        plain = await sockets.Network().connect("127.0.0.1", port, 20.0)
        await (await plain.start_tls(context, "127.0.0.1", 20.0)).aclose()
    assert threads
    assert all(name.startswith("tls-handshake") for name in threads)


@pytest.mark.parametrize(
    "record", [b"\x16\x03\x03\x40\x00" + b"\x02\x00\x40\x00" * 4096, b"\x16\x03\x03\x00\x01\x02"]
)
async def test_a_handshake_without_end_is_given_up_and_nothing_was_sent(record: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        while True:
            writer.write(record)
            await writer.drain()

    async with served(talk) as port:
        client = client_to(f"https://127.0.0.1:{port}")
        with pytest.raises(errors.Unavailable) as caught:
            await client.send(request(effect=True))
        await client.aclose()
    assert not caught.value.sent


async def test_a_server_that_closes_within_the_handshake_is_unreachable() -> None:
    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with served(talk) as port:
        client = client_to(f"https://127.0.0.1:{port}")
        with pytest.raises(errors.Unavailable) as caught:
            await client.send(request(effect=True))
        await client.aclose()
    assert (caught.value.reason, caught.value.sent) == (Reason.UNREACHABLE, False)


async def test_a_server_that_asks_for_another_handshake_gets_none(
    files: certificates.ServerFiles,
) -> None:
    """It would compute in the loop's thread, in the middle of an answer."""
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_server", "-tls1_2", "-accept", "127.0.0.1:0"),
        *("-cert", str(files.certificate), "-key", str(files.key)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdin is not None
    try:
        port = int((await said(process, b"ACCEPT")).rsplit(b":", 1)[1])
        client = client_to(f"https://127.0.0.1:{port}", files.ca.read_text())
        asking = asyncio.create_task(client.send(request(effect=True)))
        await said(process, b"secret-path")
        process.stdin.write(b"R\n")
        assert b"no renegotiation" in (await said(process, b"renegotiation")).lower()
    finally:
        process.kill()
        await process.wait()
    with pytest.raises(errors.Unavailable):
        await asking
    await client.aclose()


async def said(process: asyncio.subprocess.Process, word: bytes) -> bytes:
    """The next line with that word."""
    assert process.stdout is not None
    while word not in (line := await process.stdout.readline()):
        assert line, "it has ended"
    return line


async def test_as_many_requests_as_allowed_are_under_way_and_none_waits_for_a_connection() -> None:
    """The pool of connections has no bound of its own, which would look like a slow server."""
    many, arrived, all_there = 64, 0, asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        while await reader.readuntil(b"\r\n\r\n"):
            arrived += 1
            if arrived == many:
                all_there.set()
            await all_there.wait()
            writer.write(OK)
            await writer.drain()

    async with served(talk) as port:
        client = client_to(f"http://127.0.0.1:{port}", concurrency=many)
        answers = await asyncio.gather(
            *(client.send(request(effect=True)) for _ in range(many)), return_exceptions=True
        )
        assert {getattr(one, "status", one) for one in answers} == {200}
        assert (await client.send(request())).status == 200
        await client.aclose()


async def test_nothing_of_a_request_is_logged_at_any_level(
    files: certificates.ServerFiles, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nX-Answer: secret-header\r\n\r\n"))
        await writer.drain()
        await reader.read()

    caplog.set_level(logging.DEBUG)
    async with served(talk, server_side(files)) as port:
        client = client_to(f"https://127.0.0.1:{port}", files.ca.read_text())
        await client.send(request(headers={"X-Request": "secret-header"}))
        await client.aclose()
    assert "secret" not in caplog.text
    assert str(port) not in caplog.text
    assert not [one for one in caplog.records if one.name.startswith(("httpx", "httpcore", "h11"))]


async def test_a_peer_that_is_gone_is_a_lost_connection() -> None:
    async def written(stream: httpcore2.AsyncNetworkStream) -> None:
        for _ in range(100):
            await stream.write(b"x" * 65_536, 20.0)

    network = sockets.Network()
    async with served(lambda *_: asyncio.sleep(0)) as port:
        stream = await network.connect("127.0.0.1", port, 20.0)
        assert await stream.read(1, 20.0) == b""
        with pytest.raises(httpcore2.WriteError):
            await written(stream)
        await stream.aclose()
        assert stream.get_extra_info("is_readable")
    with pytest.raises(httpcore2.ConnectError):
        await network.connect("127.0.0.1", port, 20.0)
