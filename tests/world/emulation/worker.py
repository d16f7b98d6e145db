"""What happens behind the requests: one worker that runs what is due, and what it set going."""

import abc
import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Final

LONGEST_NAP: Final = 0.5


class Worker(abc.ABC):
    """Sleeps until something is due, or until it is woken."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self.launch(self._work())

    async def stop(self) -> None:
        for task in list(self._running):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def wake(self) -> None:
        """Time, a switch or the plan has moved: look again."""
        self._woken.set()

    def launch(self, work: Coroutine[None, None, None]) -> None:
        """Do something on its own, until the server stops."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    @abc.abstractmethod
    async def run_due(self) -> float:
        """Do what is due; the seconds until something else may be."""

    async def _work(self) -> None:
        while True:
            self._woken.clear()
            nap = await self.run_due()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), min(nap, LONGEST_NAP))
