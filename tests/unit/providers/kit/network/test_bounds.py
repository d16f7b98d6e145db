"""What an answer may cost: bytes, reads and lines, memory, and turns of the loop."""

import asyncio
import contextlib
import gc

import hypothesis
import pytest
from hypothesis import strategies as st

from leaseholder.providers.kit import answer_memory
from leaseholder.providers.kit.network import bounds


def taken(meter: bounds.Received, data: bytes) -> int:
    """Bytes that are read, of those that come again and again, until the answer is given up."""
    read = 0
    with contextlib.suppress(bounds.Unbounded):
        while read < 2**24:
            meter.wire(len(data))
            meter.text(data)
            read += len(data)
    return read


@pytest.mark.parametrize(
    "piece",
    [b"1\r\nx\r\n", b"a:\n", b"HTTP/1.1 103 Early Hints\r\n\r\n", b"\r\n", b"1;a=b\r\nx\r\n"],
)
def test_an_answer_of_short_lines_is_given_up_after_two_thousand_of_them(piece: bytes) -> None:
    meter = bounds.Received()
    meter.expect(2**23)
    data = (piece * bounds.READ)[: bounds.READ]
    assert taken(meter, data) // bounds.READ * data.count(b"\n") < 2048


def test_an_answer_that_drips_is_given_up_after_some_reads() -> None:
    meter = bounds.Received()
    meter.expect(2**23)
    assert taken(meter, b" ") < 1100


@pytest.mark.parametrize("size", [0, 2**18, 2**23])
def test_an_answer_as_long_as_was_asked_for_is_read_to_its_end(size: int) -> None:
    meter = bounds.Received()
    meter.wire(bounds.READ)
    meter.text(b"a: b\r\n" * 50)
    meter.expect(size)
    for _ in range(0, size, 1400):  # a packet at a time, as slow networks bring them
        meter.wire(1400)
        meter.text(b"x" * 1399 + b"\n")


def test_an_answer_much_longer_than_was_asked_for_is_given_up_on_the_wire() -> None:
    meter = bounds.Received()
    meter.expect(2**18)
    assert 2**18 < taken(meter, b"x" * bounds.READ) < 2**19


def test_tls_that_carries_nothing_is_given_up() -> None:
    meter, read = bounds.Received(), 0
    meter.expect(2**23)
    with contextlib.suppress(bounds.Unbounded):
        while read < 2**23:
            meter.wire(bounds.READ)
            read += bounds.READ
    assert read <= bounds.HANDSHAKE


def test_each_answer_is_counted_for_itself() -> None:
    meter = bounds.Received()
    for _ in range(10):
        for _ in range(1000):
            meter.wire(1)
        meter.restart()


async def test_few_reads_get_through_in_one_turn_of_the_loop_in_rotation() -> None:
    gate, through = bounds.Turnstile(), []

    async def read(owner: str) -> None:
        await gate.turn(owner)
        through.append(owner)

    greedy = [asyncio.create_task(read("greedy")) for _ in range(100)]
    await asyncio.sleep(0)
    others = [asyncio.create_task(read(f"other-{number}")) for number in range(3)]
    before = 0
    while len(through) < 103:
        await asyncio.sleep(0)
        assert len(through) - before <= bounds.AT_ONCE
        before = len(through)
    assert max(through.index(f"other-{number}") for number in range(3)) < 4 * bounds.AT_ONCE
    await asyncio.gather(*greedy, *others)


async def test_a_read_of_many_lines_has_a_turn_of_the_loop_to_itself() -> None:
    gate, through = bounds.Turnstile(), list[int]()
    reads = bounds.Received().text(b"1\r\nx\r\n" * (bounds.READ // 6))
    assert reads > bounds.AT_ONCE

    async def read(number: int) -> None:
        await gate.turn(number, reads)
        through.append(number)

    tasks = [asyncio.create_task(read(number)) for number in range(5)]
    seen = 0
    while len(through) < len(tasks):
        await asyncio.sleep(0)
        assert len(through) - seen <= 1
        seen = len(through)
    await asyncio.gather(*tasks)


async def test_who_gives_up_takes_nobodys_turn() -> None:
    gate = bounds.Turnstile()
    tasks = [asyncio.create_task(gate.turn("same")) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[:19]:
        task.cancel()
    await asyncio.wait_for(tasks[19], 5)
    await asyncio.wait_for(gate.turn("another"), 5)


def test_long_answers_share_a_room_and_give_it_back() -> None:
    shared = answer_memory.Room(3 * 2**20)
    first, second = answer_memory.Room(2 * 2**20, shared), answer_memory.Room(2 * 2**20, shared)
    one, two = answer_memory.Share(first), answer_memory.Share(second)
    one.hold(answer_memory.FREE + 2 * 2**20)
    with pytest.raises(answer_memory.NoRoom):
        one.hold(answer_memory.FREE + 2 * 2**20 + 1)
    two.hold(answer_memory.FREE)
    with pytest.raises(answer_memory.NoRoom):
        two.hold(answer_memory.FREE + 2 * 2**20)
    del one
    gc.collect()
    assert (first.taken, shared.taken) == (0, 0)
    two.hold(answer_memory.FREE + 2 * 2**20)


@hypothesis.given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**21)), max_size=40))
def test_room_is_never_more_than_there_is(steps: list[tuple[int, int]]) -> None:
    shared = answer_memory.Room(4 * 2**20)
    rooms = [answer_memory.Room(2 * 2**20, shared) for _ in range(4)]
    shares: dict[int, answer_memory.Share] = {}
    for which, size in steps:
        if size % 5 == 0:
            shares.pop(which, None)
            continue
        with contextlib.suppress(answer_memory.NoRoom):
            shares.setdefault(which, answer_memory.Share(rooms[which])).hold(size)
        assert shared.taken == sum(one.taken for one in rooms) <= 4 * 2**20
        assert all(0 <= one.taken <= 2 * 2**20 for one in rooms)
    shares.clear()
    assert shared.taken == 0
