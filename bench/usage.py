"""What processes use: processor seconds and resident memory, read from outside.

A part of the world is a tree of processes (PostgreSQL has one for each connection). Children that
have ended are counted by what their parents waited for.
"""

import dataclasses

import psutil


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """One reading of a part."""

    cpu_seconds: float
    rss_mib: float

    def since(self, before: "Usage") -> float:
        """Processor seconds between two readings."""
        return self.cpu_seconds - before.cpu_seconds


def of(pid: int) -> Usage:
    """What the process and all below it have used so far."""
    cpu, rss = 0.0, 0
    try:
        root = psutil.Process(pid)
        members = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return Usage(0.0, 0.0)
    for member in members:
        try:
            times = member.cpu_times()
            rss += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        cpu += times.user + times.system + times.children_user + times.children_system
    return Usage(cpu, rss / 2**20)
