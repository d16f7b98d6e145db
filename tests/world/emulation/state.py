"""What every emulated server remembers, whatever its API."""

import abc
import datetime
from typing import Generic, TypeVar

from tests.world.emulation import clock as clocks
from tests.world.emulation import models, traffic

Clock = TypeVar("Clock", bound=clocks.Clock)
Switches = TypeVar("Switches", bound=models.Switches)
Seed = TypeVar("Seed", bound=models.Model)


class World(abc.ABC, Generic[Clock, Switches, Seed]):
    """Clock, switches and the log; tables are each server's own."""

    def __init__(self, clock: Clock, switches: Switches) -> None:
        self.clock = clock
        self.switches = switches
        self.traffic = traffic.Traffic()

    async def turn(self, changes: dict[str, object]) -> None:
        """Move switches, and tell those whom it concerns."""
        known = self.switches.model_dump(by_alias=True)
        self.switches = type(self.switches).model_validate({**known, **changes})
        self.clock.offset = datetime.timedelta(seconds=self.switches.clock_offset_seconds)
        await self.turned()

    @abc.abstractmethod
    async def turned(self) -> None:
        """Switches have moved."""

    @abc.abstractmethod
    def plant(self, seed: Seed) -> None:
        """Put a seed in; what is known already is changed."""

    async def close(self) -> None:
        """Let go of what was opened."""
        return
