from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api import durations
from leaseholder.api.lease import Renewal
from leaseholder.core import schedule
from tests.unit.core import views

LIVES = st.integers(min_value=2, max_value=10**7).map(lambda s: timedelta(seconds=s))
PERCENTS = st.integers(min_value=1, max_value=95)
LENGTHS = st.integers(min_value=1, max_value=10**7).map(
    lambda s: durations.render(timedelta(seconds=s))
)
RENEWALS = st.one_of(
    st.just(Renewal()),
    PERCENTS.map(lambda p: Renewal(after_percent=p)),
    LENGTHS.map(lambda text: Renewal(before=text)),
)


@given(renewal=RENEWALS, life=LIVES)
def test_renewal_is_due_after_the_issue_and_before_the_expiry(
    renewal: Renewal, life: timedelta
) -> None:
    expiry = views.NOW + life
    assert views.NOW < schedule.due(renewal, life, expiry) < expiry


@given(
    renewal=RENEWALS,
    asked=st.integers(min_value=1, max_value=10**7),
    left=st.integers(min_value=-(10**9), max_value=10**7),
)
def test_after_a_renewal_that_fell_short_as_much_time_passes_or_half_of_what_is_left(
    renewal: Renewal, asked: int, left: int
) -> None:
    left = min(asked, left)
    lengths = {"asked": timedelta(seconds=asked), "left": timedelta(seconds=left)}
    again = schedule.again(renewal, views.at(left), **lengths)
    if again is None:
        assert left < 2 * schedule.MARGIN.total_seconds()
        return
    passed = (again - views.NOW).total_seconds()
    assert min(asked - left, left / 2) <= passed <= left - schedule.MARGIN.total_seconds()


@given(renewal=RENEWALS, life=st.integers(min_value=10, max_value=10**7))
def test_a_renewal_that_gave_what_was_asked_for_puts_none_off(renewal: Renewal, life: int) -> None:
    length, expiry = timedelta(seconds=life), views.at(life)
    again = schedule.again(renewal, expiry, asked=length, left=length)
    assert again == schedule.due(renewal, length, expiry)


def test_renewal_is_due_after_two_thirds_by_default() -> None:
    life = timedelta(seconds=1000)
    assert schedule.due(Renewal(), life, views.at(1000)) == views.at(660)


def test_renewal_is_due_a_given_time_before_the_expiry() -> None:
    due = schedule.due(Renewal(before="10m"), timedelta(hours=1), views.at(3600))
    assert due == views.at(3000)


@pytest.mark.parametrize("life", [10, 100, 3600])
def test_renewal_before_more_than_half_of_the_life_counts_as_half_of_it(life: int) -> None:
    due = schedule.due(Renewal(before="2h"), timedelta(seconds=life), views.at(life))
    assert due == views.at(life // 2)


def test_a_lease_of_unknown_life_is_due_at_its_end() -> None:
    assert schedule.due(Renewal(), timedelta(0), views.NOW) == views.NOW


@given(
    life=LIVES,
    minimum=st.integers(min_value=0, max_value=3600),
    latest=st.none() | st.integers(min_value=-100, max_value=10**7),
)
def test_a_renewal_that_fits_never_leaves_more_life_than_asked_for(
    life: timedelta, minimum: int, latest: int | None
) -> None:
    bound = views.at(latest) if latest is not None else None
    fits = schedule.renewal_fits(views.NOW, life, minimum, bound)
    if fits is None:
        return
    shortest = timedelta(seconds=max(1, minimum))
    assert views.NOW + shortest - fits <= life
    assert fits <= views.NOW - schedule.MARGIN
    assert bound is None or views.NOW + shortest <= bound


def test_a_renewal_beyond_the_latest_end_never_fits() -> None:
    life = timedelta(hours=1)
    assert schedule.renewal_fits(views.NOW, life, 60, views.at(59)) is None
    assert schedule.renewal_fits(views.NOW, life, 60, views.at(60)) is not None


def test_a_renewal_of_at_least_the_whole_life_never_fits() -> None:
    assert schedule.renewal_fits(views.NOW, timedelta(seconds=60), 60, None) is None


@given(
    failures=st.integers(min_value=1, max_value=10**6),
    seed=st.text(),
    most=st.sampled_from([30.0, 300.0, 600.0, 3600.0]),
    retry_after=st.none() | st.floats(min_value=0, max_value=10**5),
)
def test_back_off_is_bounded_whole_seconds_and_the_same_each_time(
    failures: int, seed: str, most: float, retry_after: float | None
) -> None:
    wait = schedule.backoff(failures, seed=seed, most=most, retry_after=retry_after)
    assert wait == schedule.backoff(failures, seed=seed, most=most, retry_after=retry_after)
    assert timedelta(seconds=1) <= wait
    assert wait <= timedelta(seconds=max(most, 1.25 * (retry_after or 0) + 1))
    assert wait >= timedelta(seconds=retry_after or 0)
    assert wait.microseconds == 0


@given(failures=st.integers(min_value=1, max_value=100), left=st.integers(10, 10**6))
def test_five_tries_fit_into_the_time_that_is_left(failures: int, left: int) -> None:
    length = timedelta(seconds=left)
    wait = schedule.backoff(failures, seed="x", most=3600, left=length)
    assert wait <= length / 5 + timedelta(seconds=1)


@given(retry_after=st.floats(1, 1000), left=st.integers(1, 1000))
def test_who_was_told_when_to_come_back_comes_soon_after_that(
    retry_after: float, left: int
) -> None:
    length = timedelta(seconds=left)
    wait = schedule.backoff(1, seed="x", left=length, retry_after=retry_after).total_seconds()
    assert retry_after <= wait <= max(2, retry_after + left / 10) + 1


def test_those_who_were_told_the_same_come_back_one_by_one() -> None:
    waits = {schedule.backoff(1, seed=str(n), retry_after=100) for n in range(100)}
    assert len(waits) > 10
    assert len({schedule.spread(str(n), 10) for n in range(100)}) == 100
    assert all(0 <= schedule.spread(str(n), 10) <= 10 for n in range(100))


def test_back_off_grows_with_each_failure() -> None:
    waits = [schedule.backoff(n, seed="x") for n in range(1, 8)]
    assert waits == sorted(waits)
    assert waits[0] <= timedelta(seconds=2)
    assert waits[-1] > timedelta(seconds=90)
