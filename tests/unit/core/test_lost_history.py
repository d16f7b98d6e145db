"""After a restore of etcd: which records are lost, and what they say when they come back."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord, Revocation, State
from leaseholder.core import lost_history
from tests.unit.core import views

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(number: int, attempt: str, state: State = State.HELD) -> LeaseRecord:
    made = views.record(number)
    spec = made.spec.model_copy(update={"attempt_id": attempt})
    status = made.status.model_copy(update={"state": state})
    return made.model_copy(update={"spec": spec, "status": status})


@given(st.sets(st.integers(1, 20)), st.sets(st.integers(1, 20)))
def test_just_those_are_lost_that_are_not_listed_whatever_their_names_are_now(
    known: set[int], listed: set[int]
) -> None:
    before = [record(number, f"attempt-{number}") for number in known]
    after = [record(21 - number, f"attempt-{number}") for number in listed]
    found = lost_history.lost(before, after)
    assert [one.number for one in found] == sorted(known - listed)


@pytest.mark.parametrize("state", [State.HELD, State.SUPERSEDED])
def test_a_lost_lease_lives_through_the_overlap_like_one_that_was_replaced(state: State) -> None:
    status = lost_history.put_back(record(2, "lost", state), NOW)
    assert status.state is State.SUPERSEDED
    assert status.lease_id == record(2, "lost").status.lease_id
    assert status.revoke is not None
    assert (status.revoke.since, status.revoke.not_before) == (NOW, NOW + lost_history.LONGEST)


def test_a_lost_attempt_is_searched_for() -> None:
    status = lost_history.put_back(record(2, "lost", State.ATTEMPT), NOW)
    assert status.state is State.REVOKING
    assert status.revoke == Revocation(reason=Reason.UNCLEAR, since=NOW)


@pytest.mark.parametrize("state", [State.REVOKING, State.ABANDONED])
def test_a_lost_revocation_goes_on_where_it_was(state: State) -> None:
    known = record(2, "lost", state)
    assert lost_history.put_back(known, NOW) == known.status
