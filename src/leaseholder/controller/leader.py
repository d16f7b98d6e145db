"""Leads, or waits to: ``core.election`` at work on a real Lease.

Flows in: the Lease as ``ports.seats`` reads it. Flows out: writes of it, and ``leads``, which the
cluster adapter asks before it sends anything.

While somebody else leads, nothing of this process works but its port. Whoever loses the Lease ends,
as everything it knows may be old. Whoever can't write it in time, because the API server is away,
stays: it may write nothing to the API server then, so it does what it does in any outage, which is
to renew leases from memory; and it goes on if the Lease is still its own afterwards.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from leaseholder import errors
from leaseholder.controller import mishaps
from leaseholder.core.election import DEADLINE, Election, Standing
from leaseholder.ports.clock import Clock
from leaseholder.ports.seats import Seats

logger = logging.getLogger(__name__)

TRY: Final = 4.0
"""Seconds that one try may take: two fit into the time for which the leader leads."""
AGAIN: Final = 0.2
"""Seconds between two checks whether this process leads."""


def identity() -> str:
    """Who this process is in the election: no other has or had the same."""
    return f"{socket.gethostname()}_{secrets.token_hex(8)}"


@dataclass(slots=True)
class Elector:
    """This process as a candidate."""

    seats: Seats
    clock: Clock
    election: Election
    elected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once this process leads for the first time."""
    trouble: str = "starting"
    """Why the Lease could neither be read nor written when that was last tried; else empty."""
    _logged: object = None
    """What the log says of the last round."""

    @property
    def leads(self) -> bool:
        """Whether this process may act."""
        return self.election.standing(self.clock.monotonic()) is Standing.LEADING

    async def run(self) -> None:
        """Take part until the Lease is lost."""
        while True:
            self.trouble = await self._try()
            now = self.clock.monotonic()
            standing = self.election.standing(now)
            self._log(standing, self.trouble)
            if standing is Standing.LOST:
                return
            if standing is Standing.LEADING:
                self.elected.set()
            await asyncio.sleep(self.election.next_at(now) - now)

    async def awaited(self, until: float, say: Callable[[str], None]) -> str:
        """Wait until this process leads; what it still waits for where time is over, else empty.

        Args:
            until: when time is over, by this elector's clock (monotonic seconds).
            say: told what it waits for, whenever that changes.
        """
        said = "starting"
        while not self.leads:
            waits = self.trouble or f"{self.election.leader or 'nobody'} leads"
            if waits not in (said, "starting"):
                said = waits
                say(waits)
            if self.clock.monotonic() >= until:
                return waits
            await asyncio.sleep(AGAIN)
        return ""

    async def release(self) -> None:
        """Let others lead at once: this process is through with its work."""
        seat = self.election.released()
        if seat is None:
            return
        try:
            async with asyncio.timeout(TRY):
                await self.seats.write(seat)
        except (errors.ClusterError, TimeoutError) as error:
            logger.warning("the Lease isn't released: %s", mishaps.described(error))
        else:
            logger.info("the Lease is released")

    async def _try(self) -> str:
        """Read the Lease, and write it if it is ours to write; what went wrong."""
        try:
            async with asyncio.timeout(TRY):
                bid = self.election.bid(await self.seats.read(), self.clock.monotonic())
                if bid is not None:
                    asked = self.clock.monotonic()
                    written = await self.seats.write(bid)
                    self.election.wrote(written, asked, self.clock.monotonic())
        except (errors.ClusterError, TimeoutError) as error:
            return mishaps.described(error)
        return ""

    def _log(self, standing: Standing, trouble: str) -> None:
        """A line for each change, not for each try."""
        logged = standing, self.election.leader, trouble if standing is Standing.WAITING else ""
        if logged == self._logged:
            return
        self._logged = logged
        match standing:
            case Standing.LEADING:
                logger.info("this process leads")
            case Standing.UNSURE:
                why = f"the Lease wasn't written for {DEADLINE:.0f} s: {trouble}"
                logger.warning("this process doesn't lead for now: %s", why)
            case Standing.LOST:
                logger.error(
                    "leadership is lost: %s holds the Lease", self.election.leader or "nobody"
                )
            case Standing.WAITING if trouble:
                logger.warning("standing by, and the Lease can't be taken: %s", trouble)
            case Standing.WAITING:
                logger.info("standing by: %s leads", self.election.leader)


@dataclass(slots=True)
class Several:
    """This process as a candidate in several elections: it leads where it leads in all of them."""

    electors: Mapping[str, Elector]
    """By what sentences call the place."""
    elected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once each of them led for the first time."""

    @property
    def leads(self) -> bool:
        """Whether this process may act."""
        return all(one.leads for one in self.electors.values())

    @property
    def trouble(self) -> str:
        """Why one of the Leases could neither be read nor written when last tried; else empty."""
        return next((one.trouble for one in self.electors.values() if one.trouble), "")

    async def run(self) -> None:
        """Take part until one of the Leases is lost."""
        parts = [asyncio.create_task(one.run()) for one in self.electors.values()]
        elected = asyncio.create_task(self._all_elected())
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            for task in (*parts, elected):
                task.cancel()
            await asyncio.gather(*parts, elected, return_exceptions=True)

    async def _all_elected(self) -> None:
        for one in self.electors.values():
            await one.elected.wait()
        self.elected.set()

    async def awaited(self, until: float, say: Callable[[str], None]) -> str:
        """As for one: each is waited for, and what it waits for is said with its place."""
        for place, one in self.electors.items():
            waits = await one.awaited(until, _placed(place, say))
            if waits:
                return f"{place}: {waits}"
        return ""

    async def release(self) -> None:
        """Let others lead at once, everywhere."""
        for one in self.electors.values():
            await one.release()


def _placed(place: str, say: Callable[[str], None]) -> Callable[[str], None]:
    return lambda waits: say(f"{place}: {waits}")
