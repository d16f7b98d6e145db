"""Renewals: how much to add, and what became of the lease.

Phase adds to the expiry that there is, up to the dynamic secret's maximum over the lease's whole
life. It doesn't cap: too much is refused, with the seconds that are left.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from leaseholder import errors, ports
from leaseholder.api import base
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import answers
from leaseholder.providers.phase import api, leases, refusals

LEAST: Final = 1
"""Seconds; the server would even take none, and less than none. P4: it isn't the shortest ttl, or a
lease of 60 s would never be renewed."""
_EXPIRY: Final = re.compile(r"updated expiry: ([0-9T:. +Z-]{10,40})$", re.IGNORECASE)


def renewal(lease: ports.Lease, until: datetime) -> int:
    """Seconds to add so that ``lease`` ends at ``until`` or its latest.

    Raises:
        CannotRenew: nothing sensible is left to add.
    """
    wanted, latest = _seconds(until - lease.expires_at), leases.latest(lease)
    if latest is not None and latest - lease.expires_at < timedelta(seconds=LEAST):
        raise _at_its_end(lease)
    if wanted < LEAST:
        sentence = "the lease ends then already: there is nothing to add"
        raise errors.CannotRenew(Reason.RENEWAL_TOO_SOON, sentence, latest=latest)
    return wanted if latest is None else min(wanted, _seconds(latest - lease.expires_at))


def not_renewed(answer: answers.Answer, lease: ports.Lease) -> errors.ProviderError:
    """What a 400 says: at its maximum, past its end, or revoked."""
    text = refusals.text_of(answer) or ""
    who = refusals.ERRORS.stated(answer)
    if "already been revoked" in text:
        return errors.LeaseGone(Reason.GONE, f"{who}: the lease is revoked", certain=True)
    if refusals.renewal_left(answer) is not None:
        return _at_its_end(lease)
    if "has expired" in text:
        sentence = f"{who}: the lease is past its end, and can only be replaced"
        return errors.CannotRenew(Reason.CANNOT_RENEW, sentence, latest=lease.expires_at)
    return refusals.refusal(answer, lease.source, effect=True)


def expiry_in(answer: api.Message) -> datetime | None:
    """The new expiry, which only prose tells; None where it doesn't."""
    found = _EXPIRY.search(answer.message)
    try:
        moment = datetime.fromisoformat(found[1]) if found else None
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) if moment is not None else None


def renewed(lease: ports.Lease, expires_at: datetime) -> ports.Lease:
    """``lease`` with its new end."""
    return ports.Lease(
        id=lease.id,
        source=lease.source,
        issued_at=lease.issued_at,
        expires_at=base.whole_second(expires_at),
        latest=leases.latest(lease),
        handle=lease.handle,
    )


def _at_its_end(lease: ports.Lease) -> errors.CannotRenew:
    sentence = "the lease is at the end of the longest life that Phase gives it"
    return errors.CannotRenew(Reason.CANNOT_RENEW, sentence, latest=lease.expires_at)


def _seconds(length: timedelta) -> int:
    return int(length.total_seconds())
