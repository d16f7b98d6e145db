from dataclasses import replace
from typing import Any

import pytest

from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLeaseStatus, Handled
from leaseholder.core import plan, status
from leaseholder.core.memory import Memory
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
    seen = views.holding(held=held, memory=views.remembers(held, unrenewable=True))
    assert planned(seen).strategy == "Rotate"


def test_a_lease_whose_renewals_fail_is_replaced_when_a_tenth_of_its_life_is_left() -> None:
    held = views.record()
    seen = views.holding(held=held, memory=views.remembers(held, not_renewed=True))
    assert planned(seen) == Plan("Rotate", views.at(3540 - 360))
    assert need(views.later(seen, 3540 - 361)) is None
    assert need(views.later(seen, 3540 - 360)) == Need(Reason.ROTATING)
    assert plan.to_renew(views.later(seen, 3540 - 360), views.wanted(seen)) == held


def test_a_lease_whose_renewals_are_due_later_than_that_is_replaced_when_they_fail() -> None:
    held, dl = views.record(), views.lease({"renewal": {"afterPercent": 95}})
    seen = views.holding(dl, held=held, memory=views.remembers(held, not_renewed=True))
    assert planned(seen) == Plan("Rotate", views.at(3540 - 180))


@pytest.mark.parametrize("strategy", ["Auto", "Renew"])
def test_a_failed_renewal_replaces_neither_a_shared_account_nor_with_the_strategy_renew(
    strategy: str,
) -> None:
    held, dl = views.record(), views.lease({"renewal": {"strategy": strategy}})
    can = replace(views.CAN, slots="One" if strategy == "Auto" else "Many")
    seen = views.holding(dl, held=held, can=can, memory=views.remembers(held, not_renewed=True))
    assert planned(seen) == Plan("Renew", views.at(3540 - 1224))
    assert need(views.later(seen, 3530)) is None


def test_a_lease_at_its_latest_end_is_replaced() -> None:
    held = views.record()
    bound = views.remembers(held, shown=views.known(held, 3540, latest=3540))
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


@pytest.mark.parametrize(("ends", "waits"), [(3600, 61), (66, 61), (65, None)])
def test_a_lease_is_kept_waiting_for_replicas_only_while_it_lives(
    ends: float, waits: float | None
) -> None:
    held = views.record(expires=ends)
    memory = views.remembers(held, renewed_at=1000.0)
    seen = views.holding(held=held, memory=memory, can=replace(views.CAN, replica_lag=60))
    assert plan.apart(seen, held) == (None if waits is None else views.at(waits))
