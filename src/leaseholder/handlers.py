"""kopf glue: kopf watches, and nothing else.

Each handler hands metadata on and returns; what is to be done is the controller's, the finalizer
too. So kopf writes nothing: no annotations that copy the spec until they are full, no PATCH whose
lost answer it forgets. Handlers return nothing, because kopf would write it to status. Secrets
aren't watched here: kopf logs whole bodies at DEBUG.
"""

import itertools
import random
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Any, Final, Protocol

import pydantic

from leaseholder.api import base, names
from leaseholder.cluster import lean

with lean.without("kubernetes.client"):
    import kopf

LEASES: Final = "dynamicleases"
PROVIDERS: Final = {
    "leaseproviders": "LeaseProvider",
    "clusterleaseproviders": "ClusterLeaseProvider",
}
WATCHED: Final = (LEASES, *PROVIDERS)
"""The kinds that kopf watches, by the plurals of their names."""
_NOBODYS: Final = f"kopf.{names.GROUP}/unused"
"""kopf takes the finalizer that it is told of off whatever no handler of its own needs it on."""
IDLE: Final = 1.0
"""Seconds for which kopf keeps an object's task after its last event. Each takes about 10 KiB, and
with kopf's own five seconds there were hundreds where objects come and go."""


class Listener(Protocol):
    """Who is told of what changed."""

    async def lease(self, meta: base.ObjectMeta, *, gone: bool) -> None:
        """A DynamicLease was seen, or went."""
        ...

    async def provider(self, kind: str, meta: base.ObjectMeta, *, gone: bool) -> None:
        """A provider object was seen, or went."""
        ...


class _Endless:
    """Back-offs that never end: with a finite list kopf gives up in an outage."""

    def __iter__(self) -> Iterator[float]:
        for step in itertools.count():
            yield min(30.0, 2.0**step) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


class _NoDiffs(kopf.DiffBaseStorage):
    """What an object was isn't kept, nor read from annotations, which anybody can write."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


def settings(selector: str = "") -> kopf.OperatorSettings:
    """Kopf's settings: endless patience, no marks on objects, no posting, no scans.

    Args:
        selector: the labels of the DynamicLeases that are watched; empty: all are.
    """
    made = kopf.OperatorSettings()
    made.persistence.finalizer = _NOBODYS
    made.persistence.diffbase_storage = _NoDiffs()
    made.queueing.idle_timeout = IDLE
    made.networking.error_backoffs = _Endless()
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 10
    made.process.ultimate_exiting_timeout = None  # kopf would kill the whole process
    made.watching.server_timeout = 300
    made.watching.connect_timeout = 10
    made.watching.chunk_size = 500
    if selector:
        # Not "group/plural", as kopf's own example has it: that is read as another group.
        made.watching.label_selectors[names.GROUP, names.VERSION, LEASES] = selector
    made.posting.enabled = False
    made.scanning.disabled = True
    return made


def register(
    kinds: Collection[str],
    listener: Listener,
    login: Callable[[], Awaitable[kopf.AiohttpSession]],
) -> kopf.OperatorRegistry:
    """All handlers for those of ``WATCHED`` that are there, in a registry of their own."""
    registry = kopf.OperatorRegistry()

    async def changed(body: kopf.Body, resource: kopf.Resource, type: str | None, **_: Any) -> None:
        await hear(listener, resource.plural, dict(body.metadata), type == "DELETED")

    async def logged_in(**_: Any) -> kopf.AiohttpSession:
        return await login()

    for plural in kinds:
        kopf.on.event(names.GROUP, names.VERSION, plural, id="changed", registry=registry)(changed)
    kopf.on.login(id="session", registry=registry)(logged_in)
    return registry


async def hear(listener: Listener, plural: str, metadata: Mapping[str, Any], gone: bool) -> None:
    """Hand on that an object of one of ``WATCHED`` was seen, or went.

    What can't be read is told of where it is read whole; here it would end a list.
    """
    try:
        meta = base.ObjectMeta.model_validate(metadata)
    except pydantic.ValidationError:
        return
    if plural == LEASES:
        await listener.lease(meta, gone=gone)
    else:
        await listener.provider(PROVIDERS[plural], meta, gone=gone)
