"""When a lease is renewed, when it is replaced, and whether a new one is needed.

Flows in: one observation of a DynamicLease that is wanted. Flows out: the ``Plan`` of a lease and
the ``Need`` of a new one. ``schedule`` has the arithmetic, ``obstacles`` what stands in the way,
and ``wanted`` makes steps of both.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from leaseholder.api import durations, names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import drift, schedule
from leaseholder.core.facts import fact
from leaseholder.core.memory import Shortfall
from leaseholder.core.view import View
from leaseholder.ports.events import Note
from leaseholder.ports.provider import Capabilities

INSTEAD: Final = f"for a new lease, annotate {names.ROTATE}"
"""What to do where a lease can't be renewed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """At ``at`` the lease is renewed (Renew) or replaced (Rotate)."""

    strategy: Literal["Renew", "Rotate"]
    at: datetime


@dataclass(frozen=True, slots=True)
class Need:
    """A new lease is needed, and why."""

    reason: Reason
    rotate_nonce: str = ""


@fact
def plan(view: View, dl: DynamicLease, record: RecordedLease) -> Plan:
    """When and how a held lease is kept alive."""
    renewal = renewal_at(view, dl, record)
    replacement = _replacement_at(view, dl, record)
    wanes = dl.spec.renewal.strategy != "Renew" and dwindling(view, record) is not None
    planned = Plan("Rotate", replacement) if renewal is None or wanes else Plan("Renew", renewal)
    if planned.strategy == "Renew" and (last := unrenewed_until(view, dl, record)) is not None:
        planned = Plan("Rotate", max(last, planned.at))
    aged = _aged(view, dl, record)
    return Plan("Rotate", aged) if aged is not None and aged < planned.at else planned


@fact
def renewal_at(view: View, dl: DynamicLease, record: RecordedLease) -> datetime | None:
    """When a lease is to be renewed, whatever else is planned; None: it can't be.

    The strategy Rotate is about the delivered lease: a replaced one has no other way to live on.
    """
    expiry, life = view.expiry(record) or view.now, view.life(record)
    fits = _fits(view, dl, record, expiry, life)
    if fits is None:
        return None
    # A longer ttl counts at once; only ``before`` is a length of its own, held against the life.
    measure = life if dl.spec.renewal.before is None else given_life(view, record)
    due = max(fits, schedule.due(dl.spec.renewal, measure, expiry))
    short = _shortfall(view, record)
    if short is None:
        return due
    again = schedule.again(dl.spec.renewal, expiry, asked=short.asked, left=short.left)
    return max(due, again) if again is not None else None


def to_renew(view: View, dl: DynamicLease) -> RecordedLease | None:
    """The lease to be renewed now: held or yet to be delivered, due or at the user's command."""
    kept = drift.kept(view, dl)
    for record in (kept, view.in_hand):
        at = renewal_at(view, dl, record) if record is not None else None
        commanded = record == kept and renew_nonce(view, dl) != ""
        if at is not None and (view.now >= at or commanded):
            return record
    return None


def renewal_moments(view: View, dl: DynamicLease) -> list[datetime | None]:
    """When the lease that is held, and the one yet to be delivered, are to be renewed."""
    records = (drift.kept(view, dl), view.in_hand)
    return [renewal_at(view, dl, one) for one in records if one is not None]


def _replacement_at(view: View, dl: DynamicLease, record: RecordedLease) -> datetime:
    """When a lease that can't be renewed is replaced.

    Planned from what was granted: a longer ttl, asked for later or cut by the provider, would
    make it due at once. With the strategy Renew nothing is replaced before its end.
    """
    expiry = view.expiry(record) or view.now
    if dl.spec.renewal.strategy == "Renew":
        return expiry
    return schedule.due(dl.spec.renewal, given_life(view, record), expiry)


def unrenewed_until(view: View, dl: DynamicLease, record: RecordedLease) -> datetime | None:
    """When a lease is replaced whose renewals fail, before it ends; None: it isn't.

    Only where the provider serves: an outage costs no lease. Renewals are tried on meanwhile. A
    shared account would have to be vacated first, and then a failed issue costs what still lives.
    """
    can = view.capabilities.get(record.attempt_id)
    if dl.spec.renewal.strategy != "Auto" or not view.known(record).not_renewed:
        return None
    if can is None or can.slots == "One":
        return None
    return schedule.last(given_life(view, record), view.expiry(record) or view.now)


def given_life(view: View, record: RecordedLease) -> timedelta:
    """The life that is asked for, or the shorter one that the provider gave."""
    asked = view.life(record)
    return min(asked, view.granted(record) or asked)


def _fits(
    view: View, dl: DynamicLease, record: RecordedLease, expiry: datetime, life: timedelta
) -> datetime | None:
    """From when on a renewal adds what it must; None: none can, or the lease is to be replaced."""
    can, strategy = view.capabilities.get(record.attempt_id), dl.spec.renewal.strategy
    unproven = can is not None and can.proven_after is not None
    is_replaced = strategy == "Rotate" or (strategy == "Auto" and unproven)
    if is_replaced and record.state is not State.SUPERSEDED:
        return None
    if view.known(record).unrenewable:
        return None
    if can is None:
        return schedule.renewal_fits(expiry, life, 1, None)
    if not can.renewable:
        return None
    last_shown = view.known(record).shown
    stated = last_shown.latest if last_shown is not None else None
    latest = view.here(record, stated) if stated is not None else None
    fits = schedule.renewal_fits(expiry, life, least_renewal(can), latest)
    shown = apart(view, record)
    return fits if fits is None or shown is None else max(fits, shown)


def apart(view: View, record: RecordedLease) -> datetime | None:
    """When replicas show our last renewal of a lease: before that it isn't renewed again.

    A longer ttl counts at once, so that a renewal adds enough doesn't say that the last one is long
    ago: after two changes of ttl in a row, a third renewal made the lease end sooner.

    None: no replica trails, or no renewal is known. Or the lease ends before that, be it because
    ``Date`` jumped: then it isn't kept waiting.
    """
    renewed, can = view.known(record).renewed_at, view.capabilities.get(record.attempt_id)
    if renewed is None or can is None or not can.replica_lag:
        return None
    shown = view.now + timedelta(seconds=renewed + can.replica_lag + 1 - view.monotonic)
    expiry = view.expiry(record)
    return shown if expiry is None or shown <= expiry - schedule.MARGIN else None


def least_renewal(can: Capabilities) -> int:
    """Seconds that a renewal must add.

    A provider adds to the end that its replica shows (providers/infisical.md: reads trail): a
    renewal soon after the last one would add to the end before that, and may even shorten the
    lease. Moments are whole seconds, hence one more.
    """
    return max(can.minimum_renewal, can.replica_lag + 1 if can.replica_lag else 0)


def _aged(view: View, dl: DynamicLease, record: RecordedLease) -> datetime | None:
    """When a lease is as old as ``rotation.maxAge`` allows; None: it may grow older."""
    age, issued = dl.spec.rotation.max_age, record.issued_at
    if age is None or issued is None:
        return None
    return view.here(record, issued) + durations.parse(age)


def _shortfall(view: View, record: RecordedLease) -> Shortfall | None:
    """By what the last renewal fell short; one to another ttl says nothing of the next one."""
    short = view.known(record).shortfall
    return short if short is not None and short.asked == view.life(record) else None


def dwindling(view: View, record: RecordedLease) -> Shortfall | None:
    """The last renewal, where it left less than half of a lease's life: others help no more."""
    short = _shortfall(view, record)
    return short if short is not None and short.left < given_life(view, record) / 2 else None


@fact
def need(view: View, dl: DynamicLease) -> Need | None:
    """Whether a new lease is needed; none while one is in hand or the user said suspend."""
    held, fresh = drift.kept(view, dl), view.in_hand
    if dl.spec.suspend or (fresh and (held is None or view.place(fresh) >= view.place(held))):
        return None
    nonce = rotate_nonce(dl)
    if held is None:
        return Need(Reason.PROGRESSING, nonce)
    if (why := outdated(view, dl, held)) is not None:
        return Need(why, nonce)
    if view.inherited(held) and view.supply is not None:
        return Need(Reason.SOURCE_CHANGED, nonce)  # a kind that nobody can look at: not taken over
    planned = plan(view, dl, held)
    if planned.strategy == "Rotate" and view.now >= planned.at:
        return Need(Reason.ROTATING, nonce)
    if drift.damaged(view, dl) is not None:
        return None if drift.waits(view, dl) else Need(Reason.SECRET_CHANGED, nonce)
    if view.source_of(held) is None and not view.target_contested:
        return Need(Reason.TEMPLATE_CHANGED, nonce)
    return None


@fact
def outdated(view: View, dl: DynamicLease, record: RecordedLease) -> Reason | None:
    """Why the user wants another lease than this one, however long it lives; None: it will do."""
    if not is_of_source(view, record):
        return Reason.SOURCE_CHANGED
    nonce = rotate_nonce(dl)
    return Reason.COMMANDED if nonce and record.rotate_nonce != nonce else None


def is_of_source(view: View, record: RecordedLease) -> bool:
    """Whether a lease is of the source that is wanted, as far as that is known.

    A provider object that was made again for another namespace of its server has another source,
    though it is called the same: with its login the lease isn't even seen.
    """
    supply, issuer = view.supply, record.provider
    if supply is None:
        return True
    moved = issuer.uid != supply.uid and issuer.options != dict(supply.options)
    return record.source_hash == supply.source_hash and not moved


@fact
def unseen(view: View, held: RecordedLease) -> bool:
    """Whether a lease that can be looked at wasn't, and no status tells that it lived."""
    shown = view.dl.status.lease if view.dl is not None else None
    can = view.capabilities.get(held.attempt_id)
    if can is None or not can.verifiable or (shown and shown.attempt == held.attempt_id):
        return False
    known = view.known(held)
    return known.shown is None and known.shown_at is None


def rotate_nonce(dl: DynamicLease) -> str:
    """The rotate command that isn't handled yet; empty where there is none."""
    handled = dl.status.handled
    return _unhandled(dl, names.ROTATE, handled.rotate if handled is not None else None)


def renew_nonce(view: View, dl: DynamicLease) -> str:
    """The renew command that isn't handled yet; empty where there is none."""
    handled = dl.status.handled
    nonce = _unhandled(dl, names.RENEW, handled.renew if handled is not None else None)
    return "" if nonce == view.memory.renew_handled else nonce


def renew_refused(view: View, dl: DynamicLease) -> Note | None:
    """The answer to a renew command that can't be obeyed; None where there is none to refuse."""
    held = view.delivered
    if held is None or not renew_nonce(view, dl):
        return None
    if renewal_at(view, dl, held) is not None:
        return None
    strategy, can = dl.spec.renewal.strategy, view.capabilities.get(held.attempt_id)
    why = "spec.renewal.strategy is Rotate" if strategy == "Rotate" else "it can only be replaced"
    if strategy == "Auto" and can is not None and can.proven_after is not None:
        why = "the provider may end it at its first expiry all the same"
    text = f"the lease isn't renewed: {why}; {INSTEAD}"
    return Note("Warning", Reason.CANNOT_RENEW, text)


def _unhandled(dl: DynamicLease, annotation: str, handled: str | None) -> str:
    nonce = dl.command(annotation)
    return nonce if handled is not None and nonce != handled else ""
