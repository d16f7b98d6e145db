"""``rotate --all``: the leases of one provider are replaced, a few at a time.

For the day on which a provider was breached. Each rotation is waited for, and so are the
workloads that restart for it, before the next one begins in its place: the provider, and what
runs in the cluster, never meet all at once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click

from leaseholder.api import base, conditions, lease
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.cli import commands, exits, session
from leaseholder.cli.exits import Exit, Failed, Stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which leases, and how fast."""

    provider: str
    """Name of the LeaseProvider, or ``ClusterLeaseProvider/NAME``."""
    before: datetime | None
    """Only those that were issued before this moment."""
    at_once: int
    timeout: float
    """Seconds for each."""


def chosen(
    known: Sequence[lease.DynamicLease], choice: Selection
) -> tuple[list[lease.DynamicLease], list[str]]:
    """Those to rotate, and a sentence for each of the provider's that can't be."""
    kind, _, name = choice.provider.rpartition("/")
    wanted = (kind or "LeaseProvider", name)
    found, left_out = list[lease.DynamicLease](), list[str]()
    for dl in known:
        ref, held = dl.spec.provider_ref, dl.status.lease
        if (ref.kind, ref.name) != wanted:
            continue
        if choice.before is not None and held is not None and held.issued_at >= choice.before:
            continue
        why = _obstacle(dl)
        if why:
            left_out.append(f"{_named(dl)} is left out: {why}")
        else:
            found.append(dl)
    return found, left_out


def _obstacle(dl: lease.DynamicLease) -> str:
    if dl.deleting:
        return "it is being deleted"
    if dl.spec.suspend:
        return "it is suspended, so nothing would be issued: resume it, then rotate it"
    return "it holds no lease" if dl.status.lease is None else ""


async def rotate(login: dict[str, Any], choice: Selection, *, ask: bool) -> None:
    """Rotate them all, with a line for each.

    Raises:
        Failed: there is none, or not all were rotated (``Stopped``: by Ctrl-C).
        Abort: the user said no.
    """
    again = base.render_moment(choice.before or datetime.now(UTC))
    async with session.opened(**login) as user:
        known, broken = await user.dynamic_leases()
        found, left_out = chosen(known, choice)
        for sentence in (*broken, *left_out):
            click.echo(exits.printable(sentence), err=True)
        if not found:
            await user.see_namespace()
            raise Failed(f"no lease of provider {choice.provider} is to be rotated")
        if ask:
            exits.confirm(_question(found, choice))
        work = Rotations(user, found, choice)
        try:
            await work.run()
        except asyncio.CancelledError:
            raise Stopped(f"{work.stopped()}. To go on, add --issued-before {again}") from None
    missed = len(broken) + len(left_out)
    if work.failed or missed:
        raise Failed(
            f"{work.rotated} rotated, {work.failed} not, {missed} left out: mend what the lines "
            f"above say, then give the command again with --issued-before {again}",
            Exit.NOT_DONE,
        )


def _question(found: Sequence[lease.DynamicLease], choice: Selection) -> str:
    namespaces = len({dl.metadata.namespace for dl in found})
    leases, within = base.counted(len(found), "lease"), base.counted(namespaces, "namespace")
    return (
        f"Rotate {leases} of provider {choice.provider} in {within}, {choice.at_once} at a time? "
        "Their workloads restart"
    )


@dataclass(slots=True)
class Rotations:
    """Rotations of several leases, a few at a time."""

    user: session.Session
    found: Sequence[lease.DynamicLease]
    choice: Selection
    rotated: int = 0
    failed: int = 0
    under_way: list[str] = field(default_factory=list)
    """Namespace and name of those that were begun and haven't ended."""

    async def run(self) -> None:
        """Rotate them, with a line for each."""
        turns = asyncio.Semaphore(self.choice.at_once)
        async with asyncio.TaskGroup() as group:
            for dl in self.found:
                group.create_task(self._turn(dl, turns))

    async def _turn(self, dl: lease.DynamicLease, turns: asyncio.Semaphore) -> None:
        name = _named(dl)
        async with turns:
            self.under_way.append(name)
            try:
                said = await _one(self.user, dl, self.choice.timeout)
            except Failed as failure:
                said = f"{name} isn't rotated: {failure.message}"
                self.failed += 1
            else:
                self.rotated += 1
            self.under_way.remove(name)
        ended = self.rotated + self.failed
        click.echo(exits.printable(f"[{ended}/{len(self.found)}] {said}"))

    def stopped(self) -> str:
        """What there is to say where the user stopped it."""
        begun = self.rotated + self.failed + len(self.under_way)
        parts = [
            f"{self.rotated} of {base.counted(len(self.found), 'lease')} rotated",
            f"{self.failed} not",
            f"{len(self.found) - begun} not begun",
        ]
        if self.under_way:
            parts.append(f"the operator goes on with {', '.join(sorted(self.under_way))}")
        return ", ".join(parts)


async def _one(user: session.Session, dl: lease.DynamicLease, timeout: float) -> str:
    """Rotate one and wait for its workloads; what came of it."""
    meta, loop = dl.metadata, asyncio.get_running_loop()
    deadline = loop.time() + timeout
    given = await commands.give(user, meta.name, "rotate", meta.namespace)
    said = await commands.answer(user, given, timeout)
    while _is_moving(await user.dynamic_lease(meta.name, meta.namespace)):
        if loop.time() > deadline:
            return f"{said}; its workloads haven't moved to it yet"
        await asyncio.sleep(commands.EVERY)
    return said


def _is_moving(dl: lease.DynamicLease) -> bool:
    """Whether workloads are on their way to the new lease."""
    found = conditions.find(dl.status.conditions, ConditionType.ROLLOUT_COMPLETE)
    return found is not None and found.reason == Reason.ROLLING_OUT


def _named(dl: lease.DynamicLease) -> str:
    return f"{dl.metadata.namespace}/{dl.metadata.name}"
