"""``leaseholder``: the operator's command."""

import contextlib
import sys
from collections.abc import Iterator

import click

import leaseholder
from leaseholder.cli import exits, options
from leaseholder.cli.exits import Exit


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """End with a sentence where the operator can't run."""
    from leaseholder import app, errors, settings

    try:
        yield
    except (settings.Unusable, app.OperatorEnded) as error:
        sys.exit(f"leaseholder: {error}")
    except errors.EdgeError as error:
        sys.exit(f"leaseholder: {error.reason}: {error.sentence}")


@click.group(cls=exits.Program)
@click.version_option(leaseholder.__version__, prog_name="leaseholder")
def main() -> None:
    """Hold dynamic-secret leases for workloads."""


@main.command()
def run() -> None:
    """Run the operator.

    It is set up by LEASEHOLDER_… variables (docs/install.md).
    """
    # Here, because kopf, kubernetes and pydantic take seconds to import, and --help needs none.
    from leaseholder import app, settings

    with _translated():
        app.run(settings.load())


@main.command()
def version() -> None:
    """Print the version of this program.

    The operator's is in its first log line and in leaseholder_build_info.
    """
    click.echo(leaseholder.__version__)


@main.command("crds")
def crds_() -> None:
    """Print the CRDs of this version, in YAML.

    For kubectl apply --server-side -f -.
    """
    from leaseholder.api import crds

    click.echo("---\n".join(text for _, text in crds.rendered()), nl=False)


@main.command()
@options.given(*options.CLUSTER, options.OPERATOR_NAMESPACE)
@options.EVERYWHERE
@options.OUTPUT
def records(
    kubeconfig: str, context: str, namespace: str, all_namespaces: bool, output: str
) -> None:
    """List every lease on record, and what is still to be revoked.

    Each is a lease that may live. For administrators, before a drain, an adoption or a forget. With
    -A those of all operators of the cluster.
    """
    from leaseholder.cli import records as recorded

    login = options.login(kubeconfig, context, namespace, all_namespaces)
    exits.run(recorded.show(login, output))


@main.command()
@click.argument("attempt")
@options.given(*options.CLUSTER, options.OPERATOR_NAMESPACE, options.YES)
def forget(attempt: str, kubeconfig: str, context: str, namespace: str, yes: bool) -> None:
    """Let go of a lease that the operator gave up (Abandoned).

    ATTEMPT names it on its record; the command records lists them. For administrators, after they
    have seen to it at the provider.
    """
    if not yes:
        exits.confirm("Nobody will revoke this lease any more. Are its credentials dead?")
    from leaseholder.cli import forgetting, session

    async def work() -> None:
        async with session.opened(**options.login(kubeconfig, context, namespace)) as user:
            click.echo(exits.printable(await forgetting.forget(user, attempt)))

    exits.run(work())


@main.command()
@options.given(*options.CLUSTER, options.YES)
@click.option("--dry-run", is_flag=True, help="Only list what would be ended.")
@options.seconds(900.0, "How long all of it may take.")
def drain(kubeconfig: str, context: str, yes: bool, dry_run: bool, timeout: float) -> None:
    """Delete an installation's DynamicLeases and revoke its leases.

    Before the operator, its namespace or the CRDs go, or when they already do. From any machine
    that reaches the API server and the providers, by an administrator's kubeconfig and with the
    operator's LEASEHOLDER_… variables, LEASEHOLDER_OPERATOR_NAMESPACE among them. Nothing is
    issued.

    Ends with 0 when nothing is left, with 3 when something is, with 1 when it can't be known.
    """
    from leaseholder import settings
    from leaseholder.cli import drain as draining
    from leaseholder.cli import session

    with _translated():
        choice, set_up = session.chosen(kubeconfig, context), settings.load()
        work = draining.drain(set_up, choice, timeout=timeout, ask=not yes, dry_run=dry_run)
        clean = exits.run(work)
    if not clean:
        sys.exit(Exit.NOT_DONE)


@main.command()
@options.given(*options.CLUSTER)
@click.option(
    "--from", "source", required=True, metavar="NAMESPACE",
    help="The namespace of the operator that has the records.",
)  # fmt: skip
@click.option(
    "--to", "target", required=True, metavar="NAMESPACE",
    help="The namespace of the operator that is to have them.",
)  # fmt: skip
@options.OUTPUT
@click.option("--dry-run", is_flag=True, help="Only list what would be taken over.")
@options.seconds(300.0, "How long all of it may take.")
def adopt(
    kubeconfig: str,
    context: str,
    source: str,
    target: str,
    output: str,
    dry_run: bool,
    timeout: float,
) -> None:
    """Move an installation's records to another one in the cluster.

    The other one then serves the leases: none is issued anew, none is revoked. Both operators have
    to be scaled to 0 before. From any machine that reaches the API server, by an administrator's
    kubeconfig; also where the old operator's namespace is being deleted. What was interrupted is
    given again.

    Ends with 0 when all is taken over, with 3 when something is left, with 1 when it can't be
    begun.
    """
    from leaseholder.cli import adopt as adopting
    from leaseholder.cli import session

    if source == target:
        raise click.UsageError("--from and --to are the same namespace")
    with _translated():
        choice, homes = session.chosen(kubeconfig, context), adopting.Homes(source, target)
        work = adopting.adopt(choice, homes, output, timeout=timeout, dry_run=dry_run)
        clean = exits.run(work)
    if not clean:
        sys.exit(Exit.NOT_DONE)


@main.command()
@options.YES
@click.option("--dry-run", is_flag=True, help="Only list what is found.")
def sweep(yes: bool, dry_run: bool) -> None:
    """Find leases that live at providers and are on no record.

    It finds those of this installation, after etcd was restored from a backup, say. They are listed
    and, when you agree, put on record: the operator revokes them. All providers that DynamicLeases
    name are asked, whatever their spec.sweep says. From any machine, as drain; beside a running
    operator.

    Ends with 0 when no lease is on no record any more, with 3 when some are, with 1 when it can't
    be known.
    """
    from leaseholder import settings
    from leaseholder.cli import sweep as sweeping

    with _translated():
        code = exits.run(sweeping.sweep(settings.load(), ask=not yes, dry_run=dry_run))
    sys.exit(code)


if __name__ == "__main__":
    main()
