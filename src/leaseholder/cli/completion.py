"""``kubectl_complete-leaseholder``: what kubectl runs when somebody types Tab.

kubectl gives the words so far, the unfinished one last, and takes lines of a value and a
description, then a colon and a number that says what the shell may add (cobra's directives).
"""

import sys
from collections.abc import Sequence
from typing import Final

import click
from click.shell_completion import CompletionItem, ShellComplete

from leaseholder.cli import exits

_NO_FILES: Final = 4
_FILES: Final = 0
_PATIENCE: Final = 2.0
"""Seconds for which a Tab may wait for the API server."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what may come next."""
    from leaseholder.cli import plugin

    exits.ready_streams()
    *before, unfinished = (sys.argv[1:] if arguments is None else arguments) or [""]
    found = ShellComplete(plugin.main, {}, "kubectl leaseholder", "").get_completions(
        list(before), unfinished
    )
    values = [one for one in found if one.type == "plain"]
    for one in values:
        described = f"\t{exits.printable(one.help)}" if one.help else ""
        click.echo(f"{exits.printable(str(one.value))}{described}")
    click.echo(f":{_NO_FILES if len(values) == len(found) and found else _FILES}")


def names(context: click.Context, _: click.Parameter, unfinished: str) -> list[CompletionItem]:
    """The names of DynamicLeases; none where the API server doesn't say them soon."""
    import asyncio

    from leaseholder.cli import options, session, views

    given = context.params
    words = [str(given.get(one) or "") for one in ("kubeconfig", "context", "namespace")]
    login = options.login(words[0], words[1], words[2])

    async def ask() -> list[CompletionItem]:
        async with asyncio.timeout(_PATIENCE), session.opened(**login) as user:
            found, _ = await user.dynamic_leases()
        chosen = (dl for dl in found if dl.metadata.name.startswith(unfinished))
        return [CompletionItem(dl.metadata.name, help=views.trouble(dl)[:60]) for dl in chosen]

    try:
        return exits.run(ask())
    except (exits.Failed, TimeoutError):
        return []


def reasons(_: click.Context, __: click.Parameter, unfinished: str) -> list[CompletionItem]:
    """The reasons that ``explain`` knows."""
    from leaseholder.api.conditions import Reason

    start = unfinished.lower()
    return [CompletionItem(one.value) for one in Reason if one.value.lower().startswith(start)]


if __name__ == "__main__":
    main()
