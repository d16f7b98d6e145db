"""Pending revocations: each lease in Revoking is one that the provider must confirm to be gone.

Flows in: a view. Flows out: ``pending`` says which step is due; the ``after_…`` functions say
what an outcome of it makes of the entry (None: confirmed, it may go). ``controller.revoke``
performs them.

A lease without an id is an unclear attempt: it is searched for first. One with an id is revoked
and then inspected.
"""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from leaseholder import errors
from leaseholder.api import durations, names
from leaseholder.api.conditions import Reason
from leaseholder.api.record import RecordedLease, Revocation, State
from leaseholder.core import ends, rollout, schedule, slots
from leaseholder.core.actions import Action, Drop, Found, Move, Revoke, Search, soonest
from leaseholder.core.view import View
from leaseholder.ports.provider import Capabilities

REVERSIBLE: Final = frozenset({Reason.SUPERSEDED, Reason.UNDELIVERED, Reason.UNCLEAR})
"""Reasons that a Secret which names the lease after all proves wrong."""
LOGIN_FAILED: Final = frozenset({Reason.AUTH_GONE, Reason.LOGIN_REFUSED})
"""What a last try may have met that other credentials put right."""
UNKNOWN_LAG: Final = 60
"""Seconds that a read may trail a write at a provider that can't be asked."""
UNSEEN: Final = timedelta(seconds=60)
"""A lease that can be neither looked at nor revoked is thought gone so long after its end."""


def begin(view: View, record: RecordedLease, reason: Reason) -> Move:
    """The move by which a lease is to be revoked, at once."""
    timed = view.known(record).clock is not None  # else the wall clock stands in
    seen = view.own_now(record) if reason == Reason.UNCLEAR and timed else None
    revocation = Revocation(reason=reason, since=view.now, first_seen_at=seen)
    return moved(view, record, State.REVOKING, revocation)


def moved(view: View, record: RecordedLease, state: State, revocation: Revocation) -> Move:
    """The move towards a lease's end; the best known expiry goes with it, if it was asked for."""
    changes = {"state": state, "expires_at": ends.bounded(view, record), "revoke": revocation}
    return Move(record, record.but(**changes))


def shows_from(view: View, record: RecordedLease) -> datetime:
    """From when on every replica shows the lease, so that "no such lease" can be believed."""
    can = view.capabilities.get(record.attempt_id)
    lag = timedelta(seconds=can.replica_lag if can is not None else UNKNOWN_LAG)
    if record.issued_at is None:
        return view.by_date(record, record.started_at) + lag
    return view.here(record, record.issued_at) + lag


def pending(view: View) -> Found:
    """The step that a pending revocation needs now, or when one will."""
    moments: list[datetime] = []
    for found in _map(view):
        if isinstance(found, datetime):
            moments.append(found)
        elif found is not None:
            return found
    return soonest(view.now, *moments)


def _map(view: View) -> Iterator[Action | datetime | None]:
    """For each pending revocation the step that is due, or when there will be one."""
    for record in view.in_state(State.SUPERSEDED):
        yield _superseded(view, record)
    for record in view.in_state(State.REVOKING):
        yield _search(view, record) if not record.lease_id else _revoke(view, record)


def held_again(view: View) -> Move | None:
    """A lease that the Secret shows after all is held again: a delivery came before the fence.

    Nor is the newest lease replaced: whoever replaced it had looked long before.
    """
    replaced = [record for record in view.records[-1:] if record.state is State.SUPERSEDED]
    for record in (*view.in_state(State.REVOKING), *replaced):
        shown = view.names(record) and not view.edited(record)
        if shown and record.revocation.reason in REVERSIBLE:
            return Move(record, record.but(state=State.HELD, revoke=None))
    return None


def _superseded(view: View, record: RecordedLease) -> Action | datetime | None:
    if rollout.keeps(view, record):
        return rollout.kept_until(view, record)
    not_before = _lives_until(view, record)
    if not_before is not None and view.now < not_before:
        return not_before
    end = view.expiry(record)
    if view.mute and end is not None and view.now < end:
        return end  # the Secret may hold it
    return begin(view, record, Reason.SUPERSEDED)


def _lives_until(view: View, record: RecordedLease) -> datetime | None:
    """When the overlap of a replaced lease ends; one that was made shorter since counts at once."""
    known = record.revocation
    if known.since is None or known.not_before is None or view.dl is None:
        return known.not_before
    overlap = durations.parse(view.dl.spec.rotation.overlap)
    return min(known.not_before, known.since + overlap)


def _search(view: View, record: RecordedLease) -> Action | datetime:
    can = view.capabilities.get(record.attempt_id)
    if can is None:
        return view.now + timedelta(seconds=schedule.RETRY_MOST)
    if not can.recoverable:
        end = _end(view, record)
        return Drop(record, "Expired") if view.now >= end else end
    due = _search_at(view, record, can)
    return due if view.now < due else _when_due(view, record) or Search(record)


def _search_at(view: View, record: RecordedLease, can: Capabilities) -> datetime:
    """When an unclear attempt is searched for; all moments are on record, for restarts.

    They are the lease's own: it is its provider that takes so long to show it.
    """
    searched = record.revocation.searched_at
    if searched is not None:
        again = timedelta(seconds=max(can.replica_lag, schedule.INSPECT_AGAIN))
        return view.here(record, searched + again)
    seen = record.revocation.first_seen_at or record.started_at
    wait = (record.deadline - record.started_at) + timedelta(seconds=can.settle)
    return view.here(record, seen + wait)


def after_search(view: View, record: RecordedLease) -> RecordedLease | None:
    """Nothing was found: searched for once more, so that a replica has its time; then it goes."""
    if record.revocation.searched_at is not None:
        return None
    return _tried(view, record, Reason.UNCLEAR, searched_at=view.own_now(record))


def _end(view: View, record: RecordedLease) -> datetime:
    """When a lease ends by itself, as far as is known."""
    can = view.capabilities.get(record.attempt_id)
    return ends.end(view, record, timedelta(seconds=can.settle if can is not None else 0))


def _when_due(view: View, record: RecordedLease) -> datetime | None:
    """When the next try is due, None when it is now.

    A login that failed is tried at once where something changed, such as the provider: it sends
    nothing while the credentials stay the same.
    """
    revocation = record.revocation
    if view.memory.poked and revocation.last_reason in LOGIN_FAILED:
        return None
    next_at = revocation.next_at
    return next_at if next_at is not None and view.now < next_at else None


def _revoke(view: View, record: RecordedLease) -> Action | datetime:
    revocation = record.revocation
    can = view.capabilities.get(record.attempt_id)
    if can is not None and not can.verifiable and not can.revocable:
        over = _end(view, record) + UNSEEN
        return Drop(record, "Expired") if view.now >= over else over
    force = force_nonce(view) not in ("", revocation.forced_nonce)
    later = _when_due(view, record)
    if later is not None and not force:
        return later
    undelivered = revocation.reason == Reason.UNDELIVERED and revocation.attempts == 0
    fenced = undelivered and not view.target_contested
    return Revoke(record, force=force, fence=view.target if fenced else None)


def force_nonce(view: View) -> str:
    """The force command that stands and wasn't there at first sight; empty where there's none."""
    if view.dl is None or view.dl.status.handled is None:
        return ""
    nonce = view.dl.command(names.FORCE)
    return nonce if nonce != view.dl.status.handled.force else ""


def after_answer(view: View, record: RecordedLease) -> RecordedLease:
    """The provider says that it revoked the lease, but still shows it: look again soon."""
    unconfirmed = after_failure(view, record, Reason.NOT_CONFIRMED, schedule.INSPECT_AGAIN)
    answered = record.revocation.answered_at or view.now
    revocation = unconfirmed.revocation.model_copy(update={"answered_at": answered})
    return unconfirmed.but(revoke=revocation)


def after_gone(view: View, record: RecordedLease) -> RecordedLease | None:
    """The provider says that it has no such lease: believed when old enough and said twice."""
    if record.revocation.answered_at is not None:
        return None
    believable = shows_from(view, record)
    if view.now < believable:
        return _tried(view, record, Reason.NOT_CONFIRMED, next_at=believable)
    again = view.now + timedelta(seconds=schedule.INSPECT_AGAIN)
    return _tried(view, record, Reason.NOT_CONFIRMED, next_at=again, answered_at=view.now)


def is_proof(view: View, record: RecordedLease, gone: errors.LeaseGone) -> bool:
    """Whether "no such lease" is believed of a login that isn't the lease's own.

    It may see another project under the same name, and no lease there. So the lease must have been
    seen before, or be over.
    """
    answered = record.revocation.answered_at is not None
    return gone.certain or answered or not ends.may_live(view, record)


def after_failure(
    view: View, record: RecordedLease, reason: Reason, retry_after: float | None = None
) -> RecordedLease:
    """A try that didn't succeed: the next one later, slowly past expiry, for a week."""
    attempts, end = record.revocation.attempts + 1, _end(view, record)
    most = schedule.REVOKE_SLOW if view.now >= end else schedule.REVOKE_MOST
    most = schedule.RETRY_MOST_DEAD if _is_awaited(view, record) else most
    wait = schedule.backoff(attempts, seed=record.attempt_id, most=most, retry_after=retry_after)
    tried = _tried(view, record, reason, attempts=attempts, next_at=view.now + wait)
    since = record.revocation.since or end
    hopeless = view.now >= max(since, end) + schedule.ABANDON_AFTER
    state = State.ABANDONED if hopeless else State.REVOKING
    return tried.but(state=state)


def _is_awaited(view: View, record: RecordedLease) -> bool:
    """Whether a DynamicLease is without credentials until this lease is gone: they share a slot."""
    without = view.dl is not None and not view.dl.deleting and view.delivered is None
    same = view.supply is not None and record.slot == view.supply.slot
    return without and same and slots.one_slot(view, record)


def held_back(
    view: View, record: RecordedLease, reason: Reason, retry_after: float
) -> RecordedLease:
    """A try that wasn't made, because the provider is known to be down: it doesn't count."""
    wait = timedelta(seconds=math.ceil(retry_after))
    return _tried(view, record, reason, next_at=view.now + wait)


def _tried(view: View, record: RecordedLease, reason: Reason, **changes: object) -> RecordedLease:
    """The entry after a try that left it pending; it answers the force command that stands."""
    known = record.revocation
    nonce = force_nonce(view) or known.forced_nonce
    revocation = known.model_copy(update={"last_reason": reason, "forced_nonce": nonce, **changes})
    return record.but(revoke=revocation)
