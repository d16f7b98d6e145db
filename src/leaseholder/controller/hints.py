"""Hints: what may have changed makes keys due, and nothing else.

Flows in: events of the watches, what ``compare`` and ``providers`` noticed, restores of etcd. Flows
out: keys that the ``runner`` takes up when their turn comes. A hint decides nothing: what is to be
done comes from a look (``loop``), so one hint too many costs a look, and one that is news to nobody
is dropped here.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from leaseholder.api import base, lease, names
from leaseholder.controller import runner
from leaseholder.controller.entry import Entry, is_unprotected, wishes
from leaseholder.controller.keys import Key
from leaseholder.controller.observe import Observer
from leaseholder.controller.supplies import Ref
from leaseholder.core import schedule
from leaseholder.core.view import View
from leaseholder.ports.clock import Clock

AT_ONCE: Final = 50
"""So many keys are woken together; more are spread, so that what is urgent gets through."""
APART: Final = 0.02
"""Seconds between two keys that are woken one by one."""


@dataclass(slots=True, kw_only=True)
class Hints:
    """What is kept of each key, and the ways to make keys due."""

    observer: Observer
    clock: Clock
    _runner: runner.Runner[Key] = field(init=False)
    _entries: dict[Key, Entry] = field(default_factory=dict)
    _contested: defaultdict[str, set[Key]] = field(default_factory=lambda: defaultdict(set))
    """Who waits for a Secret that somebody else has, by namespace."""

    async def offer(
        self,
        key: Key,
        *,
        poke: bool = True,
        harmed: bool = False,
        after: float = 0.0,
    ) -> None:
        """Look at a DynamicLease soon.

        Args:
            key: which.
            poke: something changed, so don't wait for back-off.
            harmed: its Secret changed under us, so its credentials may be gone.
            after: seconds to wait.
        """
        entry = self._entries.get(key) or self._begin(key)
        entry.poked, entry.wants = entry.poked or poke, entry.wants or harmed
        entry.memory.doubted = entry.memory.doubted or (harmed and entry.memory.searched)
        self._runner.offer(key, self.clock.monotonic() + after)

    def _begin(self, key: Key) -> Entry:
        """What is kept of a DynamicLease that wasn't looked at yet.

        After a start there may be thousands: who waits for something is looked at first, then
        whose lease ends first.
        """
        outline = self.observer.cluster.outline(key.namespace, key.name)
        entry = self._entries[key] = Entry.unseen(outline, self.clock)
        return entry

    async def offer_users_of(self, ref: Ref, *, poke: bool = True) -> None:
        """Look at every DynamicLease that uses a provider: the provider changed, or its clock.

        Args:
            ref: the provider.
            poke: back-off doesn't count any more.
        """
        users = [key for key, entry in self._entries.items() if entry.provider == ref]
        await self._offer_spread(users, poke=poke)

    async def restored(self) -> None:
        """Etcd was restored: nothing that is known holds, so look at every DynamicLease anew."""
        keys = {*self.keys, *self.observer.records.doubt_all()}
        for entry in self._entries.values():
            for known in entry.memory.leases.values():
                known.inspected_at = None
            entry.memory.doubted = entry.memory.status_doubted = True
            entry.memory.secret_version = ""
        await self._offer_spread(keys, poke=True)

    async def _offer_spread(self, keys: Collection[Key], *, poke: bool) -> None:
        """Look at many: some together, the others one by one, so that others get their turn."""
        most = APART * max(0, len(keys) - AT_ONCE)
        async for key in runner.in_slices(keys):
            await self.offer(key, poke=poke, after=schedule.spread(str(key), most))

    async def offer_contested(self, namespace: str) -> None:
        """Look at who waits for a Secret in a namespace: one went, or changed hands.

        Anybody may make and delete Secrets with our label, and with 10,000 leases it took 14 ms to
        go through all for each.
        """
        for key in tuple(self._contested.get(namespace, ())):
            if (entry := self._entries.get(key)) is not None:
                entry.memory.doubted = True
            await self.offer(key)

    def _remember(self, key: Key, entry: Entry, view: View) -> None:
        """Remember a look, and whether somebody else has the Secret that this one wants."""
        entry.note(view)
        if view.target_contested and not view.elsewhere:
            self._contested[key.namespace].add(key)
        elif key in (waiting := self._contested.get(key.namespace, set())):
            waiting.discard(key)
            if not waiting:
                del self._contested[key.namespace]

    async def heard(self, meta: base.ObjectMeta, *, gone: bool) -> None:
        """An event tells of a DynamicLease; what our own writes changed is no news.

        One that went may be back before a look is over that saw it gone, or another shard's.
        """
        key = Key.of(meta)
        entry = self._entries.get(key)
        if gone and entry is not None and entry.released == meta.uid:
            return  # by us, a moment ago
        if gone and entry is not None:
            entry.seen = ()
        as_seen = entry is not None and entry.seen == wishes(meta) and not is_unprotected(meta)
        if not (entry is None if gone else as_seen):
            await self.offer(key)

    @property
    def keys(self) -> tuple[Key, ...]:
        """Every DynamicLease that the controller keeps something of."""
        return tuple(self._entries)

    def knows(self, dl: lease.DynamicLease) -> bool:
        """Whether a DynamicLease was looked at as its owner left it, and nothing is to be done.

        What it shows counts beside what is remembered: its finalizer, its status, its deletion.
        """
        entry, meta = self._entries.get(Key.of(dl.metadata)), dl.metadata
        seen = entry is not None and entry.seen == wishes(meta)
        reported = dl.status.observed_generation == meta.generation
        return seen and reported and names.FINALIZER in meta.finalizers and not dl.deleting

    def knows_secret(self, key: Key, version: str) -> bool:
        """Whether a Secret's resourceVersion is one that our own write left, or that we read.

        Of a DynamicLease that goes also that one went (empty): it was to go. While we write one,
        that is judged by the answer (``Memory.writing``).
        """
        entry = self._entries.get(key)
        if entry is None:
            return False
        if entry.memory.writing is not None:
            entry.memory.writing.add(version)
            return True
        return version in entry.secret_versions if version else entry.going

    async def doubt_secrets(self, shown: Mapping[Key, Collection[str]]) -> None:
        """Look at every DynamicLease whose Secret isn't as it is known from a look before.

        Args:
            shown: the resourceVersions of the Secrets with our label, by whom they name.
        """
        async for key, entry in runner.in_slices(list(self._entries.items())):
            kept = entry.memory.secrets
            target = kept.target if kept is not None and kept.proven else None
            if target is not None and {*shown.get(key, ())} != {target.resource_version}:
                await self.offer(key, poke=False, harmed=True)

    def note_owner(self, key: Key, uid: str) -> bool:
        """A Secret of ours names that uid as its owner's; whether that is news."""
        entry = self._entries.get(key)
        if entry is None or (entry.holder is not None and entry.holder.uid == uid):
            return False
        return entry.memory.note_former(uid)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries
