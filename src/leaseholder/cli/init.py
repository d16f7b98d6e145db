"""``init``: a first provider and lease as manifests; what the provider needs stands above them.

What is printed can be applied as it is, and put into a repository: it holds no credentials.
"""

from collections.abc import Callable
from typing import Any, Final

import click

from leaseholder.cli import options
from leaseholder.cli.options import Option

_SHARED: Final[tuple[Option, ...]] = (
    click.option("--ca-file", metavar="FILE", help="CA certificates (PEM) to trust the server by."),
    click.option("--name", metavar="NAME", help="The DynamicLease's; default: the source's."),
    click.option("-n", "--namespace", default="", help="Write it into the manifests."),
    click.option("--secret", metavar="NAME", help="The Secret; default: the DynamicLease's name."),
    click.option("--ttl", help="Lifetime to ask for; default: the provider's."),
    click.option(
        "--restart", multiple=True, metavar="KIND/NAME",
        help="A workload that restarts for each new lease, such as deployment/orders.",
    ),
    click.option(
        "--service-account", default="leaseholder-login", show_default=True, metavar="NAME",
        help="The ServiceAccount to log in as, where --auth takes one.",
    ),
)  # fmt: skip


def _auth(*ways: str) -> Option:
    return click.option(
        "--auth", type=click.Choice(ways), default=ways[0], show_default=True, help="How to log in."
    )


def _url(example: str) -> Option:
    return click.option("--url", default=example, show_default=True, help="The server.")


@click.group()
def init() -> None:
    """Print a first provider and a first DynamicLease.

    Comments say what to set up at the provider.
    """


def _command(name: str, *more: Option) -> Callable[[Callable[..., None]], click.Command]:
    return lambda function: init.command(name)(options.given(*more, *_SHARED)(function))


@_command(
    "infisical",
    _url("https://us.infisical.com"),
    _auth("universal", "kubernetes", "oidc", "token"),
    click.option("--project", required=True, metavar="SLUG", help="Slug of the project."),
    click.option("--environment", required=True, metavar="SLUG", help="Slug of the environment."),
    click.option("--folder", default="/", show_default=True, help="Folder of the dynamic secret."),
    click.option("--dynamic-secret", required=True, metavar="NAME", help="The dynamic secret."),
    click.option("--identity", metavar="ID", help="The machine identity's id (kubernetes, oidc)."),
)
def infisical(**given: Any) -> None:
    """For Infisical, Cloud or self-hosted."""
    _print("infisical", given)


@_command(
    "phase",
    _url("https://api.phase.dev"),
    click.option("--app", required=True, metavar="ID", help="Id of the app."),
    click.option("--environment", required=True, metavar="NAME", help="Name of the environment."),
    click.option("--folder", default="/", show_default=True, help="Folder of the dynamic secret."),
    click.option("--dynamic-secret", required=True, metavar="NAME", help="The dynamic secret."),
)
def phase(**given: Any) -> None:
    """For Phase, Cloud or self-hosted."""
    _print("phase", {**given, "auth": "token"})


@_command(
    "openbao",
    _url("https://openbao.example.com:8200"),
    _auth("kubernetes", "jwt", "approle", "token"),
    click.option("--path", required=True, help="What is read, such as database/creds/orders."),
    click.option("--role", default="leaseholder", show_default=True, help="The login's role."),
    click.option("--role-id", metavar="ID", help="The AppRole's role id (approle)."),
)
def openbao(**given: Any) -> None:
    """For OpenBao and Vault."""
    _print("openbao", given)


def _print(kind: str, given: dict[str, Any]) -> None:
    from leaseholder.cli import manifests, starting

    path = given.pop("ca_file")
    given["trust"] = manifests.text(path) if path else ""
    click.echo(starting.text(starting.Start(kind=kind, **_renamed(given))), nl=False)


def _renamed(given: dict[str, Any]) -> dict[str, Any]:
    """The options that all providers have, and the others in a mapping."""
    shared = (
        "name",
        "namespace",
        "secret",
        "ttl",
        "restart",
        "service_account",
        "url",
        "auth",
        "trust",
    )
    more = {key: value for key, value in given.items() if key not in shared}
    return {**{key: given[key] for key in shared}, "more": more}
