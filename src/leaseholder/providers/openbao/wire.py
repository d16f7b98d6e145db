"""What OpenBao and Vault answer, as far as we read it; the rest is ignored."""

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from leaseholder.providers.kit import answers

_LONGEST: Final = 700
"""Characters of a lease's id: a path, and what tells leases of it apart."""


def _never_null(value: object) -> object:
    return "" if value is None else value


def _in_one_piece(text: str) -> str:
    if len(text) > _LONGEST or not text.isprintable() or " " in text:
        raise ValueError
    return text


Text = Annotated[str, BeforeValidator(_never_null)]
_Id = Annotated[str, AfterValidator(_in_one_piece)]
"""What is told in status, events and annotations: in one piece, whatever the server would like."""
Id = Annotated[_Id, BeforeValidator(_never_null)]
_Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9.+_-]{0,64}$")]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Refusal(_Wire):
    """Every answer other than 2xx."""

    errors: list[JsonValue]

    @property
    def text(self) -> str:
        """All that it says, for matching only; one entry can hold several errors."""
        return " ".join(str(one) for one in self.errors).lower()


class Health(_Wire):
    """``sys/health``."""

    version: Annotated[_Version, BeforeValidator(_never_null)] = ""
    sealed: bool = False


class Auth(_Wire):
    """A token that was just made or renewed."""

    client_token: Annotated[Text, Field(pattern=r"^[\x21-\x7e]*$", repr=False)] = ""
    accessor: Id = ""
    lease_duration: answers.Seconds = 0
    renewable: bool = False
    token_type: Text = ""
    num_uses: int = 0


class LoginAnswer(_Wire):
    """A login, or the renewal of a token."""

    auth: Auth


class Token(_Wire):
    """A token as ``lookup-self`` and ``lookup-accessor`` show it."""

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
    type: Text = "service"


class TokenAnswer(_Wire):
    """A look at a token."""

    data: Token


class Lease(_Wire):
    """A lease as ``sys/leases/lookup`` shows it."""

    id: _Id
    issue_time: answers.Moment
    expire_time: answers.Moment | None = None
    renewable: bool = False
    ttl: answers.Seconds = 0


class LeaseAnswer(_Wire):
    """A look at a lease."""

    data: Lease


class Leased(_Wire):
    """A leased read, or the renewal of its lease."""

    lease_id: Id = ""
    lease_duration: answers.Seconds = 0
    renewable: bool = False
    data: dict[str, JsonValue] | None = Field(default=None, repr=False)


class Capabilities(_Wire):
    """``sys/capabilities-self``: rights by path."""

    data: dict[str, JsonValue]
