"""Figures as they come in, kept in plain dictionaries until somebody asks for them.

Whoever may write in one namespace can make any number of LeaseProviders; only so many of each
namespace have series of their own, and what an object had goes with it. Names are labels and
nothing else is: no text, no lease id, no address. ``exposition`` makes the answer, in a thread of
its own, from a ``Snapshot``.
"""

import bisect
import collections
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.api.record import Holder
from leaseholder.ports.meter import Figures
from leaseholder.ports.provider import ProviderName, Reading
from leaseholder.telemetry import catalogue
from leaseholder.telemetry.catalogue import Family, Labels

MOST_OF_NAMESPACE: Final = 32
"""So many providers of a namespace have series of their own."""
OTHERS: Final = ("*", "*", "*")
"""The labels of all other providers together; no object can have such a name."""
SAME_CLOCK: Final = 5.0
"""Clocks that are so many seconds apart count as the same: moments are in whole seconds, and a
figure that moves with each look shows nothing."""
Read = Callable[[], Reading]


@dataclass(slots=True)
class Histogram:
    """How many of what was observed were that long."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(catalogue.SECONDS) + 1))
    """One for each bucket, not added up; the last for what is beyond all bounds."""
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect.bisect_left(catalogue.SECONDS, seconds)] += 1
        self.total += seconds

    def copy(self) -> "Histogram":
        """The same at this moment."""
        return Histogram(self.counts.copy(), self.total)


@dataclass(slots=True)
class ProviderSeries:
    """What is known of one provider object, or of all that have no series of their own."""

    ready: bool | None = None
    """None: it wasn't looked at yet."""
    reason: Reason = Reason.PENDING
    seen: bool = False
    """Its object is there, as far as is known. One that was gone before this process started may
    have leases to be revoked, and connections for so long."""
    counts: collections.Counter[tuple[Family, str]] = field(default_factory=collections.Counter)
    """By metric and outcome."""
    latency: dict[str, Histogram] = field(default_factory=dict)
    """By operation."""
    unrecorded: int | None = None
    """Leases that the last sweep found on no record; None: it isn't swept."""
    reading: Callable[[], Read | None] = lambda: None
    """Gives what reads its connections, as long as those are there."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last look at one DynamicLease showed."""

    figures: Figures
    ahead: float
    """How far the provider's clock is ahead of ours, in seconds; 0 where it is about the same."""
    pending: Mapping[str, float]
    """Since when each of its records is to be revoked (seconds since the epoch)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All figures at one moment; nothing in it changes any more."""

    leases: Mapping[Holder, Seen]
    providers: Mapping[ProviderName, ProviderSeries]
    readings: Mapping[ProviderName, Reading]
    lateness: Histogram
    values: Mapping[Family, Mapping[Labels, float]]
    """Everything that is one number."""


class Metrics:
    """``Meter``, and what the adapters tell."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """Nothing is known yet.

        Args:
            wall: seconds since the epoch.
        """
        self._wall = wall
        self._leases: dict[Holder, Seen] = {}
        self._providers: dict[ProviderName, ProviderSeries] = {OTHERS: ProviderSeries()}
        self._own = collections.Counter[str]()
        """How many providers of a namespace have series of their own."""
        self._lateness = Histogram()
        self._requests = collections.Counter[Labels]()
        self._unreadable = dict.fromkeys(catalogue.UNREADABLE.known["kind"], 0)
        self._read: dict[tuple[Family, Labels], Callable[[], float]] = {}

    # ------------------------------------------------------------------------ ports.Meter

    def issued(self, by: ProviderName, outcome: errors.Outcome, *, replaces: bool) -> None:
        """An issue ended; ``replaces``: the lease takes another one's place."""
        self._count(by, catalogue.ISSUES, outcome)
        if replaces:
            self._count(by, catalogue.ROTATIONS, outcome)

    def renewed(self, by: ProviderName, outcome: errors.Outcome) -> None:
        """A renewal ended."""
        self._count(by, catalogue.RENEWALS, outcome)

    def revoked(self, by: ProviderName, outcome: errors.Outcome) -> None:
        """A revocation ended."""
        self._count(by, catalogue.REVOCATIONS, outcome)

    def observed(self, holder: Holder, figures: Figures) -> None:
        """A DynamicLease was looked at; ``forget`` takes it out again."""
        before, now = self._leases.get(holder), self._wall()
        ahead = figures.now.timestamp() - now
        known: Mapping[str, float] = before.pending if before is not None else {}
        if before is None and figures.pending_since is not None:
            now = figures.pending_since.timestamp()  # we were started meanwhile
        pending = {name: known.get(name, now) for name, state, _ in figures.leases if state.pending}
        self._leases[holder] = Seen(figures, ahead if abs(ahead) > SAME_CLOCK else 0.0, pending)

    def forget(self, holder: Holder) -> None:
        """A DynamicLease is gone, and nothing of it is left on record."""
        self._leases.pop(holder, None)

    def provider_observed(self, ref: ProviderName, ready: bool | None, reason: Reason) -> None:
        """A provider was looked at, or seen for the first time (None)."""
        known = self._providers.get(ref) or self._admit(ref)
        if known is None:
            return
        known.seen = True
        if ready is not None or known.ready is None:
            known.ready, known.reason = ready, reason

    def swept(self, ref: ProviderName, unrecorded: int | None) -> None:
        """A sweep found so many leases on no record; None: it isn't swept."""
        known = self._providers.get(ref)
        if known is not None:
            known.unrecorded = unrecorded

    def forget_provider(self, ref: ProviderName) -> None:
        """A provider is gone, and so are its series."""
        if self._providers.pop(ref, None) is not None:
            self._own[ref[1]] -= 1
            self._own += collections.Counter()  # without those that have none any more

    def late(self, seconds: float) -> None:
        """A due time was met that much late."""
        self._lateness.observe(seconds)

    # --------------------------------------------------------------- what adapters tell

    def provider_request(
        self, by: ProviderName, operation: str, outcome: str, seconds: float
    ) -> None:
        """A request to a provider ended; operation and outcome are words of the adapter's."""
        known = self._providers.get(by) or self._providers[OTHERS]
        known.counts[catalogue.REQUESTS, outcome] += 1
        known.latency.setdefault(operation, Histogram()).observe(seconds)

    def provider_connected(self, by: ProviderName, read: Read) -> None:
        """There are new connections to a provider, which a bound method reads."""
        known = self._providers.get(by) or self._admit(by)
        if known is not None:
            known.reading = weakref.WeakMethod(read)

    def cluster_request(self, verb: str, resource: str) -> None:
        """A request to the API server was made."""
        self._requests[verb, resource] += 1

    def unreadable(self, kind: str, number: int) -> None:
        """So many objects of a kind can't be read."""
        self._unreadable[kind] = number

    def read(self, family: Family, *labels: str, by: Callable[[], float]) -> None:
        """Ask ``by`` for a number whenever somebody wants to know."""
        self._read[family, labels] = by

    # ---------------------------------------------------------------------------- reading

    def snapshot(self) -> Snapshot:
        """All figures as they are; quick, also with ten thousand DynamicLeases."""
        for ref, known in list(self._providers.items()):
            if ref != OTHERS and not known.seen and known.reading() is None:
                self.forget_provider(ref)
        values: dict[Family, dict[Labels, float]] = {
            catalogue.CLUSTER_REQUESTS: dict(self._requests),
            catalogue.UNREADABLE: {(kind,): n for kind, n in self._unreadable.items()},
        }
        for (family, labels), read in self._read.items():
            values.setdefault(family, {})[labels] = read()
        copies = {
            ref: ProviderSeries(
                known.ready,
                known.reason,
                known.seen,
                known.counts.copy(),
                {name: one.copy() for name, one in known.latency.items()},
                known.unrecorded,
            )
            for ref, known in self._providers.items()
        }
        readings = {
            ref: reading()
            for ref, known in self._providers.items()
            if (reading := known.reading()) is not None
        }
        return Snapshot(self._leases.copy(), copies, readings, self._lateness.copy(), values)

    def _count(self, by: ProviderName, family: Family, outcome: errors.Outcome) -> None:
        known = self._providers.get(by) or self._providers[OTHERS]
        known.counts[family, outcome] += 1

    def _admit(self, ref: ProviderName) -> ProviderSeries | None:
        """Give a provider series of its own, if its namespace may have more of them."""
        namespace = ref[1]
        if namespace and self._own[namespace] >= MOST_OF_NAMESPACE:
            return None
        self._own[namespace] += 1
        self._providers[ref] = ProviderSeries()
        return self._providers[ref]
