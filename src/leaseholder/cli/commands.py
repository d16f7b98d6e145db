"""Commands to the operator: an annotation with a fresh nonce, and the answer in status.

A nonce that stands there when the operator first sees a DynamicLease counts as handled, so nothing
is said to one that it hasn't checked yet.
"""

import asyncio
import secrets
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import click

from leaseholder.api import base, conditions, lease, names
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.cli import exits, session, tables
from leaseholder.cli.event import Event
from leaseholder.cli.exits import Exit, Failed, Stopped

Verb = Literal["rotate", "renew", "force"]
ANNOTATIONS: Final[dict[Verb, str]] = {
    "rotate": names.ROTATE,
    "renew": names.RENEW,
    "force": names.FORCE,
}
EVERY: Final = 0.5
"""Seconds between two looks at the answer."""
REFUSALS: Final = frozenset({Reason.RENEWAL_TOO_SOON, Reason.CANNOT_RENEW})
"""Events that answer a renew command with no."""
_CHECKS: Final = 10
"""So many looks for such an event: it comes a moment after the status."""


@dataclass(frozen=True, slots=True)
class Given:
    """A command that was given."""

    verb: Verb
    nonce: str
    before: lease.DynamicLease
    events: Collection[Event] = ()
    """Those that there were already."""


async def obey(login: dict[str, Any], name: str, verb: Verb, timeout: float | None) -> None:
    """Give a command, and say what becomes of it.

    Args:
        login: how to log in.
        name: of the DynamicLease.
        verb: what to do.
        timeout: seconds to wait for the answer; None: it isn't waited for.

    Raises:
        Failed: it can't be given, was refused, or isn't answered in time.
    """
    async with session.opened(**login) as user:
        given = await give(user, name, verb)
        note = suspended(given)
        if note:
            click.echo(note, err=True)
        shown = _see(given.before)
        if timeout is None:
            click.echo(f"{verb} is asked for; {shown}")
            return
        try:
            said = await answer(user, given, timeout)
        except asyncio.CancelledError:
            said = f"{verb} is asked for, and the operator goes on with it; {shown}"
            raise Stopped(said) from None
        click.echo(exits.printable(said))


async def give(user: session.Session, name: str, verb: Verb, namespace: str = "") -> Given:
    """Give a command to a DynamicLease of the session's namespace, or of another.

    Raises:
        Failed: it can't be given.
    """
    dl = await (user.dynamic_lease(name, namespace) if namespace else user.named(name))
    if dl.status.handled is None:
        raise Failed(
            f"the operator hasn't checked {name} yet: a command would count as handled; try "
            "again when status shows it"
        )
    if dl.deleting and verb != "force":
        raise Failed(f"{name} is being deleted: nothing is issued or renewed any more")
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    nonce = f"{moment}-{secrets.token_hex(4)}"
    events = await _events(user, dl) if verb == "renew" else ()
    await user.annotate(dl, ANNOTATIONS[verb], nonce)
    return Given(verb, nonce, dl, events)


async def answer(user: session.Session, given: Given, timeout: float) -> str:
    """Wait for what became of a command, and say it.

    Raises:
        Failed: it was refused, isn't answered in time, or the DynamicLease is gone.
    """
    said = ""
    last = given.before
    try:
        async with asyncio.timeout(timeout):
            while not _handled(last := await _again(user, given), given):
                said = _progress(last, said)
                await asyncio.sleep(EVERY)
            return await _outcome(user, given, last)
    except TimeoutError:
        pass
    ready = conditions.find(last.status.conditions, ConditionType.READY)
    said = f": {ready.reason}: {ready.message}" if ready is not None else ""
    held = "; it waits until spec.suspend is false" if last.spec.suspend else ""
    raise Failed(f"no answer to {given.verb} in {timeout:.0f} s{held}{said}", Exit.NOT_DONE)


async def _again(user: session.Session, given: Given) -> lease.DynamicLease:
    meta = given.before.metadata
    now = await user.dynamic_lease(meta.name, meta.namespace)
    if now.metadata.uid != given.before.metadata.uid:
        raise Failed("the DynamicLease was made again meanwhile", Exit.NOT_DONE)
    return now


def _handled(dl: lease.DynamicLease, given: Given) -> bool:
    handled = dl.status.handled
    return handled is not None and getattr(handled, given.verb) == given.nonce


def _progress(dl: lease.DynamicLease, said: str) -> str:
    """Say on stderr what is waited for, each thing once."""
    ready = conditions.find(dl.status.conditions, ConditionType.READY)
    trouble = ready is not None and ready.message and ready.reason != Reason.READY
    now = f"{ready.reason}: {ready.message}" if ready is not None and trouble else ""
    if now and now != said:
        tables.console(sys.stderr).print(f"waiting: {exits.printable(now)}")
    return now or said


async def _outcome(user: session.Session, given: Given, dl: lease.DynamicLease) -> str:
    name, held = f"{dl.metadata.namespace}/{dl.metadata.name}", dl.status.lease
    match given.verb:
        case "rotate":
            until = base.render_moment(held.expires_at) if held is not None else "an unknown moment"
            known = held.id if held is not None else "?"
            return f"{name} is rotated: the Secret holds lease {known}, good until {until}"
        case "renew":
            before = given.before.status.lease
            if held is not None and before is not None and held.expires_at > before.expires_at:
                return f"{name} is renewed until {base.render_moment(held.expires_at)}"
            raise Failed(await _refusal(user, dl, given), Exit.NOT_DONE)
        case "force":
            pending = conditions.find(dl.status.conditions, ConditionType.REVOCATION_PENDING)
            if pending is None or pending.status != "True":
                return f"{name}: no lease is to be revoked any more"
            raise Failed(f"{name}: {pending.reason}: {pending.message}", Exit.NOT_DONE)


async def _refusal(user: session.Session, dl: lease.DynamicLease, given: Given) -> str:
    """Why a lease wasn't renewed, as the event says that comes with it."""
    for _ in range(_CHECKS):
        fresh = [one for one in await _events(user, dl) if one not in given.events]
        said = [one for one in fresh if one.reason in REFUSALS]
        if said:
            return f"not renewed: {said[-1].reason}: {said[-1].message}"
        await asyncio.sleep(EVERY)
    return f"not renewed; {_see(dl)}"


def _see(dl: lease.DynamicLease) -> str:
    """What to type next, in whichever namespace this was."""
    name, namespace = exits.quoted(dl.metadata.name), exits.quoted(dl.metadata.namespace)
    return f"see kubectl leaseholder show {name} -n {namespace}"


async def _events(user: session.Session, dl: lease.DynamicLease) -> Sequence[Event]:
    """The events, as far as the user may see them: they only say more."""
    try:
        return await user.events(dl)
    except Failed:
        return ()


def suspended(given: Given) -> str:
    """What to say of a command that has to wait; empty where it doesn't."""
    waits = given.before.spec.suspend and given.verb == "rotate"
    return "spec.suspend is true: it waits until that is false" if waits else ""
