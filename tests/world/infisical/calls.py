"""One request on its way through: what a handler is given, and the table that finds the handler."""

import dataclasses
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from aiohttp import web

from tests.world.infisical import emulator as emulators
from tests.world.infisical import errors, fields, tokens

Category = Literal["read", "write", "none"]


@dataclasses.dataclass(slots=True)
class Call:
    """A request and the world it falls into."""

    world: emulators.Emulator
    request: web.Request
    params: Mapping[str, str]
    body: object = fields.ABSENT
    holder: tokens.Holder | None = None

    def query(self) -> fields.Fields:
        return fields.Fields(dict(self.request.query))

    def fields(self) -> fields.Fields:
        return fields.of_body(self.body)

    @property
    def caller(self) -> tokens.Holder:
        """Who asks; only routes with authentication may want to know."""
        if self.holder is None:
            raise errors.unauthorized("Token missing")
        return self.holder


Handler = Callable[[Call], Awaitable[object]]


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """A method and a path template such as ``/api/v1/things/{id}``."""

    method: str
    template: str
    handler: Handler
    category: Category = "none"
    authenticated: bool = True

    @property
    def name(self) -> str:
        return f"{self.method} {self.template}"

    def match(self, method: str, path: str) -> dict[str, str] | None:
        if method != self.method:
            return None
        found = _pattern(self.template).fullmatch(path)
        return None if found is None else found.groupdict()


_PATTERNS: dict[str, re.Pattern[str]] = {}


def _pattern(template: str) -> re.Pattern[str]:
    if template not in _PATTERNS:
        named = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
        _PATTERNS[template] = re.compile(named)
    return _PATTERNS[template]
