"""The parts meet: through the proxies, Kubernetes and Infisical answer."""

import ssl

import aiohttp
import yaml

from tests.world import world as worlds


async def test_kubernetes_answers_through_its_fault_proxy(world: worlds.World) -> None:
    assert world.control_plane.admin_token is not None
    kubeconfig = world.kubeconfig_for(world.control_plane.admin_token)
    assert world.kubernetes_url in kubeconfig.read_text()
    assert world.kubernetes_faults is not None
    tls = ssl.create_default_context(cafile=str(world.kubernetes_faults.ca_file))
    bearer = {"Authorization": f"Bearer {world.control_plane.admin_token}"}
    async with (
        aiohttp.ClientSession(world.kubernetes_url, headers=bearer) as client,
        client.get("/readyz", ssl=tls) as response,
    ):
        assert await response.text() == "ok"


async def test_infisical_lets_the_identity_of_the_manifest_in(world: worlds.World) -> None:
    documents = {d["kind"]: d for d in yaml.safe_load_all(worlds.manifest(world))}
    spec = documents["LeaseProvider"]["spec"]
    tls = ssl.create_default_context(cadata=spec["caBundle"])
    async with (
        aiohttp.ClientSession(spec["infisical"]["url"]) as client,
        client.post(
            "/api/v1/auth/universal-auth/login", json=documents["Secret"]["stringData"], ssl=tls
        ) as response,
    ):
        assert response.status == 200, await response.text()
        assert "accessToken" in await response.json()


def test_the_manifest_asks_for_a_lease_of_what_the_seed_holds(world: worlds.World) -> None:
    kinds = [d["kind"] for d in yaml.safe_load_all(worlds.manifest(world))]
    assert kinds == ["Namespace", "Secret", "LeaseProvider", "DynamicLease"]
