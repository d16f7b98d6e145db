"""How a command of ``kubectl leaseholder`` ends, and what of it may reach a terminal."""

import errno
import io
import os
import shlex
import signal
import sys
import threading
from collections.abc import Coroutine
from enum import IntEnum
from typing import IO, Any, Final, TypeVar

import click

Result = TypeVar("Result")
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Exit(IntEnum):
    """Exit codes; the docstrings are the table in docs/cli.md."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_DONE = 3
    NOT_READY = 4
    UNWELL = 5
    STOPPED = 130


MEANINGS = {
    Exit.OK: "What was asked for is shown, or done",
    Exit.FAILED: "It can't be shown: not found, no right, no API server; or you said no to a "
    "question",
    Exit.USAGE: "The command line can't be understood",
    Exit.NOT_DONE: "The operator refused the command, or didn't answer it in time; what `wait` "
    "waits for didn't come; `rotate --all` left some out; `sweep` left leases on no record",
    Exit.NOT_READY: "With `--check`: something that is shown isn't Ready",
    Exit.UNWELL: "`doctor` or `plan` found a failure",
    Exit.STOPPED: "Ctrl-C. The last line says what is done, what isn't, and what the operator goes "
    "on with",
}


class Failed(click.ClickException):
    """The command ends with a sentence on stderr."""

    def __init__(self, sentence: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(sentence)
        self.code = code

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence; what an object's author wrote into it can't reach the terminal."""
        click.echo(f"Error: {printable(self.message)}", err=True)

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click has a class variable
        """What the process ends with."""
        return int(self.code)


class Stopped(Failed):
    """Ctrl-C ends the command."""

    def __init__(self, sentence: str = "nothing more is done") -> None:
        """``sentence``: what is done, and what isn't."""
        super().__init__(f"stopped by Ctrl-C: {sentence}", Exit.STOPPED)

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence, below the line in which the terminal shows ^C."""
        if sys.stderr.isatty():
            click.echo(err=True)
        super().show(file)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Do what a command is for; help, which doesn't, waits for no import of a loop."""
    import asyncio

    return asyncio.run(work)


def confirm(question: str) -> None:
    """Ask; Ctrl-C ends it, also where a loop runs, which would keep it back until the answer.

    Raises:
        click.Abort: the answer is no.
        Stopped: by Ctrl-C, which click takes for a no where it is a KeyboardInterrupt.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, _stop) if is_main else None
    try:
        click.confirm(printable(question), abort=True, err=True)
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _stop(*_: object) -> None:
    raise Stopped("nothing was done")


def printable(text: str) -> str:
    """Text with everything escaped that doesn't print: an escape could rewrite the terminal."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def quoted(text: str) -> str:
    """A word of a command that somebody may paste into a shell, whatever a name in it holds."""
    return shlex.quote(printable(text))


def ready_streams() -> None:
    """From now on streams that are closed, and characters that a terminal lacks, end nothing.

    Of a stream that the caller closed Python has None, and what is opened next gets its number. So
    such a one leads nowhere. What the terminal's encoding lacks is escaped.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Program(click.Group):
    """A program whose output, help included, suits any terminal."""

    def main(self, *arguments: Any, **more: Any) -> Any:
        """Run a command line."""
        ready_streams()
        # Else pydantic looks through every installed package for plugins, which takes long, and
        # which would see what is validated.
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        return super().main(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; when it ends, what it printed is written.

        Raises:
            Failed: the disk is full that it prints to.
            Stopped: by Ctrl-C; a command that changes much says more than this.
        """
        why = ""
        try:
            done = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            raise Stopped from None
        except OSError as error:
            if error.errno not in _FULL:
                raise
            why = error.strerror or type(error).__name__
        else:
            return done
        # Else Python tries to write the rest as it ends, and ends with 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Failed(f"what is shown can't be written: {why}")
