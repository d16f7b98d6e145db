"""Renewing: up to what was asked for and never further; what is unclear, a look clears."""

from datetime import timedelta

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from tests.provider.benches import base
from tests.provider.benches.base import Bench, Kind

TICK = timedelta(seconds=3)


async def test_a_renewal_ends_where_it_was_asked_to(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    lease = issued.lease
    for seconds in (250, 300):
        until = lease.expires_at + timedelta(seconds=seconds)
        lease = await adapter.renew(lease, until)
        assert until - TICK <= lease.expires_at <= until
        assert abs(await bench.ends_at(lease) - lease.expires_at) <= TICK
        assert abs((await adapter.inspect(lease)).expires_at - lease.expires_at) <= TICK
    assert await bench.works(issued)
    assert await bench.living() == {lease.id}


async def test_a_renewed_credential_outlives_its_first_expiry(bench: Bench) -> None:
    bench.need("renewal")
    adapter = bench.adapter()
    issued = await bench.issued(adapter, ttl=bench.least_ttl)
    renewed = await adapter.renew(issued.lease, issued.lease.expires_at + timedelta(seconds=600))
    await bench.until_dead(await bench.issued(adapter, ttl=bench.least_ttl))
    assert await bench.works(issued)
    assert (await adapter.inspect(renewed)).id == renewed.id


async def test_a_lease_is_never_shortened(bench: Bench) -> None:
    adapter = bench.adapter()
    lease = (await bench.issued(adapter)).lease
    before = await bench.ends_at(lease)
    for until in (lease.expires_at, lease.expires_at - timedelta(seconds=300)):
        with pytest.raises(errors.CannotRenew) as caught:
            await adapter.renew(lease, until)
        assert caught.value.reason is Reason.RENEWAL_TOO_SOON
    assert await bench.ends_at(lease) == before


async def test_a_renewal_is_cut_to_the_cap(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter, bench.source(Kind.CAPPED), ttl=None)
    lease = issued.lease
    renewed = await adapter.renew(lease, lease.expires_at + timedelta(days=1))
    cap = lease.issued_at + timedelta(seconds=base.CAP)
    assert cap - 2 * TICK <= renewed.expires_at <= cap + timedelta(seconds=1)
    assert renewed.latest is not None
    assert abs(renewed.latest - renewed.expires_at) <= TICK
    assert await bench.works(issued)


async def test_past_the_cap_a_renewal_is_impossible(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter, bench.source(Kind.CAPPED), ttl=None)
    far = issued.lease.expires_at + timedelta(days=1)
    renewed = await adapter.renew(issued.lease, far)
    for known in (renewed, await adapter.inspect(renewed)):
        with pytest.raises(errors.CannotRenew) as caught:
            await adapter.renew(known, far)
        assert caught.value.latest == known.expires_at
    assert await bench.works(issued)


async def test_a_renewal_whose_answer_is_lost_is_cleared_by_a_look(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    lease = issued.lease
    bench.line.lose_answer(bench.routes.renew)
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.renew(lease, lease.expires_at + timedelta(seconds=300))
    assert caught.value.sent
    seen = await adapter.inspect(lease)
    assert abs(seen.expires_at - lease.expires_at - timedelta(seconds=300)) <= TICK
    assert await bench.works(issued)


async def test_a_renewal_that_never_got_there_is_cleared_by_a_look(bench: Bench) -> None:
    adapter = bench.adapter()
    lease = (await bench.issued(adapter)).lease
    bench.line.reset(bench.routes.renew)
    with pytest.raises(errors.Unavailable):
        await adapter.renew(lease, lease.expires_at + timedelta(seconds=300))
    bench.line.clear()
    seen = await adapter.inspect(lease)
    assert abs(seen.expires_at - lease.expires_at) <= TICK
    renewed = await adapter.renew(seen, seen.expires_at + timedelta(seconds=300))
    assert renewed.expires_at > seen.expires_at


async def test_what_cannot_be_renewed_says_so_and_stays_as_it_is(bench: Bench) -> None:
    adapter, source = await bench.unrenewable()
    issued = await bench.issued(adapter, source, ttl=None)
    lease = issued.lease
    assert not adapter.capabilities(lease.handle).renewable
    with pytest.raises(errors.CannotRenew) as caught:
        await adapter.renew(lease, lease.expires_at + timedelta(seconds=300))
    assert caught.value.reason is Reason.CANNOT_RENEW
    assert caught.value.latest == lease.expires_at
    assert bench.line.counted(bench.routes.renew) == 0
    assert (await adapter.inspect(lease)).expires_at >= lease.expires_at
    assert await bench.works(issued)


async def test_a_renewal_while_the_backend_is_down_ends_nothing(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    until = issued.lease.expires_at + timedelta(seconds=300)
    async with bench.backend_down():
        try:
            await adapter.renew(issued.lease, until)
        except errors.Unavailable:  # CannotRenew would replace what an outage has to leave alone
            assert await bench.works(issued)
    seen = await adapter.inspect(issued.lease)
    assert seen.expires_at >= issued.lease.expires_at - TICK
    assert await bench.works(issued)
