"""Objects of ours at the API server: got, listed, patched, and known from what was seen last.

Flows in: a place and a model. Flows out: objects read with the model (``reading``), and one error
of ours where there is none. What isn't known, or is in doubt, is read live, and each answer moves
on what is known (``known``). ``adapter`` and ``records`` say what is asked for.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from cachetools import LRUCache

from leaseholder import errors
from leaseholder.api import base, names
from leaseholder.api.conditions import Reason
from leaseholder.cluster import (
    client,
    documents,
    known,
    patches,
    places,
    reading,
    refusals,
    unreadable,
)

OURS: Final = (places.LEASES, places.PROVIDERS, places.CLUSTER_PROVIDERS, places.RECORDS)
_PARSED: Final = 128
"""So many objects are kept as they were last parsed: each of several steps needs the same again."""


class Objects:
    """Reads and patches the objects of our kinds."""

    def __init__(
        self, api: client.Api, unread: unreadable.UnreadableObjects, *, crds_may_go: bool = False
    ) -> None:
        self._api = api
        self._crds_may_go = crds_may_go
        self.reader: Final = reading.Reader(unread)
        self.on_restored: Callable[[], None] = lambda: None
        """Called, in any thread, where the API server shows an older state than before."""
        self.known: Final[Mapping[str, known.Known]] = {
            kind.plural: known.Known(lambda: self.on_restored())
            for kind in (places.LEASES, places.PROVIDERS, places.CLUSTER_PROVIDERS)
        }
        """What was last seen of each kind that is watched, by the plural of its name."""
        self._parsed: LRUCache[tuple[str, str, str], tuple[bytes, base.CustomResource]]
        self._parsed = LRUCache(_PARSED)

    async def get(self, place: places.Place, *, stood: bool = True) -> client.Body | None:
        """What is there, None where there is nothing.

        Args:
            place: where.
            stood: it was there before, or its kind is always served: a 404 that doesn't name it
                doesn't say that it is gone.
        """
        try:
            return await self._api.request("GET", place)
        except refusals.NotFound as gone:
            if gone.names_object or not place.name or not stood:
                return None
        if await self._crd_went(place):
            return None
        sentence = f"the API server doesn't serve {place.resource} now: 404 for whatever is asked"
        raise errors.ClusterUnavailable(Reason.CLUSTER, sentence)

    async def listed(self, place: places.Place, selector: str, *, most: int) -> list[client.Body]:
        """The first ``most`` items of a collection that carry the selector's labels."""
        # Without resourceVersion: the most recent state, not the API server's cache.
        pages = self._api.pages(place, query={"labelSelector": selector})
        return await documents.first(pages, most)

    async def each(
        self, model: type[patches.Kind], kind: places.Resource, namespace: str
    ) -> AsyncIterator[patches.Kind]:
        """All of a collection that can be read."""
        pages = self._api.pages(kind.at(namespace), query={})
        try:
            async for found in self.reader.whole(model, pages, within=namespace):
                yield found
        except refusals.NotFound:
            if not await self._crd_went(kind.at(namespace)):
                raise

    async def _crd_went(self, place: places.Place) -> bool:
        """Whether a kind of ours was deleted, where that may be: then its objects are gone, too.

        An API server that starts answers 404 for them all the same: the CRD itself tells.
        """
        if not self._crds_may_go or place.resource not in {kind.plural for kind in OURS}:
            return False
        try:
            await self._api.request("GET", places.CRDS.at("", f"{place.resource}.{names.GROUP}"))
        except refusals.NotFound as gone:
            return gone.names_object
        return False

    async def patch(self, place: places.Place, body: client.Body) -> client.Body:
        """One merge patch; what is there afterwards."""
        return await self._api.request(
            "PATCH",
            place,
            query=patches.writing(),
            body=body,
            content_type=client.MERGE_PATCH,
        )

    async def as_known(
        self, model: type[patches.Kind], kind: places.Resource, namespace: str, name: str
    ) -> patches.Kind | None:
        """An object as it is known; what isn't known, or is in doubt, is read live."""
        body, place = self.known[kind.plural].body(namespace, name), (kind.plural, namespace, name)
        if body is None:
            return await self.read(model, kind, namespace, name)
        of, last = self._parsed.get(place, (b"", None))
        if of is body and isinstance(last, model):
            return last
        found = self.reader.read(model, documents.parse(body))
        if len(body) <= known.LARGE:  # of large ones a tenant could fill these places, 1.5 MB each
            self._parsed[place] = body, found
        return found

    async def read(
        self, model: type[patches.Kind], kind: places.Resource, namespace: str, name: str
    ) -> patches.Kind | None:
        """An object, read live; what is known moves on."""
        kept = self.known[kind.plural]
        asked = kept.asked(namespace, name)
        body = await self.get(kind.at(namespace, name), stood=asked > 0)
        if body is None:
            kept.missing(namespace, name, asked)
        else:
            kept.answered(body, asked)
        return self.reader.found(model, body, namespace, name)

    async def patch_status(
        self, kind: places.Resource, meta: base.ObjectMeta, old: base.Model, new: base.Model
    ) -> None:
        """Make ``new`` the status of an object whose status was read as ``old``."""
        stored = self.known[kind.plural].get(meta.namespace, meta.name) or {}
        body = {
            "metadata": patches.guard(meta.uid, meta.resource_version),
            "status": patches.replace(old.dump(), new.dump(), stored.get("status")),
        }
        await self.patch_known(kind, meta, body, "status")

    async def patch_known(
        self, kind: places.Resource, meta: base.ObjectMeta, body: client.Body, sub: str = ""
    ) -> None:
        """Patch an object as it is known; that it is gone is a conflict, too.

        After anything but a clear answer it is read live.
        """
        kept = self.known[kind.plural]
        asked, above = kept.asked(meta.namespace, meta.name), kept.highest
        try:
            answer = await self.patch(kind.at(meta.namespace, meta.name, sub), body)
        except errors.ClusterError as error:
            kept.doubt(meta.namespace, meta.name)
            if isinstance(error, refusals.NotFound):
                raise errors.Conflict(Reason.CONFLICT, error.sentence) from None
            raise
        kept.answered(answer, asked, above)
