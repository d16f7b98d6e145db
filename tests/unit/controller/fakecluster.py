"""``Cluster`` in memory.

It keeps what the API server promises: a write names uid and resourceVersion of what was read
and meets ``Conflict`` when that is stale, labels select, a status is replaced whole, a
Secret's foreign labels stay, deletion waits for finalizers and takes what is owned along.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from leaseholder import errors
from leaseholder.api import base, lease, names, provider, record
from leaseholder.api.conditions import Reason
from leaseholder.ports.clock import Clock
from leaseholder.ports.credentials import Access, Credentialing
from leaseholder.ports.events import Note
from leaseholder.ports.namespaces import NamespaceView
from leaseholder.ports.secrets import MOST_OWNED, SecretCopy, SecretDraft, SecretEvent, SecretView
from leaseholder.ports.workloads import Workload
from leaseholder.secrecy import Credentials
from tests.unit.controller import fakes, wire


class FakeCluster(fakes.Scripted):
    """``Cluster`` over dictionaries. Tests read them, and act as users by ``user_…``."""

    def __init__(self, trace: fakes.Trace, clock: Clock) -> None:
        super().__init__(trace)
        self.clock = clock
        self.leases: dict[tuple[str, str], lease.DynamicLease] = {}
        self.ledger: dict[str, record.LeaseRecord] = {}
        self.secrets: dict[tuple[str, str], SecretView] = {}
        self.values: dict[tuple[str, str], dict[str, str]] = {}
        self.providers: dict[tuple[str, str, str], provider.AnyProvider] = {}
        self.workload_labels: dict[tuple[str, str, str], dict[str, str]] = {}
        self.running: dict[tuple[str, str, str], Workload] = {}
        self.restarts: list[str] = []
        """The workloads that were restarted, in order."""
        self.namespaces: dict[str, NamespaceView | None] = {}
        """Those that aren't as made: there, without labels. None: it isn't there."""
        self.unread: dict[str, tuple[str, ...]] = {}
        """What of each kind can't be read."""
        self.notes: list[tuple[str, Note]] = []
        self.tells_time = True
        """Answers have a ``Date``."""
        self.status_seconds = 0.0
        """So long a write of status takes."""
        self.watches_secrets = True
        """Whether the watch on Secrets is open."""
        self.events: asyncio.Queue[SecretEvent | SecretCopy] = asyncio.Queue()
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    # -- what users do

    def user_applies(self, manifest: Mapping[str, Any]) -> lease.DynamicLease:
        """Create or change a DynamicLease; only we put a finalizer on."""
        meta = manifest["metadata"]
        key = meta["namespace"], meta["name"]
        old = self.leases.get(key)
        new = lease.DynamicLease.model_validate(
            {**manifest, "status": old.status if old is not None else {}}
        )
        generation = old.metadata.generation if old is not None else 0
        changed = old is None or old.spec != new.spec
        stamped = {
            "uid": old.metadata.uid if old is not None else self._uid("lease"),
            "generation": generation + changed,
            "resource_version": self._version(),
            "finalizers": old.metadata.finalizers if old is not None else (),
            "creation_timestamp": old.metadata.creation_timestamp if old else self.clock.wall(),
        }
        self.leases[key] = new.model_copy(
            update={"metadata": new.metadata.model_copy(update=stamped)}
        )
        return self.leases[key]

    def user_deletes(self, namespace: str, name: str) -> None:
        """Delete a DynamicLease: it stays, with a deletionTimestamp, while a finalizer is on."""
        known = self.leases[namespace, name]
        self._put_lease(known, deletion_timestamp=self.clock.wall())
        if not known.metadata.finalizers:
            self.user_strips_finalizer(namespace, name)

    def user_strips_finalizer(self, namespace: str, name: str) -> None:
        """Take the finalizer off; a DynamicLease that is being deleted goes, with its Secrets."""
        known = self.leases[namespace, name]
        self._put_lease(known, finalizers=())
        if known.deleting:
            self.vanish(namespace, name)

    def vanish(self, namespace: str, name: str) -> None:
        """A DynamicLease is gone at once; the garbage collector takes what it owns."""
        gone = self.leases.pop((namespace, name))
        for key, kept in list(self.secrets.items()):
            if key[0] == namespace and kept.owner_uids == (gone.metadata.uid,):
                del self.secrets[key], self.values[key]

    def labels(self, namespace: str, **labels: str) -> None:
        """A namespace with labels."""
        self.namespaces[namespace] = NamespaceView(
            name=namespace, labels=labels, terminating=False, uid=namespace
        )

    def user_writes_secret(self, namespace: str, name: str, **changes: Any) -> SecretView:
        """Create a Secret, or change its labels, annotations or values."""
        key = namespace, name
        known = self.secrets.get(key) or SecretView(
            namespace=namespace,
            name=name,
            uid=self._uid("secret"),
            resource_version="",
            type="Opaque",
            labels={},
            annotations={},
            keys=(),
        )
        self.values[key] = changes.pop("values", self.values.get(key, {}))
        return self._put_secret(known, **changes)

    def user_runs(
        self,
        name: str,
        kind: lease.WorkloadKind = "Deployment",
        namespace: str = "shop",
        **labels: str,
    ) -> Workload:
        """A workload of one pod, which is up."""
        self.workload_labels[kind, namespace, name] = labels
        made = Workload(
            kind=kind,
            namespace=namespace,
            name=name,
            uid=self._uid("workload"),
            resource_version="",
            stamps={},
            observed=True,
            wanted=1,
        )
        return self.rolls_out(made)

    def rolls_out(self, known: Workload, **counts: Any) -> Workload:
        """A workload's controller has come to an end; by default its pod is up."""
        done = {"observed": True, "updated": 1, "total": 1, "available": 1, "phase": "Healthy"}
        return self._put_workload(self._running(known), **{**done, **counts})

    def _running(self, known: Workload) -> Workload:
        return self.running.get((known.kind, known.namespace, known.name), known)

    def _put_workload(self, known: Workload, **changes: Any) -> Workload:
        key = known.kind, known.namespace, known.name
        self.running[key] = replace(known, resource_version=self._version(), **changes)
        return self.running[key]

    def _put_lease(self, known: lease.DynamicLease, **meta: object) -> None:
        stamped = {"resource_version": self._version(), **meta}
        self.leases[known.metadata.namespace, known.metadata.name] = known.model_copy(
            update={"metadata": known.metadata.model_copy(update=stamped)}
        )

    def _put_secret(self, known: SecretView, **changes: Any) -> SecretView:
        key = known.namespace, known.name
        keys = tuple(sorted(self.values[key]))
        self.secrets[key] = replace(
            known,
            keys=keys,
            values=Credentials(self.values[key]),
            resource_version=self._version(),
            **changes,
        )
        return self.secrets[key]

    def _version(self) -> str:
        return str(next(self._versions))

    def _uid(self, what: str) -> str:
        return f"{what}-uid{next(self._uids)}"

    def server_now(self) -> datetime | None:
        return self.clock.wall() if self.tells_time else None

    # -- DynamicLeases

    async def dynamic_lease(self, namespace: str, name: str) -> lease.DynamicLease | None:
        async with self._call("get dynamiclease"):
            return self.leases.get((namespace, name))

    async def read_dynamic_lease(self, namespace: str, name: str) -> lease.DynamicLease | None:
        return await self.dynamic_lease(namespace, name)

    def shown_beside(self, dl: lease.DynamicLease, other: record.Holder) -> bool:
        stands = self.leases.get((other.namespace, other.name))
        return stands is not None and stands.metadata.uid == other.uid

    def outline(self, namespace: str, name: str) -> lease.Outline | None:
        dl = self.leases.get((namespace, name))
        return None if dl is None else lease.Outline(metadata=dl.metadata, status=dl.status)

    def known_name(self, namespace: str, uid: str) -> str | None:
        found = (d.metadata for d in self.leases.values() if d.metadata.uid == uid)
        return next((meta.name for meta in found if meta.namespace == namespace), None)

    async def dynamic_leases(self) -> AsyncIterator[lease.DynamicLease]:
        async with self._call("list dynamicleases"):
            found = tuple(self.leases.values())
        for one in found:
            yield one

    async def patch_lease_status(
        self, dl: lease.DynamicLease, status: lease.DynamicLeaseStatus
    ) -> None:
        if self.status_seconds:
            await asyncio.sleep(self.status_seconds)
        async with self._call("patch dynamiclease"):
            key = dl.metadata.namespace, dl.metadata.name
            wire.same(self.leases.get(key), dl)
            written = wire.written(self.leases[key], status=status)
            self._put_lease(written)

    async def patch_finalizer(self, dl: lease.DynamicLease, *, on: bool) -> None:
        async with self._call("patch finalizer"):
            key = dl.metadata.namespace, dl.metadata.name
            wire.same(self.leases.get(key), dl)
            if on:
                assert not dl.deleting, "no finalizer can be added to what is being deleted"
                self._put_lease(dl, finalizers=(names.FINALIZER,))
            else:
                self.user_strips_finalizer(*key)

    # -- records

    async def record_named(self, name: str) -> record.LeaseRecord | None:
        async with self._call("get record"):
            return self.ledger.get(name)

    async def records(self) -> Sequence[record.LeaseRecord]:
        async with self._call("list records"):
            return tuple(self.ledger.values())

    def unreadable_objects(self, kind: str) -> Sequence[str]:
        return self.unread.get(kind, ())

    async def records_of_slot(self, slot: str) -> Sequence[record.LeaseRecord]:
        async with self._call("list slot"):
            label = f"{names.SLOT}/{slot}"
            return [r for r in self.ledger.values() if label in r.metadata.labels]

    async def create_record(self, spec: record.RecordSpec) -> record.LeaseRecord:
        async with self._call("create record"):
            name = record.name_of(spec.installation, spec.for_)
            if name in self.ledger:
                raise errors.Conflict(Reason.CONFLICT, f"{name} exists already")
            meta = base.ObjectMeta(name=name, uid=self._uid("record"))
            return self._put_record(record.LeaseRecord(metadata=meta, spec=spec))

    async def write_record(
        self, known: record.LeaseRecord, spec: record.RecordSpec
    ) -> record.LeaseRecord:
        async with self._call("patch record"):
            wire.same(self.ledger.get(known.name), known)
            return self._put_record(known.model_copy(update={"spec": spec}))

    def _put_record(self, known: record.LeaseRecord) -> record.LeaseRecord:
        stamped = {
            "resource_version": self._version(),
            "labels": record.slot_labels(known.leases),
            "finalizers": (names.ON_RECORD,) if known.leases else (),
        }
        meta = known.metadata.model_copy(update=stamped)
        self.ledger[known.name] = wire.written(known.model_copy(update={"metadata": meta}))
        return self.ledger[known.name]

    def user_takes_record(self, name: str) -> record.LeaseRecord:
        """Somebody deletes a record, finalizer or not."""
        return self.ledger.pop(name)

    def put_record(self, known: record.LeaseRecord) -> record.LeaseRecord:
        """Write a record as another process, or a restore, would."""
        return self._put_record(known)

    async def delete_record(self, known: record.LeaseRecord) -> None:
        async with self._call("delete record"):
            if known.name in self.ledger:
                wire.same(self.ledger[known.name], known)
                assert not known.metadata.finalizers, "the record would wait for its finalizer"
                del self.ledger[known.name]

    @property
    def recorded(self) -> list[record.RecordedLease]:
        """All leases on record, those of one name oldest first."""
        return [one for known in self.ledger.values() for one in known.leases]

    # -- Secrets

    async def secret(self, namespace: str, name: str) -> SecretView | None:
        async with self._call("get secret"):
            return self.secrets.get((namespace, name))

    async def secrets_of(self, namespace: str, uid: str) -> Sequence[SecretView]:
        async with self._call("list secrets"):
            here = [s for s in self.secrets.values() if s.namespace == namespace]
            mine = [s for s in here if s.labels.get(names.OWNER_UID) == uid]
            return [_unread(s) for s in mine[:MOST_OWNED]]

    def labelled(self, namespace: str, uid: str) -> Collection[str] | None:
        if not self.watches_secrets:
            return None
        here = [s for s in self.secrets.values() if s.namespace == namespace]
        return {s.name for s in here if s.labels.get(names.OWNER_UID) == uid}

    def hears_of_secrets(self, namespace: str) -> bool:
        return self.watches_secrets

    async def secret_owners(self) -> Sequence[SecretEvent]:
        marks = ((s, s.annotations.get(names.OWNER_NAME)) for s in self.secrets.values())
        return [
            SecretEvent(s.namespace, name, s.labels[names.OWNER_UID], s.resource_version)
            for s, name in marks
            if name is not None and names.OWNER_UID in s.labels
        ]

    async def leases_shown(self) -> frozenset[str]:
        async with self._call("list secrets"):
            notes = (s.annotations for s in self.secrets.values() if names.OWNER_UID in s.labels)
            return frozenset(note[names.LEASE_ID] for note in notes if names.LEASE_ID in note)

    async def write_secret(
        self,
        draft: SecretDraft,
        current: SecretView | None,
        *,
        dry_run: bool = False,
    ) -> SecretView:
        async with self._call("try secret" if dry_run else "write secret"):
            key = draft.namespace, draft.name
            known = self._as_read(key, current)
            if known is not None and known.type != draft.type:
                raise errors.Refused(Reason.WRITE_REFUSED, "a Secret's type can't change")
            if dry_run:
                return known or _created(draft, "")
            self.values[key] = draft.credentials.reveal()
            known = known or _created(draft, self._uid("secret"))
            return self._put_secret(
                known,
                labels=_merged(known.labels, draft.labels),
                annotations=_merged(known.annotations, draft.annotations),
                owner_uids=(draft.owner.uid,),
            )

    async def touch_secret(self, current: SecretView) -> None:
        async with self._call("touch secret"):
            self._put_secret(self._read(current))

    async def disown_secret(self, current: SecretView, owner: record.Holder) -> None:
        async with self._call("disown secret"):
            known = self._read(current)
            ours = (names.MANAGED_BY, names.OWNER_UID)
            self._put_secret(
                known,
                labels={k: v for k, v in known.labels.items() if k not in ours},
                annotations={
                    k: v for k, v in known.annotations.items() if not k.startswith(names.GROUP)
                },
                owner_uids=tuple(uid for uid in known.owner_uids if uid != owner.uid),
            )

    async def delete_secret(self, current: SecretView) -> None:
        async with self._call("delete secret"):
            key = current.namespace, current.name
            if key in self.secrets:
                self._read(current)
                del self.secrets[key], self.values[key]

    def _as_read(self, key: tuple[str, str], current: SecretView | None) -> SecretView | None:
        if current is not None:
            return self._read(current)
        if key in self.secrets:
            raise errors.Conflict(Reason.CONFLICT, f"{key[1]} exists already")
        return None

    def _read(self, current: SecretView) -> SecretView:
        """The Secret as it is, which must be as it was read."""
        known = self.secrets.get((current.namespace, current.name))
        seen = current.uid, current.resource_version
        if known is None or (known.uid, known.resource_version) != seen:
            raise wire.conflict()
        return known

    async def secret_events(self) -> AsyncIterator[SecretEvent | SecretCopy]:
        while True:
            yield await self.events.get()
            self.events.task_done()

    # -- workloads

    async def workload(
        self, kind: lease.WorkloadKind, namespace: str, name: str
    ) -> Workload | None:
        async with self._call("get workload"):
            return self.running.get((kind, namespace, name))

    async def workloads(
        self, kind: lease.WorkloadKind, namespace: str, labels: Mapping[str, str]
    ) -> Sequence[Workload]:
        async with self._call("list workloads"):
            return [
                found
                for key, found in self.running.items()
                if key[:2] == (kind, namespace)
                and labels.items() <= self.workload_labels[key].items()
            ]

    async def stamp_workload(
        self, current: Workload, key: str, value: str, *, restart_at: datetime
    ) -> None:
        async with self._call("stamp workload"):
            known = self._running(current)
            if known != current:
                raise wire.conflict()
            self.restarts.append(known.name)
            stamps = {**known.stamps, key: value}
            under_way = {"observed": False, "updated": 0, "phase": "Progressing"}
            self._put_workload(known, stamps=stamps, **under_way)

    # -- providers and what is around

    async def provider_of(
        self, ref: lease.ProviderRef, namespace: str
    ) -> provider.AnyProvider | None:
        async with self._call("get provider"):
            here = namespace if ref.kind == "LeaseProvider" else ""
            return self.providers.get((ref.kind, here, ref.name))

    async def patch_provider_status(
        self, known: provider.AnyProvider, status: provider.ProviderStatus
    ) -> None:
        async with self._call("patch provider"):
            key = known.KIND, known.metadata.namespace, known.metadata.name
            wire.same(self.providers.get(key), known)
            self.put_provider(wire.written(known, status=status))

    def put_provider(self, known: provider.AnyProvider) -> provider.AnyProvider:
        """Write a provider object as its administrator would."""
        meta = known.metadata.model_copy(update={"resource_version": self._version()})
        key = known.KIND, meta.namespace, meta.name
        self.providers[key] = known.model_copy(update={"metadata": meta})
        return self.providers[key]

    async def namespace(self, name: str) -> NamespaceView | None:
        async with self._call("get namespace"):
            made = NamespaceView(name=name, labels={}, terminating=False, uid=name)
            return self.namespaces.get(name, made)

    async def emit(self, about: lease.DynamicLease | provider.AnyProvider, note: Note) -> None:
        self.notes.append((about.metadata.name, note))

    def credentialing(self, access: Access) -> Credentialing:
        return wire.NoCredentials()


def _unread(known: SecretView) -> SecretView:
    """A Secret's metadata."""
    return replace(known, keys=(), values=Credentials({}), is_read=False)


def _merged(known: Mapping[str, str], wanted: Mapping[str, str | None]) -> dict[str, str]:
    """A JSON merge patch of labels or annotations."""
    return {k: v for k, v in {**known, **wanted}.items() if v is not None}


def _created(draft: SecretDraft, uid: str) -> SecretView:
    return SecretView(
        namespace=draft.namespace,
        name=draft.name,
        uid=uid,
        resource_version="",
        type=draft.type,
        labels=_merged({}, draft.labels),
        annotations=_merged({}, draft.annotations),
        keys=tuple(draft.credentials.keys()),
        owner_uids=(draft.owner.uid,),
    )
