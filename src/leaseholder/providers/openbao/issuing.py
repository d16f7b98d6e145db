"""From a login for one lease to the lease.

The login comes first, because its accessor must be on record before the read: by it a lease whose
answer was lost is taken back. The token waits here for the read. What surely made nothing ends it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from leaseholder import errors
from leaseholder.api import base
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Attempt, Issued, Lease, RevocationAnswer
from leaseholder.providers.kit import answers, lifetimes, login
from leaseholder.providers.openbao import api, calls, keeping, learned, refusals
from leaseholder.providers.openbao.notes import Notes
from leaseholder.secrecy import Credentials, Hidden

_TOKENS: Final = "the login's tokens"


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A login that waits for its read."""

    token: Hidden
    notes: Notes
    deadline: datetime


class Issuing:
    """Makes leases."""

    def __init__(
        self,
        ask: calls.Calls,
        shared: login.Login,
        limits: learned.Maxima,
        granted: learned.Granted,
        clock: learned.OwnClock,
        keeps: keeping.Keeping,
        revoke: Callable[[Lease], Awaitable[RevocationAnswer]],
    ) -> None:
        self._ask = ask
        self._login = shared
        self._limits = limits
        self._granted = granted
        self._keeping = keeps
        self._clock = clock
        self._revoke = revoke
        self._prepared: dict[str, _Prepared] = {}

    @property
    def rights(self) -> tuple[api.PolicyLine, ...]:
        """What the login must be allowed, whatever is leased."""
        if not self._login.is_ready_made:
            return (*api.LEASES, *api.ACCESSORS)
        return (*api.LEASES, *api.ACCESSORS[:2])  # its own token is never revoked

    async def prepare(self, attempt: Attempt) -> Notes:
        """Log in for this lease alone, and see whether the login may do all that it takes.

        Raises:
            Denied: it may not; the sentence has the lines for its policy.
            Invalid: the path can't be leased, the parameters can't be sent, or the ttl is longer
                than what is known to be given.
        """
        source = api.source(attempt.source)
        source.refuse_what_no_query_says()
        for path, what in ((source.path, "leases of this path"), (keeping.TOKENS, _TOKENS)):
            _refuse_too_long(attempt.ttl_seconds, self._limits.fresh(path), what)
        await self._forget_late()
        token = await self._login.another()
        try:
            seen = await self._ask.own_token(token)
            _refuse_too_long(attempt.ttl_seconds, seen.period, f"{_TOKENS} (token_period)")
            await self._refuse_without_rights(source, token, seen.every_policy)
        except errors.ProviderError:
            await self._discard(token)
            raise
        notes = Notes(shared=self._login.is_ready_made).of_token(seen)
        self._prepared[attempt.attempt_id] = _Prepared(token, notes, attempt.deadline)
        return notes

    async def issue(self, attempt: Attempt) -> Issued:
        """Read once, then see to both ends of the lease."""
        source = api.source(attempt.source)
        prepared = self._prepared.pop(attempt.attempt_id, None)
        if prepared is None:
            sentence = "the login for this lease isn't at hand any more; the next try makes one"
            raise errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=False)
        before = self._clock.now()
        try:
            leased = await self._read(attempt, source, prepared.token)
        except errors.ProviderError as error:
            if not (isinstance(error, errors.Unavailable) and error.sent):
                await self._discard(prepared.token)
            raise
        issued_at = max(before, self._clock.now() - timedelta(seconds=1))
        if not self._clock.is_known:
            issued_at = await self._issued_at(leased.lease_id) or issued_at
        notes = prepared.notes.but(
            lease_ends_at=issued_at + timedelta(seconds=leased.lease_duration),
            lease_renewable=leased.renewable,
        )
        lease = notes.lease(leased.lease_id, attempt.source, issued_at)
        lease = await self._settled(lease, source, attempt.ttl_seconds)
        await self._take_back_too_short(lease, attempt.ttl_seconds)
        return Issued(lease=lease, credentials=Credentials(answers.values(leased.data or {})))

    # ------------------------------------------------------------------------ before the read

    async def _refuse_without_rights(
        self, source: api.Source, token: Hidden, policies: Sequence[str]
    ) -> None:
        """See that a lease can be made, kept and ended; asked once for all with these policies.

        S6b: asked for each lease, that was one of its four requests.
        """
        needed = (source.right, *self.rights)
        if self._granted.known(policies, needed):
            return
        lacking = await self._ask.lacking((*needed, source.other_right), token)
        if source.right in lacking and source.other_right not in lacking:
            raise refusals.other_method(source)
        missing = tuple(right for right in lacking if right in needed)
        if missing:
            raise refusals.lacking(missing)
        self._granted.learn(policies, needed)

    async def _forget_late(self) -> None:
        """End the logins whose reads never came."""
        late = [name for name, one in self._prepared.items() if one.deadline <= self._clock.date()]
        for name in late:
            await self._discard(self._prepared.pop(name).token)

    async def _discard(self, token: Hidden) -> None:
        if not self._login.is_ready_made:
            await self._ask.discard(token)

    # ------------------------------------------------------------------ the read, and after it

    async def _read(self, attempt: Attempt, source: api.Source, token: Hidden) -> api.Leased:
        answer = await self._ask.issue(attempt, source, token)
        if await self._login.is_ended(answer, token):
            sentence = "the login for this lease has ended already; the next try makes another"
            raise errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=False)
        if answer.status not in (200, 201, 202):
            raise refusals.unissued(answer, source)
        leased = answer.parse(api.Leased)
        if leased is None:
            raise refusals.ERRORS.bad(answer, sent=True)
        if not leased.lease_id:
            raise _to_be_approved(source) if leased.wrap_info else _no_lease(source)
        return leased

    async def _issued_at(self, lease_id: str) -> datetime | None:
        """The moment of issue by the server's own clock, where no token told its time.

        None where the lease can't be seen: it may be too new for whoever answered.
        """
        try:
            seen = await self._ask.lease(lease_id)
        except errors.ProviderError:
            return None
        return base.whole_second(seen.issue_time) if seen is not None else None

    async def _settled(self, lease: Lease, source: api.Source, ttl: int | None) -> Lease:
        """The new lease with the life that was asked for, as far as the server gives it.

        The read can't ask for a length, a renewal can, also for a shorter one. What fails here
        leaves a good lease, and is made up for when it is renewed.
        """
        notes = self._keeping.taught(Notes.read(lease.handle), source.path, lease.issued_at)
        end = notes.lease_ends_at or lease.expires_at
        wanted = end if ttl is None else lease.issued_at + timedelta(seconds=ttl)
        try:
            notes = await self._keeping.token_until(notes, min(wanted, end))
            if notes.lease_renewable and abs((wanted - end).total_seconds()) > keeping.SLACK:
                notes = await self._keeping.lease_until(lease, source.path, notes, wanted)
                notes = await self._keeping.token_until(notes, notes.lease_ends_at or wanted)
        except errors.ProviderError:
            # The answer may be lost of a renewal that made it shorter.
            notes = notes.but(lease_ends_at=min(end, wanted))
        return notes.lease(lease.id, lease.source, lease.issued_at)

    async def _take_back_too_short(self, lease: Lease, ttl: int | None) -> None:
        """Refuse a lease that can never live as long as was asked: it would be replaced at once.

        Raises:
            Invalid: so it is, and it was taken back.
            Unavailable: it couldn't be taken back, so it is as if its answer was lost.
        """
        if ttl is None or lease.latest is None:
            return
        longest = int((lease.latest - lease.issued_at).total_seconds())
        if longest >= ttl - keeping.SLACK:
            return
        try:
            taken_back = (await self._revoke(lease)).done
        except errors.ProviderError:
            taken_back = False
        if not taken_back:
            sentence = "the lease is shorter than was asked for, and couldn't be taken back yet"
            raise errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=True)
        raise _too_long(ttl, longest, "leases of this path, or tokens of the login,")


def _no_lease(source: api.Source) -> errors.Invalid:
    """The path answered, but not with a lease."""
    sentence = (
        f"{source.path} gives no lease: its answer is a plain value (kv, static roles) or the role "
        "has no leases (pki: set generate_lease); name a path whose answer has a lease_id"
    )
    return errors.Invalid(Reason.INVALID, sentence)


def _to_be_approved(source: api.Source) -> errors.Denied:
    """The path would give a lease, when people agreed to this one request."""
    sentence = (
        f"a control group has to approve each read of {source.path}, so nothing was leased: a "
        "lease that is replaced by itself can't wait for people; take control_group off this path "
        "in the policies of the login"
    )
    return errors.Denied(Reason.DENIED, sentence)


def _refuse_too_long(ttl: int | None, longest: int | None, what: str) -> None:
    if ttl is not None and longest and longest < ttl - keeping.SLACK:
        raise _too_long(ttl, longest, what)


def _too_long(asked: int, longest: int, what: str) -> errors.Invalid:
    advice = "write a shorter one in ttl, or raise the maximum at the server"
    return lifetimes.too_long(asked, longest, than=f"{what} can live", advice=advice)
