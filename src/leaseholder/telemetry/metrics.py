"""Prometheus metrics. Labels are names and reasons; nothing here can carry a credential.

Names and units follow https://prometheus.io/docs/practices/naming/.
"""

import contextlib
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import prometheus_client
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leaseholder.api.record import Holder, LeaseRecord, State

_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 100)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the last look at one DynamicLease showed."""

    states: tuple[State, ...]
    expires_at: datetime | None
    ready: bool


class _Leases(Collector):
    """Gauges over all DynamicLeases, counted when they are asked for."""

    def __init__(self) -> None:
        self.seen: dict[Holder, _Seen] = {}

    def collect(self) -> Iterable[Metric]:
        """One family for records by state, one for DynamicLeases, one for expiries."""
        states = Tally(state for seen in self.seen.values() for state in seen.states)
        leases = GaugeMetricFamily(
            "leaseholder_leases", "Leases on record, by state.", labels=["state"]
        )
        for state in State:
            leases.add_metric([state], states[state])
        ready = GaugeMetricFamily(
            "leaseholder_dynamic_leases", "DynamicLeases, by readiness.", labels=["ready"]
        )
        for verdict in (True, False):
            count = sum(seen.ready is verdict for seen in self.seen.values())
            ready.add_metric([str(verdict).lower()], count)
        expiry = GaugeMetricFamily(
            "leaseholder_lease_expiry_timestamp_seconds",
            "When the credentials in the Secret end, seconds since the epoch.",
            labels=["namespace", "name"],
        )
        # By name: a namesake may be seen before its forerunner is forgotten.
        ends = {(h.namespace, h.name): s.expires_at for h, s in self.seen.items() if s.expires_at}
        for labels, end in ends.items():
            expiry.add_metric(labels, end.timestamp())
        return [leases, ready, expiry]


class Metrics:
    """``ports.Meter`` on a Prometheus registry of its own."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self._leases = _Leases()
        self.registry.register(self._leases)
        self._mints = self._counter("mints", "Mints, by outcome.", "outcome")
        self._renewals = self._counter("renewals", "Extensions, by outcome.", "outcome")
        self._revocations = self._counter("revocations", "Revocations, by outcome.", "outcome")
        self._requests = self._counter(
            "provider_requests", "Requests to providers.", "operation", "outcome"
        )
        self._cluster = self._counter(
            "cluster_requests", "Requests to the API server.", "verb", "resource"
        )
        self._open = Tally[str]()
        self._circuits = prometheus_client.Gauge(
            "leaseholder_provider_circuits_open",
            "Providers that are down: requests are held back, but for trials.",
            ["address"],
            registry=self.registry,
        )
        self._unreadable = prometheus_client.Gauge(
            "leaseholder_unreadable_objects",
            "Objects that can't be read, at most a hundred of each namespace.",
            ["kind"],
            registry=self.registry,
        )
        self._request_seconds = prometheus_client.Histogram(
            "leaseholder_provider_request_duration_seconds",
            "How long requests to providers took.",
            ["operation"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._late = prometheus_client.Histogram(
            "leaseholder_lateness_seconds",
            "How late due DynamicLeases were taken up.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        prometheus_client.ProcessCollector(registry=self.registry)

    def minted(self, outcome: str) -> None:
        """A mint ended."""
        self._mints.labels(outcome).inc()

    def renewed(self, outcome: str) -> None:
        """An extension ended."""
        self._renewals.labels(outcome).inc()

    def revoked(self, outcome: str) -> None:
        """A revocation ended."""
        self._revocations.labels(outcome).inc()

    def observed(
        self,
        holder: Holder,
        records: Sequence[LeaseRecord],
        expires_at: datetime | None,
        ready: bool,
    ) -> None:
        """A DynamicLease was looked at; ``forget`` takes it out again."""
        self._leases.seen[holder] = _Seen(tuple(r.state for r in records), expires_at, ready)

    def forget(self, holder: Holder) -> None:
        """A DynamicLease is gone, and nothing of it is left on record."""
        self._leases.seen.pop(holder, None)

    def late(self, seconds: float) -> None:
        """A due time was met that much late."""
        self._late.observe(seconds)

    def provider_request(self, operation: str, outcome: str, seconds: float) -> None:
        """A request to a provider ended: ``outcome`` says how, in a word."""
        self._requests.labels(operation, outcome).inc()
        self._request_seconds.labels(operation).observe(seconds)

    def provider_circuit(self, address: str, is_open: bool) -> None:
        """The circuit of one more, or one less, provider at an address is open.

        An address stands among the labels only while one is: tenants choose addresses.
        """
        self._open[address] += 1 if is_open else -1
        if self._open[address] > 0:
            self._circuits.labels(address).set(self._open[address])
            return
        del self._open[address]
        with contextlib.suppress(KeyError):
            self._circuits.remove(address)

    def unreadable(self, kind: str, number: int) -> None:
        """So many objects of a kind can't be read."""
        self._unreadable.labels(kind).set(number)

    def cluster_request(self, verb: str, resource: str) -> None:
        """A request to the API server was made."""
        self._cluster.labels(verb, resource).inc()

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return prometheus_client.generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> prometheus_client.Counter:
        return prometheus_client.Counter(
            f"leaseholder_{name}", text, labels, registry=self.registry
        )
