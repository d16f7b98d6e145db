"""Logins and rights: what ends is made anew, what is refused is told and not tried again."""

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from tests.provider.benches.base import Bench, Login


async def test_a_login_that_expired_is_made_anew_within_the_call(bench: Bench) -> None:
    adapter = await bench.logged_in(Login.SHORT)
    issued = await bench.issued(adapter)
    await bench.outlive_login()
    assert (await adapter.inspect(issued.lease)).id == issued.lease.id
    assert await bench.works(await bench.issued(adapter))
    assert (await adapter.revoke(issued.lease)).done
    assert not await bench.works(issued)


@pytest.mark.parametrize("call", ["look", "issue", "revoke"])
async def test_a_login_that_was_revoked_is_made_anew_within_the_call(
    bench: Bench, call: str
) -> None:
    adapter = await bench.logged_in()
    issued = await bench.issued(adapter)
    await bench.end_login()
    match call:
        case "look":
            assert (await adapter.inspect(issued.lease)).id == issued.lease.id
        case "issue":
            assert await bench.works(await bench.issued(adapter))
        case _:
            assert (await adapter.revoke(issued.lease)).done
            assert not await bench.works(issued)


async def test_a_wrong_login_is_told_and_tried_once(bench: Bench) -> None:
    bench.mistype_login()
    adapter = bench.adapter()
    for _ in range(5):
        with pytest.raises(errors.Denied) as caught:
            await adapter.check()
        assert caught.value.reason is Reason.LOGIN_REFUSED
    assert bench.line.counted(bench.routes.login) == 1
    with pytest.raises(errors.Denied):
        await bench.issued(adapter)
    assert bench.line.counted(bench.routes.issue) == 0


async def test_a_wrong_login_that_was_corrected_is_tried_at_once(bench: Bench) -> None:
    bench.mistype_login()
    adapter = bench.adapter()
    with pytest.raises(errors.Denied):
        await adapter.check()
    bench.correct_login()
    await adapter.check()
    assert await bench.works(await bench.issued(adapter))


async def test_a_missing_right_is_named_and_counts_once_it_is_given(bench: Bench) -> None:
    await bench.take_rights()
    adapter = bench.adapter()
    with pytest.raises(errors.Denied, match=bench.right) as caught:
        await bench.issued(adapter)
    assert caught.value.reason is Reason.DENIED
    assert await bench.living() == set()
    await bench.give_rights()
    assert await bench.works(await bench.issued(adapter))


async def test_a_right_that_is_taken_away_leaves_leases_pending(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    await bench.take_rights()
    for call in (adapter.inspect, adapter.revoke):
        with pytest.raises(errors.Denied, match=bench.right) as caught:
            await call(issued.lease)
        assert caught.value.reason is Reason.DENIED
    assert await bench.works(issued)
    await bench.give_rights()
    assert (await adapter.revoke(issued.lease)).done
    assert not await bench.works(issued)
