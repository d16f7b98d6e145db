"""Every refusal of the server, in its own words: a status and ``{"error": "…"}``.

``LostAnswerError`` is no answer at all: the connection goes, what was done stays done.
"""

from collections.abc import Mapping
from typing import Any, Final

LEASING: Final = "An internal error occurred while creating the lease"
RENEWING: Final = "An internal error occurred while renewing the lease"
REVOKING: Final = "An internal error occurred while revoking the lease"
PLAN: Final = "Dynamic secrets are only available on the Enterprise plan."
NO_READ: Final = "You don't have permission to read secrets in this environment."


class ApiError(Exception):
    """An answer outside 2xx, ready to be rendered."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    @property
    def body(self) -> dict[str, Any]:
        return {"error": self.message, **self.more}


class LostAnswerError(Exception):
    """The work is done or will be, and the connection is cut before anybody learns of it."""


def internal() -> ApiError:
    """An exception that nobody in the server handled."""
    return ApiError(500, "Internal server error.")


def not_provided() -> ApiError:
    told = "Authentication credentials were not provided."
    return ApiError(401, told, headers={"WWW-Authenticate": "Bearer"})


def lease_not_found() -> ApiError:
    return ApiError(404, "Lease not found")
