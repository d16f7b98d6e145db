"""Workloads on a cluster without nodes: their manifests, and a kubelet that is a test's own.

The real controllers make the pods; nothing runs them. ``Kubelet`` says of each pod that it is
ready, as kwok does, except of new pods of those workloads whose pods are held back.
"""

import asyncio
import collections.abc
import contextlib
import dataclasses
import datetime
import typing

from tests.world import kube

_POLL = 0.1
NODE = "rollouts"
ONE_MORE: kube.Object = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


@dataclasses.dataclass(slots=True)
class Kubelet:
    """Makes the pods of a namespace ready."""

    client: kube.Kube
    namespace: str
    held: set[str] = dataclasses.field(default_factory=set)
    """Workloads, by name, whose new pods don't get ready."""

    async def _run(self) -> None:
        while True:
            for pod in await self.client.list("Pod", self.namespace):
                idle = kube.condition(pod, "Ready").get("status") != "True"
                if idle and pod["metadata"]["labels"]["app"] not in self.held:
                    await self._start(pod["metadata"]["name"])
            await asyncio.sleep(_POLL)

    async def _start(self, name: str) -> None:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
        status = {"status": {"phase": "Running", "conditions": [ready]}}
        with contextlib.suppress(kube.Refused):  # the pod went meanwhile
            await self.client.patch_status("Pod", name, self.namespace, status)


@contextlib.asynccontextmanager
async def kubelet(client: kube.Kube, namespace: str) -> collections.abc.AsyncIterator[Kubelet]:
    """A kubelet at work, and a node for DaemonSets."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    await client.apply(node)
    # The API server taints what no kubelet has vouched for.
    await client.patch("Node", NODE, "", {"spec": {"taints": None}})
    made = Kubelet(client, namespace)
    task = asyncio.create_task(made._run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.delete("Node", NODE)


def manifest(kind: str, name: str, namespace: str, **labels: str) -> kube.Object:
    """A workload of two pods (a DaemonSet: one for each node) that replaces one at a time."""
    pods = {"app": name}
    container = {"name": "main", "image": "registry.k8s.io/pause:3.10"}
    spec: kube.Object = {
        "selector": {"matchLabels": pods},
        "template": {"metadata": {"labels": pods}, "spec": {"containers": [container]}},
    }
    if kind != "DaemonSet":
        spec["replicas"] = 2
    if kind == "Deployment":
        spec["strategy"] = ONE_MORE
    if kind == "StatefulSet":
        spec["serviceName"] = name
    meta = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec}


def is_up(found: kube.Object | None) -> bool:
    """Whether all pods of a workload are ready."""
    status: dict[str, typing.Any] = (found or {}).get("status") or {}
    ready = status.get("readyReplicas", status.get("numberReady", 0))
    return bool(ready == (found or {})["spec"].get("replicas", 1))


def restarts(found: kube.Object | None) -> list[str]:
    """The leases that the pods of a workload were last restarted for."""
    meta = (found or {})["spec"]["template"]["metadata"]
    notes: dict[str, str] = meta.get("annotations") or {}
    return [value for key, value in notes.items() if key.startswith("restart.leaseholder.dev/")]


def revision(deployment: kube.Object | None) -> int:
    """How often a Deployment's pods were replaced, counting from 1."""
    return int((deployment or {})["metadata"]["annotations"]["deployment.kubernetes.io/revision"])


ARGO = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "rollouts.argoproj.io"},
    "spec": {
        "group": "argoproj.io",
        "scope": "Namespaced",
        "names": {"kind": "Rollout", "plural": "rollouts", "singular": "rollout"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}
"""Argo's Rollout, as far as it matters here."""
