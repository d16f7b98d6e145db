"""The Kubernetes adapter before a real API server."""

import asyncio
import base64
import contextlib
import dataclasses
import json
import logging
import pathlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import yaml

from leaseholder import errors, ports
from leaseholder.api import base, conditions, crds, lease, names, provider, record
from leaseholder.cluster import adapter, client, patches, places, watching
from leaseholder.secrecy import Credentials
from tests.world import faults, kubernetes, processes

CANARY = "hunter2-canary"
CANARY_ENCODED = base64.b64encode(CANARY.encode()).decode()
CRDS = processes.CHECKOUT / "crds"
MOMENT = datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC)
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OURS = f"/apis/{names.API_VERSION}"
Body = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Admin:
    """An administrator with no client library, beside the adapter."""

    session: aiohttp.ClientSession

    async def call(
        self, method: str, path: str, body: Body | None = None, kind: str = "application/json"
    ) -> tuple[int, Body]:
        headers = {"Content-Type": kind}
        async with self.session.request(method, path, json=body, headers=headers) as answer:
            found: Body = await answer.json()
            return answer.status, found

    async def do(self, method: str, path: str, body: Body | None = None) -> Body:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        code, found = await self.call(method, path, body, kind)
        assert code < 300, found
        return found

    async def refusal(self, method: str, path: str, body: Body) -> str:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        code, found = await self.call(method, path, body, kind)
        assert code == 422, (code, found)
        return str(found["message"])


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A tenant's namespace and the operator's, of one test."""

    shop: str
    home: str


async def _install(plane: kubernetes.ControlPlane) -> dict[str, Body]:
    """Apply the CRDs and wait until they are served; the CRDs as the API server has them."""
    found: dict[str, Body] = {}
    async with plane.session() as session:
        admin = Admin(session)
        for path in sorted(CRDS.glob("*.yaml")):
            body = yaml.safe_load(path.read_text(encoding="utf-8"))
            at = f"{DEFINITIONS}/{body['metadata']['name']}"
            apply = f"{at}?fieldManager=tests&force=true"
            code, answer = await admin.call("PATCH", apply, body, "application/apply-patch+yaml")
            assert code < 300, answer["message"]

            async def established(at: str = at, name: str = path.stem) -> bool:
                found[name] = await admin.do("GET", at)
                return "Established" in _true(found[name])

            await processes.wait_until_async(
                established, timeout=20, what=f"{path.name} is established"
            )
    return found


def _true(crd: Body) -> set[str]:
    return {c["type"] for c in crd["status"]["conditions"] or () if c["status"] == "True"}


@pytest.fixture(scope="session")
def served(control_plane: kubernetes.ControlPlane) -> dict[str, Body]:
    with asyncio.Runner() as runner:
        return runner.run(_install(control_plane))


@pytest.fixture
async def admin(
    control_plane: kubernetes.ControlPlane, served: dict[str, Body]
) -> AsyncIterator[Admin]:
    async with control_plane.session() as session:
        yield Admin(session)


@pytest.fixture
async def place(admin: Admin) -> AsyncIterator[Place]:
    suffix = secrets.token_hex(4)
    found = Place(f"shop-{suffix}", f"home-{suffix}")
    for name in (found.shop, found.home):
        await admin.do("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    yield found
    for name in (found.shop, found.home):
        await admin.call("DELETE", f"/api/v1/namespaces/{name}")


@contextlib.asynccontextmanager
async def connected(
    kubeconfig: pathlib.Path, place: Place, observe: client.Observe | None = None
) -> AsyncIterator[adapter.KubernetesCluster]:
    found = await adapter.KubernetesCluster.connect(
        operator_namespace=place.home,
        namespaces=[place.shop],
        kubeconfig=kubeconfig,
        observe=observe,
    )
    try:
        yield found
    finally:
        await found.aclose()


@pytest.fixture
async def cluster(
    control_plane: kubernetes.ControlPlane, place: Place
) -> AsyncIterator[adapter.KubernetesCluster]:
    async with connected(control_plane.kubeconfig, place) as found:
        yield found


@pytest.fixture(scope="session")
def proxy(
    control_plane: kubernetes.ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[faults.FaultProxy]:
    with faults.FaultProxy.start(
        control_plane.url,
        directory=tmp_path_factory.mktemp("adapter-faults"),
        upstream_ca=control_plane.ca_file,
    ) as running:
        yield running


@pytest.fixture
def through_proxy(
    control_plane: kubernetes.ControlPlane, proxy: faults.FaultProxy
) -> Iterator[pathlib.Path]:
    assert control_plane.admin_token is not None
    yield control_plane.kubeconfig_for(
        control_plane.admin_token, url=proxy.url, ca_file=proxy.ca_file
    )
    proxy.faults.clear()


# ------------------------------------------------------------------------- what to write


def orders(place: Place, **spec: Any) -> Body:
    source = {"projectSlug": "demo", "environmentSlug": "prod", "dynamicSecretName": "orders-db"}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "DynamicLease",
        "metadata": {"name": "orders", "namespace": place.shop},
        "spec": {"providerRef": {"name": "infisical"}, "infisical": source, **spec},
    }


def infisical(**auth: Any) -> Body:
    given = auth or {
        "universalAuth": {"clientId": "id", "clientSecretRef": {"name": "auth", "key": "secret"}}
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": "LeaseProvider",
        "metadata": {"name": "infisical"},
        "spec": {"infisical": {"url": "https://us.infisical.com", "auth": given}},
    }


def leases(place: Place, name: str = "") -> str:
    return f"{OURS}/namespaces/{place.shop}/dynamicleases/{name}".rstrip("/")


def providers(place: Place, name: str = "") -> str:
    return f"{OURS}/namespaces/{place.shop}/leaseproviders/{name}".rstrip("/")


def secret_path(place: Place, name: str = "") -> str:
    return f"/api/v1/namespaces/{place.shop}/secrets/{name}".rstrip("/")


def holder(place: Place, uid: str = "11111111-1111-1111-1111-111111111111") -> record.Holder:
    return record.Holder(namespace=place.shop, name="orders", uid=uid)


def attempt(place: Place) -> record.RecordSpec:
    return record.RecordSpec(
        for_=holder(place),
        installation="i/ops",
        attempt_id="a",
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


ATTEMPT = record.RecordStatus(state=record.State.ATTEMPT)
HELD = record.RecordStatus(
    state=record.State.HELD,
    lease_id="l-1",
    handle={"kind": "sql", "nested": {"a": 1}},
    issued_at=MOMENT,
    expires_at=MOMENT,
    revoke=record.Revocation(reason="x", not_before=MOMENT),
)


def draft(place: Place, owner: record.Holder | None = None, **values: str) -> ports.SecretDraft:
    owner = owner or holder(place)
    return ports.SecretDraft(
        namespace=place.shop,
        name="orders-db",
        type="Opaque",
        labels={names.MANAGED_BY: names.MANAGER, names.OWNER_UID: owner.uid},
        annotations={names.OWNER_NAME: owner.name, names.RECORD: f"{owner.uid}-1"},
        owner=owner,
        credentials=Credentials(values or {"PASSWORD": CANARY}),
    )


async def owner_of(admin: Admin, place: Place) -> record.Holder:
    """A DynamicLease that exists, or the garbage collector takes what it owns."""
    made = await admin.do("POST", leases(place), orders(place))
    return holder(place, made["metadata"]["uid"])


# ------------------------------------------------------------------------------- the CRDs


def test_all_crds_are_established_and_structural(served: dict[str, Body]) -> None:
    assert len(served) == len(crds.KINDS)
    for name, crd in served.items():
        assert {"NamesAccepted", "Established"} <= _true(crd), name
        assert "NonStructuralSchema" not in _true(crd), crd["status"]["conditions"]


def test_kubectl_explain_has_a_description_of_every_field(served: dict[str, Body]) -> None:
    bare = []
    for name, crd in served.items():
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        # The API server describes metadata itself, and refuses a CRD that does.
        bare += [path for path in _undescribed(schema, name) if path != f"{name}.metadata"]
    assert not bare


def _undescribed(schema: Body, path: str) -> Iterator[str]:
    if not schema.get("description"):
        yield path
    for name, inner in schema.get("properties", {}).items():
        yield from _undescribed(inner, f"{path}.{name}")
    for name, inner in schema.get("items", {}).get("properties", {}).items():
        yield from _undescribed(inner, f"{path}[].{name}")


async def test_what_a_user_may_write_is_taken(admin: Admin, place: Place) -> None:
    spec = {
        "ttl": "1h30m",
        "renewal": {"before": "10m"},
        "rotation": {"maxAge": "24h"},
        "target": {"template": {"metadata": {"labels": {"team": "shop"}}}},
    }
    await admin.do("POST", providers(place), infisical())
    await admin.do("POST", leases(place), orders(place, **spec))
    made = await admin.do("GET", leases(place, "orders"))
    assert made["spec"]["rotation"]["overlap"] == "2m"
    assert made["spec"]["target"]["type"] == "Opaque"


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"infisical": None}, "write the source of the lease: infisical"),
        ({"ttl": "59s"}, "ttl is too short: write 60s or more"),
        ({"ttl": "1d"}, "write a Kubernetes duration made of h, m and s"),
        (
            {"renewal": {"afterPercent": 50, "before": "1m"}},
            "write afterPercent or before, not both",
        ),
        (
            {"target": {"type": "kubernetes.io/service-account-token"}},
            "this Secret type grants rights in the cluster",
        ),
        ({"target": {"secretName": "Orders_DB"}}, "write a Kubernetes object name"),
    ],
)
async def test_a_bad_dynamiclease_is_refused_with_a_sentence_of_ours(
    admin: Admin, place: Place, spec: Body, sentence: str
) -> None:
    assert sentence in await admin.refusal("POST", leases(place), orders(place, **spec))


def _provider(place: Place, **changes: Any) -> Body:
    body = infisical()
    body["spec"] = {**body["spec"], **changes}
    return body


UNIVERSAL = {
    "clientId": "id",
    "clientIdSecretRef": {"name": "auth", "key": "id"},
    "clientSecretRef": {"name": "auth", "key": "secret"},
}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({}, "write exactly one provider: infisical"),
        (
            infisical(universalAuth=UNIVERSAL)["spec"],
            "write exactly one client id: clientId, clientIdSecretRef",
        ),
        (
            infisical(tokenAuth={"tokenSecretRef": {"name": "a", "key": "k", "namespace": "b"}})[
                "spec"
            ],
            "references stay in the provider's own namespace",
        ),
        (
            {
                "infisical": {
                    **infisical()["spec"]["infisical"],
                    "url": "https://user:pass@us.infisical.com",
                }
            },
            "write an http(s) URL without user, query or fragment",
        ),
        (
            {
                **infisical()["spec"],
                "caBundle": "x",
                "caBundleRef": {"kind": "Secret", "name": "a", "key": "b"},
            },
            "write caBundle or caBundleRef, not both",
        ),
    ],
)
async def test_a_bad_provider_is_refused_with_a_sentence_of_ours(
    admin: Admin, place: Place, spec: Body, sentence: str
) -> None:
    body = {**infisical(), "spec": spec}
    assert sentence in await admin.refusal("POST", providers(place), body)


async def test_a_shared_providers_references_name_their_namespace(admin: Admin) -> None:
    body = {**infisical(), "kind": "ClusterLeaseProvider"}
    refused = await admin.refusal("POST", f"{OURS}/clusterleaseproviders", body)
    assert "each reference of a ClusterLeaseProvider names its namespace" in refused


async def test_url_and_secret_type_can_not_change(admin: Admin, place: Place) -> None:
    await admin.do("POST", providers(place), infisical())
    await admin.do("POST", leases(place), orders(place))
    url = {"spec": {"infisical": {"url": "https://eu.infisical.com"}}}
    kind = {"spec": {"target": {"type": "kubernetes.io/basic-auth"}}}
    moved = await admin.refusal("PATCH", providers(place, "infisical"), url)
    changed = await admin.refusal("PATCH", leases(place, "orders"), kind)
    assert "url can't change: make another provider instead" in moved
    assert "a Secret's type can't change: recreate it" in changed


# ----------------------------------------------------------------------------- our resources


def test_the_adapter_is_what_the_controller_needs() -> None:
    # That it is a Cluster is for mypy to see.
    adapted: type[ports.Cluster] = adapter.KubernetesCluster
    assert callable(adapted.secret_events)


async def test_what_is_not_there_is_none(cluster: adapter.KubernetesCluster, place: Place) -> None:
    both = ("LeaseProvider", "ClusterLeaseProvider")
    assert await cluster.dynamic_lease(place.shop, "orders") is None
    assert await cluster.secret(place.shop, "orders") is None
    assert await cluster.namespace("nowhere") is None
    for kind in both:
        ref = lease.ProviderRef.model_validate({"kind": kind, "name": "nowhere"})
        assert await cluster.provider_of(ref, place.shop) is None


async def test_a_dynamiclease_is_read_live_one_and_all(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    made = await admin.do("POST", leases(place), orders(place, ttl="1h"))
    one = await cluster.dynamic_lease(place.shop, "orders")
    assert one is not None
    assert (one.metadata.uid, one.spec.ttl) == (made["metadata"]["uid"], "1h")
    assert list(await cluster.dynamic_leases()) == [one]


async def test_status_is_replaced_with_what_went_gone(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    await admin.do("POST", leases(place), orders(place))
    first = lease.DynamicLeaseStatus(
        observed_generation=1,
        conditions=(_ready("True"),),
        retry=lease.Retry(failures=1, next_at=MOMENT, reason="x"),
        handled=lease.Handled(rotate="n"),
        target=lease.TargetStatus(secret_name="orders", keys=("A", "B")),
    )
    second = lease.DynamicLeaseStatus(
        observed_generation=1, target=lease.TargetStatus(secret_name="orders", keys=("B",))
    )
    for status in (first, second):
        known = await cluster.dynamic_lease(place.shop, "orders")
        assert known is not None
        await cluster.patch_lease_status(known, status)
        written = await cluster.dynamic_lease(place.shop, "orders")
        assert written is not None
        assert written.status == status
    raw = await admin.do("GET", leases(place, "orders"))
    assert "retry" not in raw["status"]


def _ready(status: conditions.Verdict) -> conditions.Condition:
    return conditions.Condition(
        type="Ready", status=status, reason="Ready", last_transition_time=MOMENT
    )


async def test_status_of_a_changed_or_vanished_dynamiclease_is_a_conflict(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    await admin.do("POST", leases(place), orders(place))
    known = await cluster.dynamic_lease(place.shop, "orders")
    assert known is not None
    await admin.do("PATCH", leases(place, "orders"), {"spec": {"suspend": True}})
    with pytest.raises(errors.Conflict):
        await cluster.patch_lease_status(known, lease.DynamicLeaseStatus(observed_generation=9))
    await admin.do("DELETE", leases(place, "orders"))
    with pytest.raises(errors.Conflict):
        await cluster.patch_lease_status(known, lease.DynamicLeaseStatus(observed_generation=9))


async def test_both_kinds_of_provider_are_found_and_told_their_status(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    shared = infisical(
        tokenAuth={"tokenSecretRef": {"name": "a", "key": "k", "namespace": place.shop}}
    )
    shared["kind"] = "ClusterLeaseProvider"
    shared["metadata"]["name"] = name = f"shared-{place.shop}"
    await admin.do("POST", providers(place), infisical())
    await admin.do("POST", f"{OURS}/clusterleaseproviders", shared)
    status = provider.ProviderStatus(type="infisical", conditions=(_ready("True"),))
    for ref in (
        lease.ProviderRef(name="infisical"),
        lease.ProviderRef(kind="ClusterLeaseProvider", name=name),
    ):
        known = await cluster.provider_of(ref, place.shop)
        assert known is not None
        assert ref.kind == known.KIND
        await cluster.patch_provider_status(known, status)
        with pytest.raises(errors.Conflict):
            await cluster.patch_provider_status(known, provider.ProviderStatus(type="x"))
        again = await cluster.provider_of(ref, place.shop)
        assert again is not None
        assert again.status == status
    await admin.do("DELETE", f"{OURS}/clusterleaseproviders/{name}")


async def test_a_namespace_tells_its_labels_and_that_it_terminates(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    blocker = {"metadata": {"name": "blocker", "finalizers": ["tests/hold"]}}
    await admin.do("POST", f"/api/v1/namespaces/{place.shop}/configmaps", blocker)
    before = await cluster.namespace(place.shop)
    assert before is not None
    assert before.labels["kubernetes.io/metadata.name"] == place.shop
    assert not before.terminating
    await admin.do("DELETE", f"/api/v1/namespaces/{place.shop}")
    after = await cluster.namespace(place.shop)
    assert after is not None
    assert after.terminating
    with pytest.raises(errors.Refused, match=f"the namespace {place.shop} is being deleted"):
        await cluster.write_secret(draft(place), None, dry_run=True)
    free = {"metadata": {"finalizers": None}}
    await admin.do("PATCH", f"/api/v1/namespaces/{place.shop}/configmaps/blocker", free)


async def test_the_installation_is_the_cluster_and_the_operators_namespace(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    system = await admin.do("GET", "/api/v1/namespaces/kube-system")
    assert await cluster.installation() == f"{system['metadata']['uid']}/{place.home}"


# ------------------------------------------------------------------------------- the ledger


async def test_a_record_is_created_whole_and_listed_by_uid_oldest_first(
    cluster: adapter.KubernetesCluster, place: Place
) -> None:
    owner = holder(place)
    for number in (10, 2, 1):
        made = await cluster.create_record(owner, number, attempt(place), ATTEMPT)
        assert made.status == ATTEMPT
        assert made.spec == attempt(place)
    other = holder(place, "22222222-2222-2222-2222-222222222222")
    await cluster.create_record(other, 1, attempt(place), ATTEMPT)
    assert [known.number for known in await cluster.records(owner.uid)] == [1, 2, 10]
    assert len(await cluster.all_records()) == 4


async def test_a_record_that_exists_is_a_conflict(
    cluster: adapter.KubernetesCluster, place: Place
) -> None:
    await cluster.create_record(holder(place), 1, attempt(place), ATTEMPT)
    with pytest.raises(errors.Conflict, match="exists already"):
        await cluster.create_record(holder(place), 1, attempt(place), ATTEMPT)


async def test_a_records_status_is_replaced_whole_with_its_annotations(
    cluster: adapter.KubernetesCluster, place: Place
) -> None:
    known = await cluster.create_record(holder(place), 1, attempt(place), ATTEMPT)
    assert names.LEASE_ID not in known.metadata.annotations
    held = await cluster.update_record(known, HELD)
    assert held is not None
    assert held.status == HELD
    assert held.metadata.annotations[names.LEASE_ID] == "l-1"
    assert held.metadata.annotations[names.EXPIRES_AT] == "2026-11-21T03:04:05Z"
    back = await cluster.update_record(held, ATTEMPT)
    assert back is not None
    assert back.status == ATTEMPT
    assert names.LEASE_ID not in back.metadata.annotations


async def test_of_two_writers_of_a_record_one_meets_a_conflict(
    cluster: adapter.KubernetesCluster, place: Place
) -> None:
    known = await cluster.create_record(holder(place), 1, attempt(place), ATTEMPT)
    revoking = record.RecordStatus(state=record.State.REVOKING)
    written = await asyncio.gather(
        cluster.update_record(known, HELD),
        cluster.update_record(known, revoking),
        return_exceptions=True,
    )
    (winner,) = [w for w in written if isinstance(w, record.LeaseRecord)]
    assert [type(w) for w in written if w is not winner] == [errors.Conflict]
    assert await cluster.records(holder(place).uid) == (winner,)


async def test_a_record_that_is_gone_is_none_and_deleting_it_again_is_fine(
    cluster: adapter.KubernetesCluster, place: Place
) -> None:
    known = await cluster.create_record(holder(place), 1, attempt(place), ATTEMPT)
    await cluster.delete_record(known)
    assert await cluster.update_record(known, HELD) is None
    await cluster.delete_record(known)


async def test_a_recreated_record_is_neither_written_nor_deleted_for_the_old_one(
    cluster: adapter.KubernetesCluster, place: Place
) -> None:
    known = await cluster.create_record(holder(place), 1, attempt(place), ATTEMPT)
    await cluster.delete_record(known)
    namesake = await cluster.create_record(holder(place), 1, attempt(place), ATTEMPT)
    with pytest.raises(errors.Conflict):
        await cluster.update_record(known, HELD)
    with pytest.raises(errors.Conflict):
        await cluster.delete_record(known)
    assert await cluster.records(holder(place).uid) == (namesake,)


async def test_a_changed_record_is_not_deleted(
    cluster: adapter.KubernetesCluster, place: Place
) -> None:
    known = await cluster.create_record(holder(place), 1, attempt(place), ATTEMPT)
    await cluster.update_record(known, HELD)
    with pytest.raises(errors.Conflict):
        await cluster.delete_record(known)


# ---------------------------------------------------------------------------------- Secrets


async def test_a_secret_is_written_whole_and_foreign_labels_stay(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    owner = await owner_of(admin, place)
    first = await cluster.write_secret(draft(place, owner, A="1", B="2"), None)
    assert first.keys == ("A", "B")
    foreign = {"metadata": {"labels": {"team": "shop"}}}
    await admin.do("PATCH", secret_path(place, "orders-db"), foreign)
    current = await cluster.secret(place.shop, "orders-db")
    assert current is not None
    second = await cluster.write_secret(draft(place, owner, B="3", C="4"), current)
    assert second.keys == ("B", "C")
    assert second.labels["team"] == "shop"
    assert second.owner_uids == (owner.uid,)
    raw = await admin.do("GET", secret_path(place, "orders-db"))
    assert raw["data"] == {"B": "Mw==", "C": "NA=="}
    assert list(await cluster.secrets_of(place.shop, owner.uid)) == [second]
    assert list(await cluster.secrets_of(place.shop, "another")) == []


async def test_a_dry_run_writes_nothing(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    owner = await owner_of(admin, place)
    await cluster.write_secret(draft(place, owner), None, dry_run=True)
    assert await cluster.secret(place.shop, "orders-db") is None
    made = await cluster.write_secret(draft(place, owner, A="1"), None)
    await cluster.write_secret(draft(place, owner, B="2"), made, dry_run=True)
    assert await cluster.secret(place.shop, "orders-db") == made


async def test_a_secret_that_exists_changed_or_is_gone_is_a_conflict(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    owner = await owner_of(admin, place)
    made = await cluster.write_secret(draft(place, owner), None)
    with pytest.raises(errors.Conflict):
        await cluster.write_secret(draft(place, owner), None)
    await cluster.touch_secret(made)
    for write in _writes(cluster, draft(place, owner), made):
        with pytest.raises(errors.Conflict):
            await write()
    fresh = await cluster.secret(place.shop, "orders-db")
    assert fresh is not None
    await cluster.delete_secret(fresh)
    await cluster.delete_secret(fresh)
    with pytest.raises(errors.Conflict):
        await cluster.write_secret(draft(place, owner), fresh)
    assert await cluster.secret(place.shop, "orders-db") is None


def _writes(
    cluster: adapter.KubernetesCluster, wanted: ports.SecretDraft, known: ports.SecretView
) -> list[Callable[[], Any]]:
    return [
        lambda: cluster.write_secret(wanted, known),
        lambda: cluster.touch_secret(known),
        lambda: cluster.disown_secret(known),
        lambda: cluster.delete_secret(known),
    ]


async def test_a_recreated_secret_is_not_taken_for_the_one_that_was_read(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    owner = await owner_of(admin, place)
    made = await cluster.write_secret(draft(place, owner), None)
    await cluster.delete_secret(made)
    namesake = await cluster.write_secret(draft(place, owner), None)
    stale_uid = dataclasses.replace(namesake, uid=made.uid)
    for known in (made, stale_uid):
        for write in _writes(cluster, draft(place, owner), known):
            with pytest.raises(errors.Conflict):
                await write()
    assert await cluster.secret(place.shop, "orders-db") == namesake


async def test_two_writers_of_a_secret_never_both_win(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    owner = await owner_of(admin, place)
    made = await cluster.write_secret(draft(place, owner), None)
    written = await asyncio.gather(
        cluster.write_secret(draft(place, owner, A="1"), made),
        cluster.write_secret(draft(place, owner, B="1"), made),
        return_exceptions=True,
    )
    assert sorted(type(w).__name__ for w in written) == ["Conflict", "SecretView"]


async def test_a_touch_moves_the_version_and_leaves_the_data(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    made = await cluster.write_secret(draft(place, await owner_of(admin, place)), None)
    await cluster.touch_secret(made)
    touched = await cluster.secret(place.shop, "orders-db")
    assert touched is not None
    assert touched.resource_version != made.resource_version
    assert touched.keys == made.keys


async def test_a_disowned_secret_keeps_its_data_and_survives_its_owner(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    made = await cluster.write_secret(draft(place, await owner_of(admin, place)), None)
    await cluster.disown_secret(made)
    free = await cluster.secret(place.shop, "orders-db")
    assert free is not None
    assert (free.owner_uids, free.labels, free.annotations) == ((), {}, {})
    assert free.keys == ("PASSWORD",)


async def test_a_secret_over_quota_or_of_another_type_is_refused_and_shows_nothing(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    owner = await owner_of(admin, place)
    made = await cluster.write_secret(draft(place, owner), None)
    other = dataclasses.replace(draft(place, owner), type="example.dev/other")
    with pytest.raises(errors.Refused, match="invalid \\(422\\), see type") as invalid:
        await cluster.write_secret(other, made)
    bad_key = dataclasses.replace(draft(place, owner), credentials=Credentials({"a b": CANARY}))
    with pytest.raises(errors.Refused, match="invalid \\(422\\), see data") as bad:
        await cluster.write_secret(bad_key, made, dry_run=True)
    quota: Body = {"metadata": {"name": "none"}, "spec": {"hard": {"count/secrets": "0"}}}
    quotas = f"/api/v1/namespaces/{place.shop}/resourcequotas"
    await admin.do("POST", quotas, quota)
    # What the quota controller would see, which the control plane doesn't run.
    used = {"status": {**quota["spec"], "used": {"count/secrets": "0"}}}
    await admin.do("PATCH", f"{quotas}/none/status", used)

    async def refused() -> bool:
        another = dataclasses.replace(draft(place, owner), name="another")
        try:
            await cluster.write_secret(another, None, dry_run=True)
        except errors.Refused as refusal:
            return "quota" in refusal.sentence
        return False

    await processes.wait_until_async(refused, timeout=20, what="the quota is in force")
    for error in (invalid.value, bad.value):
        assert CANARY not in repr(error)
        assert error.__cause__ is None


async def test_values_of_secrets_reach_no_log_and_no_exception(
    cluster: adapter.KubernetesCluster,
    admin: Admin,
    place: Place,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in list(logging.Logger.manager.loggerDict):
        if not name.startswith("kubernetes"):
            caplog.set_level(logging.DEBUG, logger=name)
    owner = await owner_of(admin, place)
    made = await cluster.write_secret(draft(place, owner), None)
    await cluster.secrets_of(place.shop, owner.uid)
    await cluster.secret(place.shop, "orders-db")
    access = ports.Access(spec=_spec(), namespace=place.shop)
    ref = provider.SecretKeyRef(name="orders-db", key="PASSWORD")
    await cluster.credentialing(access).secret_value(ref)
    shown = [repr(made)]
    for wanted in (None, dataclasses.replace(made, resource_version="1")):
        with pytest.raises(errors.ClusterError) as failed:
            await cluster.write_secret(draft(place, owner), wanted)
        shown += [repr(failed.value), repr(failed.value.__context__)]
    everything = "\n".join((caplog.text, *shown))
    assert CANARY not in everything
    assert CANARY_ENCODED not in everything


# ---------------------------------------------------------------------------------- the watch


async def upcoming(stream: AsyncIterator[ports.SecretEvent]) -> ports.SecretEvent:
    return await asyncio.wait_for(anext(stream), 20)


async def test_the_watch_sees_what_is_there_created_changed_and_deleted_without_data(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    owner = await owner_of(admin, place)
    expected = ports.SecretEvent(place.shop, owner.name, owner.uid)
    made = await cluster.write_secret(draft(place, owner), None)
    async with contextlib.aclosing(_generator(cluster.secret_events())) as stream:
        assert await upcoming(stream) == expected
        await cluster.touch_secret(made)
        assert await upcoming(stream) == expected
        current = await cluster.secret(place.shop, "orders-db")
        assert current is not None
        await cluster.delete_secret(current)
        assert await upcoming(stream) == expected
        await cluster.write_secret(draft(place, owner), None)
        assert await upcoming(stream) == expected


def _generator(
    stream: AsyncIterator[ports.SecretEvent],
) -> AsyncGenerator[ports.SecretEvent, None]:
    assert isinstance(stream, AsyncGenerator)
    return stream


async def test_lists_and_watches_ask_for_metadata_only(
    control_plane: kubernetes.ControlPlane,
    admin: Admin,
    place: Place,
    cluster: adapter.KubernetesCluster,
) -> None:
    await cluster.write_secret(draft(place, await owner_of(admin, place)), None)
    api = await client.Api.connect(control_plane.kubeconfig)
    try:
        listed = await api.request(
            "GET", places.SECRETS.at(place.shop), accept=watching._LIST, query={}
        )
        stream = api.watch(
            places.SECRETS.at(place.shop), query={}, accept=watching._WATCH, seconds=5
        )
        async with contextlib.aclosing(stream) as events:
            first = await anext(events)
    finally:
        await api.aclose()
    assert listed["kind"] == "PartialObjectMetadataList"
    assert first["object"]["kind"] == "PartialObjectMetadata"
    assert CANARY_ENCODED not in json.dumps([listed, first])


async def test_the_watch_survives_cut_connections_expiry_and_errors_and_misses_nothing(
    cluster: adapter.KubernetesCluster,
    admin: Admin,
    place: Place,
    proxy: faults.FaultProxy,
    through_proxy: pathlib.Path,
) -> None:
    owner = await owner_of(admin, place)
    expected = ports.SecretEvent(place.shop, owner.name, owner.uid)
    await cluster.write_secret(draft(place, owner), None)
    async with (
        connected(through_proxy, place) as proxied,
        contextlib.aclosing(_generator(proxied.secret_events())) as stream,
    ):
        assert await upcoming(stream) == expected
        watched = f"namespaces/{place.shop}/secrets"

        async def dropped() -> bool:
            return await asyncio.to_thread(proxy.faults.drop_watches, watched) > 0

        await processes.wait_until_async(dropped, timeout=20, what="a watch was cut")
        assert await upcoming(stream) == expected

        proxy.faults.answer(503, path=watched, times=1)
        proxy.faults.answer(429, path=watched, times=1, retry_after=1)
        proxy.faults.expire_watches(path=watched, times=1)
        await processes.wait_until_async(dropped, timeout=20, what="a watch was cut")
        current = await cluster.secret(place.shop, "orders-db")
        assert current is not None
        await cluster.delete_secret(current)
        assert await upcoming(stream) == expected


async def test_a_watch_that_hangs_is_given_up(
    cluster: adapter.KubernetesCluster,
    admin: Admin,
    place: Place,
    proxy: faults.FaultProxy,
    through_proxy: pathlib.Path,
) -> None:
    proxy.faults.hang(path=f"{place.shop}/secrets.*watch=true", times=1)
    owner = await owner_of(admin, place)
    await cluster.write_secret(draft(place, owner), None)
    api = await client.Api.connect(through_proxy)
    try:
        watch = watching.SecretWatch(api, [place.shop], seconds=1)
        async with contextlib.aclosing(watch.events()) as stream:
            first = await upcoming(stream)
            # The list after the hang.
            assert await upcoming(stream) == first
    finally:
        await api.aclose()


async def test_a_watch_that_ends_in_its_time_goes_on_where_it_was(
    control_plane: kubernetes.ControlPlane,
    cluster: adapter.KubernetesCluster,
    admin: Admin,
    place: Place,
) -> None:
    asked: list[str] = []
    api = await client.Api.connect(
        control_plane.kubeconfig, observe=lambda verb, _: asked.append(verb)
    )
    try:
        watch = watching.SecretWatch(api, [place.shop], seconds=1)
        async with contextlib.aclosing(watch.events()) as stream:
            listening = asyncio.ensure_future(anext(stream))

            async def watched_twice() -> bool:
                return asked.count("watch") >= 2

            await processes.wait_until_async(watched_twice, timeout=20, what="a second watch")
            owner = await owner_of(admin, place)
            await cluster.write_secret(draft(place, owner), None)
            event = await asyncio.wait_for(listening, 20)
            assert event.owner_uid == owner.uid
        assert asked.count("list") == 1
    finally:
        await api.aclose()


# --------------------------------------------------------------------------------- failures


async def test_an_api_server_that_is_away_slow_or_throttling_is_unavailable(
    place: Place, proxy: faults.FaultProxy, through_proxy: pathlib.Path
) -> None:
    here = f"namespaces/{place.shop}/secrets/x"
    ways: tuple[Callable[[], str], ...] = (
        lambda: proxy.faults.answer(503, path=here, body=CANARY),
        lambda: proxy.faults.reset(path=here),
        lambda: proxy.faults.answer(200, path=here, body=CANARY),
        lambda: proxy.faults.answer(429, path=here, retry_after=3),
    )
    failures = []
    async with connected(through_proxy, place) as proxied:
        for fail in ways:
            fail()
            with pytest.raises(errors.ClusterUnavailable) as away:
                await proxied.secret(place.shop, "x")
            assert away.value.__context__ is None
            failures.append(away.value)
            proxy.faults.clear()
        assert failures[-1].retry_after == 3.0
        assert CANARY not in repr(failures)
        assert await proxied.secret(place.shop, "x") is None


async def test_a_hanging_api_server_is_unavailable(
    place: Place, proxy: faults.FaultProxy, through_proxy: pathlib.Path
) -> None:
    proxy.faults.hang(path="namespaces/kube-system", times=1)
    api = await client.Api.connect(through_proxy)
    try:
        with pytest.raises(errors.ClusterUnavailable, match="no answer in time"):
            await api.request("GET", places.NAMESPACES.at("", "kube-system"), timeout=0.3)
    finally:
        await api.aclose()


async def test_a_write_is_never_sent_twice(
    place: Place, proxy: faults.FaultProxy, through_proxy: pathlib.Path
) -> None:
    proxy.faults.reset_after_commit(method="POST", path=f"{place.home}/leaserecords", times=1)
    async with connected(through_proxy, place) as proxied:
        with pytest.raises(errors.ClusterUnavailable):
            await proxied.create_record(holder(place), 1, attempt(place), ATTEMPT)
        assert len(await proxied.records(holder(place).uid)) == 1


async def _service_account(
    admin: Admin, plane: kubernetes.ControlPlane, place: Place
) -> pathlib.Path:
    """A kubeconfig of a ServiceAccount without rights."""
    accounts = f"/api/v1/namespaces/{place.home}/serviceaccounts"
    await admin.do("POST", accounts, {"metadata": {"name": "operator"}})
    made = await admin.do("POST", f"{accounts}/operator/token", {"spec": {}})
    return plane.kubeconfig_for(made["status"]["token"])


async def test_a_missing_right_is_named(
    control_plane: kubernetes.ControlPlane, admin: Admin, place: Place
) -> None:
    kubeconfig = await _service_account(admin, control_plane, place)
    async with connected(kubeconfig, place) as powerless:
        with pytest.raises(errors.Refused, match="no right to get secrets"):
            await powerless.secret(place.shop, "x")
        with pytest.raises(errors.Refused, match="no right to create secrets"):
            await powerless.write_secret(draft(place), None)
        with pytest.raises(errors.Refused, match="no right to list dynamicleases"):
            await powerless.dynamic_leases()
        with pytest.raises(errors.Refused, match="no right to create leaserecords"):
            await powerless.create_record(holder(place), 1, attempt(place), ATTEMPT)


async def test_a_token_that_is_not_accepted_makes_the_api_server_unavailable(
    control_plane: kubernetes.ControlPlane, place: Place
) -> None:
    async with connected(control_plane.kubeconfig_for("wrong"), place) as stranger:
        with pytest.raises(errors.ClusterUnavailable, match="401"):
            await stranger.secret(place.shop, "x")


async def test_an_unreadable_object_hides_no_other_and_is_refused_by_itself(
    cluster: adapter.KubernetesCluster,
    admin: Admin,
    place: Place,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await admin.do("POST", leases(place), orders(place))
    odd = orders(place, rotation={"overlap": f"{'9' * 5}h"})
    odd["metadata"]["name"] = "odd"
    await admin.do("POST", leases(place), odd)
    status = {"status": {"target": {"secretName": "x"}, "conditions": [_ODD_CONDITION]}}
    await admin.do("PATCH", f"{leases(place, 'odd')}/status", status)
    assert [dl.metadata.name for dl in await cluster.dynamic_leases()] == ["orders"]
    assert f"DynamicLease {place.shop}/odd can't be read" in caplog.text
    with pytest.raises(errors.Refused, match=r"see status\.conditions\.0\.lastTransitionTime"):
        await cluster.dynamic_lease(place.shop, "odd")


# The API server takes the year 0, datetime doesn't.
_ODD_CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "lastTransitionTime": "0000-01-01T00:00:00Z",
}


async def test_each_request_is_counted(
    control_plane: kubernetes.ControlPlane, place: Place
) -> None:
    seen: list[tuple[str, str]] = []
    async with connected(
        control_plane.kubeconfig, place, lambda verb, resource: seen.append((verb, resource))
    ) as counted:
        await counted.secret(place.shop, "x")
        made = await counted.create_record(holder(place), 1, attempt(place), ATTEMPT)
        await counted.update_record(made, HELD)
        await counted.records(holder(place).uid)
    assert seen == [
        ("get", "secrets"),
        ("create", "leaserecords"),
        ("patch", "leaserecords"),
        ("list", "leaserecords"),
    ]


# ----------------------------------------------------------------------------------- events


async def test_repeated_events_are_counted_and_others_posted(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    await admin.do("POST", leases(place), orders(place))
    about = await cluster.dynamic_lease(place.shop, "orders")
    assert about is not None
    note = ports.Note("Warning", conditions.Reason.THROTTLED, "later")
    for _ in range(3):
        await cluster.emit(about, note)
    await cluster.emit(about, dataclasses.replace(note, message="still later"))
    events = f"/api/v1/namespaces/{place.shop}/events"
    found = (await admin.do("GET", events))["items"]
    assert {e["message"]: e["count"] for e in found} == {"later": 3, "still later": 1}
    assert found[0]["involvedObject"]["uid"] == about.metadata.uid
    assert found[0]["source"]["component"] == found[0]["reportingComponent"] == "leaseholder"
    for event in found:
        await admin.do("DELETE", f"{events}/{event['metadata']['name']}")
    await cluster.emit(about, note)
    assert len((await admin.do("GET", events))["items"]) == 1


async def test_an_event_about_a_shared_provider_is_posted_in_default(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    meta = base.ObjectMeta(name=f"shared-{place.shop}", uid=place.shop)
    spec = provider.ClusterLeaseProviderSpec.model_validate(
        infisical(tokenAuth={"tokenSecretRef": {"name": "a", "key": "k", "namespace": "b"}})["spec"]
    )
    about = provider.ClusterLeaseProvider(metadata=meta, spec=spec)
    await cluster.emit(about, ports.Note("Normal", conditions.Reason.READY, "fine"))
    query = f"fieldSelector=involvedObject.name%3Dshared-{place.shop}"
    found = await admin.do("GET", f"/api/v1/namespaces/default/events?{query}")
    assert [e["message"] for e in found["items"]] == ["fine"]


async def test_events_that_can_not_be_posted_are_swallowed(
    control_plane: kubernetes.ControlPlane, admin: Admin, place: Place
) -> None:
    await admin.do("POST", leases(place), orders(place))
    about = patches.read(lease.DynamicLease, await admin.do("GET", leases(place, "orders")))
    async with connected(control_plane.kubeconfig_for("wrong"), place) as stranger:
        await stranger.emit(about, ports.Note("Normal", conditions.Reason.READY, "fine"))


# ------------------------------------------------------------------------------ credentials


def _spec(**fields: Any) -> provider.ProviderSpec:
    return provider.ProviderSpec.model_validate({**infisical()["spec"], **fields})


async def test_a_secret_value_is_read_live(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    credentials = cluster.credentialing(ports.Access(spec=_spec(), namespace=place.shop))
    ref = provider.SecretKeyRef(name="auth", key="secret")
    with pytest.raises(errors.Denied, match=f"there is no Secret {place.shop}/auth: create it"):
        await credentials.secret_value(ref)
    secret: Body = {"metadata": {"name": "auth"}, "stringData": {"other": "x", "secret": " \n"}}
    await admin.do("POST", secret_path(place), secret)
    for key in ("absent", "secret"):
        with pytest.raises(errors.Denied, match=f"has no text under {key}: add it") as denied:
            await credentials.secret_value(provider.SecretKeyRef(name="auth", key=key))
        assert denied.value.reason is conditions.Reason.AUTH_MISSING
    await admin.do("PATCH", secret_path(place, "auth"), {"stringData": {"secret": f"{CANARY}\n"}})
    assert (await credentials.secret_value(ref)).reveal() == CANARY


async def test_references_of_a_leaseprovider_stay_at_home_and_a_shared_ones_name_a_namespace(
    cluster: adapter.KubernetesCluster, place: Place
) -> None:
    away = provider.SecretKeyRef(name="auth", key="k", namespace=place.home)
    none = provider.SecretKeyRef(name="auth", key="k")
    own = cluster.credentialing(ports.Access(spec=_spec(), namespace=place.shop))
    shared = cluster.credentialing(ports.Access(spec=_spec(), namespace=None))
    with pytest.raises(errors.Denied, match="stay in its own namespace"):
        await own.secret_value(away)
    with pytest.raises(errors.Denied, match="names its namespace"):
        await shared.secret_value(none)
    with pytest.raises(errors.Denied, match=f"there is no Secret {place.home}/auth"):
        await shared.secret_value(away)


async def test_a_token_is_for_the_providers_audience_and_never_for_the_api_servers(
    control_plane: kubernetes.ControlPlane,
    cluster: adapter.KubernetesCluster,
    admin: Admin,
    place: Place,
) -> None:
    account = {"metadata": {"name": "login"}}
    await admin.do("POST", f"/api/v1/namespaces/{place.shop}/serviceaccounts", account)
    access = ports.Access(spec=_spec(), namespace=place.shop)
    ref = provider.ServiceAccountRef(name="login")
    token = await cluster.credentialing(access).service_account_token(ref, "infisical")
    claims = _claims(token.reveal())
    assert claims["aud"] == ["infisical"]
    assert claims["exp"] - claims["iat"] == 600
    with pytest.raises(errors.Denied, match="there is no ServiceAccount"):
        await cluster.credentialing(access).service_account_token(
            provider.ServiceAccountRef(name="absent"), "infisical"
        )
    kubeconfig = await _service_account(admin, control_plane, place)
    async with connected(kubeconfig, place) as operator:
        powerless = operator.credentialing(access)
        own = await admin.do(
            "POST",
            f"/api/v1/namespaces/{place.home}/serviceaccounts/operator/token",
            {"spec": {}},
        )
        (default,) = _claims(own["status"]["token"])["aud"]
        for audience in ("", " ", "https://kubernetes.default.svc", default):
            with pytest.raises(errors.Denied, match="API server's own audience"):
                await powerless.service_account_token(ref, audience)
        with pytest.raises(errors.Denied, match="no right to create serviceaccounts/token"):
            await powerless.service_account_token(ref, "infisical")


def _claims(token: str) -> Body:
    payload = token.split(".")[1]
    claims: Body = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def test_ca_certificates_are_inline_or_where_the_reference_points(
    cluster: adapter.KubernetesCluster, admin: Admin, place: Place
) -> None:
    meta = {"metadata": {"name": "ca"}}
    await admin.do("POST", secret_path(place), {**meta, "stringData": {"ca.crt": "of-secret"}})
    config_maps = f"/api/v1/namespaces/{place.shop}/configmaps"
    await admin.do("POST", config_maps, {**meta, "data": {"ca.crt": "of-configmap"}})

    async def bundle(**fields: Any) -> str | None:
        access = ports.Access(spec=_spec(**fields), namespace=place.shop)
        return await cluster.credentialing(access).ca_bundle()

    def ref(kind: str, key: str = "ca.crt") -> Body:
        return {"kind": kind, "name": "ca", "key": key}

    assert await bundle() is None
    assert await bundle(caBundle="inline") == "inline"
    assert await bundle(caBundleRef=ref("Secret")) == "of-secret"
    assert await bundle(caBundleRef=ref("ConfigMap")) == "of-configmap"
    with pytest.raises(errors.Denied, match=r"the ConfigMap .*/ca has no text under nope"):
        await bundle(caBundleRef=ref("ConfigMap", "nope"))
    with pytest.raises(errors.Denied, match=r"there is no ConfigMap .*/no"):
        await bundle(caBundleRef={"kind": "ConfigMap", "name": "no", "key": "k"})


async def test_an_api_server_that_is_away_keeps_a_login_waiting(
    place: Place, proxy: faults.FaultProxy, through_proxy: pathlib.Path
) -> None:
    proxy.faults.answer(503, path=f"{place.shop}/secrets/auth", times=1)
    async with connected(through_proxy, place) as proxied:
        credentials = proxied.credentialing(ports.Access(spec=_spec(), namespace=place.shop))
        with pytest.raises(errors.Unavailable) as away:
            await credentials.secret_value(provider.SecretKeyRef(name="auth", key="k"))
    assert not away.value.sent
