"""JSON that tests send to an emulator, and ids that it gives."""

import uuid
from collections.abc import Iterable
from typing import TypeVar

import pydantic
from pydantic import alias_generators

Item = TypeVar("Item")


class Model(pydantic.BaseModel):
    """JSON in camelCase on the wire, strict about what it doesn't know."""

    model_config = pydantic.ConfigDict(
        alias_generator=alias_generators.to_camel,
        populate_by_name=True,
        extra="forbid",
        validate_assignment=True,
    )


class Switches(Model):
    """What can be turned at every server; each stands at the real one's behaviour."""

    min_ttl_seconds: float = 60.0
    """Shortest ttl of a lease; the real server says 60."""
    latency_ms: float = 0.0
    """Added to every answer."""
    clock_offset_seconds: float = 0.0
    """Added to every time, the Date header and what leases are made at included."""
    burst: int = 0
    """So many of the next requests fail before anything is done."""
    burst_status: int = 503
    """The server's own JSON, or the HTML page of a proxy before it."""


def new_id() -> str:
    return str(uuid.uuid4())


def first(found: Iterable[Item], what: str) -> Item:
    """The first of what was found.

    Raises:
        LookupError: there is none.
    """
    for one in found:
        return one
    raise LookupError(f"there is no {what}")
