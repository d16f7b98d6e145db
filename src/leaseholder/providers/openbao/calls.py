"""The requests that are sent, one method each, and what their answers say.

What is asked with the shared token goes through the session; what belongs to one lease's making
goes with that lease's own token.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from leaseholder import errors, ports
from leaseholder.providers import settings
from leaseholder.providers.kit import answers, client, login, requests
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.openbao import own_clock, paths, refusals, session, tokens, wire
from leaseholder.secrecy import Hidden

_STANDBYS_TOO: Final = {"standbyok": "true", "perfstandbyok": "true"}


class Calls:
    """What OpenBao and Vault can be asked."""

    def __init__(
        self,
        connection: client.Client,
        known: tokens.Tokens,
        settings: settings.OpenBaoSettings,
        headers: Mapping[str, str],
        clock: own_clock.OwnClock,
    ) -> None:
        self._http = connection
        self._clock = clock
        self._session = session.Session(connection, known, headers, settings.read_timeout_seconds)
        self._settings = settings
        self._headers = headers

    async def health(self) -> wire.Health:
        """What the server says of itself; nobody has to be logged in.

        Raises:
            Unavailable: it is sealed, not initialised, or in trouble.
        """
        request = requests.Request(  # without namespace: it is the server's, not a namespace's
            operation="status",
            method="GET",
            path=paths.url(paths.HEALTH),
            params=_STANDBYS_TOO,
            headers={},
            timeout=self._settings.read_timeout_seconds,
            rank=Rank.CHECK,
        )
        answer = await self._http.send(request)
        if answer.status != 200:
            raise refusals.health(answer)
        seen = answer.parse(wire.Health)
        if seen is None:
            raise refusals.bad_answer(answer, sent=False)
        return seen

    async def lacking(
        self, rights: tuple[paths.Right, ...], own: Hidden | None = None
    ) -> tuple[paths.Right, ...]:
        """Those of ``rights`` that a token doesn't have: ``own``, else the shared one."""
        body = {"paths": [right.path for right in rights]}
        rank = Rank.KEEP if own is None else Rank.MINT
        request = self._request("rights", "POST", paths.CAPABILITIES, body, rank=rank)
        right = paths.Right(paths.CAPABILITIES, "update")
        if own is None:
            answer = await self._session.send(request, right)
        else:
            answer = await login.asked(lambda: self._http.send(request, own))
            if answer.status == 403:
                raise refusals.denied(answer, right)
        held = _parsed(answer, wire.Capabilities).data
        return tuple(right for right in rights if not right.granted_by(held.get(right.path)))

    async def own_token(self, token: Hidden) -> wire.Token:
        """A token, looked at by itself."""
        request = self._request("look-at-login", "GET", paths.LOOKUP_SELF, rank=Rank.MINT)
        answer = await login.asked(lambda: self._http.send(request, token))
        if answer.status == 403:
            raise refusals.denied(answer, paths.Right(paths.LOOKUP_SELF, "read"))
        return self._dated(_parsed(answer, wire.TokenAnswer).data)

    async def mint(
        self, attempt: ports.Attempt, source: paths.Source, token: Hidden
    ) -> answers.Answer:
        """Whatever comes back from the one try to get a lease."""
        request = requests.Request(
            operation="issue",
            method=source.method,
            path=paths.url(source.path),
            params=source.query,
            body=source.body,
            headers=self._headers,
            category="write",
            effect=True,
            timeout=self._settings.write_timeout_seconds,
            deadline=attempt.deadline,
            rank=Rank.MINT,
        )
        return await self._http.send(request, token)

    async def alive(self, token: Hidden) -> bool:
        """Whether the server takes ``token`` at all."""
        return await self._session.alive(token)

    async def token(self, accessor: str, *, rank: Rank = Rank.KEEP) -> wire.Token | None:
        """The token with that accessor, None where there is none."""
        body = {"accessor": accessor}
        answer = await self._ask("inspect", paths.LOOKUP_ACCESSOR, body, rank=rank)
        if _is_gone(answer):
            return None
        return self._dated(_parsed(answer, wire.TokenAnswer).data)

    async def lease(self, lease_id: str, *, rank: Rank = Rank.KEEP) -> wire.Lease | None:
        """A lease, None where there is none."""
        body = {"lease_id": lease_id}
        answer = await self._ask("inspect", paths.LOOKUP, body, rank=rank)
        if _is_gone(answer):
            return None
        found = _parsed(answer, wire.LeaseAnswer).data
        if found.id != lease_id:
            raise refusals.bad_answer(answer, sent=False)
        self._clock.learn(found.expire_time, found.ttl)
        return found

    async def renew_token(
        self, accessor: str, seconds: int, *, expires: datetime | None = None
    ) -> answers.Answer:
        """The answer to: let the token with that accessor live so long from now."""
        body = {"accessor": accessor, "increment": seconds}
        return await self._ask("extend", paths.RENEW_ACCESSOR, body, expires=expires, write=True)

    async def renew_lease(
        self, lease_id: str, seconds: int, *, expires: datetime | None = None
    ) -> answers.Answer:
        """The answer to: let the lease live so long from now."""
        body = {"lease_id": lease_id, "increment": seconds}
        return await self._ask("extend", paths.RENEW, body, expires=expires, write=True)

    async def revoke_lease(self, lease_id: str) -> answers.Answer:
        """The answer to: revoke the lease, and say when it is done. An unknown one is fine."""
        body = {"lease_id": lease_id, "sync": True}
        return await self._ask("revoke", paths.REVOKE, body, rank=Rank.OWED, slow=True)

    async def revoke_token(self, accessor: str) -> None:
        """End the token with that accessor, and the leases that it made; fine if it is gone."""
        body = {"accessor": accessor}
        answer = await self._ask("revoke", paths.REVOKE_ACCESSOR, body, rank=Rank.OWED, slow=True)
        if answer.status >= 300 and not _is_gone(answer):
            raise refusals.refusal(answer, effect=True)

    async def discard(self, token: Hidden) -> None:
        """End a token that made no lease; where that fails it ends by itself."""
        request = self._request("discard-login", "POST", paths.REVOKE_SELF, {}, rank=Rank.OWED)
        with contextlib.suppress(errors.ProviderError):
            await self._http.send(request, token)

    def _dated(self, token: wire.Token) -> wire.Token:
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

        ``slow``: it waits for the system behind the engine. An extension isn't waited for that
        long: what is unclear after it is looked at.
        """
        request = self._request(
            operation, "POST", path, body, rank=rank, expires=expires, write=write or slow
        )
        if slow:
            request = replace(request, timeout=self._settings.write_timeout_seconds)
        return await self._session.send(request, paths.Right(path, "update"))

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
            path=paths.url(path),
            body=body,
            headers=self._headers,
            category="write" if write else "read",
            effect=write,
            timeout=self._settings.read_timeout_seconds,
            rank=rank,
            expires=expires,
        )


def _is_gone(answer: answers.Answer) -> bool:
    return answer.status == 400 and refusals.meaning(answer) is refusals.Meaning.GONE


def _parsed(answer: answers.Answer, model: type[answers.Model]) -> answers.Model:
    if answer.status != 200:
        raise refusals.refusal(answer)
    found = answer.parse(model)
    if found is None:
        raise refusals.bad_answer(answer, sent=False)
    return found
