"""A secret that sings wherever it is seen: no log record and no exception may hold it."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from leaseholder import errors
from leaseholder.api import provider
from leaseholder.ports.credentials import Access
from leaseholder.providers import infisical
from leaseholder.providers.infisical import api
from leaseholder.providers.kit.context import Context
from leaseholder.providers.kit.network import dialing
from leaseholder.providers.settings import InfisicalSettings
from tests.unit.providers import support

CANARY = support.CANARY
LEASES_BROKEN = support.ok(lease={"id": f"{CANARY}!"}, data={"PASSWORD": CANARY})


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def shown(error: BaseException) -> str:
    context = [f"{one} {one!r} {one.args!r} {vars(one)!r}" for one in chain(error)]
    return "\n".join([*context, *traceback.format_exception(error)])


@pytest.mark.parametrize(
    "reply",
    [
        support.refused(400, f"Failed to create lease from provider: {CANARY}"),
        support.refused(403, CANARY, "PermissionDenied"),
        support.refused(401, CANARY, CANARY),
        support.refused(404, f"Dynamic secret with name '{CANARY}", "NotFound"),
        support.refused(422, [{"path": [CANARY], "message": CANARY}], "ValidationFailure"),
        support.refused(500, CANARY, CANARY),
        httpx2.Response(429, text=CANARY),
        httpx2.Response(200, text=CANARY),
        LEASES_BROKEN,
        httpx2.ReadError(CANARY),
        httpx2.ConnectError(CANARY),
        httpx2.LocalProtocolError(CANARY),
        httpx2.DecodingError(CANARY),
    ],
)
async def test_no_failure_of_an_issue_shows_a_secret(
    reply: support.Reply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bench = support.bench()
    bench.server.say("POST", support.LEASES, reply)
    with pytest.raises(errors.ProviderError) as caught:
        await bench.adapter.issue(support.attempt())
    assert list(chain(caught.value)) == [caught.value]
    assert CANARY not in shown(caught.value)
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    "reply",
    [
        support.refused(401, CANARY, CANARY),
        support.refused(400, CANARY, CANARY),
        support.ok(accessToken=f"{CANARY} with space", expiresIn=1),
        support.ok(accessToken=CANARY, expiresIn=CANARY),
        httpx2.ReadError(CANARY),
    ],
)
async def test_no_failure_of_a_login_shows_a_secret(
    reply: support.Reply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bench = support.bench()
    bench.server.say("POST", support.LOGIN, reply)
    for _ in range(2):
        with pytest.raises(errors.ProviderError) as caught:
            await bench.adapter.issue(support.attempt())
        assert list(chain(caught.value)) == [caught.value]
        assert CANARY not in shown(caught.value)
    assert CANARY not in caplog.text


def test_answers_do_not_show_what_they_carry() -> None:
    created = api.CreateAnswer.model_validate_json(support.created().content)
    login = api.LoginAnswer.model_validate_json(support.logged_in().content)
    assert CANARY not in f"{created!r} {login!r} {created} {login}"


@pytest.fixture
async def talkative_server() -> AsyncIterator[str]:
    """A real socket: logs in, with a cookie, then issues, then breaks off."""
    replies = [support.logged_in(), support.created(), None]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            await reader.readexactly(length)
            reply = replies.pop(0)
            if reply is None:
                break
            body = reply.content
            start = f"HTTP/1.1 200 OK\r\nSet-Cookie: {CANARY}=1\r\nContent-Length: {len(body)}"
            writer.write(start.encode() + b"\r\n\r\n" + body)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    yield f"http://{host}:{port}"
    server.close()
    await server.wait_closed()


async def test_the_http_librarys_own_logs_show_nothing_even_at_debug(
    talkative_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    auth = support.UNIVERSAL
    spec = {"infisical": {"url": talkative_server, "auth": auth}}
    context = Context(
        access=Access(spec=provider.ProviderSpec.model_validate(spec), of=support.PROVIDER),
        credentialing=support.FakeCredentialing(),
        base_url=talkative_server,
        clock=support.FakeClock(),
        observe=lambda *_: None,
        dialer=dialing.Dialer(support.LOOPBACK),
    )
    known = context.access.spec.infisical
    assert known is not None
    adapter = infisical.InfisicalAdapter(context, known, InfisicalSettings())
    issued = await adapter.issue(support.attempt())
    assert issued.credentials.reveal()["DB_PASSWORD"].startswith(CANARY)
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.issue(support.attempt())
    assert caught.value.sent
    await adapter.aclose()
    assert CANARY not in shown(caught.value)
    assert CANARY not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("http")]
