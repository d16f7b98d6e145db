"""Objects of one kind as they were last seen: by the watch, by a list, or in answers to us.

Flows in: events (``streams``), and answers to our own reads and writes (``objects``). Flows out:
the object as it is known; None where it has to be read live.

Events come late, and not in step with our own answers: of two states of one object the one with
the higher resourceVersion counts, and none that is older than its deletion. That an object isn't
known says nothing: a watch may miss anything, so what isn't known is read live. So is what a write
of ours met otherwise than it was known (``doubt``). Whoever decides from what is known writes with
uid and resourceVersion, and meets a conflict where it was too old.

Kept is compact JSON of what we read: 10,000 objects take 20 MiB. It is parsed at each use. Any
thread may call: kopf's does.
"""

import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cachetools import TTLCache

from leaseholder.api import names
from leaseholder.cluster import documents

Name = tuple[str, str]
"""Namespace (empty for what is in none) and name."""

_META: Final = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
)
"""Metadata that is kept whole; of labels and annotations ours are, of managed fields nothing is."""
LARGE: Final = 16 * 1024
"""Bytes of an object of ours beyond which there are few: one with a long template."""
_MOST_LARGE: Final = 16 * 2**20
"""Bytes that all of those take. The rest of them is read live, each time: whoever may write one
could make each a megabyte."""
_BURIED_FOR: Final = 60.0
"""Seconds for which a deletion is remembered: no answer is under way for so long."""
_MOST_BURIED: Final = 20_000


@dataclass(frozen=True, slots=True)
class _CachedObject:
    uid: str
    version: int
    body: bytes
    watched: bool
    """By an event of the watch: what had gone before was told of before."""
    listed: int
    """The number of the last list that showed it; 0: none did."""
    own: int = 0
    """The version that our own last write left; 0: we wrote nothing."""


def compact(body: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what we never read; whoever may write one could make that huge."""
    meta = body.get("metadata")
    meta = meta if isinstance(meta, Mapping) else {}
    kept = {key: meta[key] for key in _META if key in meta}
    for field_name in ("labels", "annotations"):
        marks = meta.get(field_name)
        if isinstance(marks, Mapping):
            prefix = f"{names.GROUP}/"
            kept[field_name] = {k: v for k, v in marks.items() if str(k).startswith(prefix)}
    return {"metadata": kept, **{key: body[key] for key in ("spec", "status") if key in body}}


def version_of(text: object) -> int:
    """A resourceVersion as the number that it is; 0 where it is none."""
    sound = isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= 20
    return int(str(text)) if sound else 0


def is_older(body: object, than: object) -> bool:
    """Whether a list shows an older state than one that was seen: etcd was restored.

    ``than`` is a resourceVersion of the same collection; what is no number says nothing.
    """
    return isinstance(body, Mapping) and 0 < _version_in(body) < version_of(than)


def _version_in(body: Mapping[str, Any]) -> int:
    """The resourceVersion of an object or a list; 0 where it has none."""
    return version_of(_meta(body).get("resourceVersion"))


@dataclass(slots=True)
class Known:
    """What is known of one kind."""

    on_restored: Callable[[], None] = lambda: None
    """Called where the API server shows an older state than it did before: etcd was restored."""
    monotonic: Callable[[], float] = time.monotonic
    watches: Callable[[Mapping[str, str]], bool] = lambda labels: True
    """Whether objects with these labels are watched. Others are read live, each time: nobody tells
    what becomes of them."""
    _kept: dict[Name, _CachedObject] = field(default_factory=dict)
    _of_uid: dict[str, Name] = field(default_factory=dict)
    """Anybody may write any uid on any number of Secrets: each is looked up."""
    _doubted: set[Name] = field(default_factory=set)
    _buried: "TTLCache[Name, int]" = field(init=False)
    """The last version of what is gone: an answer that was under way is older."""
    _large: int = 0
    """Bytes of the large ones that are kept."""
    _highest: int = 0
    """The highest resourceVersion that a list or an event showed."""
    _lists: int = 0
    """How many lists were begun."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._buried = TTLCache(_MOST_BURIED, _BURIED_FOR, timer=self.monotonic)

    # -- what is known

    def get(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """An object; None: it has to be read live."""
        body = self.body(namespace, name)
        return None if body is None else documents.parse(body)

    def body(self, namespace: str, name: str) -> bytes | None:
        """Its JSON: the same bytes as long as nothing else is known."""
        with self._lock:
            key = namespace, name
            kept = None if key in self._doubted else self._kept.get(key)
        return None if kept is None else kept.body

    def named(self, namespace: str, uid: str) -> str | None:
        """The name of the object of that uid in a namespace."""
        with self._lock:
            place, name = self._of_uid.get(uid, ("", ""))
            return name if name and place == namespace else None

    def shown_beside(self, new: Name, uid: str, other: Name, other_uid: str) -> bool:
        """Whether an object was shown while another stood, which still stands.

        By the watch, which tells in the order of what happens in a namespace, or by one list of
        both, which is of one moment: so that namespace wasn't deleted and made again in between.
        """
        with self._lock:
            one, beside = self._kept.get(new), self._kept.get(other)
        if one is None or beside is None or (one.uid, beside.uid) != (uid, other_uid):
            return False
        return one.watched or 0 < one.listed == beside.listed

    def is_own(self, body: Mapping[str, Any]) -> bool:
        """Whether an object is as our own last write left it: whoever wrote knows."""
        with self._lock:
            kept = self._kept.get(_name(body))
        return kept is not None and 0 < kept.own == _version_in(body)

    # -- what requests of ours find

    def asked(self, namespace: str, name: str) -> int:
        """The version that is known as a request about an object is sent; 0: none."""
        with self._lock:
            kept = self._kept.get((namespace, name))
            return kept.version if kept is not None else 0

    @property
    def highest(self) -> int:
        """The highest version that was seen; a write that comes later gets a higher one."""
        return self._highest

    def answered(self, body: Mapping[str, Any], asked: int, above: int = 0) -> None:
        """An answer shows an object; ``asked`` is what was known as the request was sent.

        ``above``: it answers a write, which changed nothing or came after that version; 0: a read.
        """
        shown = _version_in(body)
        is_older = 0 < shown < asked and not self._is_older_one(body)
        if is_older or 0 < asked < shown <= above:
            self.restored()
        with self._lock:
            self._doubted.discard(_name(body))
            meta = _meta(body)
            if meta.get("deletionTimestamp") and not meta.get("finalizers"):
                self._bury(body)
            else:
                self._keep(body, own=shown if above and asked < shown else 0)

    def missing(self, namespace: str, name: str, asked: int) -> None:
        """There is no such object, or it can't be seen; forgotten unless something newer came."""
        with self._lock:
            key = namespace, name
            self._doubted.discard(key)
            kept = self._kept.get(key)
            if kept is not None and kept.version <= asked:
                self._drop(key)
                self._buried[key] = kept.version

    def doubt(self, namespace: str, name: str) -> None:
        """A write met something else than what is known: the next one to ask reads it live."""
        with self._lock:
            self._doubted.add((namespace, name))

    # -- what watch and lists show

    def event(self, kind: str, body: Mapping[str, Any]) -> None:
        """An event of a watch."""
        with self._lock:
            self._highest = max(self._highest, _version_in(body))
            if kind == "DELETED":
                self._bury(body)
            elif kind in ("ADDED", "MODIFIED"):
                self._keep(body, watched=True)

    def listing(self, within: str = "") -> "Listing":
        """A list is about to be asked for: of a namespace, or of all where it is empty."""
        with self._lock:
            self._lists += 1
            return Listing(self, within, self._highest, self._lists)

    def forget(self) -> None:
        """Forget everything: versions say nothing any more."""
        with self._lock:
            self._kept.clear()
            self._of_uid.clear()
            self._large = 0
            self._doubted.clear()
            self._buried.clear()
            self._highest = 0

    def restored(self) -> None:
        """An older state is shown than before: etcd was restored."""
        self.forget()
        self.on_restored()

    def _list_began(self, version: int, asked: int) -> None:
        if version < asked:
            self.restored()
        with self._lock:
            self._highest = max(self._highest, version)

    def _page(self, items: Sequence[Mapping[str, Any]], number: int) -> None:
        with self._lock:
            for item in items:
                self._keep(item, listed=number)

    def _absent(
        self, within: str, there: Collection[Name], version: int
    ) -> list[Mapping[str, Any]]:
        """Forget what a whole list of that version doesn't have; their last metadata."""
        with self._lock:
            gone = [
                (key, kept)
                for key, kept in self._kept.items()
                if within in ("", key[0]) and key not in there and kept.version <= version
            ]
            for key, _ in gone:
                self._drop(key)
                self._buried[key] = version
        return [documents.parse(kept.body)["metadata"] for _, kept in gone]

    def _keep(
        self, body: Mapping[str, Any], *, watched: bool = False, own: int = 0, listed: int = 0
    ) -> None:
        key, meta = _name(body), _meta(body)
        version = version_of(meta.get("resourceVersion"))
        before = self._kept.get(key)
        older = before is not None and version < before.version
        if older or version <= self._buried.get(key, -1):
            return
        uid = str(meta.get("uid"))
        same = before if before is not None and before.uid == uid else None
        if watched and same is not None and 0 < same.version == version:
            self._kept[key] = dataclasses.replace(same, watched=True)
            return  # our own write once more, as its answer showed it
        self._drop(key)
        if not self.watches(meta.get("labels") or {}):
            return
        with contextlib.suppress(RecursionError):  # then it is read live, and reported there
            text = json.dumps(compact(body), separators=(",", ":")).encode()
            large = len(text) if len(text) > LARGE else 0
            if large and self._large + large > _MOST_LARGE:
                self._buried[key] = version - 1  # an answer under way may be older, and small
                return
            self._large += large
            if same is not None:
                watched, listed = watched or same.watched, listed or same.listed
                own = own or same.own
            self._kept[key] = _CachedObject(uid, version, text, watched, listed, own)
            self._of_uid[uid] = key

    def _drop(self, key: Name) -> None:
        before = self._kept.pop(key, None)
        if before is None:
            return
        self._of_uid.pop(before.uid, None)
        if len(before.body) > LARGE:
            self._large -= len(before.body)

    def _bury(self, body: Mapping[str, Any]) -> None:
        key, version = _name(body), _version_in(body)
        before = self._kept.get(key)
        if before is None or before.version <= version:
            self._drop(key)
            self._doubted.discard(key)
        self._buried[key] = max(version, self._buried.get(key, 0))

    def _is_older_one(self, body: Mapping[str, Any]) -> bool:
        """Whether an answer is about an object that has since been made again under its name."""
        with self._lock:
            kept = self._kept.get(_name(body))
            return kept is not None and kept.uid != _meta(body).get("uid")


@dataclass(slots=True)
class Listing:
    """A list, page by page."""

    known: Known
    within: str
    asked: int
    """The highest version that was seen before."""
    number: int
    """Tells it from other lists."""
    _there: set[Name] = field(default_factory=set)
    _version: int | None = None

    def page(self, page: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The next page; after the last one the metadata of what was known and isn't there."""
        meta = _meta(page)
        if self._version is None:
            self._version = version_of(meta.get("resourceVersion"))
            self.known._list_began(self._version, self.asked)
        items = page.get("items") or ()
        self._there.update(map(_name, items))
        # A page of another moment is of no list that shows what stood together.
        is_whole = version_of(meta.get("resourceVersion")) == self._version > 0
        self.known._page(items, self.number if is_whole else 0)
        if meta.get("continue"):
            return ()
        return self.known._absent(self.within, self._there, self._version)


def _meta(body: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = body.get("metadata")
    return meta if isinstance(meta, Mapping) else {}


def _name(body: Mapping[str, Any]) -> Name:
    meta = _meta(body)
    return str(meta.get("namespace") or ""), str(meta.get("name") or "")
