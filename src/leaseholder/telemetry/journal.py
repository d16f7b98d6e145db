"""The log of leases: a line for each change, and two for an outage.

While a server doesn't answer, each of its leases meets the same. The first to meet it makes the
line ``outage began``, the last to be over it ``outage ended`` with the length; what the others
say meanwhile is for DEBUG. A lease that Ready goes False for has its own line all the same, where
that isn't just the outage: ``LeaseExpired``, say.
"""

import dataclasses
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from leaseholder.api import base
from leaseholder.changes import OUTAGES, Change, Kind

logger = logging.getLogger(__name__)

BEGAN: Final = "outage began"
ENDED: Final = "outage ended"
FIELDS: Final = tuple(
    field.name for field in dataclasses.fields(Change) if field.name not in ("kind", "good")
)
"""The fields of a line about a lease, in the order in which they stand."""
_READINESS: Final = frozenset(
    {
        Kind.READY,
        Kind.NOT_READY,
        Kind.SUSPENDED,
        Kind.RESUMED,
        Kind.PROVIDER_READY,
        Kind.PROVIDER_NOT_READY,
    }
)
_OVER: Final = frozenset(
    {
        Kind.REVOKED,
        Kind.ABANDONED,
        Kind.ENDED,
        Kind.FOUND,
        Kind.NOT_FOUND,
        Kind.HELD_AGAIN,
        Kind.ORPHANED,
    }
)
"""With these a record's revocation has met an answer, or isn't wanted any more; a refusal is an
answer, too."""
_Server = tuple[str, str]
"""Kind and name of a provider, and the namespace that it is in."""


@dataclasses.dataclass(slots=True)
class _Outage:
    """One server's, and who still meets it."""

    since: float
    provider: str
    meeting: dict[str, str] = dataclasses.field(default_factory=dict)
    """DynamicLeases and providers by uid, revocations by attempt id; and whose each is, by uid."""


class LoggedJournal:
    """``Journal`` in the process's log."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._outages: dict[_Server, _Outage] = {}
        self._warned: set[str] = set()
        """Uids of those whose last line about readiness was a warning of its own."""

    def enter(self, change: Change) -> None:
        """Log a change."""
        if change.kind in _READINESS:
            self._readiness(change)
            return
        level = logging.INFO if change.good else logging.WARNING
        away = not change.good and change.reason in OUTAGES
        if away:
            self._meets(change, change.attempt)
            level = logging.DEBUG
        _line(level, change.kind, _fields(change))
        if change.kind in _OVER or (change.kind is Kind.REVOCATION_FAILED and not away):
            self._no_longer_meets(change.attempt)

    def forget(self, uid: str) -> None:
        """A DynamicLease or a provider is gone."""
        self._warned.discard(uid)
        known = (outage.meeting.items() for outage in self._outages.values())
        for who in {who for some in known for who, of in some if of == uid}:
            self._no_longer_meets(who)

    def _readiness(self, change: Change) -> None:
        level = logging.INFO if change.good else logging.WARNING
        covered = any(change.uid in outage.meeting for outage in self._outages.values())
        if not change.good and change.reason in OUTAGES:
            self._meets(change, change.uid)
            level = logging.DEBUG
        elif change.good:
            level = logging.DEBUG if covered and change.uid not in self._warned else logging.INFO
            self._warned.discard(change.uid)
        else:
            self._warned.add(change.uid)
        _line(level, change.kind, _fields(change))
        if change.good:
            self._no_longer_meets(change.uid)

    def _meets(self, change: Change, who: str) -> None:
        server = _server(change)
        if server not in self._outages:
            self._outages[server] = _Outage(self._monotonic(), change.provider)
            fields = {key: value for key, value in _fields(change).items() if key != "uid"}
            _line(logging.WARNING, BEGAN, fields)
        self._outages[server].meeting[who] = change.uid

    def _no_longer_meets(self, who: str) -> None:
        for server, outage in list(self._outages.items()):
            outage.meeting.pop(who, None)
            if not outage.meeting:
                del self._outages[server]
                self._ended(server, outage)

    def _ended(self, server: _Server, outage: _Outage) -> None:
        lasted = round(self._monotonic() - outage.since)
        fields = {"provider": outage.provider, "namespace": server[1], "lasted": f"{lasted}s"}
        _line(logging.INFO, ENDED, fields)


def _server(change: Change) -> _Server:
    shared = change.provider.startswith("Cluster")
    return change.provider, "" if shared else change.namespace


def _fields(change: Change) -> dict[str, Any]:
    return {name: _rendered(getattr(change, name)) for name in FIELDS}


def _rendered(value: Any) -> Any:
    return base.render_moment(value) if isinstance(value, datetime) else value


def _line(level: int, words: str, fields: dict[str, Any]) -> None:
    logger.log(level, "%s", words, extra={"fields": fields})
