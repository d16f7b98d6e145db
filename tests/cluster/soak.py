"""``make soak``: a day's comings and goings in ten minutes, and the operator as small as before.

DynamicLeases, LeaseProviders, Secrets with our labels and templates are made, edited and deleted,
while a few leases are held and renewed all the time. Most of what comes and goes never gets a
lease: its provider isn't there or doesn't answer, it is suspended, or its marks are forged. When
the time is over and all is gone again, the operator's memory has to be within 10 MiB of what it
was after the first of each, nothing may be left of what went, and the held leases have to be
the ones that they were. Exit code 1 when something doesn't hold.

    python -m tests.cluster.soak --minutes 10 --leases 20000 --seed 4711
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import json
import pathlib
import random
import sys
import time
import typing

from tests.cluster import kills, sites
from tests.world import kube, processes
from tests.world import world as worlds

HELD = 5
ABREAST = 12
"""So many comings and goings at once."""
MOST_GROWN = 10.0
"""MiB that the operator may have more at the end."""
EVERY = 10.0
"""Seconds between two looks at its memory."""
FIRST = 300
"""So many comings and goings before its memory counts as that of the start."""
SETTLED = 300.0
"""Seconds within which all must be gone: what was replaced is closed after three minutes."""
SETTINGS = {"LEASEHOLDER_LOG_LEVEL": "INFO"}
RENEWED: dict[str, typing.Any] = {"ttl": "60s", "renewal": {"afterPercent": 20}}
NOBODY = "http://127.0.0.1:1"
"""Where nothing listens."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it stands when all is gone again."""

    seed: int
    seconds: float
    acts: dict[str, int]
    start: float
    """MiB after the first comings and goings."""
    peak: float
    end: float
    left: dict[str, int]
    """What should be gone, by kind."""
    broken: list[str]
    """Held leases that aren't the ones that they were, or don't log in."""

    @property
    def holds(self) -> bool:
        """Whether everything is as promised."""
        return self.end - self.start <= MOST_GROWN and not (self.left or self.broken)


class Soak:
    """One site, and what comes and goes there."""

    def __init__(self, site: sites.Site, seed: int) -> None:
        print(f"soak: seed {seed}", flush=True)
        self.seed = seed
        self.acts: collections.Counter[str] = collections.Counter()
        self.memory: list[float] = []
        self._site = site
        self._chance = random.Random(seed)
        self._ids: dict[str, str] = {}
        self._numbers = iter(range(sys.maxsize))

    async def run(self, *, seconds: float, leases: int) -> Outcome:
        """Let so many DynamicLeases come and go, or so long, and judge."""
        began = time.monotonic()
        for number in range(HELD):
            await self._site.lease(f"held-{number}", **RENEWED)
        for number in range(HELD):
            found = await self._site.ready(f"held-{number}", timeout=60)
            self._ids[f"held-{number}"] = found["status"]["lease"]["id"]
        await self._churn(leases=FIRST, until=began + seconds / 4)
        start = self._look(began)
        await self._churn(leases=leases, until=began + seconds)
        end = await self._settle(began, start)
        return Outcome(
            seed=self.seed,
            seconds=round(time.monotonic() - began, 1),
            acts=dict(sorted(self.acts.items())),
            start=start,
            peak=max(self.memory),
            end=end,
            left=await self._left(),
            broken=[name for name in self._ids if not await self._is_held(name)],
        )

    async def _churn(self, *, leases: int, until: float) -> None:
        began, most = time.monotonic(), self.acts["DynamicLeases"] + leases

        async def one() -> None:
            while self.acts["DynamicLeases"] < most and time.monotonic() < until:
                kinds = [self._homeless, self._forged, self._edited, self._orphaned, self._lived]
                (kind,) = self._chance.choices(kinds, [60, 15, 10, 10, 5])
                await kind(f"soak-{next(self._numbers)}")

        async def looking() -> None:
            while True:
                await asyncio.sleep(EVERY)
                self._look(began)

        looks = asyncio.create_task(looking())
        try:
            await asyncio.gather(*(one() for _ in range(ABREAST)))
        finally:
            looks.cancel()

    async def _homeless(self, name: str) -> None:
        """A DynamicLease of a provider that isn't there, by a name that nobody has."""
        await self._lease(name, provider=name)
        await self._delete("DynamicLease", name)

    async def _forged(self, name: str) -> None:
        """A Secret that says that it belongs to a DynamicLease, each time to another one."""
        marks = {"leaseholder.dev/owner-name": name, "leaseholder.dev/contents": "{" * 2000}
        body: kube.Object = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": self._site.namespace,
                "labels": {"leaseholder.dev/owner-uid": name},
                "annotations": marks,
            },
        }
        await self._site.client.create(body)
        for owner in (f"{name}-other", "No Name" * 100):
            change = {"metadata": {"annotations": {"leaseholder.dev/owner-name": owner}}}
            await self._site.client.patch("Secret", name, self._site.namespace, change)
        await self._delete("Secret", name)
        self.acts["Secrets"] += 1

    async def _edited(self, name: str) -> None:
        """A DynamicLease whose large template is edited, and that is never given a lease."""
        await self._lease(name, suspend=True)
        for edit in range(3):
            text = f"{edit}" + "{{ DB_USERNAME | urlquote }} " * self._chance.randint(10, 300)
            change = {"spec": {"target": {"template": {"data": {"URL": text}}}}}
            await self._site.client.patch("DynamicLease", name, self._site.namespace, change)
            self.acts["templates"] += 1
        await self._delete("DynamicLease", name)

    async def _orphaned(self, name: str) -> None:
        """A provider whose server isn't there, and a DynamicLease of it."""
        await self._site.provider_at(name, NOBODY)
        self.acts["LeaseProviders"] += 1
        await self._lease(name, provider=name)
        await self._delete("LeaseProvider", name)
        await self._delete("DynamicLease", name)

    async def _lived(self, name: str) -> None:
        """A DynamicLease that gets its lease, its template edited, and is gone again."""
        await self._lease(name)
        with contextlib.suppress(AssertionError):
            await self._site.ready(name, timeout=60)
            self.acts["leases"] += 1
        change = {"spec": {"target": {"template": {"data": {"URL": "{{ DB_USERNAME }}"}}}}}
        await self._site.client.patch("DynamicLease", name, self._site.namespace, change)
        await self._delete("DynamicLease", name)

    async def _lease(self, name: str, **more: typing.Any) -> None:
        await self._site.lease(name, **{"ttl": "1h", **more})
        self.acts["DynamicLeases"] += 1

    async def _delete(self, kind: str, name: str) -> None:
        await self._site.client.delete(kind, name, self._site.namespace)

    def _look(self, began: float) -> float:
        """MiB that the operator has now; told."""
        self.memory.append(self._site.operator.resident)
        done = self.acts["DynamicLeases"]
        passed = time.monotonic() - began
        print(f"{passed:6.0f} s  {done:6d} DynamicLeases  {self.memory[-1]:7.1f} MiB", flush=True)
        return self.memory[-1]

    async def _settle(self, began: float, start: float) -> float:
        """Wait until all is gone, and what was replaced is closed; returns MiB then."""

        async def settled() -> bool:
            small = self._look(began) - start <= MOST_GROWN
            return small and not await self._left()

        with contextlib.suppress(processes.NotInTime):
            await processes.wait_until_async(
                settled, timeout=SETTLED, what="all is gone", interval=EVERY
            )
        return self._look(began)

    async def _left(self) -> dict[str, int]:
        """What should be gone: of the API server, and of what the operator tells."""
        namespace, found = self._site.namespace, dict[str, int]()
        for kind in ("DynamicLease", "LeaseProvider", "Secret"):
            names = (
                one["metadata"]["name"] for one in await self._site.client.list(kind, namespace)
            )
            found[kind] = sum(name.startswith("soak-") for name in names)
        records = await self._site.client.list("LeaseRecord", self._site.home)
        found["LeaseRecord"] = sum(r["spec"]["for"]["name"] not in self._ids for r in records)
        figures = await asyncio.to_thread(self._site.operator.metrics)
        for name, value in figures.items():
            if name.startswith(("leaseholder_unreadable_objects", "leaseholder_provider_circuit")):
                found[name] = int(value)
        told = [v for n, v in figures.items() if n.startswith("leaseholder_dynamic_leases{")]
        found["DynamicLeases in metrics"] = int(sum(told)) - HELD
        return {name: number for name, number in found.items() if number}

    async def _is_held(self, name: str) -> bool:
        found = await self._site.found(name)
        same = kube.is_ready(found) and found is not None
        return (
            same
            and found is not None
            and found["status"]["lease"]["id"] == self._ids[name]
            and await self._site.logs_in(name)
        )


async def run(seed: int, directory: pathlib.Path | None, *, seconds: float, leases: int) -> Outcome:
    """In a world of its own, whose logs stay in the directory, if one is given."""
    world = await asyncio.to_thread(lambda: worlds.World.start(directory=directory, min_ttl=2))
    with world:
        async with sites.site(world, "soak", **SETTINGS) as opened:
            return await Soak(opened, seed).run(seconds=seconds, leases=leases)


def report(outcome: Outcome) -> None:
    """The figures, for people and for machines."""
    for name, count in outcome.acts.items():
        print(f"{name:<24}{count}")
    grown = outcome.end - outcome.start
    print(f"memory at the start     {outcome.start:.1f} MiB")
    print(f"memory at most          {outcome.peak:.1f} MiB")
    print(f"memory at the end       {outcome.end:.1f} MiB ({grown:+.1f}, {MOST_GROWN:g} allowed)")
    print(f"left of what went       {outcome.left or 'nothing'}")
    print(f"held leases broken      {outcome.broken or 'none'}")
    print("soak: passed" if outcome.holds else "soak: FAILED")
    print(json.dumps(dataclasses.asdict(outcome)))


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--leases", type=int, default=20_000)
    parser.add_argument("--seed", help="repeats what comes and goes, not its timing")
    parser.add_argument("--logs", type=pathlib.Path, help="an empty folder, to keep the logs in")
    arguments = parser.parse_args()
    seed = kills.seed_from(arguments.seed)
    outcome = asyncio.run(
        run(seed, arguments.logs, seconds=60 * arguments.minutes, leases=arguments.leases)
    )
    report(outcome)
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
