"""ServiceAccount tokens against a real API server: TokenReview, and its published keys."""

import dataclasses
import secrets
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.world import kubernetes, processes
from tests.world.infisical import bench as benches
from tests.world.infisical import emulator as emulators
from tests.world.infisical import reviews, seeds

LOGIN = f"{benches.API}/auth/kubernetes-auth/login"
OIDC = f"{benches.API}/auth/oidc-auth/login"
RBAC = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


@dataclasses.dataclass(slots=True)
class Shop:
    """A namespace with a ServiceAccount, at an API server with an emulator beside it."""

    bench: benches.Bench
    api: aiohttp.ClientSession
    namespace: str
    name: str = "leases"

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self.api.post(path, json=body) as response:
            assert response.status in (200, 201), await response.text()
            answer: dict[str, Any] = await response.json()
            return answer

    async def token(self, *audiences: str) -> str:
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{self.name}/token"
        spec = {"expirationSeconds": 600, "audiences": list(audiences) or None}
        return str((await self.post(path, {"spec": spec}))["status"]["token"])

    async def bind(self, role: str) -> None:
        subject = {"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        metadata = {"name": f"{self.namespace}-{role.replace(':', '-')}"}
        await self.post(RBAC, {"metadata": metadata, "roleRef": reference, "subjects": [subject]})

    async def login(self, token: str, path: str = LOGIN, **auth: Any) -> benches.Reply:
        ways = {
            "kubernetes_auth": seeds.KubernetesAuth(**auth) if path == LOGIN else None,
            "oidc_auth": seeds.OidcAuth(**auth) if path == OIDC else None,
        }
        seed = benches.someone(universal_auth=None, **ways)
        await self.bench.admin.seed(seed)
        body = {"identityId": seed.identities[0].id, "jwt": token}
        return await self.bench.call("POST", path, body)


@pytest.fixture
async def shop(control_plane: kubernetes.ControlPlane) -> AsyncIterator[Shop]:
    cluster = reviews.Cluster(url=control_plane.url, ca_pem=control_plane.ca_file.read_text())
    settings = emulators.Settings(cluster=cluster)
    async with benches.open_bench(settings) as bench, control_plane.session() as api:
        opened = Shop(bench, api, namespace=f"shop-{secrets.token_hex(4)}")
        await opened.post("/api/v1/namespaces", {"metadata": {"name": opened.namespace}})
        accounts = f"/api/v1/namespaces/{opened.namespace}/serviceaccounts"
        await opened.post(accounts, {"metadata": {"name": opened.name}})
        yield opened
        async with api.delete(f"/api/v1/namespaces/{opened.namespace}"):
            pass


async def reviewed(shop: Shop, **auth: Any) -> benches.Reply:
    """Log in as its own reviewer, once the API server knows that it may be one."""
    await shop.bind("system:auth-delegator")
    replies: list[benches.Reply] = []

    async def allowed() -> bool:
        replies.append(await shop.login(await shop.token(), **auth))
        return "cannot create resource" not in str(replies[-1].body)

    await processes.wait_until_async(allowed, what="the binding counts")
    return replies[-1]


async def test_the_presented_token_reviews_itself(shop: Shop) -> None:
    reply = await reviewed(shop, allowed_namespaces=f"x, {shop.namespace}", allowed_names="le*")
    assert (reply.status, reply.body.get("tokenType")) == (200, "Bearer")


async def test_a_reviewer_without_the_right_is_told_by_the_api_server(shop: Shop) -> None:
    reply = await shop.login(await shop.token())
    assert (reply.status, reply.body["error"]) == (401, "KubernetesTokenReviewError")
    assert "tokenreviews.authentication.k8s.io is forbidden" in reply.message


async def test_another_namespace_or_name_is_denied(shop: Shop) -> None:
    reply = await reviewed(shop, allowed_namespaces="other")
    assert (reply.status, reply.message) == (401, "Access denied: K8s namespace not allowed.")
    reply = await shop.login(await shop.token(), allowed_names="other-*")
    assert (reply.status, reply.message) == (401, "Access denied: K8s name not allowed.")


async def test_the_audience_has_to_be_the_configured_one(
    shop: Shop, control_plane: kubernetes.ControlPlane
) -> None:
    if control_plane.admin_token is None:
        pytest.skip("this cluster's administrator has no token that could review")
    auth = {"token_reviewer_jwt": control_plane.admin_token, "allowed_audience": "infisical"}
    assert (await shop.login(await shop.token("infisical"), **auth)).status == 200
    reply = await shop.login(await shop.token("vault"), **auth)
    assert (reply.status, reply.body["error"]) == (401, "KubernetesTokenReviewError")


async def test_what_is_no_token_is_not_authenticated(
    shop: Shop, control_plane: kubernetes.ControlPlane
) -> None:
    if control_plane.admin_token is None:
        pytest.skip("this cluster's administrator has no token that could review")
    reply = await shop.login("nonsense", token_reviewer_jwt=control_plane.admin_token)
    assert (reply.status, reply.body["error"]) == (401, "KubernetesTokenReviewError")


async def test_an_api_server_that_is_away_is_a_400(shop: Shop) -> None:
    away = f"https://{processes.LOOPBACK}:{processes.free_port()}"
    reply = await shop.login(await shop.token(), kubernetes_host=away)
    assert (reply.status, reply.body["error"]) == (400, "KubernetesTokenReviewError")


async def test_a_service_account_logs_in_by_the_published_keys(shop: Shop) -> None:
    auth = {
        "jwks_from_api_server": True,
        "bound_audiences": "infisical",
        "bound_subject": f"system:serviceaccount:{shop.namespace}:*",
    }
    bearer = await shop.token()
    token = await shop.token("infisical")
    assert (await shop.login(token, OIDC, **auth, jwks_bearer=bearer)).status == 200
    other = await shop.login(await shop.token("vault"), OIDC, **auth, jwks_bearer=bearer)
    assert other.message == "Access denied: OIDC audience not allowed."
