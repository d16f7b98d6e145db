"""Which leases were lost: this installation's, known nowhere, and not under way."""

from datetime import timedelta
from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api import base
from leaseholder.api.conditions import Reason
from leaseholder.api.record import (
    Ended,
    LeaseRecord,
    RecordedLease,
    RecordSpec,
    State,
    address_key,
    without,
)
from leaseholder.core import unrecorded
from leaseholder.ports.provider import Capabilities, Lease, Marked
from leaseholder.ports.records import MOST_RIVALS
from tests.unit.core import views

SEND_WITHIN = timedelta(seconds=20)
CAN = Capabilities(
    renewable=True,
    revocable=True,
    verifiable=True,
    recoverable=True,
    sweepable=True,
    settle=30,
    replica_lag=10,
)
BY_OWNER = Capabilities(
    renewable=True,
    revocable=True,
    verifiable=True,
    recoverable=True,
    sweepable=True,
    found_by="OwnerAndTime",
)
ADDRESS = views.record().provider.address
HASHED = address_key(ADDRESS)


def shown(
    lease_id: str = "found",
    *,
    issued: int = -60,
    expires: int = 3600,
    attempt: str = "lost",
    can: Capabilities = CAN,
    handle: dict[str, Any] | None = None,
) -> unrecorded.Shown:
    """A lease as a provider shows it; moments in seconds from now."""
    lease = Lease(
        id=lease_id,
        source={},
        issued_at=views.at(issued),
        expires_at=views.at(expires),
        handle=handle or {},
    )
    marked = Marked(lease, attempt)
    return unrecorded.Shown(marked=marked, address=ADDRESS, now=views.NOW, can=can)


def known(
    *leases: RecordedLease, ids: dict[str, set[str]] | None = None, **spec: Any
) -> unrecorded.KnownLeases:
    page = LeaseRecord(
        metadata=base.ObjectMeta(name="page"),
        spec=RecordSpec(for_=views.SUBJECT, installation="here", leases=leases, **spec),
    )
    return unrecorded.KnownLeases.of([page], ids)


def known_spec(*leases: RecordedLease) -> RecordSpec:
    return RecordSpec(for_=views.SUBJECT, installation="here", leases=leases)


def lacks(seen: unrecorded.KnownLeases, one: unrecorded.Shown) -> bool:
    return seen.lacks(one, SEND_WITHIN)


def test_a_lease_that_nothing_knows_was_lost() -> None:
    assert lacks(known(views.record()), shown())


def test_a_lease_on_record_or_let_go_was_not() -> None:
    held = views.record()
    assert not lacks(known(held), shown(held.lease_id))
    assert not lacks(known(ids={ADDRESS: {"found"}}), shown())
    over = Ended(attempt_id="x", at=views.NOW, why="Orphaned", lease_id="found")
    assert not lacks(known(ended=(over.model_copy(update={"address": HASHED}),)), shown())


def test_what_another_server_calls_its_leases_hides_none() -> None:
    """A tenant who sees the ids has a server of its own give them out."""
    held = views.record()
    elsewhere = held.provider.model_copy(update={"address": "https://evil.example"})
    theirs = held.but(provider=elsewhere, lease_id="found")
    assert lacks(known(theirs), shown())
    assert known(theirs).anywhere == {"found"}
    assert lacks(known(ids={"https://evil.example": {"found"}}), shown())
    gone = without(known_spec(theirs), theirs.attempt_id, "Forgotten", views.NOW)
    assert gone.ended[-1].lease_id == "found"
    assert lacks(known(ended=gone.ended), shown())


def test_a_second_lease_of_an_attempt_that_has_one_was_lost() -> None:
    """A proxy on the way sent the request twice."""
    held = views.record()
    assert lacks(known(held), shown(attempt=held.attempt_id))


@pytest.mark.parametrize("state", [State.ATTEMPT, State.REVOKING])
def test_the_lease_of_an_attempt_that_is_open_is_left_to_its_own_search(state: State) -> None:
    opened = views.record().but(state=state, lease_id="")
    assert not lacks(known(opened), shown(attempt=opened.attempt_id))
    assert lacks(known(opened), shown())
    assert not lacks(known(opened), shown(attempt="", can=BY_OWNER)), "it may be its lease"
    elsewhere = opened.but(provider=opened.provider.model_copy(update={"address": "https://b"}))
    assert lacks(known(elsewhere), shown(attempt="", can=BY_OWNER))


@pytest.mark.parametrize(
    ("issued", "expires", "lost"),
    [
        (-60, 1, True),
        (-59, 1, False),
        (60, 3600, False),
        (-9e4, -86_399, True),
        (-9e4, -86_400, False),
    ],
)
def test_what_may_be_under_way_or_is_long_over_is_left_alone(
    issued: int, expires: int, lost: bool
) -> None:
    assert lacks(known(), shown(issued=issued, expires=expires)) is lost


def test_a_lease_that_fits_on_no_record_is_left_alone() -> None:
    assert not lacks(known(), shown("x" * 1025))
    assert not lacks(known(), shown(handle={"notes": "x" * 4096}))


def test_of_each_slot_only_some_notes_are_kept() -> None:
    many = [views.record(n).but(slot="slot", notes={"n": n}) for n in range(22)]
    assert len(known(*many).noted["slot"]) == MOST_RIVALS


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        ({}, "False", "found no lease of this installation that is on no record"),
        ({"number": 1}, "True", "1 lease of this installation is on no record: check them there"),
        ({"number": 2}, "True", "2 leases of this installation are on no record"),
        ({"number": 100}, "True", "100 or more leases of this installation"),
        ({"number": 2, "revokes": True}, "True", "put on record, some at a time, and revoked"),
        ({"number": 2, "shared": 1, "revokes": True}, "True", "1 of a shared account stay"),
        (
            {"number": 9, "shared": 1, "named": 2, "revokes": True},
            "True",
            "1 of a shared account and 2 that Secrets or other addresses name stay, any others",
        ),
        ({"sweepable": False}, "Unknown", "leases there have no mark of whose they are"),
    ],
)
def test_what_a_sweep_came_to_is_told_in_a_sentence(
    found: dict[str, Any], status: str, words: str
) -> None:
    told = unrecorded.SweepResult(**found).condition()
    assert told[0] == status
    assert words in told[2]


def test_a_sweep_that_failed_tells_why_unless_it_found_something_before() -> None:
    failure = errors.Unavailable(Reason.UNAVAILABLE, "it is down", sent=False)
    failed = unrecorded.SweepResult(failure=failure).condition()
    assert failed == ("Unknown", Reason.UNAVAILABLE, "the last sweep failed: it is down")
    assert unrecorded.SweepResult(number=1, failure=failure).condition()[0] == "True"
