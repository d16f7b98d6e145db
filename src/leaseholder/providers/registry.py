"""The adapter for a provider's spec, and the address that its leases are recorded under.

A provider is registered here: its address in one spelling, and how its adapter is built.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from leaseholder import errors, ports
from leaseholder.api import provider
from leaseholder.api.conditions import Reason
from leaseholder.providers import infisical, openbao, phase
from leaseholder.providers import settings as known
from leaseholder.providers.kit import accounts, client, memory
from leaseholder.providers.kit.context import Context
from leaseholder.providers.kit.network import bounds, dialing
from leaseholder.providers.kit.network.hosts import ANY_NAME, Hosts, is_callable, unusable

_PORTS: Final = {"http": 80, "https": 443}
_TAILS: Final = {"infisical": ("/api",), "phase": ("/v1",), "openbao": ("/v1",)}
"""How people end a server's url; it makes no other server of it."""


class Meter(Protocol):
    """Where figures of providers go."""

    def provider_request(
        self, by: ports.ProviderName, operation: str, outcome: str, seconds: float, /
    ) -> None:
        """A request ended; ``outcome`` is one of ``failures.Outcome``."""
        ...

    def provider_connected(
        self, by: ports.ProviderName, read: Callable[[], ports.Reading], /
    ) -> None:
        """There are new connections, which ``read`` reads."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Builds the adapters of one process.

    Adapters of one registry share their logins where they log in alike.
    """

    clock: ports.Clock
    settings: known.ProviderSettings
    meter: Meter | None = None
    on_news: client.OnNews | None = None
    hosts: Hosts = ANY_NAME
    """Where providers may be."""
    api_server: dialing.Endpoint | None = None
    """Where they can't be, whatever ``hosts`` says."""
    _accounts: accounts.Accounts = field(init=False)
    _gate: bounds.Turnstile = field(init=False, default_factory=bounds.Turnstile)
    _room: memory.Room = field(init=False, default_factory=lambda: memory.Room(memory.TOGETHER))

    def __post_init__(self) -> None:
        object.__setattr__(self, "_accounts", accounts.Accounts(self.clock.monotonic))

    def build(self, access: ports.Access, credentialing: ports.Credentialing) -> ports.Provider:
        """The provider that ``access`` describes; nothing is sent yet.

        Raises:
            Invalid: the spec names no provider that we know, or its url can't be used or isn't
                allowed.
        """
        base_url = address(access.spec)
        self.hosts.check(base_url)
        meter, of = self.meter, access.of
        name = of.kind, of.namespace, of.name
        context = Context(
            access=access,
            credentialing=credentialing,
            base_url=base_url,
            clock=self.clock,
            observe=functools.partial(meter.provider_request, name) if meter else _unobserved,
            connected=functools.partial(meter.provider_connected, name) if meter else _unobserved,
            on_news=self.on_news,
            hosts=self.hosts,
            api_server=self.api_server,
            gate=self._gate,
            room=self._room,
            accounts=self._accounts,
        )
        match provider.type_of(access.spec):
            case "infisical":
                return infisical.Infisical(context, self.settings.infisical)
            case "phase":
                return phase.Phase(context, self.settings.phase)
            case "openbao":
                return openbao.OpenBao(context, self.settings.openbao)
        raise _unknown()


def address(spec: provider.ProviderSpec) -> str:
    """Base URL in one spelling: ``https://host``, without trailing slash or what the API adds.

    A Phase server's says where its API begins, which its host tells: ``…/service/public``.

    Raises:
        Invalid: there is no url, or none that can be used.
    """
    server = provider.server_of(spec)
    if server is None:
        raise _unknown()
    found = _normal(server.url, _TAILS[provider.type_of(spec) or ""])
    if found is None:
        raise unusable()
    return phase.root(found) if spec.phase is not None else found


def _unobserved(*_: object) -> None:
    """Count nothing."""


def _unknown() -> errors.Invalid:
    return errors.Invalid(Reason.PROVIDER_MISMATCH, "the provider isn't of a kind known here")


def _normal(url: str, tails: tuple[str, ...]) -> str | None:
    text = url.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    strange = "@" in parts.netloc or parts.query or parts.fragment or "\\" in text
    if strange or " " in text or not text.isascii() or not text.isprintable():
        return None
    if parts.scheme not in _PORTS or port == 0 or not host or not is_callable(host):
        return None
    shown = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[parts.scheme]:
        shown = f"{shown}:{port}"
    path = parts.path.rstrip("/")
    for tail in tails:
        path = path.removesuffix(tail).rstrip("/")
    return f"{parts.scheme}://{shown}{path}"
