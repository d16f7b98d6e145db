"""``leaseholder sweep``: what lives at providers and is on no record, listed and put on record.

It is put together as the operator is, so it needs the same settings, and rights to read what the
providers log in with. It works beside a running operator: both write records by compare-and-swap,
and the operator revokes what it finds on them.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import click

from leaseholder import app
from leaseholder.api import base
from leaseholder.cli import exits
from leaseholder.cli.exits import Exit, printable
from leaseholder.controller.survey import Swept
from leaseholder.settings import Settings
from leaseholder.telemetry import logs

_OWN: Final = {"leader_election": False, "metrics_address": "127.0.0.1:0"}


async def sweep(settings: Settings, *, ask: bool, dry_run: bool) -> Exit:
    """Ask all providers that DynamicLeases name, whether they have ``spec.sweep`` or not.

    Args:
        settings: the operator's.
        ask: ask before anything is put on record.
        dry_run: only list.

    Returns:
        OK: no lease is on no record any more. NOT_DONE: some are. FAILED: it can't be known.

    Raises:
        click.Abort: the answer is no.
        errors.ClusterError: the API server can't be read or written.
    """
    level = settings.log_level if "log_level" in settings.model_fields_set else "ERROR"
    logs.configure(level, settings.log_format)
    async with app.composed(settings.model_copy(update=_OWN)) as operator:
        sweeper = operator.sweeper
        swept = await sweeper.survey.find(unasked=True)
        for line in listed(swept):
            _say(line)
        lost = [one for each in swept for one in each.lost]
        written = 0
        if any(not one.stays for one in lost) and not dry_run:
            if ask:
                exits.confirm("Put them on record, to be revoked?")
                lost = await sweeper.survey.still_lost(lost)  # hours later, maybe
            written = await sweeper.put_on_record(lost)
        failed = any(one.failure is not None for one in swept)
        stay = sum(one.stays for one in lost)
        _say(summary(len(lost), written, stay, failed=failed))
    if len(lost) > written:
        return Exit.NOT_DONE
    return Exit.FAILED if failed else Exit.OK


def listed(swept: Sequence[Swept]) -> Iterator[str]:
    """What was found at each provider."""
    for one in swept:
        if not one.sweepable:
            yield f"{one.name}: can't be swept: leases there have no mark of whose they are"
            continue
        if one.failure is not None:
            yield f"{one.name}: not all is known: {one.failure.sentence}"
        elif not one.lost:
            yield f"{one.name}: nothing"
        for lost in one.lost:
            lease, kept = lost.lease, ""
            if lost.shared:
                kept = "; stays: a shared account"
            elif lost.is_named:
                kept = "; stays: a Secret, or a lease at another address, names it"
            ends = base.render_moment(lease.expires_at)
            yield f"{one.name}: lease {lease.id} is on no record, ends {ends}{kept}"


def summary(lost: int, written: int, stay: int = 0, *, failed: bool = False) -> str:
    """How it ended.

    Args:
        lost: leases on no record.
        written: those that were put on record.
        stay: those that weren't to be.
        failed: not all could be known.
    """
    if not lost:
        return "not all is known" if failed else "no lease is on no record"
    if not written:
        return f"on no record: {base.counted(lost, 'lease')}; none was put on record"
    left = lost - written - stay
    rest = f"; {left} left: run it again when these are gone" if left else ""
    rest += f"; {stay} {'stays' if stay == 1 else 'stay'}, as said above" if stay else ""
    them = "it" if written == 1 else "them"
    leases = base.counted(written, "lease")
    return f"put on record: {leases}; the operator revokes {them} within ten minutes{rest}"


def _say(line: str) -> None:
    click.echo(printable(line))
