"""The requests that are sent, one method each, and what their answers say.

What is asked with the shared token goes through ``kit.login``; what belongs to one lease's making
goes with that lease's own token.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from leaseholder import errors, ports
from leaseholder.providers import settings
from leaseholder.providers.kit import answers, client, login, requests
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.openbao import api, learned, refusals
from leaseholder.secrecy import Hidden

_STANDBYS_TOO: Final = {"standbyok": "true", "perfstandbyok": "true"}


class Calls:
    """What OpenBao and Vault can be asked."""

    def __init__(
        self,
        connection: client.Client,
        shared: login.Login,
        settings: settings.OpenBaoSettings,
        headers: Mapping[str, str],
        clock: learned.OwnClock,
    ) -> None:
        self._http = connection
        self._clock = clock
        self._login = shared
        self._settings = settings
        self._headers = headers

    async def health(self) -> api.Health:
        """What the server says of itself; nobody has to be logged in.

        Raises:
            Unavailable: it is sealed, not initialised, or in trouble.
        """
        request = requests.Request(  # without namespace: it is the server's, not a namespace's
            operation="status",
            method="GET",
            path=api.url(api.HEALTH),
            params=_STANDBYS_TOO,
            headers={},
            timeout=self._settings.read_timeout_seconds,
            rank=Rank.CHECK,
        )
        answer = await self._http.send(request)
        if answer.status != 200:
            raise refusals.health(answer)
        seen = answer.parse(api.Health)
        if seen is None:
            raise refusals.ERRORS.bad(answer, sent=False)
        return seen

    async def lacking(
        self, rights: tuple[api.Right, ...], own: Hidden | None = None
    ) -> tuple[api.Right, ...]:
        """Those of ``rights`` that a token doesn't have: ``own``, else the shared one."""
        body = {"paths": [right.path for right in rights]}
        rank = Rank.KEEP if own is None else Rank.ISSUE
        request = self._request("rights", "POST", api.CAPABILITIES, body, rank=rank)
        right = api.Right(api.CAPABILITIES, "update")
        if own is None:
            answer = await self._shared(request, right)
        else:
            answer = await _asked_again(lambda: self._http.send(request, own))
            if answer.status == 403:
                raise refusals.denied(answer, right)
        held = refusals.ERRORS.parsed(answer, api.Capabilities).data
        return tuple(right for right in rights if not right.granted_by(held.get(right.path)))

    async def own_token(self, token: Hidden) -> api.Token:
        """A token, looked at by itself."""
        request = self._request("inspect-login", "GET", api.LOOKUP_SELF, rank=Rank.ISSUE)
        answer = await _asked_again(lambda: self._http.send(request, token))
        if answer.status == 403:
            raise refusals.denied(answer, api.Right(api.LOOKUP_SELF, "read"))
        return self._dated(refusals.ERRORS.parsed(answer, api.TokenAnswer).data)

    async def issue(
        self, attempt: ports.Attempt, source: api.Source, token: Hidden
    ) -> answers.Answer:
        """Whatever comes back from the one try to get a lease."""
        request = requests.Request(
            operation="issue",
            method=source.method,
            path=api.url(source.path),
            params=source.query,
            body=source.body,
            headers=self._headers,
            category="write",
            effect=True,
            timeout=self._settings.write_timeout_seconds,
            deadline=attempt.deadline,
            rank=Rank.ISSUE,
        )
        return await self._http.send(request, token)

    async def token(self, accessor: str, *, rank: Rank = Rank.KEEP) -> api.Token | None:
        """The token with that accessor, None where there is none."""
        body = {"accessor": accessor}
        answer = await self._ask("inspect", api.LOOKUP_ACCESSOR, body, rank=rank)
        if _is_gone(answer):
            return None
        return self._dated(refusals.ERRORS.parsed(answer, api.TokenAnswer).data)

    async def lease(self, lease_id: str, *, rank: Rank = Rank.KEEP) -> api.Lease | None:
        """A lease, None where there is none."""
        body = {"lease_id": lease_id}
        answer = await self._ask("inspect", api.LOOKUP, body, rank=rank)
        if _is_gone(answer):
            return None
        found = refusals.ERRORS.parsed(answer, api.LeaseAnswer).data
        if found.id != lease_id:
            raise refusals.ERRORS.bad(answer, sent=False)
        self._clock.learn(found.expire_time, found.ttl)
        return found

    async def renew_token(
        self, accessor: str, seconds: int, *, expires: datetime | None = None
    ) -> answers.Answer:
        """The answer to: let the token with that accessor live so long from now."""
        body = {"accessor": accessor, "increment": seconds}
        return await self._ask("renew", api.RENEW_ACCESSOR, body, expires=expires, write=True)

    async def renew_lease(
        self, lease_id: str, seconds: int, *, expires: datetime | None = None
    ) -> answers.Answer:
        """The answer to: let the lease live so long from now."""
        body = {"lease_id": lease_id, "increment": seconds}
        return await self._ask("renew", api.RENEW, body, expires=expires, write=True)

    async def revoke_lease(self, lease_id: str) -> answers.Answer:
        """The answer to: revoke the lease, and say when it is done. An unknown one is fine."""
        body = {"lease_id": lease_id, "sync": True}
        return await self._ask("revoke", api.REVOKE, body, rank=Rank.REVOCATION, slow=True)

    async def revoke_token(self, accessor: str) -> None:
        """End the token with that accessor, and the leases that it made; fine if it is gone."""
        body = {"accessor": accessor}
        answer = await self._ask(
            "revoke", api.REVOKE_ACCESSOR, body, rank=Rank.REVOCATION, slow=True
        )
        if answer.status >= 300 and not _is_gone(answer):
            raise refusals.ERRORS.error(answer, effect=True)

    async def discard(self, token: Hidden) -> None:
        """End a token that made no lease; where that fails it ends by itself."""
        request = self._request("discard-login", "POST", api.REVOKE_SELF, {}, rank=Rank.REVOCATION)
        with contextlib.suppress(errors.ProviderError):
            await self._http.send(request, token)

    def _dated(self, token: api.Token) -> api.Token:
        """A token that was looked at just now: it tells the server's time."""
        self._clock.learn(token.expire_time, token.ttl)
        return token

    async def _ask(
        self,
        operation: str,
        path: str,
        body: Mapping[str, Any],
        *,
        rank: Rank = Rank.KEEP,
        expires: datetime | None = None,
        write: bool = False,
        slow: bool = False,
    ) -> answers.Answer:
        """Send a request with the shared token.

        ``slow``: it waits for the system behind the engine. A renewal isn't waited for that
        long: what is unclear after it is looked at.
        """
        request = self._request(
            operation, "POST", path, body, rank=rank, expires=expires, write=write or slow
        )
        if slow:
            request = replace(request, timeout=self._settings.write_timeout_seconds)
        return await self._shared(request, api.Right(path, "update"))

    async def _shared(self, request: requests.Request, right: api.Right) -> answers.Answer:
        """The answer to a request with the shared token, whatever its status but 403."""
        answer = await self._login.send(request)
        if answer.status == 403:
            self._login.doubt()
            raise refusals.denied(answer, right)
        return answer

    def _request(
        self,
        operation: str,
        method: requests.Method,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        rank: Rank = Rank.KEEP,
        expires: datetime | None = None,
        write: bool = False,
    ) -> requests.Request:
        return requests.Request(
            operation=operation,
            method=method,
            path=api.url(path),
            body=body,
            headers=self._headers,
            category="write" if write else "read",
            effect=write,
            timeout=self._settings.read_timeout_seconds,
            rank=rank,
            expires=expires,
        )


def _is_gone(answer: answers.Answer) -> bool:
    return answer.status == 400 and refusals.ERRORS.about(answer) == refusals.Meaning.GONE


async def _asked_again(send: Callable[[], Awaitable[answers.Answer]]) -> answers.Answer:
    """The answer to what ``send`` sends; the second one where the first is 403.

    Who answers may not know yet of a login that was just made, so it is asked once more before its
    refusal is reported. A request that got a 403 did nothing, so it may be sent again.
    """
    answer = await send()
    if answer.status != 403:
        return answer
    await asyncio.sleep(login.AGAIN)
    return await send()
