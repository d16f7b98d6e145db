"""The watch on our Secrets: metadata only, for ever, with no gap left open.

Flows in: lists and watches of Secrets with our label. Flows out: an event for each change, which
``controller.compare`` follows, and whose each Secret is (``secret_marks``).

The API server is asked for ``PartialObjectMetadata``, so data of Secrets never crosses the wire
(kopf, which would watch whole objects, logs bodies at DEBUG). Each namespace is listed, then
watched from there. A watch that ends in its time goes on where it was; after anything else
(410, 429, 5xx, a cut or hung connection) the namespace is listed again, and an event is made for
each Secret that is there and each that was there before: what was missed isn't known.
"""

import asyncio
import contextlib
import dataclasses
import logging
import random
import time
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from leaseholder import errors, pauses
from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.cluster import client, documents, known, places, secret_marks, unreadable
from leaseholder.cluster.secret_marks import Marks
from leaseholder.ports.secrets import SecretCopy, SecretEvent, SecretView

_SECONDS: Final = 300
_AGAIN: Final = 600.0
"""Seconds after which the Secrets are listed though the watch was open: what is known of them is
worked with for as long as no event comes."""
_SHORTEST, _LONGEST = 1.0, 30.0
_MOST_LABELLED: Final = 8
"""So many Secrets of one uid are known by name: with more than the wanted one they are listed."""
_log = logging.getLogger(__name__)

_News = SecretEvent | SecretCopy
_Queue = asyncio.Queue[_News]


class Backoff:
    """Growing, jittered pauses between tries: 1 to 30 seconds."""

    def __init__(self) -> None:
        self._failures = 0

    def reset(self) -> None:
        """Begin anew after a success."""
        self._failures = 0

    def pause(self) -> float:
        """The next pause in seconds."""
        self._failures += 1
        pause = pauses.doubled(self._failures, _SHORTEST, _LONGEST)
        return max(_SHORTEST, pause * random.uniform(0.5, 1.0))  # noqa: S311 - just jitter


class SecretWatch:
    """Watches the Secrets with our owner label in some namespaces; none: in all."""

    def __init__(
        self,
        api: client.Api,
        namespaces: Sequence[str],
        *,
        unread: unreadable.UnreadableObjects | None = None,
        seconds: int = _SECONDS,
    ) -> None:
        self._api = api
        unread = unread or unreadable.UnreadableObjects()
        self._known = {within: KnownSecrets(unread, within) for within in namespaces or ("",)}
        self._seconds = seconds

    def wrote(self, secret: SecretView) -> None:
        """Take note of a Secret of ours: one made and deleted in a gap of the watch is told of."""
        known = self._known.get(secret.namespace) or self._known.get("")
        name = secret.annotations.get(names.OWNER_NAME)
        uid = secret.labels.get(names.OWNER_UID)
        if known is not None and name and uid:
            known.wrote(secret.uid, SecretEvent(secret.namespace, name, uid))
            known.label(secret.uid, secret.namespace, secret.name, uid)

    def labelled(self, namespace: str, uid: str) -> Collection[str]:
        """Names of the Secrets of a namespace that carry our label with that uid."""
        known = self._known.get(namespace) or self._known.get("")
        return known.labelled(namespace, uid) if known is not None else ()

    @property
    def owners(self) -> list[SecretEvent]:
        """The last event of each Secret with our label, as far as the watch has shown them."""
        return [event for known in self._known.values() for event in known.owners]

    async def events(self) -> AsyncGenerator[SecretEvent | SecretCopy, None]:
        """Each change, as long as it is listened to."""
        queue: _Queue = asyncio.Queue(maxsize=1000)
        followers = [
            _Follower(self._api, namespace, queue, self._seconds, known)
            for namespace, known in self._known.items()
        ]
        tasks = [asyncio.create_task(follower.run()) for follower in followers]
        try:
            while True:
                yield await queue.get()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class KnownSecrets:
    """The Secrets seen so far in one namespace, by uid, and whose they are.

    A Secret whose marks can't be ours is reported by its own name, and left alone.
    """

    def __init__(self, unread: unreadable.UnreadableObjects, within: str = "") -> None:
        self._unread = unread
        self._within = within
        self._owners: dict[str, SecretEvent] = {}
        self._labelled: dict[tuple[str, str], tuple[str, ...]] = {}
        """Names by namespace and by the uid that our label has."""
        self._label_of: dict[str, str] = {}
        """What our label has, by the Secret's uid: one that is changed leaves no name behind."""
        self._coming: KnownSecrets | None = None
        """What a list that is being read has shown so far."""
        self._broken: set[tuple[str, str]] = set()
        """Namespace and name of those on it whose marks can't be ours."""

    @property
    def owners(self) -> Collection[SecretEvent]:
        """Whose they are, one for each Secret."""
        return self._owners.values()

    def wrote(self, uid: str, owner: SecretEvent) -> None:
        """Know a Secret before the watch shows it.

        Not that it changed hands: the watch tells its former owner of that, and has to know whom.
        """
        self._owners.setdefault(uid, owner)
        if self._coming is not None:
            self._coming.wrote(uid, owner)

    def labelled(self, namespace: str, uid: str) -> Collection[str]:
        """Names of the Secrets of a namespace that carry our label with that uid."""
        return self._labelled.get((namespace, uid), ())

    def label(self, secret: str, namespace: str, name: str, uid: str) -> None:
        """The Secret of a uid (``secret``) carries our label, which has another (``uid``)."""
        if self._label_of.get(secret) != uid:
            self._unlabel(secret, namespace, name)
            self._label_of[secret] = uid
        known = self._labelled.get((namespace, uid), ())
        if name not in known and len(known) < _MOST_LABELLED:
            self._labelled[namespace, uid] = (*known, name)
        if self._coming is not None:
            self._coming.label(secret, namespace, name, uid)

    def _unlabel(self, secret: str, namespace: str, name: str) -> None:
        key = namespace, self._label_of.pop(secret, "")
        known = self._labelled.get(key, ())
        if len(known) >= _MOST_LABELLED:
            return  # there may be more than these
        if left := tuple(one for one in known if one != name):
            self._labelled[key] = left
        else:
            self._labelled.pop(key, None)

    def list_begins(self) -> None:
        """A list is read. Until its end what is known holds: others decide from it meanwhile."""
        self._coming, self._broken = KnownSecrets(self._unread, self._within), set()

    def page(self, found: Iterable[Marks]) -> Iterator[_News]:
        """What to tell after the list of those on its next page: there may be thousands in all."""
        for secret in found:
            if secret.wrong:
                self._broken.add((secret.namespace, secret.name))
            if self._coming is not None:
                yield from self._coming._noted(secret, self._owners.get(secret.uid))

    def list_ends(self) -> Iterator[_News]:
        """What to tell after a list of those that were there and aren't any more."""
        if (coming := self._coming) is None:
            return
        before, self._coming = self._owners, None
        self._owners, self._labelled = coming._owners, coming._labelled
        self._label_of = coming._label_of
        self._unread.listed(secret_marks.KIND, self._within, self._broken)
        yield from (_without_version(one) for uid, one in before.items() if uid not in self._owners)

    def changed(self, kind: str, secret: Marks) -> Iterator[_News]:
        """What to tell after an event of a watch."""
        news = list(self._noted(secret, self._owners.pop(secret.uid, None)))
        if kind == "DELETED":
            self._owners.pop(secret.uid, None)
            self._unlabel(secret.uid, secret.namespace, secret.name)
            self._unread.fine(secret_marks.KIND, secret.namespace, secret.name)
            news = [_without_version(one) for one in news if isinstance(one, SecretEvent)]
        yield from news

    def _noted(self, secret: Marks, before: SecretEvent | None) -> Iterator[_News]:
        now = _owner(secret, before)
        if secret.owner_uid is not None:
            self.label(secret.uid, secret.namespace, secret.name, secret.owner_uid)
        if secret.wrong:
            self._unread.found(secret_marks.KIND, secret.namespace, secret.name, _wrong(secret))
        else:
            self._unread.fine(secret_marks.KIND, secret.namespace, secret.name)
        if now is not None:
            self._owners[secret.uid] = now
            yield now
        if before is not None and before != now:
            yield _without_version(before)
        if secret.original and secret.owner_name and secret.owner_uid:
            yield SecretCopy(
                namespace=secret.namespace,
                name=secret.name,
                original=secret.original,
                owner_name=secret.owner_name,
                owner_uid=secret.owner_uid,
            )
        elif secret.owner_uid and not (secret.original or secret.is_ours or secret.wrong):
            yield SecretCopy(
                namespace=secret.namespace,
                name=secret.name,
                original="",
                owner_name=secret.owner_name or "",
                owner_uid=secret.owner_uid,
            )


def _without_version(event: SecretEvent) -> SecretEvent:
    return dataclasses.replace(event, version="")


def _wrong(secret: Marks) -> str:
    return (
        f"Secret {secret.namespace}/{secret.name} can't be read: its {secret.wrong} isn't one that "
        "the operator writes; it is left alone"
    )


def _owner(secret: Marks, before: SecretEvent | None) -> SecretEvent | None:
    """Whose a Secret is; where the annotation is off, or can't be ours, as the rest tells.

    A copy is nobody's, unless it names as its owner who owns it: that may be a Secret of ours
    whose note was changed.
    """
    uid = secret.owner_uid
    if uid is None:
        return None if before is None else _without_version(before)
    if secret.original and secret.referred is None:
        return None
    name = secret.owner_name
    if name is None and before is not None and before.owner_uid == uid:
        name = before.owner_name
    name = name or secret.referred
    return None if name is None else SecretEvent(secret.namespace, name, uid, secret.version)


class _Follower:
    """Lists and watches one namespace."""

    def __init__(
        self,
        api: client.Api,
        namespace: str,
        queue: _Queue,
        seconds: int,
        seen: KnownSecrets,
    ) -> None:
        self._api = api
        self._place = places.SECRETS.at(namespace)
        self._queue = queue
        self._seconds = seconds
        self._seen = seen
        self._version = ""
        """Where to watch from; empty: list first."""
        self._listed = 0.0
        """When the last list was read (monotonic seconds)."""
        self._trouble = ""
        """What the log says of the last round that failed, until one is open again."""

    async def run(self) -> None:
        """List and watch for ever."""
        backoff = Backoff()
        while True:
            began = time.monotonic()
            asked = await self._round()
            # A watch that held for a while was no failure, however it ended.
            if time.monotonic() - began >= min(_LONGEST, self._seconds / 2):
                backoff.reset()
            else:
                await asyncio.sleep(max(backoff.pause(), min(asked, _LONGEST)))

    async def _round(self) -> float:
        """One list, if need be, and one watch; the pause that the API server asked for."""
        try:
            is_over = time.monotonic() - self._listed >= _AGAIN
            if is_over or not self._version or await self._is_restored():
                await self._list()
                self._opened()
            await self._watch()
        except errors.ClusterError as error:
            self._version = ""
            self._failed(error.sentence, refused=isinstance(error, errors.Refused))
            return error.retry_after or 0.0
        except Exception as error:  # an answer of no known shape mustn't end the watch
            self._version = ""
            self._failed(errors.raised(error), refused=True)
        return 0.0

    def _failed(self, why: str, *, refused: bool) -> None:
        """A line for each trouble, not for each try: it may last for weeks. /readyz has it, too."""
        self._api.streams.troubled(self._place.path, why)
        level = logging.WARNING if refused else logging.INFO
        again, self._trouble = why == self._trouble, why
        fields = {"namespace": self._place.namespace, "why": why}
        words = "the watch on Secrets isn't open"
        _log.log(logging.DEBUG if again else level, words, extra={"fields": fields})

    def _opened(self) -> None:
        if self._trouble:
            self._trouble = ""
            fields = {"namespace": self._place.namespace}
            _log.info("the watch on Secrets is open again", extra={"fields": fields})

    async def _list(self) -> None:
        """List in pages: each Secret's annotations may be as long as the API server lets them."""
        news, version = list[_News](), ""
        pages = self._api.pages(
            self._place, query={"labelSelector": names.OWNER_UID}, accept=documents.METADATA_LIST
        )
        self._seen.list_begins()
        async with contextlib.aclosing(pages):
            async for page in pages:
                version = page["metadata"]["resourceVersion"]
                marks = (
                    secret_marks.read(item.get("metadata")) for item in page.get("items") or ()
                )
                news += self._seen.page(filter(None, marks))
        news += self._seen.list_ends()
        for one in news:
            await self._queue.put(one)
        self._version, self._listed = version, time.monotonic()

    async def _is_restored(self) -> bool:
        """Whether a watch would wait for what isn't to come: etcd was restored (``streams``)."""
        accept = documents.METADATA_LIST
        found = await self._api.request("GET", self._place, query={"limit": "1"}, accept=accept)
        return known.is_older(found, self._version)

    async def _watch(self) -> None:
        query = {
            "labelSelector": names.OWNER_UID,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
        }
        stream = self._api.watch(
            self._place, query=query, accept=documents.METADATA, seconds=self._seconds
        )
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                await self._heed(event["type"], event["object"])

    async def _heed(self, kind: str, found: client.Body) -> None:
        if kind == "ERROR":
            code = found.get("code")
            shown = code if isinstance(code, int) else "an error"
            raise errors.ClusterUnavailable(Reason.CLUSTER, f"the API server ended it with {shown}")
        meta: Any = found["metadata"]
        secret = None if kind == "BOOKMARK" else secret_marks.read(meta)
        if secret is not None:
            for news in list(self._seen.changed(kind, secret)):
                await self._queue.put(news)
        self._version = str(meta["resourceVersion"])
