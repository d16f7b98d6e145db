"""A 404 says that an object is gone only where it names the object."""

import pathlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import test_utils, web

from leaseholder import errors
from leaseholder.cluster import adapter, client, places

LEASE: dict[str, Any] = {
    "metadata": {"name": "orders", "namespace": "shop", "uid": "1", "resourceVersion": "7"},
    "spec": {"providerRef": {"name": "phase"}, "phase": {"appId": "a", "env": "e", "name": "n"}},
}
NAMED = {"kind": "Status", "reason": "NotFound", "details": {"name": "orders"}, "code": 404}
UNNAMED = {"kind": "Status", "reason": "NotFound", "details": {}, "code": 404}


class Answers:
    """An API server that answers each request alike."""

    body: Mapping[str, Any] | None = None
    """Of a 404; None: a text."""

    async def answer(self, request: web.Request) -> web.Response:
        if self.body is None:
            return web.Response(status=404, text="404 page not found")
        return web.json_response(self.body, status=404)


@pytest.fixture
async def server(
    tmp_path: pathlib.Path,
) -> AsyncIterator[tuple[Answers, adapter.KubernetesCluster]]:
    answers, app = Answers(), web.Application()
    app.router.add_route("*", "/{path:.*}", answers.answer)
    async with test_utils.TestServer(app) as running:
        config = tmp_path / "kubeconfig"
        config.write_text(
            "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {}}], "
            f'clusters: [{{name: c, cluster: {{server: "{running.make_url("/")}"}}}}], '
            "contexts: [{name: c, context: {cluster: c, user: u}}]}"
        )
        api = await client.Api.connect(config)
        cluster = adapter.KubernetesCluster(api, operator_namespace="leaseholder")
        yield answers, cluster
        await cluster.aclose()


@pytest.mark.parametrize("body", [None, UNNAMED])
async def test_a_404_for_everything_takes_no_dynamic_lease_for_gone(
    server: tuple[Answers, adapter.KubernetesCluster], body: Mapping[str, Any] | None
) -> None:
    answers, cluster = server
    answers.body = body
    cluster.objects.known[places.LEASES.plural].event("ADDED", LEASE)
    with pytest.raises(errors.ClusterUnavailable, match="doesn't serve dynamicleases"):
        await cluster.read_dynamic_lease("shop", "orders")
    assert await cluster.dynamic_lease("shop", "orders") is not None
    with pytest.raises(errors.ClusterUnavailable, match="doesn't serve leaserecords"):
        await cluster.record_named("shop.orders.0")
    with pytest.raises(errors.ClusterUnavailable, match="doesn't serve namespaces"):
        await cluster.namespace("shop")


@pytest.mark.parametrize("body", [None, UNNAMED, NAMED])
async def test_what_was_never_there_is_missing_whatever_the_404_says(
    server: tuple[Answers, adapter.KubernetesCluster], body: Mapping[str, Any] | None
) -> None:
    answers, cluster = server
    answers.body = body
    assert await cluster.read_dynamic_lease("shop", "orders") is None


async def test_a_404_that_names_the_object_is_believed(
    server: tuple[Answers, adapter.KubernetesCluster],
) -> None:
    answers, cluster = server
    answers.body = NAMED
    cluster.objects.known[places.LEASES.plural].event("ADDED", LEASE)
    assert await cluster.read_dynamic_lease("shop", "orders") is None
    assert await cluster.record_named("shop.orders.0") is None
    assert await cluster.namespace("shop") is None


async def test_large_objects_are_not_kept_as_they_were_parsed(
    server: tuple[Answers, adapter.KubernetesCluster],
) -> None:
    _, cluster = server
    kept = cluster.objects.known[places.LEASES.plural]
    meta = LEASE["metadata"]
    for number in range(1, 65):
        annotations = {"leaseholder.dev/x": "x" * 2**18}
        one = {**LEASE, "metadata": {**meta, "annotations": annotations, "name": f"l{number}"}}
        kept.event("ADDED", one)
        assert await cluster.dynamic_lease("shop", f"l{number}") is not None
        kept.event("DELETED", one)
    kept.event("ADDED", LEASE)
    assert await cluster.dynamic_lease("shop", "orders") is await cluster.dynamic_lease(
        "shop", "orders"
    )
    held = [body for body, _ in cluster.objects._parsed.values()]
    assert sum(map(len, held)) < 2**20
