"""Keyhouse as a provider: keys are issued, renewed, looked at and taken back by its API.

A key is told once, so it is asked for once and carries a label by which it is found again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from leaseholder.api import base
from leaseholder.ports.provider import (
    Attempt,
    Capabilities,
    Health,
    Issued,
    Lease,
    RevocationAnswer,
)
from leaseholder.providers.kit import lifetimes
from leaseholder.providers.kit.adapter import Adapter
from leaseholder.providers.kit.answers import Answer, values
from leaseholder.providers.kit.context import Context
from leaseholder.providers.kit.requests import Method, Rank, Request
from leaseholder.secrecy import Credentials
from tests.provider.example.keyhouse import api, login


class Keyhouse(Adapter):
    """One login at one server; see ``Provider``."""

    def __init__(self, context: Context, server: Any, settings: float) -> None:
        super().__init__(
            context,
            lambda sent_by: login.KeyhouseLogin(server.name, server.password, sent_by, context),
            api.is_up,
        )
        self._timeout = settings

    async def check(self) -> Health:
        answer = await self._ask("status", "GET", api.KEYS, params={"label": "-"}, rank=Rank.CHECK)
        if answer.status != 200:
            raise api.ERRORS.error(answer, {"keyClass": "list"})
        can, skew = ("Renew", "Inspect", "Revoke", "Recover"), self._http.clock.skew
        return Health(server_version=None, clock_skew=skew, capabilities=can)

    async def prepare(self, attempt: Attempt) -> Mapping[str, Any]:
        return {}

    async def issue(self, attempt: Attempt) -> Issued:
        source, label = attempt.source, _label(attempt)
        body = {"class": source.get("keyClass"), "ttl": attempt.ttl_seconds, "label": label}
        answer = await self._ask(
            "issue", "POST", api.KEYS, body=body, rank=Rank.ISSUE, deadline=attempt.deadline
        )
        made = api.ERRORS.parsed(answer, api.MadeAnswer, source, effect=True)
        return Issued(_lease(made.key, source), Credentials(values(made.secret)))

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        if not self.capabilities(lease.handle).renewable:
            sentence = "keys of this class can't be renewed, only replaced"
            raise lifetimes.cannot_renew(lease, sentence)
        latest = lifetimes.latest(lease)
        more = lifetimes.renewal(lease, until, latest=latest, who="Keyhouse")
        body = {"until": base.render_moment(lease.expires_at + timedelta(seconds=more))}
        path, expires = f"{api.KEYS}/{lease.id}/extend", lease.expires_at
        answer = await self._ask("renew", "POST", path, body=body, expires=expires)
        return self._seen(answer, lease, effect=True)

    async def inspect(self, lease: Lease) -> Lease:
        path, expires = f"{api.KEYS}/{lease.id}", lease.expires_at
        return self._seen(await self._ask("inspect", "GET", path, expires=expires), lease)

    async def revoke(self, lease: Lease, *, force: bool = False) -> RevocationAnswer:
        answer = await self._ask("revoke", "DELETE", f"{api.KEYS}/{lease.id}", rank=Rank.REVOCATION)
        if api.ERRORS.about(answer) == api.BACKEND:
            return api.ERRORS.not_revoked(answer, "the house's locks still take the key")
        if answer.status != 200:
            raise api.ERRORS.error(answer, lease.source, effect=True)
        return RevocationAnswer(done=True)

    async def recover(self, attempt: Attempt) -> Sequence[Lease]:
        label, source = _label(attempt), attempt.source
        answer = await self._ask(
            "recover", "GET", api.KEYS, params={"label": label}, rank=Rank.REVOCATION, lists=True
        )
        found = await api.ERRORS.listed(
            answer, api.Key, source, under="keys", wanted=lambda row: row.get("label") == label
        )
        return tuple(_lease(one, source) for one in found)

    def capabilities(self, handle: Mapping[str, Any]) -> Capabilities:
        renewable = handle.get("renewable", True) is True
        return Capabilities(
            renewable=renewable, revocable=True, verifiable=True, recoverable=True, settle=30
        )

    def _seen(self, answer: Answer, lease: Lease, effect: bool = False) -> Lease:
        found = api.ERRORS.parsed(answer, api.Key, lease.source, under="key", effect=effect)
        if found.id != lease.id:
            raise api.ERRORS.bad(answer, sent=effect)
        return _lease(found, lease.source)

    async def _ask(self, operation: str, method: Method, path: str, **more: Any) -> Answer:
        effect, timeout = method != "GET", self._timeout
        more |= {"category": "write" if effect else "read", "effect": effect, "timeout": timeout}
        request = Request(operation=operation, method=method, path=path, **more)
        return await self._login.send(request)


def _label(attempt: Attempt) -> str:
    return f"{attempt.installation} {attempt.attempt_id}"


def _lease(found: api.Key, source: Mapping[str, Any]) -> Lease:
    issued_at = base.whole_second(found.made_at)
    return Lease(
        id=found.id,
        source=source,
        issued_at=issued_at,
        expires_at=base.whole_second(found.ends_at),
        latest=issued_at + timedelta(seconds=found.longest),
        handle={lifetimes.MAXIMUM: found.longest, "renewable": found.renewable},
    )
