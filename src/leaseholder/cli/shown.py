"""What ``list``, ``show`` and ``providers`` print."""

import pathlib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from leaseholder.api import provider
from leaseholder.api.lease import DynamicLease
from leaseholder.cli import exits, session, story, tables, views
from leaseholder.cli.event import Event
from leaseholder.cli.exits import Failed

_LIFE: Final = 60
"""Characters of a lease's life."""
_MOST: Final = 20
"""So many moments and events, the newest: anybody may write events."""


async def leases(login: dict[str, Any], output: str) -> bool:
    """Show all DynamicLeases.

    Returns:
        Whether all of them are Ready.

    Raises:
        Failed: they can't be shown.
    """
    async with session.opened(**login) as user:
        found, broken = await user.dynamic_leases()
        if not (found or broken):
            await user.see_namespace()
    _say(broken)
    if output != "table":
        tables.values([views.values_of(dl) for dl in found], output)
    elif found:
        rows = [views.row_of(dl, _now()) for dl in found]
        _table(views.LEASE_COLUMNS, rows, with_namespace=not user.namespace)
        _say([views.summary(found, _now())])
    else:
        _none("DynamicLeases", user.namespace)
    return all(views.is_ready(dl) for dl in found) and not broken


async def lease(login: dict[str, Any], name: str, output: str, *, svg: str | None) -> bool:
    """Show one DynamicLease: what it holds, its time line, its conditions, its events.

    Returns:
        Whether it is Ready.

    Raises:
        Failed: it can't be shown, or the picture can't be written.
    """
    async with session.opened(**login) as user:
        dl = await user.named(name)
        try:
            events = await user.events(dl)
        except Failed as failure:
            events = []
            _say([f"events aren't shown: {failure.message}"])
    now = _now()
    if output == "table":
        _story(dl, events, now)
    else:
        tables.values(views.values_of_one(dl, events, now), output)
    if svg is not None:
        _draw(dl, events, now, svg)
    return views.is_ready(dl)


def _story(dl: DynamicLease, events: Sequence[Event], now: datetime) -> None:
    """Print all that is known of one DynamicLease."""
    tables.details(views.details_of(dl, now))
    known, held = story.spans(dl, events, now), dl.status.lease
    plan = held.renew_at if held is not None else None
    bars = story.drawn(known, plan, now, _LIFE)
    if bars:
        tables.lines(
            ["", *(f"{bar}  {one.lease_id}" for bar, one in zip(bars, known, strict=True))]
        )
    marks = story.marks(dl, events, now)[-_MOST:]
    if len(marks) > 1:  # "now" alone tells nothing
        tables.lines([""])
        tables.table(views.MARK_COLUMNS, [story.rendered(one) for one in marks])
    if dl.status.conditions:
        tables.lines([""])
        rows = [views.row_of_condition(one, now) for one in dl.status.conditions]
        tables.table(views.CONDITION_COLUMNS, rows)
    others = [one for one in events if not story.is_of_a_lease(one)][-_MOST:]
    if others:
        tables.lines([""])
        tables.table(views.EVENT_COLUMNS, [views.row_of_event(one, now) for one in others])


def _draw(dl: DynamicLease, events: Sequence[Event], now: datetime, path: str) -> None:
    from leaseholder.cli import drawing

    title = f"DynamicLease {dl.metadata.namespace}/{dl.metadata.name}"
    marks, known = story.marks(dl, events, now), story.spans(dl, events, now)
    try:
        pathlib.Path(path).write_text(drawing.picture(title, known, marks, now), "utf-8")
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Failed(f"{path} can't be written: {why}") from None
    _say([f"the time line is drawn into {path}"])


async def providers(login: dict[str, Any], output: str) -> None:
    """Show LeaseProviders, and ClusterLeaseProviders as far as the user may see them.

    Raises:
        Failed: they can't be shown.
    """
    async with session.opened(**login) as user:
        own, broken = await user.providers()
        try:
            shared, more = await user.cluster_providers()
        except Failed as failure:
            shared, more = [], [f"ClusterLeaseProviders aren't shown: {failure.message}"]
        if not (own or broken):
            await user.see_namespace()
    _say([*broken, *more])
    found: list[provider.AnyProvider] = [*own, *shared]
    if output != "table":
        tables.values([views.values_of_provider(one) for one in found], output)
    elif found:
        rows = [views.row_of_provider(one) for one in found]
        _table(views.PROVIDER_COLUMNS, rows, with_namespace=not user.namespace)
    else:
        _none("providers", user.namespace)


def _table(columns: Sequence[str], rows: Sequence[views.Row], *, with_namespace: bool) -> None:
    """Print a table, as kubectl does: without the namespace where there is only one."""
    first = 0 if with_namespace else 1
    tables.table(columns[first:], [row[first:] for row in rows])


def _say(sentences: Sequence[str]) -> None:
    for one in sentences:
        click.echo(exits.printable(one), err=True)


def _none(what: str, namespace: str) -> None:
    where = f" in namespace {namespace}" if namespace else ""
    click.echo(f"no {what}{where}", file=sys.stderr)


def _now() -> datetime:
    return datetime.now(UTC)
