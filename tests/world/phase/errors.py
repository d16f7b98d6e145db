"""Every refusal of the server, in its own words: a status and ``{"error": "…"}``."""

from collections.abc import Mapping
from typing import Any, Final

from tests.world.emulation import errors

LEASING: Final = "An internal error occurred while creating the lease"
RENEWING: Final = "An internal error occurred while renewing the lease"
REVOKING: Final = "An internal error occurred while revoking the lease"
PLAN: Final = "Dynamic secrets are only available on the Enterprise plan."
NO_READ: Final = "You don't have permission to read secrets in this environment."
NO_APPS: Final = "You don't have permission to read apps."


class ApiError(errors.Refusal):
    """An answer outside 2xx, ready to be rendered; a 401 names the scheme of the login."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        challenge = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        super().__init__(status, message, headers={**challenge, **(headers or {})})
        self.message = message
        self.more = dict(more or {})

    def body(self) -> dict[str, Any]:
        return {"error": self.message, **self.more}


def internal() -> ApiError:
    """An exception that nobody in the server handled."""
    return ApiError(500, "Internal server error.")


def not_provided() -> ApiError:
    return ApiError(401, "Authentication credentials were not provided.")


def lease_not_found() -> ApiError:
    return ApiError(404, "Lease not found")
