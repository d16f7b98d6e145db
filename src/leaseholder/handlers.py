"""kopf glue: handlers that make things due, and the one that waits for the finalizer.

kopf puts the finalizer on before ``on.create`` runs and takes it off when ``on.delete``
returns; all that happens in between is the controller's. Handlers return nothing, because
kopf would write it to status. Secrets aren't watched here: kopf logs whole bodies at DEBUG.
"""

import itertools
import random
from collections.abc import Iterator
from typing import Any, Final

import kopf

from leaseholder.api import names
from leaseholder.api.record import Holder
from leaseholder.controller.loop import Controller
from leaseholder.controller.providers import ProviderWatch

_LEASES: Final = (names.GROUP, names.VERSION, "dynamicleases")
_PROVIDERS: Final = (names.GROUP, names.VERSION, "leaseproviders")
_CLUSTER_PROVIDERS: Final = (names.GROUP, names.VERSION, "clusterleaseproviders")
_NOTES: Final = f"kopf.{names.GROUP}"
"""Prefix of kopf's own annotations. Not our group: kopf leaves annotations of its prefix out of
its comparison, and our commands are annotations of our group."""
_KINDS: Final = {"leaseproviders": "LeaseProvider", "clusterleaseproviders": "ClusterLeaseProvider"}

HEARD_WITHIN: Final = 1.0
"""Seconds within which kopf tells of a DynamicLease that has the finalizer.

Where the answer to the finalizer's PATCH is lost, kopf 1.45 carries the rest of that patch into the
next event, calls no handler for it, and may wait for another event that nothing causes.
"""


class _Endless:
    """Back-offs that never end: with a finite list kopf ends the process in an outage."""

    def __iter__(self) -> Iterator[float]:
        for step in itertools.count():
            yield min(30.0, 2.0**step) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


def settings(*, exit_timeout: float) -> kopf.OperatorSettings:
    """Kopf's settings: our finalizer and annotations, endless patience, no posting, no scans.

    Args:
        exit_timeout: seconds that handlers under way get when the process stops.
    """
    made = kopf.OperatorSettings()
    made.persistence.finalizer = names.FINALIZER
    made.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_NOTES)
    made.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(
        prefix=_NOTES, key="last-handled"
    )
    made.networking.error_backoffs = _Endless()
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 10
    made.watching.server_timeout = 600
    made.watching.connect_timeout = 10
    made.watching.chunk_size = 500
    made.queueing.exit_timeout = exit_timeout
    made.posting.enabled = False
    made.scanning.disabled = True
    return made


def register(controller: Controller, providers: ProviderWatch) -> kopf.OperatorRegistry:
    """All handlers, in a registry of their own."""
    registry = kopf.OperatorRegistry()

    async def sync(body: kopf.Body, **_: Any) -> None:
        await controller.offer(_holder(body))

    def unheard(body: kopf.Body, type: str | None, **_: Any) -> bool:
        ours = names.FINALIZER in body.metadata.get("finalizers", ())
        gone = type == "DELETED" or "deletionTimestamp" in body.metadata
        return ours and not gone and _holder(body) not in controller

    async def appeared(body: kopf.Body, **_: Any) -> None:
        await controller.offer(_holder(body), poke=False, after=HEARD_WITHIN)

    async def retire(body: kopf.Body, **_: Any) -> None:
        await controller.retired(_holder(body))

    async def provider_changed(
        body: kopf.Body, resource: kopf.Resource, type: str | None, **_: Any
    ) -> None:
        meta = body.metadata
        ref = (_KINDS[resource.plural], meta.namespace or "", str(meta.name))
        version = (str(meta.uid), int(meta.get("generation", 0)))
        await providers.offer(ref, None if type == "DELETED" else version)

    kopf.on.create(*_LEASES, id="sync", registry=registry)(sync)
    kopf.on.resume(*_LEASES, id="sync", registry=registry)(sync)
    kopf.on.update(*_LEASES, id="sync", registry=registry)(sync)
    kopf.on.event(*_LEASES, id="appeared", registry=registry, when=unheard)(appeared)
    kopf.on.delete(*_LEASES, id="retire", registry=registry)(retire)
    kopf.on.event(*_PROVIDERS, id="provider", registry=registry)(provider_changed)
    kopf.on.event(*_CLUSTER_PROVIDERS, id="provider", registry=registry)(provider_changed)
    kopf.on.login(id="in-cluster", registry=registry)(kopf.login_with_service_account)
    kopf.on.login(id="kubeconfig", registry=registry)(kopf.login_with_kubeconfig)
    return registry


def _holder(body: kopf.Body) -> Holder:
    meta = body.metadata
    return Holder(namespace=str(meta.namespace), name=str(meta.name), uid=str(meta.uid))
