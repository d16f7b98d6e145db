"""kopf glue: kopf watches, and nothing else.

Each handler hands metadata on and returns; what is to be done is the controller's, the finalizer
too. So kopf writes nothing: no annotations that copy the spec until they are full, no PATCH whose
lost answer it forgets. Handlers return nothing, because kopf would write it to status. Secrets
aren't watched here: kopf logs whole bodies at DEBUG.
"""

import itertools
import random
from collections.abc import Iterator
from typing import Any, Final

import kopf

from leaseholder.api import base, names
from leaseholder.controller.loop import Controller
from leaseholder.controller.providers import ProviderWatch

_LEASES: Final = (names.GROUP, names.VERSION, "dynamicleases")
_PROVIDERS: Final = (names.GROUP, names.VERSION, "leaseproviders")
_CLUSTER_PROVIDERS: Final = (names.GROUP, names.VERSION, "clusterleaseproviders")
_KINDS: Final = {"leaseproviders": "LeaseProvider", "clusterleaseproviders": "ClusterLeaseProvider"}
_NOBODYS: Final = f"kopf.{names.GROUP}/unused"
"""kopf takes the finalizer that it is told of off whatever no handler of its own needs it on."""


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


def settings(*, exit_timeout: float) -> kopf.OperatorSettings:
    """Kopf's settings: endless patience, no marks on objects, no posting, no scans.

    Args:
        exit_timeout: seconds that handlers under way get when the process stops.
    """
    made = kopf.OperatorSettings()
    made.persistence.finalizer = _NOBODYS
    made.persistence.diffbase_storage = _NoDiffs()
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

    async def lease_changed(body: kopf.Body, type: str | None, **_: Any) -> None:
        await controller.heard(_meta(body), gone=type == "DELETED")

    async def provider_changed(
        body: kopf.Body, resource: kopf.Resource, type: str | None, **_: Any
    ) -> None:
        meta = _meta(body)
        ref = (_KINDS[resource.plural], meta.namespace, meta.name)
        await providers.offer(ref, None if type == "DELETED" else (meta.uid, meta.generation))

    kopf.on.event(*_LEASES, id="lease", registry=registry)(lease_changed)
    kopf.on.event(*_PROVIDERS, id="provider", registry=registry)(provider_changed)
    kopf.on.event(*_CLUSTER_PROVIDERS, id="provider", registry=registry)(provider_changed)
    kopf.on.login(id="in-cluster", registry=registry)(kopf.login_with_service_account)
    kopf.on.login(id="kubeconfig", registry=registry)(kopf.login_with_kubeconfig)
    return registry


def _meta(body: kopf.Body) -> base.ObjectMeta:
    return base.ObjectMeta.model_validate(dict(body.metadata))
