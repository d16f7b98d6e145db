"""Where requests go, and what of a source may stand in a URL.

Names from a DynamicLease become part of a path; what isn't a slug is refused rather than quoted,
so that no name can lead elsewhere.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from leaseholder import errors
from leaseholder.api.conditions import Reason

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


def address(slug: str, source: Mapping[str, Any]) -> dict[str, str]:
    """Project, environment and folder as every route takes them."""
    path = str(source.get("path") or "/")
    return {
        "projectSlug": slug,
        "environmentSlug": str(source.get("environmentSlug", "")),
        "path": path.rstrip("/") or "/",
    }


def _slug(text: str, what: str) -> str:
    if not _SLUG.fullmatch(text):
        sentence = f"{what} is no name that Infisical gives: write letters, digits, '-' and '_'"
        raise errors.Invalid(Reason.INVALID, sentence)
    return text
