"""A user's view of the cluster: apply, get, patch, delete, wait; what kubectl would do.

Used by tests, demo and benchmarks to act and to look from outside, never through the code
that is tested.
"""

import asyncio
import base64
import collections.abc
import contextlib
import dataclasses
import json
import pathlib
import time
import types
import typing

import aiohttp
import yaml

from tests.world import kubernetes

Object = dict[str, typing.Any]
Namespaced = bool

_THROTTLED = 10.0
"""Seconds for which a 429 is patiently met: the storage of a new CRD takes a moment."""
_LARGEST = 2**21
"""Bytes: more than an object may have, which a watch tells in one line."""
_AGAIN = 0.25
"""Seconds after which a condition is looked at again: it may hang on more than its object."""
_ABSENT = 0.05
"""Seconds after which it is looked again for an object that isn't there, or isn't watched."""
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_Loader: typing.Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_PLACES: dict[str, tuple[str, str, Namespaced]] = {
    "Namespace": ("api/v1", "namespaces", False),
    "Secret": ("api/v1", "secrets", True),
    "ConfigMap": ("api/v1", "configmaps", True),
    "ServiceAccount": ("api/v1", "serviceaccounts", True),
    "Event": ("api/v1", "events", True),
    "ResourceQuota": ("api/v1", "resourcequotas", True),
    "ClusterRole": ("apis/rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings", True),
    "CustomResourceDefinition": (
        "apis/apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        False,
    ),
    "ValidatingWebhookConfiguration": (
        "apis/admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
        False,
    ),
    "ValidatingAdmissionPolicy": (
        "apis/admissionregistration.k8s.io/v1",
        "validatingadmissionpolicies",
        False,
    ),
    "ValidatingAdmissionPolicyBinding": (
        "apis/admissionregistration.k8s.io/v1",
        "validatingadmissionpolicybindings",
        False,
    ),
    "SubjectAccessReview": ("apis/authorization.k8s.io/v1", "subjectaccessreviews", False),
    "Lease": ("apis/coordination.k8s.io/v1", "leases", True),
    "DynamicLease": ("apis/leaseholder.dev/v1alpha1", "dynamicleases", True),
    "Pod": ("api/v1", "pods", True),
    "Node": ("api/v1", "nodes", False),
    "Service": ("api/v1", "services", True),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies", True),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets", True),
    "Deployment": ("apis/apps/v1", "deployments", True),
    "StatefulSet": ("apis/apps/v1", "statefulsets", True),
    "DaemonSet": ("apis/apps/v1", "daemonsets", True),
    "ReplicaSet": ("apis/apps/v1", "replicasets", True),
    "Rollout": ("apis/argoproj.io/v1alpha1", "rollouts", True),
    "LeaseProvider": ("apis/leaseholder.dev/v1alpha1", "leaseproviders", True),
    "ClusterLeaseProvider": ("apis/leaseholder.dev/v1alpha1", "clusterleaseproviders", False),
    "LeaseRecord": ("apis/leaseholder.dev/v1alpha1", "leaserecords", True),
}


class Refused(Exception):
    """The API server said no; ``message`` is what a user would read."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


@dataclasses.dataclass(slots=True)
class Kube:
    """One person's connection."""

    plane: kubernetes.ControlPlane
    token: str | None = None
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> typing.Self:
        self._session = self.plane.session(self.token)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def apply(self, manifest: Object) -> Object:
        """Server-side apply, as ``kubectl apply --server-side`` with strict field checks."""
        meta = manifest["metadata"]
        path = _path(manifest["kind"], meta.get("namespace", ""), meta["name"])
        query = "?fieldManager=tests&force=true&fieldValidation=Strict"
        return await self._call(
            "PATCH", path + query, manifest, content_type="application/apply-patch+yaml"
        )

    async def create(self, manifest: Object) -> Object:
        """What ``kubectl apply`` does with what isn't there yet, with strict field checks."""
        path = _path(manifest["kind"], manifest["metadata"].get("namespace", ""), "")
        return await self._call("POST", path + "?fieldValidation=Strict", manifest)

    async def apply_file(self, path: pathlib.Path) -> None:
        """Apply every document of a manifest."""
        for document in documents(path):
            await self.apply(document)

    async def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """An object, None where there is none."""
        try:
            return await self._call("GET", _path(kind, namespace, name))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def table(self, kind: str, name: str, namespace: str = "") -> str:
        """An object as ``kubectl get`` prints it, by the columns that the API server gives."""
        found = await self._call("GET", _path(kind, namespace, name), accept=_TABLE)
        shown = [not one["priority"] for one in found["columnDefinitions"]]
        heads = [str(one["name"]).upper() for one in found["columnDefinitions"]]
        rows = [heads, *([str(cell) for cell in row["cells"]] for row in found["rows"])]
        kept = [[cell for cell, show in zip(row, shown, strict=True) if show] for row in rows]
        widths = [max(map(len, column)) + 3 for column in zip(*kept, strict=True)]
        lines = (zip(row, widths, strict=True) for row in kept)
        return "\n".join("".join(c.ljust(w) for c, w in line).rstrip() for line in lines)

    async def list(self, kind: str, namespace: str = "", *, labels: str = "") -> list[Object]:
        """All objects of a kind, in one namespace or everywhere."""
        query = f"?labelSelector={labels}" if labels else ""
        found = await self._call("GET", _path(kind, namespace, "") + query)
        items: list[Object] = found["items"]
        return items

    async def watch(self, kind: str, namespace: str) -> collections.abc.AsyncIterator[Object]:
        """What becomes of the objects in a namespace, from those that are there on, for ever.

        Yields each object as it was when it changed; one that goes carries ``gone: True``, also
        where it went between the end of a watch and the next list.
        """
        there: dict[str, Object] = {}
        while True:
            listed = await self._call("GET", _path(kind, namespace, ""))
            before, there = there, {item["metadata"]["name"]: item for item in listed["items"]}
            for name in before.keys() - there.keys():
                yield {**before[name], "gone": True}
            for item in listed["items"]:
                yield item
            version = listed["metadata"]["resourceVersion"]
            async for changed in self._changes(kind, namespace, version):
                there[changed["metadata"]["name"]] = changed
                if changed["gone"]:
                    del there[changed["metadata"]["name"]]
                yield changed

    async def _changes(
        self, kind: str, namespace: str, since: str, *, name: str = ""
    ) -> collections.abc.AsyncIterator[Object]:
        """The changes after a version, of one object or all, until the API server ends them."""
        assert self._session is not None, "use it as a context manager"
        query = f"?watch=true&resourceVersion={since}"
        query += f"&fieldSelector=metadata.name={name}" if name else ""
        url, limit = _path(kind, namespace, "") + query, aiohttp.ClientTimeout(total=None)
        async with self._session.get(url, timeout=limit, read_bufsize=_LARGEST) as answer:
            async for line in answer.content:
                event = json.loads(line)
                if event.get("type", "ERROR") == "ERROR":
                    break
                yield {**event["object"], "gone": event["type"] == "DELETED"}

    async def patch(self, kind: str, name: str, namespace: str, change: Object) -> Object:
        """A merge patch."""
        path = _path(kind, namespace, name)
        return await self._call("PATCH", path, change, content_type="application/merge-patch+json")

    async def patch_status(self, kind: str, name: str, namespace: str, change: Object) -> Object:
        """A merge patch of the status subresource."""
        path = _path(kind, namespace, name) + "/status"
        return await self._call("PATCH", path, change, content_type="application/merge-patch+json")

    async def delete(
        self, kind: str, name: str, namespace: str = "", *, orphans: bool = False
    ) -> None:
        """Delete an object; it is fine if there is none. ``orphans``: what it owns stays."""
        options = {"propagationPolicy": "Orphan"} if orphans else None
        try:
            await self._call("DELETE", _path(kind, namespace, name), options)
        except Refused as error:
            if error.status != 404:
                raise

    async def service_account_token(self, name: str, namespace: str) -> str:
        """A token of a ServiceAccount, as a pod would have it."""
        path = _path("ServiceAccount", namespace, name) + "/token"
        body = {"spec": {"expirationSeconds": 7200}}
        answer = await self._call("POST", path, body)
        return str(answer["status"]["token"])

    async def secret_values(self, name: str, namespace: str) -> dict[str, str] | None:
        """A Secret's data, decoded; None where there is no such Secret."""
        found = await self.get("Secret", name, namespace)
        if found is None:
            return None
        return {k: base64.b64decode(v).decode() for k, v in found.get("data", {}).items()}

    async def wait(
        self,
        kind: str,
        name: str,
        namespace: str,
        until: collections.abc.Callable[[Object | None], bool],
        *,
        what: str,
        timeout: float = 90.0,
    ) -> Object | None:
        """Look until a condition holds; the object as it was then.

        It is watched: each look of its own would take the API server some milliseconds.

        Raises:
            AssertionError: it didn't within ``timeout`` seconds; says how it stood last.
        """
        deadline = time.monotonic() + timeout
        found = await self.get(kind, name, namespace)
        if until(found):
            return found
        states: asyncio.Queue[Object | None] = asyncio.Queue()
        following = asyncio.create_task(self._follow(kind, name, namespace, found, states))
        try:
            while not until(found):
                if following.done():
                    following.result()
                if time.monotonic() > deadline:
                    raise AssertionError(
                        f"{kind} {name}: not within {timeout:g} s: {what}; {_outline(found)}"
                    )
                with contextlib.suppress(TimeoutError):
                    found = await asyncio.wait_for(states.get(), _AGAIN)
            return found
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _follow(
        self,
        kind: str,
        name: str,
        namespace: str,
        found: Object | None,
        states: asyncio.Queue[Object | None],
    ) -> None:
        """Tell how an object stands whenever it changes, None where there is none, for ever."""
        while True:
            if found is not None:
                version = found["metadata"]["resourceVersion"]
                async for changed in self._changes(kind, namespace, version, name=name):
                    states.put_nowait(None if changed.pop("gone") else changed)
            await asyncio.sleep(_ABSENT)
            found = await self.get(kind, name, namespace)
            states.put_nowait(found)

    async def _call(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """Send a request; like every Kubernetes client, again after a 429."""
        assert self._session is not None, "use it as a context manager"
        headers = {"Content-Type": content_type, "Accept": accept}
        deadline = time.monotonic() + _THROTTLED
        while True:
            async with self._session.request(method, path, json=body, headers=headers) as answer:
                parsed: Object = await answer.json(content_type=None)
            if answer.status < 300:
                return parsed
            if answer.status != 429 or time.monotonic() > deadline:
                raise Refused(answer.status, str(parsed.get("message")))
            await asyncio.sleep(0.1)


def documents(path: pathlib.Path) -> list[Object]:
    """The documents of a manifest."""
    return list(yaml.load_all(path.read_text(encoding="utf-8"), _Loader))


def _path(kind: str, namespace: str, name: str) -> str:
    group, plural, namespaced = _PLACES[kind]
    scope = f"/namespaces/{namespace}" if namespaced and namespace else ""
    return f"/{group}{scope}/{plural}" + (f"/{name}" if name else "")


def condition(found: Object | None, kind: str) -> Object:
    """A condition of an object; empty where it has none."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == kind), {})


def is_ready(found: Object | None) -> bool:
    """What ``kubectl wait --for=condition=Ready`` waits for."""
    ready = condition(found, "Ready")
    return ready.get("status") == "True"


def is_gone(found: Object | None) -> bool:
    """Whether there is no such object."""
    return found is None


def _outline(found: Object | None) -> str:
    """Status and metadata of an object, for a failed wait; never data."""
    if found is None:
        return "it doesn't exist"
    return f"status {found.get('status')}, deletion {found['metadata'].get('deletionTimestamp')}"
