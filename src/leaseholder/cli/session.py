"""What the user's own login lets the command see and say at the API server.

Whatever comes from there may have been written by somebody else. So texts are escaped before they
reach a terminal (``exits.printable``), and an object that can't be read hides no other.
"""

import contextlib
import difflib
import pathlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from leaseholder import errors
from leaseholder.api import lease, names, provider, record
from leaseholder.cli import event, refused
from leaseholder.cli.exits import Failed
from leaseholder.cluster import client, documents, electing, patches, places, records
from leaseholder.cluster import login as logins

_MANAGER: Final = "kubectl-leaseholder"
_VERBS: Final = {"GET": "get", "POST": "create", "PATCH": "patch"}
_APPLY: Final = "application/apply-patch+yaml"
Found: TypeAlias = tuple[list[patches.Kind], list[str]]
"""What could be read, and a sentence for each object that couldn't."""


@dataclass(frozen=True, slots=True)
class Session:
    """A user at the API server, in a namespace."""

    api: client.Api
    namespace: str
    """Empty: in all."""

    async def dynamic_lease(self, name: str, namespace: str = "") -> lease.DynamicLease:
        """A DynamicLease by its name, in the session's namespace if no other is given.

        Raises:
            Failed: it isn't there (``refused.Missing``), or can't be read.
        """
        place = places.LEASES.at(namespace or self.namespace, name)
        return _read(lease.DynamicLease, await self._ask("GET", place))

    async def named(self, name: str) -> lease.DynamicLease:
        """The DynamicLease of the session's namespace that a user means by ``name``.

        Raises:
            Failed: as ``dynamic_lease``; where it isn't there, with a name that is and is near.
        """
        try:
            return await self.dynamic_lease(name)
        except refused.Unserved:
            raise
        except refused.Missing as missing:
            sentence = missing.message
        near = list[str]()
        with contextlib.suppress(Failed):
            there = await self._items(places.LEASES.at(self.namespace))
            near = difflib.get_close_matches(name, [str(one["metadata"]["name"]) for one in there])
        raise refused.Missing(f"{sentence}. Did you mean {near[0]}?" if near else sentence)

    async def dynamic_leases(self) -> Found[lease.DynamicLease]:
        """All DynamicLeases."""
        return await self._listed(lease.DynamicLease, places.LEASES.at(self.namespace))

    async def providers(self) -> Found[provider.LeaseProvider]:
        """All LeaseProviders."""
        return await self._listed(provider.LeaseProvider, places.PROVIDERS.at(self.namespace))

    async def cluster_providers(self) -> Found[provider.ClusterLeaseProvider]:
        """All ClusterLeaseProviders."""
        place = places.CLUSTER_PROVIDERS.at("")
        return await self._listed(provider.ClusterLeaseProvider, place)

    async def records(self) -> Found[record.LeaseRecord]:
        """All LeaseRecords."""
        return await self._listed(record.LeaseRecord, places.RECORDS.at(self.namespace))

    async def write(self, known: record.LeaseRecord, spec: record.RecordSpec) -> None:
        """Make ``spec`` the record's, if it is still as it was read.

        Raises:
            Failed: no right, or it isn't.
        """
        place = places.RECORDS.at(known.metadata.namespace, known.name)
        body = records.changed(known, spec)
        await self._ask("PATCH", place, body=body, content_type=client.MERGE_PATCH)

    async def events(self, dl: lease.DynamicLease) -> list[event.Event]:
        """The events about a DynamicLease, the oldest first."""
        chosen = {"fieldSelector": f"involvedObject.uid={dl.metadata.uid}"}
        place = places.EVENTS.at(dl.metadata.namespace)
        found = [event.read(one) for one in await self._items(place, chosen)]
        return sorted(found, key=lambda one: one.last.timestamp() if one.last else 0.0)

    async def annotate(self, dl: lease.DynamicLease, annotation: str, value: str) -> None:
        """Put an annotation on a DynamicLease, if it is still the one that was read.

        Raises:
            Failed: no right, or it was made again meanwhile.
        """
        meta = dl.metadata
        change = {"metadata": {"uid": meta.uid, "annotations": {annotation: value}}}
        place = places.LEASES.at(meta.namespace, meta.name)
        await self._ask("PATCH", place, body=change, content_type=client.MERGE_PATCH)

    async def suspend(self, dl: lease.DynamicLease, held: bool) -> None:
        """Set ``spec.suspend`` of a DynamicLease, if it is still the one that was read.

        Raises:
            Failed: no right, or it was made again meanwhile.
        """
        meta = dl.metadata
        change = {"metadata": {"uid": meta.uid}, "spec": {"suspend": held}}
        place = places.LEASES.at(meta.namespace, meta.name)
        await self._ask("PATCH", place, body=change, content_type=client.MERGE_PATCH)

    async def tried(self, place: places.Place, manifest: dict[str, Any]) -> tuple[int, list[str]]:
        """What the API server says to a manifest that is applied without being stored.

        Returns:
            The code, and the sentences of a refusal.

        Raises:
            Failed: it says nothing.
        """
        query = {
            "dryRun": "All",
            "fieldManager": _MANAGER,
            "force": "true",
            "fieldValidation": "Strict",
        }
        with self._translated("patch", place):
            code, body = await self.api.answered(
                "PATCH", place, query=query, body=manifest, content_type=_APPLY
            )
        return code, [] if code < 300 else refused.complaints(body)

    async def provider(self, kind: str, namespace: str, name: str) -> provider.AnyProvider | None:
        """A LeaseProvider or ClusterLeaseProvider; None where there is none."""
        if kind == provider.LeaseProvider.KIND:
            body = await self._found(places.PROVIDERS.at(namespace, name))
            return _read(provider.LeaseProvider, body) if body is not None else None
        body = await self._found(places.CLUSTER_PROVIDERS.at("", name))
        return _read(provider.ClusterLeaseProvider, body) if body is not None else None

    async def see_namespace(self) -> None:
        """See that the session's namespace is there, as far as the user may know.

        Raises:
            Failed: it isn't (``refused.Missing``).
        """
        with contextlib.suppress(refused.Forbidden):
            if self.namespace and await self.namespace_named(self.namespace) is None:
                raise refused.Missing(f"there is no namespace {self.namespace}: mind -n")

    async def namespace_named(self, name: str) -> dict[str, Any] | None:
        """A Namespace; None where there is none."""
        return await self._found(places.NAMESPACES.at("", name))

    async def operators(self, namespace: str) -> list[str]:
        """Names of the operator's Deployments in a namespace that aren't scaled to 0."""
        chosen = {"labelSelector": f"app.kubernetes.io/name={names.MANAGER}"}
        found = await self._items(places.DEPLOYMENTS.at(namespace), chosen)
        wanted = (one for one in found if (one.get("spec") or {}).get("replicas") != 0)
        return [str(one["metadata"]["name"]) for one in wanted]

    async def namespace_labels(self, name: str) -> dict[str, str] | None:
        """The labels of a Namespace; None where there is none."""
        body = await self.namespace_named(name)
        return None if body is None else dict((body.get("metadata") or {}).get("labels") or {})

    async def secret_metadata(self, namespace: str, name: str) -> dict[str, Any] | None:
        """A Secret's metadata, without its data; None where there is none."""
        place = places.SECRETS.at(namespace, name)
        body = await self._found(place, accept=documents.METADATA)
        return None if body is None else dict(body.get("metadata") or {})

    async def foreign(self, versions: Sequence[places.Place]) -> list[dict[str, Any]]:
        """All objects of another operator's kind, by the first version that is served; or none."""
        for place in versions:
            with contextlib.suppress(refused.Missing):
                return [_typed(one, place) for one in await self._items(place)]
        return []

    async def crd(self, name: str) -> dict[str, Any] | None:
        """A CRD as the API server has it; None where there is none."""
        return await self._found(places.CRDS.at("", name))

    async def election(self, namespace: str, shard: str = "") -> dict[str, Any] | None:
        """The Lease that an operator in that namespace leads by; None where there is none.

        Args:
            namespace: the operator's.
            shard: empty for the default one.
        """
        name = f"{electing.LEASE}-{shard}" if shard else electing.LEASE
        return await self._found(places.ELECTIONS.at(namespace, name))

    async def shards(self, namespace: str) -> list[str]:
        """The shards beside the default one that lead, or led, in a namespace, by their Leases."""
        begin = f"{electing.LEASE}-"
        found = await self._items(places.ELECTIONS.at(namespace))
        known = (str((one.get("metadata") or {}).get("name") or "") for one in found)
        return sorted(name.removeprefix(begin) for name in known if name.startswith(begin))

    async def may(self, attributes: Mapping[str, str], account: str) -> bool:
        """Whether RBAC allows something to a ServiceAccount.

        Args:
            attributes: namespace, group, resource, subresource and verb.
            account: ``NAMESPACE:NAME``; empty: to this user.

        Raises:
            Failed: no right to ask for others.
        """
        review: dict[str, Any] = {"resourceAttributes": dict(attributes)}
        place = places.ACCESS_REVIEWS if account else places.OWN_ACCESS_REVIEWS
        if account:
            home = account.partition(":")[0]
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{home}"]
            review["user"] = f"system:serviceaccount:{account}"
            review["groups"] = [*groups, "system:authenticated"]
        answer = await self._ask("POST", place.at(""), body={"spec": review})
        return bool((answer.get("status") or {}).get("allowed"))

    async def _found(self, place: places.Place, **more: Any) -> dict[str, Any] | None:
        try:
            return await self._ask("GET", place, **more)
        except refused.Missing:
            return None

    async def _listed(self, model: type[patches.Kind], place: places.Place) -> Found[patches.Kind]:
        found, broken = list[patches.Kind](), list[str]()
        for item in await self._items(place):
            try:
                found.append(patches.read(model, item))
            except errors.Unreadable as error:
                broken.append(error.sentence)
        found.sort(key=lambda one: (one.metadata.namespace, one.metadata.name))
        return found, broken

    async def _items(
        self, place: places.Place, query: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        with self._translated("list", place):
            pages = self.api.pages(place, query=query or {})
            return [item async for page in pages for item in page.get("items") or ()]

    async def _ask(self, method: str, place: places.Place, **more: Any) -> dict[str, Any]:
        with self._translated(_VERBS[method], place):
            return await self.api.request(method, place, **more)

    def _translated(self, verb: str, place: places.Place) -> AbstractContextManager[None]:
        at = self.api.endpoint
        return refused.translated(verb, place, f"{at[0]}:{at[1]}" if at is not None else "")


def chosen(kubeconfig: str, context: str) -> logins.Choice:
    """What the options ``--kubeconfig`` and ``--context`` say.

    Raises:
        Failed: there is no such file.
    """
    path = pathlib.Path(kubeconfig) if kubeconfig else None
    if path is not None and not (path.is_file() or path.is_fifo()):
        raise Failed(f"there is no kubeconfig {kubeconfig}")
    return logins.Choice(path, context)


@contextlib.asynccontextmanager
async def opened(
    *, kubeconfig: str, context: str, namespace: str, everywhere: bool = False
) -> AsyncIterator[Session]:
    """A session by kubectl's own rules; it is closed with the context.

    Raises:
        Failed: nothing says where the API server is.
    """
    choice = chosen(kubeconfig, context)
    try:
        api = await client.Api.connect(choice.kubeconfig, context=choice.context)
    except errors.ClusterUnavailable as error:
        sentence = error.sentence
    else:
        try:
            yield Session(api, "" if everywhere else namespace or api.namespace)
        finally:
            await api.aclose()
        return
    raise Failed(sentence)


def _typed(item: Mapping[str, Any], place: places.Place) -> dict[str, Any]:
    """An item of a list with the apiVersion and kind that the API server leaves out there."""
    version = place.path.removeprefix("/apis/").partition(f"/namespaces/{place.namespace}")[0]
    group = "/".join(version.split("/")[:2])
    return {"apiVersion": group, **item}


def _read(model: type[patches.Kind], body: Mapping[str, Any]) -> patches.Kind:
    try:
        return patches.read(model, body)
    except errors.Unreadable as error:
        sentence = error.sentence
    raise Failed(sentence)
