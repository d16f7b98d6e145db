"""``leaseholder drain``: an operator that only ends leases, run by an administrator.

It is put together as the operator is, so it needs the same settings. It leads by the same Lease,
and by those of all shards, so no operator works meanwhile.
"""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from typing import Final

import click

from leaseholder import app
from leaseholder.api import base
from leaseholder.cli import exits, leading, session
from leaseholder.cli.exits import Failed, Stopped, printable
from leaseholder.cluster import client
from leaseholder.cluster import login as logins
from leaseholder.controller import drain as draining
from leaseholder.controller import leader
from leaseholder.settings import Settings
from leaseholder.telemetry import logs
from leaseholder.telemetry.journal import LoggedJournal

_FEW: Final = 5
"""So many names stand in a sentence."""


async def drain(
    settings: Settings, choice: logins.Choice, *, timeout: float, ask: bool, dry_run: bool
) -> bool:
    """End all leases of an installation; whether nothing is left.

    Args:
        settings: the operator's.
        choice: the kubeconfig to use.
        timeout: seconds for all of it.
        ask: ask before anything is done.
        dry_run: only list.

    Raises:
        click.Abort: the answer is no.
        Failed: some leases are another operator's.
        Stopped: by Ctrl-C; what is left is on record.
        errors.ClusterError: the API server can't be read.
        app.OperatorEnded: a part of the operator ended.
    """
    # What is left is reported at the end; the operator's own warnings are about a long life.
    level = settings.log_level if "log_level" in settings.model_fields_set else "ERROR"
    logs.configure(level, settings.log_format)
    tally = draining.Tally(LoggedJournal())
    own = {
        "leader_election": True,
        "metrics_address": "127.0.0.1:0",
        "sweep_interval_seconds": 0.0,
    }
    settings_ = settings.model_copy(update=own)
    async with app.composed(settings_, draining=tally, choice=choice) as operator:
        installation, clock = operator.comparison.records.installation, operator.controller.clock
        work = draining.Drain(operator.cluster, installation, clock, tally, _say)
        await work.check()
        if work.unrecorded:
            raise Failed(misplaced(work.unrecorded, settings.operator_namespace))
        for line in listed(work, settings):
            _say(line)
        if dry_run:
            return True
        if work.left:
            if ask:
                exits.confirm("Delete them and revoke their leases?")
            async with leading.connected(choice) as elections:
                await _lead_shards(operator, elections, settings.operator_namespace)
                await _beside(operator, work, clock.monotonic() + timeout)
        for line in reported(work):
            _say(line)
        if operator.stopped_by is signal.SIGINT and not work.is_clean:
            raise Stopped(progress(work))
        return work.is_clean


async def _lead_shards(operator: app.Operator, elections: client.Api, home: str) -> None:
    """Have the operator lead by the Leases of all shards that led, too."""
    user = session.Session(elections, home)
    candidate = leading.candidate(elections, await leading.shards(user, home))
    if isinstance(operator.elector, leader.Elector):
        operator.elector = leader.Several(
            {str(leading.Leadership(home)): operator.elector, **candidate.electors}
        )


async def _beside(operator: app.Operator, work: draining.Drain, until: float) -> None:
    """Lead, let the operator work, and drain until it is over, or time is.

    By the operator's clock, which runs on while a machine sleeps. By another one the time would be
    over at once on a machine that slept.
    """
    running = asyncio.create_task(operator.run())
    ours = asyncio.create_task(_drained(operator, work, until))
    try:
        await asyncio.wait([running, ours], return_when=asyncio.FIRST_COMPLETED)
    finally:
        operator.stopping.set()
        ours.cancel()
        ended = await asyncio.gather(running, ours, return_exceptions=True)
    for one in ended:
        if isinstance(one, Exception):
            raise one


async def _drained(operator: app.Operator, work: draining.Drain, until: float) -> None:
    elector = operator.elector
    if elector is None or not await elector.awaited(until, _say_waits):
        await work.run(until)


def _say_waits(waits: str) -> None:
    _say(leading.waiting(waits))


def misplaced(found: Sequence[draining.Name], home: str) -> str:
    """Why nothing is done where leases are on no record here: nobody here would revoke them."""
    few = ", ".join(map(str, found[:_FEW])) + (", ..." if len(found) > _FEW else "")
    return (
        f"nothing is done: {few} hold leases, and no LeaseRecord in namespace {home} is theirs, so "
        "another operator serves them: set LEASEHOLDER_OPERATOR_NAMESPACE and "
        "LEASEHOLDER_NAMESPACES as the operator has them that is to be drained. If its records are "
        "lost, kubectl delete these DynamicLeases, then drain again"
    )


def listed(work: draining.Drain, settings: Settings) -> Iterator[str]:
    """What a drain would end, and who uses it."""
    leases = sum(len(one.leases) for one in work.left.values())
    spaces = {name.namespace for name in work.left}
    held = f"{base.counted(len(work.left), 'DynamicLease')} with {base.counted(leases, 'lease')}"
    where = f"{base.counted(len(spaces), 'namespace')}, on record in {settings.operator_namespace}"
    yield f"{held} in {where}"
    for name, one in work.left.items():
        yield f"{name}: {_lost(one)}"
    for unread in work.unreadable:
        yield f"{unread} can't be read by this version and is left as it is"


def _lost(one: draining.Remains) -> str:
    """What workloads lose with a DynamicLease."""
    leases = base.counted(len(one.leases), "lease")
    if one.dl is None:
        return f"{leases} to revoke, the DynamicLease is gone"
    secret = f"Secret {one.dl.secret_name}"
    if one.dl.spec.deletion.policy == "Orphan":
        return f"{leases}; {secret} and the lease in it stay (deletion.policy: Orphan)"
    used = [f"{t.kind} {t.name or 'by label'}" for t in one.dl.spec.rotation.restart_targets]
    by = f", used by {', '.join(used)}" if used else ""
    return f"{leases} to revoke; {secret} goes{by}"


def reported(work: draining.Drain) -> Iterator[str]:
    """How it ended."""
    gone = len(work.seen - work.left.keys())
    yield f"drained: {base.counted(gone, 'DynamicLease')}; {draining.outcomes_in(work.tally.all)}"
    for name, one in work.left.items():
        yield f"{name} is left: {one.why}"
    for unread in work.unreadable:
        yield f"{unread} is left: this version can't read it"
    if work.trouble:
        yield f"what is left isn't known: {work.trouble}"
    if not work.is_clean:
        yield "Something is left: run it again, or see docs/runbook.md, What a drain leaves"


def progress(work: draining.Drain) -> str:
    """How far a drain got that was stopped."""
    gone, all_ = len(work.seen - work.left.keys()), base.counted(len(work.seen), "DynamicLease")
    return f"{gone} of {all_} drained. To go on, give the command again"


def _say(line: str) -> None:
    click.echo(printable(line))
