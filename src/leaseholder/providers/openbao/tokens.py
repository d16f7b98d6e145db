"""How one is let in: once for everybody, and once more for each lease.

The shared token looks, extends and revokes; it is kept alive, and made anew when it ends. A lease
is made with a token of its own, because it dies with that token, and can be found and taken back
by it. With a ready-made token there is only that one.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from leaseholder import errors, ports
from leaseholder.api import openbao
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import answers, client, login, requests
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.openbao import api, refusals
from leaseholder.secrecy import Hidden

_SHARE: Final = 0.66
_LONGEST: Final = 3600.0
"""A shared token is renewed or made anew at least this often, so that changed rights count."""
_REREAD_SECONDS: Final = 300.0
"""A ready-made token is read again this often, so that a replaced one is noticed in peace."""
_RETRY_SECONDS: Final = 30.0
"""Between tries to replace a token that still works."""
_DOUBT_SECONDS: Final = 60.0
"""A token that old may have rights of yesterday."""
_ENDLESS: Final = float("inf")
_WHO: Final = "OpenBao"


@dataclass(frozen=True, slots=True)
class Held:
    """The shared token; moments are those of a clock that never jumps."""

    token: Hidden
    made_at: float
    life: float
    renew_at: float
    ends_at: float
    renewable: bool


@dataclass(frozen=True, slots=True)
class _Proof:
    """What one login is tried with."""

    path: str
    body: Mapping[str, Any] = field(repr=False)
    credentials: Hidden | None = None
    """To tell whether it was tried before; None where it is new each time."""


class Tokens:
    """Logs in."""

    def __init__(
        self,
        *,
        auth: openbao.OpenBaoAuth,
        connection: client.Client,
        credentialing: ports.Credentialing,
        clock: ports.Clock,
        headers: Mapping[str, str],
        timeout: float,
    ) -> None:
        self._auth = auth
        self._http = connection
        self._credentialing = credentialing
        self._now = clock.monotonic
        self._headers = headers
        self._timeout = timeout
        self._backoff = login.Backoff(clock.monotonic)
        self._held: Held | None = None
        self._under_way: asyncio.Task[Held | errors.ProviderError] | None = None

    @property
    def one_for_all(self) -> bool:
        """Whether there is only one, ready-made token."""
        return self._auth.token is not None

    async def shared(self) -> Hidden:
        """The shared token, logging in where none is held or it is old.

        Raises:
            Denied: the login was refused, now or a short while ago.
            Unavailable: no usable answer; nothing of the caller's was sent.
            Throttled: too many requests.
        """
        held = self._held
        if held is not None and self._now() < held.renew_at:
            return held.token
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._attempt())
        outcome = await asyncio.shield(self._under_way)
        if isinstance(outcome, Held):
            return outcome.token
        held = self._held
        if held is not None and self._now() < held.ends_at:
            self._held = replace(held, renew_at=self._now() + _RETRY_SECONDS)
            return held.token
        raise answers.again(outcome)

    async def own(self) -> Hidden:
        """A token for one lease: from a login of its own, where there can be one.

        Raises:
            Denied, Unavailable, Throttled: as ``shared``.
        """
        if self.one_for_all:
            return await self.shared()
        return Hidden((await self._log_in(Rank.MINT)).client_token)

    def drop(self, token: Hidden) -> None:
        """Take note that the server doesn't take ``token`` any more."""
        if self._held is not None and self._held.token == token:
            self._held = None
            if self.one_for_all:
                self._backoff.refused(_not_taken(), token)

    def doubt(self) -> None:
        """Take note that the shared token lacks a right: the next one may have it."""
        held = self._held
        old = held is not None and self._now() - held.made_at > _DOUBT_SECONDS
        if old and not self.one_for_all:
            self._held = None

    async def aclose(self) -> None:
        """Stop a login that is under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)

    async def _attempt(self) -> Held | errors.ProviderError:
        try:
            if self._auth.token is not None:
                self._held = await self._ready_made(self._auth.token)
            else:
                self._held = await self._renewed() or await self._made()
        except errors.ProviderError as error:
            return error
        return self._held

    async def _made(self) -> Held:
        made = await self._log_in(Rank.LOGIN)
        life = float(made.lease_duration) or _ENDLESS
        return self._hold(Hidden(made.client_token), life, renewable=made.renewable)

    def _hold(self, token: Hidden, life: float, *, renewable: bool) -> Held:
        now = self._now()
        renew_at = now + min(_SHARE * life, _LONGEST)
        return Held(token, now, life, renew_at, now + life, renewable)

    async def _renewed(self) -> Held | None:
        """The shared token with a longer life; None where a new one is needed."""
        held = self._held
        if held is None or not held.renewable or self._now() >= held.ends_at:
            return None
        answer = await self._send("renew-login", api.RENEW_SELF, {}, held.token)
        made = answer.parse(api.LoginAnswer) if answer.status == 200 else None
        if made is None or made.auth.lease_duration < held.life / 2:
            return None
        return replace(self._hold(held.token, held.life, renewable=True), made_at=held.made_at)

    async def _ready_made(self, auth: openbao.TokenLogin) -> Held:
        token = login.trimmed(await self._credentialing.secret_value(auth.token_secret_ref), _WHO)
        self._stand_back(token)
        answer = await self._send("login", api.LOOKUP_SELF, None, token)
        found = answer.parse(api.TokenAnswer) if answer.status == 200 else None
        if found is None:
            error = _not_taken() if answer.status == 403 else refusals.LOGIN_ERRORS.error(answer)
            if isinstance(error, errors.Denied):
                self._backoff.refused(error, token)
            raise error
        if found.data.num_uses:
            raise _few_uses()
        self._backoff.worked()
        left = found.data.ttl
        if found.data.renewable and left < found.data.creation_ttl / 2:
            # Later, and never while leases keep it alive for longer: that would shorten it.
            await self._send("renew-login", api.RENEW_SELF, {}, token)
        held = self._hold(token, _ENDLESS, renewable=False)
        again = min(_REREAD_SECONDS, left / 3) if left else _REREAD_SECONDS
        return replace(held, renew_at=self._now() + again)

    async def _log_in(self, rank: Rank) -> api.Auth:
        """A new token.

        Raises:
            Denied: the login is refused, or makes tokens that can't hold leases.
        """
        if self._auth.app_role is None:
            self._stand_back(None)
        proof = await self._proof()
        self._stand_back(proof.credentials)
        answer = await self._send("login", proof.path, proof.body, None, rank)
        made = answer.parse(api.LoginAnswer) if answer.status == 200 else None
        error = _unsuitable(made.auth) if made is not None else _refused(answer)
        if error is not None:
            if isinstance(error, errors.Denied):
                self._backoff.refused(error, proof.credentials)
            raise error
        assert made is not None  # noqa: S101 - else there is an error
        self._backoff.worked()
        return made.auth

    def _stand_back(self, credentials: Hidden | None) -> None:
        hindrance = self._backoff.hindrance(credentials)
        if hindrance is not None:
            raise hindrance

    async def _proof(self) -> _Proof:
        """What to log in with, read or made now."""
        auth = self._auth
        if auth.app_role is not None:
            role = auth.app_role
            secret = login.trimmed(
                await self._credentialing.secret_value(role.secret_id_secret_ref), _WHO
            )
            body = {"role_id": role.role_id, "secret_id": secret.reveal()}
            known = Hidden(f"{role.role_id}\n{secret.reveal()}")
            return _Proof(api.login(role.mount_path), body, known)
        way = auth.kubernetes or auth.jwt
        if way is None:
            sentence = "the provider doesn't say how to log in: write auth"
            raise errors.Denied(Reason.AUTH_MISSING, sentence)
        token = await self._credentialing.service_account_token(
            way.service_account_ref, way.audience
        )
        body = {"jwt": token.reveal(), "role": way.role}
        return _Proof(api.login(way.mount_path), body)

    async def _send(
        self,
        operation: str,
        path: str,
        body: Mapping[str, Any] | None,
        token: Hidden | None,
        rank: Rank = Rank.LOGIN,
    ) -> answers.Answer:
        request = requests.Request(
            operation=operation,
            method="GET" if body is None else "POST",
            path=api.url(path),
            body=body,
            headers=self._headers,
            category="read" if body is None else "write",
            timeout=self._timeout,
            rank=rank,
        )
        return await self._http.send(request, token)


def _refused(answer: answers.Answer) -> errors.ProviderError:
    if answer.status == 200:
        return refusals.ERRORS.bad(answer, sent=False)
    return refusals.LOGIN_ERRORS.error(answer)


def _unsuitable(made: api.Auth) -> errors.Denied | None:
    """Why a login's tokens can't hold leases."""
    if not made.client_token:
        sentence = "OpenBao wants more than one proof for this login (MFA): use another role"
        return errors.Denied(Reason.LOGIN_REFUSED, sentence)
    if made.token_type == "batch" or not made.accessor:  # noqa: S105 - a kind, not a password
        sentence = (
            "the login makes batch tokens, whose leases can't be extended or found again: set the "
            "role's token_type to service"
        )
        return errors.Denied(Reason.LOGIN_REFUSED, sentence)
    if made.num_uses:
        return _few_uses()
    return None


def _few_uses() -> errors.Denied:
    sentence = "the login's tokens are good for a few uses only: set token_num_uses to 0"
    return errors.Denied(Reason.LOGIN_REFUSED, sentence)


def _not_taken() -> errors.Denied:
    sentence = "OpenBao doesn't take the token: it has ended or was revoked; write a new one"
    return errors.Denied(Reason.LOGIN_REFUSED, sentence)
