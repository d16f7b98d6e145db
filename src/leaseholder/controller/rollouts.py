"""Rollouts: workloads on their way to a new lease.

Flows in: a view and the step Restart or Sustain, which ``core.rollout`` found due. Flows out: a
workload is restarted once, and a replaced lease is renewed meanwhile (``renew``).

What this process restarted, and when, is known to all DynamicLeases: those whose Secrets were
switched before a restart need none of their own. After a crash that is forgotten, and a workload
may be restarted once more, which does no harm.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from cachetools import TTLCache

from leaseholder import changes, errors
from leaseholder.api.conditions import Reason
from leaseholder.controller import renew, supplies
from leaseholder.controller.chronicle import Chronicle
from leaseholder.controller.records import Records
from leaseholder.core import actions, rollout, schedule
from leaseholder.core.memory import RefusedRestart
from leaseholder.core.observation import Restarted
from leaseholder.core.view import View
from leaseholder.ports.clock import Clock
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.meter import Meter
from leaseholder.ports.workloads import Workload

REMEMBERED: Final = 86_400.0
"""Seconds for which a restart is remembered."""
MOST_REMEMBERED: Final = 8192
"""So many are: a selector takes whatever somebody makes, and deletes again."""


@dataclass(frozen=True, slots=True)
class Mover:
    """Moves workloads to new leases."""

    cluster: Cluster
    records: Records
    clock: Clock
    supplies: supplies.Supplies
    meter: Meter
    chronicle: Chronicle
    rolled: "TTLCache[str, Restarted]" = field(init=False)
    """How a workload was last restarted, by its uid."""
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        kept = TTLCache[str, Restarted](MOST_REMEMBERED, REMEMBERED, timer=self.clock.monotonic)
        object.__setattr__(self, "rolled", kept)

    async def restart(self, view: View, step: actions.Restart) -> None:
        """Restart a workload, unless another lease's restart has served this one too.

        One at a time: who comes second knows what the first did.

        Raises:
            errors.Conflict: the workload changed; look again.
            errors.ClusterUnavailable: it may have taken effect; the stamp tells.
        """
        workload = step.workload
        async with self._one:
            if rollout.served(self.rolled, workload, step.since):
                return
            sent = Restarted(self.clock.monotonic(), step.key, step.value)
            try:
                await self.cluster.stamp_workload(
                    workload, step.key, step.value, restart_at=self.clock.wall()
                )
            except errors.Refused as error:
                there = {one.uid for target in view.targets for one in target.workloads}
                still = {uid: one for uid, one in view.memory.refused.items() if uid in there}
                refused = RefusedRestart(error.sentence, view.monotonic)
                view.memory.refused = {**still, workload.uid: refused}
                return
            view.memory.refused.pop(workload.uid, None)
            self.rolled[workload.uid] = sent
        await self._report(view, workload)

    async def sustain(self, view: View, step: actions.Sustain) -> None:
        """Renew a replaced lease; a failure is met by a later try, and told nowhere else.

        Raises:
            errors.LeaseGone: the provider has no such lease.
            errors.ClusterError: the record couldn't be written.
        """
        record, known = step.record, view.known(step.record)
        try:
            adapter, sure = (
                await self.supplies.for_lease(record, view.trusts),
                known.shown is not None,
            )
            lease = await renew.prolong(
                adapter,
                view,
                record,
                step.until,
                clock=self.clock,
                chronicle=self.chronicle,
                inspect_first=not sure,
            )
        except errors.LeaseGone:
            self._later(view, step, schedule.INSPECT_AGAIN)
            raise
        except errors.ProviderError as error:
            self.meter.renewed(record.provider.ref, error.outcome)
            if isinstance(error, errors.CannotRenew) and error.reason != Reason.RENEWAL_TOO_SOON:
                known.unrenewable = True
            self._later(view, step, error.retry_after)
            return
        self.meter.renewed(record.provider.ref, errors.Outcome.OK)
        known.sustain_at = None
        longer = record.but(expires_at=lease.expires_at)
        await self.records.replace(view.subject, longer, was=record)

    def _later(self, view: View, step: actions.Sustain, retry_after: float | None) -> None:
        """The lease is looked at first at the next try: what the last one did isn't known."""
        view.known(step.record).shown = None
        renew.later(view, step.record, retry_after)

    async def _report(self, view: View, workload: Workload) -> None:
        if view.dl is not None:
            named = f"{workload.kind}/{workload.name}"
            change = changes.of_dl(changes.Kind.RESTARTED, view.dl, workload=named)
            await self.chronicle.note(view.dl, change)
