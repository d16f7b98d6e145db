"""The monitor: each second it logs in with what the Secrets hold, as the workloads would.

What counts as a failed login. DynamicLeases and Secrets are listed; where Ready is True and
status and Secret name the same lease, the Secret's credentials are tried. When the target
refuses them, both are read again: if Ready is still True, for the same lease in the same Secret,
the login failed while Ready. If not, the credentials were replaced or taken back between the
list and the login; a workload would have been told, and this is counted as overtaken, not as
failed. A login that fails isn't tried again in the hope that it works: once is enough. What a
user wrote into a Secret isn't ours: it is counted apart, and as time without credentials.

How long somebody was without credentials. For each DynamicLease that is wanted and not
suspended: the seconds since the last login that worked with what its Secret holds, Ready or
not (or since it was first seen), as far as the world was calm: no fault in force, and the
operator up and ready. ``longest`` is the longest such stretch within one calm; ``longest_sum``
adds up the calm stretches until a login works again, across faults and crashes between them.
Rounds are a second apart, so both are up to a second too long rather than too short.
"""

import asyncio
import base64
import collections.abc
import dataclasses
import logging
import math
import time

import psycopg

from tests.cluster import fleet
from tests.world import kube

logger = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two rounds."""
WORTH_TELLING = 2.0
"""Seconds without credentials that the log tells of."""
AT_ONCE = 4
"""Logins at once: the target shares its machine with the rest."""
_OWNER = "leaseholder.dev/owner-uid"
_LEASE = "leaseholder.dev/lease-id"


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """A DynamicLease and its Secret, as they were read."""

    name: str
    uid: str
    ready: bool
    """Whether Ready is True and status and Secret name the same lease."""
    secret: str
    version: str
    """Uid of the Secret and the lease that it names."""
    values: dict[str, str] = dataclasses.field(repr=False)


@dataclasses.dataclass(slots=True)
class Figures:
    """What the monitor counted."""

    rounds: int = 0
    logins: int = 0
    """With the credentials of Secrets whose DynamicLease was Ready."""
    failed: list[str] = dataclasses.field(default_factory=list)
    """Those that were refused while Ready, in words."""
    unattended: int = 0
    """Of these, those while no operator was ready: nobody could have taken Ready back."""
    overtaken: int = 0
    spoiled: int = 0
    """Refused, but the credentials were a user's edit, which wasn't noticed yet."""
    unclear: int = 0
    """The target couldn't be asked."""
    longest: float = 0.0
    """Seconds of one calm that somebody was without credentials that work."""
    longest_for: str = ""
    longest_sum: float = 0.0
    """The same across several calms."""
    slowest_round: float = 0.0
    """Seconds of one round; well over one the machine had no time for it, and what is measured may
    be too long by as much."""


class Monitor:
    """Eyes on one fleet."""

    def __init__(
        self,
        ships: fleet.Fleet,
        calm_since: collections.abc.Callable[[], float],
        up_since: collections.abc.Callable[[], float],
    ) -> None:
        """Monotonic seconds: since when it is calm, and the operator ready; infinite: it isn't."""
        self.figures = Figures()
        self._fleet = ships
        self._site = ships.site
        self._calm_since = calm_since
        self._up_since = up_since
        self._before = time.monotonic()
        self._without: dict[str, tuple[float, float]] = {}
        """Calm seconds since the last login that worked, in this calm and in all, by uid."""
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def run(self, stop: asyncio.Event) -> None:
        """Rounds until told to stop."""
        while not stop.is_set():
            started = time.monotonic()
            await self._round()
            took = time.monotonic() - started
            self.figures.slowest_round = max(self.figures.slowest_round, took)
            await asyncio.sleep(max(0.0, EVERY - took))

    async def _round(self) -> None:
        seen = await self._look()
        outcomes = await asyncio.gather(*(self._log_in(one) for one in seen))
        now, since = time.monotonic(), self._calm_since()
        self.figures.rounds += 1
        good = {one.uid for one, works in zip(seen, outcomes, strict=True) if works}
        self._note(good, max(0.0, now - max(self._before, since)), anew=since > self._before)
        self._before = now
        for uid, (stretch, _) in self._without.items():
            if stretch > WORTH_TELLING:
                await self._tell(uid, stretch)

    async def _tell(self, uid: str, stretch: float) -> None:
        """In the log: who is without credentials, and what its status says."""
        name = next((s.name for s in self._fleet.ships.values() if s.uid == uid), None)
        lease = await self._site.found(name) if name is not None else None
        ready = kube.condition(lease, "Ready")
        retry = ((lease or {}).get("status") or {}).get("retry")
        records = [r["state"] for r in await self._site.records(name)]
        told = f"{ready.get('reason')}: {ready.get('message')}; retry {retry}; records {records}"
        logger.info("without credentials for %.1f s: %s, %s", stretch, name, told)

    def _note(self, good: set[str], passed: float, *, anew: bool) -> None:
        """Who is without credentials that work, after so many calm seconds more."""
        wanted = {s.uid: s for s in self._fleet.ships.values() if not s.suspended}
        known, self._without = self._without, dict.fromkeys(wanted, (0.0, 0.0))
        for uid in wanted.keys() & known.keys() - good:
            stretch, total = known[uid]
            stretch, total = (0.0 if anew else stretch) + passed, total + passed
            self._without[uid] = stretch, total
            self.figures.longest_sum = max(self.figures.longest_sum, total)
            if stretch > self.figures.longest:
                self.figures.longest = stretch
                self.figures.longest_for = f"{wanted[uid].name} at {time.time():.0f}"

    async def _look(self) -> list[Seen]:
        """Those that have a Secret."""
        client, namespace = self._site.client, self._site.namespace
        secrets = await client.list("Secret", namespace, labels=_OWNER)
        leases = await client.list("DynamicLease", namespace)
        by_name = {one["metadata"]["name"]: one for one in secrets}
        pairs = [(one, by_name.get(_secret_name(one))) for one in leases]
        return [_seen(lease, secret) for lease, secret in pairs if secret is not None]

    async def _log_in(self, seen: Seen) -> bool:
        """Whether the credentials work; a refusal while Ready is looked into."""
        async with self._gate:
            try:
                works = await self._site.works(seen.values)
            except psycopg.OperationalError:
                self.figures.unclear += 1
                return False
            self.figures.logins += seen.ready
            if seen.ready and fleet.SPOILED in seen.values.values():
                self.figures.spoiled += 1
            elif seen.ready and not works:
                await self._look_into(seen)
            return works

    async def _look_into(self, seen: Seen) -> None:
        client, namespace = self._site.client, self._site.namespace
        lease = await client.get("DynamicLease", seen.name, namespace)
        secret = await client.get("Secret", seen.secret, namespace)
        again = _seen(lease, secret) if lease is not None and secret is not None else None
        if again is None or not again.ready or again.version != seen.version:
            self.figures.overtaken += 1
            return
        assert lease is not None
        told, up = lease["status"]["lease"], time.monotonic() - self._up_since()
        self.figures.unattended += up < 0
        who = f"the operator was ready for {up:.1f} s" if up >= 0 else "no operator was ready"
        faults = ", faults in force" if up >= 0 and math.isinf(self._calm_since()) else ""
        text = f"{seen.name} at {time.time():.1f}: lease {told['id']}, ends {told['expiresAt']}"
        text += f"; {who}{faults}"
        self.figures.failed.append(text)
        logger.warning("refused while Ready: %s", text)


def _secret_name(lease: kube.Object) -> str:
    target = lease["spec"].get("target") or {}
    return str(target.get("secretName") or lease["metadata"]["name"])


def _seen(lease: kube.Object, secret: kube.Object) -> Seen:
    meta, notes = secret["metadata"], secret["metadata"].get("annotations", {})
    told = ((lease.get("status") or {}).get("lease") or {}).get("id")
    data = secret.get("data") or {}
    return Seen(
        name=lease["metadata"]["name"],
        uid=lease["metadata"]["uid"],
        ready=kube.is_ready(lease) and told is not None and told == notes.get(_LEASE),
        secret=meta["name"],
        version=f"{meta['uid']}/{notes.get(_LEASE)}",
        values={key: base64.b64decode(value).decode() for key, value in data.items()},
    )
