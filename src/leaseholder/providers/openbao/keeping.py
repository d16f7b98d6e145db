"""Keeping a lease alive: two ends are moved, its own and that of its token.

A renewal counts from now, and one that is shorter than what is left shortens. So neither end is
moved unless it is before what is wanted, and the lease is never asked beyond its token. An answer
that gives less than was asked shows a maximum, unless the token is periodic.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Lease
from leaseholder.providers.kit import answers, lifetimes
from leaseholder.providers.openbao import api, calls, learned, refusals
from leaseholder.providers.openbao.notes import Notes
from leaseholder.providers.openbao.refusals import Meaning

SLACK: Final = 5
"""Seconds by which lengths may differ that are reckoned from two answers: what was learned of a
maximum may be a little too short, and a ttl that is the maximum must be given again."""
_TICK: Final = 1
"""Seconds by which an answer may fall short of what was asked: the server's clock ticks."""
TOKENS: Final = ""
"""What tokens of the login are called among the limits."""


class Keeping:
    """Moves the ends of leases and tokens."""

    def __init__(
        self, ask: calls.Calls, known: learned.Maxima, now: Callable[[], datetime]
    ) -> None:
        self._ask = ask
        self._limits = known
        self._now = now

    def taught(self, notes: Notes, path: str, issued_at: datetime) -> Notes:
        """The notes of a new lease with the maxima that others showed."""
        lease_max = self._still(path, notes.lease_ends_at, issued_at)
        token_max = notes.token_max
        if token_max is None and not (notes.shared or notes.token_period):
            token_max = self._still(TOKENS, notes.token_ends_at, notes.token_issued_at)
        return notes.but(lease_max=lease_max, token_max=token_max)

    def _still(
        self, path: str, end: datetime | None, start: datetime | None, noted: int | None = None
    ) -> int | None:
        """The maximum that was learned, or ``noted`` before, unless this one lives longer."""
        known = self._limits.known(path) or noted
        if known is None or start is None:
            return None
        if end is not None and (end - start).total_seconds() > known + SLACK:
            self._limits.forget(path)
            return None
        return known

    async def both_until(self, lease: Lease, path: str, notes: Notes, until: datetime) -> Notes:
        """The notes with both ends at ``until``, the lease's not beyond its token's.

        Raises:
            CannotRenew, LeaseGone, Unavailable: as ``token_until`` and ``lease_until``.
        """
        notes = await self.token_until(notes, until)
        if notes.token_ends_at is not None:
            until = min(until, notes.token_ends_at)
        end = notes.lease_ends_at
        if notes.lease_renewable and end is not None and end < until:
            notes = await self.lease_until(lease, path, notes, until)
        return notes

    async def token_until(self, notes: Notes, until: datetime) -> Notes:
        """The notes with the token's end at ``until``, or as late as it can be.

        Raises:
            LeaseGone: the token is gone, and with it goes the lease.
        """
        if notes.token_ends_at is None or notes.token_ends_at >= until or not notes.accessor:
            return notes
        before, asked = self._now(), _seconds(until - self._now())
        answer = await self._ask.renew_token(notes.accessor, asked, expires=notes.token_ends_at)
        made = answer.parse(api.RenewedToken, under="auth") if answer.status == 200 else None
        if made is None:
            return self._unmoved_token(answer, notes)
        moved = notes.but(token_ends_at=self._end(before, made.lease_duration))
        issued = notes.token_issued_at
        if notes.token_period or issued is None:
            return moved
        if made.lease_duration >= asked - _TICK:
            return moved.but(
                token_max=self._still(TOKENS, moved.token_ends_at, issued, notes.token_max)
            )
        token_max = _seconds(moved.token_ends_at - issued) if moved.token_ends_at else None
        if token_max and not notes.shared:
            self._limits.learn(TOKENS, token_max)
        return moved.but(token_max=token_max)

    async def lease_until(self, lease: Lease, path: str, notes: Notes, until: datetime) -> Notes:
        """The notes with the lease's own end at ``until``, or as late as it can be.

        Raises:
            CannotRenew: it is at its end.
            LeaseGone: there is no such lease.
            Unavailable: the system behind the engine didn't take part.
        """
        before, asked = self._now(), _seconds(until - self._now())
        answer = await self._ask.renew_lease(lease.id, asked, expires=lease.expires_at)
        made = answer.parse(api.RenewedLease) if answer.status == 200 else None
        if made is None or made.lease_id != lease.id:
            raise await self._not_renewed(answer, lease)
        end = self._end(before, made.lease_duration)
        moved = notes.but(lease_ends_at=end, lease_renewable=made.renewable)
        if made.lease_duration >= asked - _TICK:
            return moved.but(lease_max=self._still(path, end, lease.issued_at, notes.lease_max))
        longest = _seconds(end - lease.issued_at)
        self._limits.learn(path, longest)
        return moved.but(lease_max=longest)

    def _end(self, before: datetime, seconds: int) -> datetime:
        """A lower bound of the end of what lives so long, by an answer that came just now."""
        return max(before, self._now() - timedelta(seconds=1)) + timedelta(seconds=seconds)

    def _unmoved_token(self, answer: answers.Answer, notes: Notes) -> Notes:
        """The notes where the token can't be renewed at all."""
        if answer.status == 200:
            raise refusals.ERRORS.bad(answer, sent=False)
        about = refusals.ERRORS.about(answer)
        ended = answer.status == 400 and about not in (Meaning.GONE, Meaning.BACKEND)
        if ended and notes.token_ends_at and notes.token_issued_at:
            life = _seconds(notes.token_ends_at - notes.token_issued_at)
            return notes.but(token_max=life)
        raise refusals.ERRORS.error(answer)

    async def _not_renewed(self, answer: answers.Answer, lease: Lease) -> errors.ProviderError:
        """Why a lease wasn't renewed; where the message leaves a doubt, a look decides."""
        about = refusals.ERRORS.about(answer)
        unclear = (Meaning.GONE, Meaning.OTHER, Meaning.MISSING)
        if answer.status != 400 or about not in (*unclear, Meaning.ENDED):
            return refusals.ERRORS.error(answer)
        who = refusals.ERRORS.stated(answer)
        if about == Meaning.ENDED:
            sentence = f"{who}: the lease can't be renewed, only replaced"
            return lifetimes.cannot_renew(lease, sentence)
        seen = await self._ask.lease(lease.id)
        if seen is None or seen.ttl <= 0:
            sentence = f"{who}: it has no such lease any more"
            return errors.LeaseGone(Reason.GONE, sentence)
        sentence = f"{who}: the lease lives, but wasn't renewed this time"
        return errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=False, served=True)


def _seconds(length: timedelta) -> int:
    return max(1, math.floor(length.total_seconds()))
