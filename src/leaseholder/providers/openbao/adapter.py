"""OpenBao and Vault as a provider: leases of any engine that gives some.

Two of their ways shape this module. A lease dies with the token that made it, so each lease has a
login of its own, whose accessor is on record before the read: by it the token is kept alive, and
what a lost answer leaves behind is found and taken back. Reading makes credentials each time, so
it is tried once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
from pydantic import JsonValue

from leaseholder import errors, ports
from leaseholder.api import base, durations
from leaseholder.api.conditions import Reason
from leaseholder.providers import http, settings
from leaseholder.providers.openbao import calls, keeping, limits, paths, refusals, tokens, wire
from leaseholder.providers.openbao.notes import Notes
from leaseholder.providers.turns import Rank
from leaseholder.secrecy import Credentials, Hidden

BY_ACCESSOR: Final = "accessor/"
"""What the id of a lease begins with that is known by its token only."""
_TOKENS: Final = "the login's tokens"
_CAPABILITIES: Final = ("Extend", "Inspect", "Revoke")


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A login that waits for its mint."""

    token: Hidden
    notes: Notes
    deadline: datetime


class OpenBao:
    """One server, and whoever logs in there; see ``ports.Provider``."""

    def __init__(
        self,
        access: ports.Access,
        credentialing: ports.Credentialing,
        *,
        base_url: str,
        clock: ports.Clock,
        settings: settings.OpenBaoSettings,
        observe: http.Observe,
        on_news: http.OnNews | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        spec = access.spec.openbao
        if spec is None:
            raise errors.Invalid(Reason.PROVIDER_MISMATCH, "the provider is no OpenBao server")
        self._settings = settings
        self._http = http.Http(
            base_url=base_url,
            limits=access.spec.limits,
            credentialing=credentialing,
            clock=clock,
            observe=observe,
            on_news=on_news,
            answers=refusals.is_up,
            transport=transport,
        )
        headers = _headers(spec.namespace or "")
        self._tokens = tokens.Tokens(
            auth=spec.auth,
            connection=self._http,
            credentialing=credentialing,
            clock=clock,
            headers=headers,
            timeout=settings.read_timeout_seconds,
        )
        self._ask = calls.Calls(self._http, self._tokens, settings, headers)
        self._limits = limits.Limits(clock.monotonic)
        self._keeping = keeping.Keeping(self._ask, self._limits, self.now)
        self._prepared: dict[str, _Prepared] = {}

    def now(self) -> datetime:
        """The server's clock: its last ``Date``, carried on by a clock that never jumps."""
        return self._http.clock.now()

    async def check(self) -> ports.Health:
        """Look whether the server serves, log in if need be, and whether rights are missing."""
        health = await self._ask.health()
        missing = await self._ask.lacking(self._rights)
        if missing:
            self._tokens.doubt()
            raise refusals.lacking(missing)
        return ports.Health(
            server_version=health.version or None,
            clock_skew=self._http.clock.skew,
            capabilities=(*_CAPABILITIES, *(() if self._tokens.one_for_all else ("Recover",))),
        )

    async def prepare(self, attempt: ports.Attempt) -> Mapping[str, Any]:
        """Log in for this lease alone, and see whether the login may do all that it takes.

        Returns:
            The new token's accessor and end; the token itself stays here until ``issue``.
        """
        source = paths.source(attempt.source)
        for path, what in ((source.path, "leases of this path"), (keeping.TOKENS, _TOKENS)):
            self._refuse_too_long(attempt, self._limits.fresh(path), what)
        await self._forget_late()
        token = await self._tokens.own()
        try:
            notes = await self._noted(token)
            self._refuse_too_long(attempt, notes.token_period, f"{_TOKENS} (token_period)")
            await self._refuse_without_rights(source, token)
        except errors.ProviderError:
            await self._discard(token)
            raise
        self._prepared[attempt.attempt_id] = _Prepared(token, notes, attempt.deadline)
        return notes.dump()

    async def issue(self, attempt: ports.Attempt) -> ports.Issued:
        """Read once, with the login that was prepared, then see to both ends of the lease."""
        source = paths.source(attempt.source)
        prepared = self._prepared.pop(attempt.attempt_id, None)
        if prepared is None:
            sentence = "the login for this lease isn't at hand any more; the next try makes one"
            raise errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=False)
        before = self.now()
        try:
            leased = await self._read(attempt, source, prepared.token)
        except errors.ProviderError as error:
            if not (isinstance(error, errors.Unavailable) and error.sent):
                await self._discard(prepared.token)
            raise
        issued_at = max(before, self.now() - timedelta(seconds=1))
        notes = prepared.notes.but(
            lease_ends_at=issued_at + timedelta(seconds=leased.lease_duration),
            lease_renewable=leased.renewable,
        )
        lease = _lease(leased.lease_id, attempt.source, issued_at, notes)
        lease = await self._settled(lease, source, attempt.ttl_seconds)
        await self._take_back_too_short(lease, attempt.ttl_seconds)
        return ports.Issued(lease=lease, credentials=Credentials(_values(leased.data or {})))

    async def extend(self, lease: ports.Lease, until: datetime) -> ports.Lease:
        """Move the ends of token and lease to ``until`` or the latest, never later."""
        notes = Notes.read(lease.handle)
        latest = _earliest(lease.latest, notes.latest(lease.issued_at))
        if lease.id.startswith(BY_ACCESSOR) or not notes.extendable:
            sentence = "this lease can't be extended, only replaced"
            raise errors.CannotExtend(Reason.CANNOT_EXTEND, sentence, latest=lease.expires_at)
        if until <= lease.expires_at:
            sentence = "the lease lives longer than that: it is too soon"
            raise errors.CannotExtend(Reason.RENEWAL_TOO_SOON, sentence, latest=latest)
        if latest is not None and latest <= lease.expires_at:
            sentence = "the lease is at the end of the longest life that the server gives it"
            raise errors.CannotExtend(Reason.CANNOT_EXTEND, sentence, latest=lease.expires_at)
        target = until if latest is None else min(until, latest)
        notes = await self._kept(lease, paths.source(lease.source), notes, target)
        return _lease(lease.id, lease.source, lease.issued_at, notes)

    async def inspect(self, lease: ports.Lease) -> ports.Lease:
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
        return _lease(lease.id, lease.source, issued_at, notes)

    async def revoke(self, lease: ports.Lease, *, force: bool = False) -> ports.Revocation:
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
            if await self._ask.token(notes.accessor, rank=Rank.OWED) is not None:
                return _not_confirmed("the token that made the lease")
        return ports.Revocation(done=True)

    async def recover(self, attempt: ports.Attempt) -> Sequence[ports.Lease]:
        """What the attempt's own token may have made: known by the token, not by its id."""
        notes = Notes.read(attempt.handle)
        if notes.shared or not notes.accessor:
            return ()
        token = await self._ask.token(notes.accessor, rank=Rank.OWED)
        if token is None:
            return ()
        notes = notes.of_token(token)
        issued_at = notes.token_issued_at or attempt.started_at
        return (_lease(BY_ACCESSOR + notes.accessor, attempt.source, issued_at, notes),)

    def capabilities(self, handle: Mapping[str, Any]) -> ports.Capabilities:
        """What can be done for a lease with these notes; empty notes: for one not yet minted."""
        notes = Notes.read(handle)
        own_token = bool(notes.accessor) and not notes.shared
        return ports.Capabilities(
            renewable=notes.extendable,
            revocable=True,
            verifiable=True,
            recoverable=own_token if handle else not self._tokens.one_for_all,
            settle=self._settings.settle_seconds,
            replica_lag=self._settings.replica_lag_seconds,
        )

    async def aclose(self) -> None:
        """Close connections; the login isn't revoked."""
        await self._tokens.aclose()
        await self._http.aclose()

    # ------------------------------------------------------------------- before the mint

    @property
    def _rights(self) -> tuple[paths.Right, ...]:
        if not self._tokens.one_for_all:
            return (*paths.LEASES, *paths.ACCESSORS)
        return (*paths.LEASES, *paths.ACCESSORS[:2])  # its own token is never revoked

    async def _refuse_without_rights(self, source: paths.Source, token: Hidden) -> None:
        needed = (source.right, *self._rights)
        lacking = await self._ask.lacking((*needed, source.other_right), token)
        if source.right in lacking and source.other_right not in lacking:
            raise refusals.other_method(source)
        missing = tuple(right for right in lacking if right in needed)
        if missing:
            raise refusals.lacking(missing)

    async def _noted(self, token: Hidden) -> Notes:
        """What the record keeps of the token."""
        seen = await self._ask.own_token(token)
        shared = self._tokens.one_for_all
        return Notes(shared=shared).of_token(seen)

    def _refuse_too_long(self, attempt: ports.Attempt, longest: int | None, what: str) -> None:
        if attempt.ttl_seconds is not None and longest and longest < attempt.ttl_seconds:
            raise _too_long(attempt.ttl_seconds, longest, what)

    async def _forget_late(self) -> None:
        """End the logins whose mints never came."""
        late = [name for name, one in self._prepared.items() if one.deadline <= self.now()]
        for name in late:
            await self._discard(self._prepared.pop(name).token)

    async def _discard(self, token: Hidden) -> None:
        if not self._tokens.one_for_all:
            await self._ask.discard(token)

    # ---------------------------------------------------------------------- around the mint

    async def _read(
        self, attempt: ports.Attempt, source: paths.Source, token: Hidden
    ) -> wire.Leased:
        answer = await self._ask.mint(attempt, source, token)
        if answer.status == 403 and not await self._ask.alive(token):
            sentence = "the login for this lease has ended already; the next try makes another"
            raise errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=False)
        if answer.status not in (200, 201, 202):
            raise refusals.unminted(answer, source)
        leased = answer.parse(wire.Leased)
        if leased is None:
            raise refusals.bad_answer(answer, sent=True)
        if not leased.lease_id:
            raise calls.no_lease(source)
        return leased

    async def _settled(
        self, lease: ports.Lease, source: paths.Source, ttl: int | None
    ) -> ports.Lease:
        """The new lease with the life that was asked for, as far as the server gives it.

        The read can't ask for a length, a renewal can, also for a shorter one. What fails here
        leaves a good lease, and is made up for when it is extended.
        """
        notes = self._keeping.taught(Notes.read(lease.handle), source.path, lease.issued_at)
        end = notes.lease_ends_at or lease.expires_at
        wanted = end if ttl is None else lease.issued_at + timedelta(seconds=ttl)
        try:
            notes = await self._keeping.token_until(notes, min(wanted, end) if ttl else end)
            if notes.lease_renewable and abs((wanted - end).total_seconds()) > keeping.SLACK:
                notes = await self._keeping.lease_until(lease, source.path, notes, wanted)
                notes = await self._keeping.token_until(notes, notes.lease_ends_at or wanted)
        except errors.ProviderError:
            # The answer may be lost of a renewal that made it shorter.
            notes = notes.but(lease_ends_at=min(end, wanted))
        return _lease(lease.id, lease.source, lease.issued_at, notes)

    async def _take_back_too_short(self, lease: ports.Lease, ttl: int | None) -> None:
        """Refuse a lease that can never live as long as was asked: it would be replaced at once.

        Raises:
            Invalid: so it is, and it was taken back.
            Unavailable: it couldn't be taken back.
        """
        if ttl is None or lease.latest is None:
            return
        longest = int((lease.latest - lease.issued_at).total_seconds())
        if longest >= ttl - keeping.SLACK:
            return
        if not (await self.revoke(lease)).done:
            sentence = "the lease is shorter than was asked for, and couldn't be taken back yet"
            raise errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=True)
        raise _too_long(ttl, longest, "leases of this path, or tokens of the login,")

    # ----------------------------------------------------------------------- after the mint

    async def _kept(
        self, lease: ports.Lease, source: paths.Source, notes: Notes, target: datetime
    ) -> Notes:
        notes = await self._keeping.token_until(notes, target)
        if notes.token_ends_at is not None:
            target = min(target, notes.token_ends_at)
        end = notes.lease_ends_at
        if notes.lease_renewable and end is not None and end < target:
            notes = await self._keeping.lease_until(lease, source.path, notes, target)
        return notes

    async def _seen_by_token(self, lease: ports.Lease, notes: Notes) -> ports.Lease:
        token = await self._ask.token(lease.id.removeprefix(BY_ACCESSOR))
        if token is None:
            raise errors.LeaseGone(Reason.GONE, "the token that made the lease is gone")
        return _lease(lease.id, lease.source, lease.issued_at, notes.of_token(token))

    async def _revoked(self, lease_id: str) -> ports.Revocation | None:
        """None once the lease is gone; success alone proves nothing."""
        answer = await self._ask.revoke_lease(lease_id)
        if answer.status >= 300:
            if refusals.meaning(answer) is refusals.Meaning.BACKEND:
                sentence = (
                    f"{refusals.stated(answer)}: the system behind the engine didn't take the "
                    "credentials back: check it there"
                )
                return ports.Revocation(
                    done=False, reason=Reason.FAILED_TO_DELETE, sentence=sentence
                )
            raise refusals.refusal(answer, effect=True)
        if await self._ask.lease(lease_id, rank=Rank.OWED) is not None:
            return _not_confirmed("the lease")
        return None


def _headers(namespace: str) -> dict[str, str]:
    asked_for = {"X-Vault-Request": "true"}  # proxies may want to see it
    return asked_for | ({"X-Vault-Namespace": namespace} if namespace else {})


def _lease(
    lease_id: str, source: Mapping[str, Any], issued_at: datetime, notes: Notes
) -> ports.Lease:
    return ports.Lease(
        id=lease_id,
        source=source,
        issued_at=issued_at,
        expires_at=notes.ends_at(issued_at),
        latest=notes.latest(issued_at),
        handle=notes.dump(),
    )


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((one for one in moments if one is not None), default=None)


def _not_confirmed(what: str) -> ports.Revocation:
    sentence = f"OpenBao took the revocation, but still has {what}: look at it there"
    return ports.Revocation(done=False, reason=Reason.NOT_CONFIRMED, sentence=sentence)


def _too_long(asked: int, longest: int, what: str) -> errors.Invalid:
    sentence = (
        f"a ttl of {_length(asked)} is longer than {what} can live, which is {_length(longest)}: "
        "write a shorter one in ttl, or raise the maximum at the server"
    )
    return errors.Invalid(Reason.TTL_TOO_LONG, sentence)


def _length(seconds: int) -> str:
    return durations.render(timedelta(seconds=seconds))


def _values(data: Mapping[str, JsonValue]) -> dict[str, str]:
    """Each value as the Secret is to hold it: what is no string as JSON, nulls not at all."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for key, value in data.items()
        if value is not None
    }
