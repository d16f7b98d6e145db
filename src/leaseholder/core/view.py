"""What a decision may see: one DynamicLease with its record, Secrets, provider and our memory.

A view is gathered afresh before each step; nothing outside it enters a decision. ``now`` is
the clock of the provider that is wanted, and ``shifts`` bring other leases' moments there;
``monotonic`` measures how long this process has known something.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

from leaseholder import ports
from leaseholder.api import durations, names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease, RestartTarget
from leaseholder.api.record import Holder, RecordedLease, State, Subject
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


@dataclass(frozen=True, slots=True)
class Rival:
    """A lease of another DynamicLease."""

    of: Subject
    lease: RecordedLease


MOST_FORMER: Final = 5
"""So many earlier owners of Secrets of one name are looked for at once, by a request each: anybody
may write marks, and make a DynamicLease again and again."""

MOST_MARKS: Final = 16_384
"""Characters of a Secret's marks and names of keys that are kept from one go to the next: anybody
may write megabytes there, of thousands of Secrets."""


@dataclass(slots=True)
class SecretsSeen:
    """The Secrets of a DynamicLease as they were read once: each of several steps needn't again."""

    asked: tuple[object, ...]
    """What was looked for."""
    labelled: tuple[ports.SecretView, ...]
    """Those with our label."""
    target: ports.SecretView | None
    """The one under the wanted name."""
    is_old: bool = False
    """Whether a step was made since."""
    supposed: bool = False
    """Nothing was read: there can't be any, as far as is known (``SecretFinder``)."""
    proven: str = ""
    """Attempt id of the lease whose data the target was proven to hold; its values aren't kept."""

    def written(self, secret: ports.SecretView) -> "SecretsSeen":
        """What is there after our own write of the target."""
        others = (one for one in self.labelled if one.uid != secret.uid)
        return SecretsSeen(self.asked, (*others, secret), secret, is_old=True)

    def deleted(self, secret: ports.SecretView) -> "SecretsSeen":
        """What is there after our own deletion of one."""
        others = tuple(one for one in self.labelled if one.uid != secret.uid)
        target = self.target
        left = None if target is not None and target.uid == secret.uid else target
        proven = self.proven if left is not None else ""
        return SecretsSeen(self.asked, others, left, is_old=True, proven=proven)


@dataclass(slots=True)
class Memory:
    """What this process knows first-hand about one DynamicLease; lost in a crash.

    The controller writes it, decisions read it. Keys are attempt ids.
    """

    leases: dict[str, ports.Lease] = field(default_factory=dict)
    credentials: dict[str, Credentials] = field(default_factory=dict)
    """Issued and not yet delivered."""
    ahead: dict[str, int] = field(default_factory=dict)
    """Seconds that the moments of a lease which was issued here are ahead of the provider's
    ``Date``."""
    fences: dict[str, str] = field(default_factory=dict)
    """The target's uid and resourceVersion that were known before a lease was put on record as
    Held: with that very Secret nobody can have come between. Until the first try to deliver it."""
    ours: set[str] = field(default_factory=set)
    """Attempts that this process wrote, or found when it started: no other works on them."""
    failure: Failure | None = None
    gone_since: dict[str, datetime] = field(default_factory=dict)
    """When the provider first said that it has no such lease, where it hasn't shown it since."""
    unrenewable: set[str] = field(default_factory=set)
    renewed_at: dict[str, datetime] = field(default_factory=dict)
    """When this process last renewed a lease: a replica may show its former end for a while."""
    clocks: dict[str, LeaseClock] = field(default_factory=dict)
    """The clock of each lease whose provider told the time."""
    inspected_at: dict[str, datetime] = field(default_factory=dict)
    status_doubted: bool = False
    """Etcd was restored: a lease isn't taken as inspected because status shows it, until one was
    inspected."""
    shown_at: dict[str, datetime] = field(default_factory=dict)
    """When the provider was asked what last showed a lease: its answer may come much later."""
    inspect_from: dict[str, datetime] = field(default_factory=dict)
    """Before that a lease isn't inspected again: the provider said so when it was last tried."""
    secrets: SecretsSeen | None = None
    """In the midst of several steps, and from one go to the next where the watch tells of any
    change (``View.secrets_to_keep``). What is written says which version it was for."""
    doubted: bool = False
    """Something told of a change since the Secrets were last asked for, be it while they were read:
    what is known of them holds no longer."""
    writing: set[str] | None = None
    """While the target is being written: versions that the watch told of since; ours is among them
    where it was quicker than the answer."""
    namespace: tuple[float, ports.NamespaceView | None] | None = None
    """The Namespace as it was last read for a deletion, and when (monotonic seconds)."""
    read_for: str = ""
    """The sign of what wasn't known, for which the record was read last."""
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
    """When the next try to renew a replaced lease is due, where the last one failed."""
    deleting_since: float | None = None
    """When the deletion of the DynamicLease began, on our own clock (monotonic seconds): by the API
    server's, read when it was first seen to be on its way out."""
    keeps_secret: bool = False
    """The API server refused to delete a Secret of the DynamicLease."""
    vanished_since: float | None = None
    """Since when there has been no DynamicLease (monotonic seconds)."""
    poked: bool = False
    """Something changed from outside: don't wait for the back-off."""
    uid: str = ""
    """Of the DynamicLease that was seen last."""
    former_uids: set[str] = field(default_factory=set)
    """Of earlier ones of its name, as far as Secrets of ours still name them as their owner."""

    def note_former(self, uid: str) -> bool:
        """Secrets of that earlier owner are looked for; whether that is news, and there is room.

        Who is left out here comes later: a comparison names all that Secrets name.
        """
        if uid in self.former_uids or len(self.former_uids) >= MOST_FORMER:
            return False
        self.former_uids.add(uid)
        return True

    def meet(self, uid: str) -> None:
        """Another DynamicLease has the name: what was tried and told was about the one before."""
        if uid == self.uid:
            return
        if self.uid:
            self.note_former(self.uid)
        self.uid, self.failure, self.renew_handled = uid, None, None
        self.deleting_since, self.repairs, self.repaired_generation = None, 0, None
        self.keeps_secret = False

    def forget(self, name: str) -> None:
        """Drop what is known of a record that is no more."""
        for known in (self.leases, self.credentials, self.ahead, self.contents, self.fences):
            known.pop(name, None)
        self.clocks.pop(name, None)
        for moments in (
            self.gone_since,
            self.inspected_at,
            self.shown_at,
            self.inspect_from,
            self.renewed_at,
        ):
            moments.pop(name, None)
        self.shown_since.pop(name, None)
        self.sustain_at.pop(name, None)
        self.unrenewable.discard(name)
        self.ours.discard(name)


Args = TypeVarTuple("Args")
Answer = TypeVar("Answer")


def fact(
    ask: Callable[["View", Unpack[Args]], Answer],
) -> Callable[["View", Unpack[Args]], Answer]:
    """A question about a view that is answered once in a decision, however many rules ask it."""

    @functools.wraps(ask)
    def once(view: "View", *args: *Args) -> Answer:
        known = view._facts
        if known is None:
            return ask(view, *args)
        key = ask, *map(id, args)
        if key not in known:
            known[key] = args, ask(view, *args)  # who holds the objects keeps their ids
        answer: Answer = known[key][1]
        return answer

    return once


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One observation."""

    now: datetime
    monotonic: float
    subject: Subject
    """The name that all of this is about."""
    holder: Holder
    """The DynamicLease of that name; of one that is gone, whom its newest lease was issued for."""
    lease: DynamicLease | None
    """None where it is gone."""
    records: tuple[RecordedLease, ...] = ()
    """The leases on record, oldest first, whichever DynamicLease of that name they were for."""
    record_version: str = ""
    """Uid and resourceVersion of the record, with leases or without; empty: there is none."""
    kept_until: datetime | None = None
    """Until when leases may live that were let go, and that the record says so of."""
    trusts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What providers of these leases are trusted by, as on the record."""
    capabilities: Mapping[str, ports.Capabilities] = field(default_factory=dict)
    """By attempt id."""
    shifts: Mapping[str, timedelta] = field(default_factory=dict)
    """By attempt id: what brings a lease's own moments to the clock of ``now``."""
    secrets: tuple[ports.SecretView, ...] = ()
    """Secrets that belong to this DynamicLease: by label, by owner, or by their seal; no copies
    that somebody made. Of others than the target only a few are read, the rest is metadata."""
    target: ports.SecretView | None = None
    """The Secret under the wanted name, whoever owns it."""
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

    def for_decision(self) -> "View":
        """The same view, whose facts are answered once each: nothing changes in a decision."""
        if self._facts is not None:
            return self
        seen = dataclasses.replace(self)
        object.__setattr__(seen, "_facts", {})
        return seen

    def in_state(self, *states: State) -> tuple[RecordedLease, ...]:
        """The records in one of these states, oldest first."""
        return tuple(r for r in self.records if r.state in states)

    @property
    @fact
    def delivered(self) -> RecordedLease | None:
        """The Held record whose credentials the target Secret holds."""
        return next((r for r in self.in_state(State.HELD) if self.names(r)), None)

    def names(self, record: RecordedLease) -> bool:
        """Whether the target Secret of ours is the one that this record was delivered to."""
        return self._owned is not None and self._shows(self._owned, record)

    def named_anywhere(self, record: RecordedLease) -> bool:
        """Whether any Secret of ours is, also one under a former name."""
        return self.named_in(record, self.secrets)

    def named_in(self, record: RecordedLease, secrets: Sequence[ports.SecretView]) -> bool:
        """Whether one of these Secrets of ours is."""
        return any(self._shows(secret, record) for secret in secrets)

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

    @property
    @fact
    def shown(self) -> int:
        """The place of the lease that the target Secret of ours shows; -1 where it shows none."""
        if self._owned is None:
            return -1
        return max((self.place(r) for r in self.records if self.names(r)), default=-1)

    def inherited(self, record: RecordedLease) -> bool:
        """Whether a lease was issued for an earlier DynamicLease of the name."""
        return record.holder_uid != self.holder.uid

    @property
    @fact
    def mute(self) -> bool:
        """Whether a Secret of ours has data and nothing says of which lease it is."""
        return any(
            (secret.keys or not secret.is_read)
            and names.ATTEMPT not in secret.annotations
            and not any(self._shows(secret, record) for record in self.records)
            for secret in self.secrets
        )

    @property
    @fact
    def _owned(self) -> ports.SecretView | None:
        """The target where it is ours."""
        if self.target is None:
            return None
        ours = self.target.belongs_to(self.holder.uid) or self.target in self.secrets
        return self.target if ours else None

    @fact
    def _shows(self, secret: ports.SecretView, record: RecordedLease) -> bool:
        """By its seal; where its data was changed by its annotations, or by what we told."""
        if self._proves(secret, record):
            return True
        if any(self._proves(secret, other) for other in reversed(self.records)):
            return False  # the newest first: it is mostly the one
        notes = secret.annotations
        named = notes.get(names.ATTEMPT)
        if named == record.attempt_id:
            return notes.get(names.LEASE_ID, record.lease_id) == record.lease_id
        if any(named == other.attempt_id for other in self.records):
            return False
        if self.known_contents(secret, record) is not None:
            return False
        shown = self.lease.status.lease if self.lease is not None else None
        if named is not None or shown is None or shown.attempt != record.attempt_id:
            return False
        # A status from a backup tells what was held then.
        return all(self.place(other) <= self.place(record) for other in self.in_state(State.HELD))

    def _holds(self, secret: ports.SecretView, record: RecordedLease, note: Contents) -> bool:
        """``contents.holds``, reckoned once: a decision asks it many times."""
        if self.proven and secret == self.target:
            return self.proven == record.attempt_id
        lease = record.attempt_id, record.seal_key, record.lease_id
        asked = secret.values, secret.name, lease, note
        if asked not in self._held:
            self._held[asked] = contents.holds(secret, record, note)
        return self._held[asked]

    def _proves(self, secret: ports.SecretView, record: RecordedLease) -> bool:
        """Whether a Secret's data is what we wrote for a record, by its note or by memory."""
        notes = contents.noted(secret), self.memory.contents.get(record.attempt_id)
        return any(n is not None and self._holds(secret, record, n) for n in notes)

    @fact
    def known_contents(self, secret: ports.SecretView, record: RecordedLease) -> Contents | None:
        """What we wrote into a Secret for a record, where that is still known."""
        noted = contents.noted(secret)
        if noted is not None and self._holds(secret, record, noted):
            return noted
        return self.memory.contents.get(record.attempt_id) or noted

    def intact(self, secret: ports.SecretView, record: RecordedLease) -> bool:
        """Whether a Secret's data is as we wrote it for the record, as far as that is known."""
        known = self.known_contents(secret, record)
        return known is None or self._holds(secret, record, known)

    def edited(self, record: RecordedLease) -> bool:
        """Whether somebody changed the data that the target Secret holds for the record."""
        return self._owned is not None and not self.intact(self._owned, record)

    @fact
    def sound(self, record: RecordedLease) -> ports.SecretView | None:
        """A Secret of ours that holds the record's data as we wrote it, the target first."""
        read = (s for s in self.secrets if s.is_read)
        mine = (s for s in read if self._shows(s, record) and self.intact(s, record))
        return min(mine, key=lambda secret: secret != self.target, default=None)

    @property
    def secrets_to_keep(self) -> SecretsSeen | None:
        """What of the Secrets holds until the watch tells of a change; None: they are read again.

        There is just the target, and its data proves the delivered lease: neither is a copy to be
        made nor anything to be repaired from its values, so these aren't kept.
        """
        seen, held, target = self.memory.secrets, self.delivered, self.target
        if seen is None or seen.target != target or target is None or self.target_contested:
            return None
        if self.memory.doubted:
            return None
        if held is None or {one.uid for one in seen.labelled} != {target.uid} or target.deleting:
            return None
        if self.proven:
            return seen
        noted = contents.noted(target)
        if noted is None or not self._holds(target, held, noted) or _size(target) > MOST_MARKS:
            return None
        bare = dataclasses.replace(target, values=Credentials({}))
        return SecretsSeen(seen.asked, (bare,), bare, is_old=True, proven=held.attempt_id)

    @fact
    def source_of(self, record: RecordedLease) -> ports.SecretView | None:
        """A Secret of ours that holds all that the target needs for the record."""
        secret = self.sound(record)
        if secret is None or self.lease is None:
            return None
        known = self.known_contents(secret, record)
        return secret if known is None or contents.refillable(self.lease, known) else None

    @property
    @fact
    def in_hand(self) -> RecordedLease | None:
        """The newest Held record that can be delivered and isn't yet: fresh, or to be copied."""
        held = [
            record
            for record in self.in_state(State.HELD)
            if self._deliverable(record) and not self.expired(record)
        ]
        return held[-1] if held else None

    def _deliverable(self, record: RecordedLease) -> bool:
        if self.place(record) < self.shown:
            return False
        if record.attempt_id in self.memory.credentials:
            return True
        return not self.names(record) and self.source_of(record) is not None

    def here(self, record: RecordedLease, moment: datetime) -> datetime:
        """A moment of a lease's own clock, by the clock of ``now``."""
        return moment + self.shifts.get(record.attempt_id, timedelta(0))

    def by_date(self, record: RecordedLease, moment: datetime) -> datetime:
        """A moment by the ``Date`` of a lease's provider, by the clock of ``now``."""
        return self.here(record, moment + timedelta(seconds=record.clock_ahead))

    def own(self, record: RecordedLease, moment: datetime) -> datetime:
        """A moment by the clock of ``now``, by the lease's own clock."""
        return moment - self.shifts.get(record.attempt_id, timedelta(0))

    def own_now(self, record: RecordedLease) -> datetime:
        """Now, by the clock that a lease's own moments are of."""
        return self.own(record, self.now)

    def expiry(self, record: RecordedLease) -> datetime | None:
        """The latest expiry known of a record's lease, by the clock of ``now``."""
        stated = self.stated_expiry(record)
        return self.here(record, stated) if stated is not None else None

    @fact
    def stated_expiry(self, record: RecordedLease) -> datetime | None:
        """The latest expiry known of a lease as its provider says it, for records and status.

        It is a lower bound of the true one.
        """
        known = [record.expires_at]
        fresh = self.memory.leases.get(record.attempt_id)
        if fresh is not None:
            known.append(fresh.expires_at)
        if self.lease is not None and (shown := self.lease.status.lease) is not None:
            known.append(shown.expires_at if shown.attempt == record.attempt_id else None)
        return max((moment for moment in known if moment is not None), default=None)

    def expired(self, record: RecordedLease) -> bool:
        """Whether the lease is past what we know of its expiry."""
        expiry = self.expiry(record)
        return expiry is not None and self.now >= expiry

    def ending(self, record: RecordedLease) -> bool:
        """Whether the lease is over, or will be before that can be told."""
        expiry = self.expiry(record)
        return expiry is not None and self.now >= expiry - AHEAD

    def life(self, record: RecordedLease) -> timedelta:
        """The lifetime that a lease is held at: what is asked for, else what was granted."""
        if self.lease is not None and self.lease.spec.ttl is not None:
            return durations.parse(self.lease.spec.ttl)
        if record.ttl_seconds is not None:
            return timedelta(seconds=record.ttl_seconds)
        return self.granted(record)

    def granted(self, record: RecordedLease) -> timedelta:
        """The lifetime that the provider gave the lease at its issue; 0 where it isn't known."""
        issued, expires = record.issued_at, record.expires_at
        return expires - issued if issued and expires else timedelta(0)


def _size(secret: ports.SecretView) -> int:
    """How many characters somebody may have written on a Secret, beside its values."""
    marks = (*secret.labels.items(), *secret.annotations.items())
    lists = sum(map(len, (*secret.keys, *secret.owner_uids)))
    return lists + sum(len(key) + len(value) for key, value in marks)
