"""``make kills``: the operator is killed at random moments while leases come, change and go.

Before each kill some of twenty leases are created, rotated, given another source or deleted;
all of them are renewed or replaced every few seconds. In the end every lease that lives at the
provider has to be the one that a Secret shows, none else; every credential has to log in; and
every issue has to be due to a need or to a kill. Exit code 1 when something doesn't hold.

    python -m tests.cluster.kills --moments 50 --seed 4711
"""

import argparse
import asyncio
import collections.abc
import contextlib
import dataclasses
import json
import pathlib
import random
import secrets
import sys
import time

from tests.cluster import accounts, fleet, sites, witness
from tests.world import faults, houses, processes
from tests.world import world as worlds

FLEET = 20
PERCENT = 5
"""Share of its life, a minute, after which a lease is renewed: every three seconds."""
SETTLED = 120.0
"""Seconds until an unclear issue must have been found: 20 s deadline, 2 s settling, two looks,
and the back-off of revocations."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it stands when all is quiet."""

    seed: int
    kills: int
    acts: dict[str, int]
    wanted: int
    refused: list[str]
    """DynamicLeases whose credentials don't log in."""
    unmet: list[str]
    """DynamicLeases whose wishes aren't met."""
    lost: int
    """Leases that live at the provider, and no Secret shows them."""
    dead: int
    """Leases that a Secret shows, and the provider has them no more."""
    revocations: int
    """Records of other leases than those that are held."""
    issues: accounts.Account | None
    """None where the provider doesn't tell which attempt made which lease."""

    @property
    def holds(self) -> bool:
        """Whether everything is as promised."""
        unkept = self.refused or self.unmet or (self.issues is not None and self.issues.beyond)
        return not (unkept or self.lost or self.dead or self.revocations)

    def to_json(self) -> str:
        """One line."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({**fields, "issues": self.issues.to_json() if self.issues else None})


class Kills:
    """One site, its fleet, and the kills."""

    def __init__(self, site: sites.Site, seed: int) -> None:
        print(f"kills: seed {seed}", flush=True)
        self.seed = seed
        self.site = site
        self._chance = random.Random(seed)
        self.fleet = fleet.Fleet(site, self._chance, percent=PERCENT)
        self._troubles = accounts.Troubles()
        self._witness = witness.Witness(site)

    @contextlib.asynccontextmanager
    async def watched(self) -> collections.abc.AsyncIterator["Kills"]:
        """What happens in the block is witnessed."""
        async with self._witness.listening():
            yield self

    async def strike(self, moments: int) -> None:
        """Kill it so often, each time with much to do."""
        assert self.site.world.kubernetes_faults is not None
        cluster = self.site.world.kubernetes_faults.faults
        await self.fleet.grow(FLEET // 2)
        await self.fleet.ready()
        for _ in range(moments):
            await self._change()
            await self._progress(cluster)
            self._troubles.crashes.append(time.time())
            self.site.operator.kill()
            await self.site.restart()

    async def reckon(self) -> Outcome:
        """Wait until all is quiet, at most so long, and look."""
        await self.fleet.calm()
        with contextlib.suppress(processes.NotInTime):
            await processes.wait_until_async(
                self.fleet.is_quiet, timeout=SETTLED, what="settled", interval=0.5
            )
        await self.fleet.ready()
        living, shown = await self.site.living(), await self.site.shown()
        held = [r for r in await self.site.records() if r["state"] == "Held"]
        return Outcome(
            seed=self.seed,
            kills=len(self._troubles.crashes),
            acts=dict(sorted(self.fleet.acts.items())),
            wanted=len(self.fleet.ships),
            refused=await self.fleet.refused(),
            unmet=await self.fleet.unmet(),
            lost=len(living - shown),
            dead=len(shown - living),
            revocations=len(await self.site.records()) - len(held),
            issues=await self._account(),
        )

    async def _account(self) -> accounts.Account | None:
        if self.site.house is not None:
            return None
        return accounts.judge(await self._witness.issues(), self.fleet.wishes, self._troubles)

    async def _change(self) -> None:
        """Some wishes in a row; the fleet grows to its size, and is kept at it."""
        await self.fleet.grow(min(2, FLEET - len(self.fleet.ships)))
        for _ in range(3):
            names = list(self.fleet.ships)
            act = self._chance.choice(["delete", "rotate", "rotate", "source"])
            if act == "delete":
                await self.fleet.delete(self._chance.choice(names))
            elif act == "rotate":
                await self.fleet.rotate(self._chance.choice(names))
            else:
                await self.fleet.change_source(self._chance.choice(names))

    async def _progress(self, cluster: faults.Faults) -> None:
        """Let the operator make some requests to the API server, or be done with all."""
        before = cluster.counters().total
        steps = self._chance.randint(1, 250)

        async def enough() -> bool:
            return cluster.counters().total >= before + steps

        with contextlib.suppress(processes.NotInTime):
            await processes.wait_until_async(enough, timeout=3.0, what="some requests")


async def run(
    moments: int, seed: int, directory: pathlib.Path | None, provider: str = "infisical"
) -> Outcome:
    """In a world of its own, whose logs stay in the directory, if one is given."""
    world = await asyncio.to_thread(
        lambda: worlds.World.start(
            directory=directory, kubernetes_faults=True, provider_faults=True, min_ttl=2
        )
    )
    with world:
        async with contextlib.AsyncExitStack() as stack:
            site = await stack.enter_async_context(_site(world, provider))
            kills = await stack.enter_async_context(Kills(site, seed).watched())
            await kills.strike(moments)
            return await kills.reckon()


@contextlib.asynccontextmanager
async def _site(world: worlds.World, provider: str) -> collections.abc.AsyncIterator[sites.Site]:
    if provider == "infisical":
        async with sites.site(world, "kills") as opened:
            yield opened
        return
    async with (
        houses.opened(world, provider) as (house, trusts),
        sites.site_of(house, world, "kills", trusts=trusts) as opened,
    ):
        yield opened


def report(outcome: Outcome) -> None:
    """The figures, for people and for machines."""
    issues = outcome.issues
    print(f"kills                     {outcome.kills}")
    print(f"acts of users             {sum(outcome.acts.values())}")
    for name, count in outcome.acts.items():
        print(f"  {name:<24}{count}")
    print(f"DynamicLeases at the end  {outcome.wanted}, logins refused {len(outcome.refused)}")
    print(f"wishes unmet              {len(outcome.unmet)}")
    print(f"leases lost               {outcome.lost} (in no Secret), {outcome.dead} dead in one")
    print(f"pending revocations       {outcome.revocations}")
    if issues is not None:
        _report_issues(issues)
    print(outcome.to_json())


def _report_issues(issues: accounts.Account) -> None:
    print(f"issues                     {issues.total}")
    for kind, count in [*sorted(issues.needs.items()), *sorted(issues.excused.items())]:
        print(f"  {kind:<24}{count}")
    print(f"  beyond need             {len(issues.beyond)}")
    for line in issues.beyond:
        print(f"    {line}")


def seed_from(given: str | None) -> int:
    """The seed that was given, or a new one."""
    return int(given) if given else secrets.randbits(32)


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.kills", description=__doc__)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", help="repeats the acts and faults of a run, not their timing")
    parser.add_argument("--provider", choices=houses.NAMES, default="infisical")
    parser.add_argument("--logs", type=pathlib.Path, help="an empty folder, to keep the logs in")
    arguments = parser.parse_args()
    seed = seed_from(arguments.seed)
    outcome = asyncio.run(run(arguments.moments, seed, arguments.logs, arguments.provider))
    report(outcome)
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
