"""The CRDs before a real API server: established, described, and refusing in our own words."""

from collections.abc import Iterator

import pytest

from leaseholder.api import crds
from tests.cluster.adapter import objects
from tests.world import kube


def test_all_crds_are_established_and_structural(served: dict[str, objects.Body]) -> None:
    assert len(served) == len(crds.KINDS)
    for name, crd in served.items():
        assert {"NamesAccepted", "Established"} <= _true(crd), name
        assert "NonStructuralSchema" not in _true(crd), crd["status"]["conditions"]


def test_kubectl_explain_has_a_description_of_every_field(served: dict[str, objects.Body]) -> None:
    bare = []
    for name, crd in served.items():
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        # The API server describes metadata itself, and refuses a CRD that does.
        bare += [path for path in _undescribed(schema, name) if path != f"{name}.metadata"]
    assert not bare


def _true(crd: objects.Body) -> set[str]:
    return {c["type"] for c in crd["status"]["conditions"] or () if c["status"] == "True"}


def _undescribed(schema: objects.Body, path: str) -> Iterator[str]:
    if not schema.get("description"):
        yield path
    for name, inner in schema.get("properties", {}).items():
        yield from _undescribed(inner, f"{path}.{name}")
    for name, inner in schema.get("items", {}).get("properties", {}).items():
        yield from _undescribed(inner, f"{path}[].{name}")


async def test_what_a_user_may_write_is_taken(user: kube.Kube, place: objects.Place) -> None:
    spec = {
        "ttl": "1h30m",
        "renewal": {"before": "10m"},
        "rotation": {
            "maxAge": "24h",
            "restartTargets": [
                {"kind": "Deployment", "name": "orders"},
                {"kind": "Rollout", "selector": {"matchLabels": {"app": "orders"}}},
            ],
        },
        "target": {
            "template": {
                "metadata": {"labels": {"team": "shop"}},
                "data": {"DATABASE_URL": "postgresql://{{ DB_USERNAME }}@db", "k" * 253: ""},
            }
        },
    }
    await user.apply(objects.infisical(place))
    await user.apply(objects.orders(place, **spec))
    made = await user.get("DynamicLease", "orders", place.shop)
    assert made is not None
    assert made["spec"]["rotation"]["overlap"] == "2m"
    assert made["spec"]["target"]["type"] == "Opaque"
    assert made["spec"]["target"]["template"]["mergePolicy"] == "Merge"


async def test_what_leases_hang_on_can_not_change(user: kube.Kube, place: objects.Place) -> None:
    bao = {"url": "https://bao.test", "auth": {"token": objects.token_of()}}
    await user.apply({**objects.infisical(place), "spec": {"openbao": bao}})
    phase = {"url": "https://api.phase.dev", "auth": objects.token_of()}
    for changed, sentence in (
        ({"openbao": {"namespace": "team1"}}, "namespace can't change"),
        ({"openbao": None, "phase": phase}, "the kind of provider can't change"),
    ):
        with pytest.raises(kube.Refused, match=r"^422") as refused:
            await user.patch("LeaseProvider", "infisical", place.shop, {"spec": changed})
        assert sentence in refused.value.message


async def test_a_shared_providers_references_name_their_namespace(user: kube.Kube) -> None:
    with pytest.raises(kube.Refused, match=r"^422") as refused:
        await user.apply(objects.shared_infisical("shared"))
    told = refused.value.message
    assert "each reference of a ClusterLeaseProvider names its namespace" in told


async def test_url_and_secret_type_can_not_change(user: kube.Kube, place: objects.Place) -> None:
    await user.apply(objects.infisical(place))
    await user.apply(objects.orders(place))
    url = {"spec": {"infisical": {"url": "https://eu.infisical.com"}}}
    kind = {"spec": {"target": {"type": "kubernetes.io/basic-auth"}}}
    with pytest.raises(kube.Refused, match=r"^422") as moved:
        await user.patch("LeaseProvider", "infisical", place.shop, url)
    with pytest.raises(kube.Refused, match=r"^422") as changed:
        await user.patch("DynamicLease", "orders", place.shop, kind)
    assert "url can't change: make another provider instead" in moved.value.message
    assert "a Secret's type can't change: recreate it" in changed.value.message
