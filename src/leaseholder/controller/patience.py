"""A provider's adapter that nobody keeps a turn for: each wait for an answer is one elsewhere.

Flows in: a call of a verb. Flows out: the same call to the adapter, within ``runner.elsewhere``, so
that the key's turn is lent to others meanwhile. ``supplies`` puts it around every adapter.
"""

import contextlib
from collections.abc import AsyncIterator, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from leaseholder.controller import runner
from leaseholder.ports.provider import (
    Attempt,
    Capabilities,
    Health,
    Issued,
    Lease,
    Marked,
    Provider,
    RevocationAnswer,
)


@dataclass(slots=True, eq=False)
class Patient:
    """``Provider`` over an adapter."""

    adapter: Provider
    under_way: int = 0
    """How many answers are waited for."""

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        self.under_way += 1
        try:
            async with runner.elsewhere():
                yield
        finally:
            self.under_way -= 1

    def now(self) -> datetime:
        """The provider's clock."""
        return self.adapter.now()

    @property
    def has_time(self) -> bool:
        """Whether an answer told the time."""
        return self.adapter.has_time

    async def check(self) -> Health:
        """See ``Provider``, as for all of these."""
        async with self._asking():
            return await self.adapter.check()

    async def prepare(self, attempt: Attempt) -> Mapping[str, Any]:
        """Get ready for an issue."""
        async with self._asking():
            return await self.adapter.prepare(attempt)

    async def issue(self, attempt: Attempt) -> Issued:
        """Issue one lease."""
        async with self._asking():
            return await self.adapter.issue(attempt)

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """Renew a lease."""
        async with self._asking():
            return await self.adapter.renew(lease, until)

    async def inspect(self, lease: Lease) -> Lease:
        """Look at a lease."""
        async with self._asking():
            return await self.adapter.inspect(lease)

    async def revoke(self, lease: Lease, *, force: bool = False) -> RevocationAnswer:
        """Take a lease back."""
        async with self._asking():
            return await self.adapter.revoke(lease, force=force)

    async def recover(self, attempt: Attempt) -> Sequence[Lease]:
        """The live leases of an attempt."""
        async with self._asking():
            return await self.adapter.recover(attempt)

    async def sweep(
        self, installation: str, source: Mapping[str, Any], known: Container[str]
    ) -> Sequence[Marked]:
        """The live leases of a source that an installation had issued."""
        async with self._asking():
            return await self.adapter.sweep(installation, source, known)

    def capabilities(self, handle: Mapping[str, Any]) -> Capabilities:
        """What can be done for a lease with these notes."""
        return self.adapter.capabilities(handle)

    async def aclose(self) -> None:
        """Close connections."""
        await self.adapter.aclose()
