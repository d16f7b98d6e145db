"""The ways to log in: what each sends where, from credentials that are read each time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from leaseholder import errors, ports
from leaseholder.api import infisical
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import login
from leaseholder.secrecy import Hidden

_WHO: Final = "Infisical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What one login is tried with."""

    path: str = ""
    """Where to send it; empty for a ready-made token."""
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    identity: str = ""
    """Who logs in, where several providers may log in as the same; empty elsewhere."""
    credentials: Hidden | None = None
    """To tell whether it was tried before; None where it is new each time."""
    token: Hidden | None = None
    """A ready-made access token: no login to make."""


def fresh_each_time(auth: infisical.InfisicalAuth) -> bool:
    """Whether each login makes new credentials, so that none can be known to be refused."""
    return auth.universal_auth is None and auth.token_auth is None


async def proof(auth: infisical.InfisicalAuth, credentialing: ports.Credentialing) -> Proof:
    """Read or make what to log in with, now.

    Raises:
        Denied: credentials or rights to them are missing.
        Unavailable: the API server is away.
    """
    if auth.universal_auth is not None:
        return await _universal(auth.universal_auth, credentialing)
    if auth.kubernetes_auth is not None:
        return await _service_account("kubernetes-auth", auth.kubernetes_auth, credentialing)
    if auth.oidc_auth is not None:
        return await _service_account("oidc-auth", auth.oidc_auth, credentialing)
    if auth.token_auth is not None:
        token = login.trimmed(
            await credentialing.secret_value(auth.token_auth.token_secret_ref), _WHO
        )
        return Proof(credentials=token, token=token)
    raise errors.Denied(Reason.AUTH_MISSING, "the provider doesn't say how to log in: write auth")


async def _universal(auth: infisical.UniversalAuth, credentialing: ports.Credentialing) -> Proof:
    client_id = auth.client_id or ""
    if auth.client_id_secret_ref is not None:
        client_id = login.trimmed(
            await credentialing.secret_value(auth.client_id_secret_ref), _WHO
        ).reveal()
    secret = login.trimmed(await credentialing.secret_value(auth.client_secret_ref), _WHO)
    return Proof(
        path="/api/v1/auth/universal-auth/login",
        body={
            "clientId": client_id,
            "clientSecret": secret.reveal(),
            **_organization(auth.organization_slug),
        },
        identity=client_id,
        credentials=Hidden(f"{client_id}\n{secret.reveal()}\n{auth.organization_slug or ''}"),
    )


async def _service_account(
    way: str, auth: infisical.ServiceAccountAuth, credentialing: ports.Credentialing
) -> Proof:
    """A token made for this login: kept ones outlive their pod and wedge the login."""
    ref = auth.service_account_ref
    token = await credentialing.service_account_token(ref, auth.audience)
    return Proof(
        path=f"/api/v1/auth/{way}/login",
        body={
            "identityId": auth.identity_id,
            "jwt": token.reveal(),
            **_organization(auth.organization_slug),
        },
    )


def _organization(slug: str | None) -> dict[str, str]:
    """Both names of the field: older servers know the second, each drops what it doesn't know."""
    return {"organizationSlug": slug, "subOrganizationName": slug} if slug else {}
