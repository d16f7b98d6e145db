"""What the server would keep in its database, and the lag of its read replica.

Rows are plain dataclasses. Leases live in a table that remembers their past as long as a replica
may still show it: reads go to the replica, writes to the primary, and that is how a lease that was
just created can be "not found".
"""

import copy
import dataclasses
import math
from collections.abc import Iterable, Iterator

from tests.world.emulation.models import new_id
from tests.world.infisical import clock as clocks


@dataclasses.dataclass(slots=True)
class Folder:
    """A folder; its path is unique within project and environment."""

    environment: str
    path: str
    id: str = dataclasses.field(default_factory=new_id)


@dataclasses.dataclass(slots=True)
class Project:
    """A project and its folders."""

    slug: str
    name: str
    organization: str
    environments: list[str]
    folders: list[Folder]
    created_at: float
    id: str = dataclasses.field(default_factory=new_id)

    def folder(self, environment: str, path: str) -> Folder | None:
        wanted = (environment, path)
        return next((one for one in self.folders if (one.environment, one.path) == wanted), None)


@dataclasses.dataclass(slots=True)
class DynamicSecret:
    """What leases are taken on."""

    name: str
    type: str
    default_ttl: str
    max_ttl: str | None
    project_id: str
    environment: str
    path: str
    folder_id: str
    inputs: dict[str, object]
    created_at: float
    updated_at: float
    metadata: list[dict[str, str]] = dataclasses.field(default_factory=list)
    username_template: str | None = None
    status: str | None = None
    status_details: str | None = None
    version: int = 1
    id: str = dataclasses.field(default_factory=new_id)


@dataclasses.dataclass(slots=True)
class Lease:
    """One row of the lease table."""

    external_entity_id: str
    expire_at: float
    dynamic_secret_id: str
    created_at: float
    updated_at: float
    config: object = None
    status: str | None = None
    status_details: str | None = None
    version: int = 1
    id: str = dataclasses.field(default_factory=new_id)


@dataclasses.dataclass(slots=True)
class Issued:
    """The emulator's own note of every credential ever made: no server keeps this."""

    entity_id: str
    witness: str
    secret_id: str
    secret_name: str
    type: str
    created_at: float
    lease_id: str | None = None
    config: object = None


@dataclasses.dataclass(slots=True)
class Attempts:
    """Failed logins of one identity within the counter's window."""

    failed: int = 0
    locked: bool = False
    until: float = 0.0


@dataclasses.dataclass(slots=True)
class Version:
    """A row as it was from a moment on; None once deleted."""

    since: float
    row: Lease | None


class LeaseTable:
    """Leases, by id: the primary at once, the replica some time later."""

    def __init__(self, clock: clocks.Clock) -> None:
        self.clock = clock
        self.lag_ms = 0.0
        self._rows: dict[str, Lease] = {}
        self._past: dict[str, list[Version]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Lease]:
        return iter(list(self._rows.values()))

    def get(self, lease_id: str) -> Lease | None:
        """The row on the primary."""
        return self._rows.get(lease_id)

    def put(self, lease: Lease) -> None:
        self._rows[lease.id] = lease
        self._remember(lease.id, copy.copy(lease))

    def remove(self, lease_id: str) -> Lease | None:
        gone = self._rows.pop(lease_id, None)
        if gone is not None:
            if self.lag_ms and lease_id not in self._past:
                self._past[lease_id] = [Version(-math.inf, copy.copy(gone))]
            self._remember(lease_id, None)
        return gone

    def read(self, lease_id: str) -> Lease | None:
        """The row as the replica has it."""
        return self._seen(lease_id) if self.lag_ms else self._rows.get(lease_id)

    def read_all(self, secret_id: str) -> list[Lease]:
        """All rows of a dynamic secret as the replica has them."""
        rows: Iterable[Lease | None] = self._rows.values()
        if self.lag_ms:
            rows = [self._seen(lease_id) for lease_id in {*self._rows, *self._past}]
        return [row for row in rows if row is not None and row.dynamic_secret_id == secret_id]

    def _remember(self, lease_id: str, row: Lease | None) -> None:
        if not self.lag_ms:
            self._past.pop(lease_id, None)
            return
        self._past.setdefault(lease_id, []).append(Version(self.clock.now(), row))

    def _seen(self, lease_id: str) -> Lease | None:
        past = self._past.get(lease_id)
        if past is None:
            return self._rows.get(lease_id)
        horizon = self.clock.now() - self.lag_ms
        visible = [version for version in past if version.since <= horizon]
        return visible[-1].row if visible else None
