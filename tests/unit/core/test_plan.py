from dataclasses import replace
from typing import Any

import pytest

from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease, DynamicLeaseStatus, Handled, Retry
from leaseholder.api.record import RecordedLease, State, Subject
from leaseholder.core import obstacles, plan, status
from leaseholder.core.memory import Memory
from leaseholder.core.observation import Others, Rival
from leaseholder.core.plan import Need, Plan
from leaseholder.core.view import View
from leaseholder.ports.provider import Capabilities
from tests.unit.core import views
from tests.unit.providers import phasebench

UNRENEWABLE = replace(views.CAN, renewable=False)


def planned(seen: View) -> Plan:
    assert seen.delivered is not None
    return plan.plan(seen, views.wanted(seen), seen.delivered)


def need(seen: View) -> Need | None:
    return plan.need(seen, views.wanted(seen))


def test_a_lease_that_can_be_renewed_is_renewed_after_two_thirds() -> None:
    assert planned(views.holding()) == Plan("Renew", views.at(3540 - 1224))


def test_a_lease_of_an_unknown_provider_is_thought_renewable() -> None:
    assert planned(views.holding(can=None)).strategy == "Renew"


def test_a_lease_that_cannot_be_renewed_is_replaced() -> None:
    assert planned(views.holding(can=UNRENEWABLE)) == Plan("Rotate", views.at(3540 - 1224))


def test_a_lease_that_the_provider_would_not_renew_is_replaced() -> None:
    held = views.record()
    seen = views.holding(held=held, memory=Memory(unrenewable={held.attempt_id}))
    assert planned(seen).strategy == "Rotate"


def test_a_lease_at_its_latest_end_is_replaced() -> None:
    held = views.record()
    bound = Memory(leases={held.attempt_id: views.known(held, 3540, latest=3540)})
    assert planned(views.holding(held=held, memory=bound)).strategy == "Rotate"


def test_the_strategy_rotate_never_renews() -> None:
    assert planned(views.holding(views.lease({"renewal": {"strategy": "Rotate"}}))) == Plan(
        "Rotate", views.at(3540 - 1224)
    )


def test_the_strategy_renew_replaces_nothing_before_its_end() -> None:
    dl = views.lease({"renewal": {"strategy": "Renew"}})
    assert planned(views.holding(dl, can=UNRENEWABLE)) == Plan("Rotate", views.at(3540))


def test_a_renewal_under_the_minimum_of_the_provider_waits() -> None:
    can = replace(views.CAN, minimum_renewal=3000)
    assert planned(views.holding(can=can)) == Plan("Renew", views.at(3540 - 600))


def test_a_longer_ttl_makes_a_renewal_due_at_once() -> None:
    """The lease was given an hour; two thirds of twelve are more than it has left."""
    found = planned(views.holding(views.lease({"ttl": "12h"})))
    assert found.strategy == "Renew"
    assert found.at <= views.at(0)


@pytest.mark.parametrize("ttl", ["60s", "62s", "64s"])
def test_the_shortest_leases_of_phase_are_renewed_though_no_lease_is_shorter(ttl: str) -> None:
    """Phase issues none under a minute, and adds any number of seconds to one."""
    adapter = phasebench.bench().adapter
    dl = views.lease({"ttl": ttl, "renewal": {"strategy": "Renew"}})
    found = planned(views.holding(dl, can=adapter.capabilities({})))
    assert found.strategy == "Renew"
    assert views.at(3540 - 30) < found.at < views.at(3540 - 10)


def test_a_lease_is_replaced_at_its_greatest_age_even_where_it_can_be_renewed() -> None:
    dl = views.lease({"rotation": {"maxAge": "30m"}})
    seen = views.holding(dl)
    assert planned(seen) == Plan("Rotate", views.at(1740))
    assert need(views.later(seen, 1739)) is None
    assert need(views.later(seen, 1740)) == Need(Reason.ROTATING)


def test_a_lease_past_its_greatest_age_is_still_renewed() -> None:
    dl = views.lease({"rotation": {"maxAge": "30m"}, "suspend": True})
    seen = views.later(views.holding(dl), 3540 - 1224)
    assert seen.delivered is not None
    assert plan.to_renew(seen, dl) == seen.delivered


def test_a_lease_of_unknown_issue_has_no_age() -> None:
    dl = views.lease({"rotation": {"maxAge": "60s"}})
    assert planned(views.holding(dl, views.record(issued=None))).strategy == "Renew"


def test_a_longer_ttl_never_issues_another_lease() -> None:
    dl = views.lease({"ttl": "48h"})
    assert need(views.holding(dl, can=UNRENEWABLE)) is None


def test_a_provider_that_grants_less_than_asked_is_not_asked_again_at_once() -> None:
    short = views.record(issued=0, expires=600)
    assert need(views.holding(held=short, can=UNRENEWABLE)) is None


def test_without_a_delivered_lease_a_new_one_is_needed() -> None:
    assert need(views.view()) == Need(Reason.PROGRESSING)


def test_with_a_lease_in_hand_no_other_is_needed() -> None:
    fresh = views.record(2)
    assert need(views.view(fresh, memory=views.in_hand(fresh))) is None
    held = views.record(1)
    assert need(views.view(held, fresh, shows=held, memory=views.in_hand(fresh))) is None


def test_an_overtaken_lease_in_memory_never_blocks_the_next_issue() -> None:
    old, newer = views.record(1), views.pending(2)
    seen = views.view(old, newer, shows=newer, memory=views.in_hand(old))
    assert need(seen) == Need(Reason.PROGRESSING)


def test_a_suspended_lease_needs_nothing() -> None:
    assert need(views.view(dl=views.lease({"suspend": True}))) is None


def test_another_source_needs_a_new_lease() -> None:
    seen = views.holding(supply=views.supply("another"))
    assert need(seen) == Need(Reason.SOURCE_CHANGED)
    assert need(replace(seen, supply=None)) is None


def test_a_rotate_command_needs_a_new_lease_once() -> None:
    dl = views.lease(annotations={names.ROTATE: "now"})
    assert need(views.holding(dl)) == Need(Reason.COMMANDED, "now")
    answered = views.record(rotate_nonce="now")
    assert need(views.holding(dl, answered)) is None


def test_a_command_that_stands_at_first_sight_counts_as_handled() -> None:
    dl = views.lease(annotations={names.ROTATE: "a", names.RENEW: "b"}, status=DynamicLeaseStatus())
    assert plan.rotate_nonce(dl) == ""
    assert plan.renew_nonce(views.holding(dl), dl) == ""


def test_a_renew_command_is_handled_when_it_was_acted_on() -> None:
    dl = views.lease(annotations={names.RENEW: "now"})
    seen = views.holding(dl)
    assert plan.renew_nonce(seen, dl) == "now"
    assert seen.delivered is not None
    assert plan.to_renew(seen, dl) == seen.delivered
    acted = replace(seen, memory=Memory(renew_handled="now"))
    assert plan.renew_nonce(acted, dl) == ""


@pytest.mark.parametrize(
    ("spec", "can", "why"),
    [
        ({"renewal": {"strategy": "Rotate"}}, views.CAN, "spec.renewal.strategy is Rotate"),
        ({}, replace(views.CAN, renewable=False), "it can only be replaced"),
    ],
)
def test_a_renew_command_that_cant_be_obeyed_is_answered(
    spec: dict[str, Any], can: Capabilities, why: str
) -> None:
    dl = views.lease(spec, annotations={names.RENEW: "now"})
    refused = plan.renew_refused(views.holding(dl, can=can), dl)
    assert refused is not None
    assert (refused.type, refused.reason) == ("Warning", Reason.CANNOT_RENEW)
    assert why in refused.message
    assert names.ROTATE in refused.message
    said = status.report(views.holding(dl, can=can), dl)
    assert said is not None
    assert refused in said.notes
    assert said.status.handled is not None
    assert said.status.handled.renew == "now"
    told = views.tell(views.holding(dl, can=can), said.status)
    assert plan.renew_refused(told, views.wanted(told)) is None


def test_a_renew_command_that_can_be_obeyed_or_waits_for_a_lease_is_not_refused() -> None:
    dl = views.lease(annotations={names.RENEW: "now"})
    assert plan.renew_refused(views.holding(dl), dl) is None
    assert plan.renew_refused(views.view(dl=dl), dl) is None
    assert plan.renew_refused(views.holding(), views.lease()) is None


def test_a_command_longer_than_status_can_hold_is_cut() -> None:
    dl = views.lease(annotations={names.ROTATE: "x" * 5000})
    assert plan.rotate_nonce(dl) == "x" * 1024
    told = views.lease(
        annotations={names.ROTATE: "x" * 5000},
        status=DynamicLeaseStatus(handled=Handled(rotate="x" * 1024)),
    )
    assert plan.rotate_nonce(told) == ""


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
    assert obstacles.renewal_blocked_until(views.holding(dl), dl) is None


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
