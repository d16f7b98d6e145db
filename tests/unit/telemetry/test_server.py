"""The server for /metrics, /healthz and /readyz."""

import aiohttp
import pytest

from leaseholder.telemetry import server


def well() -> str | None:
    return None


def starting() -> str | None:
    return "starting"


async def test_metrics_and_verdicts_are_served_at_a_free_port() -> None:
    async with (
        server.serving(
            "127.0.0.1:0", metrics=lambda: b"m 1\n", healthy=well, ready=starting
        ) as port,
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
    async with server.serving("127.0.0.1:0", metrics=bytes, healthy=well, ready=well) as port:
        taken = f"127.0.0.1:{port}"
        with pytest.raises(server.CannotListen, match=f"can't listen at {taken}"):
            async with server.serving(taken, metrics=bytes, healthy=well, ready=well):
                pass


async def test_an_ipv6_address_is_written_in_brackets() -> None:
    async with server.serving("[::1]:0", metrics=bytes, healthy=well, ready=well) as port:
        assert port > 0
