"""A scripted Phase behind httpx2's mock transport."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2

from leaseholder.api import provider
from leaseholder.ports.credentials import Access
from leaseholder.ports.provider import Attempt, Lease
from leaseholder.providers import phase, registry
from leaseholder.providers.kit.context import Context
from leaseholder.providers.settings import PhaseSettings
from tests.unit.providers import support

HEX = "0123456789abcdef" * 4
CANARY = support.CANARY
URL = "https://phase.test/v1/"
ROOT = "/service/public"
DYNAMIC = f"{ROOT}/v1/secrets/dynamic/"
LEASES = f"{DYNAMIC}leases/"
APPS = f"{ROOT}/v1/apps/"
WHOAMI = "/service/secrets/tokens/"
ISSUE = "GET lease"
SOURCE: dict[str, Any] = {"appId": "app", "env": "production", "path": "/", "name": "aws"}
SECRET_ID = "e30c989a-e032-4328-8220-5b7e6044808b"
LEASE_ID = "87aef716-9064-4a4a-8079-f5c132693ee2"
ACCOUNT = "66c4693e-dfda-4ba8-9775-6bee658e4915"
NOTES = {"secretId": SECRET_ID, "ttl": 3600, "maxTTL": 86_400}
INTERNAL = "An internal error occurred while {} the lease"


def answer(body: Any) -> httpx2.Response:
    return httpx2.Response(200, json=body)


def listed(content: bytes) -> httpx2.Response:
    """A list, as bytes that are there already."""
    return httpx2.Response(200, content=content, headers={"Content-Type": "application/json"})


def refused(status: int, error: str, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json={"error": error}, headers=headers)


def page(status: int = 200) -> httpx2.Response:
    return httpx2.Response(status, html="<!doctype html><title>Phase Console</title>")


def stamp(seconds: float) -> str:
    moment = support.NOW + timedelta(seconds=seconds)
    return moment.isoformat().replace("+00:00", "Z")


def owner(account: str = ACCOUNT, kind: str = "service_account") -> dict[str, Any]:
    return {"type": kind, "data": {"id": account, "name": "kube-bot", "role": None}}


def wire_lease(*, created: float = 0.2513, expires: float = 3600.25, **more: Any) -> dict[str, Any]:
    return {
        "id": LEASE_ID,
        "name": "aws",
        "description": "",
        "secret": SECRET_ID,
        "ttl": "01:00:00",
        "status": "active",
        "owner": owner(),
        "credentials": [],
        "createdAt": stamp(created),
        "renewedAt": None,
        "expiresAt": stamp(expires),
        "revokedAt": None,
        "deletedAt": None,
        "somethingNew": {"x": 1},
        **more,
    }


def wire_secret(**more: Any) -> dict[str, Any]:
    return {
        "id": SECRET_ID,
        "name": "aws",
        "type": "dynamic",
        "defaultTtl": "01:00:00",
        "maxTtl": "1 00:00:00",
        "keyMap": [{"id": "username", "keyName": "AWS_USERNAME", "keyDigest": "0"}],
        "lease": None,
        **more,
    }


def leased(**more: Any) -> httpx2.Response:
    values = {"AWS_USERNAME": "user", "AWS_SECRET_ACCESS_KEY": f"{CANARY}-key"}
    credentials = [{"key": key, "value": value} for key, value in values.items()]
    return answer([wire_secret(lease=wire_lease(credentials=credentials, **more))])


def attempt(**changes: Any) -> Attempt:
    return support.attempt(**({"source": SOURCE, "handle": NOTES} | changes))


def held(**changes: Any) -> Lease:
    values: dict[str, Any] = {
        "id": LEASE_ID,
        "source": SOURCE,
        "issued_at": support.NOW,
        "expires_at": support.NOW + timedelta(seconds=3600),
        "handle": NOTES,
    }
    return Lease(**(values | changes))


class Server(support.Server):
    """Tells a GET that leases from one that looks."""

    def __init__(self, clock: support.FakeClock) -> None:
        super().__init__(clock)
        self.hangs = False
        self.hangs_at = ""
        self.hanging = asyncio.Event()
        self.say("GET", DYNAMIC, answer([wire_secret()]))
        self.say(ISSUE, DYNAMIC, leased())
        self.say("GET", APPS, answer({"data": []}))
        self.say("GET", WHOAMI, answer({"account_id": ACCOUNT, "wrapped_key_share": CANARY}))

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if self.hangs or request.url.path == self.hangs_at:
            self.hanging.set()
            await asyncio.Event().wait()
        if request.method == "GET" and "lease" in request.url.params:
            queue = self.replies.get((ISSUE, DYNAMIC), [])
            with_lease = self.replies["GET", DYNAMIC]
            self.replies["GET", DYNAMIC] = queue
            try:
                return await super().__call__(request)
            finally:
                self.replies["GET", DYNAMIC] = with_lease
        return await super().__call__(request)

    def issues(self) -> list[httpx2.Request]:
        return [one for one in self.requests if "lease" in one.url.params]

    def looks(self) -> list[httpx2.Request]:
        asked = self.asked(DYNAMIC, "GET")
        return [one for one in asked if "lease" not in one.url.params]


@dataclass
class Bench:
    """An adapter before a scripted server."""

    clock: support.FakeClock
    server: Server
    credentialing: support.FakeCredentialing
    adapter: phase.PhaseAdapter
    observed: list[tuple[str, str]] = field(default_factory=list)


def bench(
    *,
    exclusive: bool = False,
    url: str = URL,
    settings: PhaseSettings | None = None,
    limits: Mapping[str, Any] | None = None,
) -> Bench:
    clock = support.FakeClock()
    server = Server(clock)
    credentialing = support.FakeCredentialing(values={"token": f"ServiceAccount {HEX}"})
    auth = {"tokenSecretRef": {"name": "phase", "key": "token"}}
    spec = provider.ProviderSpec.model_validate(
        {"phase": {"url": url, "auth": auth, "exclusive": exclusive}, "limits": limits or {}}
    )
    observed: list[tuple[str, str]] = []
    context = Context(
        access=Access(spec=spec, of=support.PROVIDER),
        credentialing=credentialing,
        base_url=registry.address(spec),
        clock=clock,
        observe=lambda operation, outcome, _: observed.append((operation, outcome)),
        transport=httpx2.MockTransport(server),
    )
    known = context.access.spec.phase
    assert known is not None
    adapter = phase.PhaseAdapter(context, known, settings or PhaseSettings())
    return Bench(clock, server, credentialing, adapter, observed)
