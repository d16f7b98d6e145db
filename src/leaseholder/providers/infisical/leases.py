"""Infisical's leases made ours: moments cut to the second, notes for the record, the tag."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from leaseholder.api import base
from leaseholder.ports.provider import Attempt, Issued, Lease
from leaseholder.providers.infisical import api, kinds, ttl
from leaseholder.providers.kit import answers
from leaseholder.secrecy import Credentials

FAILED_TO_DELETE: Final = "Failed to delete"
TAG: Final = "leaseholder"
_OWN_END: Final = "EXPIRES_AT"
_MOMENT: Final[TypeAdapter[datetime]] = TypeAdapter(answers.Moment)
_ATTEMPT: Final = re.compile(r"[0-9a-f]{32}")
_UNBOUNDED: Final = 100 * 366 * 86_400
"""A maximum of more than a century is none."""


def tag(attempt: Attempt) -> dict[str, str]:
    """What marks a lease as that attempt's; plain text for everybody who may list leases."""
    return {"installation": attempt.installation, "attempt": attempt.attempt_id}


def carries(row: Mapping[str, Any], attempt: Attempt) -> bool:
    """Whether a row of a list of leases has that attempt's mark."""
    config = row.get("config")
    return isinstance(config, dict) and config.get(TAG) == tag(attempt)


def marked(row: Mapping[str, Any], installation: str) -> str | None:
    """The attempt whose mark a row of a list of leases has; None: it has none of that installation.

    Whoever may lease may write such a mark on a lease of theirs, on none of others.
    """
    config = row.get("config")
    mark = config.get(TAG) if isinstance(config, dict) else None
    if not isinstance(mark, dict) or mark.get("installation") != installation:
        return None
    attempt = mark.get("attempt")
    known = isinstance(attempt, str) and _ATTEMPT.fullmatch(attempt)
    return str(attempt) if known else None


def maximum(secret: api.DynamicSecret) -> int | None:
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
    lease: api.Lease,
    secret: api.DynamicSecret | None,
    *,
    source: Mapping[str, Any],
    handle: Mapping[str, Any],
) -> Lease:
    """A lease as it is now; without ``secret`` the bound in ``handle`` stands."""
    bound = maximum(secret) if secret else handle.get("maxTTL")
    notes = {name: value for name, value in handle.items() if name != "status"}
    if secret is not None and "type" not in notes:
        notes |= kinds.notes(secret.type, credential_type=None, keys=())
    notes |= {"createdAt": base.render_moment(lease.created_at), "maxTTL": bound}
    if lease.status is not None:
        notes["status"] = FAILED_TO_DELETE
    return Lease(
        id=lease.id,
        source=source,
        issued_at=base.whole_second(lease.created_at),
        expires_at=_end(lease.expire_at, handle.get("credentialsEnd")),
        latest=_latest(lease.created_at, bound),
        handle=notes,
    )


def latest(lease: Lease) -> datetime | None:
    """The end of the lease's longest life; from its notes where a record brought it back."""
    if lease.latest is not None:
        return lease.latest
    return _latest(lease.issued_at, lease.handle.get("maxTTL"))


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


def _latest(created_at: datetime, bound: object) -> datetime | None:
    if not isinstance(bound, int):
        return None
    return base.whole_second(created_at + timedelta(seconds=bound))
