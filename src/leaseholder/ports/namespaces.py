"""Namespaces: whether one goes, and whether it is the one that it was.

``controller.tenants`` asks before a record is taken for a tenant's, ``controller.supplies`` for the
labels that a ClusterLeaseProvider allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Namespaces(Protocol):
    """Reads Namespaces."""

    async def namespace(self, name: str) -> "NamespaceView | None":
        """A namespace, None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class NamespaceView:
    """What matters of a namespace."""

    name: str
    labels: Mapping[str, str]
    terminating: bool
    uid: str
