"""Infisical's API: where requests go, and what answers look like.

Names from a DynamicLease become part of a path; what isn't a slug is refused rather than quoted,
so that no name can lead elsewhere. Of answers we read what we need; fields that we don't know are
ignored. What an answer other than 2xx means is in ``refusals``.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import Field, JsonValue

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import answers, requests

STATUS: Final = "/api/status"
_SECRETS: Final = "/api/v1/dynamic-secrets"
LEASES: Final = f"{_SECRETS}/leases"
_SLUG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}")


def name(source: Mapping[str, Any]) -> str:
    """The dynamic secret's name as the server stores it: in lower case.

    Creating a lease lowers it, looking it up doesn't.
    """
    return _slug(str(source.get("dynamicSecretName", "")), "dynamicSecretName").lower()


def secret(source: Mapping[str, Any]) -> str:
    """A dynamic secret."""
    return f"{_SECRETS}/{name(source)}"


def leases_of(source: Mapping[str, Any]) -> str:
    """The leases of a dynamic secret."""
    return f"{secret(source)}/leases"


def lease(lease_id: str) -> str:
    """A lease."""
    return f"{LEASES}/{quote(lease_id, safe='')}"


def renewal(lease_id: str) -> str:
    """The renewal of a lease."""
    return f"{lease(lease_id)}/renew"


def projects(project_id: str) -> tuple[str, str]:
    """A project by its id: as newer servers call it, and as older ones do."""
    known = _slug(project_id, "projectId")
    return f"/api/v1/projects/{known}", f"/api/v1/workspace/{known}"


def _address(slug: str, source: Mapping[str, Any]) -> dict[str, str]:
    """Project, environment and folder as every route takes them."""
    path = str(source.get("path") or "/")
    return {
        "projectSlug": slug,
        "environmentSlug": str(source.get("environmentSlug", "")),
        "path": path.rstrip("/") or "/",
    }


def addressed(request: requests.Request, slug: str, source: Mapping[str, Any]) -> requests.Request:
    """A request with project, environment and folder, which a GET has in its query."""
    if request.method == "GET":
        return replace(request, params={**request.params, **_address(slug, source)})
    return replace(request, body={**(request.body or {}), **_address(slug, source)})


def _slug(text: str, what: str) -> str:
    if not _SLUG.fullmatch(text):
        sentence = f"{what} is no name that Infisical gives: write letters, digits, '-' and '_'"
        raise errors.Invalid(Reason.INVALID, sentence)
    return text


class LoginAnswer(answers.Wire):
    """Answer of every login."""

    access_token: Annotated[answers.Token, Field(repr=False)]
    expires_in: float = 0.0
    """Configured life in seconds; 0: none configured, the token's own ``exp`` counts."""


_Stamp = Annotated[float, Field(allow_inf_nan=False)]


class Claims(answers.Wire):
    """What an access token says of itself, in seconds since the epoch."""

    exp: _Stamp
    iat: _Stamp | None = None


class Bearer(answers.Wire):
    """Whose an access token is, as it says itself."""

    identity_id: str = ""
    user_id: str = ""
    organization_id: str = ""


class InfisicalDynamicSecret(answers.Wire):
    """A dynamic secret; ``inputs`` are there only for those who may read the root credential."""

    type: str = ""
    max_ttl: Annotated[str | None, Field(alias="maxTTL")] = None
    status: str | None = None
    inputs: Annotated[dict[str, Any], Field(repr=False)] = Field(default_factory=dict)

    @property
    def credential_type(self) -> str | None:
        """``static``, ``dynamic``, ``iam-user`` …; None where inputs can't be read."""
        value = self.inputs.get("credentialType")
        return value if isinstance(value, str) else None


class InfisicalLease(answers.Wire):
    """A lease. ``status`` is null or ``Failed to delete``."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
    expire_at: answers.Moment
    created_at: answers.Moment
    status: str | None = None
    dynamic_secret: InfisicalDynamicSecret | None = None


class CreateAnswer(answers.Wire):
    """POST of a lease: the only answer that carries the credentials."""

    lease: InfisicalLease
    dynamic_secret: InfisicalDynamicSecret = InfisicalDynamicSecret()
    data: Annotated[dict[str, JsonValue], Field(repr=False, min_length=1)]


class Project(answers.Wire):
    """A project."""

    slug: Annotated[str, Field(min_length=1, max_length=256)]


class ProjectAnswer(answers.Wire):
    """GET of a project: newer servers call it so, older ones workspace."""

    project: Project | None = None
    workspace: Project | None = None

    @property
    def slug(self) -> str | None:
        """The slug, whichever way it was said."""
        found = self.project or self.workspace
        return found.slug if found else None


class Status(answers.Wire):
    """GET /api/status; many servers don't state their version."""

    version: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9.+_-]{1,64}$")] = None


class ErrorBody(answers.Wire):
    """Body of every answer that isn't 2xx; ``message`` is an array of issues for 422."""

    req_id: str | None = None
    status_code: int | None = None
    error: str = ""
    message: JsonValue = ""

    @property
    def text(self) -> str:
        """The message, to classify by; it is never passed on."""
        return self.message if isinstance(self.message, str) else ""

    @property
    def fields(self) -> tuple[str, ...]:
        """First path elements of a validation's complaints."""
        entries = self.message if isinstance(self.message, list) else []
        paths = [entry.get("path") for entry in entries if isinstance(entry, dict)]
        return tuple(
            path[0]
            for path in paths
            if isinstance(path, list) and path and isinstance(path[0], str)
        )
