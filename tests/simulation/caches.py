"""What one process knows of DynamicLeases: a cache that trails, and that may miss anything.

Events come late, our own answers at once; of two states the newer counts. It plays what
``leaseholder.cluster.known`` does, and is checked against the same histories.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from leaseholder.api import lease, names, record
from leaseholder.core import shards
from leaseholder.ports.secrets import SecretView

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """A DynamicLease as an event, a list or an answer shows it."""

    dl: lease.DynamicLease
    gone: bool = False
    version: int = 0
    """Of its deletion, where it is gone."""

    @property
    def key(self) -> Key:
        return self.dl.metadata.namespace, self.dl.metadata.name


@dataclass(slots=True)
class Leases:
    """The DynamicLeases that a process knows; of those that another shard serves it knows none."""

    shard: shards.Shard = field(default_factory=shards.Shard)
    _known: dict[Key, lease.DynamicLease] = field(default_factory=dict)
    _doubted: set[Key] = field(default_factory=set)
    _buried: dict[Key, int] = field(default_factory=dict)
    _watched: set[str] = field(default_factory=set)
    """Uids of those that an event told of."""
    _listed: dict[str, int] = field(default_factory=dict)
    """By uid: the number of the last list that showed it."""
    _lists: int = 0

    def shown_beside(self, dl: lease.DynamicLease, other: record.Holder) -> bool:
        """Whether an event or one list showed one while another stood, which stands still."""
        stands = self._known.get((other.namespace, other.name))
        if stands is None or stands.metadata.uid != other.uid:
            return False
        uid, number = dl.metadata.uid, self._listed.get(dl.metadata.uid, 0)
        return uid in self._watched or 0 < number == self._listed.get(other.uid)

    def get(self, key: Key) -> lease.DynamicLease | None:
        """One of them; None: it has to be read live."""
        return None if key in self._doubted else self._known.get(key)

    def doubt(self, key: Key) -> None:
        """A write met something else."""
        self._doubted.add(key)

    def answered(self, key: Key, found: lease.DynamicLease | None, asked: int) -> None:
        """An answer shows one of them, or that there is none."""
        self._doubted.discard(key)
        if found is not None:
            self.shown(Seen(found))
        elif self.version(key) <= asked:
            self._known.pop(key, None)

    def shown(self, seen: Seen, *, watched: bool = False) -> None:
        """An event (``watched``), or a page of a list."""
        key, version = seen.key, seen.version or _version(seen.dl)
        if not seen.gone and not self.shard.serves(seen.dl.metadata.labels):
            self._known.pop(key, None)
            return
        if version <= self._buried.get(key, -1) or version < self.version(key):
            return
        if seen.gone:
            self._buried[key] = version
            self._known.pop(key, None)
            self._doubted.discard(key)
        else:
            self._known[key] = seen.dl
            self._watched |= {seen.dl.metadata.uid} if watched else set()

    def listed(self, found: list[lease.DynamicLease], version: int) -> None:
        """A whole list: what it doesn't have is gone."""
        served = [dl for dl in found if self.shard.serves(dl.metadata.labels)]
        self._lists += 1
        for dl in served:
            self.shown(Seen(dl))
            if self._known.get(Seen(dl).key) == dl:
                self._listed[dl.metadata.uid] = self._lists
        there = {Seen(dl).key for dl in served}
        for key in self._known.keys() - there:
            if self.version(key) <= version:
                del self._known[key]

    def version(self, key: Key) -> int:
        """The version that is known; 0: none."""
        known = self._known.get(key)
        return 0 if known is None else _version(known)


@dataclass(slots=True)
class Labels:
    """Which Secrets have our label with which uid, as the watch of a process tells.

    Events come late, and in order.
    """

    _uids: dict[Key, str] = field(default_factory=dict)
    _told: int = 0
    """How many events are under way or have arrived."""
    _last: dict[Key, int] = field(default_factory=dict)
    """The number of the last event that arrived of each."""
    _listed: int = 0
    """Those up to this number are older than the list."""

    def named(self, namespace: str, uid: str) -> list[str]:
        """Names of those of a namespace with that uid."""
        return [key[1] for key, of in self._uids.items() if (key[0], of) == (namespace, uid)]

    def send(self) -> int:
        """Number an event."""
        self._told += 1
        return self._told

    def shown(self, view: SecretView, number: int, *, gone: bool) -> None:
        """An event arrives."""
        key = view.namespace, view.name
        if number > max(self._listed, self._last.get(key, 0)):
            self._last[key] = number
            self._put(key, "" if gone else view.labels.get(names.OWNER_UID, ""))

    def listed(self, found: Iterable[SecretView]) -> None:
        """A whole list."""
        self._listed = self._told
        self._uids.clear()
        for view in found:
            self._put((view.namespace, view.name), view.labels.get(names.OWNER_UID, ""))

    def _put(self, key: Key, uid: str) -> None:
        self._uids.pop(key, None)
        if uid:
            self._uids[key] = uid


def _version(dl: lease.DynamicLease) -> int:
    return int(dl.metadata.resource_version)
