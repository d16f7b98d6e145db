"""``kubectl leaseholder``: what DynamicLeases hold, and commands to the operator.

It acts with the user's own login and rights, by kubectl's own rules. What takes long to import is
imported where it is needed: help and completion answer at once.
"""

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final

import click

import leaseholder
from leaseholder.cli import options
from leaseholder.cli.exits import Exit

if TYPE_CHECKING:
    from leaseholder.cli.commands import Verb

Login = dict[str, Any]
_WAIT: Final = (
    click.option("--wait", is_flag=True, help="Wait for the operator's answer, and say it."),
    options.seconds(300.0),
)
_CHECK: Final = click.option(
    "--check", is_flag=True, help="Exit with 4 if something that is shown isn't Ready."
)
_SVG: Final = click.option(
    "--svg", type=click.Path(dir_okay=False, writable=True), metavar="FILE",
    help="Draw the time line into a file, too.",
)  # fmt: skip


@click.group()
@click.version_option(leaseholder.__version__, prog_name="kubectl leaseholder")
def main() -> None:
    """See what DynamicLeases hold, and tell the operator what to do."""


@main.command("list")
@options.as_user(options.OUTPUT, _CHECK, everywhere=True)
def list_(login: Login, output: str, check: bool) -> None:
    """DynamicLeases: how long their leases live, what comes next, and what is wrong."""
    from leaseholder.cli import shown

    ready = asyncio.run(shown.leases(login, output))
    if check and not ready:
        sys.exit(Exit.NOT_READY)


@main.command()
@click.argument("name")
@options.as_user(options.OUTPUT, _CHECK, _SVG)
def show(login: Login, name: str, output: str, check: bool, svg: str | None) -> None:
    """A DynamicLease: the life of its lease as a time line, its conditions and its events."""
    from leaseholder.cli import shown

    ready = asyncio.run(shown.lease(login, name, output, svg=svg))
    if check and not ready:
        sys.exit(Exit.NOT_READY)


@main.command()
@options.as_user(options.OUTPUT, everywhere=True)
def providers(login: Login, output: str) -> None:
    """LeaseProviders of the namespace and ClusterLeaseProviders: do they answer?"""
    from leaseholder.cli import shown

    asyncio.run(shown.providers(login, output))


@main.command()
@click.argument("reason", required=False)
def explain(reason: str | None) -> None:
    """What a REASON means that a condition or an event says, and what to do.

    Without a REASON: all of them. The API server isn't asked.
    """
    from leaseholder.cli import explained

    explained.show(reason)


@main.command()
@click.argument("name")
@options.as_user(*_WAIT)
def rotate(login: Login, name: str, wait: bool, timeout: float) -> None:
    """Have a new lease issued now; workloads move to it, then the old one is revoked."""
    _give("rotate", name, login, timeout if wait else None)


@main.command()
@click.argument("name")
@options.as_user(*_WAIT)
def renew(login: Login, name: str, wait: bool, timeout: float) -> None:
    """Have the lease renewed now, without waiting until it is due."""
    _give("renew", name, login, timeout if wait else None)


@main.command()
@click.argument("name")
@options.as_user(*_WAIT, click.option("--yes", is_flag=True, help="Don't ask."))
def force(login: Login, name: str, wait: bool, timeout: float, yes: bool) -> None:
    """Have each pending revocation tried now, even if the system behind refuses it.

    The provider is told to forget leases that it can't revoke. Credentials may live on there.
    """
    if not yes:
        question = f"Credentials of {name}'s replaced leases may live on. Force their revocation?"
        click.confirm(question, abort=True, err=True)
    _give("force", name, login, timeout if wait else None)


def _give(verb: "Verb", name: str, login: Login, timeout: float | None) -> None:
    from leaseholder.cli import commands, exits, session

    async def work() -> None:
        async with session.opened(**login) as user:
            given = await commands.give(user, name, verb)
            note = commands.suspended(given)
            if note:
                click.echo(note, err=True)
            if timeout is None:
                click.echo(f"{verb} is asked for; see kubectl leaseholder show {name}")
                return
            click.echo(exits.printable(await commands.answer(user, given, timeout)))

    asyncio.run(work())


if __name__ == "__main__":
    main(prog_name="kubectl leaseholder")
