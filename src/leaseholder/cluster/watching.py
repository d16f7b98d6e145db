"""The watch on our Secrets: metadata only, for ever, with no gap left open.

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
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import lease, names
from leaseholder.api.conditions import Reason
from leaseholder.cluster import client, places
from leaseholder.ports import SecretEvent, SecretView

_SECONDS: Final = 300
_SHORTEST, _LONGEST = 1.0, 30.0
_log = logging.getLogger(__name__)


class Backoff:
    """Growing, jittered pauses between tries: 1 to 30 seconds."""

    def __init__(self) -> None:
        self._next = _SHORTEST

    def reset(self) -> None:
        """Begin anew after a success."""
        self._next = _SHORTEST

    def pause(self) -> float:
        """The next pause in seconds."""
        pause = max(_SHORTEST, self._next * random.uniform(0.5, 1.0))  # noqa: S311 - just jitter
        self._next = min(_LONGEST, self._next * 2)
        return pause


class SecretWatch:
    """Watches the Secrets with our owner label in some namespaces; none: in all."""

    def __init__(
        self, api: client.Api, namespaces: Sequence[str], *, seconds: int = _SECONDS
    ) -> None:
        self._api = api
        self._known = {namespace: Known() for namespace in namespaces or ("",)}
        self._seconds = seconds

    def wrote(self, secret: SecretView) -> None:
        """Take note of a Secret of ours: one made and deleted in a gap of the watch is told of."""
        known = self._known.get(secret.namespace) or self._known.get("")
        name = secret.annotations.get(names.OWNER_NAME)
        uid = secret.labels.get(names.OWNER_UID)
        if known is not None and name and uid:
            known.wrote(secret.uid, SecretEvent(secret.namespace, name, uid))

    async def events(self) -> AsyncGenerator[SecretEvent, None]:
        """Each change, as long as it is listened to."""
        queue: asyncio.Queue[SecretEvent] = asyncio.Queue(maxsize=1000)
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


class Known:
    """The Secrets seen so far in one namespace, by uid, and whose they are."""

    def __init__(self) -> None:
        self._owners: dict[str, SecretEvent] = {}

    def wrote(self, uid: str, owner: SecretEvent) -> None:
        """Know a Secret before the watch shows it."""
        self._owners[uid] = owner

    def listed(self, items: Iterable[Mapping[str, Any]]) -> Iterator[SecretEvent]:
        """What to tell after a list: all that are there and all that were."""
        before, self._owners = self._owners, {}
        for item in items:
            meta = item["metadata"]
            yield from self._noted(meta, before.pop(meta["uid"], None))
        yield from map(_without_version, before.values())

    def changed(self, kind: str, meta: Mapping[str, Any]) -> Iterator[SecretEvent]:
        """What to tell after an event of a watch."""
        yield from self._noted(meta, self._owners.pop(meta["uid"], None))
        if kind == "DELETED":
            self._owners.pop(meta["uid"], None)

    def _noted(self, meta: Mapping[str, Any], before: SecretEvent | None) -> Iterator[SecretEvent]:
        now = _owner(meta, before)
        if now is not None:
            self._owners[meta["uid"]] = now
            yield now
        if before is not None and before != now:
            yield _without_version(before)


def _without_version(event: SecretEvent) -> SecretEvent:
    return dataclasses.replace(event, version="")


def _owner(meta: Mapping[str, Any], before: SecretEvent | None) -> SecretEvent | None:
    """Whose a Secret is; where somebody took the annotation off, as the rest tells."""
    uid = (meta.get("labels") or {}).get(names.OWNER_UID)
    if uid is None:
        return None if before is None else _without_version(before)
    name = (meta.get("annotations") or {}).get(names.OWNER_NAME)
    if name is None and before is not None and before.owner_uid == uid:
        name = before.owner_name
    if name is None:
        name = next(_names_of_owners(meta, uid), None)
    if name is None:
        return None
    return SecretEvent(meta["namespace"], name, uid, str(meta.get("resourceVersion", "")))


def _names_of_owners(meta: Mapping[str, Any], uid: str) -> Iterator[str]:
    for owner in meta.get("ownerReferences") or ():
        if owner.get("kind") == lease.DynamicLease.KIND and owner.get("uid") == uid:
            yield owner["name"]


class _Follower:
    """Lists and watches one namespace."""

    def __init__(
        self,
        api: client.Api,
        namespace: str,
        queue: asyncio.Queue[SecretEvent],
        seconds: int,
        known: Known,
    ) -> None:
        self._api = api
        self._place = places.SECRETS.at(namespace)
        self._queue = queue
        self._seconds = seconds
        self._known = known
        self._version = ""
        """Where to watch from; empty: list first."""

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
            if not self._version:
                await self._list()
            await self._watch()
        except errors.ClusterError as error:
            self._version = ""
            _log.info("the watch on Secrets starts anew: %s", error.sentence)
            return error.retry_after or 0.0
        except Exception as error:  # an answer of no known shape mustn't end the watch
            self._version = ""
            _log.warning("the watch on Secrets starts anew: %s", type(error).__name__)
        return 0.0

    async def _list(self) -> None:
        found = await self._api.request(
            "GET",
            self._place,
            query={"labelSelector": names.OWNER_UID},
            accept=client.METADATA_LIST,
        )
        for event in list(self._known.listed(found.get("items") or ())):
            await self._queue.put(event)
        self._version = found["metadata"]["resourceVersion"]

    async def _watch(self) -> None:
        query = {
            "labelSelector": names.OWNER_UID,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
        }
        stream = self._api.watch(
            self._place, query=query, accept=client.METADATA, seconds=self._seconds
        )
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                await self._heed(event["type"], event["object"])

    async def _heed(self, kind: str, found: Mapping[str, Any]) -> None:
        if kind == "ERROR":
            raise errors.ClusterUnavailable(
                Reason.CLUSTER, f"the API server ended it with {found.get('code', 'an error')}"
            )
        meta = found["metadata"]
        if kind != "BOOKMARK":
            for event in list(self._known.changed(kind, meta)):
                await self._queue.put(event)
        self._version = meta["resourceVersion"]
