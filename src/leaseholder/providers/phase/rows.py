"""The rows of a list of leases: which are kept, and which fit.

Flows in: a list as it is read, row by row (``histories``). Flows out: the active leases, and those
that were asked for by name, read with the wire model only where somebody looks for them.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import pydantic

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import answer_memory, json_documents
from leaseholder.providers.phase import api

_ACTIVE: Final = "active"
_KEPT: Final = {field.alias or name for name, field in api.PhaseLease.model_fields.items()}
_LONGEST_ROW: Final = 4096
"""Bytes of a row that anybody keeps: ten times a usual one."""
_ROW: Final = 400
"""Bytes that a row takes beside its text: a short one is mostly that."""
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


@dataclass(slots=True)
class Listed:
    """What a list showed: the active leases, and those that were asked for by name."""

    sent_at: datetime
    """When it was sent for, by the provider's clock."""
    rows: Sequence[Row]
    share: answer_memory.Share | None = field(default=None, repr=False)
    """The memory that the rows take."""


class Rows:
    """The rows that are kept of a list."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self.rows: list[Row] = []
        self.active = 0

    def take(self, row: dict[str, Any]) -> int:
        """Keep a row that may be looked for; see ``requests.Request``."""
        kept = {name: value for name, value in row.items() if name in _KEPT}
        found = Row(str(kept.get("id")), str(kept.get("status")), json.dumps(kept))
        if len(found.text) > _LONGEST_ROW:
            raise json_documents.Malformed
        self.active += found.status == _ACTIVE
        if found.status != _ACTIVE and found.id not in self._wanted:
            return 0
        self.rows.append(found)
        return len(found.text) + _ROW


def named(listed: Listed, lease_id: str) -> api.PhaseLease | None:
    """The lease with that id; None where it isn't listed.

    Raises:
        Unavailable: its row makes no sense.
    """
    found = next((row for row in listed.rows if row.id == lease_id), None)
    return None if found is None else _read(found)


async def active(
    listed: Listed, fits: Callable[[api.PhaseLease], bool], *, most: int | None = None
) -> Sequence[api.PhaseLease]:
    """The leases that the server counts as alive and that fit.

    Args:
        listed: what a list showed.
        fits: told each of them.
        most: so many do; None: all are wanted.

    Raises:
        Unavailable: the row of one makes no sense, or too many fit.
    """
    found = []
    for number, row in enumerate(listed.rows):
        if number % _TURN == 0:
            await asyncio.sleep(0)
        if row.status == _ACTIVE and fits(lease := _read(row)):
            found.append(lease)
        if most is not None and len(found) >= most:
            break
        if len(found) > _MOST:
            raise _unknown()
    return found


def _read(row: Row) -> api.PhaseLease:
    try:
        return api.PhaseLease.model_validate_json(row.text)
    except pydantic.ValidationError:
        pass
    raise _unknown()


def _unknown() -> errors.Unavailable:
    sentence = "Phase lists a lease in a way that isn't known"
    return errors.Unavailable(Reason.BAD_ANSWER, sentence, sent=False)
