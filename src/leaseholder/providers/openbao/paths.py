"""Where requests go, which rights they take, and what of a source may stand in a URL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

from leaseholder import errors
from leaseholder.api import openbao
from leaseholder.api.conditions import Reason

HEALTH: Final = "sys/health"
CAPABILITIES: Final = "sys/capabilities-self"
RENEW: Final = "sys/leases/renew"
LOOKUP: Final = "sys/leases/lookup"
REVOKE: Final = "sys/leases/revoke"
LOOKUP_SELF: Final = "auth/token/lookup-self"
RENEW_SELF: Final = "auth/token/renew-self"
REVOKE_SELF: Final = "auth/token/revoke-self"
LOOKUP_ACCESSOR: Final = "auth/token/lookup-accessor"
RENEW_ACCESSOR: Final = "auth/token/renew-accessor"
REVOKE_ACCESSOR: Final = "auth/token/revoke-accessor"

_RESERVED: Final = frozenset(openbao.RESERVED)
_DOTS: Final = frozenset({".", ".."})
_SEGMENT: Final = re.compile(r"[^/?#%\\\s\x00-\x1f\x7f]{1,256}")


@dataclass(frozen=True, slots=True)
class Right:
    """A line of a policy."""

    path: str
    capability: Literal["read", "update"]

    def granted_by(self, capabilities: object) -> bool:
        """Whether what ``sys/capabilities-self`` says of the path is enough.

        A POST is an update or, where the engine can tell, a create.
        """
        told = capabilities if isinstance(capabilities, list) else ()
        held = {one for one in told if isinstance(one, str)}
        enough = {"read"} if self.capability == "read" else {"update", "create"}
        return "deny" not in held and bool(held & {"root", *enough})

    def __str__(self) -> str:
        return f'path "{self.path}" {{ capabilities = ["{self.capability}"] }}'


LEASES: Final = tuple(Right(path, "update") for path in (RENEW, LOOKUP, REVOKE))
ACCESSORS: Final = tuple(
    Right(path, "update") for path in (LOOKUP_ACCESSOR, RENEW_ACCESSOR, REVOKE_ACCESSOR)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is leased, and how it is asked for."""

    path: str
    method: Literal["GET", "POST"]
    parameters: Mapping[str, Any]

    @property
    def right(self) -> Right:
        """What it takes to ask for it."""
        return Right(self.path, "read" if self.method == "GET" else "update")

    @property
    def other_right(self) -> Right:
        """What it takes to ask for it by the other method."""
        return Right(self.path, "update" if self.method == "GET" else "read")

    @property
    def query(self) -> dict[str, str]:
        """The parameters of a GET."""
        if self.method == "POST":
            return {}
        return {name: _plain(value) for name, value in self.parameters.items()}

    @property
    def body(self) -> dict[str, Any] | None:
        """The parameters of a POST."""
        return dict(self.parameters) if self.method == "POST" else None


def source(wanted: Mapping[str, Any]) -> Source:
    """The source of a DynamicLease, checked.

    Raises:
        Invalid: the path isn't one that may be leased.
    """
    path = str(wanted.get("path", "")).strip("/")
    segments = path.split("/")
    if not all(_SEGMENT.fullmatch(one) and one not in _DOTS for one in segments):
        sentence = (
            "path is no path of a secrets engine: write it as in the API, without v1/, such as "
            "database/creds/orders"
        )
        raise errors.Invalid(Reason.INVALID, sentence)
    # A namespace may stand in front of them.
    if segments[0] in _RESERVED or _RESERVED & set(segments[:-1]):
        sentence = (
            "paths under sys/, auth/, identity/ and cubbyhole/ aren't leased: write the path of a "
            "secrets engine, such as database/creds/orders"
        )
        raise errors.Invalid(Reason.INVALID, sentence)
    return Source(
        path=path,
        method="POST" if wanted.get("method") == "POST" else "GET",
        parameters=wanted.get("parameters") or {},
    )


def url(path: str) -> str:
    """A path of the API as it stands in a request."""
    return "/v1/" + quote(path, safe="/")


def login(mount: str) -> str:
    """Where an auth method takes logins.

    Raises:
        Invalid: it is no name of a mount.
    """
    name = mount.strip("/").removeprefix("auth/")
    if not all(_SEGMENT.fullmatch(one) and one not in _DOTS for one in name.split("/")):
        sentence = "mountPath is no name of an auth method: write it without auth/, as kubernetes"
        raise errors.Invalid(Reason.INVALID, sentence)
    return f"auth/{name}/login"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
