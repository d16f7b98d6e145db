"""The emulator as a part of the world: started as a process, stopped with it."""

import collections.abc
import dataclasses
import pathlib
import secrets

from tests.world import processes
from tests.world.emulation import part


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
        token = secrets.token_hex(32)
        url, process = part.started(
            "phase",
            f"--token={token}",
            name=name,
            directory=directory,
            min_ttl=min_ttl,
            arguments=arguments,
        )
        return cls(url=url, token=f"pss_service:v2:{token}:pub:share:wrap", process=process)

    def stop(self) -> None:
        """Stop the emulator; what it remembers goes."""
        self.process.stop()
