"""What happens behind the requests: expiry, retries of failed revocations, pruning.

One job per lease fires at its expiry: it revokes at the target and deletes the row, or marks it
``Failed to delete`` and tries again some four hours later, three times over, each pause twice the
last. A dynamic secret that is being deleted has its leases revoked first.
"""

import asyncio
import dataclasses
import heapq
import random
from collections.abc import Coroutine
from typing import Final

from tests.world.emulation import worker
from tests.world.infisical import emulator as emulators
from tests.world.infisical import errors, ms, provider, state

LONGEST_DETAILS: Final = 255
FIRST_RETRY_MS: Final = 4 * ms.HOUR
RETRIES: Final = 3
FAILED: Final = "Failed to delete"


@dataclasses.dataclass(slots=True)
class Job:
    """When a lease is due, and how often it has failed."""

    due: float
    failures: int = 0


class Jobs(worker.Worker):
    """The queue and its worker."""

    def __init__(self, world: emulators.Emulator) -> None:
        super().__init__()
        self.world = world
        self._jobs: dict[str, Job] = {}
        self._heap: list[tuple[float, str]] = []
        self._prunes: set[str] = set()
        self._at_once = asyncio.Semaphore(8)

    def schedule(self, lease_id: str, due: float) -> None:
        self._put(lease_id, Job(due=due))

    def cancel(self, lease_id: str) -> None:
        self._jobs.pop(lease_id, None)

    def retry(self, lease_id: str) -> None:
        """Queue another attempt, later each time; in the end nobody tries any more."""
        job = self._jobs.pop(lease_id, None) or Job(due=0.0)
        if job.failures >= RETRIES:
            return
        pause = FIRST_RETRY_MS * 2.0**job.failures * random.uniform(0.8, 1.2)
        self._put(lease_id, Job(due=self.world.clock.now() + pause, failures=job.failures + 1))

    def prune(self, secret_id: str) -> None:
        self._prunes.add(secret_id)
        self.wake()

    def _put(self, lease_id: str, job: Job) -> None:
        self._jobs[lease_id] = job
        heapq.heappush(self._heap, (job.due, lease_id))
        if self._heap[0][1] == lease_id:
            self.wake()

    async def run_due(self) -> float:
        """Start what is due."""
        if self.world.switches.jobs_paused:
            return worker.LONGEST_NAP
        while self._prunes:
            self.launch(self._bounded(self._prune(self._prunes.pop())))
        now = self.world.clock.now()
        while self._heap and self._heap[0][0] <= now:
            due, lease_id = heapq.heappop(self._heap)
            job = self._jobs.get(lease_id)
            if job is not None and job.due == due:
                self.launch(self._bounded(self._expire(lease_id, job)))
        return (self._heap[0][0] - now) / 1000 if self._heap else worker.LONGEST_NAP

    async def _bounded(self, work: Coroutine[None, None, None]) -> None:
        async with self._at_once:
            await work

    async def _expire(self, lease_id: str, job: Job) -> None:
        lease = self.world.leases.get(lease_id)
        if lease is None or self._jobs.get(lease_id) is not job:
            return
        failure = await self._revoke(lease)
        # NB: a renewal may have rescheduled the lease while the target was being asked.
        if self._jobs.get(lease_id) is job and failure is None:
            self._jobs.pop(lease_id)
        elif failure is not None:
            self.retry(lease_id)

    async def _prune(self, secret_id: str) -> None:
        secret = self.world.secrets.get(secret_id)
        if secret is None:
            return
        rows = [row for row in self.world.leases if row.dynamic_secret_id == secret_id]
        failures = [failure for row in rows if (failure := await self._revoke(row)) is not None]
        if failures:
            secret.status, secret.status_details = FAILED, failures[0][:LONGEST_DETAILS]
            return
        self.world.secrets.pop(secret_id, None)

    async def _revoke(self, lease: state.Lease) -> str | None:
        """Revoke and delete, or mark the row; the target's text when it refused."""
        secret = self.world.secrets.get(lease.dynamic_secret_id)
        if secret is None:
            return None
        try:
            await provider.revoke(self.world, secret, lease)
        except errors.ApiError as failure:
            text = str(failure.message)
            if self.world.leases.get(lease.id) is not lease:
                return None
            lease.status = FAILED
            lease.status_details = f"{text} - Retrying automatically"[:LONGEST_DETAILS]
            lease.updated_at = self.world.clock.now()
            self.world.leases.put(lease)
            return text
        self.world.leases.remove(lease.id)
        return None
