"""Runs what is due: a task for each key, and a turn for those that are at work.

Flows in: keys with the moment at which they are due. Flows out: a task of the loop for each that
``line`` says is next. Turns are few, so that the API server isn't asked by thousands at once and
what is urgent isn't stuck behind them. A provider may answer after half a minute, or never, so
nobody keeps a turn while waiting for one: ``elsewhere`` lends it, ``patience`` says where.

Stopping begins nothing new; who is under way goes on to its end, and needs no turn for that.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from leaseholder.controller.line import Line, Place

NAP: Final = 30.0
"""A wait for a due time is never longer: the event loop's clock stands still while the machine
sleeps, ours doesn't."""
SLICE: Final = 20
"""So many of thousands are gone through in one turn of the event loop: a few milliseconds."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class _Turn(Protocol):
    def lend(self) -> None: ...
    async def back(self, place: Place) -> None: ...


_turn: ContextVar[_Turn | None] = ContextVar("turn", default=None)
"""What the running task works on; tasks that it starts work on the same."""


async def in_slices(items: Iterable[T]) -> AsyncIterator[T]:
    """One after the other; whoever else is ready goes on in between, so that nobody waits long."""
    for number, item in enumerate(items, 1):
        yield item
        if number % SLICE == 0:
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def elsewhere(place: Place = "AsBefore") -> AsyncIterator[None]:
    """Wait for somebody who isn't ours; whoever has a turn lends it for so long.

    Args:
        place: where they stand afterwards. ``Ahead`` is for whoever has little left to do: as long
            as they wait, all that they know is held in memory, and many wait when more comes than
            can be done.
    """
    turn = _turn.get()
    if turn is None:
        yield
        return
    turn.lend()
    try:
        yield
    finally:
        await turn.back(place)


async def give_way() -> None:
    """Whoever is more urgent goes on first."""
    async with elsewhere("Anew"):
        pass


@dataclass(slots=True)
class Runner(Generic[K]):
    """Gives turns in the line's order; ``work`` does one key, and raises nothing."""

    line: Line[K]
    work: Callable[[K], Coroutine[Any, Any, None]]
    monotonic: Callable[[], float]
    late: Callable[[float], None]
    """Told how many seconds after its due time a key was taken up."""
    progress: float = 0.0
    """When something last went on (monotonic seconds)."""
    stopping: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _running: set[K] = field(default_factory=set)
    _returning: dict[K, asyncio.Future[None]] = field(default_factory=dict)

    def offer(self, key: K, at: float) -> None:
        """Look at a key then, or earlier where that was said before."""
        self.line.offer(key, at)
        self._changed.set()

    @property
    def stuck_for(self) -> float:
        """Seconds that due work has been waiting while nothing went on; for liveness."""
        due, now = self.line.next_due(), self.monotonic()
        return 0.0 if due is None or due > now else now - max(due, self.progress)

    async def run(self) -> None:
        """Work until ``stop``; returns when all that is under way is done."""
        async with asyncio.TaskGroup() as group:
            while not self.stopping:
                self._changed.clear()
                now = self.monotonic()
                while (taken := self.line.take(now)) is not None:
                    self.progress = now
                    self._give(group, *taken)
                await self._wait(now)

    def stop(self) -> None:
        """Take no new key; what is under way is finished."""
        self.stopping = True
        for turn in self._returning.values():
            turn.set_result(None)
        self._returning.clear()
        self._changed.set()

    def _give(self, group: asyncio.TaskGroup, key: K, since: float) -> None:
        """A turn for a key: it goes on, or begins."""
        if key in self._running:
            self._returning.pop(key).set_result(None)
            return
        self.late(self.progress - since)
        self._running.add(key)
        group.create_task(self._run(key))

    async def _run(self, key: K) -> None:
        _turn.set(_Mine(self, key))
        try:
            await self.work(key)
        finally:
            self._running.discard(key)
            self._returning.pop(key, None)
            self.line.done(key, self.monotonic())
            self._changed.set()

    async def _wait(self, now: float) -> None:
        due = None if self.line.is_full else self.line.next_due()
        try:
            async with asyncio.timeout(NAP if due is None else min(NAP, max(0.0, due - now))):
                await self._changed.wait()
        except TimeoutError:
            return

    def lend(self, key: K) -> None:
        """The key's turn is free for others."""
        self.line.lend(key)
        self._changed.set()

    async def back(self, key: K, place: Place) -> None:
        """Wait for a turn again, unless another task of the key has got it already."""
        if self.stopping or not self.line.is_lent(key):
            return
        if key not in self._returning:
            self._returning[key] = asyncio.get_running_loop().create_future()
            self.line.back(key, place)
            self._changed.set()
        await asyncio.shield(self._returning[key])  # another task of the key may wait for it, too


@dataclass(slots=True)
class _Mine(Generic[K]):
    """One key's turn; lent once, however many of its tasks wait at the same time."""

    runner: Runner[K]
    key: K
    _waiting: int = 0

    def lend(self) -> None:
        self._waiting += 1
        if self._waiting == 1:
            self.runner.lend(self.key)

    async def back(self, place: Place) -> None:
        self._waiting -= 1
        if not self._waiting:
            await self.runner.back(self.key, place)
