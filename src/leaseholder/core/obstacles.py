"""What stands in the way of a new lease, and until when a failed try holds the next one back.

Flows in: one observation of a DynamicLease that is wanted. Flows out: the first obstacle, as the
``Failure`` that ``status`` reports, and the end of the back-off. ``plan`` says that a lease is
needed; ``wanted`` asks here before it issues, renews or delivers one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from leaseholder.api import names, reserved
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease, Retry
from leaseholder.api.record import MOST_LEASES, RecordedLease, State
from leaseholder.core import contents, drift, ends, plan, slots
from leaseholder.core.facts import fact
from leaseholder.core.memory import Failure
from leaseholder.core.observation import Rival
from leaseholder.core.view import View

MOST_LIVE: Final = 5
"""With so many leases of one DynamicLease that may live, no further one is issued."""

PENDING_EACH: Final = 2
PENDING_MOST: Final = 20
"""So many revocations may be pending in a namespace: the first number for each DynamicLease, and
the second."""

ROOM_AHEAD: Final = timedelta(seconds=60)
"""So long before its end a lease that isn't renewed any more counts as ended, at the limit."""

_ABOUT_SECRET: Final = (Reason.WRITE_REFUSED, Reason.TEMPLATE_INVALID)
_NO_RENEWAL: Final = (*_ABOUT_SECRET, Reason.BACKEND_FAILED)
"""What failed last, with these, wasn't a renewal."""


def _reserved(dl: DynamicLease) -> Failure | None:
    """What an older CRD let through and this version writes into no Secret."""
    target = dl.spec.target
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
def obstacle(view: View, dl: DynamicLease) -> Failure | None:
    """What the observation shows to stand in the way of issue and delivery."""
    if view.target_contested:
        return Failure(
            reason=Reason.NOT_OURS,
            sentence=f"Secret {dl.secret_name} belongs to {_owner(view)}, or write another "
            "target.secretName",
            permanent=True,
        )
    broken = _fixed(view, dl) or _reserved(dl) or template_fault(view, dl)
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


def _fixed(view: View, dl: DynamicLease) -> Failure | None:
    """What of the Secret, as somebody made it, no write can change."""
    target, wanted = view.target, dl.spec.target.type
    if target is None or (target.type == wanted and not target.immutable):
        return None
    why = "is immutable, so that no other credentials can be written into it"
    if target.type != wanted:
        why = f"is of another type than spec.target.type, {wanted}, and no write changes that"
    return Failure(
        reason=Reason.WRITE_REFUSED,
        sentence=f"Secret {dl.secret_name} {why}: delete it, and it is made again, with a new "
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
def template_fault(view: View, dl: DynamicLease) -> Failure | None:
    """What is wrong with the template, judged by the keys that the next lease will have.

    Those that the provider gave last time, as far as known: another source has keys of its own, and
    who commands a new lease may have changed them at the provider.
    """
    held = drift.kept(view, dl)
    known = _contents_of(view, held) if held and not plan.outdated(view, dl, held) else None
    wrong = contents.fault(dl, known.provided if known is not None else None)
    if wrong is None:
        return None
    return Failure(reason=wrong.reason, sentence=wrong.sentence, permanent=True)


def _contents_of(view: View, held: RecordedLease) -> contents.Contents | None:
    """What is in the Secret that holds a lease; None: none holds it as we wrote it."""
    secret = view.sound(held)
    return view.known_contents(secret, held) if secret is not None else None


def _whose(view: View, rival: Rival) -> str:
    """Whose lease it is; of another namespace nobody is told more than that there is one."""
    if rival.of.namespace != view.subject.namespace:
        return "a DynamicLease of another namespace"
    return f"DynamicLease {rival.of.namespace}/{rival.of.name}"


def needs_room(view: View, dl: DynamicLease) -> bool:
    """Whether the limit keeps a lease from a DynamicLease that has none, for nobody knows how long.

    A delivered lease that is about to end is as good as none; a revocation that was tried in vain
    may be pending for long.
    """
    known = live(view)
    if len(known) < MOST_LIVE or plan.need(view, dl) is None:
        return False
    held = view.delivered
    if held is not None and not view.edited(held) and not _ending(view, dl, held):
        return False
    return all(r.state != State.REVOKING or (r.revoke and r.revoke.attempts) for r in known)


def _ending(view: View, dl: DynamicLease, held: RecordedLease) -> bool:
    expiry = view.expiry(held)
    fails = plan.unrenewed_until(view, dl, held) is not None
    if expiry is None or (plan.renewal_at(view, dl, held) is not None and not fails):
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
    if view.dl is None or view.dl.deleting:
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


def renewal_blocked_until(view: View, dl: DynamicLease, record: RecordedLease) -> datetime | None:
    """Until when the back-off holds a renewal back: one after something else doesn't."""
    retry = dl.status.retry
    if retry is None or retry.reason not in _NO_RENEWAL:
        return blocked_until(view, dl)
    again = view.known(record).sustain_at
    return again if again is not None and view.now < again else None


@fact
def given_up(view: View, dl: DynamicLease) -> bool:
    """Whether the lease in hand was refused by the Secret, and another one is wanted by now.

    It would be kept alive for a Secret that never takes it, and keep the wanted one from its issue.
    """
    fresh, retry = view.in_hand, dl.status.retry
    if fresh is None or retry is None or dl.spec.suspend or view.named_anywhere(fresh):
        return False
    return about_secret(retry) and plan.outdated(view, dl, fresh) is not None


def about_secret(retry: Retry) -> bool:
    """Whether what failed last was a write of the Secret, not a request to the provider."""
    return retry.reason in _ABOUT_SECRET


@fact
def blocked_until(view: View, dl: DynamicLease) -> datetime | None:
    """Until when the back-off holds tries back; None where nothing does."""
    retry = dl.status.retry
    if retry is None or view.now >= retry.next_at:
        return None
    changed = dl.status.observed_generation != dl.metadata.generation
    if costly(retry.reason) or retry.reason == Reason.UNUSABLE:
        # Each try costs, so only the user's own word makes one, not whatever else happens: a
        # provider may have news each second.
        pressed = plan.rotate_nonce(dl) not in ("", retry.rotate)
    else:
        pressed = view.memory.poked
    return None if changed or pressed else retry.next_at


def spares(view: View, dl: DynamicLease) -> bool:
    """Whether issues that cost are counted: no renewal that fails takes their place."""
    retry = dl.status.retry
    is_costly = retry is not None and costly(retry.reason)
    return is_costly and plan.need(view, dl) is not None


def costly(reason: str) -> bool:
    """Whether each try that fails so can leave something that nobody takes back."""
    return reason == Reason.BACKEND_FAILED
