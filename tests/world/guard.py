"""The guard: a tiny process between a part of the world and whoever started it.

A test run may end in any way, SIGKILL included, and must leave nothing behind. So each part
runs under a guard whose standard input is a pipe from the starter: the kernel closes it however
the starter dies. Then the guard asks the part's process group to stop, and after five seconds
kills it. The other way round, the part is told by the kernel (Linux) when its guard dies, and
its own standard input is a pipe from the guard, for parts that watch that themselves.

Standard library only, nothing of this project: it is started by path with `-I -S`, to be fast.

    python -I -S guard.py [--signal NAME] [--user NAME] [--remove DIR] -- command…

It prints the part's pid as its first line; the part writes to the guard's standard error.
"""

import argparse
import collections.abc
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading

GRACE = 5.0
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the command until it ends by itself or the starter is gone."""
    arguments = _parse(sys.argv[1:])
    stop = signal.Signals[arguments.signal]
    child = _start(arguments.command, arguments.user)
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.close()
    code = tend(child.pid, child.wait, starter=sys.stdin.fileno(), stop=stop)
    for directory in arguments.remove:
        shutil.rmtree(directory, ignore_errors=True)
    return code


def tend(
    child: int, wait: collections.abc.Callable[[], int], *, starter: int, stop: signal.Signals
) -> int:
    """Guard a child until it has ended; returns its code, as a shell would.

    `wait` returns its code once it has; a negative one is a signal's number. `starter` is a file
    descriptor that says end of file when the starter is gone.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: _signal_group(child, stop))
    arguments = (child, stop, starter)
    threading.Thread(target=_end_with_starter, args=arguments, daemon=True).start()
    code = wait()
    _signal_group(child, signal.SIGKILL)
    return code if code >= 0 else 128 - code


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a command that ends with its starter.")
    parser.add_argument("--signal", default="SIGTERM", help="asks the command to stop")
    parser.add_argument("--user", help="run the command as this user")
    parser.add_argument(
        "--remove", action="append", default=[], help="directory to remove at the end"
    )
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def _start(command: list[str], user: str | None) -> subprocess.Popen[bytes]:
    identity = _identity(user)
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=sys.stderr,
        process_group=0,
        preexec_fn=die_with(os.getpid()),
        user=identity[0] if identity else None,
        group=identity[1] if identity else None,
        extra_groups=[] if identity else None,
    )


def _identity(user: str | None) -> tuple[int, int] | None:
    if user is None:
        return None
    import pwd  # not on every platform

    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


def die_with(parent: int) -> collections.abc.Callable[[], None] | None:
    """What a child runs before exec; a change of user before it would undo it, after it not."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)

    return prepare


def _end_with_starter(group: int, stop: signal.Signals, starter: int) -> None:
    while os.read(starter, 1024):
        pass
    _signal_group(group, stop)
    timer = threading.Timer(GRACE, _signal_group, (group, signal.SIGKILL))
    timer.daemon = True
    timer.start()


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


if __name__ == "__main__":
    sys.exit(main())
