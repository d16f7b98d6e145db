"""The circuit breaker: opens after failures in a row, tries now and then, never starves a lease."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder import circuit
from tests.unit.clocks import FakeClock


class World:
    """A circuit without spread, unless a test wants some."""

    def __init__(self, spread: float = 0.0) -> None:
        self.clock = FakeClock()
        self.told: list[bool] = []
        self.circuit = circuit.Circuit(
            self.clock.monotonic, self.told.append, spread=lambda: spread
        )

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            number = self.circuit.begin()
            self.circuit.failed(number)
            self.circuit.ended(number)

    def pass_pause(self) -> None:
        self.clock.move(self.circuit.wait())


def test_it_opens_after_failures_in_a_row() -> None:
    world = World()
    world.fail(circuit.OPEN_AFTER - 1)
    assert world.circuit.wait() == 0
    world.fail()
    assert world.circuit.is_open
    assert world.circuit.wait() == circuit.FIRST
    assert world.told == [True]


def test_an_answer_in_between_starts_the_count_anew() -> None:
    world = World()
    world.fail(circuit.OPEN_AFTER - 1)
    world.circuit.answered()
    world.fail(circuit.OPEN_AFTER - 1)
    assert not world.circuit.is_open
    assert world.told == []


def test_after_the_pause_one_request_is_a_trial_and_the_others_wait() -> None:
    world = World()
    world.fail(circuit.OPEN_AFTER)
    world.pass_pause()
    assert world.circuit.wait() == 0
    world.circuit.begin()
    assert world.circuit.wait() == circuit.LONGEST


def test_an_answered_trial_closes_it() -> None:
    world = World()
    world.fail(circuit.OPEN_AFTER)
    world.pass_pause()
    world.circuit.begin()
    world.circuit.answered()
    assert world.circuit.wait() == 0
    assert world.told == [True, False]


def test_pauses_grow_with_the_outage_up_to_the_longest() -> None:
    world = World()
    world.fail(circuit.OPEN_AFTER)
    opened, pauses = world.clock.monotonic(), []
    for _ in range(40):
        over = world.clock.monotonic() - opened
        pauses.append(world.circuit.wait())
        assert pauses[-1] == min(max(circuit.FIRST, circuit.SHARE * over), circuit.LONGEST)
        world.pass_pause()
        world.fail()
    assert (pauses[0], pauses[-1]) == (circuit.FIRST, circuit.LONGEST)


def test_a_trial_that_was_never_sent_makes_room_for_the_next() -> None:
    world = World()
    world.fail(circuit.OPEN_AFTER)
    world.pass_pause()
    number = world.circuit.begin()
    world.circuit.ended(number)
    assert world.circuit.wait() == circuit.FIRST


def test_failures_of_requests_that_were_under_way_when_it_opened_tell_nothing_new() -> None:
    world = World()
    numbers = [world.circuit.begin() for _ in range(3 * circuit.OPEN_AFTER)]
    for number in numbers:
        world.circuit.failed(number)
    assert world.circuit.wait() == circuit.FIRST
    assert world.told == [True]


def test_a_late_answer_of_an_earlier_request_closes_it() -> None:
    world = World()
    world.circuit.begin()
    world.fail(circuit.OPEN_AFTER)
    world.circuit.answered()
    assert not world.circuit.is_open


@given(
    left=st.floats(min_value=0.001, max_value=10**6),
    failed=st.integers(0, 20),
    trial=st.booleans(),
    spread=st.floats(0, 1),
)
def test_five_trials_fit_into_what_is_left_of_a_lease_and_none_waits_beyond_the_longest(
    left: float, failed: int, trial: bool, spread: float
) -> None:
    world = World(spread)
    world.fail(circuit.OPEN_AFTER)
    for _ in range(failed):
        world.pass_pause()
        world.fail()
    if trial:
        world.pass_pause()
        world.circuit.begin()
    wait = world.circuit.wait(left)
    assert wait <= max(circuit.FIRST, left / circuit.TRIES) + 1e-6
    assert wait <= world.circuit.wait() <= circuit.LONGEST + 1e-6


@given(steps=st.lists(st.floats(0, 3), min_size=1, max_size=50))
def test_leases_near_their_end_make_one_trial_a_second_at_most(steps: list[float]) -> None:
    world = World()
    world.fail(circuit.OPEN_AFTER)
    begun, opened = 0, world.clock.monotonic()
    for step in steps:
        world.clock.move(step)
        if world.circuit.wait(left=1) == 0:
            world.fail()
            begun += 1
    assert begun <= world.clock.monotonic() - opened


def test_without_a_listener_and_with_real_chance_it_works_too() -> None:
    plain = circuit.Circuit(FakeClock().monotonic)
    for _ in range(circuit.OPEN_AFTER):
        plain.failed(plain.begin())
    assert 0.75 * circuit.FIRST <= plain.wait() <= circuit.FIRST
    plain.answered()
    assert plain.wait() == pytest.approx(0)
