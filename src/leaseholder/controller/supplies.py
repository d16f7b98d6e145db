"""Supplies: providers by the objects that describe them, one adapter and so one login for each.

Flows in: a DynamicLease, or a lease on record. Flows out: the adapter to ask, with the ``Supply``
that ``core.issuers`` makes of the provider object. ``observe`` and every verb ask here.

An adapter lives on when its LeaseProvider is deleted, as long as a lease that it made is on record:
it is revoked through its login. Nobody's adapters are kept for longer, because tenants may make and
delete any number of LeaseProviders.
"""

import asyncio
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cachetools import LRUCache, TTLCache

from leaseholder import errors
from leaseholder.api import lease, provider, record
from leaseholder.api.conditions import Reason
from leaseholder.controller import patience
from leaseholder.core import issuers
from leaseholder.core.observation import Supply
from leaseholder.ports.clock import Clock
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.credentials import Access, Credentialing
from leaseholder.ports.provider import Provider, ProviderName, ProviderObject

CACHED_FOR: Final = 5.0
"""Seconds for which a provider object that was read isn't read again."""
MOST_READS: Final = 500
"""So many provider objects are kept in that time."""
MOST_MADE: Final = 128
"""So many supplies are kept: each of several steps asks for the same."""
UNUSED: Final = 600.0
"""Seconds after which an adapter that nobody used, and no record needs, is let go."""
UNUSED_GONE: Final = 30.0
"""The same of a provider object that is gone: by then an attempt of it is on record."""
CLOSE_AFTER: Final = 180.0
"""Seconds after which a replaced adapter's last request must be over."""
SEEN_EVERY: Final = 5.0
"""Seconds after which it is seen whether it is over."""

Build = Callable[[Access, Credentialing], Provider]
Ref = ProviderName
MOST_AGAIN: Final = 5
"""So often an object is read at once, each time because it changed while it was read."""


@dataclass(slots=True, eq=False)
class _Read:
    """A provider object that was read, or is being read."""

    task: asyncio.Task[provider.AnyProvider | None]
    is_stale: bool = False
    """It changed, or went, after the request for it was sent."""

    @property
    def failed(self) -> bool:
        task = self.task
        return task.done() and (task.cancelled() or task.exception() is not None)


@dataclass(slots=True)
class Supplies:
    """Adapters by provider object; safe to share between workers of one event loop."""

    cluster: Cluster
    clock: Clock
    build: Build
    address: Callable[[provider.ProviderSpec], str]
    _made: LRUCache[str, tuple[int, provider.AnyProvider, Supply]] = field(
        default_factory=lambda: LRUCache(MOST_MADE)
    )
    """By uid of the DynamicLease: for which generation, and from which provider object."""
    _reads: TTLCache[Ref, _Read] = field(init=False)
    """Also of names under which there is nothing: a DynamicLease may ask for any."""
    _adapters: dict[str, tuple[provider.ProviderSpec, patience.Patient]] = field(
        default_factory=dict
    )
    _used: dict[str, float] = field(default_factory=dict)
    """When each adapter was last asked for on behalf of a lease (monotonic), by provider's uid."""
    _gone: set[str] = field(default_factory=set)
    """Uids of provider objects that are gone, and whose adapters are kept for their leases."""
    _uids: dict[Ref, str] = field(default_factory=dict)
    """The uid that each provider object had when it was last read."""
    _revokers: set[str] = field(default_factory=set)
    """Names of the ClusterLeaseProviders that revoke for others, as they were last seen."""
    _retired: dict[patience.Patient, asyncio.TimerHandle] = field(default_factory=dict)
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._reads = TTLCache(MOST_READS, CACHED_FOR, timer=self.clock.monotonic)

    async def wanted(self, dl: lease.DynamicLease) -> tuple[Supply, Provider]:
        """The provider that ``dl`` means, if it may use it.

        Raises:
            errors.Invalid: no such provider, or the source is for another kind of provider.
            errors.Denied: a ClusterLeaseProvider that doesn't allow the namespace.
        """
        ref, namespace = dl.spec.provider_ref, dl.metadata.namespace
        known = await self._known(ref, namespace)
        if known is None:
            raise errors.Invalid(
                Reason.PROVIDER_MISSING,
                f"there is no {ref.kind} {ref.name}: create it, or mend spec.providerRef",
            )
        if isinstance(known, provider.ClusterLeaseProvider):
            await self._check_allowed(known, namespace)
        generation, of, supply = self._made.get(dl.metadata.uid, (0, None, None))
        if supply is None or generation != dl.metadata.generation or of is not known:
            supply = issuers.supply(dl, known, self.address)
            self._made[dl.metadata.uid] = dl.metadata.generation, known, supply
        self._used[known.metadata.uid] = self.clock.monotonic()
        return supply, self.adapter(known)

    async def for_lease(
        self, known: record.RecordedLease, trusts: Mapping[str, Mapping[str, Any]]
    ) -> Provider:
        """An adapter for the provider where a lease was issued, at the record's own address.

        A provider object that was made again serves, too, where it names that very address itself.
        Otherwise what the record refers to isn't followed (``cluster.credentialing``): a login that
        is held is used on, and there is no other.

        Args:
            known: the lease.
            trusts: what its record says of certificates, by the hash that the lease names.

        Raises:
            errors.Invalid: the provider object is gone, and the record doesn't say enough.
            errors.ClusterError: nothing is known of the provider, and the API server is away.
        """
        issuer = known.provider
        self._used[issuer.uid] = self.clock.monotonic()
        cached = self._adapters.get(issuer.uid)
        if cached is not None and issuer.uid not in self._gone:
            return cached[1]
        ref = lease.ProviderRef.model_validate({"kind": issuer.kind, "name": issuer.name})
        found = None
        try:
            found = await self._known(ref, issuer.namespace)
        except errors.ClusterError:
            if cached is None:
                raise
        else:
            if found is None or found.metadata.uid != issuer.uid:
                self._gone.add(issuer.uid)
        if found is not None and self._serves(found, issuer):
            return self.adapter(found)
        if cached is not None:
            return cached[1]
        of = ProviderObject(issuer.kind, issuer.namespace, issuer.name, issuer.uid)
        return self._adopt(
            Access(spec=issuers.rebuilt(issuer, trusts.get(issuer.trust, {})), of=of)
        )

    def note_revoker(self, name: str, known: provider.AnyProvider | None) -> None:
        """Take note of a ClusterLeaseProvider as it was just read; None: there is none."""
        self._revokers.discard(name)
        if known is not None and _revokes_for_others(known):
            self._revokers.add(name)

    async def last_resort(self, issuer: record.RecordProvider) -> Provider | None:
        """An adapter that may revoke a lease whose own login is gone; None: there is none.

        It is a ClusterLeaseProvider's, which names the lease's very address itself: it goes there
        alone, with its own login and trust. Nothing of the record's is followed.

        Raises:
            errors.ClusterError: the ClusterLeaseProvider can't be read.
        """
        for name in sorted(self._revokers):
            kind = provider.ClusterLeaseProvider.KIND
            ref = lease.ProviderRef.model_validate({"kind": kind, "name": name})
            try:
                found = await self._known(ref, "")
            except errors.Unreadable:
                continue
            if found is None or found.metadata.uid == issuer.uid:
                continue
            if _revokes_for_others(found) and self._serves(found, issuer):
                return self.adapter(found)
        return None

    def _serves(self, found: provider.AnyProvider, issuer: record.RecordProvider) -> bool:
        """Whether a provider object is the recorded one, or one like it at the same place."""
        if found.metadata.uid == issuer.uid:
            return True
        try:
            address = self.address(found.spec)
        except errors.ProviderError:
            return False
        same = provider.type_of(found.spec) == issuer.type and address == issuer.address
        return same and provider.options_of(found.spec) == dict(issuer.options)

    def adapter(self, known: provider.AnyProvider) -> Provider:
        """The adapter of a provider object; a changed spec makes a new one."""
        meta = known.metadata
        # It may have gone while it was read: then the next look that finds none has to know whose
        # adapter this is.
        self._note_uid((known.KIND, meta.namespace, meta.name), meta.uid)
        of = ProviderObject(known.KIND, meta.namespace, meta.name, meta.uid)
        return self._adopt(Access(spec=known.spec, of=of))

    def invalidate(self, ref: Ref) -> None:
        """Read the provider object again at the next use: it changed."""
        read = self._reads.pop(ref, None)
        if read is not None:
            read.is_stale = True

    def absent(self, ref: Ref, uid: str) -> None:
        """Take note that there is no provider object any more.

        Args:
            ref: its name.
            uid: as its events showed it; empty: none did, it was made and deleted at once.
        """
        self.invalidate(ref)
        for one in {uid, self._uids.pop(ref, "")} - {""}:
            self.gone(one)

    def gone(self, uid: str) -> None:
        """Let the adapter of a provider object that is gone go, if no lease ever asked for it.

        Else when no lease of it is on record any more.
        """
        if uid not in self._used:
            self._drop(uid)
        elif uid in self._adapters:
            self._gone.add(uid)

    def forget_unused(self, pending: Container[str]) -> None:
        """Let adapters go that nobody used for a while.

        Args:
            pending: uids of the providers whose leases are on record; theirs stay.
        """
        now = self.clock.monotonic()
        for uid, used in list(self._used.items()):
            most = UNUSED_GONE if uid in self._gone else UNUSED
            if uid not in pending and now - used > most:
                del self._used[uid]
                self._drop(uid)
        self._gone &= self._used.keys()

    @property
    def keeps_gone(self) -> bool:
        """Whether adapters of provider objects that are gone are kept."""
        return bool(self._gone)

    def _drop(self, uid: str) -> None:
        self._gone.discard(uid)
        known = self._adapters.pop(uid, None)
        if known is not None:
            self._retire(known[1])

    async def aclose(self) -> None:
        """Close all adapters, replaced ones too."""
        for timer in self._retired.values():
            timer.cancel()
        for adapter in [*self._retired, *(known for _, known in self._adapters.values())]:
            await adapter.aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _adopt(self, access: Access) -> Provider:
        uid = access.of.uid
        cached = self._adapters.get(uid)
        if cached is not None and (cached[0] is access.spec or cached[0] == access.spec):
            return cached[1]
        adapter = patience.Patient(self.build(access, self.cluster.credentialing(access)))
        self._adapters[uid] = (access.spec, adapter)
        if cached is not None:
            self._retire(cached[1])
        return adapter

    def _retire(self, adapter: patience.Patient, left: float = CLOSE_AFTER) -> None:
        """Close a replaced adapter; later, where an answer is waited for.

        By a timer, not by a task that sleeps: kopf waits for such a task when it stops. Whoever has
        an idle one in hand may use it all the same: it connects anew, for that request.

        Args:
            adapter: what nobody will be given any more.
            left: seconds for which it may still be busy.
        """
        if left <= 0 or not adapter.under_way:
            self._close(adapter)
            return
        loop = asyncio.get_running_loop()
        later = loop.call_later(SEEN_EVERY, self._retire, adapter, left - SEEN_EVERY)
        self._retired[adapter] = later

    def _close(self, adapter: patience.Patient) -> None:
        self._retired.pop(adapter, None)
        task = asyncio.create_task(adapter.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _known(self, ref: lease.ProviderRef, namespace: str) -> provider.AnyProvider | None:
        """The provider object, read at most every few seconds and once at a time."""
        key = (ref.kind, namespace if ref.kind == "LeaseProvider" else "", ref.name)
        found: provider.AnyProvider | None = None
        for _ in range(MOST_AGAIN):
            read = self._reads.get(key)
            if read is None or read.failed:
                read = _Read(asyncio.create_task(self.cluster.provider_of(ref, namespace)))
                self._reads[key] = read
            found = await asyncio.shield(read.task)
            if not read.is_stale:  # what went meanwhile would be kept as if it were there
                break
        self._note_uid(key, found.metadata.uid if found is not None else None)
        return found

    def _note_uid(self, ref: Ref, uid: str | None) -> None:
        """Notice that a provider object went, or was made again, where no event said so."""
        before = self._uids.pop(ref, uid)
        if before is not None and before != uid:
            self.gone(before)
        if uid is not None:
            self._uids[ref] = uid

    async def _check_allowed(self, known: provider.ClusterLeaseProvider, namespace: str) -> None:
        for allowed in known.spec.allowed_namespaces:
            asked = await self.cluster.namespace(namespace) if allowed.selector else None
            if allowed.has(namespace, asked.labels if asked is not None else None):
                return
        raise errors.Denied(
            Reason.NAMESPACE_NOT_ALLOWED,
            f"ClusterLeaseProvider {known.metadata.name} doesn't allow namespace {namespace}: "
            "its administrator adds it to spec.allowedNamespaces",
        )


def _revokes_for_others(known: provider.AnyProvider) -> bool:
    if not isinstance(known, provider.ClusterLeaseProvider):
        return False
    return known.spec.revocation_auth == "AllAtUrl"
