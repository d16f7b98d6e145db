"""Looks that are shared, believed for some seconds, and bounded."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import cache
from tests.unit.clocks import FakeClock


class World:
    """Numbered looks, which hold for ten seconds each."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.looks: cache.Checks[int] = cache.Checks(self.clock.monotonic, lambda _: 10.0)
        self.count = 0

    def ask(self, *, fails: bool = False) -> Callable[[], Awaitable[int]]:
        async def inspected_at() -> int:
            await asyncio.sleep(0)
            self.count += 1
            if fails:
                raise errors.Unavailable(Reason.UNAVAILABLE, "away", sent=False)
            return self.count

        return inspected_at


async def test_who_asks_at_once_shares_a_look() -> None:
    it = World()
    assert set(await asyncio.gather(*(it.looks.get("a", it.ask()) for _ in range(9)))) == {1}
    assert await it.looks.get("b", it.ask()) == 2


async def test_what_was_seen_holds_for_its_seconds() -> None:
    it = World()
    await it.looks.get("a", it.ask())
    it.clock.move(9.9)
    assert await it.looks.get("a", it.ask()) == 1
    it.clock.move(0.1)
    assert await it.looks.get("a", it.ask()) == 2


async def test_a_look_that_fails_is_not_kept() -> None:
    it = World()
    with pytest.raises(errors.Unavailable):
        await it.looks.get("a", it.ask(fails=True))
    assert await it.looks.get("a", it.ask()) == 2


async def test_what_is_not_true_any_more_is_let_go() -> None:
    it = World()
    for name in "ab":
        await it.looks.get(name, it.ask())
    it.looks.forget(lambda value: value == 1)
    assert await it.looks.get("b", it.ask()) == 2
    assert await it.looks.get("a", it.ask()) == 3


@given(st.lists(st.integers(0, 50), max_size=60))
def test_never_more_is_kept_than_is_allowed(asked: list[int]) -> None:
    async def live() -> None:
        it = World()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cache, "MOST", 5)
            it.looks = cache.Checks(it.clock.monotonic, lambda _: 10.0)
        for number in asked:
            await it.looks.get(str(number), it.ask())
            assert len(it.looks) <= 5
        assert len(it.looks._locks) <= 1

    asyncio.run(live())
