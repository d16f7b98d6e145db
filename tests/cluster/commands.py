"""The project's programs, run as an administrator or a user does: as processes, from outside."""

import asyncio
import collections.abc
import dataclasses
import os
import signal

from tests.cluster import sites
from tests.world import operator, processes


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


async def run(
    module: str,
    *arguments: str,
    environment: collections.abc.Mapping[str, str] | None = None,
    until: collections.abc.Awaitable[object] | None = None,
) -> Done:
    """Run a module as a program; ``environment`` adds to ours.

    Ctrl-C ends it once ``until`` is over.
    """
    process = await asyncio.create_subprocess_exec(
        *processes.python(module, *arguments),
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    if until is not None:
        await until
        process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


async def administers(
    site: sites.Site,
    *arguments: str,
    until: collections.abc.Awaitable[object] | None = None,
) -> Done:
    """Run ``leaseholder …`` by an administrator's rights and the settings of a site's operator."""
    return await run(
        "leaseholder.cli.main",
        *arguments,
        environment={
            "KUBECONFIG": os.fspath(site.world.control_plane.kubeconfig),
            "LEASEHOLDER_OPERATOR_NAMESPACE": site.home,
            "LEASEHOLDER_NAMESPACES": site.namespace,
            "LEASEHOLDER_PROVIDER_HOSTS": operator.HOSTS,
            **site.settings,
        },
        until=until,
    )
