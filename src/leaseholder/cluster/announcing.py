"""Events about our resources: posted, repeated ones counted, failures logged and no more.

Flows in: notes, from the controller. Flows out: Events of Kubernetes. The same event about the same
resource within ten minutes counts the one made before, so that a retry that meets the same answer
again doesn't fill the namespace with events.
"""

import dataclasses
import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cachetools import TTLCache

from leaseholder import errors
from leaseholder.api import base, names
from leaseholder.cluster import client, patches, places, refusals
from leaseholder.ports.events import Note

_WINDOW: Final = 600.0
_REMEMBERED: Final = 1000
LONGEST: Final = 1024
"""Characters of a message: the events of events.k8s.io have no more."""
_CLUSTER_SCOPED: Final = "default"
_log = logging.getLogger(__name__)

_Key = tuple[str, str, str, str]


@dataclasses.dataclass(slots=True)
class _Posted:
    """An event that was posted."""

    place: places.Place
    count: int


class Announcer:
    """Posts events and remembers the last thousand."""

    def __init__(self, api: client.Api, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._posted: TTLCache[_Key, _Posted] = TTLCache(_REMEMBERED, _WINDOW, timer=monotonic)
        self._refusals: TTLCache[str, None] = TTLCache(_REMEMBERED, _WINDOW, timer=monotonic)
        """Sentences that were logged."""

    async def emit(self, kind: str, meta: base.ObjectMeta, note: Note) -> None:
        """Post ``note`` about a resource, or count the event that says so already."""
        try:
            await self._emit(kind, meta, note)
        except errors.ClusterError as error:
            self._log(error)

    def _log(self, error: errors.ClusterError) -> None:
        """Warn where somebody has to do something; a line for each refusal, not for each event."""
        is_new = isinstance(error, errors.Refused) and error.sentence not in self._refusals
        if is_new:
            self._refusals[error.sentence] = None
        level = logging.WARNING if is_new else logging.DEBUG
        _log.log(level, "event not posted", extra={"fields": {"why": error.sentence}})

    async def _emit(self, kind: str, meta: base.ObjectMeta, note: Note) -> None:
        # As it is shown: keys that somebody wrote on a Secret may be a quarter of a megabyte of it.
        key = (meta.uid, note.type, note.reason.value, note.message[:LONGEST])
        known = self._posted.get(key)
        if known is not None and await self._count(known):
            self._posted[key] = known
            return
        body = event(kind, meta, note, datetime.now(UTC))
        created = body["metadata"]
        await self._api.request(
            "POST",
            places.EVENTS.at(created["namespace"]),
            query=patches.writing(),
            body=body,
        )
        place = places.EVENTS.at(created["namespace"], created["name"])
        self._posted[key] = _Posted(place, 1)

    async def _count(self, known: _Posted) -> bool:
        """Count an event once more; False where it is gone."""
        known.count += 1
        moment = base.render_moment(datetime.now(UTC))
        try:
            await self._api.request(
                "PATCH",
                known.place,
                query=patches.writing(),
                body={"count": known.count, "lastTimestamp": moment},
                content_type=client.MERGE_PATCH,
            )
        except refusals.NotFound:
            return False
        return True


def event(kind: str, meta: base.ObjectMeta, note: Note, moment: datetime) -> client.Body:
    """The body of an event; those about cluster-scoped resources live in ``default``."""
    when = base.render_moment(moment)
    about = {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "namespace": meta.namespace,
        "name": meta.name,
        "uid": meta.uid,
        "resourceVersion": meta.resource_version,
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "namespace": meta.namespace or _CLUSTER_SCOPED,
            # A cut may leave a '.' or '-' at the end, and no part of a name ends so.
            "name": f"{meta.name[:230].rstrip('.-')}.{secrets.token_hex(8)}",
        },
        "involvedObject": {field: value for field, value in about.items() if value},
        "type": note.type,
        "reason": note.reason.value,
        "action": note.action,
        "message": note.message[:LONGEST],
        "source": {"component": names.MANAGER},
        "reportingComponent": names.MANAGER,
        "reportingInstance": names.MANAGER,
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }
