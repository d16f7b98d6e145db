"""Phase's API: where it begins at a host, where requests go, what answers look like.

Cloud's API host has it at once, others under a path. Of answers we read what we need; fields that
we don't know are ignored. What an answer other than 200 means is in ``refusals``.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ConfigDict, FailFast, Field, RootModel

from leaseholder.ports.provider import Lease
from leaseholder.providers.kit import answers

DYNAMIC: Final = "/v1/secrets/dynamic/"
LEASES: Final = f"{DYNAMIC}leases/"
APPS: Final = "/v1/apps/"
_API_HOST: Final = "api.phase.dev"
_USUAL: Final = "/service/public"
_PUBLIC: Final = "/public"
_TOKENS: Final = "/secrets/tokens/"
_LENGTH: Final = re.compile(
    r"(?:(?P<days>-?[0-9]{1,6}) )?(?P<hours>[0-9]{1,3}):(?P<minutes>[0-9]{2}):"
    r"(?P<seconds>[0-9]{2}(?:\.[0-9]{1,6})?)"
)


def root(address: str) -> str:
    """The address that ``/v1`` follows: a server has one, however its url was written.

    Args:
        address: an http(s) address without trailing slash, and without ``/v1``.
    """
    parts = urlsplit(address)
    if parts.path or parts.hostname == _API_HOST:
        return address
    return f"{address}{_USUAL}"


def tokens(base: str) -> str:
    """Where a token can be asked whose it is; Cloud's API host may not have that."""
    return f"{base.removesuffix(_PUBLIC)}{_TOKENS}"


def address(source: Mapping[str, Any]) -> dict[str, str]:
    """App and environment as every route takes them."""
    return {"app_id": str(source.get("appId", "")), "env": str(source.get("env", ""))}


def whereabouts(lease: Lease) -> dict[str, str]:
    """Where the server looks a lease up: beside its dynamic secret, wherever that is by now.

    The dynamic secret's id counts for more than the environment's name, which may change.
    """
    secret_id = lease.handle.get("secretId")
    known = {"secret_id": str(secret_id)} if secret_id else {}
    return {**address(lease.source), **known}


def wanted(source: Mapping[str, Any]) -> dict[str, str]:
    """An id says enough; a name alone would match at other paths too."""
    if source.get("id") is not None:
        return {"id": str(source["id"])}
    return {"name": str(source.get("name", "")), "path": str(source.get("path") or "/")}


def _length(written: Any) -> Any:
    """``[D ]HH:MM:SS[.ffffff]``; what else pydantic knows stays as it is."""
    found = _LENGTH.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        return written
    parts = {name: float(value) for name, value in found.groupdict("0").items()}
    return timedelta(**parts)


Length = Annotated[answers.Length, BeforeValidator(_length)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


class AccountData(answers.Wire):
    """Who owns a lease."""

    id: Id


class Owner(answers.Wire):
    """The owner of a lease: ``service_account`` or ``organisation_member``."""

    type: str
    data: AccountData


class PhaseLease(answers.Wire):
    """A lease as every answer shows it, without credentials."""

    id: Id
    ttl: Length
    status: str
    owner: Owner | None = None
    created_at: answers.Moment
    expires_at: answers.Moment
    revoked_at: answers.Moment | None = None


class Credential(answers.Wire):
    """One value of a lease, under the name that the administrator chose."""

    key: Annotated[str, Field(min_length=1)]
    value: Annotated[str, Field(repr=False)]


class FreshLease(PhaseLease):
    """A lease in the answer that made it, the only one with credentials."""

    credentials: Annotated[tuple[Credential, ...], FailFast(), Field(repr=False, min_length=1)]


class LeasedSecret(answers.Wire):
    """A dynamic secret with the lease that was just made on it."""

    id: Id
    lease: FreshLease


class PhaseDynamicSecret(answers.Wire):
    """A dynamic secret."""

    id: Id
    default_ttl: Length
    max_ttl: Length


class LeasedAnswer(RootModel[Annotated[tuple[LeasedSecret, ...], FailFast()]]):
    """GET with ``lease``: each dynamic secret that matched."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class SecretsAnswer(RootModel[Annotated[tuple[PhaseDynamicSecret, ...], FailFast()]]):
    """GET without ``lease``."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Message(answers.Wire):
    """Answer of a renewal or a revocation: prose."""

    message: str


class Whoami(answers.Wire):
    """Whose token it is, in snake_case; the key share beside it isn't read."""

    model_config = ConfigDict(alias_generator=None)

    account_id: Id | None = None
    """Of a service account."""
    user_id: Id | None = None
    """Of a member."""
