"""The watch on Secrets: what is told of them, and what their owners-to-be may write."""

import asyncio
import contextlib
import dataclasses
import json
import logging
import time
import typing
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api import names
from leaseholder.cluster import client, places, secret_marks, streams, unreadable, watching
from leaseholder.ports.secrets import SecretCopy, SecretEvent

ORDERS = SecretEvent("shop", "orders", "u-1")
BILLING = SecretEvent("shop", "billing", "u-2")


class Watch:
    """What is known of Secrets, fed with objects as the API server sends them."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.known = watching.KnownSecrets(unreadable.UnreadableObjects(self.counts.__setitem__))

    def listed(self, items: Iterable[Any]) -> list[object]:
        marks = (secret_marks.read(item["metadata"]) for item in items)
        self.known.list_begins()
        return [*self.known.page(filter(None, marks)), *self.known.list_ends()]

    def changed(self, kind: str, metadata: Any) -> list[object]:
        marks = secret_marks.read(metadata)
        return list(self.known.changed(kind, marks)) if marks is not None else []

    def wrote(self, uid: str, owner: SecretEvent) -> None:
        self.known.wrote(uid, owner)


def meta(secret: str, owner: SecretEvent, **changes: Any) -> dict[str, Any]:
    written = f"{owner.namespace}/{changes.get('name', f'secret-{secret}')}"
    return {
        "uid": secret,
        "namespace": owner.namespace,
        "name": f"secret-{secret}",
        "labels": {names.OWNER_UID: owner.owner_uid},
        "annotations": {names.OWNER_NAME: owner.owner_name, names.SECRET: written},
        **changes,
    }


def item(secret: str, owner: SecretEvent) -> dict[str, Any]:
    return {"metadata": meta(secret, owner)}


def test_a_list_tells_of_all_that_are_there() -> None:
    known = Watch()
    assert known.listed([item("s-1", ORDERS), item("s-2", BILLING)]) == [ORDERS, BILLING]
    assert known.listed([item("s-1", ORDERS), item("s-2", BILLING)]) == [ORDERS, BILLING]


def test_a_list_tells_of_those_that_vanished_since_the_last_one() -> None:
    known = Watch()
    known.listed([item("s-1", ORDERS), item("s-2", BILLING)])
    assert known.listed([item("s-2", BILLING)]) == [BILLING, ORDERS]
    assert known.listed([item("s-2", BILLING)]) == [BILLING]


def test_a_secret_of_our_own_that_came_and_went_unseen_is_told_of() -> None:
    known = Watch()
    known.listed([])
    known.wrote("s-1", ORDERS)
    assert known.listed([]) == [ORDERS]
    assert known.listed([]) == []


def test_a_secret_of_our_own_that_the_watch_shows_then_is_told_of_once() -> None:
    known = Watch()
    known.wrote("s-1", ORDERS)
    assert known.changed("ADDED", meta("s-1", ORDERS)) == [ORDERS]


def test_a_deletion_is_told_once() -> None:
    known = Watch()
    known.listed([item("s-1", ORDERS)])
    told = known.changed("DELETED", meta("s-1", ORDERS, resourceVersion="7"))
    assert told == [ORDERS]
    assert [one.version for one in told if isinstance(one, SecretEvent)] == [""]
    assert known.listed([]) == []


def test_a_secret_that_lost_its_label_is_still_its_last_owners() -> None:
    known = Watch()
    known.listed([item("s-1", ORDERS)])
    assert known.changed("DELETED", meta("s-1", ORDERS, labels=None)) == [ORDERS]


def test_which_secrets_carry_our_label_is_known_by_name_also_those_that_are_nobodys() -> None:
    known = Watch()
    copy = {"metadata": meta("s-2", ORDERS, annotations=None)}
    known.listed([item("s-1", ORDERS), copy, item("s-3", BILLING)])
    assert {*known.known.labelled("shop", "u-1")} == {"secret-s-1", "secret-s-2"}
    assert {*known.known.labelled("shop", "u-2")} == {"secret-s-3"}
    assert not known.known.labelled("elsewhere", "u-1")
    known.changed("DELETED", meta("s-2", ORDERS))
    known.changed("ADDED", meta("s-4", BILLING))
    assert {*known.known.labelled("shop", "u-1")} == {"secret-s-1"}
    assert {*known.known.labelled("shop", "u-2")} == {"secret-s-3", "secret-s-4"}
    known.changed("DELETED", meta("s-1", ORDERS))
    assert not known.known.labelled("shop", "u-1")


def test_a_label_that_is_changed_again_and_again_leaves_no_name_behind() -> None:
    known = Watch()
    known.listed([item("s-1", ORDERS)])
    for number in range(1_000):
        owner = dataclasses.replace(ORDERS, owner_uid=f"u-{number + 2}")
        known.changed("MODIFIED", meta("s-1", owner))
    shown = [number for number in range(1_002) if known.known.labelled("shop", f"u-{number}")]
    assert shown == [1_001]
    known.changed("DELETED", meta("s-1", ORDERS, labels=None))
    assert not known.known.labelled("shop", "u-1001")


def test_of_thousands_with_one_uid_a_few_names_are_known_until_the_next_list() -> None:
    known = Watch()
    known.listed(item(f"s-{number}", ORDERS) for number in range(5_000))
    some = {*known.known.labelled("shop", "u-1")}
    assert 1 < len(some) < 20
    for number in range(4_999):
        known.changed("DELETED", meta(f"s-{number}", ORDERS))
    assert {*known.known.labelled("shop", "u-1")} == some
    known.listed([item("s-4999", ORDERS)])
    assert {*known.known.labelled("shop", "u-1")} == {"secret-s-4999"}


def test_a_secret_that_changes_hands_concerns_both_owners() -> None:
    known = Watch()
    known.listed([item("s-1", ORDERS)])
    assert known.changed("MODIFIED", meta("s-1", BILLING)) == [BILLING, ORDERS]


def test_a_secret_that_changes_hands_by_our_own_write_concerns_both_owners_all_the_same() -> None:
    known = Watch()
    known.listed([item("s-1", ORDERS)])
    known.wrote("s-1", BILLING)
    told = known.changed("MODIFIED", meta("s-1", BILLING))
    assert told == [BILLING, ORDERS]


def test_a_secret_without_the_owners_name_is_known_from_before_or_by_its_owner_reference() -> None:
    known = Watch()
    known.listed([item("s-1", ORDERS)])
    event, left = known.changed("MODIFIED", meta("s-1", ORDERS, annotations={}))
    assert event == ORDERS
    assert isinstance(left, SecretCopy)
    owners = [{"kind": "DynamicLease", "name": "billing", "uid": "u-2"}]
    bare = meta("s-2", BILLING, annotations=None, ownerReferences=owners)
    assert known.changed("ADDED", bare) == [BILLING]


FORGED: list[dict[str, Any]] = [
    {"labels": {names.OWNER_UID: "x"}, "annotations": {names.OWNER_NAME: "x" * 1025}},
    {"labels": {names.OWNER_UID: "x"}, "annotations": {names.OWNER_NAME: "x/y"}},
    {"labels": {names.OWNER_UID: "x"}, "annotations": {names.OWNER_NAME: "x\n2026 ERROR forged"}},
    {"labels": {names.OWNER_UID: "x"}, "annotations": {names.OWNER_NAME: ""}},
    {"labels": {names.OWNER_UID: "x"}, "annotations": {names.OWNER_NAME: "\u0660"}},
    {"labels": {names.OWNER_UID: ""}, "annotations": {names.OWNER_NAME: "orders"}},
    {"labels": {names.OWNER_UID: 7}, "annotations": {names.OWNER_NAME: ["orders"]}},
]


@pytest.mark.parametrize("forged", FORGED)
def test_marks_that_are_no_names_are_dropped_and_reported_once_by_the_secrets_own_name(
    forged: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch()
    for _ in range(3):
        assert watch.changed("MODIFIED", meta("s-1", ORDERS, **forged)) == []
    assert watch.listed([{"metadata": meta("s-1", ORDERS, **forged)}]) == []
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "Secret shop/secret-s-1 can't be read"
    ]
    assert caplog.text.count("\n") == 1
    assert "forged" not in caplog.text
    assert watch.counts == {"Secret": 1}
    watch.changed("MODIFIED", meta("s-1", ORDERS))
    assert watch.counts == {"Secret": 0}


@pytest.mark.parametrize("end", ["deleted", "unlisted"])
def test_a_secret_that_could_not_be_read_is_forgotten_when_it_goes(end: str) -> None:
    watch = Watch()
    forged = meta("s-1", ORDERS, **FORGED[0])
    watch.changed("ADDED", forged)
    if end == "deleted":
        watch.changed("DELETED", forged)
    else:
        watch.listed([])
    assert watch.counts == {"Secret": 0}


def test_of_a_flood_of_unreadable_secrets_a_hundred_of_each_namespace_are_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = Watch()
    for number in range(1000):
        watch.changed("ADDED", meta(f"s-{number}", ORDERS, **FORGED[0]))
    elsewhere = meta("s-1", SecretEvent("other", "orders", "u-1"), **FORGED[0])
    watch.changed("ADDED", elsewhere)
    assert len(caplog.records) == unreadable.MOST_NAMED + 2
    assert "more than 100 objects of kind Secret in namespace shop" in caplog.text
    assert "Secret other/secret-s-1 can't be read" in caplog.text
    assert watch.counts == {"Secret": unreadable.MOST_NAMED + 1}


def test_marks_of_ours_that_became_unreadable_concern_the_owner_that_was_known() -> None:
    watch = Watch()
    watch.changed("ADDED", meta("s-1", ORDERS))
    notes = {names.OWNER_NAME: "no name"}
    assert watch.changed("MODIFIED", meta("s-1", ORDERS, annotations=notes)) == [ORDERS]


def test_a_copy_is_its_makers_and_told_as_one() -> None:
    watch = Watch()
    notes = {names.OWNER_NAME: "orders", names.SECRET: "shop/orders"}
    told = watch.changed("ADDED", meta("s-1", ORDERS, annotations=notes))
    copy = SecretCopy(
        namespace="shop",
        name="secret-s-1",
        original="shop/orders",
        owner_name="orders",
        owner_uid="u-1",
    )
    assert told == [copy]
    whole = meta("s-2", ORDERS, name="orders", annotations=notes)
    assert watch.changed("ADDED", whole) == [ORDERS]


def test_a_secret_with_our_label_and_nothing_else_is_told_as_one_to_be_left_alone() -> None:
    watch = Watch()
    left = SecretCopy(
        namespace="shop", name="secret-s-1", original="", owner_name="", owner_uid="u-1"
    )
    assert watch.changed("ADDED", meta("s-1", ORDERS, annotations={})) == [left]
    named = meta("s-1", ORDERS, annotations={names.OWNER_NAME: "orders"})
    told = watch.changed("MODIFIED", named)
    assert told == [ORDERS, dataclasses.replace(left, owner_name="orders")]
    owner = {"kind": "DynamicLease", "name": "orders", "uid": "u-1"}
    assert watch.changed("MODIFIED", meta("s-1", ORDERS, ownerReferences=[owner])) == [ORDERS]
    assert watch.changed("DELETED", named) == [ORDERS]


_TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["x" * 2000, "a\nb", "orders", "u-1", "shop/orders", "shop/other", "../x"]),
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)
_OWN_NAMES = st.sampled_from([names.OWNER_UID, names.OWNER_NAME, names.SECRET, names.CONTENTS])
_MAPPINGS = st.dictionaries(_OWN_NAMES, _VALUES, max_size=4)
_OWNERS = st.lists(
    st.dictionaries(st.sampled_from(["kind", "name", "uid"]), _TEXTS | _VALUES) | _VALUES,
    max_size=3,
)
_METADATA = st.fixed_dictionaries(
    {},
    optional={
        "uid": st.sampled_from(["s-1", "s-2"]) | _VALUES,
        "namespace": st.just("shop") | _VALUES,
        "name": st.just("orders") | _VALUES,
        "labels": _MAPPINGS | _VALUES,
        "annotations": _MAPPINGS | _VALUES,
        "ownerReferences": _OWNERS | _VALUES,
        "resourceVersion": st.just("7") | _VALUES,
    },
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without a warning for each of thousands of objects; other tests see theirs."""
    told = logging.getLogger("leaseholder.cluster.unreadable")
    before = told.level
    told.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        told.setLevel(before)


@given(st.lists(st.tuples(st.sampled_from(["ADDED", "MODIFIED", "DELETED"]), _METADATA | _VALUES)))
def test_no_metadata_raises_and_none_is_kept_for_longer_than_its_secret(
    events: list[tuple[str, object]],
) -> None:
    watch = Watch()
    with quiet():
        for kind, found in events:
            for news in watch.changed(kind, found):
                assert isinstance(news, SecretEvent | SecretCopy)
                assert names.is_name(news.namespace)
                left = isinstance(news, SecretCopy) and not news.original
                assert names.is_name(news.owner_name) or left
                assert names.is_uid(news.owner_uid)
    secrets = {
        str(found["uid"]) for _, found in events if isinstance(found, dict) and "uid" in found
    }
    assert len(watch.known.owners) <= len(secrets)
    watch.listed([])
    assert len(watch.known.owners) == 0
    assert watch.counts.get("Secret", 0) == 0
    assert len(json.dumps(watch.counts)) < 100


class Pages:
    """An API server that lists so many Secrets of ours, fifty at a time, and watches in silence."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.streams = streams.Streams()

    async def pages(self, place: places.Place, **_: object) -> AsyncIterator[client.Body]:
        for first in range(0, self.number, client.PAGE):
            await asyncio.sleep(0)
            some = range(first, first + client.PAGE)
            owners = (SecretEvent("shop", f"o-{one}", f"u-{one}") for one in some)
            items = [item(f"s-{one.owner_uid}", one) for one in owners]
            yield {"metadata": {"resourceVersion": "1"}, "items": items}

    async def watch(self, place: places.Place, **_: object) -> AsyncIterator[client.Body]:
        await asyncio.sleep(3600)
        yield {}


async def _longest_turn(seen: list[float]) -> None:
    """Seconds of the processor between two turns of the loop."""
    while True:
        before = time.process_time()
        await asyncio.sleep(0)
        seen.append(time.process_time() - before)


async def test_a_list_of_thousands_holds_nobody_up() -> None:
    watch, turns = watching.SecretWatch(typing.cast(client.Api, Pages(40_000)), []), list[float]()
    timed = asyncio.create_task(_longest_turn(turns))
    async with contextlib.aclosing(watch.events()) as events:
        told = [await anext(events) for _ in range(40_000)]
    timed.cancel()
    assert len({*told}) == len(watch.owners) == 40_000
    assert max(turns) < sum(turns) / 3


def test_what_we_wrote_while_a_list_is_read_is_known_after_it() -> None:
    watch = Watch()
    watch.listed([item("s-1", ORDERS)])
    watch.known.list_begins()
    watch.wrote("s-2", BILLING)
    watch.known.label("s-2", "shop", "secret-s-2", "u-2")
    assert [*watch.known.labelled("shop", "u-1")] == ["secret-s-1"]
    assert [*watch.known.list_ends()] == [ORDERS]
    assert [*watch.known.owners] == [BILLING]
    assert [*watch.known.labelled("shop", "u-2")] == ["secret-s-2"]


def test_pauses_grow_from_one_second_to_thirty() -> None:
    backoff = watching.Backoff()
    pauses = [backoff.pause() for _ in range(50)]
    assert pauses[0] == 1.0
    assert all(1.0 <= pause <= 30.0 for pause in pauses)
    assert min(pauses[10:]) >= 15.0
    backoff.reset()
    assert backoff.pause() == 1.0
