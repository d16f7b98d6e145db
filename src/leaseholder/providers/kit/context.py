"""What every adapter is built from: what the registry gives it, and what it has by that.

An adapter is an ``Adapter`` with the port's other methods (``ports.Provider``): it makes
``requests.Request`` of them, sends these with its ``Login``, and reads what comes back with
``answers``.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2

from leaseholder import ports
from leaseholder.providers.kit import answers, client, login, memory
from leaseholder.providers.kit.accounts import Accounts
from leaseholder.providers.kit.network import bounds, dialing, streams
from leaseholder.providers.kit.network.hosts import ANY_NAME, Hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One provider object's way to its server."""

    access: ports.Access
    """What its spec says."""
    credentialing: ports.Credentialing
    """Where it gets what it logs in with."""
    base_url: str
    """Where requests go, in one spelling."""
    clock: ports.Clock
    """This machine's."""
    observe: client.Observe
    """Told of each request."""
    on_news: client.OnNews | None = None
    """Told what happens to the provider."""
    connected: Callable[[Callable[[], ports.Reading]], None] = lambda read: None
    """Told what reads the connections."""
    hosts: Hosts = ANY_NAME
    """What may be connected to."""
    api_server: dialing.Endpoint | None = None
    """What is never connected to."""
    gate: bounds.Turnstile | None = None
    """What answers of all servers are read through."""
    room: memory.Room | None = None
    """The memory that answers of all servers share."""
    accounts: Accounts | None = None
    """Logins that all provider objects share where they log in alike."""
    transport: httpx2.AsyncBaseTransport | None = None
    """What to send with instead of the network."""

    def connect(self, is_up: Callable[[answers.Answer], bool] = answers.is_up) -> client.Client:
        """The connections to the server; none is made yet.

        Args:
            is_up: whether an answer shows a server that works, whatever it says.
        """
        made = client.Client(
            base_url=self.base_url,
            limits=self.access.spec.limits,
            credentialing=self.credentialing,
            clock=self.clock,
            observe=self.observe,
            on_news=self.on_news,
            is_up=is_up,
            dialer=dialing.Dialer(self.hosts, self.api_server, inner=streams.Network(self.gate)),
            transport=self.transport,
            room=self.room,
        )
        self.connected(made.reading)
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the registry has to know of a provider."""

    name: str
    """Its field in a provider's spec, and in the settings."""
    build: Callable[[Context, Any], ports.Provider]
    """Makes its adapter, by its settings."""
    tails: tuple[str, ...] = ()
    """How people end a server's url, though it makes no other server of it."""
    root: Callable[[str], str] = str
    """Where the API begins at an address."""


class Adapter:
    """Connections to one provider, a login there, and its clock."""

    def __init__(
        self,
        context: Context,
        method: Callable[[client.Client], login.Method],
        is_up: Callable[[answers.Answer], bool] = answers.is_up,
    ) -> None:
        """Nothing is sent yet.

        Args:
            context: what the registry gives.
            method: how one logs in over connections.
            is_up: whether an answer shows a server that works, whatever it says.
        """
        self._http = context.connect(is_up)
        self._login = login.Login(method(self._http), self._http, context.clock, context.accounts)

    def now(self) -> datetime:
        """The provider's clock: its last ``Date``, carried on by a clock that never jumps."""
        return self._http.clock.now()

    @property
    def has_time(self) -> bool:
        """Whether an answer told the time."""
        return self._http.clock.heard

    async def sweep(
        self, installation: str, source: Mapping[str, Any], known: Container[str]
    ) -> Sequence[ports.Marked]:
        """None: where nothing marks leases as ours, an adapter leaves this as it is."""
        return ()

    async def aclose(self) -> None:
        """Close connections; the login isn't revoked."""
        await self._login.aclose()
        await self._http.aclose()
