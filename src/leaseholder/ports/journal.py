"""Changes of leases, written down for people to read; ``telemetry.journal`` makes lines of a log.

``controller.chronicle`` enters them, and ``controller.providers`` those of providers.
"""

from typing import Protocol

from leaseholder import changes


class Journal(Protocol):
    """Where changes of leases are written down for people to read."""

    def enter(self, change: changes.Change) -> None:
        """A lease, a DynamicLease or a provider changed."""
        ...

    def forget(self, uid: str) -> None:
        """A DynamicLease or a provider is gone."""
        ...
