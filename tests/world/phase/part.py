"""The emulator as a part of the world: started as a process, stopped with it."""

import collections.abc
import dataclasses
import pathlib
import secrets

from tests.world import processes

_READY_TIMEOUT = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Phase(processes.Stoppable):
    """A running emulator, whose default seed has app `demo` and dynamic secret `aws-deploy`."""

    url: str
    token: str = dataclasses.field(repr=False)
    """Of the service account `kube-bot`, as the console's long form."""
    process: processes.Process

    @classmethod
    def start(
        cls,
        *,
        directory: pathlib.Path,
        min_ttl: float | None = None,
        arguments: collections.abc.Sequence[str] = (),
        name: str = "phase",
    ) -> "Phase":
        """Start an emulator; `arguments` go to its command line."""
        port, token = processes.free_port(), secrets.token_hex(32)
        options = [f"--port={port}", f"--token={token}", *arguments]
        options += [] if min_ttl is None else [f"--min-ttl={min_ttl:g}"]
        process = processes.Process.start(
            name, processes.python("tests.world.phase", *options), directory=directory
        )
        url = f"http://{processes.LOOPBACK}:{port}"
        try:
            processes.wait_until(
                lambda: f"ready {url}" in process.last_words(),
                timeout=_READY_TIMEOUT,
                what="the Phase emulator is up",
                part=process,
            )
        except BaseException:
            process.stop()
            raise
        return cls(url=url, token=f"pss_service:v2:{token}:pub:share:wrap", process=process)

    def stop(self) -> None:
        """Stop the emulator; what it remembers goes."""
        self.process.stop()
