"""``leaseholder``: the operator's command."""

import sys

import click
from pydantic import ValidationError

import leaseholder
from leaseholder import app, errors
from leaseholder.settings import Settings


@click.group()
@click.version_option(leaseholder.__version__, prog_name="leaseholder")
def main() -> None:
    """Hold dynamic-secret leases for workloads."""


@main.command()
def run() -> None:
    """Run the operator; it is set up by LEASEHOLDER_… variables (docs/install.md)."""
    try:
        settings = Settings()
    except ValidationError as error:
        fields = "; ".join(
            f"LEASEHOLDER_{'__'.join(str(part) for part in e['loc']).upper()}: {e['msg']}"
            for e in error.errors(include_input=False)
        )
        sys.exit(f"leaseholder: a setting can't be used: {fields}")
    try:
        app.run(settings)
    except errors.EdgeError as error:
        sys.exit(f"leaseholder: {error.reason}: {error.sentence}")
    except app.Failed as error:
        sys.exit(f"leaseholder: {error}")


if __name__ == "__main__":
    main()
