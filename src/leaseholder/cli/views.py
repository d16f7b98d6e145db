"""DynamicLeases and providers as the command shows them: plain values, and rows of tables.

``-o json`` prints the plain values, so their names are a contract (docs/cli.md). No credentials are
among them: the command doesn't read Secrets.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from leaseholder.api import base, conditions, lease, names, provider, reasons
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.cli import story
from leaseholder.cli.event import Event

Values = dict[str, Any]
Row = Sequence[str]
NONE: Final = "-"
LEASE_COLUMNS: Final = (
    "NAMESPACE", "NAME", "READY", "PROVIDER", "LEFT", "NEXT", "ROLLOUT", "PENDING", "MESSAGE",
)  # fmt: skip
PROVIDER_COLUMNS: Final = (
    "NAMESPACE", "NAME", "KIND", "TYPE", "READY", "REASON", "VERSION", "CLOCK", "URL", "MESSAGE",
)  # fmt: skip
CONDITION_COLUMNS: Final = ("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE")
MARK_COLUMNS: Final = ("TIME", "WHAT", "MESSAGE")
EVENT_COLUMNS: Final = ("LAST", "TYPE", "REASON", "COUNT", "MESSAGE")
_LONGEST: Final = 200
"""Characters of what is wrong in the table; ``show`` has the whole."""
CALM: Final = frozenset(
    {
        *(Reason.READY, Reason.PROGRESSING, Reason.PENDING, Reason.DELETING, Reason.SUSPENDED),
        *(Reason.ROLLING_OUT, Reason.REVOCATION_PENDING),
    }
)
"""Reasons that nobody has to do anything about."""


def is_ready(dl: lease.DynamicLease) -> bool:
    """Whether the Secret holds credentials that live, as far as status says."""
    return conditions.is_true(dl.status.conditions, ConditionType.READY)


def values_of(dl: lease.DynamicLease) -> Values:
    """What ``list -o json`` prints of a DynamicLease; absent values are null."""
    held, ref, target = dl.status.lease, dl.spec.provider_ref, dl.status.target
    ready, pending = (
        _condition(dl, ConditionType.READY),
        _condition(dl, ConditionType.REVOCATION_PENDING),
    )
    return {
        "namespace": dl.metadata.namespace,
        "name": dl.metadata.name,
        "ready": is_ready(dl),
        "reason": ready.reason if ready is not None else Reason.PENDING.value,
        "message": ready.message if ready is not None else "",
        "provider": {"kind": ref.kind, "name": ref.name},
        "secret": {"name": dl.secret_name, "keys": list(target.keys) if target else []},
        "lease": held.dump() if held is not None else None,
        "pendingRevocation": {
            "pending": pending is not None and pending.status == "True",
            "since": _rendered(pending) if pending and pending.status == "True" else None,
            "reason": pending.reason if pending is not None else "",
            "message": pending.message if pending is not None else "",
        },
        "retry": dl.status.retry.dump() if dl.status.retry is not None else None,
        "handled": dl.status.handled.dump() if dl.status.handled is not None else None,
        "conditions": [one.dump() for one in dl.status.conditions],
    }


def values_of_one(dl: lease.DynamicLease, events: Sequence[Event], now: datetime) -> Values:
    """What ``show -o json`` prints: the same, with the time line and the events."""
    line = [
        {"time": base.render_moment(one.at), "what": one.what, "message": one.text}
        for one in story.marks(dl, events, now)
    ]
    known = [
        {
            "last": base.render_moment(one.last) if one.last is not None else None,
            "type": one.type,
            "reason": one.reason,
            "count": one.count,
            "message": one.message,
        }
        for one in events
    ]
    return {**values_of(dl), "timeLine": line, "events": known}


def row_of(dl: lease.DynamicLease, now: datetime) -> Row:
    """A row of the table of DynamicLeases."""
    held, ready = dl.status.lease, _condition(dl, ConditionType.READY)
    pending = _condition(dl, ConditionType.REVOCATION_PENDING)
    wrong = trouble(dl)
    return (
        dl.metadata.namespace,
        dl.metadata.name,
        ready.status if ready is not None else "Unknown",
        _provider(dl),
        left(held.expires_at - now) if held is not None else NONE,
        next_step(held, now) if held is not None else NONE,
        _rollout(dl),
        pending.reason if pending is not None and pending.status == "True" else NONE,
        wrong if len(wrong) <= _LONGEST else f"{wrong[:_LONGEST]}...",
    )


def trouble(dl: lease.DynamicLease) -> str:
    """What is wrong with a DynamicLease, or odd, the worst first; empty where nothing is."""
    ready = _condition(dl, ConditionType.READY)
    if ready is None or ready.status != "True" or ready.reason != Reason.READY:
        return sentence(ready) if ready is not None else Reason.PENDING.value
    rollout = _condition(dl, ConditionType.ROLLOUT_COMPLETE)
    if rollout is not None and rollout.status == "False" and rollout.reason not in CALM:
        return sentence(rollout)
    pending = _condition(dl, ConditionType.REVOCATION_PENDING)
    if pending is not None and pending.status == "True" and pending.reason not in CALM:
        return sentence(pending)
    return ""


def summary(found: Sequence[lease.DynamicLease], now: datetime) -> str:
    """What a table of DynamicLeases comes to, in a line."""
    unready = sum(not is_ready(dl) for dl in found)
    pending = sum(
        conditions.is_true(dl.status.conditions, ConditionType.REVOCATION_PENDING) for dl in found
    )
    parts = [
        base.counted(len(found), "DynamicLease"),
        f"{unready} not Ready",
        f"{pending} with pending revocations",
    ]
    ends = [(dl.status.lease.expires_at, dl) for dl in found if dl.status.lease is not None]
    if not ends:
        return f"{', '.join(parts)}."
    end, nearest = min(ends, key=lambda one: one[0])
    named = f"{nearest.metadata.namespace}/{nearest.metadata.name}"
    return f"{', '.join(parts)}. The nearest end: {named} in {left(end - now)}."


def details_of(dl: lease.DynamicLease, now: datetime) -> list[tuple[str, str]]:
    """How ``show`` begins: labels and sentences, in order."""
    held, ready = dl.status.lease, _condition(dl, ConditionType.READY)
    verdict = f"{ready.status}, {ready.reason}" if ready is not None else "not checked yet"
    found = [
        ("DynamicLease", f"{dl.metadata.namespace}/{dl.metadata.name}"),
        ("Ready", f"{verdict}: {ready.message}" if ready and ready.message else verdict),
        ("Provider", f"{dl.spec.provider_ref.kind} {dl.spec.provider_ref.name}"),
        ("Secret", _secret(dl)),
    ]
    if held is not None:
        renewed = f"{held.renewals} times" if held.renewals != 1 else "once"
        found += [
            ("Lease", held.id),
            ("Renewed", renewed),
            ("Left", left(held.expires_at - now)),
            ("Next", next_step(held, now)),
        ]
    retry = dl.status.retry
    if retry is not None:
        when = left(retry.next_at - now)
        failed = "once" if retry.failures == 1 else f"{retry.failures} times"
        found.append(("Retry", f"failed {failed} ({retry.reason}); the next try is due in {when}"))
    if dl.spec.suspend:
        found.append(("Suspended", "no lease is issued, replaced or repaired"))
    found += [("Waiting", f"{one}: the operator hasn't acted on it yet") for one in waiting(dl)]
    known = conditions.reason_of(ready.reason) if ready is not None else Reason.PENDING
    if known not in CALM:
        found.append(("Do", unmarked(reasons.entry(known).remedy)))
    return found


def row_of_condition(known: conditions.Condition, now: datetime) -> Row:
    """A row of the table of conditions."""
    since = _ago(now - known.last_transition_time)
    return known.type, known.status, known.reason, since, known.message


def values_of_provider(known: provider.AnyProvider) -> Values:
    """What ``providers -o json`` prints of a provider."""
    status = known.status
    ready = conditions.find(status.conditions, ConditionType.READY)
    return {
        "kind": known.KIND,
        "namespace": known.metadata.namespace,
        "name": known.metadata.name,
        "type": provider.type_of(known.spec),
        "url": status.url,
        "ready": ready is not None and ready.status == "True",
        "reason": ready.reason if ready is not None else Reason.PENDING.value,
        "message": ready.message if ready is not None else "",
        "serverVersion": status.server_version,
        "clockSkewSeconds": status.clock_skew_seconds,
        "capabilities": list(status.capabilities),
    }


def row_of_provider(known: provider.AnyProvider) -> Row:
    """A row of the table of providers."""
    shown = values_of_provider(known)
    skew = shown["clockSkewSeconds"]
    return (
        shown["namespace"] or NONE,
        shown["name"],
        shown["kind"],
        shown["type"] or NONE,
        str(shown["ready"]),
        shown["reason"],
        shown["serverVersion"] or NONE,
        f"{skew:+d}s" if skew is not None else NONE,
        shown["url"] or NONE,
        "" if shown["reason"] == Reason.READY else shown["message"],
    )


def row_of_event(event: Event, now: datetime) -> Row:
    """A row of the table of events."""
    last = _ago(now - event.last) if event.last is not None else NONE
    return last, event.type, event.reason, str(event.count), event.message


def waiting(dl: lease.DynamicLease) -> list[str]:
    """The commands that were given and not acted on yet."""
    handled = dl.status.handled
    if handled is None:
        return []
    known = (
        (names.ROTATE, handled.rotate),
        (names.RENEW, handled.renew),
        (names.FORCE, handled.force),
    )
    return [name for name, done in known if dl.command(name) not in ("", done)]


def next_step(held: lease.LeaseStatus, now: datetime) -> str:
    """What becomes of a lease next, and when."""
    if held.renew_at is None:
        return NONE
    what = "renew" if held.strategy == "Renew" else "replace"
    due = held.renew_at - now
    if due.total_seconds() > 0:
        return f"{what} in {length(due)}"
    return f"{what} now" if due.total_seconds() > -60 else f"{what}, due {_ago(-due)}"


def left(time: timedelta) -> str:
    """Time that is left; none where it is over."""
    return length(time) if time.total_seconds() > 0 else "0s"


def length(time: timedelta) -> str:
    """A length of time in its two largest units: ``3d 4h``, ``59m 51s``."""
    seconds = max(0, int(time.total_seconds()))
    parts = list[str]()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def unmarked(markdown: str) -> str:
    """Markdown without its links and marks, where pages can't be opened."""
    return re.sub(r"\[([^]]*)\]\(([^)]*)\)", r"\1 (docs/\2)", markdown).replace("`", "")


def _ago(time: timedelta) -> str:
    return f"{length(time)} ago"


def _provider(dl: lease.DynamicLease) -> str:
    ref = dl.spec.provider_ref
    return ref.name if ref.kind == "LeaseProvider" else f"{ref.kind}/{ref.name}"


def _secret(dl: lease.DynamicLease) -> str:
    target = dl.status.target
    keys = f" ({', '.join(target.keys)})" if target is not None and target.keys else ""
    return f"{dl.secret_name}{keys}"


def _rollout(dl: lease.DynamicLease) -> str:
    known = _condition(dl, ConditionType.ROLLOUT_COMPLETE)
    if known is None:
        return NONE
    return "complete" if known.status == "True" else known.reason


def sentence(known: conditions.Condition) -> str:
    """A condition's reason, and its message where it has one."""
    return f"{known.reason}: {known.message}" if known.message else known.reason


def _condition(dl: lease.DynamicLease, kind: ConditionType) -> conditions.Condition | None:
    return conditions.find(dl.status.conditions, kind)


def _rendered(known: conditions.Condition) -> str:
    return base.render_moment(known.last_transition_time)
