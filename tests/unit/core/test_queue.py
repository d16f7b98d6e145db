from hypothesis import given
from hypothesis import strategies as st

from leaseholder.core.queue import PATIENCE, DueQueue

OFFERS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20)), max_size=40)


def drained(queue: DueQueue[str], now: float) -> list[str]:
    popped = []
    while (taken := queue.pop(now)) is not None:
        popped.append(taken[0])
    return popped


@given(offers=OFFERS)
def test_keys_come_in_order_each_once_at_their_earliest_offer(
    offers: list[tuple[str, int]],
) -> None:
    queue: DueQueue[str] = DueQueue()
    earliest: dict[str, int] = {}
    for key, due in offers:
        queue.offer(key, due)
        earliest[key] = min(due, earliest.get(key, due))
    assert len(queue) == len(earliest)
    assert queue.next_due() == min(earliest.values(), default=None)
    popped = drained(queue, 20)
    assert sorted(popped) == sorted(earliest)
    assert [earliest[k] for k in popped] == sorted(earliest.values())
    assert len(queue) == 0


@given(settings=OFFERS, now=st.integers(0, 20))
def test_a_time_set_outright_replaces_what_was_said_before(
    settings: list[tuple[str, int]], now: int
) -> None:
    queue: DueQueue[str] = DueQueue()
    for key, due in settings:
        queue.set(key, due)
    last = dict(settings)
    assert sorted(drained(queue, now)) == sorted(k for k, due in last.items() if due <= now)


def test_a_key_that_is_not_due_is_not_taken() -> None:
    queue: DueQueue[str] = DueQueue()
    queue.offer("a", 5)
    assert queue.pop(4) is None
    assert "a" in queue
    assert queue.pop(5) == ("a", 5)
    assert "a" not in queue


@given(
    offers=st.dictionaries(
        st.sampled_from("abcdef"), st.tuples(st.integers(0, 20), st.none() | st.integers(0, 200))
    ),
    now=st.integers(0, 20),
)
def test_of_the_due_keys_the_one_with_the_least_time_goes_first(
    offers: dict[str, tuple[int, int | None]], now: int
) -> None:
    queue: DueQueue[str] = DueQueue()
    for key, (at, by) in offers.items():
        queue.offer(key, at, by=by)
    ends = {k: at + PATIENCE if by is None else by for k, (at, by) in offers.items()}
    popped = drained(queue, now)
    assert sorted(popped) == sorted(k for k, (at, _) in offers.items() if at <= now)
    assert [ends[k] for k in popped] == sorted(ends[k] for k in popped)


def test_who_loses_nothing_by_waiting_is_passed_by_for_a_minute_at_most() -> None:
    queue: DueQueue[str] = DueQueue()
    queue.offer("a lease to be issued", 0)
    queue.offer("a lease that ends soon", 1, by=30)
    queue.offer("a lease that ends later", 0, by=PATIENCE + 1)
    assert queue.next_due() == 0
    assert drained(queue, 1)[0] == "a lease that ends soon"


def test_a_due_key_keeps_its_place_while_another_becomes_due() -> None:
    queue: DueQueue[str] = DueQueue()
    queue.offer("a", 1)
    queue.offer("b", 1, by=2)
    assert queue.pop(1) == ("b", 1)
    assert queue.next_due() == 1
    queue.offer("a", 0.5, by=5)
    queue.offer("c", 2)
    assert queue.pop(2) == ("a", 0.5)
    assert queue.pop(2) == ("c", 2)
    assert queue.pop(2) is None


def test_a_key_that_is_due_already_becomes_more_urgent_by_a_later_offer_and_never_less() -> None:
    queue = DueQueue[str]()
    queue.offer("other", 1.0, by=50.0)
    queue.offer("inspected", 1.0, by=9000.0)
    assert queue.urgency(10.0) == 50.0  # both are due now
    queue.offer("inspected", 10.0, by=40.0)  # somebody deleted its Secret
    queue.offer("inspected", 10.0, by=9000.0)
    assert [queue.pop(10.0), queue.pop(10.0), queue.pop(10.0)] == [
        ("inspected", 1.0),
        ("other", 1.0),
        None,
    ]


def test_a_forgotten_key_is_never_due() -> None:
    queue: DueQueue[str] = DueQueue()
    queue.offer("a", 1)
    queue.forget("a")
    queue.forget("never offered")
    assert queue.next_due() is None
    assert queue.pop(10) is None


def test_a_key_can_be_offered_again_after_it_was_taken() -> None:
    queue: DueQueue[str] = DueQueue()
    queue.set("a", 3)
    queue.set("a", 1)
    queue.set("a", 3)
    assert drained(queue, 3) == ["a"]
    queue.offer("a", 3)
    assert drained(queue, 3) == ["a"]


def test_times_that_were_replaced_are_not_kept_until_they_are_reached() -> None:
    queue = DueQueue[str]()
    for turn in range(10_000):
        queue.set("often", 1_000_000.0)
        queue.offer("often", float(turn))
        assert queue.pop(float(turn)) == ("often", float(turn))
    assert len(queue._later) < 1000
    assert queue.next_due() is None


def test_times_far_ahead_that_were_replaced_before_any_was_reached_go_too() -> None:
    queue = DueQueue[str]()
    for turn in range(1000):
        queue.set("often", 1_000_000.0 + turn)
    assert len(queue._later) < 100
    assert drained(queue, 2_000_000.0) == ["often"]


def test_the_keys_that_are_due_are_counted_once_each() -> None:
    queue: DueQueue[str] = DueQueue()
    for name, at in (("a", 1.0), ("b", 2.0), ("c", 9.0)):
        queue.offer(name, at)
    assert [queue.due(now) for now in (0.5, 1.0, 5.0)] == [0, 1, 2]
    queue.set("a", 8.0)
    assert queue.due(5.0) == 1
    queue.forget("b")
    assert queue.due(5.0) == 0
    queue.offer("a", 3.0)
    assert queue.due(5.0) == 1
