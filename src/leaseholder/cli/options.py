"""What several commands of ``kubectl leaseholder`` take: a login, a namespace, a form of output."""

import functools
import gc
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

_MANY_OBJECTS: Final = 100_000
Command = TypeVar("Command", bound=Callable[..., Any])
Option = Callable[[Any], Any]
CLUSTER: Final[tuple[Option, ...]] = (
    click.option("--kubeconfig", default="", help="The kubeconfig to use, as for kubectl."),
    click.option("--context", default="", help="Which of its contexts."),
)
LOGIN: Final[tuple[Option, ...]] = (
    *CLUSTER,
    click.option("-n", "--namespace", default="", help="The namespace; default: the context's."),
)
OPERATOR_NAMESPACE: Final[Option] = click.option(
    "-n", "--namespace", default="leaseholder", show_default=True,
    help="The operator's namespace.",
)  # fmt: skip
EVERYWHERE: Final[Option] = click.option(
    "-A", "--all-namespaces", is_flag=True, help="All namespaces."
)
OUTPUT: Final[Option] = click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table",
    show_default=True, help="A table for people; JSON or YAML for programs.",
)  # fmt: skip
YES: Final[Option] = click.option("--yes", is_flag=True, help="Don't ask.")


def seconds(default: float, meaning: str = "How long to wait.") -> Option:
    """``--timeout``."""
    return click.option(
        "--timeout", type=click.FloatRange(min=0, min_open=True), default=default,
        show_default=True, metavar="SECONDS", help=meaning,
    )  # fmt: skip


def as_user(*more: Option, everywhere: bool = False) -> Callable[[Command], Callable[..., Any]]:
    """A command that logs in: it is called with ``login``, and takes ``more`` options.

    Args:
        more: further options, in the order of the help.
        everywhere: it takes ``-A``, too.
    """
    taken = (*LOGIN, *((EVERYWHERE,) if everywhere else ()), *more)

    def decorated(command: Command) -> Callable[..., Any]:
        @functools.wraps(command)
        def called(
            kubeconfig: str,
            context: str,
            namespace: str,
            all_namespaces: bool = False,
            **rest: Any,
        ) -> Any:
            # What is imported now is no garbage: to look through it takes a tenth of the time.
            gc.set_threshold(_MANY_OBJECTS)
            return command(login(kubeconfig, context, namespace, all_namespaces), **rest)

        return given(*taken)(called)

    return decorated


def given(*options: Option) -> Callable[[Command], Command]:
    """Several options, in that order."""
    return lambda command: functools.reduce(lambda done, one: one(done), reversed(options), command)


def login(
    kubeconfig: str, context: str, namespace: str, everywhere: bool = False
) -> dict[str, Any]:
    """The arguments of ``session.opened``."""
    return {
        "kubeconfig": kubeconfig,
        "context": context,
        "namespace": namespace,
        "everywhere": everywhere,
    }
