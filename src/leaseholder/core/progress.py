"""How far a workload's rollout has come, as ``kubectl rollout status`` sees it.

Flows in: a workload as it was read. Flows out: whether its rollout is complete, waits or has
failed, and for what it waits; ``rollout`` asks. Stricter where kubectl lets old pods be: with
OnDelete or a partition a rollout is complete when somebody has replaced them, and pods that take
long to end are waited for.
"""

from dataclasses import dataclass
from typing import Literal

from leaseholder.ports.workloads import Workload


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one workload's rollout has come, and what it waits for."""

    state: Literal["Complete", "Waiting", "Failed"]
    text: str = ""


def judge(workload: Workload) -> Progress:
    """Whether a workload that was restarted runs on its new pods only."""
    if not workload.observed:
        return Progress("Waiting", "its controller hasn't seen the restart yet")
    if workload.kind == "Rollout":
        return _judge_argo(workload)
    if workload.stuck:
        return Progress("Failed", f"its progress deadline is over, {_counts(workload)}")
    old = max(workload.wanted - workload.updated, workload.total - workload.updated)
    if old > 0 and (workload.strategy == "OnDelete" or workload.partition > 0):
        how = "OnDelete" if workload.strategy == "OnDelete" else "with a partition"
        return Progress(
            "Failed",
            f"its update strategy ({how}) leaves {old} pods as they are: replace them yourself, or "
            "write rotation.waitForRollout: false",
        )
    if old <= 0 and workload.available >= workload.wanted:
        return _judge_terminating(workload)
    paused = "it is paused, " if workload.paused else ""
    return Progress("Waiting", f"{paused}{_counts(workload)}")


def _judge_terminating(workload: Workload) -> Progress:
    """Pods that end count nowhere else, and use their credentials until they are gone."""
    number = workload.terminating
    if not number:
        return Progress("Complete")
    word = "1 pod hasn't" if number == 1 else f"{number} pods haven't"
    return Progress("Waiting", f"{word} ended yet")


def _judge_argo(workload: Workload) -> Progress:
    if workload.phase == "Degraded":
        return Progress("Failed", "its phase is Degraded")
    if not workload.restarted:
        return Progress("Waiting", "not all its pods are restarted")
    if workload.phase == "Healthy":
        return Progress("Complete")
    return Progress("Waiting", f"its phase is {workload.phase or 'unknown'}")


def _counts(workload: Workload) -> str:
    old = max(0, workload.total - workload.updated)
    text = f"{workload.updated} of {workload.wanted} pods are updated"
    text += f", {workload.available} available"
    return f"{text}, {old} old ones left" if old else text
