"""Which watches are open, and how long nothing was heard of one."""

from collections.abc import Mapping
from typing import Any

import pytest

from leaseholder.cluster import known, places, streams


def test_a_watch_is_open_from_the_answer_until_it_is_asked_for_again() -> None:
    known = streams.Streams(lambda: 0.0)
    known.expect(["/a", "/b"])
    assert known.closed == {"/a": "not asked for yet", "/b": "not asked for yet"}
    for path in ("/a", "/b", "/other"):
        known.asked(path)
        known.opened(path)
    assert known.closed == {}
    known.asked("/a")
    assert known.closed == {"/a": "no answer yet"}
    known.troubled("/a", "the API server answers 500")
    assert known.closed == {"/a": "the API server answers 500"}


def test_the_watch_that_was_heard_of_least_counts() -> None:
    now = 0.0
    known = streams.Streams(lambda: now)
    assert known.silent_for == 0.0
    known.expect(["/a", "/b"])
    now = 300.0
    known.opened("/a")
    assert known.silent_for == 300.0
    known.troubled("/b", "no connection")
    now = 310.0
    assert known.silent_for == 10.0


def test_a_watch_that_is_refused_is_logged_once_until_it_is_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = streams.Streams(lambda: 0.0)
    known.expect(["/a"])
    for why in ("no right to list", "no right to list", "no right to watch"):
        known.asked("/a")
        known.refused("/a", why)
        assert known.closed == {"/a": why}
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    known.opened("/a")
    known.refused("/a", "no right to watch")
    assert len(caplog.records) == 3


@pytest.mark.parametrize("namespace", ["", "shop", "namespaces"])
def test_a_path_tells_its_collection(namespace: str) -> None:
    for resource in (places.LEASES, places.SECRETS, places.DEPLOYMENTS):
        place = resource.at(namespace)
        assert places.collection(place.path) == place


async def test_the_event_of_our_own_write_is_a_version_for_kopf_and_no_more() -> None:
    kept = known.Known()
    feed = streams.KnownFeed(kept, "", _nothing)
    assert feed.event(_event("ADDED", 2))["type"] == "ADDED"
    kept.answered(_event("", 3)["object"], 2, above=2)
    told = feed.event(_event("MODIFIED", 3))
    assert told == {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "3"}}}
    assert feed.event(_event("MODIFIED", 4))["type"] == "MODIFIED"
    kept.answered(_event("", 5)["object"], 4, above=4)
    assert feed.event(_event("DELETED", 5))["type"] == "DELETED"


async def test_what_a_list_shows_and_misses_is_told_here_and_kopf_gets_its_version() -> None:
    kept, told = known.Known(), list[tuple[Any, bool]]()

    async def tell(meta: Mapping[str, Any], gone: bool) -> None:
        told.append((meta["name"], gone))

    feed = streams.KnownFeed(kept, "", tell)
    kept.answered(_event("", 2, "former")["object"], 0)
    feed.list_begins()
    meta = {"resourceVersion": "5"}
    some = [_event("", 3, "orders")["object"], _event("", 4, "billing")["object"]]
    first = {"kind": "List", "metadata": {**meta, "continue": "x"}, "items": some[:1]}
    assert await feed.page(first) == {**first, "items": []}
    last = {"kind": "List", "metadata": meta, "items": some[1:]}
    assert await feed.page(last) == {**last, "items": []}
    assert told == [("orders", False), ("billing", False), ("former", True)]
    assert kept.get("shop", "orders") is not None


async def _nothing(meta: Mapping[str, Any], gone: bool) -> None:
    return None


def _event(kind: str, version: int, name: str = "orders") -> dict[str, Any]:
    meta = {"namespace": "shop", "name": name, "uid": "u", "resourceVersion": str(version)}
    return {"type": kind, "object": {"metadata": meta}}
