"""The handles that every bench has: build adapters, make attempts, look from outside, interfere.

A bench knows one provider. The suite in ``conformance`` knows only what stands here, so a new
provider is held to the same promises once it has a bench.
"""

import abc
import contextlib
import dataclasses
import enum
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

import pytest

from leaseholder import errors
from leaseholder.api import provider, refs
from leaseholder.ports.credentials import Access
from leaseholder.ports.provider import Attempt, Issued, Lease, Provider, ProviderObject
from leaseholder.providers import registry
from leaseholder.providers.kit.adapter import Registration
from leaseholder.providers.kit.network import hosts
from leaseholder.providers.settings import ProviderSettings
from leaseholder.secrecy import Hidden
from tests.provider.benches import line as lines
from tests.world import processes

INSTALLATION: Final = "kube-1/leaseholder"
ANOTHER_INSTALLATION: Final = "kube-2/leaseholder"
PATIENCE: Final = 15.0

PROVIDER: Final = ProviderObject("LeaseProvider", "shop", "provider", "provider-uid")


class Login(enum.StrEnum):
    """Who logs in."""

    OURS = "ours"
    ANOTHER = "another"
    """Another installation's, which may do the same."""
    SHORT = "short"
    """Ours, but it ends soon; see ``Bench.outlive_login``."""


class Kind(enum.Enum):
    """What leases are taken of."""

    PLAIN = enum.auto()
    """An hour by default, a day at most."""
    CAPPED = enum.auto()
    """A minute by default, ten minutes at most."""
    MISSING = enum.auto()
    """There is no such thing."""


DEFAULT_TTL: Final = 3600
TOO_LONG: Final = 25 * 3600
CAPPED_DEFAULT: Final = 60
CAP: Final = 600


@dataclasses.dataclass(frozen=True, slots=True)
class MachineClock:
    """This machine's time, or a clock that is so far ahead of it."""

    ahead: timedelta = timedelta()

    def monotonic(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclasses.dataclass(slots=True)
class Values:
    """What a cluster's Secrets would hold, by key, and the CA bundle; Hidden from ``repr``."""

    held: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    bundle: str | None = None

    async def secret_value(self, ref: refs.SecretKeyRef) -> Hidden:
        return Hidden(self.held[ref.key])

    async def service_account_token(self, ref: refs.ServiceAccountRef, audience: str) -> Hidden:
        return Hidden(self.held[f"{ref.name}/{audience}"])

    async def ca_bundle(self) -> str | None:
        return self.bundle


def recorded(notes: Mapping[str, Any]) -> dict[str, Any]:
    """An adapter's notes as they come back from a record: JSON."""
    read: dict[str, Any] = json.loads(json.dumps(dict(notes)))
    return read


class Adapters:
    """Builds adapters of one provider, as a process of its own each, and closes them."""

    spec: ClassVar[type[provider.ProviderSpec]] = provider.ProviderSpec
    registered: ClassVar[Sequence[Registration]] = registry.ADAPTERS

    def __init__(self, provider_type: str) -> None:
        self._type = provider_type
        self._stack = contextlib.AsyncExitStack()
        self.values = Values()

    def build(
        self,
        server: Mapping[str, Any],
        settings: ProviderSettings,
        *,
        ahead: int = 0,
        **spec: Any,
    ) -> Provider:
        """An adapter for ``server`` as in a spec; its clock is ``ahead`` seconds ahead."""
        known = registry.Registry(
            clock=MachineClock(timedelta(seconds=ahead)),
            settings=settings,
            hosts=hosts.Hosts.parse("http://127.0.0.1"),
            adapters=self.registered,
        )
        whole = self.spec.model_validate({self._type: server, **spec})
        built = known.build(Access(spec=whole, of=PROVIDER), self.values)
        self._stack.push_async_callback(built.aclose)
        return built

    async def aclose(self) -> None:
        await self._stack.aclose()


class Bench(abc.ABC):
    """One provider's server, and adapters to it."""

    provider: ClassVar[str]
    """As in a provider's spec."""
    builder: ClassVar[type[Adapters]] = Adapters
    lacks: ClassVar[Mapping[str, str]] = {}
    """Capabilities that the provider doesn't have, each with the reason."""
    routes: ClassVar[lines.Routes]
    least_ttl: ClassVar[int]
    """The shortest ttl that this server takes, in seconds."""
    shortened: ClassVar[int] = 0
    """Seconds by which a ttl of ten minutes or more may be shortened, to know its lease again."""
    right: ClassVar[str]
    """Regular expression for what a refusal says that is missing."""

    def __init__(self, line: lines.Line) -> None:
        self.line = line
        self.adapters = self.builder(self.provider)
        self.values = self.adapters.values
        self.values.bundle = line.bundle
        self._numbers = itertools.count(1)
        self._ledger: set[str] = set()

    # -------------------------------------------------------------- adapters and attempts

    def adapter(
        self,
        login: Login = Login.OURS,
        *,
        ahead: int = 0,
        patience: float = PATIENCE,
        **spec: Any,
    ) -> Provider:
        """An adapter as a new process would build it.

        Args:
            login: who logs in.
            ahead: seconds by which this machine's clock is ahead.
            patience: seconds that it waits for an answer.
            spec: what else stands in the provider's spec, such as its limits.
        """
        server = {"url": self.line.url, **self._server(login)}
        return self.adapters.build(server, self._settings(patience), ahead=ahead, **spec)

    def built(self, **server: Any) -> Provider:
        """An adapter for a spec of one's own; the url is the line's where there is none."""
        return self.adapters.build({"url": self.line.url, **server}, self._settings(PATIENCE))

    def attempt(
        self,
        adapter: Provider,
        source: Mapping[str, Any] | None = None,
        *,
        ttl: int | None = 600,
        attempt_id: str | None = None,
        installation: str = INSTALLATION,
    ) -> Attempt:
        now = adapter.now()
        return Attempt(
            installation=installation,
            attempt_id=attempt_id or f"attempt-{next(self._numbers)}",
            source=self.source(Kind.PLAIN) if source is None else source,
            ttl_seconds=ttl,
            started_at=now,
            deadline=now + timedelta(seconds=20),
        )

    async def prepared(self, adapter: Provider, *args: Any, **kwargs: Any) -> Attempt:
        """As the controller does: what ``prepare`` notes is on record before the issue."""
        attempt = self.attempt(adapter, *args, **kwargs)
        return dataclasses.replace(attempt, handle=recorded(await adapter.prepare(attempt)))

    async def issued(self, adapter: Provider, *args: Any, **kwargs: Any) -> Issued:
        ready = await self.prepared(adapter, *args, **kwargs)
        issued = await adapter.issue(ready)
        if ready.installation == INSTALLATION:
            self._ledger.add(issued.lease.id)
        return issued

    async def lost(self, adapter: Provider, *args: Any, **kwargs: Any) -> Attempt:
        """An attempt whose lease was made, and whose answer was lost."""
        ready = await self.prepared(adapter, *args, **kwargs)
        self.line.lose_answer(self.routes.issue)
        with pytest.raises(errors.Unavailable) as caught:
            await adapter.issue(ready)
        assert caught.value.sent
        return ready

    async def taken_back(self, adapter: Provider, attempt: Attempt) -> int:
        """Revoke what an attempt left behind; how much that was.

        As the controller does it: where leases are found by owner and time, those that are on the
        ledger are somebody's.
        """
        found = await adapter.recover(attempt)
        if adapter.capabilities(attempt.handle).found_by == "OwnerAndTime":
            found = [one for one in found if one.id not in self._ledger]
        for lease in found:
            assert (await adapter.revoke(lease)).done
        return len(found)

    def need(self, capability: str) -> None:
        """Skip the test where the provider lacks a capability, with the reason."""
        if capability in self.lacks:
            pytest.skip(self.lacks[capability])

    # ------------------------------------------------------------------ what is and was

    async def works(self, issued: Issued) -> bool:
        """Whether a lease's credentials let in, tried at what they are for."""
        return await self._lets_in(issued.credentials.reveal())

    async def is_dead(self, issued: Issued) -> bool:
        return not await self.works(issued)

    async def lost_ones_let_in(self) -> list[bool]:
        """For each credential whose answer was lost, whether it lets in."""
        found = [self._credentials_in(body) for body in self.line.lost]
        return [await self._lets_in(one) for one in found if one]

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait for a condition, not for time."""
        await processes.wait_until_async(condition, timeout=PATIENCE, what=what, interval=0.02)

    async def until_dead(self, issued: Issued) -> None:
        await self.until(lambda: self.is_dead(issued), "the credential is dead")

    async def until_living(self, *leases: Lease) -> None:
        """Wait until these leases live at the server, and no others."""
        wanted = {one.id for one in leases}

        async def so() -> bool:
            return await self.living() == wanted

        await self.until(so, f"{len(wanted)} leases live, and no others")

    async def logged_in(self, login: Login = Login.OURS) -> Provider:
        """An adapter that has logged in."""
        adapter = self.adapter(login)
        await adapter.check()
        return adapter

    # --------------------------------------------------------------- each provider's own

    @abc.abstractmethod
    def source(self, kind: Kind) -> Mapping[str, Any]:
        """What to ask for, as in a DynamicLease."""

    @abc.abstractmethod
    async def unrenewable(self) -> tuple[Provider, Mapping[str, Any]]:
        """An adapter and a source whose leases can't be renewed."""

    @abc.abstractmethod
    async def living(self) -> set[str]:
        """The leases of this bench that live, by the server or by what it makes leases at."""

    @abc.abstractmethod
    async def ends_at(self, lease: Lease) -> datetime:
        """When a lease ends, as the server has it."""

    @abc.abstractmethod
    async def revoke_outside(self, lease: Lease) -> None:
        """Somebody else revokes a lease."""

    @abc.abstractmethod
    async def end_login(self) -> None:
        """What ``logged_in`` got is revoked; whoever logs in anew is let in."""

    @abc.abstractmethod
    async def outlive_login(self) -> None:
        """Time passes until a ``SHORT`` login that ``logged_in`` made has ended by itself."""

    @abc.abstractmethod
    def mistype_login(self) -> None:
        """The Secret holds something that isn't let in."""

    @abc.abstractmethod
    def correct_login(self) -> None:
        """It holds what it held before."""

    @abc.abstractmethod
    async def take_rights(self) -> None:
        """Whoever is OURS may do nothing with leases any more."""

    @abc.abstractmethod
    async def give_rights(self) -> None:
        """They may again."""

    @abc.abstractmethod
    def backend_down(self) -> contextlib.AbstractAsyncContextManager[None]:
        """While the block lasts, the server can't reach what it makes credentials at."""

    @abc.abstractmethod
    def revocations_refused(self) -> contextlib.AbstractAsyncContextManager[None]:
        """While the block lasts, what the server makes credentials at keeps them."""

    @abc.abstractmethod
    def _server(self, login: Login) -> Mapping[str, Any]:
        """A provider's spec but its url."""

    @abc.abstractmethod
    def _settings(self, patience: float) -> ProviderSettings:
        """With so many seconds to wait for any answer."""

    @abc.abstractmethod
    async def _lets_in(self, credentials: Mapping[str, str]) -> bool:
        """Whether they let in, tried at what they are for."""

    @abc.abstractmethod
    def _credentials_in(self, body: bytes) -> Mapping[str, str]:
        """The credentials in an answer to an issue; none where it is a refusal."""
