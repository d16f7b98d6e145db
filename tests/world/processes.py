"""Parts of the world as processes: started under a guard, watched, stopped, never left behind.

`Process.start` runs a command whose output goes to `<name>.log` in the world's directory, and
whose life is tied to ours by `guard`. Beside it are the two helpers that starting servers takes:
free ports, and waiting for a condition instead of for time.
"""

import asyncio
import collections.abc
import contextlib
import dataclasses
import os
import pathlib
import random
import socket
import subprocess
import sys
import time
import types
import typing

from tests.world import guard

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"

# Below the range from which systems pick ports for outgoing connections (32768 and up on Linux),
# so that no client takes a port between its choice here and its use by a server.
_PORTS = range(20_000, 32_000)
PATIENCE = 60.0
"""Seconds: against hanging, not against slowness, for machines are shared."""
_STOP_TIMEOUT = guard.GRACE + 5


class PartFailed(Exception):
    """A part of the world ended or did not get ready; the message has its last words."""


class NotInTime(AssertionError):
    """A condition did not become true within its timeout."""


class Stoppable:
    """Something that runs until it is stopped, at the latest at the end of a `with`."""

    __slots__ = ()

    def stop(self) -> None:
        """Stop it, and return when it has ended."""
        raise NotImplementedError

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.stop()


class Guard(typing.Protocol):
    """What stands between us and a part, see `guard`."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def poll(self) -> int | None:
        """The part's code, None while it runs."""

    def let_go(self) -> None:
        """Have it stop the part."""

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the part ended in time (seconds)."""

    def kill(self) -> None:
        """End it, and with it the part, at once."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Started:
    """A guard that is our child."""

    _process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def let_go(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def wait(self, timeout: float | None = None) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self.poll() is not None

    def kill(self) -> None:
        self._process.kill()


@dataclasses.dataclass(frozen=True, slots=True)
class Process(Stoppable):
    """A running part and its guard."""

    name: str
    pid: int
    log: pathlib.Path
    _guard: Guard

    @classmethod
    def start(
        cls,
        name: str,
        command: collections.abc.Sequence[str | os.PathLike[str]],
        *,
        directory: pathlib.Path,
        environment: collections.abc.Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: str = "SIGTERM",
        remove: collections.abc.Sequence[pathlib.Path] = (),
    ) -> "Process":
        """Start a command; `environment` adds to ours, `remove` goes when the part has ended."""
        options = ["--signal", stop_signal]
        options += ["--user", user] if user else []
        for path in remove:
            options += ["--remove", str(path)]
        log = directory / f"{name}.log"
        with log.open("ab") as output:
            guarding = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    guard.__file__,
                    *options,
                    "--",
                    *(os.fspath(word) for word in command),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd="/" if user else CHECKOUT,
                env=os.environ | dict(environment or {}),
                start_new_session=True,
            )
        assert guarding.stdout is not None
        with guarding.stdout as first_line:
            pid = first_line.readline().strip()
        part = cls(name=name, pid=int(pid or b"0"), log=log, _guard=_Started(guarding))
        if not pid:
            part.stop()
            raise PartFailed(f"{name} did not start\n{part.last_words()}")
        return part

    @property
    def guard_pid(self) -> int:
        """The guard's pid."""
        return self._guard.pid

    @property
    def running(self) -> bool:
        """Whether the part is still up."""
        return self._guard.poll() is None

    def check(self) -> None:
        """Raise PartFailed when the part has ended by itself."""
        if not self.running:
            code = self._guard.poll()
            raise PartFailed(f"{self.name} ended with code {code}\n{self.last_words()}")

    def last_words(self, lines: int = 15) -> str:
        """The end of the part's log."""
        with contextlib.suppress(FileNotFoundError):
            text = self.log.read_text(encoding="utf-8", errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""

    def stop(self) -> None:
        """Ask the part to stop, and return when it has; the guard kills it if it won't."""
        self._guard.let_go()
        if not self._guard.wait(_STOP_TIMEOUT):
            self._guard.kill()
            self._guard.wait()

    def kill(self) -> None:
        """End the part at once, as a crash would."""
        self._guard.kill()
        self._guard.wait()
        self.stop()


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this checkout."""
    return [sys.executable, "-m", module, *arguments]


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on, all different."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        for port in random.sample(_PORTS, len(_PORTS)):
            taken = held.enter_context(socket.socket())
            # As servers do: a port whose old connections linger is free.
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind((LOOPBACK, port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise PartFailed(f"no {count} free ports on {LOOPBACK}")


def free_port() -> int:
    """One loopback port that nobody listens on."""
    return free_ports(1)[0]


def alive(pid: int) -> bool:
    """Whether a process exists and is more than a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = pathlib.Path("/proc") / str(pid) / "stat"
    with contextlib.suppress(OSError):
        return (
            stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] != "Z"
        )
    return not pathlib.Path("/proc/self").exists()


def wait_until(
    condition: collections.abc.Callable[[], bool],
    *,
    timeout: float = PATIENCE,
    what: str,
    part: Process | None = None,
    interval: float = 0.05,
) -> None:
    """Return once the condition holds; fail at once when the part that it waits for has ended."""
    deadline = time.monotonic() + timeout
    while not condition():
        if part is not None:
            part.check()
        if time.monotonic() > deadline:
            words = f"\n{part.last_words()}" if part is not None else ""
            raise NotInTime(f"not within {timeout:g} s: {what}{words}")
        time.sleep(interval)


async def wait_until_async(
    condition: collections.abc.Callable[[], collections.abc.Awaitable[bool]],
    *,
    timeout: float = PATIENCE,
    what: str,
    interval: float = 0.05,
) -> None:
    """Return once the awaited condition holds."""
    deadline = time.monotonic() + timeout
    while not await condition():
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {timeout:g} s: {what}")
        await asyncio.sleep(interval)
