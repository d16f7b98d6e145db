"""Requests in the name of the account: the token is read from its Secret, seldom, and kept.

There is no login to make. A token that Phase doesn't take is read afresh once, because it may have
been replaced; the same one again isn't tried for a while. A token that works is kept where its
Secret is gone, so that debts can be paid.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from leaseholder import errors, ports
from leaseholder.api.conditions import Reason
from leaseholder.api.phase import PhaseAuth
from leaseholder.providers.kit import answers, client, login, requests
from leaseholder.providers.phase import refusals, tokens
from leaseholder.secrecy import Hidden

_REREAD_SECONDS: Final = 300.0
"""So often the Secret is read, so that a replaced token is noticed in peace."""
_RETRY_SECONDS: Final = 30.0
"""Between tries to read it while the token still works."""


@dataclass(slots=True)
class _Held:
    """A token, and when it is read again on the clock that never jumps."""

    token: tokens.Token
    until: float


class Session:
    """Sends requests with the account's token."""

    def __init__(
        self,
        connection: client.Client,
        auth: PhaseAuth,
        credentialing: ports.Credentialing,
        clock: ports.Clock,
    ) -> None:
        self._http = connection
        self._ref = auth.token_secret_ref
        self._credentialing = credentialing
        self._now = clock.monotonic
        self._backoff = login.Backoff(clock.monotonic)
        self._reading = asyncio.Lock()
        self._held: _Held | None = None

    @property
    def personal(self) -> bool:
        """Whether the token is a user's, as far as it was read."""
        return self._held is not None and self._held.token.kind == "User"

    @property
    def bearer(self) -> Hidden | None:
        """The token in use, None while there is none."""
        return self._held.token.bearer if self._held is not None else None

    async def send(self, request: requests.Request) -> answers.Answer:
        """The answer to ``request``, whatever its status but a token that isn't taken.

        A request that failed for its token did nothing, so even a mint may be sent again.

        Raises:
            Denied: there is no token, or Phase doesn't take it.
            Unavailable: no answer.
            Throttled: too early.
        """
        token = await self._token()
        answer = await self._http.send(request, token.bearer)
        if not refusals.login_failed(answer):
            self._backoff.worked()
            return answer
        self._refused(token)
        token = await self._token()
        answer = await self._http.send(request, token.bearer)
        if not refusals.login_failed(answer):
            self._backoff.worked()
            return answer
        self._refused(token)
        raise _not_taken()

    async def _token(self) -> tokens.Token:
        async with self._reading:
            held = self._held
            if held is None or self._now() >= held.until:
                held = self._held = await self._read(held)
        return held.token

    async def _read(self, before: _Held | None) -> _Held:
        try:
            token = tokens.parse(await self._credentialing.secret_value(self._ref))
        except errors.ProviderError:
            if before is None:
                raise
            return _Held(before.token, self._now() + _RETRY_SECONDS)
        hindrance = self._backoff.hindrance(token.bearer)
        if hindrance is not None:
            raise hindrance
        return _Held(token, self._now() + _REREAD_SECONDS)

    def _refused(self, token: tokens.Token) -> None:
        if self._held is not None and self._held.token == token:
            self._held = None
            self._backoff.refused(_not_taken(), token.bearer)


def _not_taken() -> errors.Denied:
    sentence = "Phase doesn't take the token: it is deleted, expired or mistyped, so make a new one"
    return errors.Denied(Reason.LOGIN_REFUSED, sentence)
