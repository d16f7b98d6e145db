"""``records``: what LeaseRecords hold, as an administrator wants to know it.

Before an uninstall or an adoption: whose leases are there, and where. After a deletion: what is
still to be revoked, and why it isn't yet. And the attempt id that ``forget`` takes. No seal key and
no notes of an adapter are among it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from leaseholder.api import base
from leaseholder.api.record import LeaseRecord, RecordedLease, State
from leaseholder.cli import exits, session, tables, views

COLUMNS: Final = (
    "OPERATOR", "NAMESPACE", "NAME", "PROVIDER", "STATE", "LEFT", "ATTEMPT", "MESSAGE",
)  # fmt: skip


async def show(login: dict[str, Any], output: str) -> None:
    """Print all records of an operator's namespace, or of all.

    Raises:
        Failed: they can't be shown.
    """
    async with session.opened(**login) as user:
        found, broken = await user.records()
        if not (found or broken):
            await user.see_namespace()
    for sentence in broken:
        click.echo(exits.printable(sentence), err=True)
    if output != "table":
        tables.values([values_of(one) for one in found], output)
        return
    now = datetime.now(UTC)
    if any(one.leases for one in found):
        first = 1 if user.namespace else 0
        rows = [row[first:] for one in found for row in rows_of(one, now)]
        tables.table(COLUMNS[first:], rows)
    click.echo(exits.printable(summary(found, user.namespace)), err=True)


def rows_of(page: LeaseRecord, now: datetime) -> Iterator[views.Row]:
    """A row for each lease on a record."""
    of = page.subject
    for one in page.leases:
        ends = one.expires_at
        yield (
            page.metadata.namespace,
            of.namespace,
            of.name,
            _provider(one),
            one.state.value,
            views.left(ends - now) if ends is not None else views.NONE,
            one.attempt_id,
            message(one, now),
        )


def _provider(one: RecordedLease) -> str:
    kind, name = one.provider.kind, one.provider.name
    return name if kind == "LeaseProvider" else f"{kind}/{name}"


def message(one: RecordedLease, now: datetime) -> str:
    """What is going on with a lease; empty where it is simply held."""
    match one.state:
        case State.HELD:
            return ""
        case State.ATTEMPT:
            return f"asked for {views.length(now - one.started_at)} ago, not answered yet"
        case State.SUPERSEDED:
            return f"replaced{_revocable(one, now)}"
        case State.REVOKING:
            return _pending(one, now)
        case State.ABANDONED:
            return "given up: see to it at the provider, then kubectl leaseholder forget"


def _revocable(one: RecordedLease, now: datetime) -> str:
    begins = one.revocation.not_before
    if begins is None or begins <= now:
        return "; it waits until workloads have moved"
    return f"; lives for {views.length(begins - now)} more at least"


def _pending(one: RecordedLease, now: datetime) -> str:
    known = one.revocation
    since = f" since {views.length(now - known.since)}" if known.since is not None else ""
    tried = f", tried {_times(known.attempts)}" if known.attempts else ""
    last = f", the last try met {known.last_reason}" if known.last_reason else ""
    due = known.next_at
    again = f", the next is due in {views.left(due - now)}" if due is not None else ""
    return f"to be revoked{since} ({known.reason}){tried}{last}{again}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def summary(found: Sequence[LeaseRecord], namespace: str) -> str:
    """What a table of records comes to, in a line."""
    states = Counter(lease.state for one in found for lease in one.leases)
    where = f" in namespace {namespace}" if namespace else ""
    pages = f"{base.counted(len(found), 'LeaseRecord')}{where}"
    leases = base.counted(states.total(), "lease")
    counts = ", ".join(f"{states[one]} {one}" for one in State if states[one])
    return f"{pages} with {leases}: {counts}." if counts else f"{pages} with {leases}."


def values_of(page: LeaseRecord) -> views.Values:
    """What ``-o json`` prints of a record; absent values are null."""
    return {
        "record": page.name,
        "operatorNamespace": page.metadata.namespace,
        "installation": page.spec.installation,
        "namespace": page.subject.namespace,
        "name": page.subject.name,
        "leases": [_values(one) for one in page.leases],
    }


def _values(one: RecordedLease) -> views.Values:
    known, where = one.revocation, one.provider
    return {
        "attempt": one.attempt_id,
        "state": one.state.value,
        "lease": one.lease_id,
        "provider": {
            "type": where.type,
            "kind": where.kind,
            "namespace": where.namespace,
            "name": where.name,
            "address": where.address,
        },
        "startedAt": base.render_moment(one.started_at),
        "issuedAt": _moment(one.issued_at),
        "expiresAt": _moment(one.expires_at),
        "revocation": {
            "reason": known.reason,
            "since": _moment(known.since),
            "notBefore": _moment(known.not_before),
            "tries": known.attempts,
            "nextAt": _moment(known.next_at),
            "lastReason": known.last_reason,
        }
        if one.revoke is not None
        else None,
    }


def _moment(known: datetime | None) -> str | None:
    return base.render_moment(known) if known is not None else None
