from hypothesis import given
from hypothesis import strategies as st

from leaseholder.core.queue import DueQueue

OFFERS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20)), max_size=40)


def drained(queue: DueQueue[str], now: float) -> list[str]:
    popped = []
    while (key := queue.pop(now)) is not None:
        popped.append(key)
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
    assert queue.pop(5) == "a"
    assert "a" not in queue


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
