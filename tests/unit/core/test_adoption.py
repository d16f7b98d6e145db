"""A record that another installation takes over: nothing is lost, and the order doesn't matter."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api.conditions import Reason
from leaseholder.api.record import (
    MOST_ENDED,
    Ended,
    RecordedLease,
    RecordSpec,
    Revocation,
    State,
)
from leaseholder.core.adoption import adopted
from tests.unit.core import views

OLD, NEW = "cluster/old", "cluster/new"
PENDING = Revocation(reason=Reason.SUPERSEDED)


def spec(
    *leases: RecordedLease, installation: str = OLD, ended: tuple[str, ...] = (), **more: Any
) -> RecordSpec:
    gone = tuple(
        Ended(attempt_id=one, at=views.at(number), why="Confirmed")
        for number, one in enumerate(ended)
    )
    return RecordSpec(
        for_=views.SUBJECT, installation=installation, leases=leases, ended=gone, **more
    )


def test_a_copy_says_who_issued_its_leases_and_is_otherwise_the_same() -> None:
    held = views.record()
    known = spec(held, ended=("attempt-0",), futureField=1)
    copy = adopted(known, None, NEW)
    assert copy.installation == NEW
    assert copy.leases == (held.but(installation=OLD),)
    assert copy.ended == known.ended
    assert copy.dump()["futureField"] == 1


def test_a_lease_that_is_adopted_twice_keeps_the_installation_that_issued_it() -> None:
    once = adopted(spec(views.record()), None, NEW)
    (twice,) = adopted(once, None, "cluster/newest").leases
    assert twice.installation == OLD


def test_what_the_new_installation_did_meanwhile_stands() -> None:
    known = spec(views.record(1), views.record(2))
    moved = views.record(1, State.REVOKING, revoke=PENDING).but(installation=OLD)
    there = spec(moved, views.record(3), installation=NEW, ended=("attempt-2",))
    after = adopted(known, there, NEW)
    assert after.leases == (moved, views.record(3))


def test_what_the_old_installation_did_meanwhile_stands_too() -> None:
    there = adopted(spec(views.record(1), views.record(2)), None, NEW)
    known = spec(views.record(1, State.SUPERSEDED, revoke=PENDING), ended=("attempt-2",))
    (only,) = adopted(known, there, NEW).leases
    assert (only.attempt_id, only.state) == ("attempt-1", State.SUPERSEDED)


def test_a_claimed_attempt_gets_the_answer_that_the_other_record_has() -> None:
    claimed = views.attempt(1, State.REVOKING, revoke=PENDING)
    for known, there in ((claimed, views.record(1)), (views.record(1), claimed)):
        (only,) = adopted(spec(known), spec(there, installation=NEW), NEW).leases
        assert (only.state, only.lease_id) == (State.REVOKING, "lease-1")
        assert only.expires_at == views.record(1).expires_at


def test_trusts_go_with_their_leases() -> None:
    trusting = views.record(1)
    trusting = trusting.but(provider=trusting.provider.model_copy(update={"trust": "a"}))
    trusts = {"a": {"caBundle": "A"}, "b": {"caBundle": "B"}}
    assert adopted(spec(trusting, trusts=trusts), None, NEW).trusts == {"a": trusts["a"]}


LEASE = st.builds(
    lambda number, state: views.record(
        number, state, revoke=None if state in (State.ATTEMPT, State.HELD) else PENDING
    ),
    st.integers(1, 4),
    st.sampled_from(State),
)
LEASES = st.lists(LEASE, max_size=4, unique_by=lambda one: one.attempt_id)
ENDED = st.lists(st.sampled_from([f"attempt-{n}" for n in range(6)]), max_size=4, unique=True)


@given(LEASES, ENDED, LEASES, ENDED)
def test_a_join_loses_no_lease_that_nobody_saw_end_and_is_the_same_however_often(
    old: list[RecordedLease], gone: list[str], new: list[RecordedLease], over: list[str]
) -> None:
    known = spec(*old, ended=tuple(gone))
    there = spec(*new, installation=NEW, ended=tuple(over))
    after = adopted(known, there, NEW)
    named = {one.attempt_id for one in (*old, *new)}
    assert {one.attempt_id for one in after.leases} == named - {*gone, *over}
    assert {one.attempt_id for one in after.ended} == {*gone, *over}
    assert adopted(known, after, NEW) == after
    states = {one.attempt_id: [*State].index(one.state) for one in after.leases}
    for one in (*old, *new):
        assert [*State].index(one.state) <= states.get(one.attempt_id, len(State))


def test_no_more_ends_are_kept_than_a_record_has_room_for_and_they_are_the_last() -> None:
    known = spec(ended=tuple(f"old-{n}" for n in range(MOST_ENDED)))
    there = spec(installation=NEW, ended=tuple(f"new-{n}" for n in range(MOST_ENDED)))
    after = adopted(known, there, NEW).ended
    assert len(after) == MOST_ENDED
    assert min(one.at for one in after) == views.at(MOST_ENDED / 2)


def test_of_what_ended_a_lease_that_was_left_alive_is_forgotten_last() -> None:
    left = Ended(
        attempt_id="left", at=views.at(-9), why="Orphaned", until=views.at(86_400), lease_id="l"
    )
    known = spec(ended=tuple(f"old-{n}" for n in range(MOST_ENDED - 1)))
    known = known.model_copy(update={"ended": (*known.ended, left)})
    there = spec(installation=NEW, ended=tuple(f"new-{n}" for n in range(MOST_ENDED)))
    after = adopted(known, there, NEW).ended
    assert len(after) == MOST_ENDED
    assert left in after
