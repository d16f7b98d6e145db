"""A scripted Infisical behind httpx2's mock transport, a clock that is turned by hand."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email import utils
from typing import Any

import httpx2

from leaseholder import errors
from leaseholder.api import provider, refs
from leaseholder.api.conditions import Reason
from leaseholder.ports.credentials import Access
from leaseholder.ports.provider import Attempt, ProviderObject
from leaseholder.providers import infisical, registry
from leaseholder.providers.kit import accounts
from leaseholder.providers.kit.context import Context
from leaseholder.providers.kit.network import hosts
from leaseholder.providers.settings import InfisicalSettings
from leaseholder.secrecy import Hidden
from tests.unit.clocks import NOW as NOW
from tests.unit.clocks import FakeClock as FakeClock

LOOPBACK = hosts.Hosts.parse("http://127.0.0.1")
"""Lets servers of the tests' own through."""
SOURCE: dict[str, Any] = {
    "projectSlug": "demo",
    "environmentSlug": "prod",
    "path": "/",
    "dynamicSecretName": "Orders-DB",
    "config": {},
}
LOGIN = "/api/v1/auth/universal-auth/login"
LEASES = "/api/v1/dynamic-secrets/leases"
LEASE_ID = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
CANARY = "canary-8f1d"
PROVIDER = ProviderObject("LeaseProvider", "shop", "provider", "provider-uid")
UNIVERSAL: dict[str, Any] = {
    "universalAuth": {
        "clientId": "client",
        "clientSecretRef": {"name": "auth", "key": "secret"},
        "organizationSlug": "sub",
    }
}

Reply = httpx2.Response | Exception
Handler = Callable[[httpx2.Request], Reply]


@dataclass
class FakeCredentialing:
    """Hands out values; counts how often it was asked."""

    values: dict[str, str] = field(default_factory=lambda: {"secret": f"{CANARY}-secret"})
    bundle: str | None = None
    reads: int = 0
    tokens: int = 0
    audiences: list[str] = field(default_factory=list)

    async def secret_value(self, ref: refs.SecretKeyRef) -> Hidden:
        self.reads += 1
        if ref.key not in self.values:
            raise errors.Denied(Reason.AUTH_MISSING, "no such key")
        return Hidden(self.values[ref.key])

    async def service_account_token(self, ref: refs.ServiceAccountRef, audience: str) -> Hidden:
        self.tokens += 1
        self.audiences.append(audience)
        return Hidden(f"{CANARY}-sa-{self.tokens}")

    async def ca_bundle(self) -> str | None:
        return self.bundle


def jwt(**claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part(claims)}.{CANARY}-signature"


def ok(**body: Any) -> httpx2.Response:
    return httpx2.Response(200, json=body)


def refused(status: int, message: object, error: str = "BadRequest") -> httpx2.Response:
    body = {"reqId": "req-abc123", "statusCode": status, "message": message, "error": error}
    return httpx2.Response(status, json=body)


def logged_in(token: str = f"{CANARY}-token", expires_in: int = 7200) -> httpx2.Response:
    return ok(accessToken=token, expiresIn=expires_in, accessTokenMaxTTL=0, tokenType="Bearer")


def stamp(seconds: float) -> str:
    """A moment as the server writes it: with milliseconds."""
    moment = NOW + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wire_lease(*, created: float = 0.25, expires: float = 3600.0, **more: Any) -> dict[str, Any]:
    return {
        "id": LEASE_ID,
        "version": 1,
        "externalEntityId": "role",
        "expireAt": stamp(expires),
        "createdAt": stamp(created),
        "updatedAt": stamp(created),
        "status": None,
        "statusDetails": None,
        "config": None,
        "somethingNew": {"x": 1},
        **more,
    }


def wire_secret(kind: str = "sql-database", **more: Any) -> dict[str, Any]:
    return {
        "name": "orders-db",
        "type": kind,
        "defaultTTL": "1h",
        "maxTTL": "24h",
        "status": None,
        **more,
    }


def created(kind: str = "sql-database", **data: Any) -> httpx2.Response:
    values = data or {"DB_USERNAME": "role", "DB_PASSWORD": f"{CANARY}-password"}
    return ok(lease=wire_lease(), dynamicSecret=wire_secret(kind), data=values)


def attempt(**changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "installation": "kube-1/leaseholder",
        "attempt_id": "attempt-1",
        "source": SOURCE,
        "ttl_seconds": 3600,
        "started_at": NOW,
        "deadline": NOW + timedelta(seconds=30),
    }
    return Attempt(**(values | changes))


class Server:
    """Answers by method and path; remembers what was asked."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.replies: dict[tuple[str, str], list[Reply | Handler]] = {}
        self.requests: list[httpx2.Request] = []
        self.elsewhere: list[Reply | Handler] = []
        """The reply to what isn't expected; a test that expects everything has none."""
        self.spoil: Callable[[httpx2.Response], httpx2.Response] = lambda reply: reply
        """What the network makes of each answer."""
        self.say("POST", LOGIN, lambda _: logged_in())

    def say(self, method: str, path: str, *replies: Reply | Handler) -> None:
        """The replies in turn; the last one stays."""
        self.replies[method, path] = list(replies)

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        expected = self.replies.get((request.method, request.url.path))
        queue = expected or self.elsewhere
        assert queue, f"not expected: {request.method} {request.url.path}"
        reply = queue.pop(0) if len(queue) > 1 else queue[0]
        if callable(reply) and not isinstance(reply, httpx2.Response):
            reply = reply(request)
        if isinstance(reply, Exception):
            raise reply
        copied = httpx2.Response(reply.status_code, headers=reply.headers, content=reply.content)
        moment = self.clock.wall().timestamp()
        copied.headers.setdefault("date", utils.formatdate(moment, usegmt=True))
        return self.spoil(copied)

    def count(self, path: str, method: str | None = None) -> int:
        return len(self.asked(path, method))

    def asked(self, path: str, method: str | None = None) -> list[httpx2.Request]:
        return [r for r in self.requests if r.url.path == path and method in (None, r.method)]


def body(request: httpx2.Request) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(request.content)
    return parsed


def way_to(
    url: str,
    *,
    clock: FakeClock | None = None,
    credentialing: FakeCredentialing | None = None,
    limits: provider.Limits | None = None,
    **more: Any,
) -> Context:
    """What a client of some server is made of."""
    spec = provider.ProviderSpec(limits=limits or provider.Limits())
    return Context(
        access=Access(spec=spec, of=PROVIDER),
        credentialing=credentialing or FakeCredentialing(),
        base_url=url,
        clock=clock or FakeClock(),
        **({"observe": lambda *_: None} | more),
    )


@dataclass
class Bench:
    """An adapter before a scripted server."""

    clock: FakeClock
    server: Server
    credentialing: FakeCredentialing
    adapter: infisical.InfisicalAdapter
    observed: list[tuple[str, str]]
    shared: accounts.Accounts


def bench(
    auth: Mapping[str, Any] | None = None,
    *,
    limits: provider.Limits | None = None,
    settings: InfisicalSettings | None = None,
    beside: Bench | None = None,
) -> Bench:
    """An adapter at a fake server; ``beside`` another one, at its server, with its logins."""
    clock = beside.clock if beside else FakeClock()
    server = beside.server if beside else Server(clock)
    shared = beside.shared if beside else accounts.Accounts(clock.monotonic)
    credentialing = FakeCredentialing()
    spec = provider.ProviderSpec.model_validate(
        {
            "infisical": {
                "url": "https://infisical.test/api/",
                "auth": UNIVERSAL if auth is None else auth,
            },
            "limits": (limits or provider.Limits()).dump(),
        }
    )
    observed: list[tuple[str, str]] = []

    def observe(operation: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        observed.append((operation, outcome))

    context = Context(
        access=Access(spec=spec, of=PROVIDER),
        credentialing=credentialing,
        base_url=registry.address(spec),
        clock=clock,
        observe=observe,
        accounts=shared,
        transport=httpx2.MockTransport(server),
    )
    known = context.access.spec.infisical
    assert known is not None
    adapter = infisical.InfisicalAdapter(context, known, settings or InfisicalSettings())
    return Bench(clock, server, credentialing, adapter, observed, shared)
