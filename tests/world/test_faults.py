"""Each fault of the proxy, seen from a client's side and from the upstream's."""

import asyncio
import collections
import collections.abc
import contextlib
import dataclasses
import datetime
import pathlib
import ssl
from email import utils

import aiohttp
import pytest
from aiohttp import web

from tests.world import faultrules, faults, processes

LONG = 30.0


class Upstream:
    """A server that remembers what it got, and whose watch never ends by itself."""

    def __init__(self) -> None:
        self.committed: collections.Counter[str] = collections.Counter()
        self.watchers = 0
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> collections.abc.AsyncIterator["Upstream"]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        port = processes.free_port()
        await web.TCPSite(runner, processes.LOOPBACK, port).start()
        self.url = f"http://{processes.LOOPBACK}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self.watch(request)
        body = await request.text()
        self.committed[f"{request.method} {request.path}"] += 1
        headers = {"X-Sent": request.headers.get("X-Sent", ""), "X-Raw": request.raw_path}
        return web.Response(status=201, text=f"{request.method} {body}", headers=headers)

    async def watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type":"ADDED"}\n')
        self.watchers += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.watchers -= 1
        return response


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """An upstream, the proxy before it, and a client of the proxy."""

    upstream: Upstream
    proxy: faults.FaultProxy
    client: aiohttp.ClientSession

    @property
    def faults(self) -> faults.Faults:
        return self.proxy.faults

    async def post(self, path: str = "/leases", **headers: str) -> tuple[int, str]:
        async with self.client.post(path, data="wanted", headers=headers) as response:
            return response.status, await response.text()

    async def committed(self, count: int, what: str = "POST /leases") -> None:
        async def reached() -> bool:
            return self.upstream.committed[what] == count

        await processes.wait_until_async(reached, what=f"{what} {count} times")


@pytest.fixture
async def scene(tmp_path: pathlib.Path) -> collections.abc.AsyncIterator[Scene]:
    async with Upstream().running() as upstream:
        with faults.FaultProxy.start(upstream.url, directory=tmp_path) as proxy:
            tls = ssl.create_default_context(cafile=str(proxy.ca_file))
            connector = aiohttp.TCPConnector(ssl=tls, force_close=True)
            async with aiohttp.ClientSession(proxy.url, connector=connector) as client:
                yield Scene(upstream, proxy, client)


async def test_without_rules_everything_goes_through_as_it_is(scene: Scene) -> None:
    async with scene.client.put(
        "/a%2Fb?x=%20y", data="body", headers={"X-Sent": "kept"}
    ) as response:
        assert response.status == 201
        assert await response.text() == "PUT body"
        assert response.headers["X-Sent"] == "kept"
        assert response.headers["X-Raw"] == "/a%2Fb?x=%20y"


async def test_an_answer_is_given_instead_of_the_upstreams(scene: Scene) -> None:
    scene.faults.answer(429, method="POST", path="^/leases", times=1, retry_after=7, body="{}")
    async with scene.client.post("/leases") as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "7"
        assert await response.json() == {}
    assert scene.upstream.committed.total() == 0
    assert await scene.post() == (201, "POST wanted")
    assert scene.faults.rules() == {}


async def test_an_answer_has_the_date_of_the_proxys_own_clock_or_none(scene: Scene) -> None:
    now = datetime.datetime.now(datetime.UTC)
    for ahead in (120, -120):
        scene.faults.date(ahead, times=1)
        async with scene.client.get("/leases") as response:
            shown = utils.parsedate_to_datetime(response.headers["Date"])
            assert abs((shown - now).total_seconds() - ahead) < LONG
    scene.faults.date(None, times=1)
    async with scene.client.get("/leases") as response:
        assert "Date" not in response.headers
    async with scene.client.get("/leases") as response:
        assert "Date" in response.headers


async def test_a_rule_is_for_its_method_and_path_only(scene: Scene) -> None:
    scene.faults.answer(500, method="POST", path="^/leases$")
    assert (await scene.post("/others"))[0] == 201
    async with scene.client.get("/leases") as response:
        assert response.status == 201
    assert (await scene.post("/leases"))[0] == 500


async def test_a_reset_before_forwarding_leaves_nothing_at_the_upstream(scene: Scene) -> None:
    scene.faults.reset(method="POST", times=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await scene.post()
    assert scene.upstream.committed.total() == 0


async def test_a_reset_after_commit_loses_the_answer_only(scene: Scene) -> None:
    scene.faults.reset_after_commit(method="POST", times=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await scene.post()
    assert scene.upstream.committed["POST /leases"] == 1


async def test_a_request_that_is_tried_again_on_the_way_commits_twice(scene: Scene) -> None:
    scene.faults.add(faults.Rule(action=faults.Action.TWICE, method="POST", times=1))
    with pytest.raises(aiohttp.ClientConnectionError):
        await scene.post()
    assert scene.upstream.committed["POST /leases"] == 2


async def test_what_hangs_is_never_answered_until_the_rules_are_cleared(scene: Scene) -> None:
    scene.faults.hang(method="POST")
    waiting = asyncio.ensure_future(scene.post())

    async def hangs() -> bool:
        return scene.faults.counters().answers.get("hung") == 1

    await processes.wait_until_async(hangs, what="the request hangs")
    assert not waiting.done()
    scene.faults.clear()
    with pytest.raises(aiohttp.ClientConnectionError):
        await waiting
    assert scene.upstream.committed.total() == 0


async def test_latency_holds_requests_back(scene: Scene) -> None:
    scene.faults.latency(0.3, method="POST", times=1)
    started = asyncio.get_running_loop().time()
    assert (await scene.post())[0] == 201
    assert asyncio.get_running_loop().time() - started >= 0.3


async def test_a_client_that_gives_up_commits_late(scene: Scene) -> None:
    scene.faults.latency(0.5, method="POST", times=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(scene.post(), 0.1)
    assert scene.upstream.committed.total() == 0
    await scene.committed(1)


async def test_a_watch_flows_and_is_dropped_on_demand(scene: Scene) -> None:
    async with scene.client.get("/things?watch=true") as response:
        assert await response.content.readline() == b'{"type":"ADDED"}\n'
        assert scene.faults.counters().watches == 1
        assert scene.faults.drop_watches("^/others") == 0
        assert scene.faults.drop_watches("^/things") == 1
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await asyncio.wait_for(response.content.readline(), LONG)


async def test_a_watch_whose_client_goes_ends_at_the_upstream_too(scene: Scene) -> None:
    async with scene.client.get("/things?watch=true") as response:
        await response.content.readline()
        assert scene.upstream.watchers == 1

    async def ended() -> bool:
        return scene.upstream.watchers == 0

    await processes.wait_until_async(ended, what="the upstream's watch ends")


async def test_a_watch_expires_as_for_an_old_resource_version(scene: Scene) -> None:
    scene.faults.expire_watches(path="things", times=1)
    async with scene.client.get("/things?watch=true") as response:
        event = await response.json()
    assert event["type"] == "ERROR"
    assert event["object"]["code"] == 410


async def test_counters_tell_what_went_through(scene: Scene) -> None:
    rule = scene.faults.latency(0.2, times=3)
    path = "/api/v1/namespaces/shop/secrets"
    await asyncio.gather(*(scene.post(f"{path}/s{number}") for number in range(3)))
    await scene.client.get(f"{path}?limit=1")
    counters = scene.faults.counters()
    shape = "/api/v1/namespaces/{namespace}/secrets"
    assert counters.requests == {f"POST {shape}/{{name}}": 3, f"GET {shape}": 1}
    assert counters.answers == {"201": 4}
    assert counters.applied == {rule: 3}
    assert counters.peak_in_flight == 3
    assert counters.in_flight == 0
    scene.faults.reset_counters()
    assert scene.faults.counters().total == 0


async def test_a_plain_proxy_needs_no_authority(tmp_path: pathlib.Path) -> None:
    async with Upstream().running() as upstream:
        with faults.FaultProxy.start(upstream.url, directory=tmp_path, tls=False) as proxy:
            assert proxy.ca_file is None
            async with aiohttp.ClientSession() as client, client.get(proxy.url) as response:
                assert response.status == 201


def test_chance_decides_where_a_rule_asks_for_it() -> None:
    draws = iter([0.9, 0.1])
    book = faultrules.Book(chance=lambda: next(draws))
    book.add(faultrules.Rule(action=faultrules.Action.HANG, probability=0.5))
    assert book.pick("GET", "/") is None
    assert book.pick("GET", "/") is not None


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/api/v1/namespaces/shop", "/api/v1/namespaces/{name}"),
        ("/api/v1/secrets?watch=1", "/api/v1/secrets"),
        (
            "/apis/leaseholder.dev/v1alpha1/namespaces/shop/dynamicleases/orders/status",
            "/apis/leaseholder.dev/v1alpha1/namespaces/{namespace}/dynamicleases/{name}/status",
        ),
        (
            "/api/v1/dynamic-secrets/leases/5b8d8a4e-6f0e-4a57-9d0c-3d1f5a1f0d01/renew",
            "/api/v1/dynamic-secrets/leases/{id}/renew",
        ),
    ],
)
def test_paths_to_the_same_kind_of_thing_have_one_shape(path: str, shape: str) -> None:
    assert faultrules.shape(path) == shape
