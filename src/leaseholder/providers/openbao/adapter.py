"""OpenBao and Vault as a provider: leases of any engine that gives some.

Two of their ways shape this module. A lease dies with the token that made it, so each lease has a
login of its own, whose accessor is on record before the read: by it the token is kept alive, and
what a lost answer leaves behind is found and taken back. Reading makes credentials each time, so
it is tried once.
"""

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import base, openbao
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import (
    Attempt,
    Capabilities,
    Health,
    Issued,
    Lease,
    RevocationAnswer,
)
from leaseholder.providers import settings
from leaseholder.providers.kit import lifetimes
from leaseholder.providers.kit.adapter import Adapter
from leaseholder.providers.kit.context import Context
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.openbao import api, calls, issuing, keeping, learned, login, refusals
from leaseholder.providers.openbao.notes import Notes

BY_ACCESSOR: Final = "accessor/"
"""What the id of a lease begins with that is known by its token only."""
_CAPABILITIES: Final = ("Renew", "Inspect", "Revoke")
_SHARED: Final = (
    "all leases share one ready-made token: they end with it, and a lease whose answer is lost "
    "can't be found and lives until it expires"
)


class OpenBaoAdapter(Adapter):
    """One server, and whoever logs in there; see ``Provider``."""

    def __init__(
        self, context: Context, server: openbao.OpenBao, settings: settings.OpenBaoSettings
    ) -> None:
        headers, timeout = _headers(server.namespace or ""), settings.read_timeout_seconds
        method = functools.partial(
            login.OpenBaoLogin, server.auth, context=context, timeout=timeout, headers=headers
        )
        super().__init__(context, method, refusals.is_up, refusals.ERRORS.throttles)
        self._settings = settings
        own = learned.OwnClock(self.now)
        granted = learned.Granted(context.clock.monotonic)
        self._ask = calls.Calls(self._http, self._login, settings, headers, own, granted)
        limits = learned.Maxima(context.clock.monotonic)
        self._keeping = keeping.Keeping(self._ask, limits, own.now)
        self._issuing = issuing.Issuing(
            self._ask, self._login, limits, granted, own, self._keeping, self.revoke
        )

    async def check(self) -> Health:
        """Look whether the server serves, log in if need be, and whether rights are missing."""
        health = await self._ask.health()
        missing = await self._ask.lacking(self._issuing.rights)
        if missing:
            self._login.doubt()
            raise refusals.lacking(missing)
        return Health(
            server_version=health.version or None,
            clock_skew=self._http.clock.skew,
            capabilities=(*_CAPABILITIES, *(() if self._login.is_ready_made else ("Recover",))),
            caveat=_SHARED if self._login.is_ready_made else "",
        )

    async def prepare(self, attempt: Attempt) -> Mapping[str, Any]:
        """Log in for this lease alone, and see whether the login may do all that it takes.

        Returns:
            The new token's accessor and end; the token itself stays here until ``issue``.
        """
        return (await self._issuing.prepare(attempt)).dump()

    async def issue(self, attempt: Attempt) -> Issued:
        """Read once, with the login that was prepared, then see to both ends of the lease."""
        return await self._issuing.issue(attempt)

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """Move the ends of token and lease to ``until`` or the latest, never later."""
        notes = Notes.read(lease.handle)
        latest = _earliest(lease.latest, notes.latest(lease.issued_at))
        if lease.id.startswith(BY_ACCESSOR) or not notes.renewable:
            raise lifetimes.cannot_renew(lease, "this lease can't be renewed, only replaced")
        more = lifetimes.renewal(lease, until, latest=latest, who="OpenBao")
        if notes.lease_ends_at is None:  # a restore may leave only what was noted before the issue
            notes = notes.but(lease_ends_at=lease.expires_at)
        target, path = lease.expires_at + timedelta(seconds=more), api.source(lease.source).path
        notes = await self._keeping.both_until(lease, path, notes, target)
        return notes.lease(lease.id, lease.source, lease.issued_at)

    async def inspect(self, lease: Lease) -> Lease:
        """Look at a lease and at its token; it lives as long as both do."""
        notes = Notes.read(lease.handle)
        if lease.id.startswith(BY_ACCESSOR):
            return await self._seen_by_token(lease, notes)
        seen = await self._ask.lease(lease.id)
        if seen is None or seen.ttl <= 0:
            raise errors.LeaseGone(Reason.GONE, "OpenBao has no such lease any more")
        notes = notes.but(
            lease_ends_at=base.whole_second(seen.expire_time) if seen.expire_time else None,
            lease_renewable=seen.renewable,
        )
        if notes.accessor:
            token = await self._ask.token(notes.accessor)
            if token is None:
                sentence = "the token that made the lease is gone, and the lease goes with it"
                raise errors.LeaseGone(Reason.GONE, sentence)
            notes = notes.of_token(token)
        issued_at = base.whole_second(seen.issue_time)
        return notes.lease(lease.id, lease.source, issued_at)

    async def revoke(self, lease: Lease, *, force: bool = False) -> RevocationAnswer:
        """Take a lease back, see that it is gone, then end the token that made it.

        Nothing can be forced: only an administrator may give up on the system behind an engine.
        """
        notes = Notes.read(lease.handle)
        if not lease.id.startswith(BY_ACCESSOR):
            undone = await self._revoked(lease.id)
            if undone is not None:
                return undone
        if notes.accessor and not notes.shared:
            await self._ask.revoke_token(notes.accessor)
            if await self._ask.token(notes.accessor, rank=Rank.REVOCATION) is not None:
                return _not_confirmed("the token that made the lease")
        return RevocationAnswer(done=True)

    async def recover(self, attempt: Attempt) -> Sequence[Lease]:
        """What the attempt's own token may have made: known by the token, not by its id."""
        notes = Notes.read(attempt.handle)
        if notes.shared or not notes.accessor:
            return ()
        token = await self._ask.token(notes.accessor, rank=Rank.REVOCATION)
        if token is None:
            return ()
        notes = notes.of_token(token)
        issued_at = notes.token_issued_at or attempt.started_at
        return (notes.lease(BY_ACCESSOR + notes.accessor, attempt.source, issued_at),)

    def capabilities(self, handle: Mapping[str, Any]) -> Capabilities:
        """What can be done for a lease with these notes; empty notes: for one not yet issued."""
        notes = Notes.read(handle)
        own_token = bool(notes.accessor) and not notes.shared
        return Capabilities(
            renewable=notes.renewable,
            revocable=True,
            verifiable=True,
            recoverable=own_token if handle else not self._login.is_ready_made,
            settle=self._settings.settle_seconds,
            replica_lag=self._settings.replica_lag_seconds,
        )

    async def _seen_by_token(self, lease: Lease, notes: Notes) -> Lease:
        token = await self._ask.token(lease.id.removeprefix(BY_ACCESSOR))
        if token is None:
            raise errors.LeaseGone(Reason.GONE, "the token that made the lease is gone")
        return notes.of_token(token).lease(lease.id, lease.source, lease.issued_at)

    async def _revoked(self, lease_id: str) -> RevocationAnswer | None:
        """None once the lease is gone; success alone proves nothing."""
        answer = await self._ask.revoke_lease(lease_id)
        if answer.status >= 300:
            if refusals.ERRORS.about(answer) == refusals.Meaning.BACKEND:
                return refusals.ERRORS.not_revoked(
                    answer,
                    "the system behind the engine didn't take the credentials back: check it there",
                )
            raise refusals.ERRORS.error(answer, effect=True)
        if await self._ask.lease(lease_id, rank=Rank.REVOCATION) is not None:
            return _not_confirmed("the lease")
        return None


def _headers(namespace: str) -> dict[str, str]:
    return calls.MARK | ({"X-Vault-Namespace": namespace} if namespace else {})


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((one for one in moments if one is not None), default=None)


def _not_confirmed(what: str) -> RevocationAnswer:
    sentence = f"OpenBao took the revocation, but still has {what}: look at it there"
    return RevocationAnswer(done=False, reason=Reason.NOT_CONFIRMED, sentence=sentence)
