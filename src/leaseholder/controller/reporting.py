"""Trouble, reported: in the log, and in status where that can't wait for the next step.

Flows in: what ended a go of a key (``loop``), or the end of a lease that comes while a step hangs.
Flows out: a line of the log, or a status that is written on the word of what was seen last; the
next look reports whatever is wrong by then.
"""

import contextlib
import logging
from dataclasses import dataclass, replace
from typing import Final

from leaseholder import errors
from leaseholder.api import base, conditions, lease
from leaseholder.api.conditions import ConditionType
from leaseholder.controller import mishaps, statuses
from leaseholder.controller.entry import Entry
from leaseholder.controller.keys import Key
from leaseholder.controller.perform import Performer
from leaseholder.core import actions, rules, status
from leaseholder.core.memory import failure_of
from leaseholder.core.view import View
from leaseholder.ports.clock import Clock

logger = logging.getLogger(__name__)

PATIENCE: Final = 10.0
"""Seconds for which a write is waited for that takes Ready back; then another one is sent."""
_READY: Final = ConditionType.READY


@dataclass(slots=True)
class Reporter:
    """Writes status outside of a step."""

    performer: Performer
    clock: Clock
    patience: float = PATIENCE

    async def ended(self, view: View) -> bool:
        """Say that the lease in the Secret is over; False: it has to be said again."""
        dl = view.dl
        if dl is None or await self._report(dl, status.ended(view, dl)):
            return True
        with contextlib.suppress(errors.ClusterError):
            now = await self.performer.cluster.dynamic_lease(
                dl.metadata.namespace, dl.metadata.name
            )
            if now is None or now.holder != dl.holder:
                return True
            return await self._report(now, status.ended(replace(view, dl=now), now))
        return False

    async def refused(self, key: Key, error: errors.Refused) -> None:
        """Say at a DynamicLease which right is missing, as far as its status may be written."""
        with contextlib.suppress(errors.ClusterError):
            dl = await self.performer.cluster.dynamic_lease(key.namespace, key.name)
            if dl is not None and not key.former:
                await self._report_refusal(dl, error)

    async def unreadable(self, error: errors.Unreadable) -> None:
        """Say at a DynamicLease that it can't be read: nobody serves it, whatever status says."""
        if isinstance(error.rest, lease.DynamicLease):
            await self._report_refusal(error.rest, error)

    async def _report_refusal(self, dl: lease.DynamicLease, error: errors.Refused) -> None:
        now = base.whole_second(self.clock.wall())
        await self._report(dl, status.refused(dl, failure_of(error), now))

    async def _report(self, dl: lease.DynamicLease, new: lease.DynamicLeaseStatus) -> bool:
        """Write a status with its events; False: the API server didn't take it."""
        if new == dl.status:
            return True
        notes = status.notes(new, dl.status)
        with contextlib.suppress(errors.ClusterError, TimeoutError):
            await self.performer.statuses.write(dl, new, notes, patience=self.patience)
            return True
        return False


def good_for(view: View) -> float | None:
    """Seconds for which Ready may stay True, below 0 when they are over; None: it isn't True."""
    held, dl = view.delivered, view.dl
    if held is None or dl is None:
        return None
    if not conditions.is_true(dl.status.conditions, _READY):
        return None
    until = status.unready_at(view, held)
    return None if until is None else (until - view.now).total_seconds()


def takes_back(view: View, step: actions.Action) -> bool:
    """Whether a step takes Ready back."""
    if view.dl is None or not isinstance(step, actions.Report):
        return False
    return statuses.takes_back(view.dl, step.status)


def decided(key: Key, decision: rules.Decision) -> None:
    """A line for each step, with the rule that says so; for whoever looks closely."""
    step = type(decision.step).__name__
    fields = {"namespace": key.namespace, "name": key.name, "rule": decision.rule, "step": step}
    logger.debug("step", extra={"fields": fields})


def log(key: Key, entry: Entry, error: Exception) -> None:
    """A line for each trouble, not for each try; that the API server is away has its own."""
    if isinstance(error, errors.Unreadable):
        return  # reported where it was read
    logged = mishaps.described(error)
    again, entry.logged = logged == entry.logged, logged
    level = logging.WARNING if isinstance(error, errors.EdgeError) else logging.ERROR
    quiet = again or isinstance(error, errors.ClusterUnavailable)
    fields = {"namespace": key.namespace, "name": key.name, "why": logged}
    logger.log(logging.DEBUG if quiet else level, "step failed", extra={"fields": fields})
