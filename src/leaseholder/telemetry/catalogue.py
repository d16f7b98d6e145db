"""Every metric: its name, type, labels and meaning; docs/metrics.md is made of this.

Names and units follow https://prometheus.io/docs/practices/naming/. A label's value is a name or
one of a few words. Where those are known, a counter has all of them from the start, because
``rate`` can't see the first step of a series that wasn't there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Final, Literal

from leaseholder import errors
from leaseholder.api import lease, provider, record

SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 100.0)
"""Upper bounds of the buckets of every histogram, in seconds."""
Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric, whatever its labels say."""

    name: str
    """As it is asked for; a histogram's without ``_bucket``."""
    type: Literal["gauge", "counter", "histogram"]
    text: str
    labels: Labels = ()
    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """All values of a label, where they are known beforehand."""

    def known_labels(self) -> Iterator[Labels]:
        """The values of all labels, one combination after the other, where all are known."""
        return product(*(self.known.get(label, ()) for label in self.labels))


_LEASE: Final = ("namespace", "name")
_PROVIDER: Final = ("provider_kind", "provider_namespace", "provider")
_OUTCOMES: Final = {"outcome": tuple(errors.Outcome)}

READY: Final = Family(
    "leaseholder_dynamic_lease_ready",
    "gauge",
    "1 while the Secret holds credentials that live, else 0; the reason is that of Ready.",
    (*_LEASE, "reason"),
)
EXPIRY: Final = Family(
    "leaseholder_dynamic_lease_expiry_timestamp_seconds",
    "gauge",
    "When the credentials in the Secret end, as far as is known.",
    _LEASE,
)
RENEWAL: Final = Family(
    "leaseholder_dynamic_lease_renewal_timestamp_seconds",
    "gauge",
    "When their lease is to be renewed or replaced.",
    _LEASE,
)
ISSUE: Final = Family(
    "leaseholder_dynamic_lease_issue_timestamp_seconds",
    "gauge",
    "When their lease was issued.",
    _LEASE,
)
PENDING: Final = Family(
    "leaseholder_dynamic_lease_pending_revocation_timestamp_seconds",
    "gauge",
    "Since when the oldest of its leases that are still to be revoked is to be. Of a DynamicLease "
    "that is gone: not longer than the operator has run.",
    _LEASE,
)
DYNAMIC_LEASES: Final = Family(
    "leaseholder_dynamic_leases",
    "gauge",
    "DynamicLeases, by whether they are Ready.",
    ("ready",),
    {"ready": ("true", "false")},
)

LEASES: Final = Family(
    "leaseholder_leases",
    "gauge",
    "Leases on record, by state and provider.",
    (*_PROVIDER, "state"),
    {"state": tuple(record.State)},
)
ISSUES: Final = Family(
    "leaseholder_issues_total",
    "counter",
    "Leases that were asked for, first ones and those that replace another.",
    (*_PROVIDER, "outcome"),
    _OUTCOMES,
)
ROTATIONS: Final = Family(
    "leaseholder_rotations_total",
    "counter",
    "Those of them that replace another.",
    (*_PROVIDER, "outcome"),
    _OUTCOMES,
)
RENEWALS: Final = Family(
    "leaseholder_renewals_total",
    "counter",
    "Renewals that were asked for.",
    (*_PROVIDER, "outcome"),
    _OUTCOMES,
)
REVOCATIONS: Final = Family(
    "leaseholder_revocations_total",
    "counter",
    "Tries to revoke a lease, or to find the lease of an unclear issue; ok: the provider confirms "
    "that it is gone.",
    (*_PROVIDER, "outcome"),
    _OUTCOMES,
)

PROVIDER_READY: Final = Family(
    "leaseholder_provider_ready",
    "gauge",
    "1 while the provider answers and the login works, else 0; the reason is that of Ready.",
    (*_PROVIDER, "reason"),
)
REQUESTS: Final = Family(
    "leaseholder_provider_requests_total",
    "counter",
    "Requests to the provider.",
    (*_PROVIDER, "outcome"),
    {
        "outcome": (
            "ok",
            "refused",
            "throttled",
            "failed",
            "unreachable",
            "untrusted",
            "lost",
            "late",
            "forbidden",
        )
    },
)
LATENCY: Final = Family(
    "leaseholder_provider_request_duration_seconds",
    "histogram",
    "How long they took, whatever their outcome.",
    (*_PROVIDER, "operation"),
)
BUDGET: Final = Family(
    "leaseholder_provider_budget_used_ratio",
    "gauge",
    "The share of the requests of a minute that is used up, by limits.requestsPerMinute or by what "
    "the server says; absent where neither is known.",
    _PROVIDER,
)
SKEW: Final = Family(
    "leaseholder_provider_clock_skew_seconds",
    "gauge",
    "The provider's clock minus the operator's, at its last answer.",
    _PROVIDER,
)
CIRCUIT: Final = Family(
    "leaseholder_provider_circuit_open",
    "gauge",
    "1 while the provider is taken to be down and requests are held back, else 0.",
    _PROVIDER,
)
UNRECORDED: Final = Family(
    "leaseholder_unrecorded_leases",
    "gauge",
    "Leases of this installation that the last sweep found at the provider and on no record, at "
    "most a hundred of each source; absent where `spec.sweep` is.",
    _PROVIDER,
)

LATENESS: Final = Family(
    "leaseholder_lateness_seconds", "histogram", "How late due DynamicLeases were taken up."
)
QUEUE: Final = Family(
    "leaseholder_queue_depth",
    "gauge",
    "Objects that are due and wait for a worker.",
    ("kind",),
    {"kind": (lease.DynamicLease.KIND, "LeaseProvider")},
)
LEADER: Final = Family(
    "leaseholder_leader",
    "gauge",
    "1 while this process does the work of the shard, else 0; each process has all shards. Without "
    "shards there is `default` alone.",
    ("shard",),
)
CLUSTER_UP: Final = Family(
    "leaseholder_cluster_up", "gauge", "0 while the API server doesn't answer, else 1."
)
CLUSTER_REQUESTS: Final = Family(
    "leaseholder_cluster_requests_total",
    "counter",
    "Requests to the API server.",
    ("verb", "resource"),
    {"verb": ("get", "list", "watch", "create", "patch", "delete")},
)
RESTORES: Final = Family(
    "leaseholder_cluster_restores_total",
    "counter",
    "Times that the API server showed an older state than before: etcd was restored.",
)
UNREADABLE: Final = Family(
    "leaseholder_unreadable_objects",
    "gauge",
    "Objects that can't be read, at most a hundred of each namespace; the log names each once.",
    ("kind",),
    {
        "kind": (
            lease.DynamicLease.KIND,
            record.LeaseRecord.KIND,
            provider.LeaseProvider.KIND,
            provider.ClusterLeaseProvider.KIND,
            "Secret",
        )
    },
)
BUILD: Final = Family("leaseholder_build_info", "gauge", "Always 1.", ("version", "python", "kopf"))

SECTIONS: Final[Mapping[str, tuple[Family, ...]]] = {
    "DynamicLeases": (READY, EXPIRY, RENEWAL, ISSUE, PENDING, DYNAMIC_LEASES),
    "Leases": (LEASES, ISSUES, ROTATIONS, RENEWALS, REVOCATIONS),
    "Providers": (PROVIDER_READY, REQUESTS, LATENCY, BUDGET, SKEW, CIRCUIT, UNRECORDED),
    "The operator": (
        LATENESS, QUEUE, LEADER, CLUSTER_UP, CLUSTER_REQUESTS, RESTORES, UNREADABLE, BUILD,
    ),
}  # fmt: skip
ALL: Final = tuple(family for section in SECTIONS.values() for family in section)
BY_PROVIDER: Final = (ISSUES, ROTATIONS, RENEWALS, REVOCATIONS, REQUESTS)
"""Counters that each provider has from the start."""

_INTRODUCTION: Final = """\
<!-- Generated from leaseholder.telemetry.catalogue by `make crds`. -->

# Metrics

At `/metrics` of the Service `leaseholder`, port 8080: in the Prometheus text format, or as OpenMetrics where
the request's `Accept` asks for it. [Alerts and a dashboard](operations.md#metrics) are made of them.

- Everybody who reaches the port reads them, unless [a token is wanted](install.md#who-reaches-its-port).
- Scrape with `honorLabels: true`: `namespace` and `name` are those of DynamicLeases, not of the pod.
- Timestamps are seconds since the epoch by the operator's clock, so that `time()` fits. `status` has the moments
  of the provider's clock; `leaseholder_provider_clock_skew_seconds` is the difference.
- A series goes with its object: a DynamicLease or a provider that is gone leaves none.
- `provider_kind` is LeaseProvider or ClusterLeaseProvider; `provider_namespace` of the latter is empty.
  Where all three labels of a provider are `*`, the series counts for providers that are gone, and for those of a
  namespace beyond its first 32.
- Where the values of a label are known beforehand, a counter has a series for each from the start.
- No label has a text in it, a lease id or an address.

## Questions and their queries

Which DynamicLeases aren't Ready, and why?

```promql
leaseholder_dynamic_lease_ready == 0
```

Whose credentials end within ten minutes?

```promql
leaseholder_dynamic_lease_expiry_timestamp_seconds - time() < 600
```

Which providers refuse or lose requests, and how many a second?

```promql
sum by (provider_namespace, provider, outcome) (rate(leaseholder_provider_requests_total{outcome!="ok"}[5m])) > 0
```

How slow is each provider?

```promql
histogram_quantile(0.99, sum by (provider_namespace, provider, le) (rate(leaseholder_provider_request_duration_seconds_bucket[5m])))
```

How many leases are still to be revoked?

```promql
sum by (provider_namespace, provider) (leaseholder_leases{state="Revoking"})
```

## Outcomes

`outcome` of an issue, rotation, renewal or revocation:

| Outcome | Meaning |
|---|---|
| `ok` | Done |
| `refused` | The provider won't: a right, the source, the ttl, the end of a lease's longest life |
| `gone` | The provider has no such lease |
| `throttled` | Too many requests |
| `unavailable` | No usable answer, and nothing was done |
| `unclear` | No usable answer, or it isn't confirmed: it may have been done |

`outcome` of a request to a provider: `ok`, `refused` (4xx), `throttled` (429), `failed` (5xx), `unreachable`,
`untrusted` (the certificate), `forbidden` (a host that isn't allowed), `lost` (no answer, or one that can't be
read), `late` (not sent, because its deadline was over).
"""


def rendered() -> str:
    """The page as Markdown."""
    parts = [_INTRODUCTION]
    for title, families in SECTIONS.items():
        rows = [_row(family) for family in families]
        head = ["| Metric | Type | Labels | Meaning |", "|---|---|---|---|"]
        parts.append("\n".join([f"## {title}", "", *head, *rows, ""]))
    parts.append(
        "Beside these `process_*`: processor time, memory, files and start of the process.\n"
    )
    return "\n".join(parts)


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{family.name}` | {family.type} | {labels} | {family.text} |"
