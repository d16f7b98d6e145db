"""What is measured: one function for each measure, each in a world that ``stage`` has opened.

A run makes figures; their names end with the unit. ``share_of_floor`` is the rate of the operator
divided by the rate of the bare script in the same world, one after the other: 1 would be an
operator that does nothing but what the protocol needs, for free.
"""

import asyncio
import collections.abc
import time
import typing

from bench import results, stage
from tests.world import kube

Verb = typing.Literal["acquire", "renew", "delete"]
Bare = dict[Verb, dict[str, float]]
"""Seconds and processor seconds of the floor, by verb."""


def _named(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


async def floor(world: stage.Stage, count: int) -> Bare:
    """The bare script acquires, renews and deletes; seconds and processor seconds of each."""
    names, found = _named("floor", count), {}
    async with world.bare() as bare:
        orders: list[tuple[Verb, collections.abc.Awaitable[None]]] = [
            ("acquire", world.create(names, bare)),
            ("renew", _again(bare, names)),
            ("delete", world.delete(names, bare)),
        ]
        for verb, act in orders:
            await bare.report({"verb": verb, "count": count})
            await act
            found[verb] = await bare.answer()
    return found


async def _again(bare: stage.Bare, names: list[str]) -> None:
    for name in names:
        await bare.report({"metadata": {"name": name}})


async def life(world: stage.Stage, count: int, bare: Bare) -> results.Figures:
    """Acquire all at once, leave them alone, renew all, heal some, restart, delete all."""
    figures: results.Figures = {}
    names = _named("lease", count)
    async with (
        _timed(world, figures, "acquire", count, bare),
        world.until_all(names, kube.is_ready),
    ):
        await world.create(names)
    await _idle(world, figures)
    async with (
        _timed(world, figures, "renew", count, bare),
        world.until_all(names, lambda dl: _handled(dl) == "bench-1"),
    ):
        await world.command(names, "renew", "bench-1")
    await _heal(world, figures, names[: min(count, 50)])
    await _restart(world, figures, names[0])
    async with _timed(world, figures, "delete", count, bare), world.until_all(names, _gone):
        await world.delete(names)
    return figures


RENEWED_PER_SECOND: typing.Final = 20
ROUTINE_SECONDS: typing.Final = 90.0


async def routine(world: stage.Stage, count: int) -> results.Figures:
    """Acquire leases that end soon, and leave them alone: how late are their renewals begun?

    Each is renewed after two thirds of its life, so at the pace at which they were acquired. A life
    is a minute at least, and with thousands so long that ``RENEWED_PER_SECOND`` are due.
    """
    ttl, started = max(60.0, 1.5 * count / RENEWED_PER_SECOND), time.monotonic()
    names = _named("lease", count)
    async with world.until_all(names, kube.is_ready):
        await world.create(names, ttl=f"{ttl:.0f}s")
    await asyncio.sleep(max(0.0, started + ttl * 2 / 3 - time.monotonic()))
    before = await world.read()
    await asyncio.sleep(ROUTINE_SECONDS)
    after = await world.read()
    late = {bound: seen - before.lateness[bound] for bound, seen in after.lateness.items()}
    renewals = after.provider_requests - before.provider_requests
    used = after.operator.since(before.operator)
    return {
        "routine.renewals_per_second": renewals / ROUTINE_SECONDS,
        "routine.operator_cpu_ms_each": 1000 * used / renewals,
        "routine.reads_each": (after.reads - before.reads) / renewals,
        "routine.writes_each": (after.own_writes - before.own_writes) / renewals,
        "routine.operator_rss_mib": after.operator.rss_mib,
        "lateness.seconds_p50": _percentile(late, 0.5),
        "lateness.seconds_p99": _percentile(late, 0.99),
    }


class _timed:  # noqa: N801 - reads as what it does
    """Measures the body and puts the figures under the verb's name."""

    def __init__(
        self,
        world: stage.Stage,
        figures: results.Figures,
        verb: Verb,
        count: int,
        bare: Bare,
    ) -> None:
        self._world, self._figures, self._verb = world, figures, verb
        self._count, self._bare = count, bare[verb]

    async def __aenter__(self) -> None:
        self._before = await self._world.read()
        self._started = time.monotonic()

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        seconds = time.monotonic() - self._started
        after, before, count = await self._world.read(), self._before, self._count
        own = 1000 * after.operator.since(before.operator) / count
        floors = 1000 * self._bare["cpuSeconds"] / count
        # Of the writes, one for each is the user's own.
        made = {
            "per_second": count / seconds,
            "floor_per_second": count / self._bare["seconds"],
            "share_of_floor": self._bare["seconds"] / seconds,
            "operator_cpu_ms_each": own,
            "floor_cpu_ms_each": floors,
            "operator_cpu_to_floor": own / floors,
            "control_plane_cpu_ms_each": 1000
            * after.control_plane.since(before.control_plane)
            / count,
            "provider_cpu_ms_each": 1000 * after.provider.since(before.provider) / count,
            "reads_each": (after.reads - before.reads) / count,
            "writes_each": (after.writes - before.writes) / count - 1,
            "provider_requests_each": (after.provider_requests - before.provider_requests) / count,
            "operator_rss_mib": after.operator.rss_mib,
        }
        for name, value in made.items():
            self._figures[f"{self._verb}.{name}"] = value


IDLE_SECONDS: typing.Final = 20.0


async def _idle(world: stage.Stage, figures: results.Figures) -> None:
    """Requests in a while in which nothing is due."""
    before = await world.read()
    await asyncio.sleep(IDLE_SECONDS)
    after = await world.read()
    figures["idle.reads_per_second"] = (after.reads - before.reads) / IDLE_SECONDS
    figures["idle.provider_requests_per_second"] = (
        after.provider_requests - before.provider_requests
    ) / IDLE_SECONDS
    figures["idle.operator_cpu_percent"] = (
        100 * after.operator.since(before.operator) / IDLE_SECONDS
    )


async def _heal(world: stage.Stage, figures: results.Figures, names: list[str]) -> None:
    """Delete Secrets one after the other; seconds until each is there again."""
    times = []
    for name in names:
        started = time.monotonic()
        await world.client.delete("Secret", name, stage.NAMESPACE)
        await world.client.wait(
            "Secret",
            name,
            stage.NAMESPACE,
            lambda found: found is not None,
            what="the Secret is there again",
            timeout=120,
        )
        times.append(time.monotonic() - started)
    times.sort()
    figures["heal.seconds_median"] = times[len(times) // 2]
    figures["heal.seconds_worst"] = times[-1]


_OF_THE_COMMAND: typing.Final = 2
"""Writes that the command given meanwhile asks for: status, and the event that answers it."""


async def _restart(world: stage.Stage, figures: results.Figures, name: str) -> None:
    """Stop and start again; seconds until a command given meanwhile is served, and requests."""
    world.stop_operator()
    await world.command([name], "renew", "bench-restart")
    async with world.until_all([name], lambda dl: _handled(dl) == "bench-restart"):
        started = time.monotonic()
        await world.start_operator()
    figures["restart.seconds_until_served"] = time.monotonic() - started
    await asyncio.sleep(IDLE_SECONDS)
    after = await world.read()
    figures["restart.provider_requests"] = after.provider_requests
    figures["restart.reads"] = after.reads
    figures["restart.writes"] = after.own_writes - _OF_THE_COMMAND
    figures["restart.operator_rss_mib"] = after.operator.rss_mib


def _percentile(buckets: dict[float, float], share: float) -> float:
    """The bound of the histogram's bucket in which the percentile lies."""
    total = max(buckets.values(), default=0.0)
    return min((bound for bound, seen in buckets.items() if seen >= share * total), default=0.0)


def _handled(dl: kube.Object) -> str:
    return str(((dl.get("status") or {}).get("handled") or {}).get("renew", ""))


def _gone(dl: kube.Object) -> bool:
    return bool(dl.get("gone"))
