"""A provider's adapter that nobody keeps a turn for: each wait for an answer is one elsewhere."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from leaseholder import ports
from leaseholder.controller import runner


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """``ports.Provider`` over an adapter."""

    adapter: ports.Provider

    def now(self) -> datetime:
        """The provider's clock."""
        return self.adapter.now()

    @property
    def has_time(self) -> bool:
        """Whether an answer told the time."""
        return self.adapter.has_time

    async def check(self) -> ports.Health:
        """See ``ports.Provider``, as for all of these."""
        async with runner.elsewhere():
            return await self.adapter.check()

    async def prepare(self, attempt: ports.Attempt) -> Mapping[str, Any]:
        """Get ready for an issue."""
        async with runner.elsewhere():
            return await self.adapter.prepare(attempt)

    async def issue(self, attempt: ports.Attempt) -> ports.Issued:
        """Issue one lease."""
        async with runner.elsewhere():
            return await self.adapter.issue(attempt)

    async def renew(self, lease: ports.Lease, until: datetime) -> ports.Lease:
        """Renew a lease."""
        async with runner.elsewhere():
            return await self.adapter.renew(lease, until)

    async def inspect(self, lease: ports.Lease) -> ports.Lease:
        """Look at a lease."""
        async with runner.elsewhere():
            return await self.adapter.inspect(lease)

    async def revoke(self, lease: ports.Lease, *, force: bool = False) -> ports.Revocation:
        """Take a lease back."""
        async with runner.elsewhere():
            return await self.adapter.revoke(lease, force=force)

    async def recover(self, attempt: ports.Attempt) -> Sequence[ports.Lease]:
        """The live leases of an attempt."""
        async with runner.elsewhere():
            return await self.adapter.recover(attempt)

    async def sweep(
        self, installation: str, source: Mapping[str, Any], known: Container[str]
    ) -> Sequence[ports.Marked]:
        """The live leases of a source that an installation had issued."""
        async with runner.elsewhere():
            return await self.adapter.sweep(installation, source, known)

    def capabilities(self, handle: Mapping[str, Any]) -> ports.Capabilities:
        """What can be done for a lease with these notes."""
        return self.adapter.capabilities(handle)

    async def aclose(self) -> None:
        """Close connections."""
        await self.adapter.aclose()
