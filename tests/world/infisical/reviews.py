"""Other people's tokens: a real TokenReview at an API server, and JWTs against published keys.

Nothing here is pretended. The TokenReview goes to the API server that the test started, with the
presented ServiceAccount token as its own reviewer when no reviewer is configured; OIDC tokens are
checked against keys that are fetched from the issuer.
"""

import dataclasses
import json
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
import jwt

from tests.world.infisical import errors

TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
REVIEW_ERROR: Final = "KubernetesTokenReviewError"
REVIEW_PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
SERVICE_ACCOUNT: Final = "system:serviceaccount:"


@dataclasses.dataclass(frozen=True, slots=True)
class Cluster:
    """An API server's address and its CA as PEM."""

    url: str
    ca_pem: str | None = None

    def trust(self) -> ssl.SSLContext | bool:
        return trust(self.ca_pem)


@dataclasses.dataclass(frozen=True, slots=True)
class Reviewed:
    """Whose token it is, as the API server says."""

    namespace: str
    name: str
    audiences: tuple[str, ...]


def trust(ca_pem: str | None) -> ssl.SSLContext | bool:
    return ssl.create_default_context(cadata=ca_pem) if ca_pem else True


async def review(cluster: Cluster, *, token: str, reviewer: str, audience: str) -> Reviewed:
    """Ask the API server about a ServiceAccount token."""
    spec: dict[str, object] = {"token": token}
    if audience:
        spec["audiences"] = [audience]
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    try:
        status, answer = await _post(cluster, body, reviewer)
    except (aiohttp.ClientError, TimeoutError, ssl.SSLError) as failure:
        raise errors.bad_request(
            f"Failed to reach the Kubernetes API server: {type(failure).__name__}",
            name=REVIEW_ERROR,
        ) from failure
    if status >= 300:
        raise errors.unauthorized(str(answer.get("message", "")), name=REVIEW_ERROR)
    return _reviewed(answer.get("status"))


async def _post(
    cluster: Cluster, body: Mapping[str, object], reviewer: str
) -> tuple[int, Mapping[str, object]]:
    headers = {"Authorization": f"Bearer {reviewer}", "Accept": "application/json"}
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.post(
            cluster.url.rstrip("/") + REVIEW_PATH, json=body, headers=headers, ssl=cluster.trust()
        ) as response,
    ):
        answer = await response.json(content_type=None)
        return response.status, answer if isinstance(answer, dict) else {}


def _reviewed(status: object) -> Reviewed:
    facts = status if isinstance(status, dict) else {}
    if facts.get("error"):
        raise errors.unauthorized(str(facts["error"]), name=REVIEW_ERROR)
    if not facts.get("authenticated"):
        raise errors.unauthorized("Kubernetes token not authenticated", name=REVIEW_ERROR)
    username = str(facts.get("user", {}).get("username", ""))
    namespace, _, name = username.removeprefix(SERVICE_ACCOUNT).partition(":")
    if not username.startswith(SERVICE_ACCOUNT) or not name:
        raise errors.unauthorized("Kubernetes token not authenticated", name=REVIEW_ERROR)
    audiences = tuple(str(one) for one in facts.get("audiences") or ())
    return Reviewed(namespace=namespace, name=name, audiences=audiences)


async def fetch_json(url: str, *, ca_pem: str | None, bearer: str | None = None) -> object:
    """A small document from an issuer."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.get(url, headers=headers, ssl=trust(ca_pem)) as response,
    ):
        response.raise_for_status()
        return json.loads(await response.text())


def key_from(document: object, kid: str | None) -> jwt.PyJWK:
    """The signing key of that id, or the first when the token names none."""
    keys = jwt.PyJWKSet.from_dict(document if isinstance(document, dict) else {}).keys
    chosen = [key for key in keys if kid is None or key.key_id == kid]
    if not chosen:
        raise errors.unauthorized(
            "Access denied: Unable to verify JWT signature."
            f" The signing key '{kid}' was not found in the OIDC provider's JWKS endpoint."
            " This may indicate an invalid token or misconfigured OIDC provider."
        )
    return chosen[0]
