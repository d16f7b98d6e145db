"""The records of each DynamicLease as this process knows them: its own last writes left them so.

Nobody but us writes records, so a list is asked for once for each DynamicLease, and again after a
write that met something else than was known, or whose answer was lost. Each write names the
version that is known: what another process wrote meanwhile shows as a conflict. Where that doesn't
protect, callers ask for a list (``listed``). The comparison every ten minutes finds the rest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cachetools import TTLCache

from leaseholder import errors, ports
from leaseholder.api.record import Holder, LeaseRecord, RecordSpec, RecordStatus

Page = tuple[bytes, ...]
"""The records of one DynamicLease, oldest first, each as compact JSON: models take five times as
much."""
_KEPT_FOR: Final = 120.0
_MOST: Final = 10_000


@dataclass(slots=True)
class Recorded:
    """Reads and writes records."""

    cluster: ports.Cluster
    _known: dict[str, Page] = field(default_factory=dict)
    """By uid of the DynamicLease; who isn't here isn't known."""
    _dropped: "TTLCache[str, Page]" = field(default_factory=lambda: TTLCache(_MOST, _KEPT_FOR))
    """What was known before a write met something else: that may be a restore of etcd, which
    shows a little later."""

    async def of(self, uid: str) -> tuple[LeaseRecord, ...]:
        """The records of a DynamicLease, oldest first, as they are known.

        Raises:
            errors.ClusterError: they aren't known and can't be listed.
        """
        page = self._known.get(uid)
        return await self.listed(uid) if page is None else tuple(map(_read, page))

    async def listed(self, uid: str) -> tuple[LeaseRecord, ...]:
        """The same, as the API server has them now.

        Raises:
            errors.ClusterError: they can't be listed.
        """
        found = await self.cluster.records(uid)
        self._keep(uid, found)
        return found

    async def create(
        self, holder: Holder, number: int, spec: RecordSpec, status: RecordStatus
    ) -> LeaseRecord:
        """Put a record on the ledger.

        Raises:
            errors.ClusterError: it isn't there, or nobody knows.
        """
        try:
            made = await self.cluster.create_record(holder, number, spec, status)
        except errors.ClusterError:
            self.forget(holder.uid)
            raise
        self._put(made)
        return made

    async def update(self, known: LeaseRecord, status: RecordStatus) -> LeaseRecord | None:
        """Make ``status`` the record's status; None where it is gone.

        Raises:
            errors.ClusterError: it wasn't written, or nobody knows.
        """
        try:
            written = await self.cluster.update_record(known, status)
        except errors.ClusterError:
            self.forget(known.spec.for_.uid)
            raise
        if written is None:
            self.forget(known.spec.for_.uid)
        else:
            self._put(written)
        return written

    async def delete(self, known: LeaseRecord) -> None:
        """Take a record off the ledger.

        Raises:
            errors.ClusterError: it is still there, or nobody knows.
        """
        uid = known.spec.for_.uid
        try:
            await self.cluster.delete_record(known)
        except errors.ClusterError:
            self.forget(uid)
            raise
        if uid in self._known:
            self._keep(uid, [one for one in await self.of(uid) if one.name != known.name])

    def forget(self, uid: str) -> None:
        """Ask anew at the next look."""
        page = self._known.pop(uid, None)
        if page:
            self._dropped.setdefault(uid, page)

    def forget_all(self) -> list[tuple[str, tuple[LeaseRecord, ...]]]:
        """Ask anew for everything; returns what was known, by uid of the DynamicLease."""
        pages = {**self._known, **self._dropped}
        self._known.clear()
        self._dropped.clear()
        return [(uid, tuple(map(_read, page))) for uid, page in pages.items()]

    def compare(self, ledger: Iterable[LeaseRecord]) -> set[str]:
        """Forget what a list of the whole ledger shows otherwise; returns whose records those are.

        The list may be older than what is known, so it is a hint to ask anew, and no more.
        """
        self._dropped.expire()  # or it would stay until the next write that fails
        listed: dict[str, set[tuple[str, str]]] = {uid: set() for uid in self._known}
        for one in ledger:
            if one.spec.for_.uid in listed:
                listed[one.spec.for_.uid].add(_version(one))
        known = ((uid, {_version(_read(one)) for one in page}) for uid, page in self._known.items())
        changed = {uid for uid, versions in known if versions != listed[uid]}
        for uid in changed:
            self.forget(uid)
        return changed

    def _put(self, written: LeaseRecord) -> None:
        uid = written.spec.for_.uid
        if uid not in self._known:
            return
        others = (_read(one) for one in self._known[uid])
        self._keep(uid, [*(one for one in others if one.name != written.name), written])

    def _keep(self, uid: str, records: Sequence[LeaseRecord]) -> None:
        ordered = sorted(records, key=lambda one: one.number)
        self._known[uid] = tuple(one.model_dump_json(exclude_none=True).encode() for one in ordered)


def _read(one: bytes) -> LeaseRecord:
    return LeaseRecord.model_validate_json(one)


def _version(one: LeaseRecord) -> tuple[str, str]:
    return one.metadata.uid, one.metadata.resource_version
