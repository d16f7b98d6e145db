"""Whose turn it is: a bound, an order, and nobody lost on the way."""

import asyncio
import contextlib

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


async def test_a_renewal_goes_before_issues_that_wait_for_the_turns_of_the_namespace() -> None:
    clock, shared = clocks.FakeClock(), Turns(1)
    limits = provider.Limits(concurrency=2)
    hung, ours = (Gate(clock, limits, clock.wall, lambda _: None, shared) for _ in range(2))
    served: list[str] = []
    answered = asyncio.Event()

    async def ask(gate: Gate, name: str, rank: Rank, until: asyncio.Event | None = None) -> None:
        asked = Request(operation=name, method="GET", path="/", timeout=1.0, rank=rank)
        async with gate.turn(asked):
            served.append(name)
            if until is not None:
                await until.wait()

    tasks = [asyncio.create_task(ask(hung, "hung", Rank.CHECK, answered))]
    tasks += [asyncio.create_task(ask(ours, f"issue {n}", Rank.ISSUE)) for n in range(3)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(ask(ours, "renewal", Rank.KEEP))]
    await asyncio.sleep(0)
    answered.set()
    await asyncio.gather(*tasks)
    assert served == ["hung", "renewal", "issue 0", "issue 1", "issue 2"]


@given(
    wants=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(Rank)), max_size=30),
    most=st.integers(1, 4),
    given_up=st.sets(st.integers(0, 29), max_size=10),
)
def test_shared_turns_are_all_used_and_never_more(
    wants: list[tuple[int, Rank]], most: int, given_up: set[int]
) -> None:
    asyncio.run(_sharing(wants, most, given_up))


async def _sharing(wants: list[tuple[int, Rank]], most: int, given_up: set[int]) -> None:
    shared = Turns(most)
    owners = [Turns(2, shared) for _ in range(4)]
    under_way, waiting, served = [0] * 4, [0] * 4, set[int]()

    async def take(number: int, of: int, rank: Rank) -> None:
        waiting[of] += 1
        try:
            async with owners[of].turn(rank):
                waiting[of] -= 1
                under_way[of] += 1
                served.add(number)
                for _ in range(2 + number % 3):
                    await asyncio.sleep(0)
                    assert under_way[of] <= 2
                    assert sum(under_way) <= most
                under_way[of] -= 1
        finally:
            if number not in served:
                waiting[of] -= 1

    tasks = [asyncio.create_task(take(n, *want)) for n, want in enumerate(wants)]
    await asyncio.sleep(0)
    for number in given_up:
        if number < len(tasks) and number not in served:
            tasks[number].cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert set(range(len(wants))) - given_up <= served
    for one in owners:  # nobody took a turn along
        async with (
            asyncio.timeout(1),
            one.turn(Rank.CHECK),
            one.turn(Rank.CHECK) if most > 1 else (contextlib.nullcontext()),
        ):
            pass
