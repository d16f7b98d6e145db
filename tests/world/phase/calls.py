"""One request on its way through: who asks, about which environment, with what."""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.world.phase import emulator as emulators
from tests.world.phase import errors, state

JSON = "application/json"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclasses.dataclass(slots=True)
class Call:
    """A request and the world it falls into."""

    world: emulators.Emulator
    request: web.Request
    query: Mapping[str, str]
    token: state.Token | None = None
    caller: state.Account | None = None
    environment: state.Environment | None = None

    async def body(self) -> Any:
        """The body as the framework reads it; names in it stay as they are."""
        raw = await self.request.read()
        if not raw:
            return {}
        kind = self.request.content_type
        if kind in FORMS:
            return dict(await self.request.post())
        if kind != JSON:
            raise errors.ApiError(415, f'Unsupported media type "{kind}" in request.')
        try:
            return json.loads(raw)
        except ValueError as failure:
            raise errors.ApiError(400, f"JSON parse error - {failure}") from failure

    def may(self, permission: str) -> bool:
        return self.caller is not None and permission in self.caller.role.permissions

    def flag(self, *names: str) -> bool:
        """There, and not ``false``: everything else counts as true."""
        return any(self.query[name].lower() != "false" for name in names if name in self.query)


def snake_cased(query: Mapping[str, str]) -> dict[str, str]:
    """A middleware of the server's does this to the names of the query."""
    return {re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower(): one for name, one in query.items()}
