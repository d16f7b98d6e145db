"""What this process knows first-hand of one DynamicLease, and loses in a crash.

Flows in: what the controller's verbs met while they performed a step. Flows out: a decision reads
it beside what was observed (``observation`` has it). Nothing here is believed where record, Secret
or provider say otherwise.
"""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.api.record import RecordedLease
from leaseholder.core.contents import Contents
from leaseholder.core.lease_clock import LeaseClock
from leaseholder.ports.namespaces import NamespaceView
from leaseholder.ports.provider import Lease
from leaseholder.ports.secrets import SecretView
from leaseholder.secrecy import Credentials

_PASSING: Final = frozenset({Reason.UNAVAILABLE, Reason.LOCKED_OUT, Reason.TOO_MANY})
"""Refusals that pass by themselves: nobody has to change anything."""
_STAYING: Final = frozenset({Reason.BACKEND_FAILED})
"""Failures that somebody has to see to, also where it isn't clear what they left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What the last step met, not yet told in status."""

    reason: Reason
    sentence: str
    permanent: bool
    """Somebody has to change something; waiting alone doesn't help."""
    retry_after: float | None = None


def failure_of(error: errors.EdgeError) -> Failure:
    """An edge's error as decisions see it."""
    stays = isinstance(error, errors.Denied | errors.Invalid | errors.Refused)
    permanent = error.reason in _STAYING or (stays and error.reason not in _PASSING)
    return Failure(
        reason=error.reason,
        sentence=error.sentence,
        permanent=permanent,
        retry_after=error.retry_after,
    )


@dataclass(frozen=True, slots=True)
class RefusedRestart:
    """A restart that the API server refused, and when (monotonic seconds)."""

    sentence: str
    at: float


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A renewal that gave less than was asked for: lengths, by the lease's own moments."""

    asked: timedelta
    """What the lease was to have left after it."""
    left: timedelta
    """What it had left."""


MOST_FORMER: Final = 5
"""So many earlier owners of Secrets of one name are looked for at once, by a request each: anybody
may write marks, and make a DynamicLease again and again."""


MOST_UNDELETED: Final = 3
"""So often a Secret couldn't be deleted before that counts as a refusal."""


@dataclass(slots=True)
class SecretsSeen:
    """The Secrets of a DynamicLease as they were read once: each of several steps needn't again."""

    asked: tuple[object, ...]
    """What was looked for."""
    labelled: tuple[SecretView, ...]
    """Those with our label."""
    target: SecretView | None
    """The one under the wanted name."""
    is_old: bool = False
    """Whether a step was made since."""
    watched: bool = False
    """The target was read; that there is no other, the watch says."""
    supposed: bool = False
    """Nothing was read: there can't be any, as far as is known (``SecretFinder``)."""
    proven: str = ""
    """Attempt id of the lease whose data the target was proven to hold; its values aren't kept."""

    def written(self, secret: SecretView) -> "SecretsSeen":
        """What is there after our own write of the target."""
        others = (one for one in self.labelled if one.uid != secret.uid)
        return SecretsSeen(self.asked, (*others, secret), secret, is_old=True, watched=self.watched)

    def deleted(self, secret: SecretView) -> "SecretsSeen":
        """What is there after our own deletion of one."""
        others = tuple(one for one in self.labelled if one.uid != secret.uid)
        target = self.target
        left = None if target is not None and target.uid == secret.uid else target
        proven = self.proven if left is not None else ""
        return SecretsSeen(
            self.asked, others, left, is_old=True, watched=self.watched, proven=proven
        )


@dataclass(slots=True, weakref_slot=True)
class LeaseMemory:
    """What this process knows first-hand of one lease; lost in a crash.

    Thousands are kept, so this is one object, not a map for each fact.
    """

    shown: Lease | None = None
    """As its provider last showed it."""
    credentials: Credentials | None = None
    """Issued and not yet delivered."""
    ahead: int = 0
    """Seconds that the moments of a lease which was issued here are ahead of the provider's
    ``Date``."""
    fence: str | None = None
    """The target's uid and resourceVersion that were known before the lease was put on record as
    Held: with that very Secret nobody can have come between. Until the first try to deliver it."""
    ours: bool = False
    """This process wrote the attempt, or found it when it started: no other works on it."""
    gone_since: datetime | None = None
    """When the provider first said that it has no such lease, where it hasn't shown it since."""
    unrenewable: bool = False
    shortfall: Shortfall | None = None
    """The last renewal, where it gave less than was asked for."""
    not_renewed: bool = False
    """The provider, which serves, didn't renew it when it was last asked."""
    was_cut: bool = False
    """The last renewal gave an earlier end than record or status say: these are outdated."""
    renewed_at: float | None = None
    """When this process last renewed it (monotonic seconds): a replica may show its former end for
    a while, and ``Date`` may jump meanwhile."""
    clock: LeaseClock | None = None
    """Its clock, where its provider told the time."""
    inspected_at: datetime | None = None
    shown_at: datetime | None = None
    """When the provider was asked what last showed it: its answer may come much later."""
    inspect_from: datetime | None = None
    """Before that it isn't inspected again: the provider said so when it was last tried."""
    contents: Contents | None = None
    """What the target Secret was last seen to hold for it; a note on that can be taken off."""
    shown_since: float | None = None
    """By when (monotonic seconds) the Secret showed it and workloads were to move to it."""
    sustain_at: datetime | None = None
    """When the next try to renew it is due, where the last one failed and status has no back-off
    for that: it was replaced, or an issue that costs is held back there."""

    def know(self, record: RecordedLease, lease: Lease) -> Lease:
        """Remember the lease as its provider shows it; returns it.

        What stands on its record just so is kept once, which saves 2 KiB for each.
        """
        source = record.source if record.source == lease.source else lease.source
        handle = record.handle if record.handle == lease.handle else lease.handle
        own = record.lease_id if record.lease_id == lease.id else lease.id
        known = dataclasses.replace(lease, id=own, source=source, handle=handle)
        self.shown = known
        return known


@dataclass(slots=True)
class Memory:
    """What this process knows first-hand about one DynamicLease; lost in a crash.

    The controller writes it, decisions read it.
    """

    leases: dict[str, LeaseMemory] = field(default_factory=dict)
    """By attempt id; ``of`` reads it."""
    failure: Failure | None = None
    status_doubted: bool = False
    """Etcd was restored: a lease isn't taken as inspected because status shows it, until one was
    inspected."""
    secrets: SecretsSeen | None = None
    """In the midst of several steps, and from one go to the next where the watch tells of any
    change (``View.secrets_to_keep``). What is written says which version it was for."""
    searched: bool = False
    """The Secrets were looked for: before that, no event tells anything new."""
    doubted: bool = False
    """Something told of a change since the Secrets were last asked for, be it while they were read:
    what is known of them holds no longer."""
    writing: set[str] | None = None
    """While the target is being written: versions that the watch told of since; ours is among them
    where it was quicker than the answer."""
    namespace: tuple[float, NamespaceView | None] | None = None
    """The Namespace as it was last read for a deletion, and when (monotonic seconds)."""
    read_for: str = ""
    """The sign of what wasn't known, for which the record was read last."""
    secret_version: str = ""
    """resourceVersion of the target Secret as we last wrote it."""
    repairs: int = 0
    """Repairs of the target Secret in a row."""
    repaired_generation: int | None = None
    """The generation of the spec that the last one was for."""
    repaired: float = 0.0
    """When the last one was (monotonic seconds)."""
    renew_handled: str | None = None
    refused: dict[str, RefusedRestart] = field(default_factory=dict)
    """Restarts that were refused, by the workload's uid."""
    deleting_since: float | None = None
    """When the deletion of the DynamicLease began, on our own clock (monotonic seconds): by the API
    server's, read when it was first seen to be on its way out."""
    keeps_secret: bool = False
    """The API server refused to delete a Secret of the DynamicLease, or failed at it alone."""
    undeleted: int = 0
    """Deletions of a Secret in a row at which the API server failed, after it had shown it."""
    vanished_since: float | None = None
    """Since when there has been no DynamicLease (monotonic seconds)."""
    poked: bool = False
    """Something changed from outside: don't wait for the back-off."""
    uid: str = ""
    """Of the DynamicLease that was seen last."""
    former_uids: frozenset[str] = frozenset()
    """Of earlier ones of its name, as far as Secrets of ours still name them as their owner."""

    @property
    def has_credentials(self) -> bool:
        """Whether some were issued that aren't delivered yet."""
        return any(known.credentials is not None for known in self.leases.values())

    def of(self, attempt_id: str) -> LeaseMemory:
        """What is known of a lease; what is set there is remembered, until the lease is gone."""
        known = self.leases.get(attempt_id)
        if known is None:
            known = self.leases[attempt_id] = LeaseMemory()
        return known

    def keep_only(self, present: Collection[str], missing: Collection[str]) -> None:
        """Forget leases that are on record no more.

        Args:
            present: attempt ids on record.
            missing: those that are to be put back: what is known of them still counts, but
                another process may work on them.
        """
        for attempt_id in [known for known in self.leases if known not in present]:
            if attempt_id in missing:
                self.leases[attempt_id].ours = False
            else:
                del self.leases[attempt_id]

    def note_former(self, uid: str) -> bool:
        """Secrets of that earlier owner are looked for; whether that is news, and there is room.

        Who is left out here comes later: a comparison names all that Secrets name.
        """
        if uid in self.former_uids or len(self.former_uids) >= MOST_FORMER:
            return False
        self.former_uids |= {uid}
        return True

    def meet(self, uid: str) -> None:
        """Another DynamicLease has the name: what was tried and told was about the one before."""
        if uid == self.uid:
            return
        if self.uid:
            self.note_former(self.uid)
        self.uid, self.failure, self.renew_handled = uid, None, None
        self.deleting_since, self.repairs, self.repaired_generation = None, 0, None
        self.keeps_secret, self.undeleted = False, 0

    def note_undeleted(self) -> None:
        """A Secret wasn't deleted, by the fault of the API server or of a webhook that is down.

        Where that happens again and again, and all else is answered, it is as good as refused.
        """
        self.undeleted += 1
        self.keeps_secret = self.keeps_secret or self.undeleted >= MOST_UNDELETED
