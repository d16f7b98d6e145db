"""How far a rollout has come: complete only when every pod is new and available."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.core import progress
from tests.unit.core import views

COUNTS = st.fixed_dictionaries(dict.fromkeys(("updated", "total", "available"), st.integers(0, 4)))


def state(**changes: Any) -> str:
    return progress.judge(views.workload(**changes)).state


def text(**changes: Any) -> str:
    return progress.judge(views.workload(**changes)).text


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_all_pods_new_and_available_is_complete(kind: Any) -> None:
    assert state(kind=kind) == "Complete"
    assert state(kind=kind, wanted=0, updated=0, total=0, available=0) == "Complete"


@pytest.mark.parametrize(
    "changes", [{"observed": False}, {"updated": 1}, {"total": 3}, {"available": 1}]
)
def test_anything_short_of_that_waits(changes: dict[str, Any]) -> None:
    assert state(**changes) == "Waiting"


@given(counts=COUNTS)
def test_no_old_pod_is_left_when_it_is_complete(counts: dict[str, int]) -> None:
    if state(**counts) == "Complete":
        assert counts["updated"] >= counts["total"]
        assert min(counts["updated"], counts["available"]) >= 2


def test_what_it_waits_for_is_told_in_numbers() -> None:
    told = text(updated=1, total=3, available=1)
    assert told == "1 of 2 pods are updated, 1 available, 2 old ones left"
    assert text(available=1) == "2 of 2 pods are updated, 1 available"
    assert text(paused=True, available=1).startswith("it is paused, ")
    assert text(observed=False) == "its controller hasn't seen the restart yet"


def test_pods_that_have_not_ended_yet_are_waited_for() -> None:
    assert (state(terminating=1), text(terminating=1)) == ("Waiting", "1 pod hasn't ended yet")
    assert text(terminating=2) == "2 pods haven't ended yet"
    none = {"wanted": 0, "updated": 0, "total": 0, "available": 0}
    assert state(terminating=1, **none) == "Waiting"


def test_a_deployment_past_its_progress_deadline_has_failed() -> None:
    assert state(stuck=True, updated=1) == "Failed"
    assert state(stuck=True, observed=False) == "Waiting"


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("StatefulSet", {"strategy": "OnDelete"}),
        ("DaemonSet", {"strategy": "OnDelete"}),
        ("StatefulSet", {"partition": 1}),
    ],
)
def test_what_cant_complete_by_itself_says_so_until_somebody_replaced_the_pods(
    kind: Any, changes: dict[str, Any]
) -> None:
    assert state(kind=kind, updated=1, **changes) == "Failed"
    assert "waitForRollout: false" in text(kind=kind, updated=1, **changes)
    assert state(kind=kind, available=1, **changes) == "Waiting"
    assert state(kind=kind, **changes) == "Complete"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"phase": "Healthy"}, "Complete"),
        ({"phase": "Healthy", "restarted": False}, "Waiting"),
        ({"phase": "Healthy", "observed": False}, "Waiting"),
        ({"phase": "Paused"}, "Waiting"),
        ({"phase": ""}, "Waiting"),
        ({"phase": "Degraded"}, "Failed"),
    ],
)
def test_an_argo_rollout_is_complete_when_restarted_and_healthy(
    changes: dict[str, Any], expected: str
) -> None:
    assert state(kind="Rollout", wanted=0, **changes) == expected
