"""The API server of a history: the unit tests' fake, told to say what was written when.

``Truth`` is the one API server; ``Way`` is one process's way to it, through that process's
gate, generic over the port so that it needn't be told of every method.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import lease, names, record
from leaseholder.api.conditions import Reason
from leaseholder.core import shards
from leaseholder.ports.secrets import SecretDraft, SecretEvent, SecretView
from leaseholder.ports.workloads import Workload
from tests.simulation import caches, gate, server
from tests.unit import clocks
from tests.unit.controller import fakecluster, fakes

_WRITES: Final = frozenset(
    {
        "create_record",
        "write_record",
        "delete_record",
        "write_secret",
        "touch_secret",
        "disown_secret",
        "delete_secret",
        "stamp_workload",
        "patch_provider_status",
    }
)
"""Methods that change something; the others are reads."""
_FREE: Final = frozenset(
    {
        "credentialing",
        "emit",
        "hears_of_secrets",
        "known_name",
        "labelled",
        "outline",
        "server_now",
        "secret_events",
        "secret_owners",
    }
)
"""Methods that don't go through the gate: events are lost without harm, or nothing is sent."""


@dataclass(slots=True)
class Hooks:
    """Who wants to know what is written, at that moment."""

    delivered: list[Callable[[tuple[str, str], str, str], None]] = field(default_factory=list)
    """A Secret's key, the lease that it showed, the lease that it shows now (empty: none)."""
    deleting: list[Callable[[SecretView], None]] = field(default_factory=list)
    """We delete a Secret."""
    secrets: list[Callable[[SecretEvent], None]] = field(default_factory=list)
    """A Secret of ours changed."""
    labels: list[Callable[[SecretView, bool], None]] = field(default_factory=list)
    """A Secret with our label was written, or is gone (True)."""
    restarting: list[Callable[[Workload, str, str], None]] = field(default_factory=list)
    """A workload's pods are to be replaced; the stamp's key and value."""
    released: list[Callable[[lease.DynamicLease], None]] = field(default_factory=list)
    """A DynamicLease loses our finalizer and is gone."""
    leases: list[Callable[[caches.Seen], None]] = field(default_factory=list)
    """A DynamicLease was written, or is gone."""


class Truth(fakecluster.FakeCluster):
    """The API server."""

    def __init__(self, clock: clocks.FakeClock) -> None:
        super().__init__(_Silent(), clock)
        self.hooks = Hooks()
        self.shut: set[str] = set()
        """Namespaces that are on their way out."""
        self.keeps_secrets = False
        """We aren't allowed to delete Secrets."""

    def shows(self, key: tuple[str, str]) -> str:
        """The lease whose credentials a Secret holds; empty where it holds none."""
        return self.values.get(key, {}).get(server.SHOWS, "")

    @contextlib.asynccontextmanager
    async def _call(self, name: str) -> AsyncIterator[None]:
        yield

    async def write_secret(
        self,
        draft: SecretDraft,
        current: SecretView | None,
        *,
        dry_run: bool = False,
    ) -> SecretView:
        key = draft.namespace, draft.name
        if current is None and draft.namespace in self.shut:
            raise errors.Refused(Reason.WRITE_REFUSED, "the namespace is terminating")
        before = self.shows(key)
        written = await super().write_secret(draft, current, dry_run=dry_run)
        if not dry_run:
            self._tell(written)
            for hook in self.hooks.delivered:
                hook(key, before, self.shows(key))
        return written

    async def stamp_workload(
        self, current: Workload, key: str, value: str, *, restart_at: datetime
    ) -> None:
        await super().stamp_workload(current, key, value, restart_at=restart_at)
        for hook in self.hooks.restarting:
            hook(current, key, value)

    async def delete_secret(self, current: SecretView) -> None:
        if self.keeps_secrets:
            raise errors.Refused(Reason.WRITE_REFUSED, "deleting Secrets is forbidden")
        known = self.secrets.get((current.namespace, current.name))
        await super().delete_secret(current)
        if known is not None:
            self._tell(known, gone=True)
            for hook in self.hooks.deleting:
                hook(known)

    async def patch_finalizer(self, dl: lease.DynamicLease, *, on: bool) -> None:
        await super().patch_finalizer(dl, on=on)
        for hook in self.hooks.released if not on else ():
            hook(dl)

    def user_applies(self, manifest: Mapping[str, Any]) -> lease.DynamicLease:
        made = super().user_applies(manifest)
        self._show(made)
        return made

    def vanish(self, namespace: str, name: str) -> None:
        gone = self.leases[namespace, name]
        super().vanish(namespace, name)
        self._show(gone, gone=True)

    def lose(self, key: tuple[str, str]) -> lease.DynamicLease:
        """A DynamicLease is gone, and what it owned stays."""
        gone = self.leases.pop(key)
        self._show(gone, gone=True)
        return gone

    def _put_lease(self, known: lease.DynamicLease, **meta: object) -> None:
        super()._put_lease(known, **meta)
        self._show(self.leases[known.metadata.namespace, known.metadata.name])

    def _show(self, dl: lease.DynamicLease, *, gone: bool = False) -> None:
        seen = caches.Seen(dl, gone, int(self._version()) if gone else 0)
        for hook in self.hooks.leases:
            hook(seen)

    @property
    def version(self) -> int:
        """A resourceVersion after all that was written so far."""
        return int(self._version())

    def user_changed(self, view: SecretView | None, *, gone: bool = False) -> None:
        """A user wrote or deleted a Secret: whoever watches hears of it."""
        if view is not None:
            self._tell(view, gone=gone)

    def marked(self) -> list[SecretEvent]:
        """An event for each Secret of ours, as a watch begins with them."""
        found = (_event(view) for view in self.secrets.values())
        return [event for event in found if event is not None]

    def _tell(self, view: SecretView, *, gone: bool = False) -> None:
        for told in self.hooks.labels:
            told(view, gone)
        event = _event(view, gone=gone)
        if event is not None:
            for hook in self.hooks.secrets:
                hook(event)


def _event(view: SecretView, *, gone: bool = False) -> SecretEvent | None:
    uid = view.labels.get(names.OWNER_UID, "")
    name = view.annotations.get(names.OWNER_NAME, "")
    if not uid or not name:
        return None
    return SecretEvent(view.namespace, name, uid, "" if gone else view.resource_version)


class _Silent(fakes.Trace):
    """No trace is kept: a history would keep thousands of calls."""

    def add(self, call: str) -> None:
        return None


class Way:
    """``Cluster``: one process's way to the API server.

    Use ``cast(Cluster, way)``: its methods are those of the truth, held up at the gate.
    """

    def __init__(self, truth: Truth, gate_: gate.Gate, shard: shards.Shard) -> None:
        self._truth, self._gate = truth, gate_
        self.leases = caches.Leases(shard)
        self.events: asyncio.Queue[SecretEvent] = asyncio.Queue()
        self.labels = caches.Labels()

    def labelled(self, namespace: str, uid: str) -> Collection[str]:
        return self.labels.named(namespace, uid)

    async def secret_events(self) -> AsyncIterator[SecretEvent]:
        while True:
            yield await self.events.get()

    async def dynamic_lease(self, namespace: str, name: str) -> lease.DynamicLease | None:
        known = self.leases.get((namespace, name))
        return known or await self.read_dynamic_lease(namespace, name)

    def shown_beside(self, dl: lease.DynamicLease, other: record.Holder) -> bool:
        return self.leases.shown_beside(dl, other)

    async def read_dynamic_lease(self, namespace: str, name: str) -> lease.DynamicLease | None:
        key = namespace, name
        asked = self.leases.version(key)

        async def effect() -> lease.DynamicLease | None:
            return self._truth.leases.get(key)

        found = await self._gate.call(gate.Side.READ, "read_dynamic_lease", effect)
        self.leases.answered(key, found, asked)
        return found

    async def dynamic_leases(self) -> AsyncIterator[lease.DynamicLease]:
        async def effect() -> tuple[int, list[lease.DynamicLease]]:
            return self._truth.version, [*self._truth.leases.values()]

        version, found = await self._gate.call(gate.Side.READ, "dynamic_leases", effect)
        self.leases.listed(found, version)
        for one in found:
            yield one

    async def patch_lease_status(
        self, dl: lease.DynamicLease, status: lease.DynamicLeaseStatus
    ) -> None:
        await self._write(
            "patch_lease_status", dl, lambda: self._truth.patch_lease_status(dl, status)
        )

    async def patch_finalizer(self, dl: lease.DynamicLease, *, on: bool) -> None:
        await self._write("patch_finalizer", dl, lambda: self._truth.patch_finalizer(dl, on=on))

    async def _write(
        self, name: str, dl: lease.DynamicLease, write: Callable[[], Awaitable[None]]
    ) -> None:
        key = caches.Seen(dl).key
        asked = self.leases.version(key)

        async def effect() -> lease.DynamicLease | None:
            await write()
            return self._truth.leases.get(key)

        try:
            answer = await self._gate.call(gate.Side.WRITE, name, effect)
        except errors.ClusterError:
            self.leases.doubt(key)
            raise
        self.leases.answered(key, answer, asked)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._truth, name)
        if name in _FREE:
            return method
        side = gate.Side.WRITE if name in _WRITES else gate.Side.READ

        async def held_up(*args: Any, **kwargs: Any) -> Any:
            def effect() -> Awaitable[Any]:
                result: Awaitable[Any] = method(*args, **kwargs)
                return result

            dry = kwargs.get("dry_run", False)
            return await self._gate.call(gate.Side.READ if dry else side, name, effect)

        setattr(self, name, held_up)
        return held_up
