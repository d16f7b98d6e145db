"""Issuing: what is asked for is what comes, or nothing comes."""

import asyncio
import dataclasses
from datetime import timedelta

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from tests.provider.benches import base
from tests.provider.benches.base import Bench, Kind


async def test_a_look_tells_clock_and_abilities_and_leaves_nothing(bench: Bench) -> None:
    adapter = bench.adapter()
    health = await adapter.check()
    assert abs(health.clock_skew) <= 2
    assert {"Renew", "Inspect", "Revoke"} <= set(health.capabilities)
    assert ("Recover" in health.capabilities) is adapter.capabilities({}).recoverable
    assert await bench.living() == set()


async def test_the_credentials_of_a_lease_let_in(bench: Bench) -> None:
    adapter = bench.adapter()
    before = adapter.now()
    issued = await bench.issued(adapter)
    lease = issued.lease
    assert await bench.works(issued)
    assert await bench.living() == {lease.id}
    assert before - timedelta(seconds=2) <= lease.issued_at <= adapter.now()
    assert lease.latest is None or lease.latest >= lease.expires_at


async def test_credentials_show_in_no_note_and_no_repr(bench: Bench) -> None:
    adapter = bench.adapter()
    ready = await bench.prepared(adapter)
    issued = await adapter.issue(ready)
    held = [*issued.credentials.reveal().values(), *bench.values.held.values()]
    shown = repr((issued, issued.lease.handle, ready, adapter))
    assert not [one for one in held if len(one) > 20 and one in shown]


async def test_the_ttl_that_is_asked_for_is_given(bench: Bench) -> None:
    adapter = bench.adapter()
    for ttl in (600, 7200):
        lease = (await bench.issued(adapter, ttl=ttl)).lease
        told = (lease.expires_at - lease.issued_at).total_seconds()
        assert ttl - bench.shortened - 2 <= told <= ttl
        assert abs(await bench.ends_at(lease) - lease.expires_at) <= timedelta(seconds=3)


async def test_without_a_ttl_the_default_is_given(bench: Bench) -> None:
    lease = (await bench.issued(bench.adapter(), ttl=None)).lease
    told = (lease.expires_at - lease.issued_at).total_seconds()
    assert base.DEFAULT_TTL - bench.shortened - 2 <= told <= base.DEFAULT_TTL
    assert abs(await bench.ends_at(lease) - lease.expires_at) <= timedelta(seconds=3)


async def test_a_ttl_above_the_maximum_is_refused_and_leaves_nothing(bench: Bench) -> None:
    adapter = bench.adapter()
    for _ in range(2):
        with pytest.raises(errors.Invalid) as caught:
            await bench.issued(adapter, ttl=base.TOO_LONG)
        assert caught.value.reason is Reason.TTL_TOO_LONG
    assert await bench.living() == set()
    assert await bench.works(await bench.issued(adapter))


async def test_what_is_not_there_is_told_and_leaves_nothing(bench: Bench) -> None:
    adapter = bench.adapter()
    with pytest.raises(errors.Invalid) as caught:
        await bench.issued(adapter, bench.source(Kind.MISSING))
    assert caught.value.reason is Reason.SOURCE_MISSING
    assert await bench.living() == set()


async def test_preparing_makes_no_lease(bench: Bench) -> None:
    adapter = bench.adapter()
    for _ in range(2):
        await bench.prepared(adapter)
    assert await bench.living() == set()


async def test_an_issue_past_its_deadline_is_not_sent(bench: Bench) -> None:
    adapter = bench.adapter()
    ready = await bench.prepared(adapter)
    late = dataclasses.replace(ready, deadline=adapter.now())
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.issue(late)
    assert not caught.value.sent
    assert bench.line.counted(bench.routes.issue) == 0


async def test_leases_that_are_issued_at_once_are_all_different(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await asyncio.gather(*(bench.issued(adapter) for _ in range(4)))
    await bench.until_living(*(one.lease for one in issued))
    assert len({one.lease.id for one in issued}) == 4
    for one in issued:
        assert await bench.works(one)


async def test_an_issue_is_sent_once(bench: Bench) -> None:
    adapter = bench.adapter()
    await bench.lost(adapter)
    assert bench.line.counted(bench.routes.issue) == 1
    assert len(await bench.living()) == 1


async def test_a_slow_answer_is_waited_for(bench: Bench) -> None:
    adapter = bench.adapter()
    ready = await bench.prepared(adapter)
    bench.line.slow(bench.routes.issue, 0.4)
    issued = await adapter.issue(ready)
    assert await bench.works(issued)
    assert await bench.living() == {issued.lease.id}


async def test_an_issue_while_the_backend_is_down_leaves_nothing(bench: Bench) -> None:
    adapter = bench.adapter()
    held = await bench.issued(adapter)
    ready = await bench.prepared(adapter)
    async with bench.backend_down():
        with pytest.raises((errors.Unavailable, errors.Invalid)) as caught:
            await adapter.issue(ready)
        assert caught.value.reason in (Reason.UNAVAILABLE, Reason.BACKEND_FAILED)
        assert not getattr(caught.value, "sent", False)
        assert (await adapter.inspect(held.lease)).id == held.lease.id, "the server itself is up"
    assert await bench.living() == {held.lease.id}
    assert await bench.works(await bench.issued(adapter))
