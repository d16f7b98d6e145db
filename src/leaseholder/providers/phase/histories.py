"""The lists of leases, which Phase only gives whole: all that a dynamic secret ever had.

They grow for ever. So a list is shared by everybody who asks before it is sent for; who asks later
waits for the next one, because no answer may be older than the question. And of its rows, thousands
perhaps, only those are read closely that are looked for.
"""

import asyncio
import json
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pydantic

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers import backoff, documents, http
from leaseholder.providers.phase import refusals, sources, wire
from leaseholder.providers.turns import Rank

LEASES: Final = f"{sources.DYNAMIC}leases/"

_ACTIVE: Final = "active"

_KEPT: Final = {field.alias or name for name, field in wire.Lease.model_fields.items()}
_LONGEST: Final = 4096
"""Bytes of a row that anybody keeps: ten times a usual one."""
_TURN: Final = 100
"""Rows that are read closely between two turns for the loop."""
_MOST: Final = 100
"""Leases that can be the one whose answer was lost."""


@dataclass(frozen=True, slots=True)
class Row:
    """One lease of a list; its JSON takes a quarter of the memory that its values would."""

    id: str
    status: str
    text: str


_Outcome = list[Row] | errors.ProviderError


class Histories:
    """Looks at lists of leases, one at a time for each dynamic secret."""

    def __init__(self, send: sources.Send, timeout: float) -> None:
        self._send = send
        self._timeout = timeout
        self._next: dict[tuple[str, Rank], asyncio.Task[_Outcome]] = {}
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
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
            lists=True,
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
        found = await _rows(answer)
        return found if found is not None else refusals.bad_answer(answer, sent=False)


def named(rows: Sequence[Row], lease_id: str) -> wire.Lease | None:
    """The lease with that id; None where it isn't listed.

    Raises:
        Unavailable: its row makes no sense.
    """
    found = next((row for row in rows if row.id == lease_id), None)
    return None if found is None else _read(found)


async def active(rows: Sequence[Row], fits: Callable[[wire.Lease], bool]) -> Sequence[wire.Lease]:
    """The leases that the server counts as alive and that fit.

    Raises:
        Unavailable: the row of one makes no sense, or too many fit.
    """
    found = []
    for number, row in enumerate(rows):
        if number % _TURN == 0:
            await asyncio.sleep(0)
        if row.status == _ACTIVE and fits(lease := _read(row)):
            found.append(lease)
        if len(found) > _MOST:
            raise _unknown()
    return found


async def _rows(answer: http.Answer) -> list[Row] | None:
    found = []
    try:
        async for row in answer.rows():
            kept = {name: value for name, value in row.items() if name in _KEPT}
            text = json.dumps(kept)
            if len(text) > _LONGEST:
                return None
            found.append(Row(str(kept.get("id")), str(kept.get("status")), text))
    except documents.Malformed:
        return None
    return found


def _read(row: Row) -> wire.Lease:
    try:
        return wire.Lease.model_validate_json(row.text)
    except pydantic.ValidationError:
        pass
    raise _unknown()


def _unknown() -> errors.Unavailable:
    sentence = "Phase lists a lease in a way that isn't known"
    return errors.Unavailable(Reason.BAD_ANSWER, sentence, sent=False)
