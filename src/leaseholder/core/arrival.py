"""A lease on its arrival: can it be used, by what clock does it end, does it fit on the record.

Flows in: what a provider answered to an issue, and the record that it is to be put on. Flows out: a
failure where the lease can't be used, and whether there is room. ``controller.acquire`` asks about
leases, ``controller.records`` about room.

A provider may answer anything. A lease that is over when it comes, or nearly, would be replaced at
once, and so would the next one; one whose credentials are all empty would empty the Secret. So such
an issue counts as failed: the lease is revoked, and the next try waits for the back-off. What a
lease's moments mean, its own server's clock says: ``Date`` may come from a proxy with another
clock, so the moment of the issue is held against it.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from leaseholder.api import base, record
from leaseholder.api.conditions import Reason
from leaseholder.api.record import RecordedLease, RecordSpec, State
from leaseholder.core import ends, schedule
from leaseholder.core.memory import Failure
from leaseholder.ports.provider import Lease
from leaseholder.secrecy import Credentials

LEAST_LEFT: Final = schedule.MARGIN
"""A lease with less left is replaced as soon as it is delivered."""
LEAST_GIVEN: Final = LEAST_LEFT + timedelta(seconds=3)
"""One that lives shorter would be replaced every second or two, for ever."""


def fault(
    lease: Lease, credentials: Credentials | None, now: datetime, clock_ahead: int
) -> Failure | None:
    """Why a lease that was just issued can't be used; None where it can.

    Args:
        lease: as the provider gave it.
        credentials: the same; None: they aren't at hand any more.
        now: the time by the lease's own clock.
        clock_ahead: seconds that it is ahead of the provider's ``Date``.
    """
    if abs(clock_ahead) > ends.MOST_AHEAD.total_seconds():
        word = "after" if clock_ahead > 0 else "before"
        return _unusable(
            f"the provider dates the lease {abs(clock_ahead)} s {word} its own Date, so nobody can "
            "tell when it ends: set the clocks of the server, its database and its proxy"
        )
    if credentials is not None and not any(credentials.reveal().values()):
        return _unusable(
            "the provider gave a lease without credentials, or only empty ones: see what the "
            "source gives at the provider"
        )
    left, given = lease.expires_at - now, lease.expires_at - lease.issued_at
    if given < LEAST_GIVEN:
        return _unusable(
            f"the provider gave a lease of {_seconds(given)} s, too short to be used: write a ttl, "
            "or raise the default ttl at the provider"
        )
    if left >= LEAST_LEFT:
        return None
    return _unusable(
        f"the lease was as good as over when it came: it ends at "
        f"{base.render_moment(lease.expires_at)}, and the provider's clock says "
        f"{base.render_moment(now)}: find out why its answers take so long, or set its clock"
    )


def fits_on_record(lease: Lease) -> bool:
    """Whether what a provider wants to be put on record is of a size that a lease can need."""
    handle = json.dumps(dict(lease.handle), separators=(",", ":"))
    short = len(lease.id.encode(errors="replace")) <= record.MOST_LEASE_ID
    return short and len(handle.encode()) <= record.MOST_HANDLE


def has_room(spec: RecordSpec) -> bool:
    """Whether there is room for a record, and for what its leases may still grow by."""
    said = spec.dump()
    short = len(spec.leases) <= record.MOST_LEASES and _stored(said["trusts"]) <= record.MOST_TRUSTS
    return short and _stored(said) <= record.MOST_BYTES


def room_for(spec: RecordSpec, leases: Sequence[RecordedLease]) -> int:
    """How many of these leases, from the first, a record that ``has_room`` takes.

    Each is measured once, and none after the first that has no room: a provider says how many there
    are, and a tenant how large.
    """
    fitting = leases[: max(0, record.MOST_LEASES - len(spec.leases))]
    left = record.MOST_BYTES - _stored(spec.dump())
    for number, lease in enumerate(fitting):
        left -= _stored(lease.dump()) + len(",")
        if left < 0:
            return number
    return len(fitting)


def _stored(value: Any) -> int:
    """Bytes that the API server stores for a value: its JSON writes some characters as six."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode(errors="replace")) + 5 * sum(map(text.count, "<>&"))


def with_answer(
    lease: RecordedLease, answer: Lease, state: State, ahead: int | None = None
) -> RecordedLease:
    """A recorded lease with what the provider said of it.

    One that is to be revoked ends no later there than was asked for.

    Args:
        lease: as it is on record.
        answer: the lease, as the provider gave or showed it.
        state: where it stands now.
        ahead: seconds that its moments are ahead of the provider's ``Date``; None: as recorded.
    """
    revoking = state is State.REVOKING
    return lease.but(
        state=state,
        lease_id=answer.id,
        handle=dict(answer.handle),
        issued_at=answer.issued_at,
        expires_at=ends.latest(lease, answer) if revoking else answer.expires_at,
        clock_ahead=lease.clock_ahead if ahead is None else ahead,
    )


def _unusable(sentence: str) -> Failure:
    return Failure(reason=Reason.UNUSABLE, sentence=sentence, permanent=True)


def _seconds(length: timedelta) -> int:
    return max(0, int(length.total_seconds()))
