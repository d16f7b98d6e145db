"""What only a real connection shows: certificates, and the moment before the write."""

import asyncio
import contextlib
import pathlib
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import client, requests
from leaseholder.providers.kit.network import dialing
from tests.unit.providers import support
from tests.world import certificates

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Listener:
    """A server on loopback that counts the requests that it reads."""

    def __init__(self) -> None:
        self.url = ""
        self.requests = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            writer.write(ANSWER)
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def listening(context: ssl.SSLContext | None = None) -> AsyncIterator[Listener]:
    listener = Listener()
    server = await asyncio.start_server(listener.accept, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    listener.url = f"{'https' if context else 'http'}://127.0.0.1:{port}"
    async with server:
        yield listener
    await asyncio.gather(*listener.tasks)


def connection(
    listener: Listener, clock: support.FakeClock, credentialing: support.FakeCredentialing
) -> client.Client:
    dialer = dialing.Dialer(support.LOOPBACK)
    way = support.way_to(listener.url, clock=clock, credentialing=credentialing, dialer=dialer)
    return client.Client(way)


def request(**changes: object) -> requests.Request:
    values: dict[str, object] = {"operation": "look", "method": "GET", "path": "/"}
    return requests.Request(**(values | {"timeout": 5.0} | changes))  # type: ignore[arg-type]


async def test_only_a_trusted_certificate_is_talked_to_and_a_new_bundle_is_noticed(
    tmp_path: pathlib.Path,
) -> None:
    files = certificates.write_server(tmp_path, "server")
    other = certificates.write_server(tmp_path, "other")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    async with listening(context) as listener:
        credentialing = support.FakeCredentialing(bundle=other.ca.read_text())
        client = connection(listener, support.FakeClock(), credentialing)
        with pytest.raises(errors.Unavailable) as caught:
            await client.send(request(effect=True))
        assert (caught.value.reason, caught.value.sent) == (Reason.UNTRUSTED, False)
        assert caught.value.__context__ is None
        assert listener.requests == 0
        credentialing.bundle = files.ca.read_text()
        both = await asyncio.gather(client.send(request()), client.send(request()))
        assert [one.status for one in both] == [200, 200]
        await client.aclose()


async def test_a_deadline_that_passes_while_connecting_stops_the_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = support.FakeClock()
    async with listening() as listener:
        client = connection(listener, clock, support.FakeCredentialing())
        deadline = support.NOW + timedelta(seconds=30)
        assert (await client.send(request(deadline=deadline))).status == 200
        connect = asyncio.get_running_loop().sock_connect

        async def slowly(*arguments: object) -> None:
            await connect(*arguments)  # type: ignore[arg-type]
            clock.move(60)

        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", slowly)
        with pytest.raises(errors.Unavailable) as caught:
            await client.send(request(deadline=deadline, effect=True))
        assert not caught.value.sent
        assert listener.requests == 1
        await client.aclose()


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    async with listening() as listener:
        pass
    client = connection(listener, support.FakeClock(), support.FakeCredentialing())
    with pytest.raises(errors.Unavailable) as caught:
        await client.send(request(effect=True))
    assert (caught.value.reason, caught.value.sent) == (Reason.UNREACHABLE, False)
    await client.aclose()
