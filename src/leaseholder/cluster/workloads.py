"""Workloads: how far their rollouts have come, and the one write that restarts them.

Flows in: a restart target, or a workload with the stamp that it is to get. Flows out: what matters
of a workload, for ``core.progress``, and the restart.

Deployments, StatefulSets and DaemonSets are restarted by an annotation of the pod template, as
``kubectl rollout restart`` does it. An Argo Rollout is restarted by ``spec.restartAt``, as Argo
prescribes: a changed template would start a whole canary or blue-green update.

A stamp counts only where it says something about pods: in the pod template that they are made
from. ``kubectl rollout undo`` takes it off with the template. A Rollout's stamp stands on the
Rollout itself, and counts while ``spec.restartAt`` is the moment that it was written with.
"""

import contextlib
import itertools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import base, lease, names
from leaseholder.api.conditions import Reason
from leaseholder.cluster import client, patches, places, refusals
from leaseholder.ports.workloads import Workload

_PLACES: Final[Mapping[lease.WorkloadKind, places.Resource]] = {
    "Deployment": places.DEPLOYMENTS,
    "StatefulSet": places.STATEFUL_SETS,
    "DaemonSet": places.DAEMON_SETS,
    "Rollout": places.ROLLOUTS,
}
_SINCE: Final = "@"
"""In a Rollout's stamp, between the lease and the moment of the restart."""
_TIMED_OUT: Final = "ProgressDeadlineExceeded"
_MOST_STAMPS: Final = 256
_LONGEST_STAMP: Final = 128
"""Of a workload so many are kept, so long at most: ours are an attempt id, and a moment. Somebody
may have written a quarter of a megabyte of them on each of hundreds of workloads."""


class KubernetesWorkloads:
    """The workloads that use our leases."""

    def __init__(self, api: client.Api) -> None:
        self._api = api

    async def get(self, kind: lease.WorkloadKind, namespace: str, name: str) -> Workload | None:
        """A workload; None where there is none, or its kind isn't known."""
        try:
            return view(kind, await self._api.request("GET", _PLACES[kind].at(namespace, name)))
        except refusals.NotFound:
            return None

    async def labelled(
        self, kind: lease.WorkloadKind, namespace: str, labels: Mapping[str, str]
    ) -> Sequence[Workload]:
        """The workloads that carry all these labels; none where the kind isn't known."""
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        pages = self._api.pages(_PLACES[kind].at(namespace), query={"labelSelector": selector})
        try:
            async with contextlib.aclosing(pages):
                return [view(kind, one) async for page in pages for one in page.get("items") or ()]
        except refusals.NotFound:
            return ()

    async def stamp(self, current: Workload, key: str, value: str, *, restart_at: datetime) -> None:
        """Restart a workload as it was read, and put a stamp on its pods."""
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


def stamping(current: Workload, key: str, value: str, restart_at: datetime) -> client.Body:
    """The merge patch that restarts a workload and stamps its pods."""
    guard = patches.guard(current.uid, current.resource_version)
    if current.kind == "Rollout":
        moment = base.render_moment(restart_at)
        stamp = {"annotations": {key: f"{value}{_SINCE}{moment}"}}
        return {"metadata": {**guard, **stamp}, "spec": {"restartAt": moment}}
    stamp = {"annotations": {key: value}}
    return {"metadata": guard, "spec": {"template": {"metadata": stamp}}}


def view(kind: lease.WorkloadKind, body: Mapping[str, Any]) -> Workload:
    """What matters of a workload, as the API server has it."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    update = spec.get("updateStrategy" if kind != "Deployment" else "strategy") or {}
    return Workload(
        kind=kind,
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta.get("resourceVersion", ""),
        stamps=_stamps(kind, meta, spec),
        observed=_number(status, "observedGeneration") >= _number(meta, "generation"),
        strategy=str(update.get("type", "")),
        partition=_number(update.get("rollingUpdate") or {}, "partition"),
        paused=spec.get("paused") is True,
        stuck=any(c.get("reason") == _TIMED_OUT for c in status.get("conditions") or ()),
        terminating=_number(status, "terminatingReplicas"),
        restarted=spec.get("restartAt") in (None, status.get("restartedAt")),
        phase=str(status.get("phase", "")),
        **(_daemons(status) if kind == "DaemonSet" else _replicas(kind, spec, status)),
    )


def _stamps(
    kind: lease.WorkloadKind, meta: Mapping[str, Any], spec: Mapping[str, Any]
) -> dict[str, str]:
    """The stamps that the workload's pods have, or will have when its rollout is complete."""
    if kind == "Rollout":
        since = f"{_SINCE}{spec.get('restartAt') or ''}"
        known = _annotations(meta)
        return {key: v.removesuffix(since) for key, v in known.items() if v.endswith(since)}
    return _annotations((spec.get("template") or {}).get("metadata") or {})


def _annotations(meta: Mapping[str, Any]) -> dict[str, str]:
    known = (meta.get("annotations") or {}).items()
    stamps = ((k, v) for k, v in known if k.startswith(f"{names.RESTART}/"))
    short = ((k, v) for k, v in stamps if len(v) <= _LONGEST_STAMP)
    return dict(itertools.islice(short, _MOST_STAMPS))


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
    """A count; Argo writes its ``observedGeneration`` as text, which its schema doesn't bound."""
    value = fields.get(name)
    text = str(default if value is None else value)
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else 0
