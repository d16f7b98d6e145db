"""The lists of leases, which Phase only gives whole: all that a dynamic secret ever had.

They grow for ever, and the server works on one for milliseconds a row: minutes, after some years.
So a list is shared by everybody who asks before it is sent for; who asks later waits for the next
one, because no answer may be older than the question. Lists of one dynamic secret come one after
the other, the more seldom the longer they take, and ever more seldom where they fail. Nobody waits
for one longer than ``PATIENCE``: who asks again is answered by the list that was sent for
meanwhile. ``rows`` says which rows are kept, and reads them.
"""

import asyncio
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from leaseholder import circuit, errors, pauses
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import failures, login, requests
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.phase import api, refusals, rows

PATIENCE: Final = 3.0
"""Seconds that anybody waits for a list: a deletion may wait behind whoever does."""
SHARE: Final = 3.0
"""So many times as long as a list took the next one is waited with …"""
LONGEST: Final = 600.0
"""… but never for longer than this."""
PROBE: Final = 30
"""Seconds between two inspections of a lease that nobody has a reason for …"""
PROBE_SHARE: Final = 100
"""… at least so many times as long as a list takes the server …"""
PROBES_A_SECOND: Final = 2
"""… and so that no more leases than this are inspected in a second, by our own account."""
_FAILED: Final = 5.0
"""The pause after some lists that failed in a row, doubled with each that follows."""
_KEPT_FOR: Final = 150.0
"""Seconds that a list is kept for those who asked before it was sent for."""
_ASKERS: Final = 4096
_SECRETS: Final = 1024


_Outcome = rows.Listed | errors.ProviderError


@dataclass(slots=True, eq=False)
class _List:
    """A list that is to be sent for, under way, or there."""

    task: asyncio.Task[_Outcome] | None = None
    rank: Rank = Rank.REVOCATION
    sent: int | None = None
    """What number that was; None: it isn't yet."""


@dataclass(slots=True)
class _History:
    """What is known of one dynamic secret's lists."""

    lists: list[_List] = field(default_factory=list)
    """At most one that is kept, one under way and one to come."""
    not_before: float = 0.0
    """The next one isn't sent for earlier (monotonic seconds)."""
    took: float = 0.0
    """Seconds that the last one took."""
    failure: errors.ProviderError | None = None
    """Why the last one didn't come."""
    failures: int = 0
    active: int = 0
    """Active leases that the last one showed."""
    wanted: set[str] = field(default_factory=set)
    """Ids of leases that somebody asked for since the last one was sent for."""

    def forget(self, one: _List) -> None:
        """A list that nobody who asked before it will ask for any more."""
        if one in self.lists:
            self.lists.remove(one)


class Histories:
    """Looks at lists of leases, one at a time for each dynamic secret."""

    def __init__(
        self,
        send: login.Send,
        timeout: float,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
        *,
        patience: float = PATIENCE,
    ) -> None:
        """Nothing is known.

        Args:
            send: sends a request.
            timeout: seconds that a list may take.
            monotonic: this machine's clock, which never jumps.
            now: the provider's clock.
            patience: seconds that anybody waits for a list.
        """
        self._patience = patience
        self._send, self._timeout = send, timeout
        self._monotonic, self._now = monotonic, now
        self._known: dict[str, _History] = {}
        self._count = itertools.count()
        self._asked: dict[tuple[str, str], int] = {}
        """Who asked and got no answer yet: what number that was."""
        self._tasks: set[asyncio.Task[_Outcome]] = set()

    async def of(
        self,
        secret_id: str,
        source: Mapping[str, Any],
        operation: str,
        who: str,
        *,
        rank: Rank,
    ) -> rows.Listed:
        """The leases of a dynamic secret, newest first, as they were when asked for or later.

        Args:
            secret_id: the dynamic secret's id.
            source: where it is, for the address and for sentences.
            operation: what it is for, as metrics call it.
            who: a lease that is looked for, or an attempt; who asks again is known by it.
            rank: how early its turn comes.

        Raises:
            Unavailable: the list isn't there yet (``retry_after``), or can't be had.
        """
        history, asked = self._history(secret_id), (secret_id, who)
        history.wanted.add(who)
        first = self._asked.pop(asked, next(self._count))
        one = next((one for one in history.lists if one.sent is None or one.sent > first), None)
        if one is None:
            one = _List()
            history.lists.append(one)
            reading_on = self._outcome(history, one, secret_id, source, operation)
            one.task = asyncio.create_task(reading_on)
            self._tasks.add(one.task)
            one.task.add_done_callback(self._tasks.discard)
        one.rank = min(one.rank, rank)
        assert one.task is not None  # noqa: S101 - made with it
        soon = one.sent is not None or history.not_before - self._monotonic() <= PATIENCE
        await asyncio.wait([one.task], timeout=self._patience if soon else 0.0)
        if not one.task.done():
            self._asked[asked] = first
            while len(self._asked) > _ASKERS:
                del self._asked[next(iter(self._asked))]
            raise self._not_yet(history)
        outcome = one.task.result()
        if isinstance(outcome, errors.ProviderError):
            raise failures.again(outcome)
        return outcome

    def probe_seconds(self, secret_id: str) -> int | None:
        """How often a lease may be inspected for little: one list serves all of the secret's."""
        known = self._known.get(secret_id) or _History()
        if known.failure is not None:
            return None
        return max(PROBE, known.active // PROBES_A_SECOND, math.ceil(known.took * PROBE_SHARE))

    async def aclose(self) -> None:
        """Stop looking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _history(self, secret_id: str) -> _History:
        known = self._known.pop(secret_id, None) or _History()
        self._known[secret_id] = known
        for name, one in list(self._known.items())[:-_SECRETS]:
            if not one.lists:
                del self._known[name]
        return known

    async def _outcome(
        self,
        history: _History,
        one: _List,
        secret_id: str,
        source: Mapping[str, Any],
        operation: str,
    ) -> _Outcome:
        """Wait until it is time, and look."""
        before = [other.task for other in history.lists if other is not one and other.task]
        if before:
            await asyncio.wait(before)
        await asyncio.sleep(max(0.0, history.not_before - self._monotonic()))
        reading = rows.Rows(frozenset(history.wanted))
        one.sent, began, sent_at = next(self._count), self._monotonic(), self._now()
        history.wanted.clear()
        request = requests.Request(
            operation=operation,
            path=api.LEASES,
            params={**api.address(source), "secret_id": secret_id},
            timeout=self._timeout,
            rank=one.rank,
            take=reading.take,
        )
        outcome = await self._read(request, source, reading, sent_at)
        history.took, history.active = self._monotonic() - began, reading.active
        self._pause(history, outcome)
        if any(secret == secret_id for secret, _ in self._asked):
            asyncio.get_running_loop().call_later(_KEPT_FOR, history.forget, one)
        else:
            history.forget(one)
        return outcome

    async def _read(
        self,
        request: requests.Request,
        source: Mapping[str, Any],
        reading: rows.Rows,
        sent_at: datetime,
    ) -> _Outcome:
        try:
            answer = await self._send(request)
        except errors.ProviderError as error:
            return failures.again(error)
        if answer.status != 200:
            return refusals.ERRORS.error(answer, source)
        if not answer.listed:
            return refusals.ERRORS.bad(answer, sent=False)
        return rows.Listed(sent_at, reading.rows, answer.share)

    def _pause(self, history: _History, outcome: _Outcome) -> None:
        pause = SHARE * history.took
        history.failure = outcome if isinstance(outcome, errors.Unavailable) else None
        history.failures = history.failures + 1 if history.failure is not None else 0
        if history.failures >= circuit.OPEN_AFTER:
            times = history.failures - circuit.OPEN_AFTER + 1
            pause = max(pause, pauses.doubled(times, _FAILED, LONGEST))
        history.not_before = self._monotonic() + min(pause, LONGEST)

    def _not_yet(self, history: _History) -> errors.ProviderError:
        pause = max(0.0, history.not_before - self._monotonic())
        wait = min(max(PATIENCE, pause + history.took / 2), LONGEST)
        if history.failure is not None:
            return failures.again(history.failure, retry_after=wait)
        sentence = (
            "Phase's list of all leases that the dynamic secret ever had takes long, and is waited "
            "for; a new dynamic secret has a short one"
        )
        return errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=False, retry_after=wait)
