"""How long each way of ``hostile`` holds the loop, what memory it takes, and whether others wait.

``python -m tests.fuzz.sockets [WAY …]`` plays each way against the adapters of a few providers in
this process, beside a provider that minds its own business, and prints a table. The hostile
servers are processes of their own, so that their work isn't counted. Times of the loop are given
twice: as CPU time of its thread between two heartbeats, which other programs on the machine don't
change, and as delay of the heartbeat on the clock, which shows what holds Python's lock, too.
"""

import argparse
import asyncio
import collections.abc
import contextlib
import dataclasses
import datetime
import logging
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import typing

import uvloop

from leaseholder import clock as clocks
from leaseholder import errors
from leaseholder.api import provider
from leaseholder.ports.credentials import Access
from leaseholder.ports.provider import Lease, Provider
from leaseholder.providers import registry
from leaseholder.providers import settings as provider_settings
from leaseholder.providers.kit.network import hosts
from tests.fuzz import hostile
from tests.unit.providers import support

BEAT: typing.Final = 0.002
PAUSE: typing.Final = 0.05
PROVIDERS: typing.Final = 4
"""Hostile provider objects, each with the usual eight requests at once."""
ALLOWED: typing.Final = hosts.Hosts.parse("http://127.0.0.1, http://localhost, 127.0.0.0/8")


@dataclasses.dataclass(slots=True)
class Seen:
    """What one way did."""

    held: list[float] = dataclasses.field(default_factory=list)
    """CPU seconds of the loop's thread between two heartbeats."""
    late: list[float] = dataclasses.field(default_factory=list)
    """Seconds by which a heartbeat came late."""
    looks: list[float] = dataclasses.field(default_factory=list)
    """Seconds from one look of the honest provider's lease to the next."""
    asked: int = 0
    """Answers of the hostile server that came to an end."""
    answered: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    told: set[str] = dataclasses.field(default_factory=set)
    memory: float = 0.0
    """MiB by which this process grew at most."""


@contextlib.contextmanager
def served(name: str, directory: pathlib.Path) -> collections.abc.Iterator[int]:
    """A server of that way, in a process of its own; yields its port."""
    command = [sys.executable, "-m", "tests.fuzz.hostile", name, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def adapter(made: registry.Registry, url: str, number: int, bundle: str | None) -> Provider:
    """A provider object's adapter."""
    auth = {
        "universalAuth": {
            "clientId": f"client-{number}",
            "clientSecretRef": {"name": "auth", "key": "secret"},
        }
    }
    spec = provider.ProviderSpec.model_validate({"infisical": {"url": url, "auth": auth}})
    access = Access(spec=spec, of=support.PROVIDER)
    return made.build(access, support.FakeCredentialing(bundle=bundle))


def new_registry(seconds: float = 5.0) -> registry.Registry:
    """As the operator makes one; answers are waited for so long."""
    waits = {"read_timeout_seconds": seconds, "write_timeout_seconds": seconds}
    settings = provider_settings.ProviderSettings.model_validate({"infisical": waits})
    return registry.Registry(clock=clocks.SystemClock(), settings=settings, hosts=ALLOWED)


async def played(
    name: str, seconds: float, *, providers: int = PROVIDERS, patience: float = 0.0
) -> Seen:
    """What a way does in so many seconds; and in some more, until a request came to its end."""
    seen = Seen()
    with tempfile.TemporaryDirectory() as place:
        directory = pathlib.Path(place)
        with served(name, directory) as port, served("honest", directory) as other:
            secured = name in hostile.SECURED
            bundle = (directory / f"{name}-ca.crt").read_text() if secured else None
            url = f"{'https' if secured else 'http'}://localhost:{port}"
            made = new_registry()
            good = adapter(made, f"http://127.0.0.1:{other}", 99, None)
            bad = [adapter(made, url, number, bundle) for number in range(providers)]
            await good.inspect(_lease())
            for one in bad:  # a first connection costs memory that every process takes once
                with contextlib.suppress(errors.EdgeError, TimeoutError):
                    await asyncio.wait_for(one.check(), 1.0)
            async with _watched(seen), asyncio.TaskGroup() as tasks:
                beats = [tasks.create_task(_beat(seen)), tasks.create_task(_look(good, seen))]
                asking = [tasks.create_task(_ask(one, n, seen)) for one in bad for n in range(8)]
                await asyncio.sleep(seconds)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(seen.answered.wait(), patience)
                for task in [*asking, *beats]:
                    task.cancel()
            for one in [good, *bad]:
                await one.aclose()
    return seen


async def _ask(one: Provider, number: int, seen: Seen) -> None:
    attempt = support.attempt(deadline=datetime.datetime.now(datetime.UTC) + datetime.timedelta(1))
    calls: list[collections.abc.Callable[[], typing.Any]] = [
        lambda: one.recover(attempt),
        lambda: one.issue(attempt),
        lambda: one.inspect(_lease()),
        one.check,
    ]
    while True:
        try:
            await calls[number % len(calls)]()
            seen.told.add("taken")
        except errors.EdgeError as error:
            seen.told.add(str(error.reason))
        seen.asked += 1
        seen.answered.set()
        number += 1
        await asyncio.sleep(PAUSE)


async def _look(good: Provider, seen: Seen) -> None:
    last = time.monotonic()
    while True:
        await good.inspect(_lease())
        seen.looks.append(time.monotonic() - last)
        last = time.monotonic()
        await asyncio.sleep(PAUSE)


async def _beat(seen: Seen) -> None:
    while True:
        cpu, wall = time.thread_time(), time.monotonic()
        await asyncio.sleep(BEAT)
        seen.held.append(time.thread_time() - cpu)
        seen.late.append(time.monotonic() - wall - BEAT)


def _lease() -> Lease:
    now = datetime.datetime.now(datetime.UTC)
    return Lease(
        id=support.LEASE_ID,
        source=support.SOURCE,
        issued_at=now,
        expires_at=now + datetime.timedelta(hours=1),
        latest=None,
        handle={},
    )


@contextlib.asynccontextmanager
async def _watched(seen: Seen) -> collections.abc.AsyncIterator[None]:
    """Memory is looked at by a thread: the loop may be held just then."""
    first, done = memory(), threading.Event()
    most = [first]

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], memory())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        seen.memory = most[0] - first


def memory() -> float:
    """MiB that this process has in memory."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def row(name: str, seen: Seen) -> str:
    """A line of the table."""
    held, late = sorted(seen.held), sorted(seen.late)
    p99 = held[len(held) * 99 // 100] if held else 0.0
    figures = (
        f"{seen.asked}",
        f"{1000 * held[-1]:.0f}" if held else "-",
        f"{1000 * p99:.1f}",
        f"{1000 * late[-1]:.0f}" if late else "-",
        f"{seen.memory:.0f}",
        f"{max(seen.looks):.2f}" if seen.looks else "none",
        ", ".join(sorted(seen.told)) or "-",
    )
    return f"| {hostile.PLACES.get(name, '')} | {name} | " + " | ".join(figures) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("ways", nargs="*", default=["honest", *hostile.WAYS])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--providers", type=int, default=PROVIDERS)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(
        "| Where | Way | Answers | Held max ms (CPU) | p99 | Late max ms (clock) | MiB "
        "| Other's longest gap s | Told |\n|---|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    for name in given.ways:
        # A process for each, so that memory of one isn't there already for the next.
        if len(given.ways) > 1:
            command = [sys.executable, "-m", "tests.fuzz.sockets", name]
            command += ["--seconds", str(given.seconds), "--providers", str(given.providers)]
            found = subprocess.run(command, capture_output=True, text=True, timeout=600)
            print(found.stdout.splitlines()[-1] if found.stdout else found.stderr, flush=True)
        else:
            print(
                row(name, uvloop.run(played(name, given.seconds, providers=given.providers))),
                flush=True,
            )


if __name__ == "__main__":
    main()
