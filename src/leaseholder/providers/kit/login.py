"""Whose token goes with a request, where it comes from, and what to do when it isn't taken.

One ``Login`` serves all requests of a provider object. It holds a token and replaces it in time;
one login at a time serves everybody who waits. While a new token can't be had, the old one is used
for as long as it lasts, so that leases can still be revoked after the Secret is gone. A token that
the server doesn't take any more is made anew, or read again, once within the request; a login that
is refused is stood back from. How one logs in, a provider's ``methods.Method`` says.

What it remembers, and what several provider objects share that log in as the same, is in
``accounts``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from leaseholder import errors
from leaseholder.ports.clock import Clock
from leaseholder.providers.kit import answers, client, failures, methods
from leaseholder.providers.kit.accounts import Account, Accounts, Held, LoginBackoff
from leaseholder.providers.kit.requests import Rank, Request
from leaseholder.secrecy import Hidden

AGAIN: Final = 1.0
"""Seconds until a login that was just made is used again after a 403: what a standby or a replica
usually trails its server by."""
_PROOF_SECONDS: Final = 1.0
"""Leases that come together log in with what was read once: the Secret, its provider object and
its Namespace are three reads."""
_RETRY_SECONDS: Final = 30.0
"""Between tries to replace a token that still works."""
_DOUBT_SECONDS: Final = 60.0
"""A token that old may have rights of yesterday."""

Send = Callable[[Request], Awaitable[answers.Answer]]
"""As ``Login.send`` does."""


class Login:
    """Sends requests with a token that it holds."""

    def __init__(
        self,
        method: methods.Method,
        connection: client.Client,
        clock: Clock,
        accounts: Accounts | None = None,
    ) -> None:
        """Nobody is logged in yet.

        Args:
            method: how one logs in.
            connection: sends requests.
            clock: this machine's.
            accounts: what is shared with other provider objects.
        """
        self._method = method
        self._connection = connection
        self._now = clock.monotonic
        self._accounts = accounts or Accounts(clock.monotonic)
        self._account = Account()
        self._backoff = LoginBackoff(clock.monotonic)
        self._held: Held | None = None
        self._tried: Hidden | None = None
        self._settled: Hidden | None = None
        """The last token that was answered otherwise than by 403, or by 403 twice."""
        self._under_way: asyncio.Task[Held | errors.ProviderError] | None = None
        self._read: tuple[methods.Proof, float] | None = None
        """What a lease's own login was last tried with, and until when others use it, too."""

    @property
    def is_ready_made(self) -> bool:
        """Whether there is only a token of somebody else's making."""
        return self._method.ready_made

    @property
    def held(self) -> Hidden | None:
        """The token in use, None while there is none."""
        return self._held.token if self._held is not None else None

    async def send(self, request: Request) -> answers.Answer:
        """The answer to ``request``, whatever its status but a token that isn't taken.

        A request that failed for its token did nothing, so even an issue may be sent again.

        Raises:
            Denied: the login was refused, or its tokens aren't taken.
            Unavailable: no answer.
            Throttled: too early.
        """
        token = await self.token()
        answer = await self._answer(request, token)
        if await self._method.is_ended(answer, token):
            self._drop(token)
            token = await self.token()
            answer = await self._answer(request, token)
            if await self._method.is_ended(answer, token):
                raise self._distrust(token)
        if self._method.ready_made:
            self._backoff.worked(token)
        return answer

    async def token(self) -> Hidden:
        """The token, logging in where none is held or it is old.

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
        raise failures.again(outcome)

    async def another(self) -> Hidden:
        """A token of a login of its own, for one lease; the one that is held if it is ready-made.

        Raises:
            Denied, Unavailable, Throttled: as ``token``.
        """
        if self._method.ready_made:
            return await self.token()
        known = self._read if self._read is not None and self._now() < self._read[1] else None
        proof = known[0] if known is not None else await self._read_proof()
        # Without a turn: logins with good credentials needn't wait for each other.
        try:
            return (await self._exchange(proof, Rank.ISSUE)).token
        except errors.Denied:
            self._read = None
            if known is None:
                raise
            again = await self._read_proof()
            if again.credentials == proof.credentials:
                raise
        return (await self._exchange(again, Rank.ISSUE)).token  # they were just replaced

    async def _read_proof(self) -> methods.Proof:
        proof = await self._proof()
        self._read = proof, self._now() + _PROOF_SECONDS
        return proof

    async def is_ended(self, answer: answers.Answer, token: Hidden) -> bool:
        """Whether an answer to ``token``, from ``another``, says that it isn't taken."""
        return await self._method.is_ended(answer, token)

    def doubt(self) -> None:
        """Take note that the token lacks a right: the next one may have it."""
        held = self._held
        if held is None or self._method.ready_made:
            return
        if self._now() - held.made_at > _DOUBT_SECONDS:
            self._drop(held.token)

    async def aclose(self) -> None:
        """Stop a login that is under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)

    # ----------------------------------------------------------------------------- logging in

    async def _attempt(self) -> Held | errors.ProviderError:
        try:
            self._held = await self._renewed() or await self._made()
        except errors.ProviderError as error:
            return failures.again(error)
        return self._held

    async def _renewed(self) -> Held | None:
        held = self._held
        if held is None or not held.renewable or self._now() >= held.ends_at:
            return None
        return await self._method.renewed(held)

    async def _made(self) -> Held:
        proof = await self._proof()
        if proof.credentials is not None and proof.identity:
            address = self._connection.base_url
            self._account = self._accounts.account(address, proof.credentials)
            self._backoff = self._accounts.backoff(address, proof.identity)
        self._tried = proof.credentials
        async with self._account.lock:
            held = self._account.held
            if held is None or self._now() >= held.renew_at:
                async with self._backoff.turn(proof.credentials):
                    held = self._account.held = await self._exchange(proof, Rank.LOGIN)
        return held

    async def _proof(self) -> methods.Proof:
        if self._method.new_each_time:
            self._stand_back(None)  # rather than make credentials that won't be tried
        return await self._method.proof()

    async def _exchange(self, proof: methods.Proof, rank: Rank) -> Held:
        self._stand_back(proof.credentials)
        try:
            held = await self._method.exchange(proof, rank)
        except errors.Denied as error:
            self._backoff.refused(error, proof.credentials)
            raise
        if not self._method.ready_made:
            self._backoff.worked(proof.credentials)
        return held

    def _stand_back(self, credentials: Hidden | None) -> None:
        hindrance = self._backoff.hindrance(credentials)
        if hindrance is not None:
            raise hindrance

    # ------------------------------------------------------------------ tokens that aren't taken

    async def _answer(self, request: Request, token: Hidden) -> answers.Answer:
        """The answer to a request; a look with a fresh token that lacks a right is sent once more.

        What leaves something behind isn't: who says that nothing was done may be a proxy.
        """
        answer = await self._connection.send(request, token)
        # L10: a 403 to a fresh login was told at once, and stood there as Stalled for 2 s.
        again = self._method.trails and answer.status == 403 and not request.effect
        if again and token is not self._settled and not await self._method.is_ended(answer, token):
            await asyncio.sleep(AGAIN)
            answer = await self._connection.send(request, token)
        self._settled = token
        return answer

    def _drop(self, token: Hidden) -> None:
        """Take note that the server doesn't take ``token`` any more."""
        if self._held is None or self._held.token != token:
            return  # somebody else noticed first
        self._held = None
        self._account.drop(token)
        if self._method.ready_made:
            self._backoff.refused(methods.refused(self._method.not_taken), token)

    def _distrust(self, token: Hidden) -> errors.ProviderError:
        """Take note that the server doesn't even take a token that it just made."""
        self._drop(token)
        error = methods.refused(self._method.not_taken)
        if not self._method.ready_made:
            self._backoff.refused(error, self._tried)
        return error
