"""What stands in the way of a new lease, and for how long."""

from dataclasses import replace
from typing import Any

import pytest

from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease, DynamicLeaseStatus, Handled, Retry
from leaseholder.api.record import RecordedLease, State, Subject
from leaseholder.core import obstacles, status
from leaseholder.core.memory import Memory
from leaseholder.core.observation import Others, Rival
from tests.unit.core import views

UNRENEWABLE = replace(views.CAN, renewable=False)


def test_an_immutable_secret_stands_in_the_way_and_is_told_while_its_lease_lives() -> None:
    seen = views.holding()
    assert seen.target is not None
    frozen = replace(seen, target=replace(seen.target, immutable=True))
    failure = obstacles.obstacle(frozen, views.lease())
    assert failure is not None
    assert (failure.reason, failure.permanent) == (Reason.WRITE_REFUSED, True)
    assert "delete it, and it is made again, with a new lease" in failure.sentence


def test_a_secret_of_another_type_stands_in_the_way_and_its_type_is_nobodys_text() -> None:
    seen = views.holding()
    assert seen.target is not None
    other = replace(seen, target=replace(seen.target, type="forged\nReady " * 10_000))
    failure = obstacles.obstacle(other, views.lease())
    assert failure is not None
    assert (failure.reason, failure.permanent) == (Reason.WRITE_REFUSED, True)
    assert failure.sentence == (
        "Secret orders is of another type than spec.target.type, Opaque, and no write changes "
        "that: delete it, and it is made again, with a new lease"
    )


def test_a_contested_secret_stands_in_the_way() -> None:
    failure = obstacles.obstacle(views.view(target_contested=True), views.lease())
    assert failure is not None
    assert (failure.reason, failure.permanent) == (Reason.NOT_OURS, True)
    assert failure.sentence == (
        "Secret orders belongs to somebody else: delete it, or write another target.secretName"
    )


@pytest.mark.parametrize(
    ("named", "owner"),
    [
        ("billing", "DynamicLease billing: delete that one"),
        ("no\nname", "somebody else: delete it"),
        (None, "somebody else: delete it"),
    ],
)
def test_of_another_dynamicleases_secret_it_is_said_whose_it_is(
    named: str | None, owner: str
) -> None:
    theirs = views.secret(views.record(), owner="another")
    notes = {**theirs.annotations, **({names.OWNER_NAME: named} if named is not None else {})}
    if named is None:
        del notes[names.OWNER_NAME]
    seen = views.view(target=replace(theirs, annotations=notes), target_contested=True)
    failure = obstacles.obstacle(seen, views.lease())
    assert failure is not None
    assert failure.sentence == (
        f"Secret orders belongs to {owner}, or write another target.secretName"
    )


def test_a_provider_that_is_not_there_stands_in_the_way() -> None:
    seen = views.view(supply=None, supply_failure=views.FAILURE)
    assert obstacles.obstacle(seen, views.lease()) == views.FAILURE


def test_five_live_leases_stand_in_the_way() -> None:
    four = tuple(views.pending(n) for n in range(1, 5))
    assert obstacles.obstacle(views.view(*four), views.lease()) is None
    failure = obstacles.obstacle(views.view(*four, views.record(5)), views.lease())
    assert failure is not None
    assert failure.reason == Reason.TOO_MANY
    assert "may live (1 in use, 4 still to be revoked): the next one" in failure.sentence


def test_abandoned_leases_and_those_past_the_last_end_that_was_asked_for_do_not_count() -> None:
    given_up = tuple(views.record(n, State.ABANDONED, expires=-1) for n in range(1, 9))
    assert obstacles.obstacle(views.view(*given_up), views.lease()) is None
    pending = tuple(views.pending(n, since=views.at(-100), expires=-90) for n in range(1, 6))
    seen = views.view(*pending)
    assert obstacles.obstacle(seen, views.lease()) is not None
    assert obstacles.obstacle(views.later(seen, 3499), views.lease()) is not None
    assert obstacles.obstacle(views.later(seen, 3500), views.lease()) is None


def test_a_lease_that_is_over_counts_in_its_namespace_once_its_dynamiclease_is_gone() -> None:
    """Revocations that nobody confirms keep no other DynamicLease from credentials that live."""
    over = tuple(views.pending(n, since=views.at(-9999), expires=-90) for n in range(1, 9))
    lives = views.pending(9, since=views.at(-100))
    assert obstacles.counted(views.view(*over, lives)) == 1
    assert obstacles.counted(views.view(*over, lives, vanished=True)) == 9
    assert obstacles.counted(views.view(*over, dl=views.lease(deleted_at=views.NOW))) == 8


def test_pending_revocations_of_a_namespace_are_bounded() -> None:
    pending = tuple(views.pending(n, since=views.at(-100)) for n in range(1, 5))
    few, many = Others(leases=1, pending=19), Others(leases=1, pending=20)
    assert obstacles.obstacle(views.view(*pending, others=few), views.lease()) is None
    met = obstacles.obstacle(views.view(*pending, others=many), views.lease())
    assert met is not None
    assert met.reason == Reason.TOO_MANY
    assert "24 leases of this namespace are still to be revoked" in met.sentence
    assert (
        obstacles.obstacle(views.view(*pending, others=replace(many, leases=2)), views.lease())
        is None
    )


def test_the_back_off_holds_tries_back_until_its_end() -> None:
    retry = Retry(failures=1, next_at=views.at(10), reason="Throttled")
    told = DynamicLeaseStatus(observed_generation=1, retry=retry)
    dl = views.lease(status=told)
    seen = views.view(dl=dl)
    assert obstacles.blocked_until(seen, dl) == views.at(10)
    assert obstacles.blocked_until(views.later(seen, 10), dl) is None
    assert obstacles.blocked_until(replace(seen, memory=Memory(poked=True)), dl) is None
    unusable = retry.model_copy(update={"reason": Reason.UNUSABLE})
    unused = views.lease(status=told.model_copy(update={"retry": unusable}))
    assert obstacles.blocked_until(replace(seen, memory=Memory(poked=True)), unused) == views.at(10)
    changed = views.lease(status=told, generation=2)
    assert obstacles.blocked_until(seen, changed) is None


def refused_by_the_backend(rotate: str = "", **more: Any) -> DynamicLease:
    """A DynamicLease whose issue just failed in a way that can cost something each time."""
    retry = Retry(failures=3, next_at=views.at(9000), reason=Reason.BACKEND_FAILED, rotate=rotate)
    told = DynamicLeaseStatus(observed_generation=1, retry=retry, handled=Handled(rotate="old"))
    return views.lease(status=told, **more)


def test_a_try_that_costs_is_not_made_for_whatever_happens() -> None:
    dl = refused_by_the_backend()
    poked = replace(views.view(dl=dl), memory=Memory(poked=True))
    assert obstacles.blocked_until(poked, dl) == views.at(9000)
    assert obstacles.blocked_until(views.later(poked, 9000), dl) is None


@pytest.mark.parametrize(
    ("tried", "asked", "blocked"),
    [("", "old", True), ("", "new", False), ("new", "new", True), ("new", "newer", False)],
)
def test_a_rotate_command_makes_a_try_that_costs_at_once_and_once(
    tried: str, asked: str, blocked: bool
) -> None:
    dl = refused_by_the_backend(tried, annotations={names.ROTATE: asked})
    assert (obstacles.blocked_until(views.view(dl=dl), dl) is not None) is blocked


def test_a_changed_spec_makes_a_try_that_costs_at_once() -> None:
    dl = refused_by_the_backend(generation=2)
    seen = views.view(dl=dl)
    assert obstacles.blocked_until(seen, dl) is None
    assert status.status(seen, dl).retry is None


def test_a_lease_is_renewed_while_its_replacement_waits_for_hours() -> None:
    dl = refused_by_the_backend()
    assert obstacles.blocked_until(views.holding(dl), dl) is not None
    seen, held = views.holding(dl), views.record()
    assert obstacles.renewal_blocked_until(seen, dl, held) is None
    seen.known(held).sustain_at = views.at(60)
    assert obstacles.renewal_blocked_until(seen, dl, held) == views.at(60)
    assert obstacles.renewal_blocked_until(views.later(seen, 60), dl, held) is None


def test_a_record_that_is_full_takes_no_further_lease() -> None:
    over = [
        views.pending(number, expires=-9999, since=views.at(-99_999)) for number in range(1, 17)
    ]
    seen = views.view(*over)
    assert obstacles.live(seen) == ()
    found = obstacles.obstacle(seen, views.wanted(seen))
    assert found is not None
    assert (found.reason, found.permanent) == (Reason.TOO_MANY, False)
    assert "16 leases are on record" in found.sentence
    fewer = views.view(*over[1:])
    assert obstacles.obstacle(fewer, views.wanted(fewer)) is None


def theirs(lease: RecordedLease, namespace: str = "shop") -> Rival:
    """A lease of another DynamicLease on the account."""
    of = Subject(namespace=namespace, namespace_uid=f"{namespace}-uid", name="others")
    return Rival(of, lease)


@pytest.mark.parametrize(
    ("namespace", "named"),
    [("shop", "DynamicLease shop/others"), ("bank", "a DynamicLease of another namespace")],
)
def test_who_holds_a_shared_account_is_named_within_the_namespace_only(
    namespace: str, named: str
) -> None:
    lease, one = views.record(9), replace(views.CAN, slots="One")
    seen = views.view(rivals=(theirs(lease, namespace),), capabilities={lease.attempt_id: one})
    failure = obstacles.obstacle(seen, views.wanted(seen))
    assert failure is not None
    assert (failure.reason, failure.permanent) == (Reason.SLOT_TAKEN, True)
    assert f"and {named} holds it: " in failure.sentence


def test_a_shared_account_is_free_again_when_its_lease_is_over() -> None:
    one = replace(views.CAN, slots="One")

    def blocked(rival: RecordedLease, after: float = 0) -> bool:
        seen = views.view(rivals=(theirs(rival),), capabilities={rival.attempt_id: one})
        return obstacles.obstacle(views.later(seen, after), views.wanted(seen)) is not None

    assert blocked(views.record(9))
    assert blocked(views.pending(9))
    assert not blocked(views.pending(9), after=3600)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ({"type": "helm.sh/release.v1"}, "type helm.sh/release.v1"),
        ({"template": {"metadata": {"labels": {"owner": "helm"}}}}, "owner"),
        (
            {"template": {"metadata": {"annotations": {"replicator.v1.mittwald.de/a": "x"}}}},
            "replicator.v1.mittwald.de/a",
        ),
    ],
)
def test_what_makes_other_controllers_act_is_delivered_by_no_older_crd_either(
    target: dict[str, Any], named: str
) -> None:
    failure = obstacles.obstacle(views.view(), views.lease({"target": target}))
    assert failure is not None
    assert (failure.reason, failure.permanent) == (Reason.WRITE_REFUSED, True)
    assert failure.sentence.startswith(f"other controllers act on Secrets with {named}: ")


def test_at_the_limit_a_lease_that_is_about_to_end_makes_room_and_one_that_isnt_does_not() -> None:
    replaced = tuple(views.superseded(n, until=9999) for n in range(1, 5))
    for left, needed in ((59, True), (61, False)):
        held = views.record(5, expires=left, issued=left - 3600)
        seen = views.view(*replaced, held, shows=held, can=UNRENEWABLE)
        assert obstacles.needs_room(seen, views.wanted(seen)) == needed
    endless = views.record(5, expires=None, issued=-3600)
    seen = views.view(*replaced, endless, shows=endless, can=UNRENEWABLE)
    assert not obstacles.needs_room(seen, views.wanted(seen))


def test_at_the_limit_a_lease_whose_renewals_fail_makes_room_when_it_is_about_to_end() -> None:
    replaced = tuple(views.superseded(n, until=9999) for n in range(1, 5))
    for failed in (True, False):
        held = views.record(5, expires=59, issued=-3541)
        memory = views.remembers(held, not_renewed=failed)
        seen = views.view(*replaced, held, shows=held, memory=memory)
        assert obstacles.needs_room(seen, views.wanted(seen)) == failed


def test_at_the_limit_a_pending_revocation_that_was_tried_in_vain_is_not_waited_for() -> None:
    replaced = tuple(views.superseded(n, until=9999) for n in range(1, 5))
    for attempts in (0, 1):
        pending = views.pending(5, attempts=attempts, next_at=views.at(60))
        seen = views.view(*replaced, pending)
        assert obstacles.needs_room(seen, views.wanted(seen)) == bool(attempts)
