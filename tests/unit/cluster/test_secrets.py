import base64

from leaseholder.api import names, record
from leaseholder.cluster import secrets
from leaseholder.ports.secrets import SecretDraft, SecretView
from leaseholder.secrecy import Credentials

CANARY = "hunter2-canary"


def draft(**values: str) -> SecretDraft:
    return SecretDraft(
        namespace="shop",
        name="orders-db",
        type="Opaque",
        labels={names.MANAGED_BY: names.MANAGER, names.OWNER_UID: "u-1"},
        annotations={names.OWNER_NAME: "orders", names.ATTEMPT: "u-1-1"},
        owner=record.Holder(namespace="shop", name="orders", uid="u-1"),
        credentials=Credentials(values),
    )


def current(**changes: object) -> SecretView:
    body = {
        "metadata": {
            "namespace": "shop",
            "name": "orders-db",
            "uid": "s-1",
            "resourceVersion": "7",
            "labels": {names.MANAGED_BY: names.MANAGER, names.OWNER_UID: "u-1", "team": "a"},
            "annotations": {names.ATTEMPT: "u-1-1", secrets.FENCE: "f", "note": "theirs"},
            "ownerReferences": [{"uid": "u-1"}, {"uid": "other"}],
            **changes,
        },
        "type": "Opaque",
        "data": {"OLD": base64.b64encode(CANARY.encode()).decode(), "A": ""},
    }
    return secrets.view(body)


def test_a_view_knows_names_and_no_values() -> None:
    seen = current()
    assert seen.keys == ("A", "OLD")
    assert seen.owner_uids == ("u-1", "other")
    assert base64.b64encode(CANARY.encode()).decode() not in repr(seen)


def test_a_view_tells_that_the_secret_is_on_its_way_out() -> None:
    assert current(deletionTimestamp="2026-11-21T00:00:00Z").deleting
    assert not current().deleting


def test_values_are_base64_of_utf8() -> None:
    assert secrets.creating(draft(PASSWORD="pä"))["data"] == {"PASSWORD": "cMOk"}


def test_the_secret_is_owned_by_its_dynamiclease_alone() -> None:
    assert secrets.creating(draft())["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "leaseholder.dev/v1alpha1",
            "kind": "DynamicLease",
            "name": "orders",
            "uid": "u-1",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_keys_that_aren_t_drafted_go() -> None:
    assert secrets.replacing(draft(A="x"), current())["data"] == {"A": "eA==", "OLD": None}


def test_disowning_takes_off_what_is_ours_and_nothing_else() -> None:
    assert secrets.disowning(current(), "u-1") == {
        "metadata": {
            "labels": {names.OWNER_UID: None, names.MANAGED_BY: None},
            "annotations": {names.ATTEMPT: None, secrets.FENCE: None},
            "ownerReferences": [{"$patch": "delete", "uid": "u-1"}],
        }
    }


def test_disowning_leaves_anothers_managed_by_and_owners() -> None:
    labels = {names.OWNER_UID: "u-1", names.MANAGED_BY: "helm"}
    patch = secrets.disowning(current(labels=labels, ownerReferences=[{"uid": "other"}]), "u-1")
    assert patch["metadata"]["labels"] == {names.OWNER_UID: None}
    assert "ownerReferences" not in patch["metadata"]
