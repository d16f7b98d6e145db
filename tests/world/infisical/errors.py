"""Every refusal of the server, in its own words.

One exception carries what the error body needs; a function per family fills it in::

    ApiError
    ├── bad_request        400  a business rule, or the provider failed
    ├── unauthorized       401  credentials, missing or revoked token
    ├── token_error        403  a JWT that doesn't verify, plain expiry included
    ├── permission_denied  403  a right is missing
    ├── forbidden          403  not a member, wrong kind of token
    ├── not_found          404  only the message tells what is missing
    ├── invalid            422  the message is an array of issues
    ├── too_many           429
    ├── database           500  e.g. an id that isn't a UUID
    └── internal           500
"""

import secrets
import string
from collections.abc import Mapping, Sequence
from typing import Final

from tests.world.emulation import errors

Json = Mapping[str, object]
ALPHABET: Final = string.ascii_letters + string.digits


class ApiError(errors.Refusal):
    """An answer outside 2xx, with what its body says."""

    def __init__(
        self,
        status: int,
        error: str,
        message: object,
        *,
        details: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers=headers)
        self.error = error
        self.message = message
        self.details = details

    def body(self) -> dict[str, object]:
        """The body that the real server sends."""
        rendered: dict[str, object] = {
            "reqId": "req-" + "".join(secrets.choice(ALPHABET) for _ in range(14)),
            "statusCode": self.status,
            "message": self.message,
            "error": self.error,
        }
        if self.details is not None:
            rendered["details"] = self.details
        return rendered


def bad_request(message: str, *, name: str = "BadRequest") -> ApiError:
    return ApiError(400, name, message)


def unauthorized(message: str, *, name: str = "UnauthorizedError") -> ApiError:
    return ApiError(401, name, message)


def token_error(message: str) -> ApiError:
    return ApiError(403, "TokenError", message)


def permission_denied(action: str, subject: str, rules: Sequence[Json]) -> ApiError:
    message = f"You are not allowed to {action} on {subject}"
    return ApiError(403, "PermissionDenied", message, details=list(rules))


def forbidden(message: str) -> ApiError:
    return ApiError(403, "ForbiddenError", message)


def not_found(message: str) -> ApiError:
    return ApiError(404, "NotFound", message)


def invalid(issues: Sequence[Json]) -> ApiError:
    return ApiError(422, "ValidationFailure", list(issues))


def too_many(message: str, *, headers: Mapping[str, str] | None = None) -> ApiError:
    return ApiError(429, "RateLimitExceeded", message, headers=headers)


def database(name: str) -> ApiError:
    return ApiError(500, name, "Something went wrong")


def internal() -> ApiError:
    return ApiError(500, "InternalServerError", "Something went wrong")
