from typing import Any

from leaseholder.api import names
from leaseholder.cluster import watching
from leaseholder.ports import SecretEvent

ORDERS = SecretEvent("shop", "orders", "u-1")
BILLING = SecretEvent("shop", "billing", "u-2")


def meta(secret: str, owner: SecretEvent, **changes: Any) -> dict[str, Any]:
    return {
        "uid": secret,
        "namespace": owner.namespace,
        "labels": {names.OWNER_UID: owner.owner_uid},
        "annotations": {names.OWNER_NAME: owner.owner_name},
        **changes,
    }


def item(secret: str, owner: SecretEvent) -> dict[str, Any]:
    return {"metadata": meta(secret, owner)}


def test_a_list_tells_of_all_that_are_there() -> None:
    known = watching.Known()
    assert list(known.listed([item("s-1", ORDERS), item("s-2", BILLING)])) == [ORDERS, BILLING]
    assert list(known.listed([item("s-1", ORDERS), item("s-2", BILLING)])) == [ORDERS, BILLING]


def test_a_list_tells_of_those_that_vanished_since_the_last_one() -> None:
    known = watching.Known()
    list(known.listed([item("s-1", ORDERS), item("s-2", BILLING)]))
    assert list(known.listed([item("s-2", BILLING)])) == [BILLING, ORDERS]
    assert list(known.listed([item("s-2", BILLING)])) == [BILLING]


def test_a_secret_of_our_own_that_came_and_went_unseen_is_told_of() -> None:
    known = watching.Known()
    list(known.listed([]))
    known.wrote("s-1", ORDERS)
    assert list(known.listed([])) == [ORDERS]
    assert list(known.listed([])) == []


def test_a_secret_of_our_own_that_the_watch_shows_then_is_told_of_once() -> None:
    known = watching.Known()
    known.wrote("s-1", ORDERS)
    assert list(known.changed("ADDED", meta("s-1", ORDERS))) == [ORDERS]


def test_a_deletion_is_told_once() -> None:
    known = watching.Known()
    list(known.listed([item("s-1", ORDERS)]))
    assert list(known.changed("DELETED", meta("s-1", ORDERS))) == [ORDERS]
    assert list(known.listed([])) == []


def test_a_secret_that_lost_its_label_is_still_its_last_owners() -> None:
    known = watching.Known()
    list(known.listed([item("s-1", ORDERS)]))
    assert list(known.changed("DELETED", meta("s-1", ORDERS, labels=None))) == [ORDERS]


def test_a_secret_that_changes_hands_concerns_both_owners() -> None:
    known = watching.Known()
    list(known.listed([item("s-1", ORDERS)]))
    assert list(known.changed("MODIFIED", meta("s-1", BILLING))) == [BILLING, ORDERS]


def test_a_secret_without_the_owners_name_is_known_from_before_or_by_its_owner_reference() -> None:
    known = watching.Known()
    list(known.listed([item("s-1", ORDERS)]))
    assert list(known.changed("MODIFIED", meta("s-1", ORDERS, annotations={}))) == [ORDERS]
    owners = [{"kind": "DynamicLease", "name": "billing", "uid": "u-2"}]
    bare = meta("s-2", BILLING, annotations=None, ownerReferences=owners)
    assert list(known.changed("ADDED", bare)) == [BILLING]


def test_a_secret_that_names_nobody_is_nobodys() -> None:
    assert list(watching.Known().changed("ADDED", meta("s-1", ORDERS, annotations={}))) == []


def test_pauses_grow_from_one_second_to_thirty() -> None:
    backoff = watching.Backoff()
    pauses = [backoff.pause() for _ in range(50)]
    assert pauses[0] == 1.0
    assert all(1.0 <= pause <= 30.0 for pause in pauses)
    assert min(pauses[10:]) >= 15.0
    backoff.reset()
    assert backoff.pause() == 1.0
