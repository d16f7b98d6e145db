"""What ``status``, ``providers`` and ``events`` print."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from leaseholder.api import provider
from leaseholder.cli import exits, session, tables, views
from leaseholder.cli.exits import Failed


async def leases(login: dict[str, Any], name: str | None, *, as_json: bool) -> bool:
    """Show one DynamicLease, or all.

    Returns:
        Whether all that is shown is Ready.

    Raises:
        Failed: it can't be shown.
    """
    async with session.opened(**login) as user:
        if name is not None:
            dl = await user.dynamic_lease(name)
            if as_json:
                _print_json(views.values_of(dl))
            else:
                tables.details(views.details_of(dl, _now()))
            return views.is_ready(dl)
        found, broken = await user.dynamic_leases()
    _tell(broken)
    if as_json:
        _print_json([views.values_of(dl) for dl in found])
    elif found:
        rows = [views.row_of(dl, _now()) for dl in found]
        _table(views.LEASE_COLUMNS, rows, with_namespace=not user.namespace)
    else:
        _none("DynamicLeases", user.namespace)
    return all(views.is_ready(dl) for dl in found) and not broken


async def providers(login: dict[str, Any], *, as_json: bool) -> None:
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
    _tell([*broken, *more])
    found: list[provider.AnyProvider] = [*own, *shared]
    if as_json:
        _print_json([views.values_of_provider(one) for one in found])
    elif found:
        rows = [views.row_of_provider(one) for one in found]
        _table(views.PROVIDER_COLUMNS, rows, with_namespace=not user.namespace)
    else:
        _none("providers", user.namespace)


async def events(login: dict[str, Any], name: str) -> None:
    """Show the events of a DynamicLease.

    Raises:
        Failed: they can't be shown.
    """
    async with session.opened(**login) as user:
        found = await user.events(await user.dynamic_lease(name))
    if not found:
        click.echo(f"no events of {name}; the API server forgets them after an hour", err=True)
        return
    tables.table(views.EVENT_COLUMNS, [views.row_of_event(one, _now()) for one in found])


def _table(columns: Sequence[str], rows: Sequence[views.Row], *, with_namespace: bool) -> None:
    """Print a table, as kubectl does: without the namespace where there is only one."""
    first = 0 if with_namespace else 1
    tables.table(columns[first:], [row[first:] for row in rows])


def _print_json(values: object) -> None:
    click.echo(json.dumps(values, indent=2))


def _tell(sentences: Sequence[str]) -> None:
    for one in sentences:
        click.echo(exits.printable(one), err=True)


def _none(what: str, namespace: str) -> None:
    where = f" in namespace {namespace}" if namespace else ""
    click.echo(f"no {what}{where}", file=sys.stderr)


def _now() -> datetime:
    return datetime.now(UTC)
