"""Workloads as they are read, and the patch that restarts them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from leaseholder.api import names
from leaseholder.cluster import workloads

KEY = f"{names.RESTART}/orders"
WHEN = datetime(2026, 11, 21, 8, tzinfo=UTC)


def body(
    spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **meta: Any
) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "shop",
            "name": "orders",
            "uid": "w-1",
            "resourceVersion": "7",
            "generation": 3,
            **meta,
        },
        "spec": spec or {},
        **({"status": status} if status is not None else {}),
    }


def test_only_stamps_of_ours_in_the_pod_template_are_read() -> None:
    template = {"metadata": {"annotations": {KEY: "u-2", "note": "theirs"}}}
    seen = workloads.view("Deployment", body({"template": template}, annotations={KEY: "u-3"}))
    assert seen.stamps == {KEY: "u-2"}
    assert str(seen) == "Deployment orders"
    assert workloads.view("DaemonSet", body(annotations={KEY: "u-3"})).stamps == {}


@pytest.mark.parametrize("now", [None, "2026-11-21T07:59:00Z", "2026-11-21T08:01:00Z"])
def test_a_stamp_of_an_argo_rollout_counts_with_the_moment_of_its_restart_alone(
    now: str | None,
) -> None:
    patch = workloads.stamping(workloads.view("Rollout", body()), KEY, "u-2", WHEN)
    notes = patch["metadata"]["annotations"]
    assert workloads.view("Rollout", body(patch["spec"], annotations=notes)).stamps == {KEY: "u-2"}
    assert workloads.view("Rollout", body({"restartAt": now}, annotations=notes)).stamps == {}


def test_a_workload_without_status_was_not_observed() -> None:
    seen = workloads.view("Deployment", body())
    assert (seen.observed, seen.wanted, seen.updated, seen.strategy) == (False, 1, 0, "")


def test_a_deployment_counts_replicas_and_tells_that_it_is_stuck() -> None:
    status = {
        "observedGeneration": 3,
        "replicas": 4,
        "updatedReplicas": 2,
        "availableReplicas": 1,
        "terminatingReplicas": 5,
        "readyReplicas": 9,
        "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}],
    }
    spec = {"replicas": 3, "strategy": {"type": "Recreate"}, "paused": True}
    seen = workloads.view("Deployment", body(spec, status))
    assert (seen.wanted, seen.updated, seen.total, seen.available) == (3, 2, 4, 1)
    assert (seen.observed, seen.stuck, seen.paused, seen.strategy) == (True, True, True, "Recreate")
    assert seen.terminating == 5


def test_a_stateful_set_has_a_partition_and_ready_pods() -> None:
    spec = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}
    seen = workloads.view("StatefulSet", body(spec, {"readyReplicas": 1, "observedGeneration": 2}))
    assert (seen.partition, seen.available, seen.observed) == (2, 1, False)


def test_a_daemon_set_counts_nodes() -> None:
    status = {
        "observedGeneration": 3,
        "desiredNumberScheduled": 3,
        "updatedNumberScheduled": 2,
        "currentNumberScheduled": 4,
        "numberAvailable": 1,
    }
    seen = workloads.view("DaemonSet", body({"updateStrategy": {"type": "OnDelete"}}, status))
    assert (seen.wanted, seen.updated, seen.total, seen.available) == (3, 2, 4, 1)
    assert seen.strategy == "OnDelete"


@pytest.mark.parametrize(
    ("spec", "status", "restarted"),
    [
        ({}, {}, True),
        ({"restartAt": "2026-11-21T08:00:00Z"}, {}, False),
        ({"restartAt": "2026-11-21T08:00:00Z"}, {"restartedAt": "2026-11-21T08:00:00Z"}, True),
        ({"restartAt": "2026-11-21T09:00:00Z"}, {"restartedAt": "2026-11-21T08:00:00Z"}, False),
    ],
)
def test_an_argo_rollout_tells_whether_its_pods_were_restarted(
    spec: dict[str, Any], status: dict[str, Any], restarted: bool
) -> None:
    told = {"observedGeneration": "3", "phase": "Healthy", **status}
    seen = workloads.view("Rollout", body(spec, told))
    assert (seen.observed, seen.phase, seen.restarted) == (True, "Healthy", restarted)


@pytest.mark.parametrize("told", ["9" * 5_000, "8f5c9d", "-3", ""])
def test_a_generation_that_is_no_number_was_not_observed(told: str) -> None:
    assert not workloads.view("Rollout", body({}, {"observedGeneration": told})).observed


def test_a_restart_stamps_the_pods_in_one_guarded_patch() -> None:
    seen = workloads.view("StatefulSet", body())
    stamp = {"annotations": {KEY: "u-2"}}
    assert workloads.stamping(seen, KEY, "u-2", WHEN) == {
        "metadata": {"uid": "w-1", "resourceVersion": "7"},
        "spec": {"template": {"metadata": stamp}},
    }


def test_an_argo_rollout_is_restarted_as_argo_wants_it() -> None:
    patch = workloads.stamping(workloads.view("Rollout", body()), KEY, "u-2", WHEN)
    assert patch["spec"] == {"restartAt": "2026-11-21T08:00:00Z"}
