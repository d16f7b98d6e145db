"""Requests of somebody who is logged in; a login that ended is made again, once per request."""

from leaseholder.providers import http
from leaseholder.providers.infisical import login as logins
from leaseholder.providers.infisical import refusals


class Session:
    """Sends requests with the shared login's token."""

    def __init__(self, connection: http.Http, login: logins.Login) -> None:
        self._http = connection
        self._login = login

    async def send(self, request: http.Request) -> http.Answer:
        """The answer to ``request``, whatever its status but a failed login.

        A request that failed for its token did nothing, so even a mint may be sent again.

        Raises:
            Denied: the login was refused.
            Unavailable: no answer.
            Throttled: too early.
        """
        token = await self._login.token()
        answer = await self._http.send(request, token)
        if not refusals.login_failed(answer):
            return answer
        self._login.drop(token)
        token = await self._login.token()
        answer = await self._http.send(request, token)
        if refusals.login_failed(answer):
            raise self._login.distrust(token)
        return answer


def usable(answer: http.Answer) -> bool:
    """Whether the answer says that what was asked is done."""
    return answer.status == 200
