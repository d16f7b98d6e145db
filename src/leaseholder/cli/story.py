"""The life of a DynamicLease's leases, as far as status and events say it.

Events last for an hour, so of leases that were replaced longer ago nothing is left. The
operator's own sentences (controller/chronicle.py) say which lease an event is about; the lease
that the Secret holds is status's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from leaseholder.api import base, conditions, durations, lease
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.cli.event import Event

_WORDS: Final = {
    Reason.ISSUED: "issued",
    Reason.RENEWED: "renewed",
    Reason.RESTARTED: "restarted",
    Reason.REVOKED: "revoked",
    Reason.ORPHANED: "let go",
}
"""Events about leases, in one word."""
_ABOUT: Final = re.compile(r"\blease (\S+?):?(?: |$)")
_MOST: Final = 4
"""So many replaced leases are drawn; the newest ones."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in the life of the leases; ``text`` may be empty."""

    at: datetime
    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """The life of one lease."""

    lease_id: str
    issued: datetime
    replaced: datetime | None
    """When the next lease took its place; None: the Secret holds it."""
    end: datetime
    """When it was revoked, or ends if nothing happens; at least the overlap."""


def marks(dl: lease.DynamicLease, events: Sequence[Event], now: datetime) -> list[Mark]:
    """What happened and what is planned, the oldest first; ``now`` stands among them."""
    found = [
        Mark(one.last, _WORDS[Reason(one.reason)], one.message)
        for one in events
        if is_of_a_lease(one) and one.last is not None
    ]
    held = dl.status.lease
    if held is not None:
        if not any(one.what == "issued" and held.id in one.text for one in found):
            found.append(Mark(held.issued_at, "issued", f"lease {held.id}"))
        found += _planned(dl, held, events, now)
    moved = conditions.find(dl.status.conditions, ConditionType.ROLLOUT_COMPLETE)
    if moved is not None and moved.status == "True":
        found.append(Mark(moved.last_transition_time, "rolled out", moved.message))
    present = held.id if held is not None else ""
    # Events know whole seconds: what comes of a lease comes after its issue, and the one that is
    # held was issued last.
    return sorted(
        [*found, Mark(now, "now", "")],
        key=lambda one: (one.at, one.what != "issued", present in one.text, one.what == "now"),
    )


def _planned(
    dl: lease.DynamicLease, held: lease.LeaseStatus, events: Sequence[Event], now: datetime
) -> list[Mark]:
    ends = "unless it is renewed" if held.strategy == "Renew" else "revoked before, when replaced"
    planned = [Mark(held.expires_at, "ends", ends)]
    if held.renew_at is not None:
        planned.append(
            Mark(held.renew_at, "renew" if held.strategy == "Renew" else "replace", "planned")
        )
    if dl.spec.rotation.max_age is not None:
        aged = held.issued_at + durations.parse(dl.spec.rotation.max_age)
        planned.append(Mark(aged, "replace", "at the latest: rotation.maxAge"))
    former = [one for one in spans(dl, events, now) if one.replaced is not None and one.end > now]
    text = "of lease {} is over: it may be revoked"
    return [*planned, *(Mark(one.end, "overlap", text.format(one.lease_id)) for one in former)]


def spans(dl: lease.DynamicLease, events: Sequence[Event], now: datetime) -> list[Span]:
    """The lives of the leases, the one that the Secret holds last; none where there is none."""
    held = dl.status.lease
    if held is None:
        return []
    overlap = durations.parse(dl.spec.rotation.overlap)
    gone = {_about(one): one.last for one in events if one.reason == Reason.REVOKED and one.last}
    issues = [(_about(one), one.last) for one in events if one.reason == Reason.ISSUED]
    former = [(id_, at) for id_, at in issues if at is not None and id_ != held.id]
    present = next((at for id_, at in issues if at is not None and id_ == held.id), held.issued_at)
    former = [(id_, at) for id_, at in former if at <= present][-_MOST:]
    nexts = [*(at for _, at in former), held.issued_at][1:]
    found = [
        Span(id_, at, after, gone.get(id_) or max(after + overlap, now))
        for (id_, at), after in zip(former, nexts, strict=True)
    ]
    return [*found, Span(held.id, held.issued_at, None, held.expires_at)]


def is_of_a_lease(event: Event) -> bool:
    """Whether an event stands in the time line."""
    return event.reason in _WORDS


def _about(event: Event) -> str:
    """The id of the lease that an event of ours names; empty where it names none."""
    found = _ABOUT.search(event.message)
    return found[1] if found is not None else ""


def drawn(known: Sequence[Span], plan: datetime | None, now: datetime, width: int) -> list[str]:
    """Each life as a line on one axis: past (=), overlap (~), now (#), plan (|), what is left (-).

    Args:
        known: the lives, the present one last.
        plan: when the present lease is to be renewed or replaced.
        now: the moment that is marked.
        width: characters of a line.
    """
    if not known:
        return []
    start, end = axis(known)
    whole = max((end - start).total_seconds(), 1.0)

    def place(moment: datetime) -> int:
        share = (moment - start).total_seconds() / whole
        return round(min(1.0, max(0.0, share)) * (width - 1))

    lines = []
    for one in known:
        line = [" "] * width
        for at in range(place(one.issued), place(one.end) + 1):
            over = one.replaced is not None and at > place(one.replaced)
            line[at] = "~" if over else "-" if at > place(now) else "="
        if one is known[-1]:
            if plan is not None:
                line[place(plan)] = "|"
            line[place(now)] = "#"
        lines.append(f"[{''.join(line)}]")
    return lines


def axis(known: Sequence[Span]) -> tuple[datetime, datetime]:
    """From when to when lives are drawn: at most one and a half lives of the present lease."""
    present = known[-1]
    life = max(present.end - present.issued, timedelta(seconds=1))
    return max(known[0].issued, present.issued - life / 2), present.end


def rendered(mark: Mark) -> tuple[str, str, str]:
    """A row of the time line."""
    return base.render_moment(mark.at), mark.what, mark.text
