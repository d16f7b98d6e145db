"""What was read of one DynamicLease: its record, Secrets, provider and workloads.

Flows in: what ``controller.observe`` gathered, anew before each step. Flows out: nothing but this
enters a decision. ``lease_facts``, ``secret_facts`` and ``view`` answer questions about it, in this
order; ``rules`` decides by the answers.

``now`` is the clock of the provider that is wanted, and ``shifts`` bring other leases' moments
there; ``monotonic`` measures how long this process has known something.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from leaseholder.api.lease import DynamicLease, RestartTarget
from leaseholder.api.record import Holder, RecordedLease, State, Subject
from leaseholder.core.memory import Failure, Memory
from leaseholder.ports.provider import Capabilities
from leaseholder.ports.secrets import SecretView
from leaseholder.ports.workloads import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """The provider that the DynamicLease means, ready to be asked."""

    type: str
    kind: str
    namespace: str
    name: str
    uid: str
    address: str
    auth_ref: Mapping[str, Any]
    trust: Mapping[str, Any]
    options: Mapping[str, Any]
    source: Mapping[str, Any]
    source_hash: str
    slot: str
    """Hash of address and source."""
    probe_interval: timedelta


@dataclass(frozen=True, slots=True)
class TargetView:
    """A restart target, and what was found for it."""

    wanted: RestartTarget
    workloads: tuple[Workload, ...] = ()
    refusal: str = ""
    """Why we may not look, in a sentence."""


@dataclass(frozen=True, slots=True)
class Others:
    """The other DynamicLeases of the namespace, as this process last saw them."""

    leases: int = 0
    pending: int = 0
    """Leases of theirs, and of those that are gone, that are still to be revoked."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """The last restart of a workload that this process made."""

    at: float
    """Monotonic seconds."""
    key: str
    value: str
    """The stamp that it wrote."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A lease of another DynamicLease."""

    of: Subject
    lease: RecordedLease


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was read, and what this process remembers."""

    now: datetime
    monotonic: float
    subject: Subject
    """The name that all of this is about."""
    holder: Holder
    """The DynamicLease of that name; of one that is gone, whom its newest lease was issued for."""
    dl: DynamicLease | None
    """None where it is gone."""
    records: tuple[RecordedLease, ...] = ()
    """The leases on record, oldest first, whichever DynamicLease of that name they were for."""
    record_version: str = ""
    """Uid and resourceVersion of the record, with leases or without; empty: there is none."""
    kept_until: datetime | None = None
    """Until when leases may live that were let go, and that the record says so of."""
    trusts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What providers of these leases are trusted by, as on the record."""
    capabilities: Mapping[str, Capabilities] = field(default_factory=dict)
    """By attempt id."""
    shifts: Mapping[str, timedelta] = field(default_factory=dict)
    """By attempt id: what brings a lease's own moments to the clock of ``now``."""
    has_time: bool = True
    """A provider told what time it is ``now``; else our wall clock did, which may be wrong."""
    secrets: tuple[SecretView, ...] = ()
    """Secrets that belong to this DynamicLease: by label, by owner, or by their seal; no copies
    that somebody made. Of others than the target only a few are read, the rest is metadata."""
    target: SecretView | None = None
    """The Secret under the wanted name, whoever owns it."""
    unread: bool = False
    """The Secrets may not be read any more, so nothing is known of them (``going``)."""
    target_contested: bool = False
    """The target belongs to somebody else who is alive."""
    proven: str = ""
    """Attempt id of the lease whose data the target held as we wrote it, when it was read in this
    version; its values aren't at hand. Empty: they are."""
    rivals: tuple["Rival", ...] = ()
    """Leases of others on the same account, where one is to be issued."""
    others: Others = Others()
    supply: Supply | None = None
    supply_failure: Failure | None = None
    targets: tuple[TargetView, ...] = ()
    """The restart targets, where workloads have to be looked at (``rollout.matters``)."""
    rolled: Mapping[str, Restarted] = field(default_factory=dict)
    """How this process last restarted a workload, by its uid."""
    draining: bool = False
    """The installation goes: nothing is done for a DynamicLease that isn't being deleted."""
    terminating: bool = False
    """The namespace is on its way out, or gone, or was made again since."""
    elsewhere: bool = False
    """Another shard serves the name."""
    shared: bool = False
    """There are other shards: one of them may have served the name a moment ago."""
    memory: Memory = field(default_factory=Memory)
    _held: dict[tuple[object, ...], bool] = field(default_factory=dict, repr=False, compare=False)
    _facts: dict[tuple[object, ...], tuple[object, Any]] | None = field(
        default=None, init=False, repr=False, compare=False
    )
    """What was answered in this decision; None: memory may change, so nothing is kept."""

    def in_state(self, *states: State) -> tuple[RecordedLease, ...]:
        """The records in one of these states, oldest first."""
        return tuple(r for r in self.records if r.state in states)

    @property
    def target_version(self) -> str:
        """Uid and resourceVersion of the target; empty where there is none."""
        return f"{self.target.uid}/{self.target.resource_version}" if self.target else ""

    def place(self, record: RecordedLease) -> int:
        """Where a lease stands among those on record, from 0, the oldest; -1: it isn't there."""
        return self.place_of(record.attempt_id)

    def place_of(self, attempt_id: str) -> int:
        """The same for an attempt id."""
        ids = [one.attempt_id for one in self.records]
        return ids.index(attempt_id) if attempt_id in ids else -1

    def inherited(self, record: RecordedLease) -> bool:
        """Whether a lease was issued for an earlier DynamicLease of the name."""
        return record.holder_uid != self.holder.uid
