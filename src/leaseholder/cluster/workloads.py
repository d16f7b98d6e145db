"""Workloads: how far their rollouts have come, and the one write that restarts them.

Deployments, StatefulSets and DaemonSets are restarted by an annotation of the pod template, as
``kubectl rollout restart`` does it. An Argo Rollout is restarted by ``spec.restartAt``, as Argo
prescribes: a changed template would start a whole canary or blue-green update.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from leaseholder import errors, ports
from leaseholder.api import base, lease, names
from leaseholder.api.conditions import Reason
from leaseholder.cluster import client, patches, places, refusals

_PLACES: Final[Mapping[lease.WorkloadKind, places.Resource]] = {
    "Deployment": places.DEPLOYMENTS,
    "StatefulSet": places.STATEFUL_SETS,
    "DaemonSet": places.DAEMON_SETS,
    "Rollout": places.ROLLOUTS,
}
_TIMED_OUT: Final = "ProgressDeadlineExceeded"


class Workloads:
    """The workloads that use our leases."""

    def __init__(self, api: client.Api) -> None:
        self._api = api

    async def get(
        self, kind: lease.WorkloadKind, namespace: str, name: str
    ) -> ports.Workload | None:
        """A workload; None where there is none, or its kind isn't known."""
        try:
            return view(kind, await self._api.request("GET", _PLACES[kind].at(namespace, name)))
        except refusals.NotFound:
            return None

    async def labelled(
        self, kind: lease.WorkloadKind, namespace: str, labels: Mapping[str, str]
    ) -> Sequence[ports.Workload]:
        """The workloads that carry all these labels; none where the kind isn't known."""
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        place = _PLACES[kind].at(namespace)
        try:
            found = await self._api.request("GET", place, query={"labelSelector": selector})
        except refusals.NotFound:
            return ()
        return [view(kind, item) for item in found.get("items") or ()]

    async def stamp(
        self, current: ports.Workload, key: str, value: str, *, restart_at: datetime | None
    ) -> None:
        """Put a stamp on a workload as it was read, and restart it with ``restart_at``."""
        place = _PLACES[current.kind].at(current.namespace, current.name)
        try:
            await self._api.request(
                "PATCH",
                place,
                query=patches.writing(),
                body=stamping(current, key, value, restart_at),
                content_type=client.MERGE_PATCH,
            )
        except refusals.NotFound as gone:
            raise errors.Conflict(Reason.CONFLICT, gone.sentence) from None


def stamping(
    current: ports.Workload, key: str, value: str, restart_at: datetime | None
) -> client.Body:
    """The merge patch that puts the stamp on, and restarts with ``restart_at``."""
    stamp = {"annotations": {key: value}}
    guard = patches.guard(current.uid, current.resource_version)
    body: client.Body = {"metadata": {**guard, **stamp}}
    if restart_at is None:
        return body
    if current.kind == "Rollout":
        return {**body, "spec": {"restartAt": base.render_moment(restart_at)}}
    return {**body, "spec": {"template": {"metadata": stamp}}}


def view(kind: lease.WorkloadKind, body: Mapping[str, Any]) -> ports.Workload:
    """What matters of a workload, as the API server has it."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    annotations = meta.get("annotations") or {}
    update = spec.get("updateStrategy" if kind != "Deployment" else "strategy") or {}
    return ports.Workload(
        kind=kind,
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta.get("resourceVersion", ""),
        stamps={k: v for k, v in annotations.items() if k.startswith(f"{names.RESTART}/")},
        observed=_number(status, "observedGeneration") >= _number(meta, "generation"),
        strategy=str(update.get("type", "")),
        partition=_number(update.get("rollingUpdate") or {}, "partition"),
        paused=spec.get("paused") is True,
        stuck=any(c.get("reason") == _TIMED_OUT for c in status.get("conditions") or ()),
        restarted=spec.get("restartAt") in (None, status.get("restartedAt")),
        phase=str(status.get("phase", "")),
        **(_daemons(status) if kind == "DaemonSet" else _replicas(kind, spec, status)),
    )


def _daemons(status: Mapping[str, Any]) -> dict[str, int]:
    return {
        "wanted": _number(status, "desiredNumberScheduled"),
        "updated": _number(status, "updatedNumberScheduled"),
        "total": _number(status, "currentNumberScheduled"),
        "available": _number(status, "numberAvailable"),
    }


def _replicas(
    kind: lease.WorkloadKind, spec: Mapping[str, Any], status: Mapping[str, Any]
) -> dict[str, int]:
    return {
        "wanted": _number(spec, "replicas", 1),
        "updated": _number(status, "updatedReplicas"),
        "total": _number(status, "replicas"),
        # kubectl asks for ready pods of a StatefulSet; older servers don't tell available ones.
        "available": _number(
            status, "readyReplicas" if kind == "StatefulSet" else "availableReplicas"
        ),
    }


def _number(fields: Mapping[str, Any], name: str, default: int = 0) -> int:
    """A count; Argo writes its ``observedGeneration`` as text."""
    value = fields.get(name)
    text = str(default if value is None else value)
    return int(text) if text.isdecimal() else 0
