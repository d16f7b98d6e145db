"""What a kind of dynamic secret can do, and the book of credentials outside PostgreSQL."""

import dataclasses
import math
import secrets
import string
from collections.abc import Collection, Iterable, Mapping
from typing import Final, Protocol

from tests.world.infisical import clock as clocks
from tests.world.infisical import errors, state

ALPHANUMERIC: Final = string.ascii_letters + string.digits


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What a create hands to the provider; the expiry may be NaN."""

    secret_id: str
    inputs: Mapping[str, object]
    expire_at: float
    username_template: str | None
    config: object


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What the provider made: entity, outputs, and the value that tells it apart."""

    entity_id: str
    data: dict[str, object]
    witness: str


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """What a renewal or a revocation hands to the provider."""

    secret_id: str
    inputs: Mapping[str, object]
    entity_id: str


class Kind(Protocol):
    """A provider; refusals are ApiError with the provider's text."""

    async def create(self, order: Order) -> Outcome: ...

    async def renew(self, subject: Subject, expire_at: float) -> None: ...

    async def revoke(self, subject: Subject) -> None: ...

    async def living(self, issued: Collection[state.Issued]) -> set[str]:
        """The witnesses among these that the target would let in now."""
        ...

    async def kill(self, issued: state.Issued) -> None:
        """Somebody removes the credential at the target, behind the server's back."""
        ...

    async def clock_moved(self) -> None:
        """Time has jumped, at the target as well."""
        ...


def random_text(length: int) -> str:
    return "".join(secrets.choice(ALPHANUMERIC) for _ in range(length))


def checked_expiry(expire_at: float, *, verb: str) -> float:
    """The expiry, or the 400 of a provider that formats it."""
    if math.isnan(expire_at):
        raise errors.bad_request(f"Failed to {verb} lease from provider: Invalid time value")
    return expire_at


@dataclasses.dataclass(slots=True)
class Entry:
    """A credential at a target that the emulator plays itself."""

    entity_id: str
    dies_at: float | None


class Book:
    """Which made-up credentials are good, by their value."""

    def __init__(self, clock: clocks.Clock) -> None:
        self.clock = clock
        self.entries: dict[str, Entry] = {}

    def add(self, value: str, entity_id: str, *, dies_at: float | None = None) -> None:
        self.entries[value] = Entry(entity_id=entity_id, dies_at=dies_at)

    def drop_entity(self, entity_id: str) -> bool:
        gone = [value for value, entry in self.entries.items() if entry.entity_id == entity_id]
        for value in gone:
            del self.entries[value]
        return bool(gone)

    def drop(self, value: str) -> None:
        self.entries.pop(value, None)

    def good(self, value: str) -> bool:
        entry = self.entries.get(value)
        if entry is None:
            return False
        # NB: a NaN expiry, from a ttl that didn't parse, never comes.
        return entry.dies_at is None or not entry.dies_at <= self.clock.now()

    def living(self, issued: Iterable[state.Issued]) -> set[str]:
        return {one.witness for one in issued if self.good(one.witness)}


class Booked:
    """The common half of the kinds whose target is the book."""

    def __init__(self, clock: clocks.Clock, book: Book) -> None:
        self.clock = clock
        self.book = book

    async def living(self, issued: Collection[state.Issued]) -> set[str]:
        return self.book.living(issued)

    async def kill(self, issued: state.Issued) -> None:
        self.book.drop(issued.witness)

    async def clock_moved(self) -> None:
        return None

    def remove(self, subject: Subject, *, what: str) -> None:
        """Take an entity away; a target that has lost it says so."""
        if not self.book.drop_entity(subject.entity_id):
            told = f"Failed to revoke lease from provider: {what} not found"
            raise errors.bad_request(told)
