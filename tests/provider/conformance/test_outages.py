"""Outages on the way: told as what they are, without a second try, and over when they are."""

from datetime import UTC, datetime, timedelta

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Attempt, Issued, Provider
from tests.provider.benches.base import Bench

HASTY = 0.7
"""Seconds of patience, for answers that never come."""


async def test_a_throttle_is_waited_for_as_long_as_told(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    bench.line.answer(bench.routes.look, 429, retry_after=2)
    sent = bench.line.counted(bench.routes.look)
    for _ in range(3):
        with pytest.raises(errors.Throttled) as caught:
            await adapter.inspect(issued.lease)
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= 2
    assert bench.line.counted(bench.routes.look) == sent + 1

    async def passed() -> bool:
        try:
            await adapter.inspect(issued.lease)
        except errors.Throttled:
            return False
        return True

    await bench.until(passed, "the throttle is over")


async def test_a_throttled_issue_made_nothing(bench: Bench) -> None:
    adapter = bench.adapter()
    ready = await bench.prepared(adapter)
    bench.line.answer(bench.routes.issue, 429, retry_after=30)
    with pytest.raises(errors.Throttled) as caught:
        await adapter.issue(ready)
    assert caught.value.retry_after is not None
    assert 29 <= caught.value.retry_after <= 30
    assert bench.line.counted(bench.routes.issue) == 1
    assert await bench.living() == set()


async def test_a_burst_of_server_errors_passes(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    for status in (500, 502, 503, 504):
        bench.line.answer(bench.routes.look, status)
        with pytest.raises(errors.Unavailable) as caught:
            await adapter.inspect(issued.lease)
        assert not caught.value.sent
    assert (await adapter.inspect(issued.lease)).id == issued.lease.id
    for status in (500, 502, 503, 504):
        ready = await bench.prepared(adapter)
        bench.line.answer(bench.routes.issue, status)
        with pytest.raises(errors.Unavailable):
            await adapter.issue(ready)
        await bench.taken_back(adapter, ready)
    assert await bench.living() == {issued.lease.id}
    assert await bench.works(await bench.issued(adapter))


async def test_what_hangs_is_given_up(bench: Bench) -> None:
    issued = await bench.issued(bench.adapter())
    adapter = bench.adapter(patience=HASTY)
    ready = await bench.prepared(adapter)
    for route in (bench.routes.look, bench.routes.issue, bench.routes.revoke):
        bench.line.hang(route)
    await falls_through(bench, adapter, issued, ready)


async def test_what_is_reset_is_told(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    ready = await bench.prepared(adapter)
    for route in (bench.routes.look, bench.routes.issue, bench.routes.revoke):
        bench.line.reset(route)
    await falls_through(bench, adapter, issued, ready)


async def falls_through(bench: Bench, adapter: Provider, issued: Issued, ready: Attempt) -> None:
    """Each call fails in our words; nothing was done, and all is well once the line is."""
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.inspect(issued.lease)
    assert not caught.value.sent
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.issue(ready)
    assert caught.value.sent, "nobody can know"
    with pytest.raises(errors.Unavailable):
        await adapter.revoke(issued.lease)
    bench.line.clear()
    assert await bench.works(issued)
    again = bench.adapter()
    await bench.taken_back(again, ready)
    assert await bench.living() == {issued.lease.id}
    assert (await again.revoke(issued.lease)).done


async def test_a_certificate_that_is_not_trusted_is_told(bench: Bench) -> None:
    bundle, bench.values.bundle = bench.values.bundle, None
    adapter = bench.adapter()
    for call in (adapter.check(), bench.issued(adapter)):
        with pytest.raises(errors.Unavailable) as caught:
            await call
        assert caught.value.reason is Reason.UNTRUSTED
        assert not caught.value.sent
    bench.values.bundle = bundle
    assert await bench.works(await bench.issued(adapter))


@pytest.mark.parametrize("ahead", [600, -600])
async def test_a_clock_ten_minutes_off_changes_nothing(bench: Bench, ahead: int) -> None:
    adapter = bench.adapter(ahead=ahead)
    assert abs((await adapter.check()).clock_skew + ahead) <= 2
    issued = await bench.issued(adapter)
    left = (issued.lease.expires_at - adapter.now()).total_seconds()
    assert 600 - bench.shortened - 3 <= left <= 601
    renewed = await adapter.renew(issued.lease, adapter.now() + timedelta(seconds=900))
    assert abs(await bench.ends_at(renewed) - renewed.expires_at) <= timedelta(seconds=3)
    seen = await adapter.inspect(renewed)
    assert abs(seen.issued_at - datetime.now(UTC)) < timedelta(seconds=10)
    lost = await bench.lost(adapter)
    assert await bench.taken_back(bench.adapter(ahead=ahead), lost) == 1
    await bench.until_living(issued.lease)
    assert (await adapter.revoke(renewed)).done
    assert not await bench.works(issued)
