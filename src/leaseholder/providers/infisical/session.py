"""Requests of somebody who is logged in; a login that ended is made again, once per request."""

import asyncio

from leaseholder.providers.infisical import login as logins
from leaseholder.providers.infisical import refusals
from leaseholder.providers.kit import answers, client, login, requests
from leaseholder.secrecy import Hidden


class Session:
    """Sends requests with the shared login's token."""

    def __init__(self, connection: client.Client, login: logins.Login) -> None:
        self._http = connection
        self._login = login
        self._known: Hidden | None = None
        """The last token that was answered otherwise than by 403, or by 403 twice."""

    async def send(self, request: requests.Request) -> answers.Answer:
        """The answer to ``request``, whatever its status but a failed login.

        A request that failed for its token did nothing, so even a mint may be sent again.

        Raises:
            Denied: the login was refused.
            Unavailable: no answer.
            Throttled: too early.
        """
        token = await self._login.token()
        answer = await self._asked(request, token)
        if not refusals.login_failed(answer):
            return answer
        self._login.drop(token)
        token = await self._login.token()
        answer = await self._asked(request, token)
        if refusals.login_failed(answer):
            raise self._login.distrust(token)
        return answer

    async def _asked(self, request: requests.Request, token: Hidden) -> answers.Answer:
        """The answer to a request; a look with a fresh token that lacks a right is sent once more.

        What leaves something behind isn't: who says that nothing was done may be a proxy.
        """
        answer = await self._http.send(request, token)
        lacks = answer.status == 403 and not refusals.login_failed(answer)
        if lacks and not request.effect and token is not self._known:
            await asyncio.sleep(login.AGAIN)
            answer = await self._http.send(request, token)
        self._known = token
        return answer


def usable(answer: answers.Answer) -> bool:
    """Whether the answer says that what was asked is done."""
    return answer.status == 200
