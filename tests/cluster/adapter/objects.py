"""What the adapter's tests write, and where: a tenant's namespace and the operator's."""

import base64
import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from leaseholder.api import names, provider, record
from leaseholder.cluster import adapter, client
from leaseholder.ports.credentials import Access
from leaseholder.ports.provider import ProviderObject
from leaseholder.ports.secrets import SecretDraft
from leaseholder.secrecy import Credentials
from tests.world import kube, kubernetes

CANARY = "hunter2-canary"
CANARY_ENCODED = base64.b64encode(CANARY.encode()).decode()
MOMENT = datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC)
Body = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A tenant's namespace and the operator's, of one test."""

    shop: str
    home: str


@contextlib.asynccontextmanager
async def connected(
    kubeconfig: pathlib.Path,
    place: Place,
    observe: client.Observe | None = None,
    *,
    require_auth_label: bool = False,
) -> AsyncIterator[adapter.KubernetesCluster]:
    """The adapter, connected as whoever the kubeconfig names."""
    found = await adapter.KubernetesCluster.connect(
        operator_namespace=place.home,
        namespaces=[place.shop],
        kubeconfig=kubeconfig,
        observe=observe,
        require_auth_label=require_auth_label,
    )
    try:
        yield found
    finally:
        await found.aclose()


def manifest(kind: str, name: str, namespace: str = "", **fields: Any) -> Body:
    """A manifest of a core kind."""
    metadata: Body = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


def orders(place: Place, **spec: Any) -> Body:
    """A DynamicLease as a user writes it; what is None is left out."""
    source = {"projectSlug": "demo", "environmentSlug": "prod", "dynamicSecretName": "orders-db"}
    written = {"providerRef": {"name": "infisical"}, "infisical": source, **spec}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "DynamicLease",
        "metadata": {"name": "orders", "namespace": place.shop},
        "spec": {key: value for key, value in written.items() if value is not None},
    }


def infisical_spec(**auth: Any) -> Body:
    """A provider's spec as a user writes it."""
    given = auth or {
        "universalAuth": {"clientId": "id", "clientSecretRef": {"name": "auth", "key": "secret"}}
    }
    return {"infisical": {"url": "https://us.infisical.com", "auth": given}}


def infisical(place: Place, **auth: Any) -> Body:
    """A LeaseProvider."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "LeaseProvider",
        "metadata": {"name": "infisical", "namespace": place.shop},
        "spec": infisical_spec(**auth),
    }


def shared_infisical(name: str, **auth: Any) -> Body:
    """A ClusterLeaseProvider."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "ClusterLeaseProvider",
        "metadata": {"name": name},
        "spec": infisical_spec(**auth),
    }


def token_of(namespace: str | None = None) -> Body:
    """An auth by a token in a Secret; its reference may name a namespace."""
    named = {"namespace": namespace} if namespace is not None else {}
    return {"tokenSecretRef": {"name": "a", "key": "k", **named}}


def provider_spec(**fields: Any) -> provider.ProviderSpec:
    """A provider's spec as the controller has it."""
    return provider.ProviderSpec.model_validate({**infisical_spec(), **fields})


async def access(user: kube.Kube, place: Place, **fields: Any) -> Access:
    """How to log in at a LeaseProvider that is there."""
    made = await user.apply(infisical(place))
    uid = made["metadata"]["uid"]
    of = ProviderObject("LeaseProvider", place.shop, "infisical", uid)
    return Access(spec=provider_spec(**fields), of=of)


def holder(place: Place, uid: str = "11111111-1111-1111-1111-111111111111") -> record.Holder:
    """Whom records and Secrets are for."""
    return record.Holder(namespace=place.shop, name="orders", uid=uid)


def page(place: Place, *leases: record.RecordedLease, name: str = "orders") -> record.RecordSpec:
    """What stands on the record of a DynamicLease name."""
    of = record.Subject(namespace=place.shop, namespace_uid="n", name=name)
    return record.RecordSpec(for_=of, installation="i/ops", leases=leases)


def attempt(place: Place) -> record.RecordedLease:
    """A lease before it is issued."""
    return record.RecordedLease(
        attempt_id="a",
        seal_key="k",
        holder_uid=holder(place).uid,
        state=record.State.ATTEMPT,
        provider=record.RecordProvider(
            type="infisical",
            kind="LeaseProvider",
            namespace=place.shop,
            name="infisical",
            uid="p",
            address="https://us.infisical.com",
            auth_ref={"universalAuth": {"clientId": "id"}},
        ),
        source={"projectSlug": "demo", "config": {"nested": {"x": [1, 2]}}},
        source_hash="h",
        ttl_seconds=3600,
        started_at=MOMENT,
        deadline=MOMENT,
    )


def held(place: Place) -> record.RecordedLease:
    """The lease afterwards."""
    return attempt(place).but(
        state=record.State.HELD,
        lease_id="l-1",
        handle={"kind": "sql", "nested": {"a": 1}},
        issued_at=MOMENT,
        expires_at=MOMENT,
        revoke=record.Revocation(reason="x", not_before=MOMENT),
    )


def draft(place: Place, owner: record.Holder | None = None, **values: str) -> SecretDraft:
    """The Secret as the controller wants it."""
    owner = owner or holder(place)
    return SecretDraft(
        namespace=place.shop,
        name="orders-db",
        type="Opaque",
        labels={names.MANAGED_BY: names.MANAGER, names.OWNER_UID: owner.uid},
        annotations={names.OWNER_NAME: owner.name, names.ATTEMPT: "a"},
        owner=owner,
        credentials=Credentials(values or {"PASSWORD": CANARY}),
    )


async def owner_of(user: kube.Kube, place: Place) -> record.Holder:
    """A DynamicLease that exists, or the garbage collector takes what it owns."""
    made = await user.apply(orders(place))
    return holder(place, made["metadata"]["uid"])


async def powerless(user: kube.Kube, plane: kubernetes.ControlPlane, place: Place) -> pathlib.Path:
    """A kubeconfig of a ServiceAccount without rights."""
    await user.apply(manifest("ServiceAccount", "operator", place.home))
    return plane.kubeconfig_for(await user.service_account_token("operator", place.home))
