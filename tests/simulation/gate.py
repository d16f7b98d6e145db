"""The gate that each call to the outside goes through: here histories part.

A process may make calls freely, or a number of them and then stand still; at the call where
it stands, something may happen to it (``Fate``). A call that isn't held up doesn't suspend, so
a process that runs freely does so in one go.
"""

import asyncio
import enum
import math
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from leaseholder import errors
from leaseholder.api.conditions import Reason

T = TypeVar("T")


class Fate(enum.Enum):
    """What becomes of the call at which a process was to be held up."""

    PAUSE = "paused before it"
    """The process stands before the call until it is let go."""
    CRASH_BEFORE = "crash before it"
    CRASH_AFTER = "crash after it took effect"
    REFUSED = "no answer, no effect"
    LOST = "effect, but no answer"
    LATE = "no answer, effect later"
    CONFLICT = "somebody wrote first"
    """Writes to the API server only; elsewhere as REFUSED."""


class Side(enum.Enum):
    """Who is called, and whether it changes something."""

    READ = "read"
    WRITE = "write"
    PROVIDER = "provider"


NEVER: Final = -1


class Late(Protocol):
    """Where effects go that come after the caller gave up."""

    def __call__(self, side: Side, effect: Callable[[], Awaitable[object]]) -> None:
        """Let it happen later."""
        ...


class Gate:
    """The calls of one process."""

    def __init__(self, crashed: Callable[[], None], late: Late) -> None:
        self._crashed, self._late = crashed, late
        self.dead = False
        self.calls = 0
        """Calls that reached the gate and passed it."""
        self._sent = 0
        self.met: dict[tuple[str, Fate], int] = {}
        self.held: list[asyncio.Future[None]] = []
        self._left = NEVER
        self._fate = Fate.PAUSE
        self._counts: frozenset[Side] = frozenset(Side)
        self._name = ""
        self._stood = NEVER
        self._slow, self._answered = "", asyncio.Event()

    @property
    def paused(self) -> bool:
        """Whether the process stands still at a call."""
        return bool(self.held)

    @property
    def armed(self) -> bool:
        """Whether something is still to happen."""
        return self._left != NEVER

    def sent_since(self) -> int:
        """Calls of a provider since this was last asked."""
        sent, self._sent = self._sent, 0
        return sent

    @property
    def since_pause(self) -> float:
        """Calls that it made since it last stood still, the one under way included."""
        return self.calls - self._stood if self._stood != NEVER else math.inf

    def arm(self, after: int, fate: Fate, counts: frozenset[Side], name: str = "") -> None:
        """After that many calls of these sides (and of that name), the next meets its fate."""
        self._left, self._fate, self._counts, self._name = after, fate, counts, name

    def release(self, fuel: int = NEVER) -> None:
        """Let the process go on: freely, or for a number of calls and then stand still again."""
        self.arm(fuel, Fate.PAUSE, frozenset(Side))
        held, self.held = self.held, []
        for waiter in held:
            if not waiter.done():
                waiter.set_result(None)

    def stall(self, name: str) -> None:
        """Calls of that name take long, until ``answer``; the process goes on otherwise."""
        self._slow = name
        self._answered.clear()

    def answer(self) -> None:
        """What took long is answered now."""
        self._answered.set()

    def kill(self) -> None:
        """No call of this process has any effect from now on."""
        self.dead = True
        held, self.held = self.held, []
        for waiter in held:
            waiter.cancel()

    async def call(
        self,
        side: Side,
        name: str,
        effect: Callable[[], Awaitable[T]],
        check: Callable[[], None] | None = None,
    ) -> T:
        """Make one call, whatever becomes of it; ``check`` is done as it is sent."""
        if name == self._slow:
            await self._answered.wait()
        fate = None if self._left == NEVER else self._due(side, name)
        while fate is Fate.PAUSE:
            waiter = asyncio.get_running_loop().create_future()
            self.held.append(waiter)
            self._count(name, fate)
            await waiter
            self._stood = self.calls
            fate = None if self._left == NEVER else self._due(side, name)
        if self.dead:
            raise asyncio.CancelledError
        self.calls += 1
        if side is Side.PROVIDER:
            self._sent += 1
        if check is not None:
            check()
        if fate is None:
            return await effect()
        self._left = NEVER
        self._count(name, fate)
        return await self._meet(fate, side, effect)

    def _due(self, side: Side, name: str) -> Fate | None:
        counts = side in self._counts and self._name in ("", name)
        if self._left == 0 and (counts or self.held):
            return self._fate
        if self._left > 0 and counts:
            self._left -= 1
        return None

    def _count(self, name: str, fate: Fate) -> None:
        self.met[name, fate] = self.met.get((name, fate), 0) + 1

    async def _meet(self, fate: Fate, side: Side, effect: Callable[[], Awaitable[T]]) -> T:
        match fate:
            case Fate.CRASH_BEFORE:
                self._crashed()
                raise asyncio.CancelledError
            case Fate.CRASH_AFTER:
                await effect()
                self._crashed()
                raise asyncio.CancelledError
            case Fate.CONFLICT if side is Side.WRITE:
                raise errors.Conflict(Reason.CONFLICT, "somebody wrote first")
            case Fate.LOST:
                await effect()
                raise _silence(side, sent=True)
            case Fate.LATE if side is not Side.READ:
                self._late(side, effect)
                raise _silence(side, sent=True)
            case _:
                raise _silence(side, sent=False)


def _silence(side: Side, *, sent: bool) -> errors.EdgeError:
    if side is Side.PROVIDER:
        return errors.Unavailable(Reason.UNAVAILABLE, "the provider is away", sent=sent)
    return errors.ClusterUnavailable(Reason.CLUSTER, "the API server is away")
