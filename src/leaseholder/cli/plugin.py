"""``kubectl leaseholder``: what DynamicLeases hold, and commands to the operator.

It acts with the user's own login and rights, by kubectl's own rules. What takes long to import is
imported where it is needed: help and completion answer at once.
"""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

import leaseholder
from leaseholder.cli import completion, exits, init, options
from leaseholder.cli import main as operator
from leaseholder.cli.exits import Exit

if TYPE_CHECKING:
    from leaseholder.cli.commands import Verb

Login = dict[str, Any]
_WAIT: Final = (
    click.option("--wait", is_flag=True, help="Wait for the operator's answer, and say it."),
    options.seconds(300.0),
)
_MANY: Final = (
    click.option("--all", "all_", is_flag=True, help="All leases of a provider."),
    click.option("--provider", metavar="NAME", help="Which: NAME, or ClusterLeaseProvider/NAME."),
    click.option(
        "--issued-before", type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]), metavar="MOMENT",
        help="Only leases that were issued before 2026-11-27T10:00:00Z, say.",
    ),
    click.option(
        "--at-once", type=click.IntRange(1, 50), default=5, show_default=True,
        help="So many at a time.",
    ),
    options.YES,
)  # fmt: skip
_CHECK: Final = click.option(
    "--check", is_flag=True, help="Exit with 4 if something that is shown isn't Ready."
)
_OPERATOR: Final = click.option(
    "--operator", default="leaseholder/leaseholder", show_default=True,
    metavar="NAMESPACE/SERVICEACCOUNT", help="Who the operator is.",
)  # fmt: skip
_FILE: Final = click.option(
    "-f", "--file", type=click.Path(allow_dash=True), required=True, metavar="FILE",
    help="Manifests, in YAML or JSON; - for stdin.",
)  # fmt: skip
_FILE_OR: Final = click.option(
    "-f", "--file", type=click.Path(allow_dash=True), metavar="FILE",
    help="Their manifests, in YAML or JSON; - for stdin.",
)  # fmt: skip
_FROM_CLUSTER: Final = click.option("--live", is_flag=True, help="Read them from the cluster.")
_FOR: Final = click.option(
    "--for", "goal", default="Ready", show_default=True, metavar="CONDITION",
    help="A condition such as RolloutComplete or RevocationPending=False; or delete.",
)  # fmt: skip
_SVG: Final = click.option(
    "--svg", type=click.Path(dir_okay=False, writable=True), metavar="FILE",
    help="Draw the time line into a file, too.",
)  # fmt: skip


@click.group(cls=exits.Program)
@click.version_option(leaseholder.__version__, prog_name="kubectl leaseholder")
def main() -> None:
    """See what DynamicLeases hold, and tell the operator what to do."""


@main.command("list")
@options.as_user(options.OUTPUT, _CHECK, everywhere=True)
def list_(login: Login, output: str, check: bool) -> None:
    """List DynamicLeases: what comes next, and what is wrong."""
    from leaseholder.cli import shown

    ready = exits.run(shown.leases(login, output))
    if check and not ready:
        sys.exit(Exit.NOT_READY)


@main.command()
@click.argument("name", shell_complete=completion.names)
@options.as_user(options.OUTPUT, _CHECK, _SVG)
def show(login: Login, name: str, output: str, check: bool, svg: str | None) -> None:
    """Show a DynamicLease: its leases' time line, conditions, events."""
    from leaseholder.cli import shown

    ready = exits.run(shown.lease(login, name, output, svg=svg))
    if check and not ready:
        sys.exit(Exit.NOT_READY)


@main.command()
@options.as_user(options.OUTPUT, everywhere=True)
def providers(login: Login, output: str) -> None:
    """List providers: do they answer?

    LeaseProviders of the namespace, and ClusterLeaseProviders.
    """
    from leaseholder.cli import shown

    exits.run(shown.providers(login, output))


@main.command()
@options.as_user(options.OUTPUT, _OPERATOR, everywhere=True)
def doctor(login: Login, output: str, operator: str) -> None:
    """Check what is missing: CRDs, rights, providers, leases.

    It goes by what the API server shows and asks no provider. Ends with 5 where something fails. A
    check that you have no right to is no failure.
    """
    from leaseholder.cli import checks
    from leaseholder.cli import doctor as examination

    if exits.run(examination.examine(login, operator, output)) is checks.Level.FAIL:
        sys.exit(Exit.UNWELL)


@main.command()
@options.as_user(_FILE)
def plan(login: Login, file: str) -> None:
    """Say what would become of a manifest; nothing is changed.

    The API server checks it as if it were applied. Then its provider, its template (with dummy
    values) and its Secret are checked. Ends with 5 where something is wrong. Where you have no
    right to see something, it says so and checks the rest; that is no fault.
    """
    from leaseholder.cli import plan as planning

    if not exits.run(planning.show(login, file)):
        sys.exit(Exit.UNWELL)


@main.command()
@options.as_user(_FILE_OR, _FROM_CLUSTER, everywhere=True)
def migrate(login: Login, file: str | None, live: bool) -> None:
    """Print DynamicLeases for other operators' resources.

    They have the same Secrets. It reads VaultDynamicSecret of Vault Secrets Operator,
    ExternalSecret with the generator VaultDynamicSecret, and InfisicalDynamicSecret. Comments say
    what doesn't carry over. The DynamicLeases are suspended: docs/migration.md says how they take
    the Secrets over.
    """
    if (file is None) != live:
        raise click.UsageError("write -f FILE or --live")
    from leaseholder.cli import migrate as migration

    exits.run(migration.show(login, file))


@main.command()
@click.argument("reason", required=False, shell_complete=completion.reasons)
def explain(reason: str | None) -> None:
    """Explain a REASON, and say what to do.

    It stands in a condition or an event. Without a REASON: all of them. The API server isn't asked.
    """
    from leaseholder.cli import explained

    explained.show(reason)


@main.command()
@click.argument("name", required=False, shell_complete=completion.names)
@options.as_user(*_WAIT, *_MANY, everywhere=True)
def rotate(
    login: Login,
    name: str | None,
    wait: bool,
    timeout: float,
    all_: bool,
    provider: str | None,
    issued_before: datetime | None,
    at_once: int,
    yes: bool,
) -> None:
    """Have a new lease issued now.

    Workloads move to it, then the old one is revoked.

    With --all and --provider instead of a NAME: all leases of a provider, a few at a time, for the
    day on which a provider was breached. Each is waited for, with its workloads. If the command is
    stopped, its last line says with which --issued-before it goes on.
    """
    if name is not None and not (all_ or login["everywhere"] or provider or issued_before):
        _give("rotate", name, login, timeout if wait else None)
        return
    if name is not None or not (all_ and provider):
        raise click.UsageError("write a NAME, or --all and --provider; -A goes with --all")
    from leaseholder.cli import fleet

    before = issued_before.replace(tzinfo=UTC) if issued_before is not None else None
    choice = fleet.Selection(provider=provider, before=before, at_once=at_once, timeout=timeout)
    exits.run(fleet.rotate(login, choice, ask=not yes))


@main.command()
@click.argument("name", shell_complete=completion.names)
@options.as_user(*_WAIT)
def renew(login: Login, name: str, wait: bool, timeout: float) -> None:
    """Have the lease renewed now, without waiting until it is due."""
    _give("renew", name, login, timeout if wait else None)


@main.command()
@click.argument("name", shell_complete=completion.names)
@options.as_user()
def suspend(login: Login, name: str) -> None:
    """Stop rotations, repairs and restarts; renewals go on.

    No lease is issued for the DynamicLease meanwhile. It sets spec.suspend. Where a GitOps tool
    writes the manifest, write it there: the tool would take it off again.
    """
    from leaseholder.cli import waiting

    exits.run(waiting.suspend(login, name, held=True))


@main.command()
@click.argument("name", shell_complete=completion.names)
@options.as_user()
def resume(login: Login, name: str) -> None:
    """End a suspend; what is due is done at once."""
    from leaseholder.cli import waiting

    exits.run(waiting.suspend(login, name, held=False))


@main.command()
@click.argument("name", metavar="NAME...", nargs=-1, required=True, shell_complete=completion.names)
@options.as_user(_FOR, options.seconds(300.0))
def wait(login: Login, name: tuple[str, ...], goal: str, timeout: float) -> None:
    """Wait until DynamicLeases are Ready, or as --for says.

    Ends with 3 if they aren't in time. Unlike kubectl wait, a condition counts only when it is
    about the spec as it is now. Meanwhile the command says what stands in the way.
    """
    from leaseholder.cli import waiting

    exits.run(waiting.wait(login, name, waiting.goal(goal), timeout))


@main.command()
@click.argument("name", shell_complete=completion.names)
@options.as_user(*_WAIT, options.YES)
def force(login: Login, name: str, wait: bool, timeout: float, yes: bool) -> None:
    """Have each pending revocation tried now, by force.

    Where the system behind the provider refuses a revocation, the provider forgets the lease all
    the same. Its credentials may live on there.
    """
    if not yes:
        exits.confirm(
            f"Credentials of {name}'s replaced leases may live on. Force their revocation?"
        )
    _give("force", name, login, timeout if wait else None)


main.add_command(init.init)
for _shared in (operator.forget, operator.records, operator.sweep, operator.version):
    main.add_command(_shared)


def _give(verb: "Verb", name: str, login: Login, timeout: float | None) -> None:
    from leaseholder.cli import commands

    exits.run(commands.obey(login, name, verb, timeout))


if __name__ == "__main__":
    main(prog_name="kubectl leaseholder")
