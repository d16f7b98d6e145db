"""``kubectl leaseholder``: what DynamicLeases hold, and commands to the operator.

It acts with the user's own login and rights, by kubectl's own rules. What takes long to import is
imported where it is needed: help and completion answer at once.
"""

import asyncio
import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

import leaseholder
from leaseholder.cli.exits import Exit

if TYPE_CHECKING:
    from leaseholder.cli.commands import Verb

Command = TypeVar("Command", bound=Callable[..., Any])
_LOGIN: Final = (
    click.option("--kubeconfig", default="", help="The kubeconfig to use, as for kubectl."),
    click.option("--context", default="", help="Which of its contexts."),
    click.option("-n", "--namespace", default="", help="The namespace; default: the context's."),
)
_EVERYWHERE: Final = click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")
_OUTPUT: Final = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="A table for people, or JSON for programs.",
)  # fmt: skip
_WAIT: Final = (
    click.option("--wait", is_flag=True, help="Wait for the operator's answer, and say it."),
    click.option(
        "--timeout", type=click.FloatRange(min=0, min_open=True), default=300.0, show_default=True,
        metavar="SECONDS", help="How long to wait.",
    ),
)  # fmt: skip


def _with(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Several options, in that order."""
    return lambda command: functools.reduce(lambda done, one: one(done), reversed(options), command)


@click.group()
@click.version_option(leaseholder.__version__, prog_name="kubectl leaseholder")
def main() -> None:
    """See what DynamicLeases hold, and tell the operator what to do."""


@main.command()
@click.argument("name", required=False)
@_with(*_LOGIN, _EVERYWHERE, _OUTPUT)
@click.option("--check", is_flag=True, help="Exit with 4 if something that is shown isn't Ready.")
def status(
    name: str | None,
    kubeconfig: str,
    context: str,
    namespace: str,
    all_namespaces: bool,
    output: str,
    check: bool,
) -> None:
    """What a DynamicLease holds, until when, in which Secret, and why it isn't Ready.

    Without a NAME: all of the namespace, as a table.
    """
    if name is not None and all_namespaces:
        raise click.UsageError("write a name or -A, not both")
    from leaseholder.cli import shown

    login = _login(kubeconfig, context, namespace, all_namespaces)
    ready = asyncio.run(shown.leases(login, name, as_json=output == "json"))
    if check and not ready:
        sys.exit(Exit.NOT_READY)


@main.command()
@_with(*_LOGIN, _EVERYWHERE, _OUTPUT)
def providers(
    kubeconfig: str, context: str, namespace: str, all_namespaces: bool, output: str
) -> None:
    """LeaseProviders of the namespace and ClusterLeaseProviders: do they answer?"""
    from leaseholder.cli import shown

    login = _login(kubeconfig, context, namespace, all_namespaces)
    asyncio.run(shown.providers(login, as_json=output == "json"))


@main.command()
@click.argument("name")
@_with(*_LOGIN)
def events(name: str, kubeconfig: str, context: str, namespace: str) -> None:
    """The events of a DynamicLease, the oldest first."""
    from leaseholder.cli import shown

    asyncio.run(shown.events(_login(kubeconfig, context, namespace), name))


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
@_with(*_LOGIN, *_WAIT)
def rotate(
    name: str, kubeconfig: str, context: str, namespace: str, wait: bool, timeout: float
) -> None:
    """Have a new lease issued now; workloads move to it, then the old one is revoked."""
    _give("rotate", name, _login(kubeconfig, context, namespace), timeout if wait else None)


@main.command()
@click.argument("name")
@_with(*_LOGIN, *_WAIT)
def renew(
    name: str, kubeconfig: str, context: str, namespace: str, wait: bool, timeout: float
) -> None:
    """Have the lease renewed now, without waiting until it is due."""
    _give("renew", name, _login(kubeconfig, context, namespace), timeout if wait else None)


@main.command()
@click.argument("name")
@_with(*_LOGIN, *_WAIT)
@click.option("--yes", is_flag=True, help="Don't ask.")
def force(
    name: str,
    kubeconfig: str,
    context: str,
    namespace: str,
    wait: bool,
    timeout: float,
    yes: bool,
) -> None:
    """Have each pending revocation tried now, even if the system behind refuses it.

    The provider is told to forget leases that it can't revoke. Credentials may live on there.
    """
    if not yes:
        question = f"Credentials of {name}'s replaced leases may live on. Force their revocation?"
        click.confirm(question, abort=True, err=True)
    _give("force", name, _login(kubeconfig, context, namespace), timeout if wait else None)


def _login(
    kubeconfig: str, context: str, namespace: str, everywhere: bool = False
) -> dict[str, Any]:
    return {
        "kubeconfig": kubeconfig,
        "context": context,
        "namespace": namespace,
        "everywhere": everywhere,
    }


def _give(verb: "Verb", name: str, login: dict[str, Any], timeout: float | None) -> None:
    from leaseholder.cli import commands, exits, session

    async def work() -> None:
        async with session.opened(**login) as user:
            given = await commands.give(user, name, verb)
            note = commands.suspended(given)
            if note:
                click.echo(note, err=True)
            if timeout is None:
                click.echo(f"{verb} is asked for; see kubectl leaseholder status {name}")
                return
            click.echo(exits.printable(await commands.answer(user, given, timeout)))

    asyncio.run(work())


if __name__ == "__main__":
    main(prog_name="kubectl leaseholder")
