"""The adapter for a provider's spec, and the address that its leases are recorded under.

In comes a provider object's spec, as the controller resolved it; out comes its adapter, made of
its own package and of what all share in this process: memory, turns to read, logins. An adapter
says in its ``Registration`` how it is built and how people write its url.
"""

import functools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from leaseholder import errors
from leaseholder.api import provider
from leaseholder.api.conditions import Reason
from leaseholder.ports.clock import Clock
from leaseholder.ports.credentials import Access, Credentialing
from leaseholder.ports.provider import Provider, ProviderName, Reading
from leaseholder.providers import infisical, openbao, phase
from leaseholder.providers import settings as known
from leaseholder.providers.kit import accounts, answer_memory, context, gate
from leaseholder.providers.kit.adapter import Registration
from leaseholder.providers.kit.network import bounds, dialing, sockets
from leaseholder.providers.kit.network.hosts import ANY_NAME, Hosts, spelled, unusable

ADAPTERS: Final = (infisical.ADAPTER, phase.ADAPTER, openbao.ADAPTER)
"""Each provider that we know; a new one is registered by being named here."""


class RequestMeter(Protocol):
    """Where figures of providers go."""

    def provider_request(
        self, by: ProviderName, operation: str, outcome: str, seconds: float, /
    ) -> None:
        """A request ended; ``outcome`` is one of ``failures.RequestOutcome``."""
        ...

    def provider_connected(self, by: ProviderName, read: Callable[[], Reading], /) -> None:
        """There are new connections, which ``read`` reads."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Builds the adapters of one process.

    Adapters of one registry share their logins where they log in alike.
    """

    clock: Clock
    settings: known.ProviderSettings
    meter: RequestMeter | None = None
    on_news: context.OnNews | None = None
    hosts: Hosts = ANY_NAME
    """Where providers may be."""
    api_server: dialing.Endpoint | None = None
    """Where they can't be, whatever ``hosts`` says."""
    adapters: Sequence[Registration] = ADAPTERS
    """The providers that are known."""
    _accounts: accounts.Accounts = field(init=False)
    _gate: bounds.Turnstile = field(init=False, default_factory=bounds.Turnstile)
    _room: answer_memory.Room = field(
        init=False, default_factory=lambda: answer_memory.Room(answer_memory.TOGETHER)
    )
    _turns: "weakref.WeakValueDictionary[str, gate.Turns]" = field(
        init=False, default_factory=weakref.WeakValueDictionary
    )
    """By namespace, as long as one of its LeaseProviders is in use."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_accounts", accounts.Accounts(self.clock.monotonic))

    def build(self, access: Access, credentialing: Credentialing) -> Provider:
        """The provider that ``access`` describes; nothing is sent yet.

        Raises:
            Invalid: the spec names no provider that we know, or its url can't be used or isn't
                allowed.
        """
        found = _registered(access.spec, self.adapters)
        base_url = address(access.spec, self.adapters)
        self.hosts.check(base_url)
        meter, of = self.meter, access.of
        name = of.kind, of.namespace, of.name
        way = context.Context(
            access=access,
            credentialing=credentialing,
            base_url=base_url,
            clock=self.clock,
            observe=functools.partial(meter.provider_request, name) if meter else _unobserved,
            connected=functools.partial(meter.provider_connected, name) if meter else _unobserved,
            on_news=self.on_news,
            dialer=dialing.Dialer(self.hosts, self.api_server, sockets.Network(self._gate)),
            turns=self._turns_of(of.namespace),
            room=self._room,
            accounts=self._accounts,
        )
        server, settings = getattr(access.spec, found.name), getattr(self.settings, found.name)
        return found.build(way, server, settings)

    def _turns_of(self, namespace: str) -> gate.Turns | None:
        """What its LeaseProviders share; a ClusterLeaseProvider is an administrator's."""
        if not namespace:
            return None
        return self._turns.setdefault(namespace, gate.Turns(gate.NAMESPACE))


def address(spec: provider.ProviderSpec, adapters: Sequence[Registration] = ADAPTERS) -> str:
    """Base URL in one spelling: ``https://host``, without trailing slash or what the API adds.

    A Phase server's says where its API begins, which its host tells: ``…/service/public``.

    Raises:
        Invalid: there is no url, or none that can be used.
    """
    found = _registered(spec, adapters)
    url = spelled(getattr(spec, found.name).url, found.tails)
    if url is None:
        raise unusable()
    return found.root(url)


def _registered(spec: provider.ProviderSpec, adapters: Sequence[Registration]) -> Registration:
    for one in adapters:
        if getattr(spec, one.name, None) is not None:
            return one
    raise errors.Invalid(Reason.PROVIDER_MISMATCH, "the provider isn't of a kind known here")


def _unobserved(*_: object) -> None:
    """Count nothing."""
