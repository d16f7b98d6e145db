"""Who is next, and that no namespace takes all workers."""

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api.record import Holder
from leaseholder.controller.line import Line, Place

BACK: dict[str, Place] = {"back": "AsBefore", "back ahead": "Ahead", "back anew": "Anew"}


def key(namespace: str, number: int) -> Holder:
    return Holder(namespace=namespace, name=f"lease-{number}", uid=f"{namespace}-{number}")


def line(workers: int = 16, by: dict[Holder, float] | None = None, most: int = 0) -> Line[Holder]:
    namespace = operator.attrgetter("namespace")
    return Line(workers, namespace, lambda holder, _: (by or {}).get(holder), most)


def taken(known: Line[Holder], now: float = 10.0) -> list[Holder]:
    """All that may be worked on at once."""
    found = []
    while (due := known.take(now)) is not None:
        found.append(due[0])
    return found


def test_one_namespace_leaves_workers_to_the_others() -> None:
    known = line()
    for number in range(100):
        known.offer(key("rogue", number), 1.0)
    assert len(taken(known)) == 12
    known.offer(key("shop", 1), 2.0)
    assert taken(known) == [key("shop", 1)]


def test_the_next_of_a_namespace_goes_when_one_is_done_the_most_urgent_first() -> None:
    urgent = key("rogue", 99)
    known = line(4, {urgent: 3.0})
    for number in range(10):
        known.offer(key("rogue", number), 1.0)
    first = taken(known)
    assert len(first) == 3
    known.offer(urgent, 5.0)
    assert taken(known) == []
    known.done(first[0], 10.0)
    assert taken(known) == [urgent]


def test_who_is_parked_and_offered_again_is_taken_once() -> None:
    known = line(4)
    keys = [key("shop", number) for number in range(4)]
    for one in keys:
        known.offer(one, 1.0)
    first = taken(known)
    (parked,) = {*keys} - {*first}
    known.offer(parked, 2.0)
    known.done(first[0], 10.0)
    assert taken(known) == [parked]
    known.done(first[1], 10.0)
    assert taken(known) == []


def test_the_namespace_with_the_fewest_workers_goes_first() -> None:
    known = line(8)
    for namespace in ("a", "b"):
        for number in range(20):
            known.offer(key(namespace, number), 1.0)
    first = taken(known)
    assert [one.namespace for one in first].count("a") == 6
    known.done(first[0], 10.0)
    known.done(first[1], 10.0)
    assert [one.namespace for one in taken(known)] == ["b", "b"]


def test_a_key_that_is_worked_on_comes_again_when_its_worker_is_done() -> None:
    known = line()
    known.offer(key("shop", 1), 1.0)
    assert taken(known) == [key("shop", 1)]
    known.offer(key("shop", 1), 2.0)
    assert taken(known) == []
    known.done(key("shop", 1), 11.0)
    assert taken(known, 11.0) == [key("shop", 1)]


def test_a_parked_key_that_became_busy_comes_again() -> None:
    known = line(2)
    known.offer(key("shop", 1), 1.0)
    known.offer(key("shop", 2), 1.0)
    assert taken(known) == [key("shop", 1)]
    known.offer(key("shop", 1), 2.0)
    assert taken(known) == []
    known.done(key("shop", 1), 10.0)
    assert taken(known) == [key("shop", 2)]
    known.done(key("shop", 2), 10.0)
    assert taken(known) == [key("shop", 1)]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_lone_worker_works(workers: int) -> None:
    known = line(workers)
    known.offer(key("shop", 1), 1.0)
    known.offer(key("shop", 2), 1.0)
    worked = []
    while found := taken(known):
        worked += found
        for one in found:
            known.done(one, 10.0)
    assert sorted(one.name for one in worked) == ["lease-1", "lease-2"]


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.booleans()), max_size=60),
)
def test_all_that_is_due_has_its_turn_and_none_is_held_twice(
    workers: int, acts: list[tuple[str, int, bool]]
) -> None:
    known, held, pending = line(workers), set[Holder](), set[Holder]()
    for namespace, number, finish in acts:
        offered = key(namespace, number)
        known.offer(offered, 1.0)
        pending.add(offered)
        if len(held) < workers and (due := known.take(10.0)) is not None:
            assert due[0] not in held
            held.add(due[0])
            pending.discard(due[0])
        if finish and held:
            known.done(held.pop(), 10.0)
    for _ in range(len(pending) + 1):
        for one in list(held):
            known.done(one, 10.0)
        held = set(taken(known))
        pending -= held
    assert not pending


def test_each_further_namespace_gets_a_worker_while_one_is_free() -> None:
    known = line()
    for namespace in ("a", "b"):
        for number in range(20):
            known.offer(key(namespace, number), 1.0)
    first = [one.namespace for one in taken(known)]
    assert (first.count("a"), first.count("b")) == (12, 3)
    known.offer(key("c", 1), 1.0)
    assert taken(known) == [key("c", 1)]


def test_an_urgent_key_that_is_parked_goes_before_idle_ones_of_others_as_soon_as_it_may() -> None:
    urgent = [key("shop", number) for number in range(100)]
    known = line(16, dict.fromkeys(urgent, 30.0))
    for one in urgent:
        known.offer(one, 1.0)
    for number in range(5000):
        known.offer(key(f"other-{number % 50}", number), 1.0)
    working: list[Holder] = []
    taken_up = 0
    # At least one worker in sixteen serves the urgent ones all the time.
    for _ in range(17 * len(urgent)):
        if working:
            known.done(working.pop(0), 10.0)
        while len(working) < 16 and (due := known.take(10.0)) is not None:
            working.append(due[0])
            taken_up += due[0].namespace == "shop"
    assert taken_up == len(urgent)


@pytest.mark.parametrize("namespace", ["shop", "other"])
def test_who_comes_back_with_little_left_to_do_goes_before_urgent_ones_that_only_begin(
    namespace: str,
) -> None:
    urgent = [key("shop", number) for number in range(20)]
    known, one = line(4, dict.fromkeys(urgent, 2.0), 100), key(namespace, 99)
    known.offer(one, 1.0)
    assert taken(known) == [one]
    known.lend(one)
    for other in urgent:
        known.offer(other, 1.0)
    working = taken(known)
    assert len(working) == 3
    known.back(one, "Ahead")
    if namespace == "shop":  # it has as many turns as it may: the one who comes back is parked
        assert taken(known) == []
        known.done(working[0], 10.0)
    assert taken(known) == [one]


def test_who_comes_back_is_as_urgent_as_when_it_was_taken_whatever_was_found_meanwhile() -> None:
    asked = key("shop", 99)
    by = {asked: 5.0}
    known = line(1, by, 100)
    known.offer(asked, 1.0)
    for number in range(10):
        known.offer(key("shop", number), 1.0)
    assert taken(known) == [asked]
    known.lend(asked)
    (other,) = taken(known)
    del by[asked]  # a look showed that nothing ends soon
    known.back(asked)
    known.done(other, 10.0)
    assert taken(known) == [asked]
    known.lend(asked)
    (other,) = taken(known)
    known.back(asked, "Anew")
    known.done(other, 10.0)
    assert taken(known) not in ([], [asked])


@pytest.mark.parametrize("turns", [1, 2], ids=["queued", "parked"])
def test_who_waits_for_another_turn_goes_first_once_it_is_urgent(turns: int) -> None:
    keys = [key("shop", number) for number in range(4)]
    by = dict.fromkeys(keys, 1000.0)
    known = line(turns, by, most=16)
    for one in keys:
        known.offer(one, 1.0)
    for one in keys:
        assert known.take(10.0) == (one, 1.0)
        known.lend(one)
    for one in keys:
        known.back(one)
    assert taken(known) == [keys[0]]
    by[keys[3]] = 20.0
    known.offer(keys[3], 12.0)
    known.done(keys[0], 12.0)
    assert known.take(13.0) == (keys[3], 1.0)
    known.done(keys[3], 14.0)
    assert known.take(14.0) == (keys[3], 14.0)


def test_who_came_back_ahead_of_others_stands_in_line_with_them_the_next_time() -> None:
    urgent, one = key("shop", 1), key("shop", 2)
    known = line(1, {urgent: 2.0})
    known.offer(one, 1.0)
    assert taken(known) == [one]
    known.lend(one)
    known.back(one, "Ahead")
    assert taken(known) == [one]
    known.offer(one, 1.0)
    known.offer(urgent, 1.0)
    known.done(one, 10.0)
    assert taken(known) == [urgent]


@given(
    st.integers(1, 5),
    st.integers(1, 12),
    st.lists(
        st.tuples(
            st.sampled_from(["offer", "take", "lend", *BACK, "done"]),
            st.sampled_from("abc"),
            st.integers(0, 4),
        ),
        max_size=120,
    ),
)
def test_turns_and_places_are_never_lost_or_given_twice(
    turns: int, most: int, acts: list[tuple[str, str, int]]
) -> None:
    known = Line[Holder](turns, operator.attrgetter("namespace"), most=most)
    working, elsewhere, returning, pending = [set[Holder]() for _ in range(4)]
    for act, namespace, number in acts:
        one = key(namespace, number)
        match act:
            case "offer":
                known.offer(one, 1.0)
                pending.add(one)
            case "take" if (due := known.take(10.0)) is not None:
                assert due[0] not in working
                assert due[0] not in elsewhere
                pending -= {due[0]} - returning
                returning.discard(due[0])
                working.add(due[0])
            case "lend" if one in working:
                known.lend(one)
                working.discard(one)
                elsewhere.add(one)
            case "back" | "back ahead" | "back anew" if one in elsewhere:
                known.back(one, BACK[act])
                elsewhere.discard(one)
                returning.add(one)
            case "done" if one in working | elsewhere | returning:
                known.done(one, 10.0)
                for some in (working, elsewhere, returning):
                    some.discard(one)
        assert len(working) <= turns
        assert known.under_way == len(working | elsewhere | returning)
        assert known.is_full == (len(working) == turns)
    for _ in range(60):
        for one in working | elsewhere:
            known.done(one, 10.0)
        working, elsewhere = set(taken(known)), set()
        pending -= working - returning
        returning -= working
    assert not pending
    assert known.under_way == 0
