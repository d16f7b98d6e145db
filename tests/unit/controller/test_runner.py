"""Turns: few are at work, and who waits for a provider holds none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from leaseholder.controller import runner
from leaseholder.controller.line import Line
from tests.unit import clocks
from tests.unit.controller.fakes import background

Key = tuple[str, int]


class Works:
    """Keys at work, each until it is told to go on."""

    def __init__(self, turns: int = 2, most: int = 100) -> None:
        self.clock = clocks.FakeClock()
        self.line = Line[Key](turns, lambda key: key[0], most=most)
        self.runner = runner.Runner(self.line, self._work, self.clock.monotonic, self.late.append)
        self.log: list[tuple[str, Key]] = []
        self.answers: dict[Key, asyncio.Event] = {}
        self.elsewhere = True
        self.sent = 1

    late: list[float] = []  # noqa: RUF012 - replaced for each test

    async def _work(self, key: Key) -> None:
        self.log.append(("begins", key))
        answer = self.answers.setdefault(key, asyncio.Event())
        if self.elsewhere:
            await asyncio.gather(*(self._asks(answer) for _ in range(self.sent)))
        else:
            await answer.wait()
        self.log.append(("ends", key))

    async def _asks(self, answer: asyncio.Event) -> None:
        async with runner.elsewhere():
            await answer.wait()

    def answer(self, *keys: Key) -> None:
        for key in keys:
            self.answers.setdefault(key, asyncio.Event()).set()

    def keys(self, what: str) -> list[Key]:
        return [key for said, key in self.log if said == what]

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not holds():  # noqa: ASYNC110 - fakes tell nobody
                await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with background(self.runner.run()):
            yield
            self.runner.stop()


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> Works:
    monkeypatch.setattr(Works, "late", [])
    return Works()


async def test_no_more_are_at_work_at_once_than_there_are_turns(works: Works) -> None:
    works.elsewhere = False
    keys = [("abcde"[number], number) for number in range(5)]
    async with works.running():
        for key in keys:
            works.runner.offer(key, 0.0)
        await works.until(lambda: len(works.log) == 2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(works.log) == 2
        works.answer(*keys)
        await works.until(lambda: len(works.keys("ends")) == 5)


async def test_a_thousand_that_wait_for_a_provider_keep_no_turn(works: Works) -> None:
    works.line = Line(2, lambda key: key[0], most=4096)
    works.runner.line = works.line
    hanging = [("rogue", number) for number in range(1000)]
    async with works.running():
        for key in hanging:
            works.runner.offer(key, 0.0)
        await works.until(lambda: len(works.keys("begins")) == 1000)
        works.answer(("shop", 1))
        works.runner.offer(("shop", 1), 0.0)
        await works.until(lambda: works.keys("ends") == [("shop", 1)])
        assert works.line.under_way == 1000
        works.answer(*hanging)
        await works.until(lambda: len(works.keys("ends")) == 1001)
    assert works.line.under_way == 0


async def test_one_namespace_leaves_room_under_way_to_the_others(works: Works) -> None:
    hanging = [("rogue", number) for number in range(200)]
    async with works.running():
        for key in hanging:
            works.runner.offer(key, 0.0)
        await works.until(lambda: len(works.keys("begins")) == 75)
        works.runner.offer(("shop", 1), 0.0)
        await works.until(lambda: ("shop", 1) in works.keys("begins"))
        assert len(works.keys("begins")) == 76
        works.answer(("shop", 1), *hanging)
        await works.until(lambda: len(works.keys("ends")) == 201)


async def test_who_has_an_answer_goes_on_before_others_begin(works: Works) -> None:
    works.line = Line(1, lambda key: key[0], most=100)
    works.runner.line = works.line
    first, others = ("a", 0), [("bcdefgh"[number], number) for number in range(7)]
    async with works.running():
        works.runner.offer(first, 0.0)
        await works.until(lambda: works.keys("begins") == [first])
        works.answer(first)
        works.clock.move(1)
        for key in others:
            works.runner.offer(key, 1.0)
        await works.until(lambda: works.keys("ends") == [first])
        assert len(works.keys("begins")) <= 2
        works.answer(*others)


async def test_several_requests_of_one_key_lend_one_turn_and_take_it_back_once(
    works: Works,
) -> None:
    works.sent = 3
    async with works.running():
        works.answer(("a", 1))
        works.runner.offer(("a", 1), 0.0)
        await works.until(lambda: works.keys("ends") == [("a", 1)])
        works.elsewhere = False
        works.answers.clear()
        for number in range(3):
            works.runner.offer(("abc"[number], number), 0.0)
        await works.until(lambda: len(works.keys("begins")) == 3)
        assert works.line.is_full
        works.answer(*((("abc"[number], number)) for number in range(3)))


async def test_a_request_that_begins_while_another_one_came_back_finds_the_turn_again(
    works: Works,
) -> None:
    works.line = Line(1, lambda key: key[0], most=100)
    works.runner.line = works.line
    early, late, blocked = asyncio.Event(), asyncio.Event(), asyncio.Event()
    done = []

    async def two(key: Key) -> None:
        if key != ("a", 1):
            await blocked.wait()
            return
        await asyncio.gather(works._asks(early), again())
        done.append(key)

    async def again() -> None:
        await works._asks(early)
        await works._asks(late)

    works.runner.work = two
    async with works.running():
        works.runner.offer(("a", 1), 0.0)
        await works.until(lambda: works.line.under_way == 1 and not works.line.is_full)
        works.runner.offer(("b", 2), 0.0)
        await works.until(lambda: works.line.is_full)
        early.set()
        for _ in range(10):
            await asyncio.sleep(0)
        late.set()
        blocked.set()
        await works.until(lambda: done)
    assert works.line.under_way == 0


async def test_a_key_that_becomes_due_while_it_waits_elsewhere_comes_again_afterwards(
    works: Works,
) -> None:
    key = ("shop", 1)
    async with works.running():
        works.runner.offer(key, 0.0)
        await works.until(lambda: works.keys("begins") == [key])
        works.runner.offer(key, 0.0)
        works.runner.offer(key, 500.0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert works.keys("begins") == [key]
        works.answer(key)
        await works.until(lambda: works.keys("ends") == [key, key])


async def test_a_stop_lets_those_that_wait_finish_and_begins_nothing(works: Works) -> None:
    waiting, late = ("shop", 1), ("shop", 2)
    task = asyncio.create_task(works.runner.run())
    works.runner.offer(waiting, 0.0)
    await works.until(lambda: works.keys("begins") == [waiting])
    works.runner.stop()
    works.runner.offer(late, 0.0)
    works.answer(waiting, late)
    async with asyncio.timeout(60):
        await task
    assert works.log == [("begins", waiting), ("ends", waiting)]


async def test_a_stop_lets_those_finish_that_wait_for_a_turn(works: Works) -> None:
    works.line = Line(1, lambda key: key[0], most=100)
    works.runner.line = works.line
    waiting, busy = ("a", 1), ("b", 2)
    task = asyncio.create_task(works.runner.run())
    works.runner.offer(waiting, 0.0)
    await works.until(lambda: works.keys("begins") == [waiting])
    works.elsewhere = False
    works.runner.offer(busy, 0.0)
    await works.until(lambda: len(works.keys("begins")) == 2)
    works.answer(waiting)
    for _ in range(10):
        await asyncio.sleep(0)
    assert works.keys("ends") == []
    works.runner.stop()
    await works.until(lambda: works.keys("ends") == [waiting])
    works.answer(busy)
    async with asyncio.timeout(60):
        await task


async def test_who_is_cancelled_while_it_waits_for_a_turn_gives_everything_back(
    works: Works,
) -> None:
    works.line = Line(1, lambda key: key[0], most=100)
    works.runner.line = works.line
    waiting, busy = ("a", 1), ("b", 2)

    tried: list[asyncio.Task[None]] = []

    async def gives_up(key: Key) -> None:
        tried.append(asyncio.create_task(works._work(key)))
        await asyncio.wait(tried)

    works.runner.work = gives_up
    async with works.running():
        works.runner.offer(waiting, 0.0)
        await works.until(lambda: works.keys("begins") == [waiting])
        works.runner.work = works._work
        works.elsewhere = False
        works.runner.offer(busy, 0.0)
        await works.until(lambda: len(works.keys("begins")) == 2)
        works.answer(waiting)
        await works.until(lambda: works.line.waiting(0.0) == 1)
        tried[0].cancel()
        await works.until(lambda: works.line.under_way == 1)
        works.answer(busy)
        await works.until(lambda: works.line.under_way == 0)
    assert works.keys("ends") == [busy]


async def test_due_work_that_waits_while_nothing_goes_on_is_stuck(works: Works) -> None:
    works.elsewhere = False
    keys = [("abc"[number], number) for number in range(3)]
    async with works.running():
        for key in keys:
            works.runner.offer(key, 0.0)
        await works.until(lambda: len(works.log) == 2)
        works.clock.move(200)
        assert works.runner.stuck_for == 200.0
        works.answer(*keys)
        await works.until(lambda: len(works.keys("ends")) == 3)
        assert works.runner.stuck_for == 0.0
