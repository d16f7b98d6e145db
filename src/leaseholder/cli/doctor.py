"""``doctor``: what is missing, in one page.

Each check that the user has no right to is said to be unseen; it is no failure.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from leaseholder.api import base, crds, lease, names, provider
from leaseholder.cli import checks, exits, refused, rights, session, tables
from leaseholder.cli.checks import Finding, Level

COLUMNS: Final = ("LEVEL", "CHECK", "MESSAGE")
_AT_ONCE: Final = 8
_MOST_RIGHTS: Final = 2000
"""So many rights are asked for; a cluster of hundreds of namespaces has more."""


async def examine(login: dict[str, Any], operator: str, output: str) -> Level:
    """Check all, print what is found, and say how bad it is.

    Args:
        login: how to log in.
        operator: namespace and ServiceAccount of the operator, with a slash between.
        output: ``table``, ``json`` or ``yaml``.

    Raises:
        Failed: there is no API server.
    """
    home, _, account = operator.partition("/")
    async with session.opened(**login) as user:
        await user.see_namespace()
        found = await _findings(user, home, account or "leaseholder")
    if output == "table":
        rows = [(one.level.value, one.check, one.message) for one in found]
        tables.table(COLUMNS, rows)
    else:
        plain = [
            {"level": one.level.value, "check": one.check, "message": one.message} for one in found
        ]
        tables.values(plain, output)
    click.echo(exits.printable(checks.summary(found)), err=True)
    return checks.worst(found)


async def _findings(user: session.Session, home: str, account: str) -> list[Finding]:
    now = datetime.now(UTC)
    found = await _seen("crds", _crds(user))
    found += await _seen("operator", _operator(user, home, now))
    leases, more = await _listed("leases", user.dynamic_leases)
    providers, others = await _listed("providers", user.providers)
    shared, rest = await _listed("providers", user.cluster_providers)
    everyone: list[provider.AnyProvider] = [*providers, *shared]
    found += [*more, *others, *rest]
    found += await _seen("rights", _rights(user, leases, everyone, home, account))
    found += await _seen("yours", _yours(user))
    if not others or everyone:
        found += checks.of_providers(everyone)
    if not more or leases:
        found += checks.of_leases(leases, now)
    return found


async def _seen(check: str, work: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        return await work
    except (refused.Forbidden, refused.Missing) as failure:
        return [Finding(Level.UNSEEN, check, failure.message)]


async def _listed(
    check: str, ask: Callable[[], Awaitable[session.Found[Any]]]
) -> tuple[list[Any], list[Finding]]:
    """What could be read, and a finding for each object that couldn't."""
    try:
        found, broken = await ask()
    except (refused.Forbidden, refused.Missing) as failure:
        return [], [Finding(Level.UNSEEN, check, failure.message)]
    return found, [Finding(Level.FAIL, check, sentence) for sentence in broken]


async def _crds(user: session.Session) -> list[Finding]:
    known = (f"{kind.plural}.{names.GROUP}" for kind in crds.KINDS)
    return checks.of_crds({name: await user.crd(name) for name in known})


async def _operator(user: session.Session, home: str, now: datetime) -> list[Finding]:
    found = [checks.of_operator(await user.election(home), f"namespace {home}", now)]
    try:
        shards = await user.shards(home)
    except refused.Forbidden:
        return found  # an administrator sees them; the default one is there all the same
    for shard in shards:
        where = f"namespace {home} for shard {shard}"
        found.append(checks.of_operator(await user.election(home, shard), where, now))
    return found


async def _rights(
    user: session.Session,
    leases: Sequence[lease.DynamicLease],
    providers: Sequence[provider.AnyProvider],
    home: str,
    account: str,
) -> list[Finding]:
    """Whether the operator may do what it has to, by access reviews."""
    wanted = rights.of_operator(leases, providers, home)
    asked = wanted[:_MOST_RIGHTS]
    denied = await _denied(user, asked, f"{home}:{account}")
    namespaces = base.counted(len({one.namespace for one in asked}), "namespace")
    if denied:
        return [Finding(Level.FAIL, "rights", one) for one in rights.missing(denied)]
    sentence = f"the operator has what it needs in {namespaces}"
    left = f"; {len(wanted) - len(asked)} rights weren't asked for" if asked != wanted else ""
    return [Finding(Level.OK, "rights", sentence + left)]


async def _yours(user: session.Session) -> list[Finding]:
    denied = await _denied(user, rights.of_user(user.namespace), "")
    if not denied:
        return [Finding(Level.OK, "yours", "you may list, show and give commands")]
    sentence = ", ".join(f"{one.verb} {one.resource}" for one in denied)
    return [Finding(Level.WARN, "yours", f"you have no right to {sentence} (docs/cli.md, Rights)")]


async def _denied(
    user: session.Session, wanted: Sequence[rights.Right], account: str
) -> list[rights.Right]:
    """Those that the account, or the user where it is empty, doesn't have."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def ask(one: rights.Right) -> bool:
        async with turns:
            return await user.may(one.attributes, account)

    answers = await asyncio.gather(*map(ask, wanted))
    return [one for one, allowed in zip(wanted, answers, strict=True) if not allowed]
