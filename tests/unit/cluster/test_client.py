import asyncio
import collections.abc
import contextlib
import functools
import pathlib

import pytest
from aiohttp import test_utils, web

from leaseholder import errors
from leaseholder.cluster import client, documents, places

Answer = collections.abc.Callable[[web.Request], collections.abc.Awaitable[web.StreamResponse]]
CONFIG = """
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {tokenFile: token}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
"""


@pytest.fixture
def kubeconfig(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "token").write_text("first\n")
    path = tmp_path / "kubeconfig"
    path.write_text(CONFIG)
    return path


@contextlib.asynccontextmanager
async def connected(
    kubeconfig: pathlib.Path, answer: Answer
) -> collections.abc.AsyncIterator[client.Api]:
    """To a server that answers every GET so."""
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with test_utils.TestServer(app) as server:
        there = CONFIG.replace("http://127.0.0.1:1", f"http://127.0.0.1:{server.port}")
        await asyncio.to_thread(kubeconfig.write_text, there)
        api = await client.Api.connect(kubeconfig)
        try:
            yield api
        finally:
            await api.aclose()


async def test_without_a_configuration_there_is_no_cluster(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(errors.ClusterUnavailable, match="no API server is configured"):
        await client.Api.connect()
    with pytest.raises(errors.ClusterUnavailable, match="no API server is configured"):
        await client.Api.connect(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("server", "endpoint"),
    [("http://127.0.0.1:1", ("127.0.0.1", 1)), ("https://[fd00::1]", ("fd00::1", 443))],
)
async def test_where_the_api_server_is_is_known(
    kubeconfig: pathlib.Path, server: str, endpoint: tuple[str, int]
) -> None:
    config = CONFIG.replace("http://127.0.0.1:1", server)
    await asyncio.to_thread(kubeconfig.write_text, config)
    api = await client.Api.connect(kubeconfig)
    assert api.endpoint == endpoint
    await api.aclose()


async def test_a_closed_port_is_an_unavailable_api_server(kubeconfig: pathlib.Path) -> None:
    api = await client.Api.connect(kubeconfig)
    try:
        with pytest.raises(errors.ClusterUnavailable, match="no connection"):
            await api.request("GET", places.NAMESPACES.at("", "kube-system"))
    finally:
        await api.aclose()


async def test_a_name_that_nobody_knows_is_said_to_be_one(kubeconfig: pathlib.Path) -> None:
    there = CONFIG.replace("http://127.0.0.1:1", "http://no-such-host.invalid")
    await asyncio.to_thread(kubeconfig.write_text, there)
    api = await client.Api.connect(kubeconfig)
    try:
        with pytest.raises(errors.ClusterUnavailable, match="its name can't be resolved"):
            await api.request("GET", places.NAMESPACES.at("", "kube-system"))
    finally:
        await api.aclose()


@pytest.mark.parametrize(
    ("stated", "wait"), [("3", 3.0), ("86400", 30.0), ("9" * 400, None), ("-1", None), ("٣", None)]
)
async def test_what_a_proxy_states_holds_nobody_back_for_long(
    kubeconfig: pathlib.Path, stated: str, wait: float | None
) -> None:
    async def away(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503, headers={"Retry-After": stated})

    async with connected(kubeconfig, away) as api:
        with pytest.raises(errors.ClusterUnavailable) as told:
            await api.request("GET", places.SECRETS.at("shop", "x"))
    assert told.value.retry_after == wait


async def _hang(request: web.Request) -> web.StreamResponse:
    """A watch that tells one version and then nothing any more; a list that never comes."""
    answer = web.StreamResponse()
    if "silent" not in request.query:
        await answer.prepare(request)
        await answer.write(b'{"type": "BOOKMARK", "object": {}}\n')
    await asyncio.sleep(60)
    return answer


async def test_a_watch_that_hangs_is_not_open_and_ends_without_an_error(
    kubeconfig: pathlib.Path,
) -> None:
    async with connected(kubeconfig, _hang) as api:
        place = places.SECRETS.at("shop")
        api.streams.expect([place.path])
        watch = functools.partial(api.watch, place, accept=client.JSON, seconds=300, silent=0.2)
        states = [api.streams.is_open(place.path) async for _ in watch(query={})]
        assert states == [True]
        assert api.streams.closed == {place.path: "it ended"}
        with pytest.raises(errors.ClusterUnavailable, match="no answer in time"):
            await anext(watch(query={"silent": "true"}))


@pytest.mark.parametrize("large", ["x" * (documents.MOST_PAGE * 3 // 5), [{}] * 90_000])
async def test_a_list_of_large_objects_comes_in_smaller_pages(
    kubeconfig: pathlib.Path, large: object
) -> None:
    asked = list[int]()

    async def listed(request: web.Request) -> web.Response:
        """Forty small objects, and then five of which two are too long together."""
        first, most = int(request.query.get("continue", "0")), int(request.query["limit"])
        asked.append(most)
        following = min(45, first + most)
        items = [{"n": n, "x": large if n >= 40 else "x"} for n in range(first, following)]
        more = str(following) if following < 45 else ""
        return web.json_response({"metadata": {"continue": more}, "items": items})

    async with connected(kubeconfig, listed) as api:
        pages = [page async for page in api.pages(places.SECRETS.at("shop"), query={})]
    assert [one["n"] for page in pages for one in page["items"]] == [*range(45)]
    assert asked[:3] == [50, 10, 20]
    assert min(asked) == 1
    assert len(asked) < 20


async def test_who_may_not_act_sends_nothing(kubeconfig: pathlib.Path) -> None:
    asked = list[str]()
    api = await client.Api.connect(kubeconfig, observe=lambda verb, _: asked.append(verb))
    api.may_act = lambda: False
    try:
        with pytest.raises(errors.ClusterUnavailable, match="doesn't lead for now"):
            await api.request("GET", places.NAMESPACES.at("", "kube-system"))
    finally:
        await api.aclose()
    assert asked == []


async def test_a_rotated_token_is_read_again_after_a_minute_and_a_lost_file_keeps_the_last(
    kubeconfig: pathlib.Path,
) -> None:
    now = 1000.0
    api = await client.Api.connect(kubeconfig, monotonic=lambda: now)
    place = places.NAMESPACES.at("", "kube-system")

    async def used() -> str:
        with pytest.raises(errors.ClusterUnavailable):
            await api.request("GET", place)
        bearer = api.bearer()
        assert bearer is not None
        return bearer.reveal()

    try:
        assert await used() == "first"
        (kubeconfig.parent / "token").write_text("second")
        assert await used() == "first"
        now += 61
        assert await used() == "second"
        (kubeconfig.parent / "token").unlink()
        now += 61
        assert await used() == "second"
    finally:
        await api.aclose()
