"""A provider that takes requests and answers none: no DynamicLease says Ready over what is dead.

Time-outs are those of the installation, longer than the leases live.
"""

import asyncio
import collections.abc
import contextlib
import os
import signal
import time

import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import faults, kube
from tests.world import world as worlds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

MANY = 40
"""More than twice as many as the operator has workers, and five times what the provider takes."""
SHORT = "short-db"
"""Ten seconds."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "hanging") as opened:
        yield opened


@pytest.fixture
def provider(site: sites.Site) -> collections.abc.Iterator[faults.Faults]:
    assert site.world.provider_faults is not None
    yield site.world.provider_faults.faults
    site.world.provider_faults.faults.clear()


async def test_ready_goes_false_before_leases_end_though_every_request_hangs(
    site: sites.Site, provider: faults.Faults
) -> None:
    names = [f"lease-{number}" for number in range(MANY)]
    await asyncio.gather(*(site.lease(name, source=SHORT) for name in names))
    await asyncio.gather(*(site.ready(name) for name in names))
    values = {name: await site.credentials(name) for name in names}
    provider.hang()
    lies: list[str] = []
    while values:
        lies += await _lies(site, values)
    assert lies == []
    assert {await _reason(site, name) for name in names} == {"LeaseExpired"}
    provider.clear()
    # Requests that hang already do so on: others' renewals don't wait for their time-outs.
    await site.lease("fresh", source=SHORT)
    await site.ready("fresh")
    await asyncio.gather(*(site.delete(name) for name in names))


async def _lies(site: sites.Site, living: dict[str, dict[str, str]]) -> list[str]:
    """Whose credentials died and who says Ready all the same; takes the dead out of ``living``.

    Status is read after the login was refused, and the Secret after that: whoever has got other
    credentials lives.
    """
    lies = []
    gate = asyncio.Semaphore(8)

    async def try_(name: str) -> None:
        async with gate:
            if await site.works(living[name]):
                return
        found, now = await site.found(name), await site.credentials(name)
        if now != living[name]:
            living[name] = now
            return
        del living[name]
        if kube.is_ready(found):
            lies.append(f"{name} at {time.time():.0f}: {(found or {})['status']['lease']}")

    await asyncio.gather(*(try_(name) for name in [*living]))
    return lies


async def _reason(site: sites.Site, name: str) -> str:
    return str(kube.condition(await site.found(name), "Ready").get("reason"))


async def test_an_operator_that_was_stopped_takes_ready_back_of_what_ended_meanwhile(
    site: sites.Site, provider: faults.Faults
) -> None:
    names = [f"stopped-{number}" for number in range(MANY)]
    await asyncio.gather(*(site.lease(name, source=SHORT) for name in names))
    await asyncio.gather(*(site.ready(name) for name in names))
    with _stopped(site):
        living = {name: await site.credentials(name) for name in names}
        while living:
            await _lies(site, living)
        provider.hang()
    # Also of those whose renewal was under way; tests/unit has the order of all others.
    await asyncio.gather(*(site.reason(name, "LeaseExpired", timeout=20) for name in names))
    provider.clear()
    await asyncio.gather(*(site.delete(name) for name in names))


@contextlib.contextmanager
def _stopped(site: sites.Site) -> collections.abc.Iterator[None]:
    """The operator gets no processor time."""
    os.kill(site.operator.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(site.operator.process.pid, signal.SIGCONT)


async def test_after_a_start_leases_that_ended_meanwhile_say_so_though_every_request_hangs(
    site: sites.Site, provider: faults.Faults
) -> None:
    short, others = [[f"{kind}-{number}" for number in range(MANY)] for kind in ("short", "long")]
    await asyncio.gather(*(site.lease(name, ttl="1h") for name in others))
    await asyncio.gather(*(site.ready(name) for name in others))
    await asyncio.gather(*(site.lease(name, source=SHORT) for name in short))
    await asyncio.gather(*(site.ready(name) for name in short))
    site.operator.kill()
    provider.hang()
    living = {name: await site.credentials(name) for name in short}
    while living:
        await _lies(site, living)
    await site.restart()
    await asyncio.gather(*(site.reason(name, "LeaseExpired", timeout=20) for name in short))
    assert {await _reason(site, name) for name in others} == {"Ready"}
