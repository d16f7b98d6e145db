"""Lists of leases: shared, never older than the question, seldom where they take long."""

import asyncio
import contextlib
import json
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from leaseholder import circuit, errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Lease
from leaseholder.providers.kit import answer_memory, answers, requests
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.phase import histories, rows
from tests.unit.providers import phasebench, support

ROWS = 20_000
SECRET = phasebench.SECRET_ID


class Lists:
    """A server that gives lists, and histories that ask it; a list is there when it is let go."""

    def __init__(self) -> None:
        self.clock = support.FakeClock()
        self.asked: list[requests.Request] = []
        self.let_go: list[asyncio.Event] = []
        self.rows: list[dict[str, Any]] = [phasebench.wire_lease()]
        self.failure: errors.ProviderError | None = None
        self.seconds = 0.0
        self.histories = histories.Histories(
            self.send, 125.0, self.clock.monotonic, self.now, patience=0.02
        )

    def now(self) -> datetime:
        return self.clock.wall()

    async def send(self, request: requests.Request) -> answers.Answer:
        gate = asyncio.Event()
        self.asked.append(request)
        self.let_go.append(gate)
        await gate.wait()
        self.clock.move(self.seconds)
        if self.failure is not None:
            raise self.failure
        assert request.take is not None
        for row in self.rows:
            request.take(row)
        return answers.Answer(status=200, content=b"", listed=True)

    async def of(self, who: str = phasebench.LEASE_ID) -> rows.Listed:
        return await self.histories.of(SECRET, phasebench.SOURCE, "inspect", who, rank=Rank.KEEP)

    async def done(self, *, seconds: float = 0.0, who: str = phasebench.LEASE_ID) -> None:
        """Ask for a list, which takes the server so many seconds."""
        self.seconds = seconds
        asking, before = asyncio.create_task(self.of(who)), len(self.let_go)
        await until(lambda: len(self.let_go) > before)
        self.let_go[-1].set()
        await asyncio.gather(asking, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - of a list that is sent for by a task of its own
            await asyncio.sleep(0)


async def answered(look: Callable[[], Awaitable[Lease]]) -> Lease:
    """What a look shows, asked for until the list is there."""
    async with asyncio.timeout(120):
        while True:
            with contextlib.suppress(errors.Unavailable):
                return await look()


async def test_who_gave_up_is_answered_by_the_list_that_was_sent_for_meanwhile() -> None:
    lists = Lists()
    with pytest.raises(errors.Unavailable) as caught:
        await lists.of()
    assert (caught.value.sent, caught.value.retry_after) == (False, histories.PATIENCE)
    assert "takes long" in caught.value.sentence
    sent_at = lists.now()
    lists.clock.move(60)
    lists.let_go[0].set()
    listed = await lists.of()
    assert (len(lists.asked), listed.sent_at) == (1, sent_at)
    assert rows.named(listed, phasebench.LEASE_ID) is not None


async def test_who_asks_while_a_list_is_under_way_waits_for_the_next() -> None:
    lists = Lists()
    with pytest.raises(errors.Unavailable):
        await lists.of()
    with pytest.raises(errors.Unavailable):
        await lists.of("another")
    lists.let_go[0].set()
    await lists.of()
    await until(lambda: len(lists.let_go) == 2)
    lists.let_go[1].set()
    await lists.of("another")
    assert len(lists.asked) == 2


async def test_the_longer_a_list_takes_the_longer_nobody_sends_for_another() -> None:
    lists = Lists()
    await lists.done(seconds=60)
    with pytest.raises(errors.Unavailable) as caught:
        await lists.of()
    assert caught.value.retry_after == pytest.approx(60 * histories.SHARE + 30)
    assert len(lists.asked) == 1
    quick = Lists()
    await quick.done(seconds=0.001)
    await quick.done(seconds=0.001)
    assert len(quick.asked) == 2


@pytest.mark.parametrize(
    ("failures", "pause"), [(5, 5.0), (6, 10.0), (8, 40.0), (12, histories.LONGEST)]
)
async def test_a_list_that_fails_is_told_and_sent_for_ever_more_seldom(
    failures: int, pause: float
) -> None:
    lists = Lists()
    lists.failure = errors.Unavailable(Reason.UNAVAILABLE, "it is down", sent=False)
    for _ in range(failures):
        lists.clock.move(histories.LONGEST)
        await lists.done()
    with pytest.raises(errors.Unavailable) as caught:
        await lists.of()
    assert (caught.value.sentence, caught.value.retry_after) == ("it is down", pause)
    assert len(lists.asked) == failures


async def test_a_list_is_forgotten_when_nobody_waits_for_it() -> None:
    lists = Lists()
    await lists.done()
    await lists.done()
    assert len(lists.asked) == 2, "an answer is never older than the question"


async def test_looks_cost_little_as_often_as_the_list_is_short_and_leases_are_few() -> None:
    lists = Lists()
    assert lists.histories.probe_seconds(SECRET) == histories.PROBE, "the first will tell"
    await lists.done(seconds=0.1)
    assert lists.histories.probe_seconds(SECRET) == histories.PROBE
    lists.clock.move(60)
    lists.rows = [phasebench.wire_lease(id=f"lease-{n}") for n in range(500)]
    await lists.done(seconds=0.1)
    assert lists.histories.probe_seconds(SECRET) == 250
    lists.clock.move(60)
    await lists.done(seconds=13)
    assert lists.histories.probe_seconds(SECRET) == 1300
    lists.clock.move(600)
    lists.failure = errors.Unavailable(Reason.UNAVAILABLE, "it is down", sent=False)
    await lists.done()
    assert lists.histories.probe_seconds(SECRET) is None


async def test_the_rows_of_a_list_that_broke_off_are_let_go() -> None:
    lists = Lists()
    lists.failure = errors.Unavailable(Reason.UNAVAILABLE, "it broke off", sent=False)
    await lists.done()
    kept = lists.histories._known[SECRET].failure
    assert kept is not None
    assert kept.__traceback__ is None


@pytest.mark.no_cover  # traced, it takes four times as long; shorter lists cover the same lines
async def test_of_twenty_thousand_rows_only_what_may_be_looked_for_is_kept() -> None:
    it = phasebench.bench(exclusive=True)
    former = [
        phasebench.wire_lease(id=f"former-{n}", status="expired", revokedAt=phasebench.stamp(0))
        for n in range(ROWS - 1)
    ]
    content = json.dumps([*former, phasebench.wire_lease()]).encode()
    assert len(content) > requests.LIST
    it.server.say("GET", phasebench.LEASES, phasebench.listed(content))
    turns, counting = 0, True

    async def count() -> None:
        nonlocal turns
        while counting:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    tracemalloc.start()
    try:
        seen = await answered(lambda: it.adapter.inspect(phasebench.held()))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        counting = False
        await counter
    assert seen.id == phasebench.LEASE_ID
    assert most < 2**20
    assert turns >= len(content) / 2048
    attempt = phasebench.attempt(handle=phasebench.NOTES | {"owner": phasebench.ACCOUNT})

    async def found() -> Lease:
        (lease,) = await it.adapter.recover(attempt)
        return lease

    assert (await answered(found)).id == phasebench.LEASE_ID
    with pytest.raises(errors.LeaseGone) as gone:
        await answered(lambda: it.adapter.inspect(phasebench.held(id="former-7")))
    assert gone.value.certain


async def test_lists_that_fail_open_no_circuit_and_keep_nothing_waiting() -> None:
    it = phasebench.bench(limits={"concurrency": 1})
    it.server.say("GET", phasebench.LEASES, phasebench.page(504))
    for _ in range(2 * circuit.OPEN_AFTER):
        with pytest.raises(errors.Unavailable):
            await it.adapter.inspect(phasebench.held())
        it.clock.move(600)
    assert it.server.count(phasebench.LEASES) == 2 * circuit.OPEN_AFTER
    attempt = phasebench.attempt(deadline=support.NOW + timedelta(days=1))
    assert (await it.adapter.issue(attempt)).lease.id == phasebench.LEASE_ID


async def test_lists_that_hang_keep_nothing_waiting() -> None:
    it = phasebench.bench(limits={"concurrency": 1})
    it.server.hangs_at = phasebench.LEASES
    looks = [
        asyncio.create_task(it.adapter.inspect(phasebench.held(handle={"secretId": f"s-{n}"})))
        for n in range(3)
    ]
    await it.server.hanging.wait()
    assert (await it.adapter.issue(phasebench.attempt())).lease.id == phasebench.LEASE_ID
    await it.adapter.aclose()
    await asyncio.gather(*looks, return_exceptions=True)


async def test_a_circuit_that_is_open_holds_lists_back_and_no_list_is_its_trial() -> None:
    it = phasebench.bench()
    it.server.say("GET", phasebench.APPS, phasebench.page(502))
    for _ in range(circuit.OPEN_AFTER):
        with pytest.raises(errors.Unavailable):
            await it.adapter.check()
    it.clock.move(600)
    with pytest.raises(errors.Unavailable):
        await it.adapter.inspect(phasebench.held())
    assert it.server.count(phasebench.LEASES) == 0
    it.server.say("GET", phasebench.APPS, phasebench.answer({"data": []}))
    await it.adapter.check()
    it.server.say("GET", phasebench.LEASES, phasebench.answer([phasebench.wire_lease()]))
    assert (await it.adapter.inspect(phasebench.held())).id == phasebench.LEASE_ID


async def test_a_server_that_calls_everything_active_fills_its_own_room_alone() -> None:
    it = phasebench.bench()
    content = json.dumps([{"status": "active"}] * 39_000).encode()
    it.server.say("GET", phasebench.LEASES, phasebench.listed(content))
    tracemalloc.start()
    try:
        with pytest.raises(errors.Unavailable):
            await it.adapter.inspect(phasebench.held())
        async with asyncio.timeout(60):
            while it.observed[-1:] != [("inspect", "lost")]:  # noqa: ASYNC110 - by a task of its own
                await asyncio.sleep(0.01)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < answer_memory.SERVER + 2**21
