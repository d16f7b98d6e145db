"""An event loop whose time is turned by hand: nothing waits, nothing races.

``drain`` runs all that is ready, in the order in which it became ready. Timers fire when the
clock was moved past them and ``drain`` is called again. No selector, no threads.
"""

import asyncio
import collections
import heapq
import itertools
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final, TypeVarTuple, Unpack

from tests.unit import clocks

Ts = TypeVarTuple("Ts")
MOST_CALLBACKS: Final = 200_000
"""Whoever needs more without time passing never rests."""


class NeverRests(AssertionError):
    """The code under test is busy for ever."""


class ManualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop over a ``FakeClock``."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = clocks.FakeClock()
        self.mishaps: list[BaseException] = []
        """Exceptions that no task caught."""
        self._now: collections.deque[asyncio.Handle] = collections.deque()
        self._later: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = itertools.count()
        self.set_exception_handler(_keep)

    def begin(self, clock: clocks.FakeClock) -> None:
        """Forget the last history; a new one runs on ``clock``."""
        self._now.clear()
        self._later.clear()
        self.mishaps.clear()
        self.clock = clock

    def time(self) -> float:
        return self.clock.seconds

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._now.append(handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._later, (when, next(self._order), timer))
        return timer

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when their time comes."""

    def next_timer(self) -> float | None:
        """When the next timer fires; None where there is none."""
        while self._later and self._later[0][2].cancelled():
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def drain(self) -> None:
        """Run until nothing is ready any more at this moment.

        Raises:
            NeverRests: it doesn't come to an end.
        """
        asyncio._set_running_loop(self)
        try:
            for _ in range(MOST_CALLBACKS):
                while (at := self.next_timer()) is not None and at <= self.clock.seconds:
                    self._now.append(heapq.heappop(self._later)[2])
                if not self._now:
                    return
                handle = self._now.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            asyncio._set_running_loop(None)
        raise NeverRests(f"{MOST_CALLBACKS} callbacks, and still busy")


def _keep(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(loop, ManualLoop) and error is not None:
        loop.mishaps.append(error)
