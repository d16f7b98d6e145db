"""``Cluster`` on a real API server: all of its ports in one object.

Flows in: the controller's calls. Flows out: requests, by the module that has the port: ``records``,
``secrets``, ``watching``, ``workloads``, ``announcing`` and ``credentialing``; DynamicLeases and
provider objects are a few lines over ``objects`` here. ``client`` sends all of them.
"""

import pathlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Self

from leaseholder.api import lease, names, provider, record
from leaseholder.cluster import (
    announcing,
    client,
    credentialing,
    documents,
    objects,
    patches,
    places,
    records,
    refusals,
    secrets,
    streams,
    unreadable,
    watching,
    workloads,
)
from leaseholder.ports.credentials import Access, Credentialing
from leaseholder.ports.events import Note
from leaseholder.ports.namespaces import NamespaceView
from leaseholder.ports.secrets import SecretCopy, SecretDraft, SecretEvent, SecretView
from leaseholder.ports.workloads import Workload

_PROVIDERS: Final[Mapping[str, places.Resource]] = {
    provider.LeaseProvider.KIND: places.PROVIDERS,
    provider.ClusterLeaseProvider.KIND: places.CLUSTER_PROVIDERS,
}


class KubernetesCluster:
    """The API server as the controller sees it.

    The ledger is in ``operator_namespace``; ``namespaces`` are those that are served, none: all.
    """

    def __init__(
        self,
        api: client.Api,
        *,
        operator_namespace: str,
        namespaces: Sequence[str] = (),
        unread: unreadable.UnreadableObjects | None = None,
        require_auth_label: bool = False,
        crds_may_go: bool = False,
        watches: Callable[[Mapping[str, str]], bool] = lambda labels: True,
    ) -> None:
        self._api = api
        self._require_auth_label = require_auth_label
        unread = unread or unreadable.UnreadableObjects()
        self._home = operator_namespace
        self._namespaces = tuple(namespaces) or ("",)
        self.objects: Final = objects.Objects(api, unread, crds_may_go=crds_may_go)
        """Our objects, with what was last seen of them."""
        self._known_leases = self.objects.known[places.LEASES.plural]
        self._known_leases.watches = watches
        self._records = records.KubernetesRecords(api, self.objects, operator_namespace)
        self._secrets = secrets.KubernetesSecrets(api)
        self._announcer = announcing.Announcer(api)
        self._workloads = workloads.KubernetesWorkloads(api)
        self._watch = watching.SecretWatch(api, namespaces, unread=unread)
        api.streams.expect(places.SECRETS.at(namespace).path for namespace in self._namespaces)

    @classmethod
    async def connect(
        cls,
        *,
        operator_namespace: str,
        namespaces: Sequence[str] = (),
        kubeconfig: pathlib.Path | None = None,
        context: str = "",
        observe: client.Observe | None = None,
        unread: unreadable.UnreadableObjects | None = None,
        require_auth_label: bool = False,
        crds_may_go: bool = False,
        watches: Callable[[Mapping[str, str]], bool] = lambda labels: True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Connect by ``kubeconfig``, else by what kubectl would read, else as the pod that we are.

        ``context`` is one of the kubeconfig's, empty: the current one. ``observe`` is called with
        verb and resource of each request; ``unread`` is told of objects that can't be read;
        ``require_auth_label``: Secrets without the label are no logins;
        ``crds_may_go``: a kind whose CRD was deleted has no objects, which is no error;
        ``watches``: whether DynamicLeases with these labels are watched;
        ``monotonic``: what carries the API server's clock on between its answers.
        """
        return cls(
            await client.Api.connect(
                kubeconfig, context=context, observe=observe, monotonic=monotonic
            ),
            operator_namespace=operator_namespace,
            namespaces=namespaces,
            unread=unread,
            require_auth_label=require_auth_label,
            crds_may_go=crds_may_go,
            watches=watches,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._api.aclose()

    def act_while(self, allowed: Callable[[], bool]) -> None:
        """From now on send nothing while that says no: to the caller the API server is away."""
        self._api.may_act = allowed

    @property
    def streams(self) -> streams.Streams:
        """Whether the watch on our Secrets is open."""
        return self._api.streams

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Host and port of the API server."""
        return self._api.endpoint

    async def installation(self) -> str:
        """What tells this installation from a clone: uid of kube-system, operator's namespace."""
        found = await self._api.request("GET", places.NAMESPACES.at("", "kube-system"))
        return f"{found['metadata']['uid']}/{self._home}"

    async def missing_kinds(self) -> Collection[str]:
        """Those of our resources that the API server doesn't know; new CRDs take it a moment."""
        found = await self.objects.get(places.KINDS)
        known = {item["name"] for item in (found or {}).get("resources") or ()}
        return sorted({kind.plural for kind in objects.OURS} - known)

    def server_now(self) -> datetime | None:
        """The API server's clock; None before an answer told the time."""
        clock = self._api.clock
        return clock.now() if clock.heard else None

    def unreadable_objects(self, kind: str) -> Sequence[str]:
        """Namespace and name of the objects of a kind that can't be read, as far as was seen."""
        return self.objects.reader.unread.named(kind)

    # -- DynamicLeases

    async def dynamic_lease(self, namespace: str, name: str) -> lease.DynamicLease | None:
        """A DynamicLease as it is known."""
        return await self.objects.as_known(lease.DynamicLease, places.LEASES, namespace, name)

    async def read_dynamic_lease(self, namespace: str, name: str) -> lease.DynamicLease | None:
        """A DynamicLease, read live."""
        return await self.objects.read(lease.DynamicLease, places.LEASES, namespace, name)

    def outline(self, namespace: str, name: str) -> lease.Outline | None:
        """Metadata and status of a DynamicLease as it is known."""
        body = self._known_leases.body(namespace, name)
        return None if body is None else documents.outline(body)

    def known_name(self, namespace: str, uid: str) -> str | None:
        """The name of the DynamicLease of that uid; None: it isn't known."""
        return self._known_leases.named(namespace, uid)

    def shown_beside(self, dl: lease.DynamicLease, other: record.Holder) -> bool:
        """Whether watch or list showed a DynamicLease while another of its namespace stood."""
        meta = dl.metadata
        new, beside = (meta.namespace, meta.name), (other.namespace, other.name)
        return self._known_leases.shown_beside(new, meta.uid, beside, other.uid)

    async def dynamic_leases(self) -> AsyncIterator[lease.DynamicLease]:
        """All DynamicLeases in the watched namespaces; what can't be read is left out."""
        for namespace in self._namespaces:
            async for found in self.objects.each(lease.DynamicLease, places.LEASES, namespace):
                yield found

    async def delete_dynamic_lease(self, dl: lease.DynamicLease) -> None:
        """Delete a DynamicLease, if it is still the one that was read; fine if it is gone."""
        meta = dl.metadata
        body = patches.preconditions(meta.uid)
        try:
            place = places.LEASES.at(meta.namespace, meta.name)
            await self._api.request("DELETE", place, body=body)
        except refusals.NotFound:
            return

    async def patch_lease_status(
        self, dl: lease.DynamicLease, status: lease.DynamicLeaseStatus
    ) -> None:
        """Make ``status`` the status of ``dl`` as it was read."""
        await self.objects.patch_status(places.LEASES, dl.metadata, dl.status, status)

    async def patch_finalizer(self, dl: lease.DynamicLease, *, on: bool) -> None:
        """Put our finalizer on ``dl`` as it was read, or take it off."""
        meta = dl.metadata
        others = [one for one in meta.finalizers if one != names.FINALIZER]
        wanted = [*others, names.FINALIZER] if on else others
        guard = patches.guard(meta.uid, meta.resource_version)
        body = {"metadata": {**guard, "finalizers": wanted}}
        await self.objects.patch_known(places.LEASES, meta, body)

    # -- records

    async def record_named(self, name: str) -> record.LeaseRecord | None:
        """A record, None where there is none."""
        return await self._records.named(name)

    async def records(self) -> Sequence[record.LeaseRecord]:
        """The whole ledger; what can't be read is left out."""
        return await self._records.all()

    async def records_of_slot(self, slot: str) -> Sequence[record.LeaseRecord]:
        """Up to ``MOST_RIVALS`` records with that slot."""
        return await self._records.of_slot(slot)

    async def create_record(self, spec: record.RecordSpec) -> record.LeaseRecord:
        """Put a record on the ledger."""
        return await self._records.create(spec)

    async def write_record(
        self, known: record.LeaseRecord, spec: record.RecordSpec
    ) -> record.LeaseRecord:
        """Make ``spec`` the record's, as it was read; gone: ``Conflict``."""
        return await self._records.write(known, spec)

    async def delete_record(self, known: record.LeaseRecord) -> None:
        """Take a record off the ledger; it is fine if it is gone already."""
        await self._records.delete(known)

    async def give_up_record(self, known: record.LeaseRecord) -> None:
        """Take a record off the ledger as it was read, leases and all: another one has them."""
        await self._records.give_up(known)

    # -- Secrets

    async def secret(self, namespace: str, name: str) -> SecretView | None:
        """A Secret, None where there is none."""
        return await self._secrets.get(namespace, name)

    async def secrets_of(self, namespace: str, uid: str) -> Sequence[SecretView]:
        """The Secrets in a namespace that carry our owner label with that uid."""
        return await self._secrets.owned(namespace, uid)

    def labelled(self, namespace: str, uid: str) -> Collection[str] | None:
        """Names of these Secrets as the watch has shown them; None: it isn't open."""
        is_open = self.hears_of_secrets(namespace)
        return self._watch.labelled(namespace, uid) if is_open else None

    async def leases_shown(self) -> frozenset[str]:
        """Ids of the leases that Secrets of ours name; their data isn't read."""
        return await self._secrets.leases_named(self._namespaces)

    async def write_secret(
        self,
        draft: SecretDraft,
        current: SecretView | None,
        *,
        dry_run: bool = False,
    ) -> SecretView:
        """Create the Secret, or make ``current`` as drafted in one write."""
        written = await self._secrets.write(draft, current, dry_run=dry_run)
        if not dry_run:
            self._watch.wrote(written)
        return written

    async def touch_secret(self, current: SecretView) -> None:
        """One write that moves the Secret's resourceVersion."""
        await self._secrets.touch(current)

    async def disown_secret(self, current: SecretView, owner: record.Holder) -> None:
        """Take our labels and the owner off a Secret; its data stays."""
        await self._secrets.disown(current, owner.uid)

    async def delete_secret(self, current: SecretView) -> None:
        """Delete the Secret as it was read; it is fine if it is gone already."""
        await self._secrets.delete(current)

    def secret_events(self) -> AsyncIterator[SecretEvent | SecretCopy]:
        """Each change of a Secret with our owner label, for ever."""
        return self._watch.events()

    def hears_of_secrets(self, namespace: str) -> bool:
        """Whether the watch on our Secrets in a namespace is open, as far as is known."""
        is_open, at = self._api.streams.is_open, places.SECRETS.at
        return any(is_open(at(within).path) for within in (namespace, ""))

    async def secret_owners(self) -> Sequence[SecretEvent]:
        """The last event of each Secret with our owner label, as the watch has shown it."""
        return self._watch.owners

    # -- workloads

    async def workload(
        self, kind: lease.WorkloadKind, namespace: str, name: str
    ) -> Workload | None:
        """A workload; None where there is none, or its kind isn't known."""
        return await self._workloads.get(kind, namespace, name)

    async def workloads(
        self, kind: lease.WorkloadKind, namespace: str, labels: Mapping[str, str]
    ) -> Sequence[Workload]:
        """The workloads that carry all these labels; none where the kind isn't known."""
        return await self._workloads.labelled(kind, namespace, labels)

    async def stamp_workload(
        self, current: Workload, key: str, value: str, *, restart_at: datetime
    ) -> None:
        """Replace a workload's pods by ones with a stamp, in one write."""
        await self._workloads.stamp(current, key, value, restart_at=restart_at)

    # -- providers and what is around

    async def provider_of(
        self, ref: lease.ProviderRef, namespace: str
    ) -> provider.AnyProvider | None:
        """The provider that a DynamicLease of ``namespace`` means, as it is known."""
        if ref.kind == provider.LeaseProvider.KIND:
            kind = places.PROVIDERS
            return await self.objects.as_known(provider.LeaseProvider, kind, namespace, ref.name)
        kind = places.CLUSTER_PROVIDERS
        return await self.objects.as_known(provider.ClusterLeaseProvider, kind, "", ref.name)

    async def patch_provider_status(
        self, known: provider.AnyProvider, status: provider.ProviderStatus
    ) -> None:
        """Make ``status`` the provider's status."""
        meta = known.metadata
        await self.objects.patch_status(_PROVIDERS[known.KIND], meta, known.status, status)

    async def namespace(self, name: str) -> NamespaceView | None:
        """A namespace, None where there is none."""
        found = await self.objects.get(places.NAMESPACES.at("", name))
        if found is None:
            return None
        meta = found["metadata"]
        return NamespaceView(
            name=meta["name"],
            labels=meta.get("labels") or {},
            terminating="deletionTimestamp" in meta,
            uid=meta["uid"],
        )

    async def emit(self, about: lease.DynamicLease | provider.AnyProvider, note: Note) -> None:
        """Post an event about a resource; failures are swallowed."""
        await self._announcer.emit(about.KIND, about.metadata, note)

    def credentialing(self, access: Access) -> Credentialing:
        """Where an adapter for ``access`` gets what it logs in with."""
        return credentialing.LiveCredentialing(
            self._api, access, require_label=self._require_auth_label
        )
