"""Infisical's leases made ours: moments cut to the second, notes for the record."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from leaseholder.api import base
from leaseholder.ports.provider import Issued, Lease
from leaseholder.providers.infisical import api, kinds, ttl
from leaseholder.providers.kit import answers, lifetimes
from leaseholder.secrecy import Credentials

FAILED_TO_DELETE: Final = "Failed to delete"
_OWN_END: Final = "EXPIRES_AT"
_MOMENT: Final[TypeAdapter[datetime]] = TypeAdapter(answers.Moment)
_UNBOUNDED: Final = 100 * 366 * 86_400
"""A maximum of more than a century is none."""


def maximum(secret: api.InfisicalDynamicSecret) -> int | None:
    """``maxTTL`` in seconds; None: no bound, or none that can be read."""
    seconds = ttl.parse(secret.max_ttl) if secret.max_ttl else None
    return seconds if seconds is not None and 0 < seconds < _UNBOUNDED else None


def issued(
    answer: api.CreateAnswer,
    *,
    source: Mapping[str, Any],
    credential_type: str | None,
    tagged: bool,
    identity: Mapping[str, str],
) -> Issued:
    """A new lease with its notes and credentials; ``identity``: the note of who asked for it."""
    values = answers.values(answer.data)
    notes = kinds.notes(answer.dynamic_secret.type, credential_type=credential_type, keys=values)
    handle = {**notes, "recoverable": tagged, **identity}
    own_end = _moment(answer.data.get(_OWN_END))
    # One before the lease began is no moment: an OAuth server may give seconds there.
    if own_end and own_end > answer.lease.created_at and not notes["renewable"]:
        handle["credentialsEnd"] = base.render_moment(own_end)
    lease = seen(answer.lease, answer.dynamic_secret, source=source, handle=handle)
    return Issued(lease=lease, credentials=Credentials(values))


def seen(
    lease: api.InfisicalLease,
    secret: api.InfisicalDynamicSecret | None,
    *,
    source: Mapping[str, Any],
    handle: Mapping[str, Any],
) -> Lease:
    """A lease as it is now; without ``secret`` the bound in ``handle`` stands."""
    bound = maximum(secret) if secret else handle.get(lifetimes.MAXIMUM)
    notes = {name: value for name, value in handle.items() if name != "status"}
    if secret is not None and "type" not in notes:
        notes |= kinds.notes(secret.type, credential_type=None, keys=())
    notes |= {"createdAt": base.render_moment(lease.created_at), lifetimes.MAXIMUM: bound}
    if lease.status is not None:
        notes["status"] = FAILED_TO_DELETE
    issued_at = base.whole_second(lease.created_at)
    return Lease(
        id=lease.id,
        source=source,
        issued_at=issued_at,
        expires_at=_end(lease.expire_at, handle.get("credentialsEnd")),
        latest=lifetimes.after(issued_at, bound),
        handle=notes,
    )


def _end(expire_at: datetime, own_end: object) -> datetime:
    """The end of a lease is that of its credentials, where they end first."""
    # A token of GitHub's lives an hour, whatever its lease says: promise 2.
    known = (expire_at, _moment(own_end))
    return min(base.whole_second(one) for one in known if one is not None)


def _moment(value: object) -> datetime | None:
    try:
        return _MOMENT.validate_python(value) if isinstance(value, str) else None
    except ValidationError:
        return None
