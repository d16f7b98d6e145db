"""What is done for a lease while the API server is away: a renewal in time, nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api import conditions, names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLeaseStatus, Handled, RestartTarget, Retry
from leaseholder.api.record import State
from leaseholder.core import offline
from leaseholder.core.actions import Idle, Renew
from leaseholder.core.memory import Memory
from leaseholder.core.observation import TargetView
from leaseholder.core.view import View
from leaseholder.ports.provider import Capabilities
from tests.unit.core import views

DUE = 2400


def seen(**more: object) -> View:
    found = offline.keepsake(views.holding(**more))  # type: ignore[arg-type]
    assert found is not None
    return found.view


def fresh() -> Memory:
    held = views.record()
    return views.remembers(held, shown=views.known(held, 3540))


@given(after=st.integers(0, 2 * 24 * 3600))
def test_it_is_renewed_when_due_never_beyond_its_life_and_not_for_ever(after: int) -> None:
    before = seen(memory=fresh())
    now = views.later(before, after)
    step = offline.decide(before, now)
    if after >= offline.LONGEST.total_seconds():
        assert step == Idle(None)
    elif isinstance(step, Renew):
        assert step.until == views.at(after + 3600)
        assert step.nonce is None
        assert after >= 2300
    else:
        assert after < DUE
        assert step.until is not None
        assert now.now < step.until <= views.at(DUE)


def test_a_ttl_that_was_raised_and_isnt_on_record_yet_is_not_asked_for() -> None:
    before = seen(memory=fresh(), dl=views.lease({"ttl": "48h"}))
    step = offline.decide(before, views.later(before, 60))
    assert isinstance(step, Renew)
    assert step.until == views.at(60 + 3600)


def test_a_lease_whose_expiry_is_known_first_hand_is_renewed_at_once() -> None:
    before = seen(memory=fresh())
    step = offline.decide(before, views.later(before, DUE))
    assert isinstance(step, Renew)
    assert not step.inspect_first


@pytest.mark.parametrize(
    ("memory", "retry"),
    [
        (Memory(), None),
        (replace(fresh(), failure=views.FAILURE), None),
        (fresh(), Retry(failures=1, next_at=views.NOW, reason=Reason.UNAVAILABLE)),
    ],
)
def test_after_anything_unclear_it_is_looked_at_first(memory: Memory, retry: Retry | None) -> None:
    dl = views.lease(status=DynamicLeaseStatus(handled=Handled(), retry=retry))
    before = seen(memory=memory, dl=dl)
    step = offline.decide(before, views.later(before, DUE))
    assert isinstance(step, Renew)
    assert step.inspect_first


def test_a_suspended_lease_is_renewed_too() -> None:
    before = seen(dl=views.lease({"suspend": True}))
    assert isinstance(offline.decide(before, views.later(before, DUE)), Renew)


def test_a_command_waits_until_it_can_be_answered() -> None:
    before = seen(dl=views.lease(annotations={names.RENEW: "now"}))
    assert isinstance(offline.decide(before, before), Idle)


def test_a_lease_that_the_provider_doesnt_know_is_left_alone() -> None:
    before = seen(memory=fresh())
    before.known(views.record()).gone_since = views.NOW
    assert offline.decide(before, views.later(before, DUE)) == Idle(None)


def test_a_lease_that_can_only_be_replaced_waits_for_the_api_server() -> None:
    before = seen(dl=views.lease({"renewal": {"strategy": "Rotate"}}))
    assert offline.decide(before, views.later(before, DUE)) == Idle(None)


@pytest.mark.parametrize(
    "view",
    [
        views.holding(views.lease(deleted_at=views.NOW)),
        views.holding(views.lease(finalizers=())),
        views.view(vanished=True),
        views.view(views.record()),
        views.holding(held=views.record(state=State.SUPERSEDED)),
        views.holding(can=None),
        views.holding(can=replace(views.CAN, renewable=False)),
        views.holding(can=replace(views.CAN, revocable=False)),
        views.holding(can=replace(views.CAN, verifiable=False)),
    ],
)
def test_nothing_is_kept_in_mind_of_what_must_not_be_renewed_unseen(view: View) -> None:
    assert offline.keepsake(view) is None


def test_a_view_without_a_lease_leads_to_nothing() -> None:
    empty = views.view(vanished=True)
    assert offline.decide(empty, empty) == Idle(None)
    assert isinstance(views.CAN, Capabilities)


def test_nothing_that_a_tenant_wrote_on_the_secret_and_no_value_of_it_is_kept() -> None:
    view = views.holding()
    assert views.decide(view) is not None
    assert view._held, "the seal was reckoned"
    keepsake = offline.keepsake(view)
    assert keepsake is not None
    kept = keepsake.view
    assert kept.target is not None
    assert not kept._held
    assert not kept.target.values.reveal()
    assert (kept.target.labels, kept.target.keys) == ({}, ())
    assert kept.target.annotations.keys() == {names.ATTEMPT, names.LEASE_ID}
    assert kept.delivered == view.delivered


def test_of_the_dynamiclease_neither_source_nor_template_is_kept_and_all_else_is() -> None:
    template = {"data": {"URL": "{{ DB_USERNAME }}"}}
    dl = views.lease({"target": {"secretName": "orders", "template": template}, "suspend": True})
    kept = seen(dl=dl).dl
    assert kept is not None
    assert (kept.spec.infisical, kept.spec.target.template.data) == (None, {})
    assert dl.spec.infisical is not None
    target = dl.spec.target.model_copy(update={"template": kept.spec.target.template})
    spec = dl.spec.model_copy(update={"infisical": None, "target": target})
    meta = dl.metadata.model_copy(update={"finalizers": ()})
    assert kept == dl.model_copy(update={"spec": spec, "metadata": meta})


def test_neither_marks_of_the_dynamiclease_nor_the_workloads_of_its_rollout_are_kept() -> None:
    dl = views.lease(annotations={names.ROTATE: "x" * 250_000, "note": "x" * 10_000})
    wanted = RestartTarget(kind="Deployment", name="orders")
    target = TargetView(wanted, tuple(views.workload(f"o-{number}") for number in range(1_000)))
    kept = seen(dl=dl, targets=(target,))
    assert kept.targets == ()
    assert len(views.wanted(kept).model_dump_json()) < 5_000


def test_of_the_conditions_ready_alone_is_kept() -> None:
    told = views.told(views.holding())
    assert len(views.wanted(told).status.conditions) > 1
    keepsake = offline.keepsake(told)
    assert keepsake is not None
    kept = views.wanted(keepsake.view).status
    ready = conditions.find(views.wanted(told).status.conditions, conditions.ConditionType.READY)
    assert ready is not None
    assert kept.conditions == (ready,)
    assert kept.lease == views.wanted(told).status.lease
