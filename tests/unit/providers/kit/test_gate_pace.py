"""The budget: never more than allowed, and room is kept for who keeps leases alive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.providers.kit import gate
from leaseholder.providers.kit.requests import Rank
from tests.unit.providers import support

ASKED = st.lists(st.tuples(st.floats(0, 20), st.sampled_from(Rank)), max_size=80)


@given(per_minute=st.integers(1, 30), asked=ASKED)
def test_no_minute_has_more_than_allowed_and_the_least_never_fill_it(
    per_minute: int, asked: list[tuple[float, Rank]]
) -> None:
    clock = support.FakeClock()
    known = gate.Pace(clock, per_minute)
    sent: list[tuple[float, Rank]] = []
    for step, rank in asked:
        clock.move(step)
        recent = [r for at, r in sent if at > clock.monotonic() - 60]
        if known.wait("read", rank) == 0:
            known.sent()
            sent.append((clock.monotonic(), rank))
            assert len(recent) < per_minute
            if rank in (Rank.REVOCATION, Rank.CHECK):
                assert len(recent) < max(1, per_minute // 2)
        elif rank is Rank.KEEP:
            assert len(recent) == per_minute


@given(per_minute=st.integers(1, 30), asked=ASKED, rank=st.sampled_from(Rank))
def test_after_the_stated_wait_there_is_room(
    per_minute: int, asked: list[tuple[float, Rank]], rank: Rank
) -> None:
    clock = support.FakeClock()
    known = gate.Pace(clock, per_minute)
    for step, other in asked:
        clock.move(step)
        if known.wait("read", other) == 0:
            known.sent()
    clock.move(known.wait("read", rank) + 0.001)
    assert known.wait("read", rank) == 0


@pytest.mark.parametrize(
    ("remaining", "waiting"),
    [
        (60, set()),
        (50, {Rank.REVOCATION, Rank.CHECK}),
        (25, {Rank.REVOCATION, Rank.CHECK, Rank.ISSUE}),
        (0, set(Rank)),
    ],
)
def test_the_end_of_a_servers_quota_is_kept_for_renewals(
    remaining: int, waiting: set[Rank]
) -> None:
    clock = support.FakeClock()
    known = gate.Pace(clock, None)
    headers = {"x-ratelimit-limit": "100", "x-ratelimit-reset": "20"}
    known.learn("write", {**headers, "x-ratelimit-remaining": str(remaining)})
    assert {rank for rank in Rank if known.wait("write", rank) == 20} == waiting
    assert all(known.wait("read", rank) == 0 for rank in Rank)
    clock.move(20)
    assert all(known.wait("write", rank) == 0 for rank in Rank)


def test_the_share_that_is_used_is_that_of_the_tightest_bound() -> None:
    clock = support.FakeClock()
    assert gate.Pace(clock, None).used() is None
    known = gate.Pace(clock, 10)
    for _ in range(4):
        known.sent()
    assert known.used() == 0.4
    headers = {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "25", "x-ratelimit-reset": "30"}
    known.learn("read", headers)
    assert known.used() == 0.75
    known.throttled("write", {"Retry-After": "5"}, "")
    assert known.used() == 1.0
    clock.move(10)
    assert known.used() == 0.75
    clock.move(21)
    assert known.used() == 0.4
    clock.move(60)
    assert known.used() == 0.0
