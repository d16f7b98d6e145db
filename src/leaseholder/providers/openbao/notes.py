"""What is kept of a lease: its token's accessor, and when each of the two ends.

A lease dies with the token that made it, whoever else renews it. So it ends when the first of
both does, and both have to be kept alive.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from leaseholder.api import base
from leaseholder.ports.provider import Lease
from leaseholder.providers.openbao import api

ENDLESS: Final = timedelta(days=36_500)
"""The life of what has no end."""


class Notes(BaseModel):
    """The handle of a lease, as its record keeps it; moments are lower bounds."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        frozen=True,
        extra="ignore",
    )

    accessor: str = ""
    """Of the token that made the lease; a token can't be had by it, only ended or kept alive."""
    shared: bool = False
    """The token serves other leases too."""
    token_issued_at: base.Moment | None = None
    token_ends_at: base.Moment | None = None
    """None: never."""
    token_period: int = 0
    """Seconds that each renewal of the token gives; 0: what is asked, up to a maximum."""
    token_max: int | None = None
    """Seconds that the token can live, where that is known."""
    lease_ends_at: base.Moment | None = None
    lease_max: int | None = None
    """Seconds that the lease can live, where that is known."""
    lease_renewable: bool = True

    @classmethod
    def read(cls, handle: Mapping[str, Any]) -> "Notes":
        """The notes in a record; empty ones where it has none that can be read."""
        try:
            return cls.model_validate(dict(handle))
        except ValidationError:
            return cls()

    def dump(self) -> dict[str, Any]:
        """The notes for a record, without what is as usual."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def but(self, **changes: Any) -> "Notes":
        """The notes with changes."""
        return self.model_copy(update=changes)

    def of_token(self, seen: api.Token) -> "Notes":
        """The notes after a look at the token."""
        issued = seen.issue_time or datetime.fromtimestamp(seen.creation_time, UTC)
        ends = base.whole_second(seen.expire_time) if seen.expire_time else None
        final = ends is not None and not seen.renewable
        return self.but(
            accessor=seen.accessor,
            token_issued_at=base.whole_second(issued),
            token_ends_at=ends,
            token_period=seen.period,
            token_max=int((ends - issued).total_seconds()) if ends and final else self.token_max,
        )

    def lease(self, lease_id: str, source: Mapping[str, Any], issued_at: datetime) -> Lease:
        """The lease that these notes are about."""
        return Lease(
            id=lease_id,
            source=source,
            issued_at=issued_at,
            expires_at=self.ends_at(issued_at),
            latest=self.latest(issued_at),
            handle=self.dump(),
        )

    @property
    def renewable(self) -> bool:
        """Whether the lease's end can be moved: by itself, or by that of its token."""
        return self.lease_renewable or self.token_period > 0

    def ends_at(self, issued_at: datetime) -> datetime:
        """When the lease ends: with its token, if that is earlier."""
        known = [end for end in (self.lease_ends_at, self.token_ends_at) if end is not None]
        return min(known, default=issued_at + ENDLESS)

    def latest(self, issued_at: datetime) -> datetime | None:
        """The moment beyond which it can't live, as far as is known."""
        known = []
        if self.lease_max is not None:
            known.append(issued_at + timedelta(seconds=self.lease_max))
        if self.token_max is not None and self.token_issued_at is not None:
            known.append(self.token_issued_at + timedelta(seconds=self.token_max))
        if not self.lease_renewable and self.lease_ends_at is not None:
            known.append(self.lease_ends_at)
        return min(known, default=None)
