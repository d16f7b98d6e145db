"""A scripted OpenBao behind httpx2's mock transport: logins work, rights are there."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import utils
from typing import Any

import httpx2

from leaseholder.api import provider
from leaseholder.ports.credentials import Access
from leaseholder.ports.provider import Attempt, Issued, Lease
from leaseholder.providers import openbao, registry
from leaseholder.providers.kit.context import Context
from leaseholder.providers.settings import OpenBaoSettings
from tests.unit.clocks import NOW, FakeClock
from tests.unit.providers import support

CANARY = support.CANARY
PATH = "database/creds/orders"
LEASE_ID = f"{PATH}/SkqA"
LOGIN = "/v1/auth/approle/login"
READ = f"/v1/{PATH}"
RENEW = "/v1/sys/leases/renew"
LOOKUP = "/v1/sys/leases/lookup"
REVOKE = "/v1/sys/leases/revoke"
RENEW_TOKEN = "/v1/auth/token/renew-accessor"
LOOKUP_TOKEN = "/v1/auth/token/lookup-accessor"
REVOKE_TOKEN = "/v1/auth/token/revoke-accessor"
LOOKUP_SELF = "/v1/auth/token/lookup-self"
RENEW_SELF = "/v1/auth/token/renew-self"
REVOKE_SELF = "/v1/auth/token/revoke-self"
RIGHTS = "/v1/sys/capabilities-self"
HEALTH = "/v1/sys/health"
APPROLE: dict[str, Any] = {
    "appRole": {"roleId": "role", "secretIdSecretRef": {"name": "auth", "key": "secret"}}
}
TOKEN: dict[str, Any] = {"token": {"tokenSecretRef": {"name": "auth", "key": "secret"}}}
SOURCE: dict[str, Any] = {"path": PATH, "method": "GET", "parameters": {}}

Reply = httpx2.Response | Exception
Handler = Callable[[httpx2.Request], Reply]


def ok(**body: Any) -> httpx2.Response:
    return httpx2.Response(200, json={"request_id": "r", **body})


def refused(status: int, *texts: str) -> httpx2.Response:
    return httpx2.Response(status, json={"errors": list(texts)})


def moment(seconds: float) -> str:
    """A moment as the server writes it: with nanoseconds."""
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")


def auth(**changes: Any) -> httpx2.Response:
    made = {
        "client_token": f"{CANARY}-token",
        "accessor": "acc",
        "lease_duration": 3600,
        "renewable": True,
        "token_type": "service",
        "num_uses": 0,
    }
    return ok(lease_id="", data=None, auth=made | changes)


def token(ends: float | None = 3600, **changes: Any) -> httpx2.Response:
    seen = {
        "accessor": "acc",
        "creation_time": int(NOW.timestamp()),
        "creation_ttl": 3600,
        "issue_time": moment(0),
        "expire_time": None if ends is None else moment(ends),
        "ttl": int(ends or 0),
        "period": 0,
        "num_uses": 0,
        "renewable": True,
        "type": "service",
        "id": f"{CANARY}-token",
    }
    return ok(data={**seen, **changes})


def leased(seconds: int = 3600, **changes: Any) -> httpx2.Response:
    data = {"username": "v-app", "password": f"{CANARY}-password"}
    body = {"lease_id": LEASE_ID, "lease_duration": seconds, "renewable": True, "data": data}
    return ok(**(body | changes))


def renewed(seconds: int) -> httpx2.Response:
    return leased(seconds, data=None)


def seen(ends: float = 3600, **changes: Any) -> httpx2.Response:
    found = {
        "id": LEASE_ID,
        "issue_time": moment(0),
        "expire_time": moment(ends),
        "renewable": True,
        "ttl": int(ends),
    }
    return ok(data={**found, **changes})


def rights(request: httpx2.Request) -> httpx2.Response:
    return ok(data={path: ["root"] for path in json.loads(request.content)["paths"]})


class Server(support.Server):
    """Answers by method and path."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.say("POST", LOGIN, lambda _: auth())
        self.say("GET", LOOKUP_SELF, lambda _: token())
        self.say("POST", RIGHTS, rights)
        self.say("POST", REVOKE_SELF, httpx2.Response(204))
        self.say("GET", READ, lambda _: leased())
        self.say("POST", LOOKUP_TOKEN, lambda _: token())
        self.say("POST", LOOKUP, lambda _: seen())
        self.say("GET", HEALTH, ok(version="2.7.2", sealed=False, standby=False))


@dataclass
class Bench:
    """An adapter before a scripted server."""

    clock: FakeClock
    server: Server
    credentialing: support.FakeCredentialing
    adapter: openbao.OpenBaoAdapter
    observed: list[tuple[str, str]] = field(default_factory=list)

    async def prepared(self, **changes: Any) -> Attempt:
        attempt = support.attempt(**({"source": SOURCE, "ttl_seconds": None} | changes))
        notes = await self.adapter.prepare(attempt)
        return support.attempt(**({"source": SOURCE, "ttl_seconds": None} | changes), handle=notes)

    async def issued(self, **changes: Any) -> Issued:
        return await self.adapter.issue(await self.prepared(**changes))

    async def lease(self, **changes: Any) -> Lease:
        return (await self.issued(**changes)).lease


def bench(
    auth: Mapping[str, Any] | None = None,
    *,
    namespace: str | None = None,
    settings: OpenBaoSettings | None = None,
) -> Bench:
    clock = FakeClock()
    server = Server(clock)
    credentialing = support.FakeCredentialing()
    spoken: dict[str, Any] = {"url": "https://bao.test/v1/", "auth": auth or APPROLE}
    if namespace:
        spoken["namespace"] = namespace
    spec = provider.ProviderSpec.model_validate({"openbao": spoken})
    observed: list[tuple[str, str]] = []
    context = Context(
        access=Access(spec=spec, of=support.PROVIDER),
        credentialing=credentialing,
        base_url=registry.address(spec),
        clock=clock,
        observe=lambda operation, outcome, _: observed.append((operation, outcome)),
        transport=httpx2.MockTransport(server),
    )
    known = context.access.spec.openbao
    assert known is not None
    adapter = openbao.OpenBaoAdapter(context, known, settings or OpenBaoSettings())
    return Bench(clock, server, credentialing, adapter, observed)


def body(request: httpx2.Request) -> dict[str, Any]:
    return support.body(request)


def in_seconds(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def stamped(clock: FakeClock) -> str:
    return utils.formatdate(clock.wall().timestamp(), usegmt=True)
