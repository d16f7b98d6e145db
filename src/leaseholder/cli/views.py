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
from leaseholder.cli.session import Event

Values = dict[str, Any]
Row = Sequence[str]
NONE: Final = "-"
LEASE_COLUMNS: Final = (
    "NAMESPACE", "NAME", "READY", "REASON", "PROVIDER", "SECRET", "LEFT", "NEXT", "PENDING",
)  # fmt: skip
PROVIDER_COLUMNS: Final = (
    "NAMESPACE", "NAME", "KIND", "TYPE", "READY", "REASON", "VERSION", "CLOCK", "URL",
)  # fmt: skip
EVENT_COLUMNS: Final = ("LAST", "TYPE", "REASON", "COUNT", "MESSAGE")
_LIFE: Final = 40
"""Characters of a lease's life."""
_CALM: Final = frozenset(
    {Reason.READY, Reason.PROGRESSING, Reason.PENDING, Reason.DELETING, Reason.SUSPENDED}
)


def is_ready(dl: lease.DynamicLease) -> bool:
    """Whether the Secret holds credentials that live, as far as status says."""
    return conditions.is_true(dl.status.conditions, ConditionType.READY)


def values_of(dl: lease.DynamicLease) -> Values:
    """What ``status -o json`` prints of a DynamicLease; absent values are null."""
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


def row_of(dl: lease.DynamicLease, now: datetime) -> Row:
    """A row of the table of DynamicLeases."""
    held, pending = dl.status.lease, _condition(dl, ConditionType.REVOCATION_PENDING)
    ready = _condition(dl, ConditionType.READY)
    is_pending = pending is not None and pending.status == "True"
    return (
        dl.metadata.namespace,
        dl.metadata.name,
        ready.status if ready is not None else "Unknown",
        ready.reason if ready is not None else Reason.PENDING.value,
        _provider(dl),
        dl.secret_name,
        left(held.expires_at - now) if held is not None else NONE,
        next_step(held, now) if held is not None else NONE,
        pending.reason if pending is not None and is_pending else NONE,
    )


def details_of(dl: lease.DynamicLease, now: datetime) -> list[tuple[str, str]]:
    """What ``status NAME`` shows: labels and sentences, in order."""
    held, ready = dl.status.lease, _condition(dl, ConditionType.READY)
    verdict = f"{ready.status}, {ready.reason}" if ready is not None else "not looked at yet"
    found = [
        ("DynamicLease", f"{dl.metadata.namespace}/{dl.metadata.name}"),
        ("Ready", f"{verdict}: {ready.message}" if ready and ready.message else verdict),
        ("Provider", f"{dl.spec.provider_ref.kind} {dl.spec.provider_ref.name}"),
        ("Secret", _secret(dl)),
    ]
    if held is not None:
        found += [
            ("Lease", held.id),
            ("Issued", f"{base.render_moment(held.issued_at)}, {_ago(now - held.issued_at)}"),
            ("Renewed", f"{held.renewals} times" if held.renewals != 1 else "once"),
            ("Ends", f"{base.render_moment(held.expires_at)}, {left(held.expires_at - now)} left"),
            ("Next", next_step(held, now)),
            ("Life", life(held, now)),
        ]
    for kind in (ConditionType.ROLLOUT_COMPLETE, ConditionType.REVOCATION_PENDING):
        told = _condition(dl, kind)
        if told is not None and (told.message or told.status != "False"):
            found.append((kind.value, f"{told.status}, {told.reason}: {told.message}".rstrip(": ")))
    retry = dl.status.retry
    if retry is not None:
        when = left(retry.next_at - now)
        failed = "once" if retry.failures == 1 else f"{retry.failures} times"
        found.append(("Retry", f"failed {failed} ({retry.reason}); the next try is due in {when}"))
    if dl.spec.suspend:
        found.append(("Suspended", "no lease is issued, replaced or repaired"))
    found += [("Waiting", f"{one}: the operator hasn't acted on it yet") for one in waiting(dl)]
    known = conditions.reason_of(ready.reason) if ready is not None else Reason.PENDING
    if known not in _CALM:
        found.append(("Do", unmarked(reasons.entry(known).remedy)))
    return found


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


def life(held: lease.LeaseStatus, now: datetime) -> str:
    """A lease's life as a line: what is over, now (#), the next step (|), what is left."""
    whole = (held.expires_at - held.issued_at).total_seconds()

    def place(moment: datetime) -> int:
        share = (moment - held.issued_at).total_seconds() / whole if whole > 0 else 1.0
        return round(min(1.0, max(0.0, share)) * (_LIFE - 1))

    line = ["="] * place(now) + ["-"] * (_LIFE - place(now))
    if held.renew_at is not None:
        line[place(held.renew_at)] = "|"
    line[place(now)] = "#"
    return f"[{''.join(line)}]"


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


def _condition(dl: lease.DynamicLease, kind: ConditionType) -> conditions.Condition | None:
    return conditions.find(dl.status.conditions, kind)


def _rendered(known: conditions.Condition) -> str:
    return base.render_moment(known.last_transition_time)
