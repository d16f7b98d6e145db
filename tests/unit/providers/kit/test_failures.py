"""Errors that are kept, and told to many."""

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import failures
from tests.unit.clocks import NOW


@pytest.mark.parametrize(
    "error",
    [
        errors.Unavailable(Reason.UNAVAILABLE, "away", sent=True, retry_after=3.0),
        errors.LeaseGone(Reason.GONE, "gone", certain=True),
        errors.CannotRenew(Reason.CANNOT_RENEW, "at its end", latest=NOW),
        errors.Throttled(Reason.THROTTLED, "too many", retry_after=3.0),
    ],
)
def test_an_error_is_told_again_without_where_it_came_from(error: errors.ProviderError) -> None:
    with pytest.raises(errors.ProviderError):
        raise error
    again = failures.again(error)
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert str(again) == error.sentence
    assert again.__traceback__ is None
    assert failures.again(error, retry_after=7.0).retry_after == 7.0
