"""``leaseholder``: the operator's command."""

import sys

import click

import leaseholder


@click.group()
@click.version_option(leaseholder.__version__, prog_name="leaseholder")
def main() -> None:
    """Hold dynamic-secret leases for workloads."""


@main.command()
def run() -> None:
    """Run the operator; it is set up by LEASEHOLDER_… variables (docs/install.md)."""
    # Here, because kopf, kubernetes and pydantic take seconds to import, and --help needs none.
    from leaseholder import app, errors, settings

    try:
        app.run(settings.load())
    except settings.Unusable as error:
        sys.exit(f"leaseholder: {error}")
    except errors.EdgeError as error:
        sys.exit(f"leaseholder: {error.reason}: {error.sentence}")
    except app.Failed as error:
        sys.exit(f"leaseholder: {error}")


if __name__ == "__main__":
    main()
