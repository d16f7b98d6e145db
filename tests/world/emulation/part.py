"""An emulator as a part of the world: started as a process, stopped with it."""

import collections.abc
import pathlib
import typing

from tests.world import processes

_READY_TIMEOUT: typing.Final = 120.0


def started(
    emulator: str,
    *options: str,
    name: str,
    directory: pathlib.Path,
    min_ttl: float | None = None,
    arguments: collections.abc.Sequence[str] = (),
) -> tuple[str, processes.Process]:
    """The url and the process of an emulator that serves; `arguments` go to its command line."""
    port = processes.free_port()
    words = [f"--port={port}", *options, *arguments]
    words += [] if min_ttl is None else [f"--min-ttl={min_ttl:g}"]
    command = processes.python(f"tests.world.{emulator}", *words)
    process = processes.Process.start(name, command, directory=directory)
    url = f"http://{processes.LOOPBACK}:{port}"
    try:
        processes.wait_until(
            lambda: f"ready {url}" in process.last_words(),
            timeout=_READY_TIMEOUT,
            what=f"the emulator {name} is up",
            part=process,
        )
    except BaseException:
        process.stop()
        raise
    return url, process
