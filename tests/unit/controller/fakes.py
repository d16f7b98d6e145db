"""The ports in memory: a provider, a clock and a meter; the API server is in ``fakecluster``.

The provider keeps what a real one promises: it shows credentials once, adds renewals up,
forgets what has ended, and finds a lease by its attempt's tag.

``before`` and ``after`` script what happens at the next calls of an operation: an exception is
raised, a function is called, None lets the call pass. ``after`` means: the write took effect.
"""

import asyncio
import contextlib
import itertools
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Container, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from leaseholder import changes, errors
from leaseholder.api import base, record
from leaseholder.api.conditions import Reason
from leaseholder.ports.clock import Clock
from leaseholder.ports.meter import Figures
from leaseholder.ports.provider import (
    Attempt,
    Capabilities,
    Health,
    Issued,
    Lease,
    Marked,
    ProviderName,
    RevocationAnswer,
)
from leaseholder.secrecy import Credentials

Reaction = BaseException | Callable[[], object] | None
CAN = Capabilities(
    renewable=True,
    revocable=True,
    verifiable=True,
    recoverable=True,
    minimum_renewal=60,
    settle=30,
    replica_lag=60,
)
"""A kind of lease for which everything can be done."""


@dataclass
class FakeMeter:
    """Figures as they were told, in order."""

    trace: "Trace"
    issues: list[str] = field(default_factory=list)
    rotations: list[str] = field(default_factory=list)
    renewals: list[str] = field(default_factory=list)
    revocations: list[str] = field(default_factory=list)
    looks: list[record.Holder] = field(default_factory=list)
    seen: dict[record.Holder, bool] = field(default_factory=dict)
    forgotten: list[record.Holder] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    providers: dict[ProviderName, bool | None] = field(default_factory=dict)
    unrecorded: dict[ProviderName, int | None] = field(default_factory=dict)

    def issued(self, by: ProviderName, outcome: errors.Outcome, *, replaces: bool) -> None:
        self.issues.append(outcome)
        self.rotations += [outcome] if replaces else []

    def renewed(self, by: ProviderName, outcome: errors.Outcome) -> None:
        self.renewals.append(outcome)

    def revoked(self, by: ProviderName, outcome: errors.Outcome) -> None:
        self.revocations.append(outcome)

    def observed(self, holder: record.Holder, figures: Figures) -> None:
        self.looks.append(holder)
        self.seen[holder] = figures.ready is True
        self.trace.stir()

    def forget(self, holder: record.Holder) -> None:
        self.seen.pop(holder, None)
        self.forgotten.append(holder)
        self.trace.add("forget")

    def provider_observed(self, ref: ProviderName, ready: bool | None, reason: Reason) -> None:
        self.providers[ref] = ready

    def swept(self, ref: ProviderName, unrecorded: int | None) -> None:
        self.unrecorded[ref] = unrecorded

    def forget_provider(self, ref: ProviderName) -> None:
        self.providers.pop(ref, None)

    def late(self, seconds: float) -> None:
        self.lateness.append(seconds)
        self.trace.stir()


class FakeJournal:
    """Changes as they were told, in order."""

    def __init__(self) -> None:
        self.changes: list[changes.Change] = []
        self.forgotten: list[str] = []

    def enter(self, change: changes.Change) -> None:
        self.changes.append(change)

    def forget(self, uid: str) -> None:
        self.forgotten.append(uid)

    @property
    def kinds(self) -> list[str]:
        return [change.kind for change in self.changes]


class Trace:
    """The calls of all fakes of one world, in order, and who waits for one."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._moved = asyncio.Event()

    def add(self, call: str) -> None:
        self.calls.append(call)
        self.stir()

    def stir(self) -> None:
        """Something changed: who waits looks again."""
        self._moved.set()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds, looking after each call."""
        async with asyncio.timeout(60):
            while not holds():
                self._moved.clear()
                await self._moved.wait()


class Scripted:
    """Calls that are traced, and go wrong when a test says so."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.down: Exception | None = None
        """What every call meets while it is set."""
        self._before: defaultdict[str, deque[Reaction]] = defaultdict(deque)
        self._after: defaultdict[str, deque[Reaction]] = defaultdict(deque)

    def before(self, call: str, *reactions: Reaction) -> None:
        self._before[call].extend(reactions)

    def after(self, call: str, *reactions: Reaction) -> None:
        self._after[call].extend(reactions)

    @contextlib.asynccontextmanager
    async def _call(self, name: str) -> AsyncIterator[None]:
        self.trace.add(name)
        if self.down is not None:
            raise self.down
        await _react(self._before[name])
        yield
        self.trace.stir()
        await _react(self._after[name])


async def turns_pass() -> None:
    """Let whoever is ready go on, for as many turns of the loop as anything here takes."""
    for _ in range(20):
        await asyncio.sleep(0)


async def _react(script: deque[Reaction]) -> None:
    reaction = script.popleft() if script else None
    if isinstance(reaction, BaseException):
        raise reaction
    if reaction is not None:
        outcome = reaction()
        if asyncio.iscoroutine(outcome) or isinstance(outcome, asyncio.Future):
            await outcome


class FakeProvider(Scripted):
    """``Provider``: an adapter and the server behind it."""

    def __init__(self, trace: Trace, clock: Clock, can: Capabilities = CAN) -> None:
        super().__init__(trace)
        self.clock = clock
        self.can = can
        self.live: dict[str, Lease] = {}
        """The leases that aren't revoked, by id."""
        self.tags: dict[str, tuple[str, str]] = {}
        """Installation and attempt id of each lease's issue."""
        """The attempt that each lease ever issued was for, by id."""
        self.default_ttl = 3600
        self.date_ahead = 0.0
        """Seconds that its ``Date`` is ahead of its own clock: a proxy writes it."""
        self.told_time = True
        """Some answer had a ``Date``."""
        self.dated = timedelta(0)
        """What the moments of new leases are off from its own clock."""
        self.big = ""
        """What it wants to be noted of every lease."""
        self.password = "x"
        self.values: dict[str, str] | None = None
        """What new leases give; None: user and password."""
        """Of every lease."""
        self.caveat = ""
        self.notes: dict[str, Any] = {}
        """What ``prepare`` notes."""
        self.attempts: list[Attempt] = []
        """What was asked to be issued."""
        self.adds = True
        """Renewals take effect."""
        self.grants: timedelta | None = None
        """What a renewal adds, whatever is asked for."""
        self.latest: datetime | None = None
        self.answers: deque[RevocationAnswer] = deque()
        """What the next revocations are answered, with nothing done."""
        self.forced: list[str] = []
        self.closed = False
        self._numbers = itertools.count(1)

    def now(self) -> datetime:
        return base.whole_second(self.clock.wall() + timedelta(seconds=self.date_ahead))

    @property
    def has_time(self) -> bool:
        return self.told_time

    def own_now(self) -> datetime:
        """By its own clock."""
        return base.whole_second(self.clock.wall())

    async def check(self) -> Health:
        async with self._call("check"):
            return Health(
                server_version="1", clock_skew=0, capabilities=("Revoke",), caveat=self.caveat
            )

    async def prepare(self, attempt: Attempt) -> Mapping[str, Any]:
        async with self._call("prepare"):
            return dict(self.notes)

    async def issue(self, attempt: Attempt) -> Issued:
        self.attempts.append(attempt)
        async with self._call("issue"):
            if self.now() > attempt.deadline:
                late = "the deadline is over"
                raise errors.Unavailable(Reason.UNAVAILABLE, late, sent=False)
            return self.make(attempt)

    def make(self, attempt: Attempt) -> Issued:
        """What the server does when an issue reaches it."""
        asked = attempt.ttl_seconds
        life = timedelta(seconds=self.default_ttl if asked is None else asked)
        made = Lease(
            id=f"lease-{next(self._numbers)}",
            source=attempt.source,
            issued_at=self.own_now() + self.dated,
            expires_at=self.own_now() + self.dated + life,
            latest=self.latest,
            handle={"kind": "fake", **({"big": self.big} if self.big else {})},
        )
        self.live[made.id] = made
        self.tags[made.id] = (attempt.installation, attempt.attempt_id)
        usual = {"DB_USERNAME": made.id, "DB_PASSWORD": self.password}
        return Issued(made, Credentials(usual if self.values is None else self.values))

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        async with self._call("renew"):
            known = self._known(lease)
            added = until - lease.expires_at
            if added < timedelta(seconds=self.can.minimum_renewal):
                raise errors.CannotRenew(Reason.RENEWAL_TOO_SOON, "too short a renewal")
            given = added * self.adds if self.grants is None else min(added, self.grants)
            longer = replace(known, expires_at=known.expires_at + given)
            if known.latest is not None and longer.expires_at > known.latest:
                reason = Reason.CANNOT_RENEW
                raise errors.CannotRenew(reason, "it is at its end", latest=known.latest)
            self.live[lease.id] = longer
            return longer

    async def inspect(self, lease: Lease) -> Lease:
        async with self._call("inspect"):
            return self._known(lease)

    async def revoke(self, lease: Lease, *, force: bool = False) -> RevocationAnswer:
        async with self._call("revoke"):
            self._known(lease)
            if self.answers:
                return self.answers.popleft()
            del self.live[lease.id]
            self.forced += [lease.id] if force else []
            return RevocationAnswer(done=True)

    async def recover(self, attempt: Attempt) -> Sequence[Lease]:
        async with self._call("recover"):
            if self.can.found_by == "OwnerAndTime":
                return [*self.live.values()]
            tag = attempt.installation, attempt.attempt_id
            return [one for one in self.live.values() if self.tags[one.id] == tag]

    async def sweep(
        self, installation: str, source: Mapping[str, Any], known: Container[str]
    ) -> Sequence[Marked]:
        async with self._call("sweep"):
            here = [one for one in self.live.values() if one.source == source]
            tagged = ((one, *self.tags.get(one.id, (installation, ""))) for one in here)
            return [
                Marked(one, attempt)
                for one, by, attempt in tagged
                if by == installation and one.id not in known
            ]

    def capabilities(self, handle: Mapping[str, Any]) -> Capabilities:
        return self.can

    async def aclose(self) -> None:
        self.closed = True

    def _known(self, lease: Lease) -> Lease:
        found = self.live.get(lease.id)
        if found is None or found.expires_at <= self.own_now():
            raise errors.LeaseGone(Reason.GONE, "no such lease")
        return found


@contextlib.asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Work beside the test, awaited when the test left it to end, cancelled when it failed."""
    task = asyncio.create_task(work)
    try:
        yield task
        async with asyncio.timeout(60):
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
