"""``python -m bench``: runs the measures, prints them, writes ``results/*.json``.

``--full`` takes as long as it needs; without it a run stays under ten minutes. Both measure the
floor and the operator one after the other in the same world, so that a ratio holds when a
machine's speed doesn't. ``--only`` measures a part; the rest of the file stays as it is.
"""

import argparse
import asyncio
import dataclasses
import sys
import typing

from bench import measures, results, stage


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One measure: which provider, how slow, how many leases, how often."""

    provider: str
    latency_ms: float
    leases: int
    runs: int
    routine: bool = False
    """Leases that end soon are left alone, and their renewals are watched; nothing else is done."""

    @property
    def name(self) -> str:
        """As results name it."""
        suffix = "-routine" if self.routine else ""
        return f"{self.provider}-{self.latency_ms:g}ms-{self.leases}{suffix}"


SHORT: typing.Final = (
    Plan("infisical", 50, 200, 3),
    Plan("openbao", 0, 200, 1),
    Plan("infisical", 50, 200, 1, routine=True),
)
FULL: typing.Final = (
    Plan("infisical", 50, 1000, 3),
    Plan("openbao", 0, 1000, 3),
    Plan("infisical", 50, 10000, 1),
    Plan("infisical", 50, 1000, 1, routine=True),
    Plan("infisical", 50, 10000, 1, routine=True),
    Plan("infisical", 50, 2000, 1),
    Plan("infisical", 0, 1000, 1),
    Plan("infisical", 200, 1000, 1),
    Plan("infisical", 50, 5000, 1),
)


async def measured(plan: Plan) -> results.Measure:
    """All runs of a plan, each in a world of its own."""
    parameters: dict[str, float | str] = {
        "provider": plan.provider,
        "latencyMs": plan.latency_ms,
        "leases": plan.leases,
    }
    runs = []
    for number in range(plan.runs):
        print(f"{plan.name}: run {number + 1} of {plan.runs} …", file=sys.stderr, flush=True)
        async with stage.opened(plan.provider, latency=plan.latency_ms) as world:
            measure = _routine if plan.routine else _life
            runs.append(await measure(world, plan.leases))
    return results.Measure(plan.name, parameters, runs)


async def _life(world: stage.Stage, leases: int) -> results.Figures:
    bare = await measures.floor(world, leases)
    await world.start_operator()
    empty = (await world.read()).operator.rss_mib
    return {"empty.operator_rss_mib": empty, **await measures.life(world, leases, bare)}


async def _routine(world: stage.Stage, leases: int) -> results.Figures:
    await world.start_operator()
    return await measures.routine(world, leases)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all sizes and latencies")
    parser.add_argument("--only", default="", help="only measures whose name has this in it")
    parser.add_argument("--name", default="", help="name of the result; default short or full")
    arguments = parser.parse_args()
    plans = FULL if arguments.full else SHORT
    path = results.DIRECTORY / f"{arguments.name or ('full' if arguments.full else 'short')}.json"
    for plan in plans:
        if arguments.only in plan.name:
            found = asyncio.run(measured(plan))
            print(results.show(found), flush=True)
            results.write(path, [found])
    print(f"written: {path.name}")


if __name__ == "__main__":
    main()
