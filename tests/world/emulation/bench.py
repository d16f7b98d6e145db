"""What an emulator's own tests hold in hand: a server, its admin, and a session of their own."""

import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from tests.world import processes


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read; ``body`` is text where it isn't JSON."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def message(self) -> Any:
        return self.body["message"]

    @property
    def error(self) -> Any:
        return self.body["error"]


@dataclasses.dataclass(slots=True)
class Bench:
    """A running emulator and a session."""

    url: str
    session: aiohttp.ClientSession

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        data: bytes | None = None,
    ) -> Reply:
        """Send a request with a JSON body, with bytes, or with none."""
        sent = dict(headers or {})
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        async with self.session.request(
            method, self.url + path, params=query, headers=sent, data=data
        ) as response:
            is_json = response.content_type == "application/json"
            text = await response.text()
            read = json.loads(text) if is_json and text else text
            return Reply(response.status, read, response.headers.copy())

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for a condition, not for time."""
        await processes.wait_until_async(condition, what="what the test waits for", interval=0.01)


@contextlib.asynccontextmanager
async def opened_session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        # Else aiohttp sends a GET whose answer was lost a second time by itself: two leases.
        session._retry_connection = False
        yield session
