"""Keeping leases alive while the API server is away, from what was last seen of them."""

from dataclasses import dataclass

from leaseholder.controller.observe import Observer
from leaseholder.controller.perform import Performer
from leaseholder.core import actions, blind
from leaseholder.core.view import View


@dataclass(frozen=True, slots=True)
class Keeper:
    """Renews leases; reads and writes nothing in the cluster."""

    observer: Observer
    performer: Performer

    async def keep(self, seen: View) -> tuple[View, float | None]:
        """Renew the delivered lease if that is due.

        Returns:
            What was seen, at the time that it is now, and the seconds until the next renewal
            is due; None where none is to come, or one failed, as ``memory.failure`` says.

        Raises:
            errors.EdgeError: the provider isn't known any more.
        """
        now = await self.observer.recall(seen)
        step = blind.decide(seen, now)
        if isinstance(step, actions.Renew):
            await self.performer.renew_blindly(now, step)
            now = await self.observer.recall(seen)
            step = blind.decide(seen, now)
        if isinstance(step, actions.Renew) or step.until is None:
            return now, None
        return now, (step.until - now.now).total_seconds()
