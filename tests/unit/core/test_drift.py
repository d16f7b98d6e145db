"""What is done where somebody changed, emptied or renamed a Secret."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api import names
from leaseholder.api.conditions import ConditionType, Reason, find
from leaseholder.api.lease import Drift, Retry
from leaseholder.api.record import State
from leaseholder.core import contents, drift, revocations, status
from leaseholder.core.actions import Acquire, Deliver, Idle, Move, Renew
from leaseholder.core.memory import Memory
from tests.unit.core import views
from tests.unit.core.views import decide

RECORD = views.record()


def test_a_renamed_secret_waits_while_suspended() -> None:
    former = views.secret(RECORD, name="former")
    dl = views.lease({"suspend": True})
    _, step = views.after_reports(views.view(RECORD, dl=dl, secrets=(former,)))
    assert isinstance(step, Idle)
    dl = views.lease({"suspend": False})
    assert decide(views.view(RECORD, dl=dl, secrets=(former,))) == Deliver(RECORD)


def test_a_repair_that_is_refused_is_told_until_it_is_done() -> None:
    dl = views.lease({"target": {"template": {"metadata": {"labels": {"team": "shop"}}}}})
    seen = replace(views.told(views.holding()), dl=dl)
    refused = replace(seen, memory=Memory(failure=views.FAILURE, repairs=1, repaired=1000.0))
    told = views.told(refused)
    again = status.status(told, views.wanted(told))
    assert again.retry is not None
    target = views.secret(RECORD, dl=dl)
    done = replace(told, target=target, secrets=(target,))
    assert status.status(done, views.wanted(done)).retry is None


@pytest.mark.parametrize(("repairs", "wait"), [(1, 2), (2, 4), (8, 256), (9, 300), (10_000, 300)])
def test_each_repair_in_a_row_waits_longer_however_long_somebody_keeps_at_it(
    repairs: int, wait: float
) -> None:
    memory = Memory(repairs=repairs, repaired=1000.0, repaired_generation=1)
    seen = views.told(views.holding(memory=memory))
    assert drift.repair_at(seen, views.wanted(seen)) == 1000.0 + wait
    assert seen.target is not None
    target = replace(seen.target, labels={names.OWNER_UID: views.UID})
    stripped = replace(seen, target=target, secrets=(target,))
    assert decide(views.later(stripped, wait)) == Deliver(RECORD)


def test_a_damage_is_told_before_it_is_healed_and_a_second_one_waits() -> None:
    seen = views.told(views.holding())
    assert seen.target is not None
    target = views.changed(seen.target, DB_PASSWORD="edited")
    harmed = replace(seen, target=target, secrets=(target,))
    told = views.told(harmed)
    ready = find(views.wanted(told).status.conditions, ConditionType.READY)
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", Reason.SECRET_CHANGED)
    assert decide(told) == Acquire(reason=Reason.SECRET_CHANGED)
    known = views.wanted(told).status.drift
    assert known is not None
    second = known.model_copy(update={"times": 2})
    status = views.wanted(told).status.model_copy(update={"drift": second})
    waiting, step = views.after_reports(views.tell(told, status))
    assert step == Idle(views.at(60))
    assert decide(views.later(waiting, 60)) == Acquire(reason=Reason.SECRET_CHANGED)


@given(st.integers(2, 99))
def test_each_damage_in_a_row_waits_longer_up_to_an_hour(times: int) -> None:
    def wait(count: int) -> float:
        known = Drift(attempt="r", times=count, at=views.NOW)
        return (drift.until(known) - views.NOW).total_seconds()

    assert wait(1) == 0
    assert 60 <= wait(times) <= wait(times + 1) <= 3600


def test_a_back_off_of_the_provider_does_not_hold_back_a_repair() -> None:
    dl = views.lease({"target": {"template": {"metadata": {"labels": {"team": "shop"}}}}})
    seen = views.told(views.holding())
    status = views.wanted(seen).status.model_copy(
        update={"retry": Retry(failures=1, next_at=views.at(60), reason=Reason.UNAVAILABLE)}
    )
    changed = dl.model_copy(update={"status": status})
    _, step = views.after_reports(replace(seen, dl=changed))
    assert step == Deliver(RECORD)


def test_keys_that_come_and_go_are_told() -> None:
    seen = views.holding()
    wanted = contents.filled(views.wanted(seen), views.record(2), {"DB_USERNAME": "x", "NEW": "x"})
    note = drift.keys_changed(seen, wanted.contents)
    assert note is not None
    assert "gone: DB_PASSWORD; new: NEW" in note.message
    more = dict.fromkeys(("DB_PASSWORD", "DB_USERNAME", "NEW"), "x")
    grown = contents.filled(views.wanted(seen), views.record(2), more)
    only_new = drift.keys_changed(seen, grown.contents)
    assert only_new is not None
    assert "(new: NEW)" in only_new.message
    fewer = contents.filled(views.wanted(seen), views.record(2), {"DB_USERNAME": "x"})
    only_gone = drift.keys_changed(seen, fewer.contents)
    assert only_gone is not None
    assert "(gone: DB_PASSWORD)" in only_gone.message


def test_the_same_keys_and_a_first_delivery_are_no_news() -> None:
    same = contents.filled(views.lease(), views.record(2), {"DB_USERNAME": "x", "DB_PASSWORD": "x"})
    assert drift.keys_changed(views.holding(), same.contents) is None
    assert drift.keys_changed(views.view(), same.contents) is None


@pytest.mark.parametrize("name", ["orders", "former"])
def test_while_a_secret_lost_its_notes_it_is_thought_to_hold_the_newest_lease(name: str) -> None:
    secret = replace(views.secret(RECORD, name=name), annotations={})
    target = secret if name == "orders" else None
    older = views.record(0)
    seen = views.view(older, RECORD, secrets=(secret,), target=target)
    step = decide(seen)
    assert isinstance(step, Move)
    assert (step.record, step.to.state) == (older, State.SUPERSEDED)
    alone = views.view(RECORD, secrets=(secret,), target=target)
    assert drift.kept(alone, views.wanted(alone)) == RECORD
    _, step = views.after_reports(alone)
    assert isinstance(step, Acquire)
    halted = replace(alone, dl=views.lease({"suspend": True}))
    _, step = views.after_reports(views.later(halted, 3500))
    assert isinstance(step, Renew)


@pytest.mark.parametrize(("seconds", "pending"), [(300, False), (3540, True)])
def test_a_replaced_lease_that_a_secret_without_notes_may_hold_lives_on(
    seconds: float, pending: bool
) -> None:
    replaced, target = views.superseded(), replace(views.secret(), annotations={})
    seen = views.later(views.view(replaced, secrets=(target,), target=target), seconds)
    step = revocations.pending(seen)
    assert isinstance(step, Move) is pending
