"""Bad weather between the operator and the world: faults of the proxies, one spell after another.

A spell brings one or two faults, on the side of the API server, of the provider, or both, for
some seconds; then the sky is clear for some seconds. Watches are left open unless a fault is
about them, so that a spell ends for all requests at its end.
"""

import asyncio
import collections
import collections.abc
import logging
import math
import random
import time

from tests.cluster import accounts
from tests.world import faults
from tests.world import world as worlds

logger = logging.getLogger(__name__)

Rules = collections.abc.Sequence[faults.Rule]

_NO_WATCH = r"^(?!.*[?&]watch=)"
_ISSUE = r"/dynamic-secrets/leases$"
_LEASES = r"/dynamic-secrets/leases"
_RETRY = {"Retry-After": "1"}

_ANSWER, _HANG = faults.Action.ANSWER, faults.Action.HANG
_RESET, _LOST = faults.Action.RESET_BEFORE, faults.Action.RESET_AFTER
_WATCH = faults.Action.EXPIRE_WATCH

CLUSTER: dict[str, Rules] = {
    "latency": [faults.Rule(path=_NO_WATCH, delay=0.3, probability=0.5)],
    "409": [
        faults.Rule(action=_ANSWER, status=409, method="PATCH|POST|PUT|DELETE", probability=0.3)
    ],
    "429": [
        faults.Rule(
            action=_ANSWER, status=429, headers=_RETRY, path=_NO_WATCH, probability=0.3, times=100
        )
    ],
    "500": [faults.Rule(action=_ANSWER, status=500, path=_NO_WATCH, probability=0.3)],
    "hang": [faults.Rule(action=_HANG, path=_NO_WATCH, probability=0.2, times=20)],
    "reset": [faults.Rule(action=_RESET, path=_NO_WATCH)],
    "lost answer": [faults.Rule(action=_LOST, method="PATCH|POST|DELETE", probability=0.2)],
    "watch 410": [faults.Rule(action=_WATCH, method="GET", path="watch=", times=8)],
    "watch dropped": [],
}
"""Before the API server, by name. What has no rule only drops the watches."""
PROVIDER: dict[str, Rules] = {
    "latency": [faults.Rule(delay=0.5, probability=0.7)],
    "429": [faults.Rule(action=_ANSWER, status=429, headers=_RETRY, probability=0.2, times=10)],
    "503": [faults.Rule(action=_ANSWER, status=503, probability=0.5)],
    "hang": [faults.Rule(action=_HANG, path=_LEASES, times=10)],
    "reset": [faults.Rule(action=_RESET)],
    "issue's answer lost": [
        faults.Rule(action=_LOST, method="POST", path=_ISSUE, probability=0.7, times=4)
    ],
    "renewal's answer lost": [
        faults.Rule(action=_LOST, method="POST", path="/renew$", probability=0.7, times=10)
    ],
}
"""Before the provider, by name."""


class Weather:
    """The proxies of a world, and what they did."""

    def __init__(self, world: worlds.World, chance: random.Random) -> None:
        assert world.kubernetes_faults is not None
        assert world.provider_faults is not None
        self._cluster = world.kubernetes_faults.faults
        self._provider = world.provider_faults.faults
        self._chance = chance
        self.spells: collections.Counter[str] = collections.Counter()
        """By kind of fault."""
        self.met: collections.Counter[str] = collections.Counter()
        """Requests that a fault befell, by its kind."""
        self.losses: list[tuple[accounts.Moment, accounts.Moment]] = []
        """From when to when answers of the provider could get lost."""
        self.clear_since = time.monotonic()
        """Infinite while a fault is in force (monotonic seconds)."""

    async def run(self, until: float) -> None:
        """Spells until a moment (monotonic seconds)."""
        while time.monotonic() < until:
            await self.spell(self._chance.uniform(1.5, 5.0))
            await asyncio.sleep(self._chance.uniform(3.0, 8.0))

    async def spell(self, seconds: float) -> None:
        """One, of so many seconds."""
        side = self._chance.choice(["cluster", "provider", "both"])
        started, self.clear_since = time.time(), math.inf
        rules: dict[str, tuple[str, faults.Faults]] = {}
        try:
            if side != "provider":
                rules |= await self._add("API server", self._cluster, CLUSTER)
            if side != "cluster":
                rules |= await self._add("provider", self._provider, PROVIDER)
            names = ", ".join(sorted({name for name, _ in rules.values()}))
            logger.info("for %.1f s: %s", seconds, names or "watches dropped")
            await asyncio.sleep(seconds)
        finally:
            await self._count(rules)
            await asyncio.to_thread(self._cluster.clear)
            await asyncio.to_thread(self._provider.clear)
            self.clear_since = time.monotonic()
            if side != "cluster":
                self.losses.append((started, time.time()))

    async def _add(
        self, side: str, proxy: faults.Faults, known: dict[str, Rules]
    ) -> dict[str, tuple[str, faults.Faults]]:
        kind = self._chance.choice(sorted(known))
        name = f"{side}: {kind}"
        self.spells[name] += 1
        if kind.startswith("watch"):
            self.met[name] += await asyncio.to_thread(proxy.drop_watches)
        added = [await asyncio.to_thread(proxy.add, rule) for rule in known[kind]]
        return {f"{side}/{rule}": (name, proxy) for rule in added}

    async def _count(self, rules: dict[str, tuple[str, faults.Faults]]) -> None:
        for key, (name, proxy) in rules.items():
            applied = (await asyncio.to_thread(proxy.counters)).applied
            self.met[name] += applied.get(key.partition("/")[2], 0)
