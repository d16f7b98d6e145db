"""How long a lease may live: what ``ttl`` may ask for, and how far a renewal may go.

An adapter knows the bounds of its server and of a lease; what follows from them is the same for
all, and so are the sentences. Lengths are seconds, moments UTC.
"""

import contextlib
from datetime import datetime, timedelta
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import durations
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Lease

MAXIMUM: Final = "maxTTL"
"""The note of a lease's longest life, from its issue on, where an adapter keeps it."""


def length(seconds: int) -> str:
    """So many seconds as one writes them in ``ttl``."""
    return durations.render(timedelta(seconds=seconds))


def which_is(longest: int | None) -> str:
    """Behind a word for a bound: how long that is, where it is known."""
    return f", which is {length(longest)}" if longest is not None else ""


def refuse_too_short(ttl: int | None, least: int, who: str) -> None:
    """See that a provider takes so short a ttl.

    Raises:
        Invalid: it doesn't.
    """
    if ttl is not None and ttl < least:
        sentence = f"{who} takes no ttl below {length(least)}: write a longer one"
        raise errors.Invalid(Reason.INVALID, sentence)


def too_long(
    ttl: int | str, longest: int, *, than: str, advice: str = "write a shorter one in ttl"
) -> errors.Invalid:
    """The error for a ttl, or for what it is called, that is longer than ``than``."""
    asked = f"a ttl of {length(ttl)}" if isinstance(ttl, int) else ttl
    sentence = f"{asked} is longer than {than}{which_is(longest)}: {advice}"
    return errors.Invalid(Reason.TTL_TOO_LONG, sentence)


def latest(lease: Lease) -> datetime | None:
    """The end of a lease's longest life; from its notes where a record brought it back."""
    return lease.latest or after(lease.issued_at, lease.handle.get(MAXIMUM))


def after(start: datetime, maximum: Any) -> datetime | None:
    """The end of a longest life that began at ``start``; None where it isn't known, or endless."""
    with contextlib.suppress(OverflowError):
        return start + timedelta(seconds=maximum) if isinstance(maximum, int) else None
    return None


def renewal(
    lease: Lease,
    until: datetime,
    *,
    latest: datetime | None,
    who: str,
    least: int = 1,
    margin: int = 0,
) -> int:
    """Seconds that a lease is to live longer: to ``until``, or to its latest if that is earlier.

    Args:
        lease: as it is now.
        until: when it is to end.
        latest: when it has to.
        who: the provider.
        least: seconds that a renewal has to add.
        margin: seconds that it stays below the latest.

    Raises:
        CannotRenew: it is at its end, or it is too soon.
    """
    wanted = left = int((until - lease.expires_at).total_seconds())
    if latest is not None:
        left = int((latest - lease.expires_at).total_seconds()) - margin
    if latest is not None and left < least and wanted > 0:
        raise at_its_end(lease, who)
    if wanted < least:
        lives_on = "the lease lives longer than that"
        said = lives_on if least == 1 else f"{who} renews by {length(least)} or more"
        sentence = f"{said}: it is too soon"
        raise errors.CannotRenew(Reason.RENEWAL_TOO_SOON, sentence, latest=latest)
    return min(wanted, left)


def at_its_end(lease: Lease, who: str) -> errors.CannotRenew:
    """The error for a lease that can't live longer than it does."""
    return cannot_renew(lease, f"the lease is at the end of the longest life that {who} gives it")


def cannot_renew(lease: Lease, sentence: str) -> errors.CannotRenew:
    """The error for a lease that can only be replaced."""
    return errors.CannotRenew(Reason.CANNOT_RENEW, sentence, latest=lease.expires_at)
