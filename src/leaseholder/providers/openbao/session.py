"""Requests with the shared token, and what a 403 means.

OpenBao and Vault answer 403 alike to a token that ended and to one whose policies don't allow a
request; a look at the token itself tells them apart. A request that got a 403 did nothing, so it
may be sent again.
"""

from collections.abc import Mapping

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import answers, client, requests
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.openbao import api, refusals, tokens
from leaseholder.secrecy import Hidden


class Session:
    """Sends requests as whoever is logged in."""

    def __init__(
        self,
        connection: client.Client,
        known: tokens.Tokens,
        headers: Mapping[str, str],
        timeout: float,
    ) -> None:
        self._http = connection
        self._tokens = known
        self._headers = headers
        self._timeout = timeout

    async def send(
        self, request: requests.Request, right: api.Right | None = None
    ) -> answers.Answer:
        """The answer to ``request``, whatever its status but 403.

        Args:
            request: what to send.
            right: what it takes, for the sentence.

        Raises:
            Denied: the login was refused, or lacks the right.
            Unavailable: no answer.
            Throttled: too early.
        """
        token = await self._tokens.shared()
        answer = await self._http.send(request, token)
        if answer.status != 403:
            return answer
        if not await self.alive(token):
            self._tokens.drop(token)
            token = await self._tokens.shared()
            answer = await self._http.send(request, token)
            if answer.status != 403:
                return answer
            if not await self.alive(token):
                self._tokens.drop(token)
                raise _never_taken()
        self._tokens.doubt()
        if right is None:
            raise refusals.ERRORS.error(answer)
        raise refusals.denied(answer, right)

    async def alive(self, token: Hidden) -> bool:
        """Whether the server takes ``token`` at all."""
        answer = await self._http.send(
            requests.Request(
                operation="look-at-login",
                method="GET",
                path=api.url(api.LOOKUP_SELF),
                headers=self._headers,
                timeout=self._timeout,
                rank=Rank.LOGIN,
            ),
            token,
        )
        if answer.status not in (200, 403):
            raise refusals.ERRORS.error(answer)
        return answer.status == 200


def _never_taken() -> errors.Denied:
    sentence = (
        "OpenBao doesn't take the token of a login that was just made: does its role leave out the "
        "policy 'default', or bind tokens to other addresses?"
    )
    return errors.Denied(Reason.LOGIN_REFUSED, sentence)
