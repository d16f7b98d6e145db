"""Keyhouse for the conformance suite."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, cast

from leaseholder.api import base as models
from leaseholder.api import provider, refs
from leaseholder.ports.provider import Lease, Provider
from leaseholder.providers import registry
from leaseholder.providers.settings import ProviderSettings
from tests.provider.benches import base
from tests.provider.benches import line as lines
from tests.provider.example import house as houses
from tests.provider.example import keyhouse
from tests.world import certificates

_CLASSES = {
    base.Kind.PLAIN: "front",
    base.Kind.CAPPED: "cellar",
    base.Kind.MISSING: "attic",
}


class Server(models.Model):
    """A Keyhouse server, as in a provider's spec."""

    url: str
    name: str
    password: refs.SecretKeyRef


class Spec(provider.ProviderSpec):
    """What the API's model would be with Keyhouse in it."""

    keyhouse: Server | None = None


class Settings(ProviderSettings):
    """The same of the settings: seconds to wait for an answer."""

    keyhouse: float = 15.0


class Adapters(base.Adapters):
    """Builds adapters by the registry, with Keyhouse in it."""

    spec = Spec
    registered = (*registry.ADAPTERS, keyhouse.ADAPTER)


class KeyhouseBench(base.Bench):
    """See ``base.Bench``."""

    provider = "keyhouse"
    lacks: ClassVar = {"Sweep": "its author left it out"}
    builder = Adapters
    least_ttl = 2
    right = "right keys:"
    routes = lines.Routes(
        issue=lines.Route("POST", "/keys$"),
        renew=lines.Route("POST", "/keys/[^/]+/extend"),
        look=lines.Route("GET", "/keys/"),
        revoke=lines.Route("DELETE", "/keys/"),
        login=lines.Route("POST", "/login"),
    )

    def __init__(self, line: lines.Line, house: houses.House) -> None:
        super().__init__(line)
        self.house = house
        for login in base.Login:
            life = 2 if login is base.Login.SHORT else houses.HOUR
            self.values.held[login] = f"password-of-{login}"
            house.passwords[login] = (f"password-of-{login}", life)

    def source(self, kind: base.Kind) -> Mapping[str, Any]:
        return {"keyClass": _CLASSES[kind]}

    async def unrenewable(self) -> tuple[Provider, Mapping[str, Any]]:
        return self.adapter(), {"keyClass": "guest"}

    async def living(self) -> set[str]:
        return {key.id for key in self.house.living()}

    async def ends_at(self, lease: Lease) -> datetime:
        return self.house.keys[lease.id].ends_at

    async def revoke_outside(self, lease: Lease) -> None:
        self.house.revoke(lease.id)

    async def end_login(self) -> None:
        self.house.tokens.clear()

    async def outlive_login(self) -> None:
        async def over() -> bool:
            now = datetime.now(next(iter(self.house.tokens.values())).tzinfo)
            return all(ends <= now for ends in self.house.tokens.values())

        await self.until(over, "the login has ended")

    def mistype_login(self) -> None:
        self.values.held["right"], self.values.held["ours"] = self.values.held["ours"], "wrong"

    def correct_login(self) -> None:
        self.values.held["ours"] = self.values.held.pop("right")

    async def take_rights(self) -> None:
        self.house.has_rights = False

    async def give_rights(self) -> None:
        self.house.has_rights = True

    @contextlib.asynccontextmanager
    async def backend_down(self) -> AsyncIterator[None]:
        self.house.locks_answer = False
        try:
            yield
        finally:
            self.house.locks_answer = True

    def revocations_refused(self) -> contextlib.AbstractAsyncContextManager[None]:
        return self.backend_down()

    def _server(self, login: base.Login) -> Mapping[str, Any]:
        return {"name": str(login), "password": {"name": "auth", "key": str(login)}}

    def _settings(self, patience: float) -> ProviderSettings:
        return Settings(keyhouse=patience)

    async def _lets_in(self, credentials: Mapping[str, str]) -> bool:
        return self.house.lets_in(credentials["name"], credentials["password"])

    def _credentials_in(self, body: bytes) -> Mapping[str, str]:
        return cast("Mapping[str, str]", json.loads(body).get("secret", {}))


@contextlib.asynccontextmanager
async def opened(files: certificates.ServerFiles) -> AsyncIterator[KeyhouseBench]:
    """A house of our own, behind a line."""
    async with houses.opened() as (house, url), lines.laid(url, files) as line:
        bench = KeyhouseBench(line, house)
        try:
            yield bench
        finally:
            await bench.adapters.aclose()
