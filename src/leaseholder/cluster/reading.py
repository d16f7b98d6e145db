"""Objects of ours, read with the models: one that can't be read hides no other.

Flows in: bodies of objects. Flows out: models of those that can be read; the others are reported by
their name once, counted (``unreadable``), and left out of lists. ``objects`` asks. A tenant writes
DynamicLeases and LeaseProviders, and another version of ours may have written anything.
"""

import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from leaseholder import errors
from leaseholder.cluster import patches, unreadable


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads objects, and says what can't be read."""

    unread: unreadable.UnreadableObjects

    def read(self, model: type[patches.Kind], body: Mapping[str, Any]) -> patches.Kind:
        """An object that is there.

        Raises:
            Unreadable: it can't be read.
        """
        try:
            found = patches.read(model, body)
        except errors.Unreadable as error:
            self.unread.found(model.KIND, *_place(body), error.sentence)
            raise
        self.unread.fine(model.KIND, found.metadata.namespace, found.metadata.name)
        return found

    def found(
        self,
        model: type[patches.Kind],
        body: Mapping[str, Any] | None,
        namespace: str,
        name: str,
    ) -> patches.Kind | None:
        """An object by its name, None where there is none.

        Raises:
            Unreadable: it can't be read.
        """
        if body is not None:
            return self.read(model, body)
        self.unread.fine(model.KIND, namespace, name)
        return None

    def readable(
        self, model: type[patches.Kind], items: Iterable[Mapping[str, Any]]
    ) -> list[patches.Kind]:
        """Those of some that can be read."""
        found = list[patches.Kind]()
        for item in items:
            with contextlib.suppress(errors.Unreadable):
                found.append(self.read(model, item))
        return found

    async def whole(
        self,
        model: type[patches.Kind],
        pages: AsyncIterable[Mapping[str, Any]],
        *,
        within: str,
    ) -> AsyncIterator[patches.Kind]:
        """Those of a whole list that can be read, page by page: ten thousand take a second.

        Args:
            model: their kind.
            pages: what a list answered.
            within: they are all of that namespace, or of all where it is empty.
        """
        broken = set[tuple[str, str]]()
        async for page in pages:
            for item in page.get("items") or ():
                try:
                    found = self.read(model, item)
                except errors.Unreadable:
                    broken.add(_place(item))
                else:
                    yield found
        self.unread.listed(model.KIND, within, broken)


def _place(body: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name."""
    meta = patches.metadata(body)
    return str(meta.get("namespace") or ""), str(meta.get("name") or "")
