"""How one is let in: once for everybody, and once more for each lease.

The shared token looks, renews and revokes; it is kept alive, and made anew when it ends. A lease
is made with a token of its own, because it dies with that token, and can be found and taken back
by it. With a ready-made token there is only that one. ``kit.login`` does the holding.

OpenBao and Vault answer 403 alike to a token that ended and to one whose policies don't allow a
request; a look at the token itself tells them apart.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from leaseholder.api import openbao
from leaseholder.providers.kit import accounts, answers, client, methods
from leaseholder.providers.kit.context import Context
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.openbao import api, refusals
from leaseholder.secrecy import Hidden

_SHARE: Final = 0.66
_LONGEST: Final = 3600.0
"""A shared token is renewed or made anew at least this often, so that changed rights count."""
_ENDED: Final = "OpenBao doesn't take the token: it has ended or was revoked; write a new one"
_NEVER_TAKEN: Final = (
    "OpenBao doesn't take the token of a login that was just made: does its role leave out the "
    "policy 'default', or bind tokens to other addresses?"
)
_MORE_PROOFS: Final = "OpenBao wants more than one proof for this login (MFA): use another role"
_BATCH: Final = (
    "the login makes batch tokens, whose leases can't be renewed or found again: set the role's "
    "token_type to service"
)
_FEW_USES: Final = "the login's tokens are good for a few uses only: set token_num_uses to 0"


class OpenBaoLogin(methods.Method):
    """See ``kit.methods.Method``."""

    who = "OpenBao"

    def __init__(
        self,
        auth: openbao.OpenBaoAuth,
        connection: client.Client,
        context: Context,
        timeout: float,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(connection, context, timeout, headers)
        self._auth = auth
        self.ready_made = auth.token is not None
        self.not_taken = _ENDED if self.ready_made else _NEVER_TAKEN
        self.new_each_time = auth.token is None and auth.app_role is None

    async def proof(self) -> methods.Proof:
        """Read or make what to log in with, now."""
        auth = self._auth
        if auth.token is not None:
            return methods.Proof(credentials=await self.secret(auth.token.token_secret_ref))
        if auth.app_role is not None:
            role = auth.app_role
            secret = await self.secret(role.secret_id_secret_ref)
            body = {"role_id": role.role_id, "secret_id": secret.reveal()}
            known = Hidden(f"{role.role_id}\n{secret.reveal()}")
            return methods.Proof(path=api.login(role.mount_path), body=body, credentials=known)
        way = auth.kubernetes or auth.jwt
        if way is None:
            raise methods.without_a_way()
        made = await self._credentialing.service_account_token(
            way.service_account_ref, way.audience
        )
        body = {"jwt": made.reveal(), "role": way.role}
        return methods.Proof(path=api.login(way.mount_path), body=body)

    async def exchange(self, proof: methods.Proof, rank: Rank) -> accounts.Held:
        """The proof for a token that can hold leases."""
        if self.ready_made and proof.credentials is not None:
            return await self._inspected(proof.credentials)
        answer = await self.post(proof, rank)
        made = refusals.LOGIN_ERRORS.parsed(answer, api.Auth, under="auth")
        _refuse_unsuitable(made)
        life = float(made.lease_duration) or accounts.ENDLESS
        return self._held(Hidden(made.client_token), life, renewable=made.renewable)

    async def renewed(self, held: accounts.Held) -> accounts.Held | None:
        """The shared token with a longer life; None where a new one is needed."""
        answer = await self.ask("renew-login", api.url(api.RENEW_SELF), {}, held.token)
        made = answer.parse(api.Auth, under="auth") if answer.status == 200 else None
        if made is None or made.lease_duration < held.life / 2:
            return None
        longer = self._held(held.token, held.life, renewable=True)
        return replace(longer, made_at=held.made_at)

    async def is_ended(self, answer: answers.Answer, token: Hidden) -> bool:
        """Whether it is the token, and not a right that it lacks."""
        return answer.status == 403 and not await self._is_alive(token)

    async def _is_alive(self, token: Hidden) -> bool:
        """Whether the server takes ``token`` at all."""
        answer = await self.ask("inspect-login", api.url(api.LOOKUP_SELF), token=token)
        if answer.status not in (200, 403):
            raise refusals.ERRORS.error(answer)
        return answer.status == 200

    def _held(self, token: Hidden, life: float, *, renewable: bool) -> accounts.Held:
        renew_after = min(_SHARE * life, _LONGEST)
        return accounts.Held.made(token, self._now(), life, renew_after, renewable=renewable)

    async def _inspected(self, token: Hidden) -> accounts.Held:
        """A ready-made token, if it is good for leases."""
        answer = await self.ask("login", api.url(api.LOOKUP_SELF), token=token)
        if answer.status == 403:
            raise methods.refused(_ENDED)
        found = refusals.LOGIN_ERRORS.parsed(answer, api.Token, under="data")
        if found.num_uses:
            raise methods.refused(_FEW_USES)
        left = found.ttl
        if found.renewable and left < found.creation_ttl / 2:
            # Later, and never while leases keep it alive for longer: that would shorten it.
            await self.ask("renew-login", api.url(api.RENEW_SELF), {}, token)
        again = min(methods.REREAD_SECONDS, left / 3) if left else methods.REREAD_SECONDS
        return accounts.Held.made(token, self._now(), accounts.ENDLESS, again)


def _refuse_unsuitable(made: api.Auth) -> None:
    """See that a login's tokens can hold leases.

    Raises:
        Denied: they can't.
    """
    if not made.client_token:
        raise methods.refused(_MORE_PROOFS)
    if made.token_type == "batch" or not made.accessor:  # noqa: S105 - a kind, not a password
        raise methods.refused(_BATCH)
    if made.num_uses:
        raise methods.refused(_FEW_USES)
