"""``leaseholder``: the operator's command."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator

import click

import leaseholder
from leaseholder.cli import options


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """End with a sentence where the operator can't run."""
    from leaseholder import app, errors, settings

    try:
        yield
    except (settings.Unusable, app.Failed) as error:
        sys.exit(f"leaseholder: {error}")
    except errors.EdgeError as error:
        sys.exit(f"leaseholder: {error.reason}: {error.sentence}")


@click.group()
@click.version_option(leaseholder.__version__, prog_name="leaseholder")
def main() -> None:
    """Hold dynamic-secret leases for workloads."""


@main.command()
def run() -> None:
    """Run the operator; it is set up by LEASEHOLDER_… variables (docs/install.md)."""
    # Here, because kopf, kubernetes and pydantic take seconds to import, and --help needs none.
    from leaseholder import app, settings

    with _told():
        app.run(settings.load())


@main.command()
@options.YES
@click.option("--dry-run", is_flag=True, help="Only list what would be ended.")
@options.seconds(900.0, "How long all of it may take.")
def drain(yes: bool, dry_run: bool, timeout: float) -> None:
    """Delete all DynamicLeases of an installation and revoke all of its leases.

    Before the operator, its namespace or the CRDs go, or when they already do. From any machine
    that reaches the API server and the providers, by an administrator's KUBECONFIG and with the
    operator's LEASEHOLDER_… variables, LEASEHOLDER_OPERATOR_NAMESPACE among them. Nothing is
    issued.

    Ends with 0 when nothing is left, with 3 when something is, with 1 when it can't be known.
    """
    from leaseholder import settings
    from leaseholder.cli import drain as draining
    from leaseholder.cli.exits import Exit

    with _told():
        work = draining.drain(settings.load(), timeout=timeout, ask=not yes, dry_run=dry_run)
        clean = asyncio.run(work)
    if not clean:
        sys.exit(Exit.NOT_DONE)


@main.command()
@options.YES
@click.option("--dry-run", is_flag=True, help="Only list what is found.")
def sweep(yes: bool, dry_run: bool) -> None:
    """Find leases of this installation that live at providers and are on no record.

    After etcd was restored from a backup, say. They are listed and, when you agree, put on record:
    the operator revokes them. All providers that DynamicLeases name are asked, whatever their
    spec.sweep says. From any machine, as drain; beside a running operator.

    Ends with 0 when no lease is on no record any more, with 3 when some are, with 1 when it can't
    be known.
    """
    from leaseholder import settings
    from leaseholder.cli import sweep as sweeping

    with _told():
        code = asyncio.run(sweeping.sweep(settings.load(), ask=not yes, dry_run=dry_run))
    sys.exit(code)


if __name__ == "__main__":
    main()
