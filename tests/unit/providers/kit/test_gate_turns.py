"""Whose turn it is: a bound, an order, and nobody lost on the way."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api import provider
from leaseholder.providers.kit.gate import Gate, Turns
from leaseholder.providers.kit.requests import Rank, Request
from tests.unit import clocks

WANTS = st.lists(
    st.tuples(st.sampled_from(Rank), st.none() | st.integers(0, 5)), min_size=1, max_size=20
)


@given(wants=WANTS, most=st.integers(1, 3))
def test_who_waits_comes_by_rank_then_by_time_left_then_by_arrival(
    wants: list[tuple[Rank, int | None]], most: int
) -> None:
    served = asyncio.run(_served(wants, most))
    waited = sorted(range(most, len(wants)), key=lambda i: (_order(wants[i]), i))
    assert served == [*range(min(most, len(wants))), *waited]


async def _served(wants: list[tuple[Rank, int | None]], most: int) -> list[int]:
    turns, served, under_way = Turns(most), [], 0
    gate, full = asyncio.Event(), asyncio.Event()

    async def take(number: int, rank: Rank, left: int | None) -> None:
        nonlocal under_way
        async with turns.turn(rank, left):
            under_way += 1
            assert under_way <= most
            served.append(number)
            if len(served) == min(most, len(wants)):
                full.set()
            await gate.wait()
            under_way -= 1

    tasks = [asyncio.create_task(take(i, *want)) for i, want in enumerate(wants)]
    await full.wait()
    gate.set()
    await asyncio.gather(*tasks)
    return served


def _order(want: tuple[Rank, int | None]) -> tuple[Rank, float]:
    rank, left = want
    return rank, float("inf") if left is None else left


@given(given_up=st.sets(st.integers(0, 7)), granted=st.booleans())
def test_who_gives_up_loses_no_turn_of_the_others(given_up: set[int], granted: bool) -> None:
    asyncio.run(_giving_up(given_up, granted))


async def _giving_up(given_up: set[int], granted: bool) -> None:
    turns, served = Turns(1), []
    held, gate = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with turns.turn(Rank.KEEP):
            held.set()
            await gate.wait()

    async def take(number: int) -> None:
        async with turns.turn(Rank.KEEP):
            served.append(number)

    holder = asyncio.create_task(first())
    await held.wait()
    tasks = [asyncio.create_task(take(i)) for i in range(8)]
    await asyncio.sleep(0)
    if granted:  # the first waiter is given its turn and cancelled before it notices
        gate.set()
        await holder
    for number in given_up:
        tasks[number].cancel()
    gate.set()
    await asyncio.gather(holder, *tasks, return_exceptions=True)
    assert set(range(8)) - given_up <= set(served)
    async with asyncio.timeout(1), turns.turn(Rank.CHECK):
        pass


async def test_a_tenant_whose_servers_hang_takes_no_more_turns_than_its_namespace_has() -> None:
    clock = clocks.FakeClock()
    theirs, ours = Turns(2), Turns(2)

    def gate_of(shared: Turns) -> Gate:
        return Gate(clock, provider.Limits(), clock.wall, lambda _: None, shared)

    answered = asyncio.Event()
    asked = Request(operation="login", method="GET", path="/", timeout=1.0, rank=Rank.LOGIN)
    under_way: list[int] = []

    async def ask(number: int, gate: Gate) -> None:
        async with gate.turn(asked):
            under_way.append(number)
            await answered.wait()

    hanging = [asyncio.create_task(ask(number, gate_of(theirs))) for number in range(5)]
    await asyncio.create_task(_beside(gate_of(ours), asked))
    assert under_way == [0, 1]
    answered.set()
    await asyncio.gather(*hanging)
    assert under_way == [0, 1, 2, 3, 4]


async def _beside(gate: Gate, asked: Request) -> None:
    async with gate.turn(asked):
        await asyncio.sleep(0)
