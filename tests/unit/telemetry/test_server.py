"""The server for /metrics, /healthz and /readyz."""

import asyncio
import contextlib
import gzip
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from leaseholder.telemetry import auth, exposition, server


def well() -> str | None:
    return None


def some() -> Callable[[str], bytes]:
    return lambda kind: b"m 1\n"


def starting() -> str | None:
    return "starting"


async def test_metrics_and_verdicts_are_served_at_a_free_port() -> None:
    async with (
        server.serving("127.0.0.1:0", metrics=some, healthy=well, ready=starting) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        answers = {}
        for path in ("/metrics", "/healthz", "/readyz"):
            async with session.get(path) as answer:
                answers[path] = answer.status, await answer.text()
    assert answers == {
        "/metrics": (200, "m 1\n"),
        "/healthz": (200, "ok\n"),
        "/readyz": (503, "starting\n"),
    }


async def test_an_address_that_is_taken_is_named() -> None:
    async with server.serving("127.0.0.1:0", metrics=some, healthy=well, ready=well) as port:
        taken = f"127.0.0.1:{port}"
        with pytest.raises(server.CannotListen, match=f"can't listen at {taken}"):
            async with server.serving(taken, metrics=some, healthy=well, ready=well):
                pass


async def test_an_ipv6_address_is_written_in_brackets() -> None:
    async with server.serving("[::1]:0", metrics=some, healthy=well, ready=well) as port:
        assert port > 0


async def _answers(port: int, path: str = "/healthz") -> int:
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get(path, timeout=aiohttp.ClientTimeout(total=10)) as answer,
    ):
        await answer.read()
        return answer.status


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_any_number_of_idle_or_unfinished_connections_leave_room_for_a_probe(
    sent: bytes,
) -> None:
    async with server.serving("127.0.0.1:0", metrics=some, healthy=well, ready=well) as port:
        idle = []
        for _ in range(3 * server.MOST):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            idle.append((reader, writer))
            if len(idle) % server.MOST == 0:
                assert await _answers(port) == 200
                assert await _answers(port, "/metrics") == 200
        oldest = [reader for reader, _ in idle[: 2 * server.MOST]]
        ended = await asyncio.wait_for(
            asyncio.gather(*(one.read() for one in oldest), return_exceptions=True), 10
        )
        assert all(end == b"" or isinstance(end, ConnectionError) for end in ended)
        for _, writer in idle:
            writer.close()


async def test_no_connection_lives_for_long() -> None:
    async with server.serving(
        "127.0.0.1:0", metrics=some, healthy=well, ready=well, lifetime=0.3
    ) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(200):
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await asyncio.wait_for(reader.read(), 10)
        writer.close()


async def test_many_scrapes_gather_metrics_once() -> None:
    gathered = 0

    def metrics() -> Callable[[str], bytes]:
        nonlocal gathered
        gathered += 1
        return some()

    async with server.serving("127.0.0.1:0", metrics=metrics, healthy=well, ready=well) as port:
        answers = await asyncio.gather(*(_answers(port, "/metrics") for _ in range(30)))
    assert set(answers) == {200}
    assert gathered <= 5


@contextlib.asynccontextmanager
async def scraped(
    metrics: server.Gather, **headers: str
) -> AsyncIterator[tuple[aiohttp.ClientResponse, bytes]]:
    async with (
        server.serving("127.0.0.1:0", metrics=metrics, healthy=well, ready=well) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as session,
        session.get("/metrics", headers=headers) as answer,
    ):
        yield answer, await answer.read()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", exposition.TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1", exposition.OPEN_METRICS),
        ("application/openmetrics-text; version=\x80ödd; escaping=%0d%0a", exposition.OPEN_METRICS),
    ],
)
async def test_the_format_is_the_one_that_is_asked_for(accept: str, kind: str) -> None:
    asked: list[str] = []

    def render(wanted: str) -> bytes:
        asked.append(wanted)
        return b"m 1\n"

    async with scraped(lambda: render, Accept=accept) as (answer, _):
        assert answer.headers["Content-Type"] == kind
    assert asked == [kind]


async def test_megabytes_come_whole_and_packed_where_that_is_wanted() -> None:
    whole = b"".join(b"m{n=%d} 1\n" % number for number in range(200_000))

    def render(_: str) -> bytes:
        return whole

    async with scraped(lambda: render, **{"Accept-Encoding": "identity"}) as (_, content):
        assert content == whole
    async with scraped(lambda: render, **{"Accept-Encoding": "gzip"}) as (answer, content):
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(content) == whole
        assert len(content) < len(whole) / 4


async def test_metrics_are_made_beside_the_event_loop() -> None:
    loops = threading.current_thread()
    made_by: list[threading.Thread] = []

    def render(_: str) -> bytes:
        made_by.append(threading.current_thread())
        return b""

    def metrics() -> Callable[[str], bytes]:
        assert threading.current_thread() is loops
        return render

    async with scraped(metrics):
        pass
    assert made_by != [loops]
    assert len(made_by) == 1


async def test_what_fails_to_be_made_fails_one_request_and_is_made_anew() -> None:
    def metrics() -> Callable[[str], bytes]:
        raise RuntimeError

    async with scraped(metrics) as (answer, _):
        assert answer.status == 500


async def test_who_asks_without_end_in_all_formats_has_metrics_made_for_a_part_of_the_time() -> (
    None
):
    spans: list[tuple[float, float]] = []

    def render(_: str) -> bytes:
        began = time.monotonic()
        while time.monotonic() < began + 0.3:
            time.sleep(0.01)
        spans.append((began, time.monotonic()))
        return b""

    async with server.serving(
        "127.0.0.1:0", metrics=lambda: render, healthy=well, ready=well
    ) as port:
        began = time.monotonic()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            for number in range(400):
                kind = "application/openmetrics-text" if number % 2 else "*/*"
                packed = "gzip" if number % 4 < 2 else "identity"
                headers = {"Accept": kind, "Accept-Encoding": packed}
                async with session.get("/metrics", headers=headers) as answer:
                    assert answer.status == 200
        lasted = time.monotonic() - began
    assert len(spans) <= 2 * (1 + lasted / 2.7)
    assert all(end <= later for (_, end), (later, _) in itertools.pairwise(sorted(spans)))


async def test_metrics_are_for_who_is_authorized_and_probes_for_everybody() -> None:
    heard: list[str | None] = []

    async def authorize(header: str | None) -> auth.AuthResponse:
        heard.append(header)
        if header == "Bearer good":
            return auth.AuthResponse(200)
        return auth.AuthResponse(401, "send a token", {"WWW-Authenticate": "Bearer"})

    async with (
        server.serving(
            "127.0.0.1:0", metrics=some, healthy=well, ready=well, authorize=authorize
        ) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        for path in ("/healthz", "/readyz"):
            async with session.get(path) as answer:
                assert answer.status == 200
        assert heard == []
        for method in ("GET", "HEAD"):
            async with session.request(method, "/metrics") as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert await answer.text() == ("send a token\n" if method == "GET" else "")
        async with session.get("/metrics", headers={"Authorization": "Bearer good"}) as answer:
            assert (answer.status, await answer.text()) == (200, "m 1\n")
    assert heard == [None, None, "Bearer good"]
