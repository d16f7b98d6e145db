"""Phase's leases made ours: moments cut to the second, notes for the record, marks, and renewals.

A lease carries nothing of ours but the ttl that was asked for. So where a lease of a lost answer is
to be found again, the ttl is shortened by some seconds that come of the attempt's random id: with
owner and time this tells it from the others.

A renewal adds to the expiry that there is, up to the dynamic secret's maximum over the lease's
whole life. Phase doesn't cap: too much is refused, with the seconds that are left.
"""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import base
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Attempt, Issued, Lease
from leaseholder.providers.kit import answers, lifetimes
from leaseholder.providers.phase import api, refusals
from leaseholder.secrecy import Credentials

WHO: Final = "Phase"
_ENDED: Final = frozenset({"expired", "revoked"})
_MOST: Final = 60
"""A fingerprint costs so many seconds of a lease's life at most …"""
_SHARE: Final = 20
"""… and one part in so many."""
_BEFORE: Final = timedelta(seconds=2)
"""The provider's clock is known in whole seconds."""
LEAST: Final = 1
"""Seconds; the server would even take none, and less than none. P4: it isn't the shortest ttl, or a
lease of 60 s would never be renewed."""
_EXPIRY: Final = re.compile(r"updated expiry: ([0-9T:. +Z-]{10,40})$", re.IGNORECASE)


def ttl_of(attempt: Attempt, secret: api.PhaseDynamicSecret, least: int) -> int:
    """The ttl that an attempt means, in seconds; absent: the dynamic secret's default.

    Raises:
        Invalid: Phase doesn't give it.
    """
    ttl, longest = attempt.ttl_seconds, _seconds(secret.max_ttl)
    asked = ttl if ttl is not None else _seconds(secret.default_ttl)
    lifetimes.refuse_too_short(asked, least, WHO)
    if asked > longest:
        said = ttl if ttl is not None else "the dynamic secret's default ttl"
        raise lifetimes.too_long(said, longest, than="the dynamic secret's maximum")
    return asked


def fingerprinted(attempt_id: str, ttl: int, least: int) -> int:
    """``ttl`` less the attempt's fingerprint, in seconds; never below ``least``."""
    most = min(_MOST, ttl // _SHARE, ttl - least)
    if most < 1:
        return ttl
    digest = hashlib.sha256(attempt_id.encode()).digest()
    return ttl - 1 - int.from_bytes(digest[:8]) % most


def ended(lease: api.PhaseLease) -> bool:
    """Whether the server took the credentials back, whatever expiry it shows."""
    return lease.status.lower() in _ENDED or lease.revoked_at is not None


def shifted(attempt: Attempt, ahead: int) -> Attempt:
    """An attempt with its moments by the clock of its leases, which is ahead of ``Date``."""
    more = timedelta(seconds=ahead)
    began, deadline = attempt.started_at + more, attempt.deadline + more
    return dataclasses.replace(attempt, started_at=began, deadline=deadline)


def fits(lease: api.PhaseLease, attempt: Attempt, settle: int) -> bool:
    """Whether time and ttl of a live lease are those of an attempt."""
    asked = attempt.handle.get("ttl", attempt.ttl_seconds)
    first, last = attempt.started_at - _BEFORE, attempt.deadline + timedelta(seconds=settle)
    return (
        not ended(lease)
        and first <= lease.created_at <= last
        and (asked is None or lease.ttl == timedelta(seconds=asked))
    )


def owned(lease: api.PhaseLease, owner: str) -> bool:
    """Whether a lease is that account's."""
    return lease.owner is not None and lease.owner.data.id == owner


def issued(fresh: api.FreshLease, *, source: Mapping[str, Any], notes: Mapping[str, Any]) -> Issued:
    """A new lease with its notes and credentials."""
    values = {one.key: one.value for one in fresh.credentials}
    handle = {
        **notes,
        "keys": sorted(values),
        "firstExpiresAt": base.render_moment(fresh.expires_at),
    }
    lease = seen(fresh, source=source, handle=handle)
    return Issued(lease=lease, credentials=Credentials(values))


def seen(lease: api.PhaseLease, *, source: Mapping[str, Any], handle: Mapping[str, Any]) -> Lease:
    """A lease as it is now."""
    notes = dict(handle)
    if lease.owner is not None:
        notes["owner"] = lease.owner.data.id
        notes["personal"] = lease.owner.type != "service_account"
    latest = lifetimes.after(lease.expires_at - lease.ttl, handle.get(lifetimes.MAXIMUM))
    return Lease(
        id=lease.id,
        source=source,
        issued_at=base.whole_second(lease.created_at),
        expires_at=base.whole_second(lease.expires_at),
        latest=base.whole_second(latest) if latest is not None else None,
        handle=notes,
    )


def renewal(lease: Lease, until: datetime) -> int:
    """Seconds to add so that ``lease`` ends at ``until`` or its latest.

    Raises:
        CannotRenew: nothing sensible is left to add.
    """
    latest = lifetimes.latest(lease)
    return lifetimes.renewal(lease, until, latest=latest, who=WHO, least=LEAST)


def not_renewed(answer: answers.Answer, lease: Lease) -> errors.ProviderError:
    """What a 400 says: at its maximum, past its end, or revoked."""
    text = refusals.text_of(answer) or ""
    who = refusals.ERRORS.stated(answer)
    if "already been revoked" in text:
        return errors.LeaseGone(Reason.GONE, f"{who}: the lease is revoked", certain=True)
    if refusals.renewal_left(answer) is not None:
        return lifetimes.at_its_end(lease, WHO)
    if "has expired" in text:
        sentence = f"{who}: the lease is past its end, and can only be replaced"
        return lifetimes.cannot_renew(lease, sentence)
    return refusals.ERRORS.error(answer, lease.source, effect=True)


def expiry_in(answer: api.Message) -> datetime | None:
    """The new expiry, which only prose tells; None where it doesn't."""
    found = _EXPIRY.search(answer.message)
    try:
        moment = datetime.fromisoformat(found[1]) if found else None
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) if moment is not None else None


def renewed(lease: Lease, expires_at: datetime) -> Lease:
    """``lease`` with its new end."""
    end = base.whole_second(expires_at)
    return dataclasses.replace(lease, expires_at=end, latest=lifetimes.latest(lease), seen_at=None)


def _seconds(length: timedelta) -> int:
    return int(length.total_seconds())
