"""Leases of lost answers: found again by the attempt's record, taken back, and no others."""

import pytest

from leaseholder import errors
from tests.provider.benches import base
from tests.provider.benches.base import Bench, Kind, Login

HASTY = 0.7
LATE = 1.2


async def test_a_lease_whose_answer_was_lost_is_found_and_taken_back(bench: Bench) -> None:
    lost = await bench.lost(bench.adapter())
    assert len(await bench.living()) == 1
    assert await bench.lost_ones_let_in() == [True]
    restarted = bench.adapter()
    assert await bench.taken_back(restarted, lost) == 1
    await bench.until_living()
    assert await bench.lost_ones_let_in() == [False]
    assert await restarted.recover(lost) == ()


async def test_an_attempt_that_left_nothing_ends_with_nothing(bench: Bench) -> None:
    adapter = bench.adapter()
    ready = await bench.prepared(adapter)
    bench.line.reset(bench.routes.issue)
    with pytest.raises(errors.Unavailable):
        await adapter.issue(ready)
    bench.line.clear()
    restarted = bench.adapter()
    await bench.taken_back(restarted, ready)  # at most the login that was made for it
    assert await restarted.recover(ready) == ()
    assert await bench.living() == set()


async def test_two_leases_of_one_attempt_are_both_taken_back(bench: Bench) -> None:
    adapter = bench.adapter()
    ready = await bench.prepared(adapter)
    bench.line.double(bench.routes.issue)
    with pytest.raises(errors.Unavailable):
        await adapter.issue(ready)
    assert len(await bench.living()) == 2
    assert await bench.lost_ones_let_in() == [True, True]
    restarted = bench.adapter()
    await bench.taken_back(restarted, ready)
    await bench.until_living()
    assert await bench.lost_ones_let_in() == [False, False]
    assert await restarted.recover(ready) == ()


async def test_a_late_commit_is_found_once_it_has_come(bench: Bench) -> None:
    adapter = bench.adapter(patience=HASTY)
    ready = await bench.prepared(adapter)
    bench.line.hold_back(bench.routes.issue, LATE)
    with pytest.raises(errors.Unavailable) as caught:
        await adapter.issue(ready)
    assert caught.value.sent
    await bench.line.settled()
    assert await bench.lost_ones_let_in() == [True]
    assert await bench.taken_back(bench.adapter(), ready) == 1
    await bench.until_living()
    assert await bench.lost_ones_let_in() == [False]


async def test_a_late_commit_after_a_search_is_found_by_the_next(bench: Bench) -> None:
    adapter = bench.adapter(patience=HASTY)
    ready = await bench.prepared(adapter)
    bench.line.hold_back(bench.routes.issue, LATE)
    with pytest.raises(errors.Unavailable):
        await adapter.issue(ready)
    restarted = bench.adapter()
    assert await bench.living() == set(), "it hasn't come yet"
    await bench.taken_back(restarted, ready)
    await bench.line.settled()
    await bench.taken_back(restarted, ready)
    await bench.until_living()
    assert bench.line.lost, "it has come"
    assert not any(await bench.lost_ones_let_in())


async def test_leases_of_other_holders_are_never_touched(bench: Bench) -> None:
    adapter = bench.adapter()
    # Where ttls tell attempts apart, those of these ids differ; of others they may not.
    kept = [await bench.issued(adapter, attempt_id=f"kept-{n}") for n in range(3)]
    lost = await bench.lost(adapter, attempt_id="lost")
    found = await bench.adapter().recover(lost)
    assert not {one.id for one in found} & {one.lease.id for one in kept}
    assert await bench.taken_back(bench.adapter(), lost) == 1
    await bench.until_living(*(one.lease for one in kept))
    for one in kept:
        assert await bench.works(one)
    assert await bench.lost_ones_let_in() == [False]


async def test_leases_of_another_installation_are_never_touched(bench: Bench) -> None:
    foreign = {"attempt_id": "lost", "installation": base.ANOTHER_INSTALLATION}
    kept = await bench.issued(bench.adapter(Login.ANOTHER), **foreign)
    adapter = bench.adapter()
    nothing = await bench.prepared(adapter, attempt_id="lost")
    await bench.taken_back(bench.adapter(), nothing)
    assert await bench.works(kept)
    lost = await bench.lost(adapter, attempt_id="lost")
    assert await bench.taken_back(bench.adapter(), lost) == 1
    await bench.until_living(kept.lease)
    assert await bench.works(kept)
    assert await bench.lost_ones_let_in() == [False]


async def test_a_sweep_shows_what_is_on_no_record_and_no_lease_of_others(bench: Bench) -> None:
    bench.need("Sweep")
    adapter, source = bench.adapter(), bench.source(Kind.PLAIN)
    assert adapter.capabilities({}).sweepable
    kept = await bench.issued(adapter, attempt_id="a" * 32)
    foreign = {"attempt_id": "b" * 32, "installation": base.ANOTHER_INSTALLATION}
    others = await bench.issued(bench.adapter(Login.ANOTHER), **foreign)
    await bench.lost(adapter, attempt_id="c" * 32)
    restarted = bench.adapter()
    (found,) = await restarted.sweep(base.INSTALLATION, source, {kept.lease.id})
    assert (await restarted.revoke(found.lease)).done
    await bench.until_living(kept.lease, others.lease)
    assert await bench.lost_ones_let_in() == [False]
    assert await bench.works(kept)
    assert await bench.works(others)
    assert not await restarted.sweep(base.INSTALLATION, source, {kept.lease.id})
