"""What is known of objects: the newest of what watch, lists and answers show, and no more."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.cluster import known


def body(version: int, name: str = "orders", uid: str = "u", **meta: Any) -> dict[str, Any]:
    stamped = {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": str(version)}
    return {"metadata": {**stamped, **meta}, "spec": {"ttl": f"{version}s"}, "status": {}}


def version(kept: known.Known, name: str = "orders") -> int | None:
    found = kept.get("shop", name)
    return None if found is None else int(found["metadata"]["resourceVersion"])


def listed(kept: known.Known, number: int, *items: Mapping[str, Any]) -> list[str]:
    page = {"metadata": {"resourceVersion": str(number)}, "items": items}
    return [meta["name"] for meta in kept.listing().page(page)]


NEW, FIRST = ("shop", "orders"), ("shop", "first")


def test_the_watch_tells_of_one_beside_another_that_stands() -> None:
    kept = known.Known()
    listed(kept, 3, body(2, "first", "f"))
    kept.event("ADDED", body(4))
    kept.answered(body(5), 4)
    assert kept.shown_beside(NEW, "u", FIRST, "f")
    assert not kept.shown_beside(NEW, "another", FIRST, "f")
    assert not kept.shown_beside(NEW, "u", FIRST, "another")
    kept.event("DELETED", body(6, "first", "f"))
    assert not kept.shown_beside(NEW, "u", FIRST, "f")


def test_what_an_answer_shows_may_have_come_after_the_others_went() -> None:
    kept = known.Known()
    kept.event("ADDED", body(2, "first", "f"))
    kept.answered(body(4), 0)
    assert not kept.shown_beside(NEW, "u", FIRST, "f")
    kept.event("MODIFIED", body(7))
    assert kept.shown_beside(NEW, "u", FIRST, "f")
    kept.event("MODIFIED", body(8, uid="again"))
    assert kept.shown_beside(NEW, "again", FIRST, "f")


def test_an_object_is_found_by_its_uid_as_long_as_it_is_known() -> None:
    kept = known.Known()
    listed(kept, 5, body(2, "first", "f"), body(3, "other", "o"))
    assert kept.named("shop", "f") == "first"
    assert kept.named("elsewhere", "f") is None
    kept.event("MODIFIED", body(6, "first", "again"))
    assert (kept.named("shop", "f"), kept.named("shop", "again")) == (None, "first")
    kept.event("DELETED", body(7, "first", "again"))
    assert kept.named("shop", "again") is None
    kept.forget()
    assert kept.named("shop", "o") is None


def test_uids_that_nobody_has_are_looked_up_at_once_among_thousands() -> None:
    kept = known.Known()
    for number in range(5_000):
        kept.event("ADDED", body(number + 1, f"orders-{number}", f"u-{number}"))
    before = time.process_time()
    assert not any(kept.named("shop", f"forged-{number}") for number in range(2_000))
    assert time.process_time() - before < 0.3  # a hundred times what it takes


def test_one_list_shows_what_stood_together_and_two_lists_dont() -> None:
    kept = known.Known()
    listed(kept, 5, body(2, "first", "f"))
    kept.answered(body(7, "first", "f"), 2)
    listed(kept, 6, body(5))
    assert not kept.shown_beside(NEW, "u", FIRST, "f")
    listed(kept, 9, body(7, "first", "f"), body(5))
    assert kept.shown_beside(NEW, "u", FIRST, "f")
    assert not kept.shown_beside(NEW, "another", FIRST, "f")
    kept.answered(body(10), 5)
    kept.answered(body(11, "first", "f"), 2)
    assert kept.shown_beside(NEW, "u", FIRST, "f")
    kept.answered(body(12, "first", "again"), 11)
    assert not kept.shown_beside(NEW, "u", FIRST, "again")


def test_pages_of_two_moments_dont_show_what_stood_together() -> None:
    kept = known.Known()
    listing = kept.listing()
    first = {
        "metadata": {"resourceVersion": "5", "continue": "x"},
        "items": [body(2, "first", "f")],
    }
    listing.page(first)
    listing.page({"metadata": {"resourceVersion": "8"}, "items": [body(7)]})
    assert not kept.shown_beside(NEW, "u", FIRST, "f")


def test_what_was_never_shown_is_not_known() -> None:
    assert known.Known().get("shop", "orders") is None


@given(st.permutations(range(1, 8)), st.data())
def test_the_newest_state_counts_in_whatever_order_events_and_answers_come(
    order: list[int], data: st.DataObject
) -> None:
    kept, newest = known.Known(), 0
    for number in order:
        if data.draw(st.booleans()):
            kept.event("MODIFIED", body(number))
        else:
            kept.answered(body(number), kept.asked("shop", "orders") if number > newest else 0)
        newest = max(newest, number)
        assert version(kept) == newest


def test_an_answer_or_a_page_that_was_under_way_brings_nothing_back_that_is_gone() -> None:
    kept = known.Known()
    kept.event("ADDED", body(4))
    kept.event("DELETED", body(6))
    kept.answered(body(5), 4)
    listed(kept, 9, body(5))
    assert version(kept) is None
    kept.event("ADDED", body(7, uid="again"))
    assert version(kept) == 7


def test_our_write_that_takes_the_last_finalizer_off_forgets_what_is_gone_with_it() -> None:
    kept = known.Known()
    kept.event("MODIFIED", body(4, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["f"]))
    kept.answered(body(5, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=[]), 4)
    kept.event("MODIFIED", body(4, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["f"]))
    assert version(kept) is None


def test_what_is_not_watched_is_not_known_however_it_is_shown() -> None:
    kept = known.Known(watches=lambda labels: labels.get("shard") != "other")
    kept.event("ADDED", body(4))
    kept.answered(body(5, labels={"shard": "other"}), 4)
    assert version(kept) is None
    listed(kept, 6, body(5, labels={"shard": "other"}))
    assert version(kept) is None
    kept.event("ADDED", body(7, labels={"shard": "ours"}))
    assert version(kept) == 7


def test_what_is_in_doubt_is_not_known_until_an_answer_shows_it() -> None:
    kept = known.Known()
    kept.event("ADDED", body(4))
    kept.doubt("shop", "orders")
    kept.event("MODIFIED", body(5))
    assert version(kept) is None
    kept.answered(body(5), 4)
    assert version(kept) == 5


def test_an_object_that_is_missing_is_forgotten_unless_a_newer_one_came_meanwhile() -> None:
    kept = known.Known()
    kept.event("ADDED", body(4))
    asked = kept.asked("shop", "orders")
    kept.event("ADDED", body(6, uid="again"))
    kept.missing("shop", "orders", asked)
    assert version(kept) == 6
    kept.missing("shop", "orders", kept.asked("shop", "orders"))
    assert version(kept) is None


def test_a_whole_list_tells_what_went_unseen_and_spares_what_is_newer_than_it() -> None:
    kept = known.Known()
    for name, number in (("old", 3), ("gone", 4), ("young", 9)):
        kept.event("ADDED", body(number, name))
    assert listed(kept, 9, body(3, "old")) == ["gone", "young"]
    pages = kept.listing()
    kept.event("ADDED", body(12, "younger"))
    following = {"metadata": {"resourceVersion": "10", "continue": "c"}, "items": [body(3, "old")]}
    assert list(pages.page(following)) == []
    last = {"metadata": {"resourceVersion": "10"}, "items": [body(5, "next")]}
    assert list(pages.page(last)) == []
    assert [version(kept, name) for name in ("old", "next", "younger")] == [3, 5, 12]


def test_what_a_list_misses_is_not_brought_back_by_an_answer_from_before_it() -> None:
    """Its last write was missed, too: the answer is newer than what was known."""
    kept = known.Known()
    kept.event("ADDED", body(3))
    assert listed(kept, 9) == ["orders"]
    kept.answered(body(5), 3)
    assert version(kept) is None
    kept.event("ADDED", body(11, uid="again"))
    assert version(kept) == 11


def test_a_list_of_one_namespace_says_nothing_of_others() -> None:
    kept = known.Known()
    kept.event("ADDED", body(3))
    page = {"metadata": {"resourceVersion": "5"}, "items": []}
    assert list(kept.listing("elsewhere").page(page)) == []
    assert version(kept) == 3


def test_a_list_or_an_answer_from_before_what_was_seen_forgets_everything() -> None:
    told = list[str]()
    kept = known.Known(lambda: told.append("restored"))
    kept.event("ADDED", body(100, "other"))
    kept.event("ADDED", body(101))
    assert listed(kept, 50, body(40)) == []
    assert told == ["restored"]
    assert (version(kept), version(kept, "other")) == (40, None)
    kept.event("MODIFIED", body(60))
    kept.answered(body(45), kept.asked("shop", "orders"))
    assert told == ["restored"] * 2
    assert version(kept) == 45


@pytest.mark.parametrize(
    ("shown", "asked", "is_older"),
    [
        ("5", "9", True),
        ("9", "9", False),
        ("10", "9", False),
        (None, "9", False),
        ("5", "x", False),
    ],
)
def test_a_list_that_has_not_come_to_where_a_watch_goes_on_shows_a_restore(
    shown: str | None, asked: str, is_older: bool
) -> None:
    page = {"metadata": {"resourceVersion": shown}, "items": []}
    assert known.is_older(page, asked) is is_older
    assert not known.is_older(None, asked)


@given(st.integers(1, 50), st.integers(0, 50), st.integers(0, 50))
def test_a_write_that_was_done_after_what_was_seen_has_a_higher_version_or_etcd_was_restored(
    asked: int, ahead: int, later: int
) -> None:
    told = list[str]()
    kept = known.Known(lambda: told.append("restored"))
    kept.event("ADDED", body(asked))
    kept.event("ADDED", body(asked + ahead, "other"))
    above = kept.highest
    kept.answered(body(asked), asked, above)  # it changed nothing
    kept.answered(body(above + 1 + later), asked, above)
    assert told == []
    for version_ in range(asked + 1, above + 1):
        told.clear()
        kept.answered(body(version_), asked, above)
        assert told == ["restored"]


def test_a_late_answer_about_the_one_before_restores_nothing_where_one_was_made_again() -> None:
    told = list[str]()
    kept = known.Known(lambda: told.append("restored"))
    kept.event("ADDED", body(9, uid="again"))
    kept.answered(body(5), 9)
    assert (told, version(kept)) == ([], 9)


def test_what_is_never_read_is_not_kept() -> None:
    notes = {"leaseholder.dev/rotate": "1", "kubectl.kubernetes.io/last-applied": "x" * 9_000}
    kept = known.Known()
    kept.event("ADDED", body(4, annotations=notes, managedFields=[{"f": "x" * 9_000}]))
    found = kept.get("shop", "orders")
    assert found is not None
    assert found["metadata"]["annotations"] == {"leaseholder.dev/rotate": "1"}
    assert len(json.dumps(found)) < 300


def test_large_objects_are_known_as_far_as_there_is_room_and_read_live_else() -> None:
    def large(number: int, size: int = 2**20) -> dict[str, Any]:
        return {**body(number, name=f"large-{number}"), "spec": {"x": "x" * size}}

    kept = known.Known()
    for number in range(1, 101):
        kept.event("ADDED", large(number))
    kept.event("ADDED", body(101))
    there = [n for n in range(1, 101) if version(kept, f"large-{n}") is not None]
    assert there == [*range(1, 16)]
    assert version(kept) == 101
    for number in range(1, 15):
        kept.event("DELETED", large(number))
    kept.event("MODIFIED", {**large(15, size=10), "metadata": body(200, "large-15")["metadata"]})
    for number in range(201, 301):
        kept.event("ADDED", large(number))
    assert sum(version(kept, f"large-{n}") is not None for n in range(201, 301)) == 15


def test_an_answer_older_than_a_large_object_for_which_there_is_no_room_is_not_kept() -> None:
    kept = known.Known()
    for number in range(1, 17):
        kept.event("ADDED", {**body(number, f"large-{number}"), "spec": {"x": "x" * 2**20}})
    kept.event("MODIFIED", {**body(30), "spec": {"x": "x" * 2**20}})
    kept.answered(body(29), 0)
    assert version(kept) is None
    kept.answered(body(30), 0)
    assert version(kept) == 30


def test_labels_of_others_are_not_kept() -> None:
    kept = known.Known()
    many = {f"a{number}": "" for number in range(9_000)}
    kept.event("ADDED", body(4, labels={"leaseholder.dev/shard": "one", **many}))
    found = kept.get("shop", "orders")
    assert found is not None
    assert found["metadata"]["labels"] == {"leaseholder.dev/shard": "one"}


def test_metadata_of_no_known_shape_is_borne() -> None:
    kept = known.Known()
    odds: list[Any] = [None, [], {"name": 7, "annotations": [], "resourceVersion": ["9"]}]
    for odd in odds:
        kept.event("ADDED", {"metadata": odd})
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    kept.event("ADDED", body(3))
    kept.event("ADDED", {**body(4), "spec": deep})
    assert version(kept) is None


def test_what_our_own_last_write_left_is_known_as_our_own() -> None:
    kept = known.Known()
    listed(kept, 3, body(2))
    kept.answered(body(5), 2, above=3)
    assert kept.is_own(body(5))
    assert not kept.is_own(body(6))
    kept.event("MODIFIED", body(6))
    assert not kept.is_own(body(6))
    kept.answered(body(6), 6, above=6)  # it changed nothing: the version is another's
    kept.answered(body(7), 6)  # a read
    assert not kept.is_own(body(6))
    assert not kept.is_own(body(7))
    kept.event("MODIFIED", body(8, uid="again"))
    assert not kept.is_own(body(5))
    assert not known.Known().is_own(body(5))


def test_the_event_of_our_own_write_says_only_that_the_watch_told_of_it() -> None:
    kept = known.Known()
    kept.answered(body(4, "first", "f"), 0)
    listed(kept, 3, body(2))
    kept.answered(body(5), 2, above=3)
    before = kept.body("shop", "orders")
    assert not kept.shown_beside(NEW, "u", FIRST, "f")
    kept.event("MODIFIED", body(5))
    assert kept.body("shop", "orders") is before
    assert kept.shown_beside(NEW, "u", FIRST, "f")
    assert kept.is_own(body(5))
    kept.event("ADDED", body(5, uid="again"))
    assert kept.shown_beside(NEW, "again", FIRST, "f")
    assert not kept.is_own(body(5))


def test_an_event_without_a_version_is_never_taken_for_the_one_before() -> None:
    kept = known.Known()
    kept.event("ADDED", {"metadata": {"namespace": "shop", "name": "orders"}})
    kept.event("MODIFIED", {"metadata": {"namespace": "shop", "name": "orders"}, "spec": {}})
    assert kept.get("shop", "orders") == {
        "metadata": {"namespace": "shop", "name": "orders"},
        "spec": {},
    }
