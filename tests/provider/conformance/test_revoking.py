"""Revoking: done means dead, and what isn't done is said and stays to be revoked."""

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Lease, Provider
from tests.provider.benches.base import Bench


async def is_over(adapter: Provider, lease: Lease) -> bool:
    """Whether a revocation says that nothing is pending any more."""
    try:
        return (await adapter.revoke(lease)).done
    except errors.LeaseGone:
        return True


async def test_a_revoked_credential_is_dead(bench: Bench) -> None:
    adapter = bench.adapter()
    issued, other = [await bench.issued(adapter) for _ in range(2)]
    assert (await adapter.revoke(issued.lease)).done
    assert not await bench.works(issued)
    assert await bench.works(other)
    assert await bench.living() == {other.lease.id}
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(issued.lease)


async def test_a_revocation_can_be_said_again(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    assert (await adapter.revoke(issued.lease)).done
    for revoking in (adapter, bench.adapter()):
        assert await is_over(revoking, issued.lease)
    assert not await bench.works(issued)


async def test_a_lease_that_was_revoked_outside_is_not_pending(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    await bench.revoke_outside(issued.lease)
    assert await is_over(adapter, issued.lease)
    assert not await bench.works(issued)


async def test_a_lost_revocation_is_over_when_it_is_said_again(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    bench.line.lose_answer(bench.routes.revoke)
    with pytest.raises(errors.Unavailable):
        await adapter.revoke(issued.lease)
    assert await is_over(adapter, issued.lease)
    assert not await bench.works(issued)
    assert await bench.living() == set()


async def test_a_revocation_while_the_backend_is_down_is_not_done(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    async with bench.backend_down():
        revocation = await adapter.revoke(issued.lease)
        assert (revocation.done, revocation.reason) == (False, Reason.FAILED_TO_DELETE)
        assert revocation.sentence
    assert await bench.works(issued)
    assert (await adapter.revoke(issued.lease)).done
    assert not await bench.works(issued)
    assert await bench.living() == set()


async def test_a_revocation_that_the_backend_refuses_is_not_done(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    async with bench.revocations_refused():
        for _ in range(2):
            revocation = await adapter.revoke(issued.lease)
            assert (revocation.done, revocation.reason) == (False, Reason.FAILED_TO_DELETE)
            assert await bench.works(issued)
    assert (await adapter.revoke(issued.lease)).done
    assert not await bench.works(issued)
