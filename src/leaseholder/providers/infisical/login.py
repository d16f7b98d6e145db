"""The login that all leases of a provider share.

One login at a time serves everybody who waits (``_under_way``). The token is replaced at three
quarters of its life, or when the server stops taking it; never renewed, because old servers kill
a living token on a renewal that comes too late. While a replacement can't be had, the old token
is used for as long as it lasts, so that debts can be paid after the Secret is gone.
"""

import asyncio
import base64
import json
from dataclasses import replace
from typing import Final

from leaseholder import errors, ports
from leaseholder.api import infisical
from leaseholder.api.conditions import Reason
from leaseholder.providers.infisical import api, refusals, wallet, ways
from leaseholder.providers.kit import answers, client, login, requests
from leaseholder.providers.kit.requests import Rank
from leaseholder.secrecy import Hidden

_SHARE: Final = 0.75
_UNSTATED_LIFE: Final = 3600.0
"""Life of a token that states none, neither in the answer nor in itself."""
_REREAD_SECONDS: Final = 300.0
"""A ready-made token is read again this often, so that a replaced one is noticed in peace."""
_RETRY_SECONDS: Final = 30.0
"""Between tries to replace a token that still works."""


class Login:
    """Holds an access token and replaces it in time."""

    def __init__(
        self,
        *,
        auth: infisical.InfisicalAuth,
        connection: client.Client,
        credentialing: ports.Credentialing,
        clock: ports.Clock,
        timeout: float,
        shared: wallet.Wallet,
    ) -> None:
        self._auth = auth
        self._wallet = shared
        self._account = wallet.Account()
        self._http = connection
        self._credentialing = credentialing
        self._now = clock.monotonic
        self._timeout = timeout
        self._backoff = login.Backoff(clock.monotonic)
        self._held: wallet.Held | None = None
        self._tried: Hidden | None = None
        self._under_way: asyncio.Task[wallet.Held | errors.ProviderError] | None = None

    async def token(self) -> Hidden:
        """An access token, logging in where none is held or it is old.

        Raises:
            Denied: the login was refused, now or a short while ago.
            Unavailable: no usable answer; nothing of the caller's was sent.
            Throttled: too many requests.
        """
        held = self._held
        if held is not None and self._now() < held.renew_at:
            return held.token
        outcome = await self._shared()
        if isinstance(outcome, wallet.Held):
            return outcome.token
        held = self._held
        if held is not None and self._now() < held.ends_at:
            self._held = replace(held, renew_at=self._now() + _RETRY_SECONDS)
            return held.token
        raise answers.again(outcome)

    def drop(self, token: Hidden) -> None:
        """Take note that the server doesn't take ``token`` any more."""
        if self._held is None or self._held.token != token:
            return  # somebody else noticed first
        self._held = None
        self._account.drop(token)
        if self._auth.token_auth is not None:
            self._backoff.refused(_not_taken(), token)

    def distrust(self, token: Hidden) -> errors.ProviderError:
        """Take note that the server doesn't even take a token that it just made."""
        self.drop(token)
        error = _not_taken()
        if self._auth.token_auth is None:
            self._backoff.refused(error, self._tried)
        return error

    async def aclose(self) -> None:
        """Stop a login that is under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)

    async def _shared(self) -> wallet.Held | errors.ProviderError:
        """The outcome of the login under way, starting one where there is none."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._attempt())
        return await asyncio.shield(self._under_way)

    async def _attempt(self) -> wallet.Held | errors.ProviderError:
        try:
            self._held = await self._log_in()
        except errors.ProviderError as error:
            return error
        self._backoff.worked(self._tried)
        return self._held

    async def _log_in(self) -> wallet.Held:
        if ways.fresh_each_time(self._auth):
            self._stand_back(None)
        proof = await ways.proof(self._auth, self._credentialing)
        self._open_account(proof)
        self._tried = proof.credentials
        async with self._account.lock:
            held = self._account.held
            if held is None or self._now() >= held.renew_at:
                held = self._account.held = await self._exchange(proof)
        return held

    def _open_account(self, proof: ways.Proof) -> None:
        """Share the token, and the wrong tries, of everybody with the same credentials."""
        if proof.credentials is not None and proof.identity:
            address = self._http.base_url
            self._account = self._wallet.account(address, proof.credentials)
            self._backoff = self._wallet.backoff(address, proof.identity)

    async def _exchange(self, proof: ways.Proof) -> wallet.Held:
        """The credentials for a token."""
        async with self._backoff.turn(proof.credentials):
            return await self._tried_out(proof)

    async def _tried_out(self, proof: ways.Proof) -> wallet.Held:
        self._stand_back(proof.credentials)
        if proof.token is not None:
            return wallet.Held(proof.token, self._now() + _REREAD_SECONDS, float("inf"))
        request = requests.Request(
            operation="login",
            method="POST",
            path=proof.path,
            body=proof.body,
            category="write",
            timeout=self._timeout,
            rank=Rank.LOGIN,
        )
        answer = await self._http.send(request)
        if answer.status == 200:
            return self._held_by(answer)
        error = refusals.LOGIN_ERRORS.error(answer)
        if isinstance(error, errors.Denied):
            self._backoff.refused(error, proof.credentials)
        raise error

    def _stand_back(self, credentials: Hidden | None) -> None:
        hindrance = self._backoff.hindrance(credentials)
        if hindrance is not None:
            raise hindrance

    def _held_by(self, answer: answers.Answer) -> wallet.Held:
        login = answer.parse(api.Login)
        if login is None:
            raise refusals.ERRORS.bad(answer, sent=False)
        life = _life(login, self._http.clock.now().timestamp())
        return wallet.Held(
            Hidden(login.access_token), self._now() + _SHARE * life, self._now() + life
        )


def _life(login: api.Login, now: float) -> float:
    """Seconds that the token lives: the shorter of what the answer and the token itself say."""
    stated = [login.expires_in, _own_life(login.access_token, now)]
    return min((life for life in stated if life > 0), default=_UNSTATED_LIFE)


def _own_life(token: str, now: float) -> float:
    """Seconds from issue to ``exp`` by the token's own claims; 0 where it states none."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return float(claims["exp"]) - float(claims.get("iat", now))
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return 0.0


def _not_taken() -> errors.Denied:
    sentence = "Infisical doesn't take the access token: check the identity, or make a new token"
    return errors.Denied(Reason.LOGIN_REFUSED, sentence)
