"""The adapter for a provider's spec, and the address that its leases are recorded under."""

from typing import Final
from urllib.parse import urlsplit

from leaseholder import errors, ports
from leaseholder.api import provider
from leaseholder.api.conditions import Reason
from leaseholder.providers import http, infisical
from leaseholder.providers import settings as known

_PORTS: Final = {"http": 80, "https": 443}


def build(
    access: ports.Access,
    credentialing: ports.Credentialing,
    *,
    clock: ports.Clock,
    settings: known.InfisicalSettings,
    observe: http.Observe,
    on_news: http.OnNews | None = None,
    shared: infisical.Wallet | None = None,
) -> ports.Provider:
    """The provider that ``access`` describes; nothing is sent yet.

    Providers that are built with one wallet share their logins where they log in alike.

    Raises:
        Invalid: the spec names no provider that we know, or its url can't be used.
    """
    return infisical.Infisical(
        access,
        credentialing,
        base_url=address(access.spec),
        clock=clock,
        settings=settings,
        observe=observe,
        on_news=on_news,
        shared=shared,
    )


def wallet(clock: ports.Clock) -> infisical.Wallet:
    """Where the providers of one process keep the logins that they share."""
    return infisical.Wallet(clock.monotonic)


def address(spec: provider.ProviderSpec) -> str:
    """Base URL in one spelling: ``https://host``, without ``/api`` and trailing slash.

    Raises:
        Invalid: there is no url, or none that can be used.
    """
    if spec.infisical is None:
        raise errors.Invalid(Reason.PROVIDER_MISMATCH, "the provider isn't of a kind known here")
    found = _normal(spec.infisical.url)
    if found is None:
        sentence = (
            "the url can't be used: write an http(s) URL without user, query or fragment, such "
            "as https://us.infisical.com"
        )
        raise errors.Invalid(Reason.INVALID, sentence)
    return found


def _normal(url: str) -> str | None:
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    strange = "@" in parts.netloc or parts.query or parts.fragment or "\\" in url
    if parts.scheme not in _PORTS or not host or strange:
        return None
    shown = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[parts.scheme]:
        shown = f"{shown}:{port}"
    path = parts.path.rstrip("/").removesuffix("/api").rstrip("/")
    return f"{parts.scheme}://{shown}{path}"
