"""The control plane is a real one: rights, tokens, garbage collection, the end of namespaces."""

import asyncio
import base64
import collections.abc
import json
import os
import pathlib
import time
import typing
import urllib.parse

import aiohttp
import pytest

from tests.world import kubernetes, processes, relay

Json = dict[str, typing.Any]


@pytest.fixture
async def admin(
    control_plane: kubernetes.ControlPlane,
) -> collections.abc.AsyncIterator[aiohttp.ClientSession]:
    async with control_plane.session() as session:
        yield session


async def create(session: aiohttp.ClientSession, path: str, body: Json) -> Json:
    async with session.post(path, json=body) as response:
        answer: Json = await response.json()
        assert response.status == 201, answer
        return answer


async def status(session: aiohttp.ClientSession, path: str) -> int:
    async with session.get(path) as response:
        return response.status


async def make_namespace(session: aiohttp.ClientSession) -> str:
    body = {"metadata": {"generateName": "world-"}}
    return str((await create(session, "/api/v1/namespaces", body))["metadata"]["name"])


def config_map(name: str, **metadata: object) -> Json:
    return {"metadata": {"name": name, **metadata}, "data": {"key": "value"}}


async def token_for(session: aiohttp.ClientSession, namespace: str, name: str) -> str:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await create(session, accounts, {"metadata": {"name": name}})
    answer = await create(session, f"{accounts}/{name}/token", {"spec": {"audiences": []}})
    return str(answer["status"]["token"])


async def test_what_is_created_is_read_back(admin: aiohttp.ClientSession) -> None:
    maps = f"/api/v1/namespaces/{await make_namespace(admin)}/configmaps"
    await create(admin, maps, config_map("settings"))
    async with admin.get(f"{maps}/settings") as response:
        assert (await response.json())["data"] == {"key": "value"}


async def test_a_service_account_without_rights_is_refused(
    admin: aiohttp.ClientSession, control_plane: kubernetes.ControlPlane
) -> None:
    namespace = await make_namespace(admin)
    token = await token_for(admin, namespace, "powerless")
    claims = token.split(".")[1]
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert decoded["sub"] == f"system:serviceaccount:{namespace}:powerless"
    async with control_plane.session(token) as powerless:
        assert await status(powerless, f"/api/v1/namespaces/{namespace}/secrets") == 403


async def test_a_role_binding_gives_the_rights_that_it_names(
    admin: aiohttp.ClientSession, control_plane: kubernetes.ControlPlane
) -> None:
    namespace = await make_namespace(admin)
    token = await token_for(admin, namespace, "reader")
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}
    await create(admin, f"{rbac}/roles", {"metadata": {"name": "read"}, "rules": [rule]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read"}
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace}
    binding = {"metadata": {"name": "read"}, "roleRef": role, "subjects": [subject]}
    await create(admin, f"{rbac}/rolebindings", binding)
    async with control_plane.session(token) as reader:

        async def allowed() -> bool:
            return await status(reader, f"/api/v1/namespaces/{namespace}/secrets") == 200

        await processes.wait_until_async(allowed, what="the binding counts")
        assert await status(reader, f"/api/v1/namespaces/{namespace}/configmaps") == 403


async def test_a_stranger_is_not_let_in(control_plane: kubernetes.ControlPlane) -> None:
    async with control_plane.session("no-such-token") as stranger:
        assert await status(stranger, "/api/v1/namespaces") == 401


async def test_a_deleted_namespace_goes_with_all_that_is_in_it(
    admin: aiohttp.ClientSession,
) -> None:
    namespace = await make_namespace(admin)
    await create(admin, f"/api/v1/namespaces/{namespace}/configmaps", config_map("settings"))
    async with admin.delete(f"/api/v1/namespaces/{namespace}") as response:
        assert response.status == 200

    async def gone() -> bool:
        return await status(admin, f"/api/v1/namespaces/{namespace}") == 404

    await processes.wait_until_async(gone, what="the namespace is gone")


async def test_what_is_owned_goes_with_its_owner(admin: aiohttp.ClientSession) -> None:
    maps = f"/api/v1/namespaces/{await make_namespace(admin)}/configmaps"
    owner = await create(admin, maps, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner"}
    references = [{**reference, "uid": owner["metadata"]["uid"]}]
    await create(admin, maps, config_map("owned", ownerReferences=references))
    async with admin.delete(f"{maps}/owner") as response:
        assert response.status == 200

    async def collected() -> bool:
        return await status(admin, f"{maps}/owned") == 404

    await processes.wait_until_async(collected, what="the owned object is gone")


async def test_a_deployment_gets_its_pods(admin: aiohttp.ClientSession) -> None:
    namespace = await make_namespace(admin)
    labels = {"app": "orders"}
    container = {"name": "main", "image": "none"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    await create(admin, deployments, {"metadata": {"name": "orders"}, "spec": spec})

    async def has_pods() -> bool:
        async with admin.get(f"/api/v1/namespaces/{namespace}/pods") as response:
            return len((await response.json())["items"]) == 2

    await processes.wait_until_async(has_pods, what="two pods are there")


@pytest.mark.skipif(kubernetes.KUBECONFIG_VARIABLE in os.environ, reason="not our controllers")
async def test_controllers_wait_for_an_api_server_that_takes_long_to_start(
    control_plane_binary: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Those of Kubernetes give up after ten seconds, and their process ends with them."""
    asked: list[float] = []

    def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(time.monotonic())
        writer.close()

    async def longer() -> bool:
        return bool(asked) and asked[-1] - asked[0] > 11

    way = await asyncio.start_server(refuse, processes.LOOPBACK, 0)
    port = way.sockets[0].getsockname()[1]
    plane = await asyncio.to_thread(
        kubernetes.ControlPlane.start, tmp_path, controllers_by=int(port)
    )
    with plane:
        await processes.wait_until_async(longer, what="they ask after more than ten seconds")
        way.close()
        await way.wait_closed()
        upstream = urllib.parse.urlsplit(plane.url).port
        assert upstream is not None
        with relay.Relay(port, (processes.LOOPBACK, upstream)) as mended:
            mended.mend()
            async with plane.session() as session:
                accounts = "/api/v1/namespaces/default/serviceaccounts/default"

                async def made() -> bool:
                    return await status(session, accounts) == 200

                await processes.wait_until_async(made, what="they make the ServiceAccount")


def test_a_kubeconfig_of_another_cluster_takes_its_place(
    control_plane: kubernetes.ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv(kubernetes.KUBECONFIG_VARIABLE, str(control_plane.kubeconfig))
    with kubernetes.ControlPlane.start(tmp_path) as other:
        assert other.process is None
        assert other.url == control_plane.url
        assert other.healthy()
    assert control_plane.healthy()
