"""What a rule can find: the one thing to do next, or when there may be something.

Flows in: nothing; these are values. ``rules`` finds one, and ``controller.perform`` does it. Each
step is small enough that the world is looked at again before the next one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLeaseStatus
from leaseholder.api.record import RecordedLease, Why
from leaseholder.ports.events import Note
from leaseholder.ports.secrets import SecretView
from leaseholder.ports.workloads import Workload


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do before ``until`` (None: until something happens)."""

    until: datetime | None


@dataclass(frozen=True, slots=True)
class Protect:
    """Put the finalizer on: from then on a deletion waits for us."""


@dataclass(frozen=True, slots=True)
class Acquire:
    """Issue a lease: attempt on record, issue, Held."""

    rotate_nonce: str = ""
    restarts: bool = False
    """It takes the place of a delivered lease: workloads are restarted for it."""
    reason: Reason = Reason.PROGRESSING
    """Why it is needed."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Finish an issue of ours whose answer couldn't be put on record: Attempt becomes Held."""

    record: RecordedLease


@dataclass(frozen=True, slots=True)
class Deliver:
    """Write the Secret as it is wanted for a Held record: from memory, or a Secret of ours."""

    record: RecordedLease


@dataclass(frozen=True, slots=True)
class Renew:
    """Renew the lease to ``until``; look at it first where its expiry isn't known first-hand."""

    record: RecordedLease
    until: datetime
    inspect_first: bool
    nonce: str | None = None


@dataclass(frozen=True, slots=True)
class Inspect:
    """See whether a held lease still lives."""

    record: RecordedLease


@dataclass(frozen=True, slots=True)
class Move:
    """Make the lease on record what ``to`` says: the ledger's one way to move."""

    record: RecordedLease
    to: RecordedLease


@dataclass(frozen=True, slots=True)
class Search:
    """Look at the provider for the lease of an unclear attempt."""

    record: RecordedLease


@dataclass(frozen=True, slots=True)
class Revoke:
    """Take the lease back, and see that it is gone; ``fence`` is written first."""

    record: RecordedLease
    force: bool = False
    fence: SecretView | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """Take a lease off the record: it is gone, or no longer ours."""

    record: RecordedLease
    why: Why
    note: Note | None = None
    until: datetime | None = None
    """So long it may live all the same."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Delete the record: no lease is on it, and no DynamicLease stands that could need one."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Restart a workload for a lease, unless it was restarted since the Secret shows the lease.

    Either way it gets the stamp ``key: value``. ``since`` is in monotonic seconds.
    """

    workload: Workload
    key: str
    value: str
    since: float


@dataclass(frozen=True, slots=True)
class Sustain:
    """Renew a replaced lease to ``until``: workloads may still use it."""

    record: RecordedLease
    until: datetime


@dataclass(frozen=True, slots=True)
class DeleteSecret:
    """Delete a Secret of ours."""

    secret: SecretView


@dataclass(frozen=True, slots=True)
class Disown:
    """Take our marks off a Secret and leave it."""

    secret: SecretView


@dataclass(frozen=True, slots=True)
class Report:
    """Tell in status what is; each note becomes an event."""

    status: DynamicLeaseStatus
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """Take the finalizer off; ``note`` says what is still to be revoked."""

    note: Note | None = None


ON_KNOWN: Final = (
    Idle,
    Protect,
    Acquire,
    Hold,
    Deliver,
    Renew,
    Inspect,
    Move,
    Search,
    Drop,
    Discard,
    Report,
    Release,
)
"""What may be decided from Secrets as they were some steps ago: it doesn't touch them, or names the
version that it is for. Before any other they are read."""

ON_PROVEN: Final = (
    Idle,
    Protect,
    Acquire,
    Hold,
    Deliver,
    Renew,
    Inspect,
    Search,
    DeleteSecret,
    Report,
)
"""What may be decided from a Secret as an earlier go left it, although another process may have
changed it since: it names the version that it is for, or does no harm."""

ON_SUPPOSED: Final = (Protect, Acquire)
"""What may be decided where no Secret is thought to be there and none was looked for: it meets a
conflict where one is."""

Action = (
    Idle
    | Protect
    | Acquire
    | Hold
    | Deliver
    | Renew
    | Inspect
    | Move
    | Search
    | Revoke
    | Drop
    | Discard
    | Restart
    | Sustain
    | DeleteSecret
    | Disown
    | Report
    | Release
)


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing to do yet: the rule is asked again at ``at``, or before."""

    at: datetime


Found = Action | Later | None


def soonest(now: datetime, *moments: datetime | None) -> Later | None:
    """The first of these moments that is still to come; None where there is none."""
    at = min((one for one in moments if one is not None and one > now), default=None)
    return Later(at) if at is not None else None
