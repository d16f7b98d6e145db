"""Compare: what is known is held against the world, for what no event told us.

Flows in: at the start and every ten minutes, all DynamicLeases and all records; all the time,
events of Secrets. Flows out: keys that are due (``hints``): whatever the controller hasn't seen in
that version, or doesn't know at all, and what it keeps although neither list has it. The lists are
a hint: whether a DynamicLease is really gone is judged from a live GET. What other shards serve is
left to them.

Secrets name their owners, and anybody may write such marks. So an event of a Secret only makes
due whom the controller knows anyway; whom only Secrets name is looked at by the comparison, a
few of each namespace at a time. Nothing that one object holds ends a task here.
"""

import asyncio
import collections
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from leaseholder import errors
from leaseholder.api import names, record
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.controller import mishaps, runner
from leaseholder.controller.keys import Key
from leaseholder.controller.loop import Controller
from leaseholder.controller.records import Records
from leaseholder.controller.supplies import Supplies
from leaseholder.core import schedule, shards
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.events import Note
from leaseholder.ports.secrets import SecretCopy, SecretEvent

logger = logging.getLogger(__name__)

INTERVAL: Final = 600.0
"""Seconds between two comparisons."""
RETRY: Final = 5.0
FORGET_EVERY: Final = 10.0
"""Seconds after which adapters are let go whose provider objects went: a tenant may make and delete
thousands between two comparisons."""
MOST_NAMED: Final = 20
"""So many DynamicLeases of one namespace that only Secrets name are looked at in a comparison, and
as many until the next one."""
MOST_COPIES: Final = 20
"""So many Secrets of one namespace that are left alone are reported in ``INTERVAL``."""


@dataclass(slots=True)
class Comparison:
    """Makes due what events missed."""

    cluster: Cluster
    controller: Controller
    records: Records
    supplies: Supplies
    shard: shards.Shard = field(default_factory=shards.Shard)
    compared: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a comparison succeeded for the first time."""
    forget_every: float = FORGET_EVERY
    _restored: asyncio.Event = field(default_factory=asyncio.Event)
    _copies: dict[str, set[str]] = field(default_factory=dict)
    """Names of copies that were reported since the last comparison, by namespace."""
    _vanished: collections.Counter[str] = field(default_factory=collections.Counter)
    """How many of a namespace are looked at since then because a Secret that names them went."""

    async def restored(self) -> None:
        """Etcd was restored: everything is looked at, and compared, now."""
        await self.controller.restored()
        self._restored.set()

    async def run(self) -> None:
        """Compare now, every ten minutes and after a restore of etcd, for ever."""
        while True:
            self._restored.clear()
            try:
                await self.compare()
                self.compared.set()
                wait = INTERVAL
            except Exception as error:
                logger.warning("comparing the ledger: %s", mishaps.described(error))
                wait = RETRY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._restored.wait()

    async def compare(self) -> None:
        """Make due whose DynamicLease or record is unknown or changed, or on no list any more."""
        before = self.controller.keys
        due, standing, on_record = set[Key](), dict[Key, bool](), set[Key]()
        async for dl in self.cluster.dynamic_leases():
            key, served = Key.of(dl.metadata), self.shard.serves(dl.metadata.labels)
            standing[key] = served
            went = not served and key in self.controller
            if went or (served and not self.controller.knows(dl)):
                due.add(key)
        changed = await self._compare_records()
        async for page in runner.in_slices(self.records):
            on_record.add(key := Key.of(page.subject))
            if not self._serves(key, standing):
                continue
            due.update(self.records.formers(key.namespace, key.name))
            if key not in self.controller:
                due.add(key)
        due.update(key for key in changed if self._serves(key, standing))
        due |= {*before} - standing.keys()
        async for key in runner.in_slices(due):
            await self.controller.offer(key, poke=False)
        await self._offer_named({*before, *standing, *on_record})
        self._copies.clear()
        self._vanished.clear()

    def _serves(self, key: Key, standing: Mapping[Key, bool]) -> bool:
        """Whether a name is this shard's; ``standing``: whose DynamicLeases are."""
        known = standing.get(key)
        return self.shard.inherits(key.namespace, key.name) if known is None else known

    async def _offer_named(self, known: Collection[Key]) -> None:
        """Make due whom Secrets name, and nothing else does, or with another uid than was seen.

        And whose Secret isn't in the version that is known.
        """
        owners, shown = list[record.Holder](), collections.defaultdict[Key, set[str]](set)
        async for event in runner.in_slices(await self.cluster.secret_owners()):
            owners.append(event.holder)
            shown[Key.of(owners[-1])].add(event.version)
        await self.controller.doubt_secrets(shown)
        async for key in _few(shown, known, self.shard):
            after = schedule.spread(str(key), INTERVAL / 2)
            await self.controller.offer(key, poke=False, after=after)
        async for owner in runner.in_slices(owners):
            key = Key.of(owner)
            if self.controller.note_owner(key, owner.uid) and key in known:
                await self.controller.offer(key, poke=False)

    async def _compare_records(self) -> list[Key]:
        changed = [] if await self.records.load() else await self.records.compare()
        self.supplies.forget_unused(self.records.providers())
        return changed

    async def forget_adapters(self) -> None:
        """Let adapters of provider objects that are gone go, for ever.

        What is on record isn't known before the first comparison.
        """
        await self.compared.wait()
        while True:
            await asyncio.sleep(self.forget_every)
            if self.supplies.keeps_gone:
                self.supplies.forget_unused(self.records.providers())

    async def follow_secrets(self) -> None:
        """Make the owner of each Secret due that somebody else changed, for ever.

        Where one went or changed hands, also those who want a Secret that isn't theirs.
        """
        heeded = itertools.count(1)
        while True:
            try:
                async for event in self.cluster.secret_events():
                    await self._heed(event)
                    if next(heeded) % runner.SLICE == 0:
                        await asyncio.sleep(0)  # a list tells of thousands, which all wait by then
            except Exception as error:
                logger.error("following Secrets: %s", mishaps.described(error))
            await asyncio.sleep(RETRY)

    async def _heed(self, event: SecretEvent | SecretCopy) -> None:
        """One event; whatever it holds, the next one is taken."""
        try:
            if isinstance(event, SecretCopy):
                await self._report_copy(event)
            else:
                await self._changed(event)
        except Exception as error:
            logger.error("an event of a Secret: %s", mishaps.described(error))

    async def _changed(self, event: SecretEvent) -> None:
        key = Key.of(event.holder)
        known = key in self.controller
        if known and event.version:
            self.controller.note_owner(key, event.owner_uid)
        if known and not self.controller.knows_secret(key, event.version):
            await self.controller.offer(key, poke=False, harmed=True)
        if not event.version:
            await self._offer_vanished(key)
            await self.controller.offer_contested(event.namespace)

    async def _offer_vanished(self, key: Key) -> None:
        """A Secret went: maybe with a DynamicLease of another shard, and its record is ours now."""
        if not self.shard.others or key in self.controller:
            return
        room = self._vanished[key.namespace] < MOST_NAMED
        if room and self.shard.inherits(key.namespace, key.name):
            self._vanished[key.namespace] += 1
            await self.controller.offer(key, poke=False)

    async def _report_copy(self, copy: SecretCopy) -> None:
        """Say once that a Secret is left alone: at the DynamicLease, elsewhere in the log.

        Each shard sees all of them; the one that serves the DynamicLease says it, or that has its
        name where there is none.
        """
        named = self._copies.setdefault(copy.namespace, set())
        if copy.name in named or len(named) >= MOST_COPIES:
            return
        dl = await self._owner(copy)
        name, labels = copy.owner_name, None
        if dl is not None:
            name, labels = dl.metadata.name, dl.metadata.labels
        if not self.shard.has(copy.namespace, name, labels):
            return
        if dl is not None and dl.secret_name == copy.name:
            return  # judged by its data, and repaired
        if dl is None and not copy.original:
            return  # a label alone, which anybody may write, and that concerns nobody
        named.add(copy.name)
        reason, sentence = _left_alone(copy)
        if dl is None:
            logger.warning("%s", sentence)
        else:
            await self.cluster.emit(dl, Note("Warning", reason, sentence))

    async def _owner(self, copy: SecretCopy) -> DynamicLease | None:
        """The DynamicLease of the uid that a Secret names; None: none is known.

        By the uid, not by the name: anybody may write marks, and what isn't known would be read.
        """
        name = self.cluster.known_name(copy.namespace, copy.owner_uid)
        try:
            dl = await self.cluster.dynamic_lease(copy.namespace, name) if name else None
        except errors.ClusterError:
            dl = None
        return dl if dl is not None and dl.metadata.uid == copy.owner_uid else None


def _left_alone(copy: SecretCopy) -> tuple[Reason, str]:
    """Why a Secret with our label is left alone, and what to do, in a sentence."""
    secret = f"Secret {copy.namespace}/{copy.name}"
    if copy.original:
        return Reason.SECRET_COPIED, (
            f"{secret} is a copy of {copy.original}, marks and all: it is left alone, and its "
            "credentials end with the lease; let the copy be made without the label "
            f"{names.OWNER_UID}"
        )
    return Reason.SECRET_LEFT, (
        f"{secret} has the label {names.OWNER_UID}, and nothing else says that the operator wrote "
        "it: it is left alone, and its credentials end with their lease; delete it, or take the "
        "label off"
    )


async def _few(
    owners: Iterable[Key], known: Collection[Key], shard: shards.Shard
) -> AsyncIterator[Key]:
    """Those of the owners that aren't known, and a few of each namespace only."""
    taken = collections.Counter[str]()
    async for key in runner.in_slices(owners):
        ours = key not in known and shard.inherits(key.namespace, key.name)
        if ours and taken[key.namespace] < MOST_NAMED:
            taken[key.namespace] += 1
            yield key
