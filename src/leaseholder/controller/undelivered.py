"""Credentials that were issued and that no Secret has yet: they are in memory alone.

Flows in: each lease as it was just issued. A tenant's server says how large its credentials are,
and a template that makes too much of them, or a Secret that can't be written, keeps them in memory
until the lease ends. So a namespace has a bound. Flows out: where there is more, the oldest are
dropped, as in a crash of ours: their leases are revoked, and others issued after the back-off.
"""

from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from leaseholder.core.memory import LeaseMemory

MOST: Final = 8 * 2**20
"""Bytes of one namespace."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The leases whose credentials are in memory, oldest first."""

    _issued: "WeakValueDictionary[tuple[str, str], LeaseMemory]" = field(
        default_factory=WeakValueDictionary
    )
    """By namespace and attempt id."""

    def note(self, namespace: str, attempt_id: str, issued: LeaseMemory) -> None:
        """A lease was issued: its credentials are kept, and older ones as far as there is room."""
        for key, known in list(self._issued.items()):
            if known.credentials is None:
                del self._issued[key]
        self._issued[namespace, attempt_id] = issued
        waiting = [
            (known, known.credentials.size)
            for (of, _), known in self._issued.items()
            if of == namespace and known.credentials is not None
        ]
        total = sum(size for _, size in waiting)
        for known, size in waiting[:-1]:
            if total > MOST:
                known.credentials, total = None, total - size
