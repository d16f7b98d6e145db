"""What a ttl may ask for, and how far a renewal may go, at a provider that is made up here."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Lease
from leaseholder.providers.kit import lifetimes

START = datetime(2026, 11, 28, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def lease(latest: datetime | None = None, **notes: Any) -> Lease:
    return Lease(
        id="l", source={}, issued_at=START, expires_at=at(100), latest=latest, handle=notes
    )


@pytest.mark.parametrize(
    ("until", "latest", "more"),
    [(160, None, 60), (160.9, None, 60), (160, 500, 60), (160, 130, 30), (160, 160, 60)],
)
def test_a_renewal_goes_to_what_is_wanted_or_to_the_latest_in_whole_seconds(
    until: float, latest: int | None, more: int
) -> None:
    bound = at(latest) if latest is not None else None
    assert lifetimes.renewal(lease(), at(until), latest=bound, who="Somebody") == more


@pytest.mark.parametrize("until", [101, 160])
def test_a_lease_with_less_than_the_least_before_its_latest_is_at_its_end(until: int) -> None:
    with pytest.raises(errors.CannotRenew, match="longest life that Somebody gives it") as caught:
        lifetimes.renewal(lease(), at(until), latest=at(159), who="Somebody", least=60)
    assert caught.value.reason is Reason.CANNOT_RENEW
    assert caught.value.latest == at(100)


@pytest.mark.parametrize(
    ("until", "least", "said"),
    [(100, 1, "the lease lives longer than that"), (159, 60, "Somebody renews by 1m or more")],
)
def test_a_renewal_that_adds_less_than_the_least_comes_too_soon(
    until: int, least: int, said: str
) -> None:
    with pytest.raises(errors.CannotRenew, match=f"{said}: it is too soon") as caught:
        lifetimes.renewal(lease(), at(until), latest=at(900), who="Somebody", least=least)
    assert caught.value.reason is Reason.RENEWAL_TOO_SOON
    assert caught.value.latest == at(900)


def test_a_lease_at_its_end_that_lives_as_long_as_is_wanted_is_not_told_to_be() -> None:
    with pytest.raises(errors.CannotRenew) as caught:
        lifetimes.renewal(lease(), at(100), latest=at(100), who="Somebody")
    assert caught.value.reason is Reason.RENEWAL_TOO_SOON


def test_a_renewal_stays_below_the_latest_by_its_margin() -> None:
    assert lifetimes.renewal(lease(), at(900), latest=at(500), who="Somebody", margin=2) == 398


@pytest.mark.parametrize(
    ("known", "notes", "latest"),
    [
        (at(500), {"maxTTL": 900}, at(500)),
        (None, {"maxTTL": 900}, at(900)),
        (None, {"maxTTL": "1h"}, None),
        (None, {}, None),
    ],
)
def test_the_latest_end_is_that_of_the_lease_or_of_its_notes(
    known: datetime | None, notes: dict[str, Any], latest: datetime | None
) -> None:
    assert lifetimes.latest(lease(known, **notes)) == latest


def test_a_ttl_below_the_least_is_refused_and_none_is_not() -> None:
    for fine in (None, 60, 61):
        lifetimes.refuse_too_short(fine, 60, "Somebody")
    with pytest.raises(errors.Invalid, match="Somebody takes no ttl below 1m"):
        lifetimes.refuse_too_short(59, 60, "Somebody")


@pytest.mark.parametrize(
    ("ttl", "sentence"),
    [
        (7200, "a ttl of 2h is longer than the maximum, which is 1h: write a shorter one in ttl"),
        ("the default", "the default is longer than the maximum, which is 1h: write a shorter one"),
    ],
)
def test_a_ttl_that_is_too_long_is_told_with_its_bound(ttl: int | str, sentence: str) -> None:
    error = lifetimes.too_long(ttl, 3600, than="the maximum")
    assert error.reason is Reason.TTL_TOO_LONG
    assert error.sentence.startswith(sentence)


@pytest.mark.parametrize(
    ("noted", "end"), [(60, at(60)), (None, None), ("60", None), (10**30, None)]
)
def test_the_end_of_a_longest_life_is_known_where_its_note_can_be_read(
    noted: object, end: datetime | None
) -> None:
    assert lifetimes.after(START, noted) == end
