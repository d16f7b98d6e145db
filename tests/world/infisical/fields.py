"""Request validation, speaking the server's dialect: an array of issues, all of them at once.

Unknown keys are dropped, not refused; null isn't absence; ``min`` is checked before trimming.
"""

import dataclasses
import re
from typing import Final

from tests.world.infisical import errors, ms

ABSENT: Final = object()
SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+")
BAD_PATH: Final = (
    "Invalid secret path. Only alphanumeric characters, dashes, and underscores are allowed."
)


def type_name(value: object) -> str:
    """What JavaScript's validator calls it."""
    match value:
        case _ if value is ABSENT:
            return "undefined"
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


@dataclasses.dataclass(slots=True)
class Fields:
    """One object under validation: take the fields out, then call ``check``."""

    values: dict[str, object]
    prefix: list[object] = dataclasses.field(default_factory=list)
    issues: list[dict[str, object]] = dataclasses.field(default_factory=list)

    def text(
        self,
        name: str,
        *,
        minimum: int = 0,
        maximum: int | None = None,
        default: str | None = None,
        required: bool = False,
        nullable: bool = False,
    ) -> str | None:
        value = self.values.get(name, ABSENT)
        if (value is ABSENT and not required) or (value is None and nullable):
            return default
        if not isinstance(value, str):
            self._mistyped(name, "string", value)
            return default
        self._bounded(name, value, minimum=minimum, maximum=maximum)
        return value

    def needed(self, name: str, *, minimum: int = 1, maximum: int | None = None) -> str:
        return self.text(name, required=True, minimum=minimum, maximum=maximum) or ""

    def path(self, *, minimum: int = 0) -> str:
        value = (self.text("path", default="/", minimum=minimum) or "").strip()
        return value if value == "/" else value.removesuffix("/")

    def flag(self, name: str) -> bool:
        value = self.values.get(name, False)
        if isinstance(value, bool):
            return value
        self._mistyped(name, "boolean", value)
        return False

    def ttl(self, name: str, *, minimum_ms: float, nullable: bool = False) -> str | None:
        value = self.text(name, nullable=nullable)
        for message in ms.complaints(value, minimum_ms=minimum_ms):
            self.complain(name, code="custom", message=message)
        return value

    def nested(self, name: str, *, required: bool = False) -> "Fields":
        value = self.values.get(name, ABSENT)
        if isinstance(value, dict):
            return Fields(value, prefix=[*self.prefix, name], issues=self.issues)
        if required or value is not ABSENT:
            self._mistyped(name, "object", value)
        return Fields({}, prefix=[*self.prefix, name], issues=[])

    def complain(self, name: str, *, code: str, message: str, **more: object) -> None:
        self.issues.append({"code": code, **more, "message": message, "path": [*self.prefix, name]})

    def check(self) -> None:
        if self.issues:
            raise errors.invalid(self.issues)

    def _mistyped(self, name: str, expected: str, value: object) -> None:
        received = type_name(value)
        told = f"Expected {expected}, received {received}"
        message = "Required" if value is ABSENT else told
        self.complain(
            name, code="invalid_type", message=message, expected=expected, received=received
        )

    def _bounded(self, name: str, value: str, *, minimum: int, maximum: int | None) -> None:
        facts: dict[str, object] = {"type": "string", "inclusive": True, "exact": False}
        if len(value) < minimum:
            told = f"String must contain at least {minimum} character(s)"
            self.complain(name, code="too_small", message=told, minimum=minimum, **facts)
        if maximum is not None and len(value) > maximum:
            told = f"String must contain at most {maximum} character(s)"
            self.complain(name, code="too_big", message=told, maximum=maximum, **facts)


def of_body(body: object) -> Fields:
    """The body's fields; what isn't an object is one issue with an empty path."""
    if isinstance(body, dict):
        return Fields(body)
    received = type_name(body)
    message = "Required" if body is ABSENT else f"Expected object, received {received}"
    issue: dict[str, object] = {
        "code": "invalid_type",
        "expected": "object",
        "received": received,
        "path": [],
        "message": message,
    }
    raise errors.invalid([issue])


def check_path(path: str) -> None:
    """The folder lookup's own check, which comes after validation and is a 400."""
    inner = path.removeprefix("/")
    if inner and not all(SEGMENT.fullmatch(segment) for segment in inner.split("/")):
        raise errors.bad_request(BAD_PATH)
