"""What the server would keep in its database: plain rows."""

import dataclasses
import datetime
import secrets
from typing import Literal

from tests.world.emulation.models import new_id

Status = Literal["active", "expired", "revoked"]
AccountKind = Literal["service_account", "user"]


def new_token() -> str:
    return secrets.token_hex(32)


@dataclasses.dataclass(slots=True)
class Environment:
    """An environment of an app; names are told apart regardless of case."""

    name: str
    app_id: str
    id: str = dataclasses.field(default_factory=new_id)


@dataclasses.dataclass(slots=True)
class App:
    """An app and its environments."""

    name: str
    id: str
    created_at: datetime.datetime
    sse_enabled: bool = True
    environments: list[Environment] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Role:
    """A role: permissions as ``Subject:action``."""

    name: str
    permissions: set[str]
    id: str = dataclasses.field(default_factory=new_id)
    admin: bool = False


@dataclasses.dataclass(slots=True)
class Account:
    """A service account or a user, and the environments that it has keys for."""

    name: str
    kind: AccountKind
    role: Role
    created_at: datetime.datetime
    id: str = dataclasses.field(default_factory=new_id)
    locked_out: set[str] = dataclasses.field(default_factory=set)
    """Ids of environments that it has no key for."""
    allowed_ips: bool = True


@dataclasses.dataclass(slots=True)
class Token:
    """A token; ``word`` is the type word before it."""

    word: str
    account_id: str | None
    value: str = dataclasses.field(default_factory=new_token)
    deleted: bool = False
    expires_at: datetime.datetime | None = None


@dataclasses.dataclass(slots=True)
class Folder:
    """A folder of an environment."""

    environment_id: str
    path: str
    id: str = dataclasses.field(default_factory=new_id)


@dataclasses.dataclass(slots=True)
class Key:
    """One entry of a key map: the provider's name for a value, and the admin's."""

    id: str
    name: str
    masked: bool


@dataclasses.dataclass(slots=True)
class StaticSecret:
    """A secret that isn't dynamic."""

    key: str
    value: str
    environment: Environment
    path: str
    created_at: datetime.datetime
    id: str = dataclasses.field(default_factory=new_id)


@dataclasses.dataclass(slots=True)
class DynamicSecret:
    """What leases are taken on."""

    id: str
    name: str
    environment: Environment
    path: str
    folder_id: str | None
    default_ttl: datetime.timedelta
    max_ttl: datetime.timedelta
    keys: list[Key]
    created_at: datetime.datetime
    updated_at: datetime.datetime
    description: str = ""
    deleted_at: datetime.datetime | None = None


@dataclasses.dataclass(slots=True)
class Lease:
    """One row of the lease table, with the AWS user behind it."""

    secret: DynamicSecret
    name: str
    owner: Account
    ttl: datetime.timedelta
    created_at: datetime.datetime
    expires_at: datetime.datetime
    username: str
    status: Status = "active"
    revoked_at: datetime.datetime | None = None
    id: str = dataclasses.field(default_factory=new_id)
