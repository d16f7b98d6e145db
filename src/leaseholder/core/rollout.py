"""Workloads move to a new lease: each is restarted once, and the replaced lease waits for them.

Flows in: a view with its restart targets. Flows out: the next restart, the renewal of a replaced
lease, and how far the move has come. ``controller.rollouts`` performs them; ``progress`` reads a
workload's own rollout; ``revocations`` asks how long a replaced lease is kept.

A lease that takes the place of a delivered one is *pending* until all its targets run on it; then
its record says so (``rolledOutAt``). Whether a workload was restarted for a lease is written where
its pods are made from: an annotation of the pod template with the record's name. The restart for
another lease serves as well, where it came after the delivery and its stamp is still there.

A stamp that is gone from the template was taken back (``kubectl rollout undo``, a manifest that
replaces everything): pods from before the delivery may run again, or still. The workload is
restarted again, ever more seldom, and the replaced lease lives on.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from leaseholder.api import conditions, durations, names
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import drift, ends, obstacles, plan, progress
from leaseholder.core.actions import Found, Later, Move, Restart, Sustain, soonest
from leaseholder.core.observation import Restarted, TargetView
from leaseholder.core.view import View
from leaseholder.ports.workloads import Workload

GATHER: Final = 5.0
"""Seconds for which a restart waits for other leases of the same workload."""
REFUSED_AGAIN: Final = 60.0
"""Seconds until a restart that was refused is tried again."""
TAKEN_BACK_AGAIN: Final = 60.0
"""At least so many seconds after a restart that was taken back the next one is made."""
PATIENCE: Final = timedelta(minutes=10)
"""So long past its known end a lease that can't be asked about may still live."""
POLL_FIRST: Final = 1.0
POLL_MOST: Final = 30.0
_TAKEN_BACK: Final = (
    "its restart was taken back (an undo, or a manifest without our annotation), pods may use the "
    "replaced lease; it is restarted again"
)
_MOST_KEY: Final = 63
_MOST_NAMED: Final = 3

Verdict = tuple[bool, Reason, str]


def stamp_key(dl: DynamicLease) -> str:
    """The annotation that a DynamicLease stamps workloads with; a long name is cut and hashed."""
    name = dl.metadata.name
    if len(name) > _MOST_KEY:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        name = f"{name[: _MOST_KEY - len(digest) - 1]}-{digest}"
    return f"{names.RESTART}/{name}"


def served(rolled: Mapping[str, Restarted], workload: Workload, since: float) -> bool:
    """Whether this process restarted a workload since then (monotonic), and its pods show it."""
    last = rolled.get(workload.uid)
    return last is not None and last.at >= since and workload.stamps.get(last.key) == last.value


# -- what is to be done


def replaces(view: View, dl: DynamicLease) -> bool:
    """Whether a lease issued now takes the place of one that workloads were given before.

    A condition about rollouts is told from the first delivery on: it speaks of a lease whose
    Secret is gone. A backup restores neither status nor, if somebody took them off, the marks on
    the Secret: then data that says of no lease is that of the one which counts as held.
    """
    if not dl.spec.rotation.restart_targets:
        return False
    known = conditions.find(dl.status.conditions, ConditionType.ROLLOUT_COMPLETE)
    secrets = [*view.secrets, *([view.target] if view.target is not None else [])]
    shown = any(names.ATTEMPT in secret.annotations for secret in secrets)
    shown = shown or drift.kept(view, dl) is not None
    earlier = any(view.inherited(record) for record in view.records)
    return shown or known is not None or earlier or bool(view.in_state(State.SUPERSEDED))


def pending(view: View) -> RecordedLease | None:
    """The delivered lease that workloads have yet to move to."""
    held = view.delivered
    if held is None or view.dl is None or view.dl.deleting:
        return None
    moved = not held.restarts or held.rolled_out_at is not None
    return None if moved else held


def matters(view: View) -> bool:
    """Whether the workloads have to be looked at."""
    dl = view.dl
    if dl is None or dl.deleting or not dl.spec.rotation.restart_targets:
        return False
    return pending(view) is not None or obstacles.needs_room(view, dl)


def once_each(found: Sequence[TargetView]) -> Iterator[TargetView]:
    """The targets with each workload once: 16 selectors may choose the same thousand.

    What a target names stays with it, as it isn't missing.
    """
    named = [one for one in found if one.wanted.name is not None]
    known = {workload.uid for one in named for workload in one.workloads}
    for one in found:
        if one.wanted.name is not None:
            yield one
            continue
        new = tuple(workload for workload in one.workloads if workload.uid not in known)
        known.update(workload.uid for workload in new)
        yield dataclasses.replace(one, workloads=new)


def keeps(view: View, record: RecordedLease) -> bool:
    """Whether a replaced lease lives on, as long as it can, because workloads may still use it."""
    dl = view.dl
    if dl is None or dl.deleting or not dl.spec.rotation.wait_for_rollout:
        return False
    if not dl.spec.rotation.restart_targets:
        return False
    if view.delivered is not None and pending(view) is None:
        return False
    if not view.expired(record):
        return True
    past = view.now - (view.expiry(record) or view.now)
    return past < PATIENCE and plan.renewal_at(view, dl, record) is not None


def kept_until(view: View, record: RecordedLease) -> datetime | None:
    """When it is judged anew whether a replaced lease lives on."""
    end = view.expiry(record)
    return end + PATIENCE if end is not None and view.now >= end else end


def stamped(view: View, record: RecordedLease) -> bool:
    """Whether a workload's stamp names the lease: the pods that run may use it."""
    found = (workload for target in view.targets for workload in target.workloads)
    return any(record.attempt_id in workload.stamps.values() for workload in found)


def restart(view: View, dl: DynamicLease) -> Found:
    """A workload that doesn't move by itself is restarted."""
    held = pending(view)
    if held is None or dl.spec.suspend:
        return None
    since, moments = shown_since(view, held), []
    for workload in _workloads(view):
        if _is_moving(view, dl, held, workload):
            continue
        left = _restart_at(view, workload, since) - view.monotonic
        if left <= 0:
            return Restart(workload, stamp_key(dl), held.attempt_id, since)
        moments.append(view.now + timedelta(seconds=left))
    return soonest(view.now, *moments)


def settle(view: View, dl: DynamicLease) -> Found:
    """The workloads have moved: the record says so, and the replaced leases may go."""
    held = pending(view)
    if held is None:
        return None
    if not any(_troubles(view, dl, held)):
        return Move(held, held.but(rolled_out_at=view.now))
    left = shown_since(view, held) + GATHER - view.monotonic
    issued = held.issued_at or view.own_now(held)
    age = (view.own_now(held) - issued).total_seconds()
    wait = left if left > 0 else min(POLL_MOST, max(POLL_FIRST, age / 8))
    return Later(view.now + timedelta(seconds=wait))


def sustain(view: View, dl: DynamicLease) -> Found:
    """A replaced lease that workloads may still use is renewed."""
    moments = []
    for record in view.in_state(State.SUPERSEDED):
        at = _sustain_at(view, dl, record)
        if at is not None and view.now >= at:
            longer = ends.before_renewal(view, record)
            if longer is not None:
                return Move(record, longer)
            return Sustain(record, view.own_now(record) + view.life(record))
        moments.append(at)
    return soonest(view.now, *moments)


def _is_moving(view: View, dl: DynamicLease, held: RecordedLease, workload: Workload) -> bool:
    """Whether a workload's pods are, or will be, younger than the delivery of the lease."""
    stamped_for = workload.stamps.get(stamp_key(dl))
    return stamped_for == held.attempt_id or served(view.rolled, workload, shown_since(view, held))


def _restart_at(view: View, workload: Workload, since: float) -> float:
    """When a workload is to be restarted (monotonic seconds)."""
    refused, last = view.memory.refused.get(workload.uid), view.rolled.get(workload.uid)
    again = refused.at + REFUSED_AGAIN if refused is not None else since
    if last is not None and last.at >= since:
        again = max(again, last.at + (last.at - since) + TAKEN_BACK_AGAIN)
    return max(since + GATHER, again)


def _sustain_at(view: View, dl: DynamicLease, record: RecordedLease) -> datetime | None:
    """When a replaced lease is to be renewed; None: it isn't kept, or can't be renewed."""
    due = plan.renewal_at(view, dl, record) if keeps(view, record) else None
    if due is None:
        return None
    return max(due, view.known(record).sustain_at or due)


def shown_since(view: View, held: RecordedLease) -> float:
    """The moment (monotonic) by which the Secret showed the lease."""
    since = view.known(held).shown_since
    return since if since is not None else view.monotonic


def _workloads(view: View) -> Iterator[Workload]:
    for target in view.targets:
        yield from target.workloads


# -- what is told


def verdict(view: View, dl: DynamicLease) -> Verdict | None:
    """What RolloutComplete says: whether, why, and a sentence; None where there's nothing new."""
    if view.delivered is None or dl.deleting:
        return None
    held = pending(view)
    troubles = list(_troubles(view, dl, held)) if held is not None else []
    if held is None or not troubles:
        return True, Reason.ROLLED_OUT, ""
    if dl.spec.suspend:
        return False, Reason.ROLLING_OUT, "spec.suspend is true: nothing is restarted"
    reason = min((reason for reason, _ in troubles), key=_GRAVEST.index)
    texts = [text for why, text in troubles if why == reason]
    more = [f"{len(texts) - _MOST_NAMED} more"] if len(texts) > _MOST_NAMED else []
    sentence = "; ".join([*texts[:_MOST_NAMED], *more])
    if reason == Reason.ROLLING_OUT and _overdue(view, dl, held):
        length = dl.spec.rotation.rollout_timeout
        return False, Reason.ROLLOUT_FAILED, f"{sentence}, after more than {length}"
    return False, reason, sentence


_GRAVEST: Final = (
    Reason.RESTART_REFUSED,
    Reason.TARGET_MISSING,
    Reason.ROLLOUT_FAILED,
    Reason.ROLLING_OUT,
)


def _troubles(view: View, dl: DynamicLease, held: RecordedLease) -> Iterator[tuple[Reason, str]]:
    """What keeps the rollout from being complete; nothing: it is."""
    since = shown_since(view, held)
    for target in view.targets:
        if target.refusal:
            yield Reason.RESTART_REFUSED, target.refusal
        elif target.wanted.name is not None and not target.workloads:
            yield Reason.TARGET_MISSING, f"there is no {target.wanted.kind} {target.wanted.name}"
        for workload in target.workloads:
            refused, last = view.memory.refused.get(workload.uid), view.rolled.get(workload.uid)
            if _is_moving(view, dl, held, workload):
                found = progress.judge(workload)
                failed = found.state == "Failed"
                if found.state != "Complete":
                    reason = Reason.ROLLOUT_FAILED if failed else Reason.ROLLING_OUT
                    yield reason, f"{workload}: {found.text}"
            elif refused is not None:
                yield Reason.RESTART_REFUSED, refused.sentence
            elif last is not None and last.at >= since:
                yield Reason.ROLLOUT_FAILED, f"{workload}: {_TAKEN_BACK}"
            else:
                yield Reason.ROLLING_OUT, f"{workload} is still to be restarted"


def _overdue(view: View, dl: DynamicLease, held: RecordedLease) -> bool:
    """Whether the rollout has taken longer than it may, from when it was first told."""
    known = conditions.find(dl.status.conditions, ConditionType.ROLLOUT_COMPLETE)
    if known is None or known.status == "True":
        return False
    issued = view.here(held, held.issued_at or view.own_now(held))
    began = max(known.last_transition_time, issued)
    return view.now >= began + durations.parse(dl.spec.rotation.rollout_timeout)
