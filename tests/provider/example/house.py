"""The house of Keyhouse: a server of the made-up API, whose doors really open or don't."""

import dataclasses
import itertools
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiohttp import web

from tests.world import processes

HOUR: Final = 3600
CLASSES: Final = {
    "front": (HOUR, 24 * HOUR, True),
    "cellar": (60, 600, True),
    "guest": (HOUR, 24 * HOUR, False),
}
"""By class its default and longest life in seconds, and whether its keys can be renewed."""


@dataclasses.dataclass(slots=True)
class Key:
    """A key, as the house's books have it; where it is cut, the doors open for it."""

    id: str
    key_class: str
    label: str
    made_at: datetime
    ends_at: datetime
    password: str = dataclasses.field(repr=False)
    cut: bool = True

    def shown(self) -> dict[str, Any]:
        _, longest, renewable = CLASSES[self.key_class]
        moments = {"madeAt": self.made_at.isoformat(), "endsAt": self.ends_at.isoformat()}
        return {
            "id": self.id,
            "label": self.label,
            **moments,
            "longest": longest,
            "renewable": renewable,
        }


class Refused(Exception):
    """A refusal by its status and code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class House:
    """Keys, logins, and switches for what can go wrong."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.passwords: dict[str, tuple[str, int]] = {}
        """By name a password, and how many seconds its tokens live."""
        self.tokens: dict[str, datetime] = {}
        self.locks_answer = self.has_rights = True
        self._count = itertools.count(1)

    def living(self) -> list[Key]:
        return [key for key in self.keys.values() if self._lives(key)]

    def lets_in(self, name: str, password: str) -> bool:
        key = self.keys.get(name)
        return key is not None and self._lives(key) and key.password == password

    def revoke(self, key_id: str) -> None:
        self._living(key_id).cut = False

    def _lives(self, key: Key) -> bool:
        return key.cut and datetime.now(UTC) < key.ends_at

    def _living(self, key_id: str) -> Key:
        key = self.keys.get(key_id)
        if key is None or not self._lives(key):
            raise Refused(404, "no_key")
        return key

    # --------------------------------------------------------------------------------- routes

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/v1/login", self._login)
        application.router.add_route("*", "/v1/{tail:keys.*}", self._guarded)
        return application

    async def _login(self, request: web.Request) -> web.Response:
        asked = await request.json()
        password, life = self.passwords.get(asked["name"], ("", 0))
        if not password or asked["password"] != password:
            return web.json_response({"error": "no_login"}, status=401)
        token = secrets.token_hex(16)
        self.tokens[token] = datetime.now(UTC) + timedelta(seconds=life)
        return web.json_response({"token": token, "expiresIn": life})

    async def _guarded(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            if datetime.now(UTC) >= self.tokens.get(token, datetime.min.replace(tzinfo=UTC)):
                raise Refused(401, "no_token")
            if not self.has_rights:
                raise Refused(403, "no_right")
            return web.json_response(await self._answer(request))
        except Refused as refused:
            return web.json_response({"error": refused.code}, status=refused.status)

    async def _answer(self, request: web.Request) -> Mapping[str, Any]:
        _, *path = request.match_info["tail"].split("/")
        match request.method, path:
            case "POST", []:
                return self._made(await request.json())
            case "GET", []:
                label = request.query["label"]
                return {"keys": [key.shown() for key in self.living() if key.label == label]}
            case "GET", [key_id]:
                return {"key": self._living(key_id).shown()}
            case "POST", [key_id, "extend"]:
                return self._renewed(self._living(key_id), await request.json())
            case "DELETE", [key_id]:
                key = self._living(key_id)
                self._ask_locks()
                key.cut = False
                return {}
        raise Refused(404, "no_route")

    def _ask_locks(self) -> None:
        if not self.locks_answer:
            raise Refused(500, "backend")

    def _made(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        if asked["class"] not in CLASSES:
            raise Refused(404, "no_class")
        default, longest, _ = CLASSES[asked["class"]]
        ttl = default if asked["ttl"] is None else asked["ttl"]
        if ttl > longest:
            raise Refused(422, "ttl_too_long")
        self._ask_locks()
        now = datetime.now(UTC)
        key = Key(
            id=f"key{next(self._count)}",
            key_class=asked["class"],
            label=asked["label"],
            made_at=now,
            ends_at=now + timedelta(seconds=ttl),
            password=secrets.token_hex(16),
        )
        self.keys[key.id] = key
        return {"key": key.shown(), "secret": {"name": key.id, "password": key.password}}

    def _renewed(self, key: Key, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        self._ask_locks()
        _, longest, _ = CLASSES[key.key_class]
        until = min(
            datetime.fromisoformat(asked["until"]), key.made_at + timedelta(seconds=longest)
        )
        key.ends_at = max(key.ends_at, until)
        return {"key": key.shown()}


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[House, str]]:
    """A house, and the url that it is at."""
    house = House()
    runner = web.AppRunner(house.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, processes.LOOPBACK, 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield house, f"http://{host}:{port}"
    finally:
        await runner.cleanup()
