"""The requests that are sent, one method each, and what their answers say.

What is asked with the shared token goes through ``kit.login``; what belongs to one lease's making
goes with that lease's own token.
"""

import asyncio
import contextlib
import functools
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from leaseholder import errors
from leaseholder.ports.provider import Attempt
from leaseholder.providers import settings
from leaseholder.providers.kit import answers, client, login, requests
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.openbao import api, learned, refusals
from leaseholder.secrecy import Hidden

_STANDBYS_TOO: Final = {"standbyok": "true", "perfstandbyok": "true"}
MARK: Final = {"X-Vault-Request": "true"}
"""A header of every request: an agent or proxy with ``require_request_header`` refuses others."""


class Calls:
    """What OpenBao and Vault can be asked."""

    def __init__(
        self,
        connection: client.Client,
        shared: login.Login,
        settings: settings.OpenBaoSettings,
        headers: Mapping[str, str],
        clock: learned.OwnClock,
        granted: learned.Granted,
    ) -> None:
        self._http = connection
        self._granted = granted
        self._clock = clock
        self._login = shared
        self._read = functools.partial(
            requests.Request,
            method="POST",
            headers=headers,
            timeout=settings.read_timeout_seconds,
        )
        # A renewal isn't waited for as long as these: what is unclear after it is looked at.
        self._write = functools.partial(
            requests.Request,
            method="POST",
            headers=headers,
            category="write",
            effect=True,
            timeout=settings.write_timeout_seconds,
        )

    async def health(self) -> api.HealthAnswer:
        """What the server says of itself; nobody has to be logged in.

        Raises:
            Unavailable: it is sealed, not initialised, or in trouble.
        """
        request = self._read(
            operation="status",
            method="GET",
            path=api.url(api.HEALTH),
            params=_STANDBYS_TOO,
            headers=MARK,  # without namespace: it is the server's, not a namespace's
            rank=Rank.CHECK,
        )
        answer = await self._http.send(request)
        if answer.status != 200:
            raise refusals.health(answer)
        return refusals.ERRORS.parsed(answer, api.HealthAnswer)

    async def lacking(
        self, rights: tuple[api.PolicyLine, ...], own: Hidden | None = None
    ) -> tuple[api.PolicyLine, ...]:
        """Those of ``rights`` that a token doesn't have: ``own``, else the shared one."""
        request = self._read(
            operation="rights",
            path=api.url(api.CAPABILITIES),
            body={"paths": [right.path for right in rights]},
            rank=Rank.KEEP if own is None else Rank.ISSUE,
        )
        if own is None:
            answer = await self._shared(request)
        else:
            answer = await self._asked_again(request, own)
        held = refusals.ERRORS.parsed(answer, api.RightsAnswer).data
        return tuple(right for right in rights if not right.granted_by(held.get(right.path)))

    async def own_token(self, token: Hidden) -> api.Token:
        """A token, looked at by itself."""
        path = api.url(api.LOOKUP_SELF)
        request = self._read(operation="inspect-login", method="GET", path=path, rank=Rank.ISSUE)
        answer = await self._asked_again(request, token)
        return self._dated(refusals.ERRORS.parsed(answer, api.Token, under="data"))

    async def issue(self, attempt: Attempt, source: api.Source, token: Hidden) -> answers.Answer:
        """Whatever comes back from the one try to get a lease."""
        request = self._write(
            operation="issue",
            method=source.method,
            path=api.url(source.path),
            params=source.query,
            body=source.body,
            deadline=attempt.deadline,
            rank=Rank.ISSUE,
        )
        return self._minded(await self._http.send(request, token))

    async def token(self, accessor: str, *, rank: Rank = Rank.KEEP) -> api.Token | None:
        """The token with that accessor, None where there is none."""
        path, body = api.url(api.LOOKUP_ACCESSOR), {"accessor": accessor}
        request = self._read(operation="inspect", path=path, body=body, rank=rank)
        answer = await self._shared(request)
        if _is_gone(answer):
            return None
        return self._dated(refusals.ERRORS.parsed(answer, api.Token, under="data"))

    async def lease(self, lease_id: str, *, rank: Rank = Rank.KEEP) -> api.OpenBaoLease | None:
        """A lease, None where there is none."""
        path, body = api.url(api.LOOKUP), {"lease_id": lease_id}
        request = self._read(operation="inspect", path=path, body=body, rank=rank)
        answer = await self._shared(request)
        if _is_gone(answer):
            return None
        found = refusals.ERRORS.parsed(answer, api.OpenBaoLease, under="data")
        if found.id != lease_id:
            raise refusals.ERRORS.bad(answer, sent=False)
        self._clock.learn(found.expire_time, found.ttl)
        return found

    async def renew_token(
        self, accessor: str, seconds: int, *, expires: datetime | None = None
    ) -> answers.Answer:
        """The answer to: let the token with that accessor live so long from now."""
        body = {"accessor": accessor, "increment": seconds}
        return await self._renew(api.RENEW_ACCESSOR, body, expires)

    async def renew_lease(
        self, lease_id: str, seconds: int, *, expires: datetime | None = None
    ) -> answers.Answer:
        """The answer to: let the lease live so long from now."""
        body = {"lease_id": lease_id, "increment": seconds}
        return await self._renew(api.RENEW, body, expires)

    async def revoke_lease(self, lease_id: str) -> answers.Answer:
        """The answer to: revoke the lease, and say when it is done. An unknown one is fine."""
        return await self._revoke(api.REVOKE, {"lease_id": lease_id, "sync": True})

    async def revoke_token(self, accessor: str) -> None:
        """End the token with that accessor, and the leases that it made; fine if it is gone."""
        answer = await self._revoke(api.REVOKE_ACCESSOR, {"accessor": accessor})
        if answer.status >= 300 and not _is_gone(answer):
            raise refusals.ERRORS.error(answer, effect=True)

    async def discard(self, token: Hidden) -> None:
        """End a token that made no lease; where that fails it ends by itself."""
        path, rank = api.url(api.REVOKE_SELF), Rank.REVOCATION
        request = self._read(operation="discard-login", path=path, body={}, rank=rank)
        with contextlib.suppress(errors.ProviderError):
            await self._http.send(request, token)

    def _dated(self, token: api.Token) -> api.Token:
        """A token that was looked at just now: it tells the server's time."""
        self._clock.learn(token.expire_time, token.ttl)
        return token

    async def _renew(
        self, path: str, body: Mapping[str, Any], expires: datetime | None
    ) -> answers.Answer:
        request = self._read(
            operation="renew",
            path=api.url(path),
            body=body,
            category="write",
            effect=True,
            expires=expires,
        )
        return await self._shared(request)

    async def _revoke(self, path: str, body: Mapping[str, Any]) -> answers.Answer:
        rank = Rank.REVOCATION
        request = self._write(operation="revoke", path=api.url(path), body=body, rank=rank)
        return await self._shared(request)

    async def _shared(self, request: requests.Request) -> answers.Answer:
        """The answer to a request with the shared token, whatever its status but 403."""
        answer = self._minded(await self._login.send(request))
        if answer.status == 403:
            self._login.doubt()
            raise refusals.denied(answer, api.right_to(request))
        return answer

    async def _asked_again(self, request: requests.Request, token: Hidden) -> answers.Answer:
        """The answer to a request with a token that was just made, whatever its status but 403.

        Who answers may not know of it yet, so it is asked once more before its refusal is reported.
        A request that got a 403 did nothing, so it may be sent again.
        """
        answer = await self._http.send(request, token)
        if answer.status == 403:
            await asyncio.sleep(login.AGAIN)
            answer = await self._http.send(request, token)
        if self._minded(answer).status == 403:
            raise refusals.denied(answer, api.right_to(request))
        return answer

    def _minded(self, answer: answers.Answer) -> answers.Answer:
        """An answer; where it refuses, policies may have been changed."""
        if answer.status == 403:
            self._granted.forget()
        return answer


def _is_gone(answer: answers.Answer) -> bool:
    return answer.status == 400 and refusals.ERRORS.about(answer) == refusals.Meaning.GONE
