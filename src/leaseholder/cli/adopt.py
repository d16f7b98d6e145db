"""``leaseholder adopt``: an installation takes over what another one has on record.

It leads for both meanwhile, by their Leases and those of their shards, so neither operator works.
It needs no settings and no way to a provider: what is known of the leases stands on the records.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import click

from leaseholder.api import base
from leaseholder.cli import leading, session, tables
from leaseholder.cli.exits import Exit, Failed, Stopped, printable
from leaseholder.clock import SystemClock
from leaseholder.cluster import client
from leaseholder.cluster import login as logins
from leaseholder.cluster.adapter import KubernetesCluster
from leaseholder.controller import adopt as adopting
from leaseholder.ports.clock import Clock

_SEAT: Final = ("list", "get", "create", "patch")
"""What whoever leads does with its Lease, and to find those of shards."""
_RECORDS: Final = {"group": "leaseholder.dev", "resource": "leaserecords"}
_ELECTIONS: Final = {"group": "coordination.k8s.io", "resource": "leases"}


@dataclass(frozen=True, slots=True)
class Homes:
    """The namespaces of the two operators."""

    source: str
    target: str


async def adopt(
    choice: logins.Choice, homes: Homes, output: str, *, timeout: float, dry_run: bool
) -> bool:
    """Take records over; whether nothing is left.

    Args:
        choice: the kubeconfig to use.
        homes: from where to where.
        output: table, json or yaml.
        timeout: seconds for all of it.
        dry_run: only list.

    Raises:
        Failed: it can't be begun, or another process took one of the Leases.
        errors.ClusterError: the API server can't be read.
    """
    clock = SystemClock()
    until = clock.monotonic() + timeout

    def say(line: str) -> None:
        click.echo(printable(line), err=output != "table")

    async with leading.connected(choice) as api, leading.connected(choice) as elections:
        user = session.Session(api, homes.target)
        checks = (_rights_missing, _places_missing, *(() if dry_run else (_pods_wanted,)))
        for check in checks:
            if obstacles := await check(user, homes):
                raise Failed("; ".join(obstacles))
        work = await _adoption(api, homes, clock, say)
        await work.read()
        if not dry_run:
            led = await places(user, homes)
            async with _leading(api, elections, led, say, until):
                await take_over(work, until)
        lines = listed(work, homes) if dry_run else reported(work, homes)
        for line in lines:
            say(line)
        if output != "table":
            tables.values(values(work, homes, dry_run=dry_run), output)
        return dry_run or work.is_clean


async def take_over(work: adopting.Adoption, until: float) -> None:
    """Take over all that can be.

    Raises:
        Stopped: by Ctrl-C; what is left is where it was.
    """
    before = len(work.found)
    try:
        await work.run(until)
    except asyncio.CancelledError:
        counts = f"{len(work.taken)} of {base.counted(before, 'LeaseRecord')} adopted"
        raise Stopped(f"{counts}. To go on, give the command again") from None


async def _adoption(
    api: client.Api, homes: Homes, clock: Clock, say: Callable[[str], None]
) -> adopting.Adoption:
    source = KubernetesCluster(api, operator_namespace=homes.source)
    target = KubernetesCluster(api, operator_namespace=homes.target)
    return adopting.Adoption(
        source,
        await source.installation(),
        target,
        await target.installation(),
        clock,
        say,
    )


async def _rights_missing(user: session.Session, homes: Homes) -> list[str]:
    wanted = [
        *((homes.source, _RECORDS, verb) for verb in ("list", "patch", "delete")),
        *((homes.target, _RECORDS, verb) for verb in ("get", "create", "patch")),
        *((home, _ELECTIONS, verb) for home in (homes.source, homes.target) for verb in _SEAT),
    ]
    return [
        f"you have no right to {verb} {what['resource']}.{what['group']} in namespace {home}"
        for home, what, verb in wanted
        if not await user.may({**what, "namespace": home, "verb": verb}, "")
    ]


async def _places_missing(user: session.Session, homes: Homes) -> list[str]:
    crd = await user.crd("leaserecords.leaseholder.dev")
    if crd is None:
        return ["there is no CRD leaserecords.leaseholder.dev, so nothing is on record"]
    if _goes(crd):
        return [
            "the CRD leaserecords.leaseholder.dev is being deleted, so no record can be made any "
            "more: leaseholder drain revokes what is on record"
        ]
    found = await user.namespace_named(homes.target)
    if found is None:
        return [f"there is no namespace {homes.target}: install the other operator first"]
    if _goes(found):
        return [f"the namespace {homes.target} is being deleted: nothing can be made there"]
    if await user.namespace_named(homes.source) is None:
        return [f"there is no namespace {homes.source}: mind --from"]
    return []


def _goes(body: dict[str, Any]) -> bool:
    return "deletionTimestamp" in (body.get("metadata") or {})


async def _pods_wanted(user: session.Session, homes: Homes) -> list[str]:
    """A pod that starts meanwhile, or in the old place afterwards, would issue all leases anew."""
    return [
        f"Deployment {home}/{name} wants pods: kubectl -n {home} scale deployment/{name} "
        "--replicas 0"
        for home in (homes.source, homes.target)
        for name in await user.operators(home)
    ]


@contextlib.asynccontextmanager
async def _leading(
    api: client.Api,
    elections: client.Api,
    led: Iterable[leading.Leadership],
    say: Callable[[str], None],
    until: float,
) -> AsyncIterator[None]:
    """Lead everywhere; who doesn't lead them all reads and writes nothing.

    Raises:
        Failed: time is over before.
    """
    candidate = leading.candidate(elections, led)
    api.may_act = lambda: candidate.leads
    task = asyncio.create_task(candidate.run())
    try:
        waits = await candidate.awaited(until, lambda waits: say(leading.waiting(waits)))
        if waits:
            raise Failed(f"nothing is adopted: the Lease isn't free {waits}", Exit.NOT_DONE)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await candidate.release()


async def places(user: session.Session, homes: Homes) -> list[leading.Leadership]:
    """Where an operator may lead."""
    both = (homes.source, homes.target)
    found = [one for home in both for one in await leading.shards(user, home)]
    return [*map(leading.Leadership, both), *found]


def listed(work: adopting.Adoption, homes: Homes) -> Iterator[str]:
    """What an adoption would take over."""
    total = base.counted(sum(len(page.leases) for page in work.found), "lease")
    pages = base.counted(len(work.found), "LeaseRecord")
    yield f"{pages} with {total} in {homes.source}, for {homes.target}"
    for page in work.found:
        of = page.subject
        yield f"{of.namespace}/{of.name}: {base.counted(len(page.leases), 'lease')}"
    yield from _not_taken(work, homes)


def reported(work: adopting.Adoption, homes: Homes) -> Iterator[str]:
    """How it ended."""
    total = base.counted(sum(work.taken.values()), "lease")
    pages = base.counted(len(work.taken), "LeaseRecord")
    yield f"adopted: {pages} with {total}, now in {homes.target}"
    for name, why in work.left.items():
        yield f"{name} is left: {why}"
    yield from _not_taken(work, homes)
    if work.trouble:
        yield f"what is left isn't known: {work.trouble}"
    if work.is_clean:
        yield (
            f"Now start the operator in {homes.target}, and delete namespace {homes.source}: an "
            "operator that starts there again would issue all leases anew"
        )
    else:
        yield "Something is left: see docs/runbook.md, What an adoption leaves"


def _not_taken(work: adopting.Adoption, homes: Homes) -> Iterator[str]:
    for one in work.unreadable:
        yield f"LeaseRecord {one} is left: this version can't read it"
    for one in work.others:
        yield f"LeaseRecord {homes.source}/{one} is left: another installation wrote it"


def values(work: adopting.Adoption, homes: Homes, *, dry_run: bool) -> dict[str, Any]:
    """The same for programs."""
    left = [
        *({"name": name, "reason": why} for name, why in work.left.items()),
        *({"record": one, "reason": "unreadable"} for one in work.unreadable),
        *({"record": f"{homes.source}/{one}", "reason": "foreign"} for one in work.others),
        *([{"reason": f"what is left isn't known: {work.trouble}"}] if work.trouble else []),
    ]
    if dry_run:
        pages = {f"{p.subject.namespace}/{p.subject.name}": len(p.leases) for p in work.found}
    else:
        pages = work.taken
    return {
        "from": homes.source,
        "to": homes.target,
        "dryRun": dry_run,
        "adopted": [{"name": name, "leases": count} for name, count in pages.items()],
        "left": left,
    }
