"""Looking: a lease that lives is shown as it is, one that doesn't is gone."""

import dataclasses
from datetime import timedelta

import pytest

from leaseholder import errors
from leaseholder.ports.provider import Lease, Provider
from tests.provider.benches import base
from tests.provider.benches.base import Bench


async def is_gone(adapter: Provider, lease: Lease) -> bool:
    try:
        await adapter.inspect(lease)
    except errors.LeaseGone:
        return True
    return False


async def test_a_lease_that_lives_is_shown_as_it_is(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    lease = issued.lease
    for looking in (adapter, bench.adapter()):
        seen = await looking.inspect(lease)
        assert (seen.id, seen.source) == (lease.id, lease.source)
        assert abs(seen.expires_at - lease.expires_at) <= timedelta(seconds=2)
        assert abs(seen.expires_at - await bench.ends_at(lease)) <= timedelta(seconds=1)
    assert await bench.works(issued)


async def test_what_a_record_keeps_of_a_lease_is_enough_for_a_new_process(bench: Bench) -> None:
    issued = await bench.issued(bench.adapter())
    kept = dataclasses.replace(issued.lease, latest=None, handle=base.recorded(issued.lease.handle))
    assert bench.adapter().capabilities(kept.handle).renewable
    seen = await bench.adapter().inspect(kept)
    assert abs(seen.expires_at - kept.expires_at) <= timedelta(seconds=2)
    until = kept.expires_at + timedelta(seconds=300)
    renewed = await bench.adapter().renew(kept, until)
    assert timedelta(0) <= until - renewed.expires_at <= timedelta(seconds=3)
    assert (await bench.adapter().revoke(kept)).done
    assert not await bench.works(issued)


async def test_a_lease_ends_by_itself_and_is_gone(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter, ttl=bench.least_ttl)
    lease = issued.lease
    assert await bench.works(issued)
    await bench.until(lambda: is_gone(adapter, lease), "the lease is gone")
    assert adapter.now() >= lease.expires_at - timedelta(seconds=1)
    await bench.until_dead(issued)
    with pytest.raises((errors.LeaseGone, errors.CannotRenew)):
        await adapter.renew(lease, lease.expires_at + timedelta(seconds=600))
    await bench.until_living()


async def test_a_lease_revoked_outside_is_gone(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    await bench.revoke_outside(issued.lease)
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(issued.lease)
    with pytest.raises(errors.LeaseGone):
        await adapter.renew(issued.lease, issued.lease.expires_at + timedelta(seconds=600))
    assert not await bench.works(issued)


async def test_a_look_changes_nothing(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    before = await bench.ends_at(issued.lease)
    for _ in range(3):
        await adapter.inspect(issued.lease)
    assert await bench.ends_at(issued.lease) == before
    assert await bench.living() == {issued.lease.id}
