"""A snapshot of all figures as text for Prometheus.

With ten thousand DynamicLeases this takes a second of processor time and makes megabytes. It
touches nothing that changes, so that it can be done in a thread, beside the event loop.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, cast

import prometheus_client
from prometheus_client import exposition, openmetrics
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from leaseholder.api.record import Holder, State
from leaseholder.telemetry import catalogue
from leaseholder.telemetry.catalogue import Family, Labels
from leaseholder.telemetry.metrics import OTHERS, Histogram, Seen, Snapshot

TEXT: Final = exposition.CONTENT_TYPE_PLAIN_0_0_4
OPEN_METRICS: Final = openmetrics.exposition.CONTENT_TYPE_LATEST
_BOUNDS: Final = (*(f"{one:g}" for one in catalogue.SECONDS), "+Inf")
_PROCESS: Final = prometheus_client.ProcessCollector(registry=None)
_OPEN: Callable[[Collector], bytes] = openmetrics.exposition.generate_latest  # it has no types
Rows = Iterable[tuple[Labels, float]]


def render(snapshot: Snapshot, content_type: str) -> bytes:
    """All metrics in the format of a content type, ``TEXT`` or ``OPEN_METRICS``."""
    families = _Families(snapshot)
    return (_OPEN if content_type == OPEN_METRICS else exposition.generate_latest)(families)


class _Families(Collector):
    """One family after the other, so that no more than one is in memory."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """All metrics of the catalogue, and those of the process."""
        yield from _of_leases(self._snapshot)
        yield from _of_providers(self._snapshot)
        yield _histogram(catalogue.LATENESS, [((), self._snapshot.lateness)])
        for family, values in self._snapshot.values.items():
            zeros = dict.fromkeys(family.known_labels(), 0.0) if family.labels else {}
            yield _plain(family, {**zeros, **values}.items())
        yield from _PROCESS.collect()


def _of_leases(snapshot: Snapshot) -> Iterator[Metric]:
    # By name: one made again may be seen before the one before it is forgotten.
    named = {
        (holder.namespace, holder.name): seen
        for holder, seen in snapshot.leases.items()
        if seen.figures.ready is not None
    }
    shown = [(at, seen.figures, seen.ahead) for at, seen in named.items()]
    rows = (((*at, one.reason.value), float(bool(one.ready))) for at, one, _ in shown)
    yield _plain(catalogue.READY, rows)
    for family, moments in (
        (catalogue.EXPIRY, ((at, one.expires_at, ahead) for at, one, ahead in shown)),
        (catalogue.RENEWAL, ((at, one.renews_at, ahead) for at, one, ahead in shown)),
        (catalogue.ISSUE, ((at, one.issued_at, ahead) for at, one, ahead in shown)),
    ):
        known = ((at, moment.timestamp() - ahead) for at, moment, ahead in moments if moment)
        yield _plain(family, known)
    yield _plain(catalogue.PENDING, _pending(snapshot.leases.items()).items())
    ready = sum(one.ready is True for _, one, _ in shown)
    counts = {("true",): float(ready), ("false",): float(len(named) - ready)}
    yield _plain(catalogue.DYNAMIC_LEASES, counts.items())


def _pending(leases: Iterable[tuple[Holder, Seen]]) -> dict[Labels, float]:
    oldest: dict[Labels, float] = {}
    for holder, seen in leases:
        if seen.pending:
            at = (holder.namespace, holder.name)
            oldest[at] = min(*seen.pending.values(), oldest.get(at, float("inf")))
    return oldest


def _of_providers(snapshot: Snapshot) -> Iterator[Metric]:
    providers, readings = snapshot.providers, snapshot.readings
    held = Counter(
        (ref if ref in providers else OTHERS, state)
        for seen in snapshot.leases.values()
        for _, state, ref in seen.figures.leases
    )
    rows = (((*ref, s.value), float(held[ref, s])) for ref in providers for s in State)
    yield _plain(catalogue.LEASES, rows)
    for family in catalogue.BY_PROVIDER:
        outcomes = family.known["outcome"]
        counts = (
            ((*ref, outcome), float(known.counts[family, outcome]))
            for ref, known in providers.items()
            for outcome in outcomes
        )
        yield _plain(family, counts)
    ready = (
        ((*ref, known.reason.value), float(known.ready))
        for ref, known in providers.items()
        if known.ready is not None
    )
    yield _plain(catalogue.PROVIDER_READY, ready)
    latency = (
        ((*ref, operation), one)
        for ref, known in providers.items()
        for operation, one in known.latency.items()
    )
    yield _histogram(catalogue.LATENCY, latency)
    used = ((ref, one.budget_used) for ref, one in readings.items() if one.budget_used is not None)
    yield _plain(catalogue.BUDGET, used)
    yield _plain(catalogue.SKEW, ((ref, float(one.clock_skew)) for ref, one in readings.items()))
    found = ((ref, one.unrecorded) for ref, one in providers.items())
    yield _plain(catalogue.UNRECORDED, ((ref, float(n)) for ref, n in found if n is not None))
    yield _plain(catalogue.CIRCUIT, ((ref, float(o.circuit_open)) for ref, o in readings.items()))


def _plain(family: Family, rows: Rows) -> Metric:
    name, labels = family.name, family.labels
    samples = (Sample(name, dict(zip(labels, row, strict=True)), value) for row, value in rows)
    return _metric(family, samples)


def _histogram(family: Family, rows: Iterable[tuple[Labels, Histogram]]) -> Metric:
    return _metric(family, (sample for row, one in rows for sample in _buckets(family, row, one)))


def _buckets(family: Family, row: Labels, one: Histogram) -> Iterator[Sample]:
    labels = dict(zip(family.labels, row, strict=True))
    sums = list(itertools.accumulate(one.counts))
    for bound, count in zip(_BOUNDS, sums, strict=True):
        yield Sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
    yield Sample(f"{family.name}_count", labels, sums[-1])
    yield Sample(f"{family.name}_sum", labels, one.total)


def _metric(family: Family, samples: Iterator[Sample]) -> Metric:
    """A metric whose samples are made when they are read, one by one.

    Ten thousand of them at once would set off Python's search for cycles, which holds up all
    threads for 50 ms.
    """
    made = Metric(family.name.removesuffix("_total"), family.text, family.type)
    made.samples = cast(list[Sample], samples)
    return made
