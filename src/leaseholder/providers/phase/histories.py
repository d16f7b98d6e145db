"""The lists of leases, which Phase only gives whole: all that a dynamic secret ever had.

They grow for ever. So a list is shared by everybody who asks before it is sent for; who asks later
waits for the next one, because no answer may be older than the question. And of its rows, thousands
perhaps, only those are read closely that are looked for.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pydantic

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers import backoff, http
from leaseholder.providers.phase import refusals, sources, wire
from leaseholder.providers.turns import Rank

LEASES: Final = f"{sources.DYNAMIC}leases/"

_ACTIVE: Final = "active"

Row = Mapping[str, Any]
_Outcome = list[Row] | errors.ProviderError


class Histories:
    """Looks at lists of leases, one at a time for each dynamic secret."""

    def __init__(self, send: sources.Send, timeout: float) -> None:
        self._send = send
        self._timeout = timeout
        self._next: dict[tuple[str, Rank], asyncio.Task[_Outcome]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[_Outcome]] = set()

    async def of(
        self,
        secret_id: str,
        source: Mapping[str, Any],
        operation: str,
        *,
        rank: Rank,
        expires: datetime | None = None,
    ) -> Sequence[Row]:
        """Every lease of a dynamic secret, newest first, as they are now.

        Args:
            secret_id: the dynamic secret's id.
            source: where it is, for the address and for sentences.
            operation: what it is for, as metrics call it.
            rank: how early its turn comes.
            expires: the end of the lease that is looked for, where one is kept alive.
        """
        request = http.Request(
            operation=operation,
            method="GET",
            path=LEASES,
            params={**sources.address(source), "secret_id": secret_id},
            timeout=self._timeout,
            rank=rank,
            expires=expires,
        )
        task = self._next.get((secret_id, rank)) or self._start(secret_id, source, request)
        outcome = await asyncio.shield(task)
        if isinstance(outcome, errors.ProviderError):
            raise backoff.again(outcome)
        return outcome

    async def aclose(self) -> None:
        """Stop looking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(
        self, secret_id: str, source: Mapping[str, Any], request: http.Request
    ) -> asyncio.Task[_Outcome]:
        task = asyncio.create_task(self._look(secret_id, source, request))
        self._next[secret_id, request.rank] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _look(
        self, secret_id: str, source: Mapping[str, Any], request: http.Request
    ) -> _Outcome:
        lock = self._locks.setdefault(secret_id, asyncio.Lock())
        async with lock:
            del self._next[secret_id, request.rank]
            try:
                answer = await self._send(request)
            except errors.ProviderError as error:
                return error
        if answer.status != 200:
            return refusals.refusal(answer, source, effect=False)
        found = _rows(answer)
        return found if found is not None else refusals.bad_answer(answer, sent=False)


def named(rows: Sequence[Row], lease_id: str) -> wire.Lease | None:
    """The lease with that id; None where it isn't listed.

    Raises:
        Unavailable: its row makes no sense.
    """
    found = next((row for row in rows if row.get("id") == lease_id), None)
    return None if found is None else _read(found)


def active(rows: Sequence[Row]) -> Sequence[wire.Lease]:
    """The leases that the server counts as alive.

    Raises:
        Unavailable: the row of one makes no sense.
    """
    return [_read(row) for row in rows if row.get("status") == _ACTIVE]


def _rows(answer: http.Answer) -> list[Row] | None:
    try:
        parsed = json.loads(answer.content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, list) or not all(isinstance(row, dict) for row in parsed):
        return None
    return parsed


def _read(row: Row) -> wire.Lease:
    try:
        return wire.Lease.model_validate(row)
    except pydantic.ValidationError:
        sentence = "Phase lists a lease in a way that isn't known"
    raise errors.Unavailable(Reason.BAD_ANSWER, sentence, sent=False)
