"""Namespaces to serve that aren't there: warned of, and told when they are.

Flows in: the names that an administrator gave. Flows out: lines of the log. Watches of a namespace
that isn't there are open all the same, so it is served from when it is made: a name may be
mistyped, or come before its namespace. Readiness doesn't depend on it.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from leaseholder import errors
from leaseholder.ports.cluster import Cluster

logger = logging.getLogger(__name__)

AGAIN: Final = 60.0
"""Seconds between two looks while one is missing."""


@dataclass(frozen=True, slots=True)
class Served:
    """The namespaces that an administrator named."""

    cluster: Cluster
    wanted: Sequence[str]
    again: float = AGAIN

    async def run(self) -> None:
        """Look until all are there; never ends, as every part of the operator."""
        missing: set[str] = set()
        while self.wanted:
            now = {name for name in self.wanted if await self._is_missing(name, name in missing)}
            for name in sorted(now - missing):
                _line(logging.WARNING, "namespace isn't there", name, _MISSING)
            for name in sorted(missing - now):
                _line(logging.INFO, "namespace is there", name, "")
            missing = now
            await asyncio.sleep(self.again)
        await asyncio.Event().wait()

    async def _is_missing(self, name: str, before: bool) -> bool:
        try:
            return await self.cluster.namespace(name) is None
        except errors.ClusterError:
            return before


_MISSING: Final = (
    "LEASEHOLDER_NAMESPACES names it: mend the name, or create it; it is served from then on"
)


def _line(level: int, words: str, name: str, why: str) -> None:
    logger.log(level, words, extra={"fields": {"namespace": name, "why": why}})
