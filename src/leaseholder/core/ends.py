"""When a lease ends by itself, and until when it counts: bounded by what was ever asked for.

Flows in: a view and a lease, or a provider's answer. Flows out: the end that goes on record, and
the one until which a lease may live. ``obstacles`` counts leases by it, ``revocations`` gives up by
it.

A provider may say that a lease ends in a thousand years, or that it is over. Neither decides what
is kept: the end that goes on record when a lease is to be revoked isn't later than what we asked
for, and a lease whose end isn't confirmed counts until then, whatever the provider says.
"""

from datetime import datetime, timedelta
from typing import Final

from leaseholder.api import durations
from leaseholder.api.record import RecordedLease, State
from leaseholder.core.view import View
from leaseholder.ports.provider import Lease

UNKNOWN_LIFE: Final = timedelta(days=32)
"""The longest life of a lease for which none was asked: Vault's default maximum."""
LONGEST_LET_GO: Final = timedelta(days=366)
"""Servers give leases of months where nobody asks for less."""
MOST_AHEAD: Final = timedelta(minutes=30)
"""A lease whose moments are further from the provider's ``Date`` can't be judged."""


def asked_life(view: View, record: RecordedLease) -> timedelta:
    """The longest life that was asked for, as on record; where none was, what the provider gave."""
    if record.ttl_seconds is not None:
        return timedelta(seconds=record.ttl_seconds)
    given = view.granted(record)
    return min(given, UNKNOWN_LIFE) if given > timedelta(0) else UNKNOWN_LIFE


def before_renewal(view: View, record: RecordedLease) -> RecordedLease | None:
    """The entry that has to be on record before a renewal asks for a longer life; None: it is.

    The ttl may be lowered again, and status lost: the lease lives to the end that was asked for.
    """
    ttl = view.dl.spec.ttl if view.dl is not None else None
    if ttl is None or durations.parse(ttl) <= asked_life(view, record):
        return None
    return record.but(ttl_seconds=int(durations.parse(ttl).total_seconds()))


def latest(record: RecordedLease, lease: Lease) -> datetime:
    """The latest end of a lease that was never renewed: as it says, if that was asked for.

    Its own clock may be off by as much as may be made up for.
    """
    given = lease.expires_at - lease.issued_at
    without = min(given, UNKNOWN_LIFE) if given > timedelta(0) else UNKNOWN_LIFE
    asked = timedelta(seconds=record.ttl_seconds) if record.ttl_seconds is not None else without
    return min(lease.expires_at, record.deadline + asked + MOST_AHEAD)


def bounded(view: View, record: RecordedLease) -> datetime | None:
    """The end of a lease that goes on record when it is to be revoked, by its own clock."""
    stated = view.stated_expiry(record)
    latest = view.own_now(record) + asked_life(view, record)
    return None if stated is None else min(stated, latest)


def let_go(view: View, record: RecordedLease) -> datetime | None:
    """Until when a record tells of a lease that nobody holds any more, by its own clock.

    As long as the provider says, if that isn't more than a year or what was asked for: it may say a
    thousand years.
    """
    stated = view.stated_expiry(record)
    longest = view.own_now(record) + max(asked_life(view, record), LONGEST_LET_GO)
    return None if stated is None else min(stated, longest)


def last_asked(view: View, record: RecordedLease) -> datetime:
    """The latest end that was ever asked for a lease which is to be revoked.

    What the provider says can only be later: the record has it ``bounded``.
    """
    since, issued = record.revocation.since, record.issued_at
    shown = view.here(record, issued) if issued is not None else None
    began = since or shown or view.by_date(record, record.deadline)
    return max(view.expiry(record) or began, began + asked_life(view, record))


def end(view: View, record: RecordedLease, settle: timedelta) -> datetime:
    """When a lease ends by itself: its expiry, or the latest that an unclear issue can have."""
    latest = view.by_date(record, record.deadline) + settle + asked_life(view, record)
    return view.expiry(record) or latest


def may_live(view: View, record: RecordedLease) -> bool:
    """Whether the lease counts among those that may live."""
    if record.state is State.ABANDONED:
        return False
    return record.state is not State.REVOKING or view.now < last_asked(view, record)
