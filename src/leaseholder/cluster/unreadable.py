"""Objects that can't be read: each is reported once, by namespace and name, and counted.

Flows in: what ``reading`` and ``watching`` couldn't read. Flows out: a warning, a number for
metrics, and names for whoever must not decide without them. Whoever may write in one namespace can
make any number of them, so only so many of a namespace and kind are named and counted. One that can
be read again, or is gone, is forgotten.
"""

import logging
from collections.abc import Callable, Collection
from typing import Final

from leaseholder.api import names

MOST_NAMED: Final = 100
"""So many objects of one kind and namespace are named; of the others it is said that they are."""
Count = Callable[[str, int], None]
"""Called with a kind and how many of its objects can't be read."""
_log = logging.getLogger(__name__)


class UnreadableObjects:
    """The objects that can't be read, as far as they were named."""

    def __init__(self, count: Count = lambda kind, number: None) -> None:
        self._count = count
        self._named: dict[tuple[str, str], set[str]] = {}

    def found(self, kind: str, namespace: object, name: object, sentence: str) -> None:
        """An object can't be read; ``sentence`` says so, in one line and without its values."""
        place = _name(namespace), _name(name)
        named = self._named.setdefault((kind, place[0]), set())
        if place[1] in named or len(named) > MOST_NAMED:
            return
        if len(named) == MOST_NAMED:
            named.add("")
            text = "more than %d objects of kind %s in namespace %s can't be read"
            _log.warning(text, MOST_NAMED, kind, place[0])
            return
        named.add(place[1])
        _log.warning("%s", sentence)
        self._count_named(kind)

    def named(self, kind: str) -> list[str]:
        """Those of a kind, as ``namespace/name``; where there are too many, not all."""
        spaces = [(space, named) for (of, space), named in self._named.items() if of == kind]
        return sorted(f"{space}/{name}" for space, named in spaces for name in named if name)

    def fine(self, kind: str, namespace: str, name: str) -> None:
        """An object can be read, or is gone."""
        named = self._named.get((kind, namespace))
        if named is not None and name in named:
            self._keep(kind, namespace, named - {name})

    def listed(self, kind: str, within: str, broken: Collection[tuple[str, str]]) -> None:
        """All objects of a kind were listed; of a namespace, or of all where it is empty.

        Args:
            kind: theirs.
            within: the namespace.
            broken: namespace and name of those that can't be read.
        """
        for known, namespace in list(self._named):
            if known == kind and within in ("", namespace):
                still = {name for place, name in broken if place == namespace}
                self._keep(kind, namespace, self._named[kind, namespace] & still)

    def _keep(self, kind: str, namespace: str, named: set[str]) -> None:
        """Go on with these; that there are more is said again where there are again too many."""
        self._named[kind, namespace] = named - {""}
        if not self._named[kind, namespace]:
            del self._named[kind, namespace]
        self._count_named(kind)

    def _count_named(self, kind: str) -> None:
        known = (len(named - {""}) for (of, _), named in self._named.items() if of == kind)
        self._count(kind, sum(known))


def _name(text: object) -> str:
    """A name that may stand in a log; what is none can't come from an API server."""
    return text if names.is_name(text) else "?" if text else ""
