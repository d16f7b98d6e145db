"""Six classes of provider, and the server behind them: the truth about leases.

``Kind`` says what a class can do and how it behaves where classes differ. ``Server`` is one
provider with its database; ``Adapter`` is one process's way to it, through that process's gate.
What a server keeps of a lease is what the promises are held against, never our own records.
"""

import enum
import itertools
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import base
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import (
    Attempt,
    Capabilities,
    Health,
    Lease,
    Marked,
    RevocationAnswer,
)
from leaseholder.ports.provider import Issued as IssuedLease
from leaseholder.secrecy import Credentials
from tests.simulation import gate
from tests.unit import clocks

DEFAULT_TTL: Final = 3600
SHOWS: Final = "DB_USERNAME"
"""Key of the credentials whose value is the lease's id."""
PASSWORD: Final = "DB_PASSWORD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A class of provider."""

    name: str
    can: Capabilities
    commits_late: int = 0
    """A lost issue can take effect so many seconds after it was sent."""
    notes: bool = False
    """A lease is found by what was noted before its issue, not by its attempt's tag."""
    longest: int | None = None
    """A lease can't be renewed beyond so many seconds after its issue."""


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            name="taggable",
            can=Capabilities(
                renewable=True,
                revocable=True,
                verifiable=True,
                recoverable=True,
                minimum_renewal=5,
                settle=40,
                replica_lag=50,
            ),
            commits_late=30,
        ),
        Kind(
            name="owner-and-time",
            can=Capabilities(
                renewable=True,
                revocable=True,
                verifiable=True,
                recoverable=False,
                settle=20,
                replica_lag=10,
            ),
            commits_late=15,
        ),
        Kind(
            name="exclusive",
            can=Capabilities(
                renewable=True,
                revocable=True,
                verifiable=True,
                recoverable=True,
                found_by="OwnerAndTime",
                settle=20,
                replica_lag=10,
            ),
            commits_late=15,
        ),
        Kind(
            name="accessor",
            can=Capabilities(renewable=True, revocable=True, verifiable=True, recoverable=True),
            notes=True,
            longest=7200,
        ),
        Kind(
            name="blind",
            can=Capabilities(
                renewable=False, revocable=False, verifiable=False, recoverable=False, settle=10
            ),
            commits_late=10,
        ),
        Kind(
            name="one-slot",
            can=Capabilities(
                renewable=True,
                revocable=True,
                verifiable=True,
                recoverable=True,
                slots="One",
                settle=20,
                replica_lag=10,
            ),
            commits_late=15,
        ),
    )
}


@dataclass(slots=True, kw_only=True)
class Issued:
    """One lease that was ever issued, as its server knows it."""

    lease: Lease
    attempt: str
    slot: str
    granted: float
    """Seconds of life at its issue."""
    revoked_at: datetime | None = None
    by_us: bool = False
    """One of our processes revoked it."""
    former: list[tuple[datetime, datetime]] = field(default_factory=list)
    """Its former ends, each with the moment from which on it was former."""
    not_renewed: bool = False
    """Its last renewal failed behind the provider."""
    killed: bool = False
    """Its credentials are dead although it is on the list: the shared account moved on."""

    @property
    def id(self) -> str:
        return self.lease.id


class State(enum.Enum):
    """Whether a provider answers."""

    UP = "it answers"
    REFUSES = "no connection"
    HANGS = "requests may have arrived, for all that one knows"


@dataclass(slots=True)
class Hooks:
    """Who wants to know what happens at the server, at that moment."""

    issued: list[Callable[[Issued], None]] = field(default_factory=list)
    revoking: list[Callable[[Issued], None]] = field(default_factory=list)
    """We ask for a revocation, whether it succeeds or not."""
    shortening: list[Callable[[Issued], None]] = field(default_factory=list)
    """A renewal makes a lease end earlier."""


class Server:
    """A provider's database. Methods act at once and know nothing of networks."""

    def __init__(self, kind: Kind, clock: clocks.FakeClock) -> None:
        self.kind, self.clock = kind, clock
        self.leases: dict[str, Issued] = {}
        self.state = State.UP
        self.lagging = False
        """Reads come from a replica that trails as far as it may."""
        self.stubborn = 0
        """So many revocations are answered with a failure."""
        self.fails_renewals = False
        """The system behind it renews nothing, and the provider says so."""
        self.forbids = False
        """It lets nobody revoke, whatever became of the lease."""
        self.hooks = Hooks()
        self._numbers = itertools.count(1)

    def now(self) -> datetime:
        return base.whole_second(self.clock.wall())

    # -- what lives

    def alive(self, issued: Issued) -> bool:
        """Whether it is on the server's list."""
        return issued.revoked_at is None and issued.lease.expires_at > self.now()

    def lives(self, lease_id: str) -> bool:
        """Whether one can log in with the credentials of a lease."""
        issued = self.leases.get(lease_id)
        return issued is not None and self.alive(issued) and not issued.killed

    def living(self) -> list[Issued]:
        """The leases on the server's list."""
        return [issued for issued in self.leases.values() if self.alive(issued)]

    # -- what requests do

    def issue(self, attempt: Attempt) -> IssuedLease:
        life = timedelta(seconds=attempt.ttl_seconds or DEFAULT_TTL)
        now, longest = self.now(), self.kind.longest
        latest = now + timedelta(seconds=longest) if longest is not None else None
        made = Lease(
            id=f"lease-{next(self._numbers)}",
            source=attempt.source,
            issued_at=now,
            expires_at=min(now + life, latest) if latest is not None else now + life,
            latest=latest,
        )
        slot = str(attempt.source["dynamicSecretName"])
        granted = (made.expires_at - now).total_seconds()
        issued = Issued(lease=made, attempt=attempt.attempt_id, slot=slot, granted=granted)
        for hook in self.hooks.issued:
            hook(issued)
        if self.kind.can.slots == "One":
            self._kill_others(slot)
        self.leases[made.id] = issued
        return IssuedLease(made, Credentials({SHOWS: made.id, PASSWORD: f"password of {made.id}"}))

    def renew(self, lease: Lease, until: datetime) -> Lease:
        issued = self._seen(lease)
        if not self.kind.can.renewable:
            raise errors.CannotRenew(Reason.CANNOT_RENEW, "its kind can't be renewed")
        issued.not_renewed = self.fails_renewals
        if self.fails_renewals:
            raise errors.Unavailable(Reason.UNAVAILABLE, "nothing done", sent=False, served=True)
        # Renewals add up: what is sent is the difference to the expiry that the caller knows.
        added = (until - lease.expires_at).total_seconds()
        if self.kind.can.minimum_renewal > max(added, 1):
            raise errors.CannotRenew(Reason.RENEWAL_TOO_SOON, "too short a renewal")
        longer = self._end(issued) + timedelta(seconds=max(0, added))
        latest = issued.lease.latest
        if latest is not None and longer > latest:
            reason = Reason.CANNOT_RENEW
            raise errors.CannotRenew(reason, "it is at its end", latest=latest)
        if longer < issued.lease.expires_at:
            for hook in self.hooks.shortening:
                hook(issued)
        issued.former.append((self.now(), issued.lease.expires_at))
        issued.lease = _ending(issued.lease, longer)
        return issued.lease

    def inspect(self, lease: Lease) -> Lease:
        issued = self._seen(lease, reads=True)
        return _ending(issued.lease, self._end(issued))

    def revoke(self, lease: Lease, *, by_us: bool = True) -> RevocationAnswer:
        if not self.kind.can.revocable and by_us:
            return RevocationAnswer(done=False, reason=Reason.FAILED_TO_DELETE)
        if self.forbids and by_us:
            raise errors.Denied(Reason.DENIED, "no right to revoke")
        issued = self._seen(lease)
        if by_us:
            for hook in self.hooks.revoking:
                hook(issued)
        if self.stubborn and by_us:
            self.stubborn -= 1
            return RevocationAnswer(done=False, reason=Reason.FAILED_TO_DELETE)
        issued.revoked_at, issued.by_us = self.now(), by_us
        if self.kind.can.slots == "One":
            self._kill_others(issued.slot)
        return RevocationAnswer(done=True)

    def recover(self, attempt: Attempt) -> Sequence[Lease]:
        shown = (issued for issued in self.living() if not self._too_young(issued))
        return [issued.lease for issued in shown if self._fits(issued, attempt)]

    def _fits(self, issued: Issued, attempt: Attempt) -> bool:
        """Whether a lease looks as if the attempt had made it, as far as this class can tell."""
        if self.kind.notes:
            return attempt.handle == notes(issued.attempt)
        if self.kind.can.found_by == "Tag":
            return issued.attempt == attempt.attempt_id
        late = attempt.deadline + timedelta(seconds=self.kind.can.settle)
        return attempt.started_at <= issued.lease.issued_at <= late

    # -- how it trails

    def _seen(self, lease: Lease, *, reads: bool = False) -> Issued:
        """The lease as this request finds it: a replica may miss its issue or its end."""
        issued = self.leases.get(lease.id)
        if issued is not None and self._too_young(issued):
            issued = None
        trailing = reads and self.lagging and issued is not None and self._just_ended(issued)
        if issued is None or not (self.alive(issued) or trailing):
            raise errors.LeaseGone(Reason.GONE, "no such lease")
        return issued

    def _end(self, issued: Issued) -> datetime:
        """When it ends, as a replica has it: a renewal too adds to what that shows."""
        shown = self.now() - self._lag
        trailing = (end for since, end in issued.former if self.lagging and since > shown)
        return next(trailing, issued.lease.expires_at)

    def _too_young(self, issued: Issued) -> bool:
        return self.lagging and self.now() < issued.lease.issued_at + self._lag

    def _just_ended(self, issued: Issued) -> bool:
        return issued.revoked_at is not None and self.now() < issued.revoked_at + self._lag

    @property
    def _lag(self) -> timedelta:
        return timedelta(seconds=self.kind.can.replica_lag)

    def _kill_others(self, slot: str) -> None:
        """A shared account: its password changed, and with it every older credential."""
        for issued in self.leases.values():
            issued.killed = issued.killed or issued.slot == slot


def notes(attempt_id: str) -> Mapping[str, Any]:
    """What is put on record before an issue, where leases are found by it."""
    return {"accessor": f"accessor of {attempt_id}"}


def _ending(lease: Lease, at: datetime) -> Lease:
    return Lease(
        id=lease.id,
        source=lease.source,
        issued_at=lease.issued_at,
        expires_at=at,
        latest=lease.latest,
        handle=lease.handle,
    )


class Adapter:
    """``Provider``: one process's way to the server."""

    def __init__(self, server: Server, way: gate.Gate) -> None:
        self._server, self._gate = server, way

    def now(self) -> datetime:
        return self._server.now()

    @property
    def has_time(self) -> bool:
        return True

    async def check(self) -> Health:
        health = Health(server_version="1", clock_skew=0, capabilities=())
        return await self._call("check", lambda: health)

    async def prepare(self, attempt: Attempt) -> Mapping[str, Any]:
        noted = notes(attempt.attempt_id) if self._server.kind.notes else {}
        return await self._call("prepare", lambda: noted)

    async def issue(self, attempt: Attempt) -> IssuedLease:
        return await self._call("issue", lambda: self._server.issue(attempt), attempt.deadline)

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        return await self._call("renew", lambda: self._server.renew(lease, until))

    async def inspect(self, lease: Lease) -> Lease:
        return await self._call("inspect", lambda: self._server.inspect(lease))

    async def revoke(self, lease: Lease, *, force: bool = False) -> RevocationAnswer:
        return await self._call("revoke", lambda: self._server.revoke(lease))

    async def sweep(
        self, installation: str, source: Mapping[str, Any], known: Container[str]
    ) -> Sequence[Marked]:
        return ()  # nobody sweeps here

    async def recover(self, attempt: Attempt) -> Sequence[Lease]:
        return await self._call("recover", lambda: self._server.recover(attempt))

    def capabilities(self, handle: Mapping[str, Any]) -> Capabilities:
        return self._server.kind.can

    async def aclose(self) -> None:
        return None

    async def _call(
        self, name: str, act: Callable[[], gate.T], deadline: datetime | None = None
    ) -> gate.T:
        async def effect() -> gate.T:
            return act()

        def check() -> None:
            if deadline is not None and self.now() > deadline:
                raise errors.Unavailable(Reason.UNAVAILABLE, "the deadline is over", sent=False)
            if self._server.state is not State.UP:
                hangs = self._server.state is State.HANGS
                raise errors.Unavailable(Reason.UNAVAILABLE, "the provider is away", sent=hangs)

        return await self._gate.call(gate.Side.PROVIDER, name, effect, check)
