"""One life of a lease at each provider, before a server that errs as a case says.

What every port promises is checked after each operation: nothing but ``EdgeError`` is raised, no
credential shows, few requests are sent, and what is returned can be kept on record.
"""

import asyncio
import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import httpx2

from leaseholder import errors
from leaseholder.api import provider, record
from leaseholder.core import arrival
from leaseholder.ports.provider import Health, Lease, Provider
from tests.fuzz import answers
from tests.unit.clocks import NOW, FakeClock
from tests.unit.providers import baosupport, phasebench, support

MOST_REQUESTS: Final = 25
"""Of one operation, the login and looks that it takes included."""
LONGEST_ID: Final = 1024
_SECRET: Final = "/api/v1/dynamic-secrets/orders-db"
_PROJECT: Final = "/api/v1/projects/b0e5"
_ATTEMPT: Final = record.RecordedLease.model_validate(
    {
        "attemptId": "attempt-1",
        "holderUid": "uid",
        "state": "Attempt",
        "provider": {
            "type": "infisical",
            "kind": "LeaseProvider",
            "name": "infisical",
            "uid": "provider",
            "address": "https://infisical.example",
        },
        "sourceHash": "hash",
        "startedAt": NOW,
        "deadline": NOW,
    }
)
"""What is on record before its answer comes."""


class Told(logging.Handler):
    """All log lines of one life, DEBUG included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@dataclass(frozen=True, slots=True)
class Spoiling:
    """A good server's answers, spoiled from some request on."""

    server: support.Server
    mess: answers.Mess
    first: int
    """The first request whose answer is spoiled."""
    count: int
    """So many answers are."""

    def __call__(self, answer: httpx2.Response) -> httpx2.Response:
        number = len(self.server.requests) - 1
        if not self.first <= number < self.first + self.count:
            return answer
        status, headers, content = self.mess.made_of(answer.status_code, answer.content)
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        return httpx2.Response(status, headers=raw, stream=httpx2.ByteStream(content))


@dataclass
class Life:
    """An adapter, its server, and what was seen."""

    clock: FakeClock
    server: support.Server
    adapter: Provider
    source: Mapping[str, Any]
    held: Lease
    failures: list[errors.EdgeError] = field(default_factory=list)

    async def run(self) -> None:
        """Everything that is ever asked of a provider, once."""
        attempt = support.attempt(source=self.source)
        health = await self._try(self.adapter.check)
        if health is not None:
            _fits_status(health)
        notes = await self._try(lambda: self.adapter.prepare(attempt))
        if notes is not None:
            json.dumps(dict(notes), allow_nan=False)
            attempt = replace(attempt, handle=notes)
        issued = await self._try(lambda: self.adapter.issue(attempt))
        lease = self.held
        if issued is not None:
            lease = _sound(issued.lease)
            json.dumps(issued.credentials.reveal()).encode()
            assert answers.CANARY not in repr(issued)
        seen = await self._try(lambda: self.adapter.inspect(lease))
        lease = lease if seen is None else _sound(seen)
        self.clock.move(1800)
        until = NOW + timedelta(seconds=5400)
        longer = await self._try(lambda: self.adapter.renew(lease, until))
        lease = lease if longer is None else _sound(longer)
        await self._try(lambda: self.adapter.revoke(lease, force=True))
        found = await self._try(lambda: self.adapter.recover(attempt))
        for one in found or ():
            _sound(one)
        self.adapter.capabilities(lease.handle)
        _ = self.adapter.now()

    async def _try(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        before, result = len(self.server.requests), None
        try:
            result = await ask()
        except errors.EdgeError as error:
            self.failures.append(_fit_to_be_told(error))
        assert len(self.server.requests) - before <= MOST_REQUESTS
        assert answers.CANARY not in repr(result)
        return result


def _fits_status(health: Health) -> None:
    provider.ProviderStatus(
        capabilities=health.capabilities,
        server_version=health.server_version,
        clock_skew_seconds=health.clock_skew,
    )


def _fit_to_be_told(error: errors.EdgeError) -> errors.EdgeError:
    assert answers.CANARY not in shown(error)
    assert 0 < len(error.sentence) < 4000
    assert error.sentence.isprintable()
    return error


def _sound(lease: Lease) -> Lease:
    """A lease that a record can keep; no credential stands in it."""
    held = arrival.with_answer(_ATTEMPT, lease, record.State.HELD)
    text = json.dumps(held.dump(), allow_nan=False)
    assert record.RecordedLease.model_validate_json(text).lease_id == lease.id
    assert 0 < len(lease.id) <= LONGEST_ID
    assert lease.id.isprintable()
    assert answers.CANARY not in text
    return lease


def shown(error: BaseException | None) -> str:
    """All that an exception, and those behind it, could show."""
    parts = [] if error is None else traceback.format_exception(error)
    return "\n".join([*parts, *(f"{e} {e!r} {e.args!r} {vars(e)!r}" for e in _chain(error))])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def infisical(mess: answers.Mess, first: int, count: int) -> Life:
    """A life at Infisical; its project is given by id."""
    bench = support.bench()
    found = support.ok(lease=support.wire_lease(), dynamicSecret=support.wire_secret())
    lease = f"{support.LEASES}/{support.LEASE_ID}"
    tag = {"leaseholder": {"installation": "kube-1/leaseholder", "attempt": "attempt-1"}}
    say = bench.server.say
    say("GET", "/api/status", support.ok(version="1.2.3"))
    say("GET", _PROJECT, support.ok(project={"slug": "demo"}))
    say("GET", _SECRET, support.ok(dynamicSecret=support.wire_secret()))
    say("POST", support.LEASES, support.created())
    say("GET", lease, found)
    say("POST", f"{lease}/renew", support.ok(lease=support.wire_lease(expires=5400.0)))
    say("DELETE", lease, found)
    say("GET", f"{_SECRET}/leases", support.ok(leases=[support.wire_lease(config=tag)]))
    source = {**support.SOURCE, "projectId": "b0e5"}
    del source["projectSlug"]
    held = Lease(
        id=support.LEASE_ID,
        source=source,
        issued_at=NOW,
        expires_at=NOW + timedelta(seconds=3600),
        handle={"type": "sql-database", "renewable": True, "maxTTL": 86_400},
    )
    return _life(bench, source, held, mess, first, count)


def phase(mess: answers.Mess, first: int, count: int) -> Life:
    """A life at Phase, with an account that is ours alone."""
    bench = phasebench.bench(exclusive=True)
    say = bench.server.say
    say("GET", phasebench.LEASES, phasebench.answer([phasebench.wire_lease()]))
    told = f"Lease renewed successfully. Updated expiry: {phasebench.stamp(5400.25)}"
    say("PUT", phasebench.LEASES, phasebench.answer({"message": told}))
    revoked = {"message": "Lease revoked successfully."}
    say("DELETE", phasebench.LEASES, phasebench.answer(revoked))
    return _life(bench, phasebench.SOURCE, phasebench.held(), mess, first, count)


def openbao(mess: answers.Mess, first: int, count: int) -> Life:
    """A life at OpenBao."""
    bench = baosupport.bench()
    say = bench.server.say
    say("POST", baosupport.RENEW, baosupport.renewed(5400))
    say("POST", baosupport.RENEW_TOKEN, baosupport.auth(lease_duration=5400))
    say("POST", baosupport.REVOKE, httpx2.Response(204))
    say("POST", baosupport.REVOKE_TOKEN, httpx2.Response(204))
    held = Lease(
        id=baosupport.LEASE_ID,
        source=baosupport.SOURCE,
        issued_at=NOW,
        expires_at=NOW + timedelta(seconds=3600),
        handle={"accessor": "acc", "tokenEndsAt": baosupport.moment(3600)},
    )
    return _life(bench, baosupport.SOURCE, held, mess, first, count)


def _life(
    bench: Any, source: Mapping[str, Any], held: Lease, mess: answers.Mess, *when: int
) -> Life:
    first, count = when
    bench.server.spoil = Spoiling(bench.server, mess, first, count)
    bench.server.elsewhere = [httpx2.Response(404, json={"errors": ["no handler for route"]})]
    return Life(bench.clock, bench.server, bench.adapter, source, held)


PROVIDERS: Final = {"infisical": infisical, "phase": phase, "openbao": openbao}


def lived(life: Life) -> list[errors.EdgeError]:
    """Let it happen; the failures that a user would be told of."""
    told = Told()
    root, ours = logging.getLogger(), logging.getLogger("leaseholder")
    level = ours.level
    root.addHandler(told)
    ours.setLevel(logging.DEBUG)
    try:
        asyncio.run(_within(life))
    finally:
        root.removeHandler(told)
        ours.setLevel(level)
    assert answers.CANARY not in "\n".join(told.lines)
    return life.failures


async def _within(life: Life) -> None:
    async with asyncio.timeout(20):
        try:
            await life.run()
        finally:
            await life.adapter.aclose()
