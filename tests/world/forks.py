"""Programs of ours without the wait for their imports: forked from a process that has made them.

To start the operator takes two seconds of processor time, nearly all of it for imports, and the
tests start it some hundred times. So one process imports what programs need, once, and forks for
each that is asked for. From then on a fork differs from a started program in nothing that it could
notice: it has its own process, environment, output and working memory, it runs its module as
`python -m` does, and it ends as any program ends.

Nothing outlives the world here, either. Each fork has a guard, as each part has (`guard.tend`),
which is a fork itself, and guards end with the process that they are forked from.

    python -m tests.world.forks SOCKET MODULE…
"""

import dataclasses
import functools
import gc
import importlib
import json
import os
import pathlib
import runpy
import signal
import socket
import sys
import tempfile
import typing

from tests.world import guard, processes

_READY: typing.Final = "ready to fork"
_READY_TIMEOUT: typing.Final = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Forks(processes.Stoppable):
    """The process that forks."""

    address: str
    process: processes.Process

    @classmethod
    def start(
        cls,
        *modules: str,
        directory: pathlib.Path,
        environment: typing.Mapping[str, str],
    ) -> "Forks":
        """Start it; it imports the modules. What libc reads of `environment` holds for forks."""
        place = tempfile.mkdtemp(prefix="leaseholder-")  # a socket's path has to be short
        address = os.path.join(place, "forks")
        process = processes.Process.start(
            "forks",
            processes.python(__name__, address, *modules),
            directory=directory,
            environment=environment,
            remove=[pathlib.Path(place)],
        )
        processes.wait_until(
            lambda: _READY in process.last_words(),
            timeout=_READY_TIMEOUT,
            what=_READY,
            part=process,
        )
        return cls(address, process)

    def fork(
        self,
        name: str,
        module: str,
        *arguments: str,
        directory: pathlib.Path,
        environment: typing.Mapping[str, str],
    ) -> processes.Process:
        """Run a module in a process of its own, as `processes.Process.start` would."""
        log = directory / f"{name}.log"
        order = _Order(
            command=[module, *arguments],
            environment=os.environ | dict(environment),
            log=os.fspath(log),
        )
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.address)
        connection.sendall(json.dumps(dataclasses.asdict(order)).encode() + b"\n")
        with connection.makefile("rb", buffering=0) as unbuffered:  # the code comes after it
            guard_pid, pid = map(int, unbuffered.readline().split())
        return processes.Process(name, pid, log, _ForkedGuard(connection, guard_pid))

    def stop(self) -> None:
        """Stop it; forks that are left end with it."""
        self.process.stop()


@dataclasses.dataclass(slots=True)
class _ForkedGuard:
    """A guard at the other end of a connection, on which it sends the part's code."""

    connection: socket.socket
    pid: int
    code: int | None = None

    def poll(self) -> int | None:
        self.wait(0)
        return self.code

    def let_go(self) -> None:
        if self.code is None:
            self.connection.shutdown(socket.SHUT_WR)

    def wait(self, timeout: float | None = None) -> bool:
        if self.code is None:
            self.connection.settimeout(timeout)
            try:
                answer = self.connection.recv(16)
            except (BlockingIOError, TimeoutError):
                return False
            self.code = int(answer or -signal.SIGKILL)
            self.connection.close()
        return True

    def kill(self) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)


@dataclasses.dataclass(frozen=True, slots=True)
class _Order:
    """What is to run."""

    command: list[str]
    """A module and its arguments."""
    environment: dict[str, str]
    log: str


def _next(listener: socket.socket) -> _Order:
    """Fork a guard for each order, and the guard a program; returns in the programs only."""
    server = os.getpid()
    while True:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        listener.close()
        _die_with(server)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with connection.makefile("r", encoding="utf-8") as stream:
            order = _Order(**json.loads(stream.readline()))
        keeper = os.getpid()
        child = os.fork()
        if not child:
            connection.close()
            os.setpgid(0, 0)
            _die_with(keeper)
            return order
        connection.sendall(f"{keeper} {child}\n".encode())
        wait = functools.partial(_ended, child)
        code = guard.tend(child, wait, starter=connection.fileno(), stop=signal.SIGTERM)
        connection.sendall(str(code).encode())
        os._exit(0)


def _die_with(parent: int) -> None:
    prepare = guard.die_with(parent)
    if prepare is not None:
        prepare()


def _ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _become(order: _Order) -> None:
    """Run what was ordered, with its own environment and output."""
    os.environ.clear()
    os.environ.update(order.environment)
    with open(order.log, "ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    module, *arguments = order.command
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _main(path: str, *modules: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for guards
    for module in modules:
        importlib.import_module(module)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        gc.freeze()  # what is collected is copied
        print(_READY, flush=True)
        order = _next(listener)
    _become(order)


if __name__ == "__main__":
    _main(*sys.argv[1:])
