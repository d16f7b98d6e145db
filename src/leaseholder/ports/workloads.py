"""Workloads that are restarted for a new lease.

Flows in: restart targets. Flows out: how far each workload's rollout has come (``core.progress``
reads it); ``controller.rollouts`` restarts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from leaseholder.api import lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What matters of a workload: our stamps, and how far its rollout has come.

    Counts are of pods. For a Rollout only ``observed``, ``restarted`` and ``phase`` say how far.
    """

    kind: lease.WorkloadKind
    namespace: str
    name: str
    uid: str
    resource_version: str
    stamps: Mapping[str, str]
    """For which leases it was restarted, by whole key under ``restart.leaseholder.dev``: only what
    its pods show, or will show when its rollout is complete."""
    observed: bool
    """Its controller has seen the spec as it is."""
    strategy: str = ""
    """RollingUpdate, Recreate or OnDelete."""
    partition: int = 0
    """Pods of a StatefulSet below this ordinal keep their template."""
    paused: bool = False
    stuck: bool = False
    """The progress deadline of a Deployment is over."""
    wanted: int = 0
    updated: int = 0
    total: int = 0
    available: int = 0
    terminating: int = 0
    """Pods of a Deployment that haven't ended yet; 0 where the API server doesn't count them."""
    restarted: bool = True
    """A Rollout's controller has replaced the pods that were older than ``restartAt``."""
    phase: str = ""
    """Of a Rollout: Healthy, Progressing, Paused or Degraded."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Workloads(Protocol):
    """Reads workloads, and restarts them."""

    async def workload(
        self, kind: lease.WorkloadKind, namespace: str, name: str
    ) -> Workload | None:
        """A workload; None where there is none, or its kind isn't known.

        Raises:
            Refused: no right to look.
        """
        ...

    async def workloads(
        self, kind: lease.WorkloadKind, namespace: str, labels: Mapping[str, str]
    ) -> Sequence[Workload]:
        """The workloads that carry all these labels; none where the kind isn't known.

        Raises:
            Refused: no right to look.
        """
        ...

    async def stamp_workload(
        self, current: Workload, key: str, value: str, *, restart_at: datetime
    ) -> None:
        """Replace a workload's pods by ones with a stamp, in one write.

        Args:
            current: the workload as it was read.
            key: annotation key under ``restart.leaseholder.dev``.
            value: what the stamp says.
            restart_at: now (UTC); a Rollout's pods that are older are to go.
        """
        ...
