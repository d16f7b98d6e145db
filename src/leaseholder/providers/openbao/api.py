"""The API of OpenBao and Vault: where requests go, which rights they take, what answers look like.

What of a source may stand in a URL is decided here too. Of answers we read what we need, the rest
is ignored. What an answer other than 2xx means is in ``refusals``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue

from leaseholder import errors
from leaseholder.api import openbao
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import answers, requests

_ROOT: Final = "/v1/"
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
class PolicyLine:
    """A line of a policy."""

    path: str
    capability: Literal["read", "update"]

    def granted_by(self, capabilities: object) -> bool:
        """Whether what ``sys/capabilities-self`` says of the path is enough.

        A POST is an update or, where the engine can tell, a create.
        """
        listed = capabilities if isinstance(capabilities, list) else ()
        held = {one for one in listed if isinstance(one, str)}
        enough = {"read"} if self.capability == "read" else {"update", "create"}
        return "deny" not in held and bool(held & {"root", *enough})

    def __str__(self) -> str:
        return f'path "{self.path}" {{ capabilities = ["{self.capability}"] }}'


LEASES: Final = tuple(PolicyLine(path, "update") for path in (RENEW, LOOKUP, REVOKE))
ACCESSORS: Final = tuple(
    PolicyLine(path, "update") for path in (LOOKUP_ACCESSOR, RENEW_ACCESSOR, REVOKE_ACCESSOR)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is leased, and how it is asked for."""

    path: str
    method: Literal["GET", "POST"]
    parameters: Mapping[str, Any]

    @property
    def right(self) -> PolicyLine:
        """What it takes to ask for it."""
        return PolicyLine(self.path, "read" if self.method == "GET" else "update")

    @property
    def other_right(self) -> PolicyLine:
        """What it takes to ask for it by the other method."""
        return PolicyLine(self.path, "update" if self.method == "GET" else "read")

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters of a GET; of a list each entry, under the same name."""
        if self.method == "POST":
            return {}
        return {name: [*map(_plain, _entries(value))] for name, value in self.parameters.items()}

    @property
    def body(self) -> dict[str, Any] | None:
        """The parameters of a POST."""
        return dict(self.parameters) if self.method == "POST" else None

    def refuse_what_no_query_says(self) -> None:
        """See that a GET can say all parameters; a lease that is held needs none of them.

        Raises:
            Invalid: one is a map, or a list of lists or maps.
        """
        for name, value in self.parameters.items():
            nested = any(isinstance(one, dict | list) for one in _entries(value))
            if self.method == "GET" and nested:
                sentence = (
                    f"parameter {name[:_NAMED]} can't be said in the query of a GET: write texts, "
                    "numbers or a list of them, or method: POST if the path takes that"
                )
                raise errors.Invalid(Reason.INVALID, sentence)


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
    return _ROOT + quote(path, safe="/")


def right_to(request: requests.Request) -> PolicyLine:
    """What it takes to send a request to the server itself."""
    path = request.path.removeprefix(_ROOT)
    return PolicyLine(path, "read" if request.method == "GET" else "update")


def login(mount: str) -> str:
    """Where an auth method takes logins.

    Raises:
        Invalid: it is no name of a mount.
    """
    name = mount.strip("/").removeprefix("auth/")
    if not all(_SEGMENT.fullmatch(one) and one not in _DOTS for one in name.split("/")):
        sentence = "mountPath is no name of an auth method: write it without auth/, as kubernetes"
        raise errors.Invalid(Reason.INVALID, sentence)
    return url(f"auth/{name}/login")


def _entries(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_NAMED: Final = 64
"""Characters of a parameter's name in a sentence: a free-form field can't bound them."""
_LONGEST: Final = 700
"""Characters of a lease's id: a path, and what tells leases of it apart."""


def _never_null(value: object) -> object:
    return "" if value is None else value


def _in_one_piece(text: str) -> str:
    if len(text) > _LONGEST or not text.isprintable() or " " in text:
        raise ValueError
    return text


def _texts(value: object) -> tuple[str, ...]:
    """A list's texts; what isn't one has none: nothing but a request hangs on them."""
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


Text = Annotated[str, BeforeValidator(_never_null)]
_Id = Annotated[str, AfterValidator(_in_one_piece)]
"""What is told in status, events and annotations: in one piece, whatever the server would like."""
Id = Annotated[_Id, BeforeValidator(_never_null)]
_Names = Annotated[tuple[str, ...], BeforeValidator(_texts)]
_Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9.+_-]{0,64}$")]


class _SnakeCaseWire(answers.Wire):
    model_config = ConfigDict(alias_generator=None)  # the API is in snake_case


class OpenBaoErrors(_SnakeCaseWire):
    """Every answer other than 2xx."""

    errors: list[JsonValue]

    @property
    def text(self) -> str:
        """All that it says, for matching only; one entry can hold several errors."""
        return " ".join(str(one) for one in self.errors).lower()


class HealthAnswer(_SnakeCaseWire):
    """``sys/health``."""

    version: Annotated[_Version, BeforeValidator(_never_null)] = ""
    sealed: bool = False


class Auth(_SnakeCaseWire):
    """A token that was just made, or renewed itself, as the answer shows it under ``auth``."""

    client_token: Annotated[
        answers.Token | Literal[""], BeforeValidator(_never_null), Field(repr=False)
    ] = ""
    accessor: Id = ""
    lease_duration: answers.Seconds = 0
    renewable: bool = False
    token_type: Text = ""
    num_uses: int = 0


class Token(_SnakeCaseWire):
    """A token as ``lookup-self`` and ``lookup-accessor`` show it under ``data``."""

    accessor: Id = ""
    issue_time: answers.Moment | None = None
    expire_time: answers.Moment | None = None
    """None: it never expires."""
    creation_time: answers.Seconds = 0
    creation_ttl: answers.Seconds = 0
    ttl: answers.Seconds = 0
    """Seconds that are left; 0: no end."""
    period: answers.Seconds = 0
    """Seconds that each renewal gives; 0: up to a maximum."""
    num_uses: int = 0
    renewable: bool = False
    policies: _Names = ()
    identity_policies: _Names = ()

    @property
    def every_policy(self) -> tuple[str, ...]:
        """What its rights come from: its login's role, and whom it stands for."""
        return *self.policies, *self.identity_policies


class OpenBaoLease(_SnakeCaseWire):
    """A lease as ``sys/leases/lookup`` shows it under ``data``."""

    id: _Id
    issue_time: answers.Moment
    expire_time: answers.Moment | None = None
    renewable: bool
    ttl: answers.Seconds


class RenewedLease(_SnakeCaseWire):
    """The renewal of a lease. Nothing is supplied: 0 seconds would be its end, and a maximum."""

    lease_id: _Id
    lease_duration: answers.Seconds
    renewable: bool


class RenewedToken(_SnakeCaseWire):
    """The renewal of a token by its accessor, under ``auth``."""

    lease_duration: answers.Seconds


class Leased(_SnakeCaseWire):
    """A leased read."""

    lease_id: Id = ""
    lease_duration: answers.Seconds = 0
    renewable: bool = False
    data: dict[str, JsonValue] | None = Field(default=None, repr=False)
    wrap_info: dict[str, JsonValue] | None = Field(default=None, repr=False)
    """Where a control group of Vault Enterprise has to approve first: nothing was leased yet."""


class RightsAnswer(_SnakeCaseWire):
    """``sys/capabilities-self``: rights by path."""

    data: dict[str, JsonValue]
