"""Events about a DynamicLease, as the API server has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from leaseholder.api import base
from leaseholder.cluster import announcing


@dataclass(frozen=True, slots=True)
class Event:
    """One event about a DynamicLease."""

    type: str
    reason: str
    message: str
    count: int
    last: datetime | None


def read(body: Mapping[str, Any]) -> Event:
    """An event, no longer than the operator's: others may be a megabyte, on a terminal, too."""
    series = body.get("series") if isinstance(body.get("series"), Mapping) else {}
    seen = (series or {}).get("lastObservedTime") or body.get("lastTimestamp")
    said = seen or body.get("eventTime") or (body.get("metadata") or {}).get("creationTimestamp")
    count = (series or {}).get("count") or body.get("count") or 1
    kind, reason, message = (
        str(body.get(key) or "")[: announcing.LONGEST] for key in ("type", "reason", "message")
    )
    return Event(
        type=kind,
        reason=reason,
        message=message,
        count=count if isinstance(count, int) else 1,
        last=moment(said),
    )


def moment(text: object) -> datetime | None:
    """A moment that the API server tells, in whole seconds; None where it is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return base.whole_second(found) if found.tzinfo is not None else None
