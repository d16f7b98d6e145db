"""Phase's leases made ours: moments cut to the second, notes for the record, and the fingerprint.

A lease carries nothing of ours but the ttl that was asked for. So where a lease of a lost answer is
to be found again, the ttl is shortened by some seconds that come of the attempt's random id: with
owner and time this tells it from the others.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from leaseholder import ports
from leaseholder.api import base
from leaseholder.providers.phase import api
from leaseholder.secrecy import Credentials

_ENDED: Final = frozenset({"expired", "revoked"})
_MOST: Final = 60
"""A fingerprint costs so many seconds of a lease's life at most …"""
_SHARE: Final = 20
"""… and one part in so many."""
_BEFORE: Final = timedelta(seconds=2)
"""The provider's clock is known in whole seconds."""


def fingerprinted(attempt_id: str, ttl: int, least: int) -> int:
    """``ttl`` less the attempt's fingerprint, in seconds; never below ``least``."""
    most = min(_MOST, ttl // _SHARE, ttl - least)
    if most < 1:
        return ttl
    digest = hashlib.sha256(attempt_id.encode()).digest()
    return ttl - 1 - int.from_bytes(digest[:8]) % most


def ended(lease: api.Lease) -> bool:
    """Whether the server took the credentials back, whatever expiry it shows."""
    return lease.status.lower() in _ENDED or lease.revoked_at is not None


def shifted(attempt: ports.Attempt, ahead: int) -> ports.Attempt:
    """An attempt with its moments by the clock of its leases, which is ahead of ``Date``."""
    more = timedelta(seconds=ahead)
    began, deadline = attempt.started_at + more, attempt.deadline + more
    return dataclasses.replace(attempt, started_at=began, deadline=deadline)


def fits(lease: api.Lease, attempt: ports.Attempt, settle: int) -> bool:
    """Whether time and ttl of a live lease are those of an attempt."""
    asked = attempt.handle.get("ttl", attempt.ttl_seconds)
    first, last = attempt.started_at - _BEFORE, attempt.deadline + timedelta(seconds=settle)
    return (
        not ended(lease)
        and first <= lease.created_at <= last
        and (asked is None or lease.ttl == timedelta(seconds=asked))
    )


def owned(lease: api.Lease, owner: str) -> bool:
    """Whether a lease is that account's."""
    return lease.owner is not None and lease.owner.data.id == owner


def issued(
    fresh: api.FreshLease, *, source: Mapping[str, Any], notes: Mapping[str, Any]
) -> ports.Issued:
    """A new lease with its notes and credentials."""
    values = {one.key: one.value for one in fresh.credentials}
    handle = {
        **notes,
        "keys": sorted(values),
        "firstExpiresAt": base.render_moment(fresh.expires_at),
    }
    lease = seen(fresh, source=source, handle=handle)
    return ports.Issued(lease=lease, credentials=Credentials(values))


def seen(lease: api.Lease, *, source: Mapping[str, Any], handle: Mapping[str, Any]) -> ports.Lease:
    """A lease as it is now."""
    notes = dict(handle)
    if lease.owner is not None:
        notes["owner"] = lease.owner.data.id
        notes["personal"] = lease.owner.type != "service_account"
    maximum = handle.get("maxTTL")
    latest = None
    if isinstance(maximum, int):
        latest = base.whole_second(lease.expires_at - lease.ttl + timedelta(seconds=maximum))
    return ports.Lease(
        id=lease.id,
        source=source,
        issued_at=base.whole_second(lease.created_at),
        expires_at=base.whole_second(lease.expires_at),
        latest=latest,
        handle=notes,
    )


def latest(lease: ports.Lease) -> datetime | None:
    """The end of the lease's longest life; from its notes where a record brought it back."""
    maximum = lease.handle.get("maxTTL")
    if lease.latest is not None or not isinstance(maximum, int):
        return lease.latest
    return lease.issued_at + timedelta(seconds=maximum)
