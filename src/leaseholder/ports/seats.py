"""The Lease of coordination.k8s.io that says who leads.

``core.election`` decides what is written into it, ``controller.leader`` writes;
``cluster.electing`` implements it.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """The Lease of coordination.k8s.io that its holder leads by."""

    holder: str
    """Identity of who leads; empty: nobody."""
    duration: float
    """Seconds for which others leave it alone while it isn't written."""
    version: str
    """resourceVersion; empty: there is none yet."""
    transitions: int
    """How often it changed hands."""
    begins: bool = field(default=False, compare=False)
    """To be written: the holder changes with it."""


class Seats(Protocol):
    """Reads and writes that Lease."""

    async def read(self) -> Seat | None:
        """The Lease; None where there is none.

        Raises:
            ClusterError: it can't be read.
        """
        ...

    async def write(self, seat: Seat) -> Seat:
        """Write it as it was read, or for the first time.

        Raises:
            Conflict: somebody else wrote it meanwhile.
            ClusterError: it wasn't written, or nobody knows.
        """
        ...
