"""A lease on its arrival: used, refused with a sentence, or too big to be put on record."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder import server_clock
from leaseholder.api import record
from leaseholder.api.conditions import Reason
from leaseholder.core import arrival, ends
from leaseholder.ports.provider import Lease
from leaseholder.secrecy import Credentials
from tests.unit.core import views

MOMENTS = st.integers(-100_000, 100_000)
GIVEN = Credentials({"KEY": "x"})
WAITS = st.integers(0, 100)


def lease(issued: float, expires: float, **more: object) -> Lease:
    known = {"id": "lease-1", "handle": {}, **more}
    return Lease(
        id=str(known["id"]),
        source={},
        issued_at=views.at(issued),
        expires_at=views.at(expires),
        handle=known["handle"],  # type: ignore[arg-type]
    )


def test_a_lease_that_was_issued_while_it_was_asked_for_says_nothing_of_clocks() -> None:
    assert server_clock.ahead(views.at(-2), views.at(0), views.at(1)) == 0
    assert server_clock.ahead(views.at(3), views.at(0), views.at(1)) == 0
    assert server_clock.ahead(views.at(4), views.at(0), views.at(1)) == 4
    assert server_clock.ahead(views.at(-120), views.at(0), views.at(1)) == -120


@given(MOMENTS, WAITS, WAITS)
def test_the_clock_of_a_lease_is_never_taken_to_be_earlier_than_it_is(
    true: int, before: int, after: int
) -> None:
    """``true``: what its own clock is ahead of ``Date``; issued between question and answer."""
    issued, answered = views.at(before + true), views.at(before + after)
    taken = server_clock.ahead(issued, views.at(0), answered)
    if taken:
        assert taken - true == before, "late by what the issue took, and never early"
    else:
        assert abs(true) <= before + after + server_clock.LATE.total_seconds()


@pytest.mark.parametrize(
    ("given_", "left", "words"),
    [
        (3600, 3599, ""),
        (10, 8, ""),
        (10, 5, ""),
        (10, 4, "as good as over when it came: it ends at"),
        (0, 0, "gave a lease of 0 s, too short to be used: write a ttl"),
        (3, 2, "gave a lease of 3 s, too short to be used: write a ttl"),
        (7, 7, "gave a lease of 7 s, too short to be used: write a ttl"),
        (8, 5, ""),
        (-3600, -3600, "gave a lease of 0 s, too short to be used"),
        (3600, -60, "as good as over when it came: it ends at"),
    ],
)
def test_a_lease_that_is_over_or_nearly_is_of_no_use(given_: int, left: int, words: str) -> None:
    wrong = arrival.fault(lease(left - given_, left), GIVEN, views.NOW, 0)
    if not words:
        assert wrong is None
        return
    assert wrong is not None
    assert (wrong.reason, wrong.permanent) == (Reason.UNUSABLE, True)
    assert words in wrong.sentence


@pytest.mark.parametrize(("ahead", "word"), [(1801, "after"), (-7200, "before")])
def test_moments_far_from_the_providers_date_cannot_be_judged(ahead: int, word: str) -> None:
    wrong = arrival.fault(lease(0, 3600), GIVEN, views.NOW, ahead)
    assert wrong is not None
    assert f"dates the lease {abs(ahead)} s {word} its own Date" in wrong.sentence
    most = 1800 if ahead > 0 else -1800
    assert arrival.fault(lease(0, 3600), GIVEN, views.NOW, most) is None


@pytest.mark.parametrize(
    ("values", "is_of_use"),
    [({}, False), ({"KEY": ""}, False), ({"KEY": "", "TOKEN": "x"}, True), (None, True)],
)
def test_a_lease_that_gives_nothing_is_of_no_use(
    values: dict[str, str] | None, is_of_use: bool
) -> None:
    given_ = None if values is None else Credentials(values)
    wrong = arrival.fault(lease(0, 3600), given_, views.NOW, 0)
    assert (wrong is None) == is_of_use
    if wrong is not None:
        assert (wrong.reason, wrong.permanent) == (Reason.UNUSABLE, True)


def test_ids_and_notes_have_a_size_that_goes_on_record() -> None:
    assert arrival.fits_on_record(lease(0, 60, id="x" * record.MOST_LEASE_ID))
    assert not arrival.fits_on_record(lease(0, 60, id="x" * (record.MOST_LEASE_ID + 1)))
    assert not arrival.fits_on_record(lease(0, 60, id="ä" * 513))
    assert arrival.fits_on_record(lease(0, 60, handle={"a": "x" * (record.MOST_HANDLE - 8)}))
    assert not arrival.fits_on_record(lease(0, 60, handle={"a": "x" * (record.MOST_HANDLE - 7)}))


def test_a_lease_that_is_to_be_revoked_ends_on_record_no_later_than_was_asked_for() -> None:
    asked, without = views.record(issued=0), views.record(issued=0, ttl=None)
    endless = lease(0, 900 * 365 * 86_400)
    assert ends.latest(asked, endless) == views.at(20 + 3600 + 1800)
    assert ends.latest(without, endless) == views.at(20 + 32 * 86_400 + 1800)
    assert ends.latest(asked, lease(0, 3600)) == views.at(3600)
    assert ends.latest(without, lease(0, 7200)) == views.at(7200)
    assert ends.latest(without, lease(0, -60)) == views.at(-60)


def test_what_a_lease_may_have_left_is_what_nothing_is_planned_within() -> None:
    assert timedelta(seconds=5) == arrival.LEAST_LEFT
