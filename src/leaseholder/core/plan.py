"""What the delivered lease needs next, and what stands in the way of a new one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from leaseholder.api import durations, names, reserved
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease, Retry
from leaseholder.api.record import MOST_LEASES, RecordedLease, State
from leaseholder.core import contents, drift, ends, schedule, slots
from leaseholder.core.facts import fact
from leaseholder.core.memory import Failure, Shortfall
from leaseholder.core.observation import Rival
from leaseholder.core.view import View
from leaseholder.ports.events import Note
from leaseholder.ports.provider import Capabilities

MOST_LIVE: Final = 5
"""With so many leases of one DynamicLease that may live, no further one is issued."""

PENDING_EACH: Final = 2
PENDING_MOST: Final = 20
"""So many revocations may be pending in a namespace: the first number for each DynamicLease, and
the second."""

ROOM_AHEAD: Final = timedelta(seconds=60)
"""So long before its end a lease that can't be renewed counts as ended, at the limit."""

INSTEAD: Final = f"for a new lease, annotate {names.ROTATE}"
"""What to do where a lease can't be renewed."""

_ABOUT_SECRET: Final = (Reason.WRITE_REFUSED, Reason.TEMPLATE_INVALID)
_NO_RENEWAL: Final = (*_ABOUT_SECRET, Reason.BACKEND_FAILED)
"""What failed last, with these, wasn't a renewal."""


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
def plan(view: View, lease: DynamicLease, record: RecordedLease) -> Plan:
    """When and how a held lease is kept alive."""
    renewal = renewal_at(view, lease, record)
    replacement = _replacement_at(view, lease, record)
    wanes = lease.spec.renewal.strategy != "Renew" and dwindling(view, record) is not None
    planned = Plan("Rotate", replacement) if renewal is None or wanes else Plan("Renew", renewal)
    aged = _aged(view, lease, record)
    return Plan("Rotate", aged) if aged is not None and aged < planned.at else planned


@fact
def renewal_at(view: View, lease: DynamicLease, record: RecordedLease) -> datetime | None:
    """When a lease is to be renewed, whatever else is planned; None: it can't be.

    The strategy Rotate is about the delivered lease: a replaced one has no other way to live on.
    """
    expiry, life = view.expiry(record) or view.now, view.life(record)
    fits = _fits(view, lease, record, expiry, life)
    if fits is None:
        return None
    # A longer ttl counts at once; only ``before`` is a length of its own, held against the life.
    measure = life if lease.spec.renewal.before is None else given_life(view, record)
    due = max(fits, schedule.due(lease.spec.renewal, measure, expiry))
    short = _shortfall(view, record)
    if short is None:
        return due
    again = schedule.again(lease.spec.renewal, expiry, asked=short.asked, left=short.left)
    return max(due, again) if again is not None else None


def to_renew(view: View, lease: DynamicLease) -> RecordedLease | None:
    """The lease to be renewed now: held or yet to be delivered, due or at the user's command."""
    kept = drift.kept(view, lease)
    for record in (kept, view.in_hand):
        at = renewal_at(view, lease, record) if record is not None else None
        commanded = record == kept and renew_nonce(view, lease) != ""
        if at is not None and (view.now >= at or commanded):
            return record
    return None


def renewal_moments(view: View, lease: DynamicLease) -> list[datetime | None]:
    """When the lease that is held, and the one yet to be delivered, are to be renewed."""
    records = (drift.kept(view, lease), view.in_hand)
    return [renewal_at(view, lease, one) for one in records if one is not None]


def _replacement_at(view: View, lease: DynamicLease, record: RecordedLease) -> datetime:
    """When a lease that can't be renewed is replaced.

    Planned from what was granted: a longer ttl, asked for later or cut by the provider, would
    make it due at once. With the strategy Renew nothing is replaced before its end.
    """
    expiry = view.expiry(record) or view.now
    if lease.spec.renewal.strategy == "Renew":
        return expiry
    return schedule.due(lease.spec.renewal, given_life(view, record), expiry)


def given_life(view: View, record: RecordedLease) -> timedelta:
    """The life that is asked for, or the shorter one that the provider gave."""
    asked = view.life(record)
    return min(asked, view.granted(record) or asked)


def _fits(
    view: View, lease: DynamicLease, record: RecordedLease, expiry: datetime, life: timedelta
) -> datetime | None:
    can, strategy = view.capabilities.get(record.attempt_id), lease.spec.renewal.strategy
    unproven = can is not None and can.proven_after is not None
    replaces = strategy == "Rotate" or (strategy == "Auto" and unproven)
    replace = replaces and record.state is not State.SUPERSEDED
    if replace or record.attempt_id in view.memory.unrenewable:
        return None
    if can is None:
        return schedule.renewal_fits(expiry, life, 1, None)
    if not can.renewable:
        return None
    fresh = view.memory.leases.get(record.attempt_id)
    stated = fresh.latest if fresh is not None else None
    latest = view.here(record, stated) if stated is not None else None
    return schedule.renewal_fits(expiry, life, least_renewal(can), latest)


def least_renewal(can: Capabilities) -> int:
    """Seconds that a renewal must add.

    A provider adds to the end that its replica shows (providers/infisical.md: reads trail): a
    renewal soon after the last one would add to the end before that, and may even shorten the
    lease. Moments are whole seconds, hence one more.
    """
    return max(can.minimum_renewal, can.replica_lag + 1 if can.replica_lag else 0)


def _aged(view: View, lease: DynamicLease, record: RecordedLease) -> datetime | None:
    age, issued = lease.spec.rotation.max_age, record.issued_at
    if age is None or issued is None:
        return None
    return view.here(record, issued) + durations.parse(age)


def _shortfall(view: View, record: RecordedLease) -> Shortfall | None:
    """By what the last renewal fell short; one to another ttl says nothing of the next one."""
    short = view.memory.shortfalls.get(record.attempt_id)
    return short if short is not None and short.asked == view.life(record) else None


def dwindling(view: View, record: RecordedLease) -> Shortfall | None:
    """The last renewal, where it left less than half of a lease's life: others help no more."""
    short = _shortfall(view, record)
    return short if short is not None and short.left < given_life(view, record) / 2 else None


@fact
def need(view: View, lease: DynamicLease) -> Need | None:
    """Whether a new lease is needed; none while one is in hand or the user said suspend."""
    held, fresh = drift.kept(view, lease), view.in_hand
    if lease.spec.suspend or (fresh and (held is None or view.place(fresh) >= view.place(held))):
        return None
    nonce = rotate_nonce(lease)
    if held is None:
        return Need(Reason.PROGRESSING, nonce)
    if view.supply is not None and held.source_hash != view.supply.source_hash:
        return Need(Reason.SOURCE_CHANGED, nonce)
    if nonce and held.rotate_nonce != nonce:
        return Need(Reason.COMMANDED, nonce)
    if view.inherited(held) and view.supply is not None:
        return Need(Reason.SOURCE_CHANGED, nonce)  # a kind that nobody can look at: not taken over
    planned = plan(view, lease, held)
    if planned.strategy == "Rotate" and view.now >= planned.at:
        return Need(Reason.ROTATING, nonce)
    if drift.damaged(view, lease) is not None:
        return None if drift.waits(view, lease) else Need(Reason.SECRET_CHANGED, nonce)
    if view.source_of(held) is None and not view.target_contested:
        return Need(Reason.TEMPLATE_CHANGED, nonce)
    return None


@fact
def unseen(view: View, held: RecordedLease) -> bool:
    """Whether a lease that can be looked at wasn't, and no status tells that it lived."""
    shown = view.lease.status.lease if view.lease is not None else None
    can = view.capabilities.get(held.attempt_id)
    if can is None or not can.verifiable or (shown and shown.attempt == held.attempt_id):
        return False
    known = view.memory
    return held.attempt_id not in known.leases and held.attempt_id not in known.shown_at


def rotate_nonce(lease: DynamicLease) -> str:
    """The rotate command that isn't handled yet; empty where there is none."""
    handled = lease.status.handled
    return _unhandled(lease, names.ROTATE, handled.rotate if handled is not None else None)


def renew_nonce(view: View, lease: DynamicLease) -> str:
    """The renew command that isn't handled yet; empty where there is none."""
    handled = lease.status.handled
    nonce = _unhandled(lease, names.RENEW, handled.renew if handled is not None else None)
    return "" if nonce == view.memory.renew_handled else nonce


def renew_refused(view: View, lease: DynamicLease) -> Note | None:
    """The answer to a renew command that can't be obeyed; None where there is none to refuse."""
    held = view.delivered
    if held is None or not renew_nonce(view, lease):
        return None
    if renewal_at(view, lease, held) is not None:
        return None
    strategy, can = lease.spec.renewal.strategy, view.capabilities.get(held.attempt_id)
    why = "spec.renewal.strategy is Rotate" if strategy == "Rotate" else "it can only be replaced"
    if strategy == "Auto" and can is not None and can.proven_after is not None:
        why = "the provider may end it at its first expiry all the same"
    text = f"the lease isn't renewed: {why}; {INSTEAD}"
    return Note("Warning", Reason.CANNOT_RENEW, text)


def _unhandled(lease: DynamicLease, annotation: str, handled: str | None) -> str:
    nonce = lease.command(annotation)
    return nonce if handled is not None and nonce != handled else ""


def _reserved(lease: DynamicLease) -> Failure | None:
    """What an older CRD let through and this version writes into no Secret."""
    target = lease.spec.target
    marks = (*target.template.metadata.labels, *target.template.metadata.annotations)
    taken = [name for name in marks if not reserved.is_free(name)]
    if not reserved.is_type(target.type):
        taken.append(f"type {target.type}")
    if not taken:
        return None
    return Failure(
        reason=Reason.WRITE_REFUSED,
        sentence=f"other controllers act on Secrets with {', '.join(sorted(taken)[:5])}: take it "
        "out of spec.target, and make the DynamicLease again where it is the type",
        permanent=True,
    )


@fact
def obstacle(view: View, lease: DynamicLease) -> Failure | None:
    """What the observation shows to stand in the way of issue and delivery."""
    if view.target_contested:
        return Failure(
            reason=Reason.NOT_OURS,
            sentence=f"Secret {lease.secret_name} belongs to {_owner(view)}, or write another "
            "target.secretName",
            permanent=True,
        )
    broken = _fixed(view, lease) or _reserved(lease) or template_fault(view, lease)
    if broken is not None:
        return broken
    if view.supply_failure is not None:
        return view.supply_failure
    taken = slots.holder_of(view)
    if taken is not None:
        return Failure(
            reason=Reason.SLOT_TAKEN,
            sentence=f"the source is one shared account, and {_whose(view, taken)} holds it: use "
            "its Secret, delete it, or write another source",
            permanent=True,
        )
    if len(live(view)) >= MOST_LIVE:
        return Failure(reason=Reason.TOO_MANY, sentence=_crowd(live(view)), permanent=False)
    if len(view.records) >= MOST_LEASES:
        full = f"{len(view.records)} leases are on record, and no more fit on it"
        sentence = f"{full}: the next one is issued when one of them is gone, or over for long"
        return Failure(reason=Reason.TOO_MANY, sentence=sentence, permanent=False)
    return crowded(view)


def _owner(view: View) -> str:
    """Whose the Secret is, and what to delete: not another DynamicLease's Secret beside it."""
    target = view.target
    name = target.annotations.get(names.OWNER_NAME) if target is not None else None
    if target is None or not (target.written_here and names.is_name(name)):
        return "somebody else: delete it"
    return f"DynamicLease {name}: delete that one"


def _fixed(view: View, lease: DynamicLease) -> Failure | None:
    """What of the Secret, as somebody made it, no write can change."""
    target, wanted = view.target, lease.spec.target.type
    if target is None or (target.type == wanted and not target.immutable):
        return None
    why = "is immutable, so that no other credentials can be written into it"
    if target.type != wanted:
        why = f"is of another type than spec.target.type, {wanted}, and no write changes that"
    return Failure(
        reason=Reason.WRITE_REFUSED,
        sentence=f"Secret {lease.secret_name} {why}: delete it, and it is made again, with a new "
        "lease",
        permanent=True,
    )


def _crowd(alive: Sequence[RecordedLease]) -> str:
    """What keeps so many leases of one DynamicLease alive."""
    parts = (
        ((State.HELD, State.ATTEMPT), "{} in use"),
        (
            (State.SUPERSEDED,),
            "{} replaced and kept for rotation.overlap or a rollout that isn't complete",
        ),
        ((State.REVOKING,), "{} still to be revoked"),
    )
    counts = ((sum(r.state in states for r in alive), text) for states, text in parts)
    found = ", ".join(text.format(number) for number, text in counts if number)
    return (
        f"{len(alive)} leases of this DynamicLease may live ({found}): the next one is issued when "
        "one of them is gone"
    )


@fact
def template_fault(view: View, lease: DynamicLease) -> Failure | None:
    """What is wrong with the template, judged by the keys that the provider gave last time."""
    held = drift.kept(view, lease)
    secret = view.sound(held) if held is not None else None
    known = view.known_contents(secret, held) if secret is not None and held is not None else None
    wrong = contents.fault(lease, known.provided if known is not None else None)
    if wrong is None:
        return None
    return Failure(reason=wrong.reason, sentence=wrong.sentence, permanent=True)


def _whose(view: View, rival: Rival) -> str:
    """Whose lease it is; of another namespace nobody is told more than that there is one."""
    if rival.of.namespace != view.subject.namespace:
        return "a DynamicLease of another namespace"
    return f"DynamicLease {rival.of.namespace}/{rival.of.name}"


def needs_room(view: View, lease: DynamicLease) -> bool:
    """Whether the limit keeps a lease from a DynamicLease that has none, for nobody knows how long.

    A delivered lease that is about to end is as good as none; a revocation that was tried in vain
    may be pending for long.
    """
    known = live(view)
    if len(known) < MOST_LIVE or need(view, lease) is None:
        return False
    held = view.delivered
    if held is not None and not view.edited(held) and not _ending(view, lease, held):
        return False
    return all(r.state != State.REVOKING or (r.revoke and r.revoke.attempts) for r in known)


def _ending(view: View, lease: DynamicLease, held: RecordedLease) -> bool:
    expiry = view.expiry(held)
    if expiry is None or renewal_at(view, lease, held) is not None:
        return False
    return view.now >= expiry - ROOM_AHEAD


def live(view: View) -> tuple[RecordedLease, ...]:
    """The records whose leases may still live at the provider."""
    return tuple(record for record in view.records if ends.may_live(view, record))


def counted(view: View) -> int:
    """How many leases count as still to be revoked in the namespace.

    Where the DynamicLease is gone, also those past their end, which nobody has confirmed: a
    provider that confirms none would fill the API server. While it stands its record has few places
    for them (``over-let-go``), and what is over keeps nobody from credentials that live.
    """
    pending = view.in_state(State.REVOKING)
    if view.lease is None or view.lease.deleting:
        return len(pending)
    return sum(ends.may_live(view, one) for one in pending)


def crowded(view: View) -> Failure | None:
    """Why the namespace gets no further lease: too many of its leases are still to be revoked."""
    pending = counted(view) + view.others.pending
    most = PENDING_MOST + PENDING_EACH * (1 + view.others.leases)
    if pending < most:
        return None
    return Failure(
        reason=Reason.TOO_MANY,
        sentence=f"{pending} leases of this namespace are still to be revoked, which is the most "
        f"({PENDING_EACH} for each DynamicLease, and {PENDING_MOST}): the next one is issued when "
        "one of them is gone",
        permanent=False,
    )


def renewal_blocked_until(view: View, lease: DynamicLease) -> datetime | None:
    """Until when the back-off holds a renewal back: one after something else doesn't."""
    retry = lease.status.retry
    elsewhere = retry is not None and retry.reason in _NO_RENEWAL
    return None if elsewhere else blocked_until(view, lease)


def about_secret(retry: Retry) -> bool:
    """Whether what failed last was a write of the Secret, not a request to the provider."""
    return retry.reason in _ABOUT_SECRET


@fact
def blocked_until(view: View, lease: DynamicLease) -> datetime | None:
    """Until when the back-off holds tries back; None where nothing does."""
    retry = lease.status.retry
    if retry is None or view.now >= retry.next_at:
        return None
    changed = lease.status.observed_generation != lease.metadata.generation
    if costly(retry.reason) or retry.reason == Reason.UNUSABLE:
        # Each try costs, so only the user's own word makes one, not whatever else happens: a
        # provider may have news each second.
        pressed = rotate_nonce(lease) not in ("", retry.rotate)
    else:
        pressed = view.memory.poked
    return None if changed or pressed else retry.next_at


def costly(reason: str) -> bool:
    """Whether each try that fails so can leave something that nobody takes back."""
    return reason == Reason.BACKEND_FAILED
