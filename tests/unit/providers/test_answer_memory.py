"""The memory of an answer that was refused is given back at once: no error, kept or not, has it.

Python's collector of cycles may come minutes later, so it is off here.
"""

import gc
import weakref
from collections.abc import Iterator

import httpx2
import pytest

from leaseholder import errors
from leaseholder.providers.kit import requests
from tests.unit.providers import baosupport, support

LONG = "no" * 100_000


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("status", [200, 401, 503])
async def test_of_a_login_that_failed(status: int) -> None:
    bench = support.bench()
    said = {"statusCode": status, "error": "Unauthorized", "message": LONG}
    bench.server.say("POST", support.LOGIN, httpx2.Response(status, json=said))
    with pytest.raises(errors.ProviderError):
        await bench.adapter.check()
    assert bench.adapter._http._room.taken == 0


async def test_of_a_login_whose_tokens_are_no_good() -> None:
    bench = baosupport.bench()
    made = httpx2.Response(200, json={"auth": {}, "warnings": [LONG]})
    bench.server.say("POST", baosupport.LOGIN, made)
    with pytest.raises(errors.Denied):
        await bench.prepared()
    assert bench.adapter._http._room.taken == 0


@pytest.mark.parametrize("status", [404, 503])
async def test_of_a_look_at_a_dynamic_secret(status: int) -> None:
    bench = support.bench()
    said = {"statusCode": status, "error": "No", "message": LONG}
    path = "/api/v1/dynamic-secrets/orders-db"
    bench.server.say("GET", path, httpx2.Response(status, json=said))
    with pytest.raises(errors.ProviderError):
        await bench.adapter.prepare(support.attempt())
    assert bench.adapter._http._room.taken == 0


class Answer:
    """What somebody looked at before the next request."""


class Away(httpx2.AsyncBaseTransport):
    """A server that can't be reached."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("away")


async def test_of_what_was_answered_before_a_request_that_is_lost() -> None:
    bench = support.bench()
    bench.adapter._http._connections._network = Away()
    request = requests.Request(operation="look", method="GET", path="/look", timeout=1.0)

    seen: list[weakref.ref[Answer]] = []

    async def ask() -> None:
        before = Answer()
        seen.append(weakref.ref(before))
        await bench.adapter._http.send(request)

    with pytest.raises(errors.Unavailable):
        await ask()
    assert seen[0]() is None
