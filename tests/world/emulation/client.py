"""The admin API with types: what every emulator's client can do."""

import types
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Self

import aiohttp
import pydantic

from tests.world.emulation import models
from tests.world.emulation.state import Seed, Switches


class Request(pydantic.BaseModel):
    """A request as the emulator logged it; status 0 is an answer that was lost."""

    time: pydantic.AwareDatetime
    method: str
    route: str
    path: str
    status: int
    milliseconds: float


class Counters(models.Model):
    """Requests by route and by status."""

    by_route: dict[str, int]
    by_status: dict[str, int]
    in_flight: int
    peak_in_flight: int


class Admin(Generic[Switches, Seed]):
    """The control API of a running emulator."""

    switches: ClassVar[type[models.Switches]]

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use it as a context manager")
        return self._session

    async def seed(self, seed: Seed) -> None:
        """Add to the server's state, or change it."""
        await self.act("seed", seed.model_dump(mode="json", by_alias=True))

    async def state(self) -> dict[str, Any]:
        """What was planted, logins in plain."""
        return await self.act("state")

    async def turn(self, **changes: object) -> Switches:
        """Move switches, by their names on the wire, e.g. ``minTtlSeconds=2``."""
        turned: Any = self.switches.model_validate(await self.act("switches", changes))
        return turned  # type: ignore[no-any-return]

    async def log(self) -> list[Request]:
        return [Request.model_validate(one) for one in (await self.act("log"))["requests"]]

    async def counters(self) -> Counters:
        return Counters.model_validate(await self.act("counters"))

    async def reset_counters(self) -> None:
        """Empty the log and start counting anew."""
        await self.act("reset")

    async def act(self, name: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        async with self.session.post(f"{self.url}/__admin/{name}", json=body or {}) as answer:
            parsed: dict[str, Any] = await answer.json()
            if answer.status != 200:
                raise RuntimeError(f"{name}: {answer.status} {parsed.get('message')}")
            return parsed
