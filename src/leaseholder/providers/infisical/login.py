"""How one logs in to Infisical: what each way sends where, and how long its tokens live.

Tokens are replaced at three quarters of their life, or when the server stops taking them; never
renewed, because old servers kill a living token on a renewal that comes too late. ``kit.login``
does the holding.
"""

import base64
from typing import Final, TypeVar

from leaseholder.api import infisical
from leaseholder.providers.infisical import api, refusals
from leaseholder.providers.kit import accounts, answers, client, methods
from leaseholder.providers.kit.context import Context
from leaseholder.providers.kit.requests import Rank
from leaseholder.secrecy import Hidden

_SHARE: Final = 0.75
_UNSTATED_LIFE: Final = 3600.0
"""Life of a token that states none, neither in the answer nor in itself."""
_Claims = TypeVar("_Claims", bound=answers.Wire)


class InfisicalLogin(methods.Method):
    """See ``kit.methods.Method``."""

    trails = True
    who = "Infisical"
    not_taken = "Infisical doesn't take the access token: check the identity, or make a new token"

    def __init__(
        self,
        auth: infisical.InfisicalAuth,
        connection: client.Client,
        context: Context,
        timeout: float,
    ) -> None:
        super().__init__(connection, context, timeout)
        self._auth = auth
        self.ready_made = auth.token_auth is not None
        self.new_each_time = auth.universal_auth is None and auth.token_auth is None

    async def proof(self) -> methods.Proof:
        """Read or make what to log in with, now."""
        auth = self._auth
        if auth.universal_auth is not None:
            return await self._universal(auth.universal_auth)
        if auth.kubernetes_auth is not None:
            return await self._service_account("kubernetes-auth", auth.kubernetes_auth)
        if auth.oidc_auth is not None:
            return await self._service_account("oidc-auth", auth.oidc_auth)
        if auth.token_auth is not None:
            return methods.Proof(credentials=await self.secret(auth.token_auth.token_secret_ref))
        raise methods.without_a_way()

    async def exchange(self, proof: methods.Proof, rank: Rank) -> accounts.Held:
        """The proof for an access token."""
        if self.ready_made:
            return await super().exchange(proof, rank)
        made = refusals.LOGIN_ERRORS.parsed(await self.post(proof, rank), api.LoginAnswer)
        life = _life(made, self._connection.clock.now().timestamp())
        return accounts.Held.made(Hidden(made.access_token), self._now(), life, _SHARE * life)

    async def is_ended(self, answer: answers.Answer, token: Hidden) -> bool:
        """Whether the answer says so: 401, or 403 about the token itself."""
        return refusals.login_failed(answer)

    async def _universal(self, auth: infisical.UniversalAuth) -> methods.Proof:
        client_id = auth.client_id or ""
        if auth.client_id_secret_ref is not None:
            client_id = (await self.secret(auth.client_id_secret_ref)).reveal()
        secret = await self.secret(auth.client_secret_ref)
        organization = auth.organization_slug
        return methods.Proof(
            path="/api/v1/auth/universal-auth/login",
            body={
                "clientId": client_id,
                "clientSecret": secret.reveal(),
                **_organization(organization),
            },
            identity=client_id,
            credentials=Hidden(f"{client_id}\n{secret.reveal()}\n{organization or ''}"),
        )

    async def _service_account(self, way: str, auth: infisical.ServiceAccountAuth) -> methods.Proof:
        """A token made for this login: kept ones outlive their pod and wedge the login."""
        ref = auth.service_account_ref
        token = await self._credentialing.service_account_token(ref, auth.audience)
        return methods.Proof(
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


def _life(login: api.LoginAnswer, now: float) -> float:
    """Seconds that the token lives: the shorter of what the answer and the token itself say."""
    stated = [login.expires_in, _own_life(login.access_token, now)]
    return min((life for life in stated if life > 0), default=_UNSTATED_LIFE)


def _own_life(token: str, now: float) -> float:
    """Seconds from issue to ``exp`` by the token's own claims; 0 where it states none."""
    said = claims(token, api.Claims)
    if said is None:
        return 0.0
    return said.exp - (now if said.iat is None else said.iat)


def claims(token: str, model: type[_Claims]) -> _Claims | None:
    """What a token says of itself: read, not believed, as who is asked made it."""
    try:
        part = token.split(".")[1]
        read = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        return model.model_validate_json(read)
    except (IndexError, ValueError):
        return None
