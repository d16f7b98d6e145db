from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from leaseholder.api import base
from leaseholder.api.lease import Renewal, Retry
from leaseholder.api.provider import LeaseProvider

MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 2),
    max_value=datetime(2999, 12, 29),
    timezones=st.integers(-12, 12).map(lambda h: timezone(timedelta(hours=h))),
)
MOMENT: TypeAdapter[datetime] = TypeAdapter(base.Moment)


@given(moment=MOMENTS)
def test_a_moment_that_is_compared_is_the_one_that_was_stored(moment: datetime) -> None:
    kept = MOMENT.validate_python(moment)
    assert kept.tzinfo is UTC
    assert kept.microsecond == 0
    assert timedelta(0) <= moment - kept < timedelta(seconds=1)
    stored = MOMENT.dump_json(kept)
    assert MOMENT.validate_json(stored) == kept


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("0001-01-01T00:00:00+14:00", "1970-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59-14:00", "2999-12-31T00:00:00Z"),
    ],
)
def test_a_moment_that_nobody_lives_in_is_moved_to_the_nearest(text: str, written: str) -> None:
    assert base.render_moment(MOMENT.validate_json(f'"{text}"')) == written


def test_a_moment_is_written_in_utc_with_a_z() -> None:
    moment = datetime(2026, 11, 21, 5, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert base.render_moment(moment) == "2026-11-21T03:04:05Z"


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError):
        MOMENT.validate_python(datetime(2026, 1, 1))


def test_manifests_are_written_under_wire_names_without_absent_fields() -> None:
    assert Renewal(after_percent=50).dump() == {"strategy": "Auto", "afterPercent": 50}
    retry = Retry.model_validate(
        {"failures": 1, "nextAt": "2026-01-01T00:00:00Z", "reason": "Throttled"}
    )
    assert retry.dump()["nextAt"] == "2026-01-01T00:00:00Z"


def test_which_fields_were_given_is_kept_once_for_all_and_a_copy_changes_its_own() -> None:
    one, other = (Renewal.model_validate({"strategy": "Renew"}) for _ in range(2))
    assert one.model_fields_set is other.model_fields_set
    changed = one.model_copy(update={"before": "1m"})
    assert changed.model_fields_set == {"strategy", "before"}
    assert one.model_fields_set == {"strategy"}
    assert changed == Renewal(strategy="Renew", before="1m")


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError):
        Renewal.model_validate({"afterPercentage": 50})


def test_a_duration_in_a_manifest_is_checked_and_kept_as_written() -> None:
    assert Renewal(before="60m").before == "60m"
    with pytest.raises(ValidationError):
        Renewal(before="soon")


def test_models_are_built_before_anybody_is_served() -> None:
    class Late(base.Model):
        since: base.Moment

    def built() -> list[bool]:
        return [Late.__pydantic_complete__, LeaseProvider.__pydantic_complete__]

    assert not all(built())
    base.build_all()
    assert all(built())
