"""The worker: one job for each expiry that a lease ever had.

A job comes some seconds late (``expiry_lag_seconds`` by chance, ``worker_busy_seconds`` always) and
doesn't look at what the lease's expiry is by then. Renewing cancels the old job, but it fires all
the same (``renewal`` Broken): that is how the real server ends renewed leases at their first
expiry. Jobs run one after the other, each as long as its calls to AWS take (``aws_seconds``): where
many leases end at once the last ones end many seconds late, and a key is dead before its row says
so. A job that fails is never tried again.
"""

import dataclasses
import datetime
import heapq
import itertools
import random
from typing import Final

from tests.world.emulation import worker
from tests.world.phase import emulator as emulators
from tests.world.phase import errors, state

DELETION_SECONDS: Final = 4.0


@dataclasses.dataclass(slots=True)
class Job:
    """The end of a lease, as it was planned once."""

    lease: state.Lease
    cancelled: bool = False


class Jobs(worker.Worker):
    """The queue and its worker."""

    def __init__(self, world: emulators.Emulator) -> None:
        super().__init__()
        self.world = world
        self._heap: list[tuple[datetime.datetime, int, Job]] = []
        self._latest: dict[str, Job] = {}
        self._count = itertools.count()
        self.failed = 0

    def plan(self, lease: state.Lease) -> None:
        """End a lease at its expiry, instead of when it was planned before."""
        before = self._latest.get(lease.id)
        if before is not None:
            before.cancelled = True
        turned = self.world.switches
        lag = turned.worker_busy_seconds + random.uniform(0, turned.expiry_lag_seconds)
        self._put(lease, lease.expires_at + datetime.timedelta(seconds=lag))

    def drop(self, lease: state.Lease) -> None:
        """The lease is revoked: nothing is left to end."""
        self._latest.pop(lease.id, None)

    def delete_secret(self, secret: state.DynamicSecret) -> None:
        """The secret goes, and each of its leases within some seconds."""
        secret.deleted_at = now = self.world.clock.now()
        share = self.world.switches.expiry_lag_seconds / 2.0 * DELETION_SECONDS
        for lease in self.world.leases_of(secret.id):
            if lease.status == "active":
                self._put(lease, now + datetime.timedelta(seconds=random.uniform(0, share)))

    def _put(self, lease: state.Lease, due: datetime.datetime) -> None:
        self._latest[lease.id] = job = Job(lease)
        heapq.heappush(self._heap, (due, next(self._count), job))
        self.wake()

    async def run_due(self) -> float:
        """Run what is due."""
        while self._heap and not self.world.switches.worker_down:
            left = (self._heap[0][0] - self.world.clock.now()).total_seconds()
            if left > 0:
                return left
            await self._run(heapq.heappop(self._heap)[2])
        return worker.LONGEST_NAP

    async def _run(self, job: Job) -> None:
        turned = self.world.switches
        if job.cancelled and turned.renewal == "Fixed":
            return
        if job.lease.status != "active":
            return
        if turned.jobs_fail:
            self.failed += 1
            return
        if turned.jobs_fail_late:
            self.world.aws.delete(job.lease.username)
            self.failed += 1
            return
        try:
            await self.world.end(job.lease, "expired")
        except errors.ApiError:
            self.failed += 1
