"""Drift: the Secret isn't as we left it.

Flows in: a view whose facts say that. Flows out: what is to be repaired by a write, and what needs
a new lease, with the moment from which it may be issued. ``plan`` makes a need of the latter.

Changed or deleted data costs a new lease, because values are kept nowhere else. The first time
at once; whoever keeps at it waits longer each time. Labels, annotations and foreign keys are put
right without one.
"""

from datetime import datetime, timedelta
from typing import Final

from leaseholder import pauses
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import Drift, DynamicLease
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import contents, marks
from leaseholder.core.facts import fact
from leaseholder.core.view import View
from leaseholder.ports.events import Note
from leaseholder.ports.secrets import SecretView

WAIT_FIRST: Final = timedelta(minutes=1)
WAIT_MOST: Final = timedelta(hours=1)
QUIET: Final = timedelta(minutes=10)
"""So long after the last wait without a change, the count begins anew."""
REPAIR_FIRST: Final = 2.0
REPAIR_MOST: Final = 300.0
"""Seconds between two repairs of marks that somebody keeps taking off: at first, and at most."""


@fact
def kept(view: View, dl: DynamicLease) -> RecordedLease | None:
    """The lease that workloads rely on: delivered, under a former name, or in a damaged Secret."""
    if view.delivered is not None:
        return view.delivered
    named = [r for r in view.in_state(State.HELD) if view.named_anywhere(r)]
    return named[-1] if named else _bereft(view, dl)


@fact
def damaged(view: View, dl: DynamicLease) -> RecordedLease | None:
    """The lease that was delivered, and whose Secret was changed or is gone."""
    held = kept(view, dl)
    if held is None or view.target_contested or view.sound(held):
        return None
    return held


def _bereft(view: View, dl: DynamicLease) -> RecordedLease | None:
    """The Held lease that status tells and no Secret shows any more.

    Where a Secret of ours says nothing of what it holds, the newest Held one counts: it may be
    replaced, but as long as it may be in use it is kept alive.
    """
    shown, held = dl.status.lease, view.in_state(State.HELD)
    alive = (r for r in held if shown and r.attempt_id == shown.attempt and not view.expired(r))
    return next(alive, held[-1] if held and view.mute else None)


@fact
def waits(view: View, dl: DynamicLease) -> bool:
    """Whether damage isn't healed yet: it must be told first, or somebody keeps at it."""
    harmed, known = damaged(view, dl), dl.status.drift
    if harmed is None:
        return False
    if known is None or known.attempt != harmed.attempt_id:
        return True
    set_back = known.at > view.now + QUIET  # told when the provider's clock was wrong
    return view.now < until(known) and not set_back


def until(known: Drift) -> datetime:
    """Until when no new lease is issued for a damage."""
    return known.at + _wait(known.times)


def _wait(times: int) -> timedelta:
    return pauses.doubled(times - 1, WAIT_FIRST, WAIT_MOST) if times > 1 else timedelta(0)


def counted(view: View, dl: DynamicLease) -> Drift | None:
    """What status says of damages: the last one, and how many came in a row."""
    harmed, known = damaged(view, dl), dl.status.drift
    if harmed is None or (known is not None and known.attempt == harmed.attempt_id):
        return known
    calm = known is None or view.now > until(known) + QUIET
    times = 1 if known is None or calm else known.times + 1
    return Drift(attempt=harmed.attempt_id, times=times, at=view.now)


def former(view: View, dl: DynamicLease) -> tuple[SecretView, ...]:
    """Secrets of ours under names that aren't wanted any more."""
    return tuple(s for s in view.secrets if s.name != dl.secret_name and not s.deleting)


@fact
def misfit(view: View, dl: DynamicLease) -> RecordedLease | None:
    """The delivered record whose Secret has its data, but not as it is wanted now."""
    held, secret = view.delivered, view.target
    if held is None or secret is None or view.source_of(held) is not secret:
        return None
    known = view.known_contents(secret, held)
    return None if known is not None and _fits(dl, held, secret, known) else held


def _fits(
    dl: DynamicLease, held: RecordedLease, secret: SecretView, known: contents.Contents
) -> bool:
    labels = marks.labels(dl, known)
    notes = marks.annotations(dl, held, known, known)
    return (
        contents.is_wanted(dl, known)
        and secret.keys == known.keys
        and all(secret.labels.get(key) == value for key, value in labels.items())
        and all(secret.annotations.get(key) == value for key, value in notes.items())
        and dl.metadata.uid in secret.owner_uids
    )


def keys_changed(view: View, wanted: contents.Contents) -> Note | None:
    """What to say where the provider gives other keys than the last time."""
    before = contents.noted(view.target) if view.target is not None else None
    if before is None or before.provided == wanted.provided:
        return None
    gone = sorted({*before.provided} - {*wanted.provided})
    new = sorted({*wanted.provided} - {*before.provided})
    parts = ([f"gone: {', '.join(gone)}"] if gone else []) + (
        [f"new: {', '.join(new)}"] if new else []
    )
    text = f"the provider gives other keys than before ({'; '.join(parts)}): do workloads know?"
    return Note("Warning", Reason.KEYS_CHANGED, text)


def repair_at(view: View, dl: DynamicLease) -> float:
    """When the next repair may be made (monotonic seconds); what the user changes is no fight."""
    if view.memory.repaired_generation != dl.metadata.generation:
        return view.monotonic
    repairs = view.memory.repairs
    wait = pauses.doubled(repairs, REPAIR_FIRST, REPAIR_MOST) if repairs else 0.0
    return view.memory.repaired + wait
