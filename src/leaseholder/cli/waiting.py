"""``wait``, ``suspend`` and ``resume``: what is asked for is compared with status, again and again.

A condition counts only when it is about the spec as it stands: right after ``kubectl apply``
Ready is still the old spec's.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from leaseholder.api import conditions, lease
from leaseholder.api.conditions import ConditionType
from leaseholder.cli import exits, refused, session, tables
from leaseholder.cli.exits import Exit, Failed, Stopped

EVERY: Final = 0.5
"""Seconds between two checks."""
_DELETE: Final = "delete"
_VERDICTS: Final = {"true": "True", "false": "False", "unknown": "Unknown"}


@dataclass(frozen=True, slots=True)
class Goal:
    """What is waited for: a condition's status, or that the DynamicLease is gone."""

    condition: str
    verdict: str
    """Empty: that the DynamicLease is gone."""

    def __str__(self) -> str:
        return f"{self.condition} {self.verdict}".rstrip()

    def is_met(self, dl: lease.DynamicLease) -> bool:
        """Whether status says so of the spec as it is."""
        if dl.status.observed_generation < dl.metadata.generation:
            return False
        found = _find(dl, self.condition)
        return found is not None and found.status == self.verdict


def goal(text: str) -> Goal:
    """What ``--for`` asks for: ``Ready``, ``Ready=False``, ``delete``.

    Raises:
        UsageError: it is none of these.
    """
    kind, _, verdict = text.removeprefix("condition=").partition("=")
    if kind.lower() == _DELETE and not verdict:
        return Goal("gone", "")
    known = {one.lower(): one.value for one in ConditionType}
    if kind.lower() not in known or (verdict or "true").lower() not in _VERDICTS:
        raise click.UsageError(
            f"--for: write {_DELETE}, or one of {', '.join(known.values())}, with =False where it "
            "is to be false"
        )
    return Goal(known[kind.lower()], _VERDICTS[(verdict or "true").lower()])


async def wait(login: dict[str, Any], names: Sequence[str], wanted: Goal, timeout: float) -> None:
    """Wait until all of them are as wanted, and say so of each.

    Raises:
        Failed: one isn't there, or isn't as wanted in time (``Stopped``: by Ctrl-C before).
    """
    async with session.opened(**login) as user:
        met = set[str]()

        async def each(name: str) -> None:
            await _wait(user, name, wanted, timeout)
            met.add(name)

        try:
            results = await asyncio.gather(*map(each, names), return_exceptions=True)
        except asyncio.CancelledError:
            left = ", ".join(name for name in names if name not in met)
            raise Stopped(f"not {wanted} yet, as far as status says: {left}") from None
    sentences = []
    for result in results:
        if isinstance(result, Failed):
            sentences.append(result)
        elif isinstance(result, BaseException):
            raise result
    for failure in sentences[:-1]:
        failure.show()
    if sentences:
        raise sentences[-1]


async def _wait(user: session.Session, name: str, wanted: Goal, timeout: float) -> None:
    said = ""
    try:
        async with asyncio.timeout(timeout):
            while True:
                dl = await _found(user, name, wanted)
                if dl is None or wanted.is_met(dl):
                    click.echo(f"{exits.printable(name)}: {wanted}")
                    return
                now = _why(dl, wanted)
                if now != said:
                    tables.console(sys.stderr).print(exits.printable(f"waiting for {name}: {now}"))
                said = now
                await asyncio.sleep(EVERY)
    except TimeoutError:
        pass
    raise Failed(f"{name} isn't {wanted} after {timeout:g} s: {said}", Exit.NOT_DONE)


async def _found(user: session.Session, name: str, wanted: Goal) -> lease.DynamicLease | None:
    if wanted.verdict:
        return await user.named(name)
    try:
        return await user.dynamic_lease(name)
    except refused.Unserved:
        raise  # an API server that knows no DynamicLeases doesn't say that one is gone
    except refused.Missing:
        return None  # as was wanted: nobody needs another name


def _why(dl: lease.DynamicLease, wanted: Goal) -> str:
    """What stands in the way, as far as status says."""
    if wanted.verdict and dl.status.observed_generation < dl.metadata.generation:
        return "the operator hasn't checked this spec yet"
    pending = _find(dl, ConditionType.REVOCATION_PENDING)
    if not wanted.verdict and not dl.deleting:
        return "nobody has deleted it yet"
    found = _find(dl, wanted.condition) if wanted.verdict else pending
    if found is None:
        return f"there is no condition {wanted.condition}"
    return f"{found.type} is {found.status}, {found.reason}: {found.message}".rstrip(": ")


def _find(dl: lease.DynamicLease, kind: str) -> conditions.Condition | None:
    return next((one for one in dl.status.conditions if one.type == kind), None)


async def suspend(login: dict[str, Any], name: str, *, held: bool) -> None:
    """Set ``spec.suspend``, and say what that means.

    Raises:
        Failed: it can't be set.
    """
    async with session.opened(**login) as user:
        dl = await user.named(name)
        if dl.spec.suspend != held:
            await user.suspend(dl, held)
    named = f"{dl.metadata.namespace}/{dl.metadata.name}"
    click.echo(f"{exits.printable(named)} is {_SUSPENDED if held else _RESUMED}")


_SUSPENDED: Final = (
    "suspended: no lease is issued, replaced or repaired; renewals and revocations go on. "
    "`resume` ends that"
)
_RESUMED: Final = "not suspended: what is due is done now"
