"""``make storm``: everything at once, and a monitor that logs in every second.

Fifty DynamicLeases with a life of a minute are renewed and replaced all the time. Meanwhile the
operator is killed or stopped at random moments, faults befall its requests on both sides, and
users edit, command, delete and create. Then all faults end, and when all is quiet the figures
are drawn up. Goals: no login fails while Ready, no lease is lost, no issue is beyond need and
crashes, and with provider and operator up nobody is without credentials for five seconds. Exit
code 1 when a goal is missed. How each figure is measured: monitor.py, accounts.py.

    python -m tests.cluster.storm --minutes 10 --seed 4711
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import json
import logging
import math
import pathlib
import random
import sys
import time

from tests.cluster import accounts, fleet, kills, monitor, sites, weather, witness
from tests.world import processes
from tests.world import world as worlds

logger = logging.getLogger(__name__)

FLEET = 50
PERCENT = 10
"""Share of its life, a minute, after which a lease is renewed: every six seconds."""
WITHOUT = 5.0
"""Goal: nobody is without credentials for so many seconds."""
IN_TIME = f"nobody without credentials for {WITHOUT:g} s"
FIRST_STRIKE, NEXT_STRIKE = (5.0, 20.0), (15.0, 60.0)
"""Seconds between kills. An unclear issue is searched for 27 s after it was first seen: who is
always killed before never revokes what earlier ones left."""
SETTLED = 180.0
"""Seconds within which all must be quiet after the storm."""
IMPATIENT = {
    "LEASEHOLDER_INFISICAL__WRITE_TIMEOUT_SECONDS": "2",
    "LEASEHOLDER_INFISICAL__READ_TIMEOUT_SECONDS": "2",
}

ACTS: dict[str, fleet.Act] = {
    "rotate": fleet.Fleet.rotate,
    "renew": fleet.Fleet.renew,
    "source": fleet.Fleet.change_source,
    "ttl": fleet.Fleet.change_ttl,
    "labels": fleet.Fleet.change_labels,
    "template": fleet.Fleet.change_template,
    "suspend": fleet.Fleet.suspend,
    "delete Secret": fleet.Fleet.delete_secret,
    "strip label": fleet.Fleet.strip_label,
    "delete": fleet.Fleet.delete,
    "create again": fleet.Fleet.recreate,
    "strip notes": fleet.Fleet.strip_notes,
    "edit data": fleet.Fleet.edit_data,
    "add key": fleet.Fleet.add_key,
    "rename Secret": fleet.Fleet.rename_secret,
    "template data": fleet.Fleet.change_template_data,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The figures."""

    seed: int
    minutes: float
    seen: monitor.Figures
    kills: int
    stops: int
    falls: int
    """How often the operator had ended by itself."""
    spells: dict[str, int]
    met: dict[str, int]
    acts: dict[str, int]
    wanted: int
    lost: int
    """Leases that live at the provider, and neither a record nor a Secret shows them."""
    unsettled: int
    """Leases that live at the provider and that no Secret shows, all in all."""
    settled_after: float
    """Seconds from the end of the storm until all was quiet; infinite: it never was."""
    refused: list[str]
    """DynamicLeases whose credentials don't log in in the end."""
    unmet: list[str]
    """DynamicLeases whose wishes aren't met in the end."""
    issues: accounts.Account
    said: list[str]
    """What the operator said about issues beyond need."""

    @property
    def missed(self) -> list[str]:
        """The goals that were missed."""
        goals = {
            "no login fails while Ready": not self.seen.failed,
            "no lease is lost": not self.lost,
            "the operator never ends by itself": not self.falls,
            "no issue beyond need and crashes": not self.issues.beyond,
            IN_TIME: self.seen.longest < WITHOUT,
            "all is quiet in the end": not (self.unsettled or math.isinf(self.settled_after)),
            "all wishes are met in the end": not (self.unmet or self.refused),
        }
        return [goal for goal, reached in goals.items() if not reached]

    def to_json(self) -> str:
        """One line."""
        return json.dumps(
            {
                **{name: getattr(self, name) for name in self.__slots__},
                "seen": dataclasses.asdict(self.seen),
                "issues": self.issues.to_json(),
                "settled_after": None if math.isinf(self.settled_after) else self.settled_after,
                "missed": self.missed,
            }
        )


class Storm:
    """One site in a storm."""

    def __init__(self, site: sites.Site, seed: int) -> None:
        print(f"storm: seed {seed}", flush=True)
        self.seed = seed
        self.site = site
        self.fleet = fleet.Fleet(site, random.Random(f"{seed}/fleet"), percent=PERCENT)
        self.weather = weather.Weather(site.world, random.Random(f"{seed}/weather"))
        self._edits, self._strikes = random.Random(f"{seed}/edits"), random.Random(f"{seed}/kills")
        self._troubles = accounts.Troubles(prompt=15.0)
        self._up_since = time.monotonic()
        self._ended: collections.Counter[str] = collections.Counter()
        self._monitor = monitor.Monitor(self.fleet, self._calm_since, lambda: self._up_since)
        self._witness = witness.Witness(site)

    async def run(self, minutes: float) -> Outcome:
        """Storm for so long, wait until all is quiet, and draw up the figures."""
        stop = asyncio.Event()
        async with self._witness.listening():
            await self.fleet.grow(FLEET)
            watching = asyncio.create_task(self._monitor.run(stop))
            try:
                until = time.monotonic() + minutes * 60
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.weather.run(until))
                    group.create_task(self._strike(until))
                    group.create_task(self._edit(until))
                settled_after = await self._settle()
            finally:
                stop.set()
                await watching
            return await self._reckon(minutes, settled_after)

    def _calm_since(self) -> float:
        return max(self._up_since, self.weather.clear_since)

    async def _strike(self, until: float) -> None:
        """Kill or stop the operator now and then, and start it again."""
        pause = FIRST_STRIKE
        while True:
            await asyncio.sleep(self._strikes.uniform(*pause))
            pause = NEXT_STRIKE
            if time.monotonic() > until:
                return
            self._ended["falls"] += not self.site.operator.process.running
            self._up_since = math.inf
            self._troubles.crashes.append(time.time())
            logger.info("the operator is ended")
            if self._strikes.random() < 0.8:
                self._ended["kills"] += 1
                self.site.operator.kill()
            else:
                self._ended["stops"] += 1
                await asyncio.to_thread(self.site.operator.stop)
            await self.site.restart()
            self._up_since = time.monotonic()
            logger.info("the operator is up again")

    async def _edit(self, until: float) -> None:
        """Some acts of users each second; some take long, and others go on meanwhile."""
        known = list(ACTS)
        busy: set[str] = set()
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < until:
                await asyncio.sleep(self._edits.uniform(0.1, 0.7))
                free = sorted(set(self.fleet.ships) - busy)
                ship, act = self._edits.choice(free), self._edits.choice(known)
                if act == "delete":
                    await self.fleet.grow(1)
                busy.add(ship)
                group.create_task(self._act(act, ship, busy))

    async def _act(self, act: str, ship: str, busy: set[str]) -> None:
        """One act; who suspends resumes later."""
        logger.info("%s: %s", ship, act)
        await ACTS[act](self.fleet, ship)
        if act == "suspend":
            await asyncio.sleep(self._edits.uniform(3.0, 12.0))
            await self.fleet.suspend(ship)
        busy.discard(ship)

    async def _settle(self) -> float:
        """Seconds until all is quiet, infinite when it doesn't become so."""
        ended = time.monotonic()
        await self.fleet.calm()
        with contextlib.suppress(AssertionError):
            await processes.wait_until_async(
                self.fleet.is_quiet, timeout=SETTLED, what="settled", interval=1.0
            )
            return round(time.monotonic() - ended, 1)
        return math.inf

    async def _reckon(self, minutes: float, settled_after: float) -> Outcome:
        self._troubles.losses = self.weather.losses
        living, shown = await self.site.living(), await self.site.shown()
        issues = accounts.judge(await self._witness.issues(), self.fleet.wishes, self._troubles)
        recorded = {record.get("leaseId") for record in await self.site.records()}
        return Outcome(
            seed=self.seed,
            minutes=minutes,
            seen=self._monitor.figures,
            kills=self._ended["kills"],
            stops=self._ended["stops"],
            falls=self._ended["falls"] + (not self.site.operator.process.running),
            spells=dict(sorted(self.weather.spells.items())),
            met=dict(sorted(self.weather.met.items())),
            acts=dict(sorted(self.fleet.acts.items())),
            wanted=len(self.fleet.ships),
            lost=len(living - shown - recorded),
            unsettled=len(living - shown),
            settled_after=settled_after,
            refused=await self.fleet.refused(),
            unmet=await self.fleet.unmet(),
            issues=issues,
            said=await self._said(issues.beyond),
        )

    async def _said(self, beyond: list[str]) -> list[str]:
        """Why the operator issued for those who got one too many, in its own words."""
        names = {line.partition(":")[0] for line in beyond}
        events = await self.site.client.list("Event", self.site.namespace) if names else []
        told = (
            (one["lastTimestamp"], one["involvedObject"]["name"], one["message"])
            for one in events
            if one["reason"] == "LeaseIssued" and one["involvedObject"]["name"] in names
        )
        return [f"{at} {name}: {message}" for at, name, message in sorted(told)]


async def run(minutes: float, seed: int, directory: pathlib.Path | None) -> Outcome:
    """In a world of its own, whose logs stay in the directory, if one is given."""
    world = await asyncio.to_thread(
        lambda: worlds.World.start(
            directory=directory, kubernetes_faults=True, provider_faults=True, min_ttl=2
        )
    )
    with world:
        async with sites.site(world, "storm", **IMPATIENT) as site:
            return await Storm(site, seed).run(minutes)


def report(outcome: Outcome) -> None:
    """The figures, for people and for machines."""
    for name, value in _lines(outcome):
        print(f"{name:<36}{value}")
    print(outcome.to_json())
    print("storm: " + ("passed" if not outcome.missed else f"missed: {'; '.join(outcome.missed)}"))


def _lines(outcome: Outcome) -> list[tuple[str, object]]:
    seen, issues = outcome.seen, outcome.issues
    return [
        ("DynamicLeases", outcome.wanted),
        ("logins done", seen.logins),
        ("  failed while Ready", len(seen.failed)),
        *(("    " + line, "") for line in seen.failed),
        ("    while no operator was ready", seen.unattended),
        ("  overtaken by a change", seen.overtaken),
        ("  edited by a user", seen.spoiled),
        ("  target not reached", seen.unclear),
        ("kills, orderly stops", f"{outcome.kills}, {outcome.stops}"),
        ("operator ended by itself", outcome.falls),
        ("spells of faults", sum(outcome.spells.values())),
        *((f"  {k}", f"{v}, requests {outcome.met[k]}") for k, v in outcome.spells.items()),
        ("acts of users", sum(outcome.acts.values())),
        *((f"  {name}", count) for name, count in outcome.acts.items()),
        ("leases lost", outcome.lost),
        ("  in no Secret", outcome.unsettled),
        ("quiet after", f"{outcome.settled_after:g} s"),
        ("logins refused in the end", len(outcome.refused)),
        ("wishes unmet", len(outcome.unmet)),
        *(("    " + line, "") for line in outcome.unmet),
        ("issues", issues.total),
        *((f"  {need}", count) for need, count in sorted(issues.needs.items())),
        *((f"  nobody's: {why}", count) for why, count in sorted(issues.excused.items())),
        ("  beyond need and crashes", len(issues.beyond)),
        *(("    " + line, "") for line in (*issues.beyond, *outcome.said)),
        ("longest without credentials", f"{seen.longest:.1f} s ({seen.longest_for})"),
        ("  summed across faults", f"{seen.longest_sum:.1f} s"),
        ("slowest round of the monitor", f"{seen.slowest_round:.1f} s"),
    ]


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.storm", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", help="repeats the acts and faults of a run, not their timing")
    parser.add_argument(
        "--logs", type=pathlib.Path, help="an empty folder, to keep logs and the course in"
    )
    arguments = parser.parse_args()
    if arguments.logs is not None:
        logging.basicConfig(
            filename=arguments.logs / "storm.log",
            format="%(asctime)s %(message)s",
            level=logging.INFO,
        )
    outcome = asyncio.run(run(arguments.minutes, kills.seed_from(arguments.seed), arguments.logs))
    report(outcome)
    return 1 if outcome.missed else 0


if __name__ == "__main__":
    sys.exit(main())
