"""What a decision may see: one DynamicLease with its records, Secrets, provider and our memory.

A view is gathered afresh before each step; nothing outside it enters a decision. ``now`` is
the clock of the provider that is wanted, and ``shifts`` bring other leases' moments there;
``monotonic`` measures how long this process has known something.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from leaseholder import ports
from leaseholder.api import durations, names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease, RestartTarget
from leaseholder.api.record import Holder, LeaseRecord, State, number_of
from leaseholder.core import contents
from leaseholder.core.contents import Contents
from leaseholder.core.lease_clock import LeaseClock
from leaseholder.core.schedule import AHEAD
from leaseholder.secrecy import Credentials


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What the last step met, not yet told in status."""

    reason: Reason
    sentence: str
    permanent: bool
    """Somebody has to change something; waiting alone doesn't help."""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class TargetView:
    """A restart target, and what was found for it."""

    wanted: RestartTarget
    workloads: tuple[ports.Workload, ...] = ()
    refusal: str = ""
    """Why we may not look, in a sentence."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A restart that the API server refused, and when (monotonic seconds)."""

    sentence: str
    at: float


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


@dataclass(slots=True)
class Memory:
    """What this process knows first-hand about one DynamicLease; lost in a crash.

    The controller writes it, decisions read it. Keys are record names.
    """

    uids: dict[str, str] = field(default_factory=dict)
    """The uid that each record had: another one under its name is another lease."""
    leases: dict[str, ports.Lease] = field(default_factory=dict)
    credentials: dict[str, Credentials] = field(default_factory=dict)
    """Minted and not yet delivered."""
    just_issued: set[str] = field(default_factory=set)
    """Issued, with the DynamicLease read live before, and no delivery was tried yet."""
    ahead: dict[str, int] = field(default_factory=dict)
    """Seconds that the moments of a lease which was issued here are ahead of the provider's
    ``Date``."""
    lost: dict[str, tuple[LeaseRecord, ports.Lease]] = field(default_factory=dict)
    """Minted, and then their records were gone: to be put on the ledger again."""
    failure: Failure | None = None
    gone_since: dict[str, datetime] = field(default_factory=dict)
    """When the provider first said that it has no such lease, where it hasn't shown it since."""
    unextendable: set[str] = field(default_factory=set)
    sighted: dict[str, float] = field(default_factory=dict)
    """When an unclear attempt was first seen (monotonic seconds)."""
    searched: dict[str, float] = field(default_factory=dict)
    """When an unclear attempt was first searched for and not found (monotonic seconds)."""
    clocks: dict[str, LeaseClock] = field(default_factory=dict)
    """The clock of each lease whose provider told the time."""
    looked: dict[str, datetime] = field(default_factory=dict)
    shown_at: dict[str, datetime] = field(default_factory=dict)
    """When the provider was asked what last showed a lease: its answer may come much later."""
    inspect_from: dict[str, datetime] = field(default_factory=dict)
    """Before that a lease isn't inspected again: the provider said so when it was last tried."""
    secret_version: str = ""
    """resourceVersion of the target Secret as we last wrote it."""
    contents: dict[str, Contents] = field(default_factory=dict)
    """What the target Secret was last seen to hold for a record; a note on it can be taken off."""
    repairs: int = 0
    """Repairs of the target Secret in a row."""
    repaired_generation: int | None = None
    """The generation of the spec that the last one was for."""
    repaired: float = 0.0
    """When the last one was (monotonic seconds)."""
    renew_handled: str | None = None
    shown_since: dict[str, float] = field(default_factory=dict)
    """By when (monotonic seconds) the Secret showed a lease that workloads are to move to."""
    refused: dict[str, Refusal] = field(default_factory=dict)
    """Restarts that were refused, by the workload's uid."""
    sustain_at: dict[str, datetime] = field(default_factory=dict)
    """When the next try to extend a replaced lease is due, where the last one failed."""
    deleting_since: float | None = None
    """When the DynamicLease was first seen to be on its way out (monotonic seconds)."""
    poked: bool = False
    """Something changed from outside: don't wait for the back-off."""

    def forget(self, name: str) -> None:
        """Drop what is known of a record that is no more."""
        for known in (self.uids, self.leases, self.credentials, self.ahead, self.contents):
            known.pop(name, None)
        self.clocks.pop(name, None)
        for moments in (self.gone_since, self.looked, self.shown_at, self.inspect_from):
            moments.pop(name, None)
        self.sighted.pop(name, None)
        self.searched.pop(name, None)
        self.shown_since.pop(name, None)
        self.sustain_at.pop(name, None)
        self.unextendable.discard(name)
        self.just_issued.discard(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One observation."""

    now: datetime
    monotonic: float
    holder: Holder
    lease: DynamicLease | None
    """None where it is gone, also when a namesake took its place."""
    namesake: DynamicLease | None = None
    records: tuple[LeaseRecord, ...] = ()
    foreign: int = 0
    """Highest number of a record of another installation, which is left alone; 0: none."""
    capabilities: Mapping[str, ports.Capabilities] = field(default_factory=dict)
    """By record name."""
    shifts: Mapping[str, timedelta] = field(default_factory=dict)
    """By record name: what brings a lease's own moments to the clock of ``now``."""
    secrets: tuple[ports.SecretView, ...] = ()
    """Secrets that belong to this DynamicLease: by label, by owner, or by their seal; no copies
    that somebody made. Of others than the target only a few are read, the rest is metadata."""
    target: ports.SecretView | None = None
    """The Secret under the wanted name, whoever owns it."""
    target_contested: bool = False
    """The target belongs to somebody else who is alive."""
    rivals: tuple[LeaseRecord, ...] = ()
    """Records of other DynamicLeases for the same source, where a lease is to be minted."""
    others: Others = Others()
    supply: Supply | None = None
    supply_failure: Failure | None = None
    targets: tuple[TargetView, ...] = ()
    """The restart targets, where workloads have to be looked at (``rollout.matters``)."""
    rolled: Mapping[str, Restarted] = field(default_factory=dict)
    """How this process last restarted a workload, by its uid."""
    terminating: bool = False
    """The namespace is on its way out."""
    memory: Memory = field(default_factory=Memory)
    _held: dict[tuple[object, ...], bool] = field(default_factory=dict, repr=False, compare=False)

    def in_state(self, *states: State) -> tuple[LeaseRecord, ...]:
        """The records in one of these states, oldest first."""
        return tuple(r for r in self.records if r.state in states)

    @property
    def delivered(self) -> LeaseRecord | None:
        """The Held record whose credentials the target Secret holds."""
        return next((r for r in self.in_state(State.HELD) if self.names(r)), None)

    def names(self, record: LeaseRecord) -> bool:
        """Whether the target Secret of ours is the one that this record was delivered to."""
        return self._owned is not None and self._shows(self._owned, record)

    def named_anywhere(self, record: LeaseRecord) -> bool:
        """Whether any Secret of ours is, also one under a former name."""
        return self.named_in(record, self.secrets)

    def named_in(self, record: LeaseRecord, secrets: Sequence[ports.SecretView]) -> bool:
        """Whether one of these Secrets of ours is."""
        return any(self._shows(secret, record) for secret in secrets)

    @property
    def shown(self) -> int:
        """Number of the lease that the target Secret of ours shows; 0 where it shows none."""
        if self._owned is None:
            return 0
        known = (r.number for r in self.records if self.names(r))
        return max(known, default=number_of(self._owned.annotations.get(names.RECORD, "")))

    @property
    def highest_shown(self) -> int:
        """Highest number of a lease that any Secret of ours shows, also under a former name."""
        shown = (number_of(s.annotations.get(names.RECORD, "")) for s in self.secrets)
        return max(shown, default=0)

    @property
    def mute(self) -> bool:
        """Whether a Secret of ours has data and nothing says of which lease it is."""
        return any(
            (secret.keys or not secret.is_read)
            and names.RECORD not in secret.annotations
            and not any(self._shows(secret, record) for record in self.records)
            for secret in self.secrets
        )

    @property
    def _owned(self) -> ports.SecretView | None:
        """The target where it is ours."""
        if self.target is None:
            return None
        ours = self.target.belongs_to(self.holder.uid) or self.target in self.secrets
        return self.target if ours else None

    def _shows(self, secret: ports.SecretView, record: LeaseRecord) -> bool:
        """By its seal; where its data was changed by its annotations, or by what we told."""
        if self._proves(secret, record):
            return True
        if any(self._proves(secret, other) for other in reversed(self.records)):
            return False  # the newest first: it is mostly the one
        notes = secret.annotations
        named = notes.get(names.RECORD)
        if named == record.name:
            return notes.get(names.LEASE_ID, record.status.lease_id) == record.status.lease_id
        if any(named == other.name for other in self.records):
            return False
        if self.known_contents(secret, record) is not None:
            return False
        told = self.lease.status.lease if self.lease is not None else None
        return named is None and told is not None and told.record == record.name

    def _holds(self, secret: ports.SecretView, record: LeaseRecord, note: Contents) -> bool:
        """``contents.holds``, reckoned once: a decision asks it many times."""
        lease = record.name, record.spec.attempt_id, record.status.lease_id
        asked = secret.values, secret.name, lease, note
        if asked not in self._held:
            self._held[asked] = contents.holds(secret, record, note)
        return self._held[asked]

    def _proves(self, secret: ports.SecretView, record: LeaseRecord) -> bool:
        """Whether a Secret's data is what we wrote for a record, by its note or by memory."""
        notes = contents.noted(secret), self.memory.contents.get(record.name)
        return any(n is not None and self._holds(secret, record, n) for n in notes)

    def known_contents(self, secret: ports.SecretView, record: LeaseRecord) -> Contents | None:
        """What we wrote into a Secret for a record, where that is still known."""
        noted = contents.noted(secret)
        if noted is not None and self._holds(secret, record, noted):
            return noted
        return self.memory.contents.get(record.name) or noted

    def intact(self, secret: ports.SecretView, record: LeaseRecord) -> bool:
        """Whether a Secret's data is as we wrote it for the record, as far as that is known."""
        known = self.known_contents(secret, record)
        return known is None or self._holds(secret, record, known)

    def edited(self, record: LeaseRecord) -> bool:
        """Whether somebody changed the data that the target Secret holds for the record."""
        return self._owned is not None and not self.intact(self._owned, record)

    def sound(self, record: LeaseRecord) -> ports.SecretView | None:
        """A Secret of ours that holds the record's data as we wrote it, the target first."""
        read = (s for s in self.secrets if s.is_read)
        mine = (s for s in read if self._shows(s, record) and self.intact(s, record))
        return min(mine, key=lambda secret: secret != self.target, default=None)

    def source_of(self, record: LeaseRecord) -> ports.SecretView | None:
        """A Secret of ours that holds all that the target needs for the record."""
        secret = self.sound(record)
        if secret is None or self.lease is None:
            return None
        known = self.known_contents(secret, record)
        return secret if known is None or contents.refillable(self.lease, known) else None

    @property
    def in_hand(self) -> LeaseRecord | None:
        """The newest Held record that can be delivered and isn't yet: minted, or to be copied."""
        held = [
            record
            for record in self.in_state(State.HELD)
            if self._deliverable(record) and not self.expired(record)
        ]
        return held[-1] if held else None

    def _deliverable(self, record: LeaseRecord) -> bool:
        if record.number < self.shown:
            return False
        if record.name in self.memory.credentials:
            return True
        return not self.names(record) and self.source_of(record) is not None

    def here(self, record: LeaseRecord, moment: datetime) -> datetime:
        """A moment of a lease's own clock, by the clock of ``now``."""
        return moment + self.shifts.get(record.name, timedelta(0))

    def by_date(self, record: LeaseRecord, moment: datetime) -> datetime:
        """A moment by the ``Date`` of a lease's provider, by the clock of ``now``."""
        return self.here(record, moment + timedelta(seconds=record.status.clock_ahead))

    def own(self, record: LeaseRecord, moment: datetime) -> datetime:
        """A moment by the clock of ``now``, by the lease's own clock."""
        return moment - self.shifts.get(record.name, timedelta(0))

    def own_now(self, record: LeaseRecord) -> datetime:
        """Now, by the clock that a lease's own moments are of."""
        return self.own(record, self.now)

    def expiry(self, record: LeaseRecord) -> datetime | None:
        """The latest expiry known of a record's lease, by the clock of ``now``."""
        stated = self.stated_expiry(record)
        return self.here(record, stated) if stated is not None else None

    def stated_expiry(self, record: LeaseRecord) -> datetime | None:
        """The latest expiry known of a lease as its provider says it, for records and status.

        It is a lower bound of the true one.
        """
        known = [record.status.expires_at]
        fresh = self.memory.leases.get(record.name)
        if fresh is not None:
            known.append(fresh.expires_at)
        if self.lease is not None and (told := self.lease.status.lease) is not None:
            known.append(told.expires_at if told.record == record.name else None)
        return max((moment for moment in known if moment is not None), default=None)

    def expired(self, record: LeaseRecord) -> bool:
        """Whether the lease is past what we know of its expiry."""
        expiry = self.expiry(record)
        return expiry is not None and self.now >= expiry

    def ending(self, record: LeaseRecord) -> bool:
        """Whether the lease is over, or will be before that can be told."""
        expiry = self.expiry(record)
        return expiry is not None and self.now >= expiry - AHEAD

    def life(self, record: LeaseRecord) -> timedelta:
        """The lifetime that a lease is held at: what is asked for, else what was granted."""
        if self.lease is not None and self.lease.spec.ttl is not None:
            return durations.parse(self.lease.spec.ttl)
        if record.spec.ttl_seconds is not None:
            return timedelta(seconds=record.spec.ttl_seconds)
        return self.granted(record)

    def granted(self, record: LeaseRecord) -> timedelta:
        """The lifetime that the provider gave the lease at its mint; 0 where it isn't known."""
        issued, expires = record.status.issued_at, record.status.expires_at
        return expires - issued if issued and expires else timedelta(0)
