"""Etcd is restored from a backup under a running operator: it sees that, and goes on."""

import asyncio
import collections.abc
import contextlib
import os
import pathlib

import pytest
import pytest_asyncio

from leaseholder.core.going import MADE_AGAIN
from tests.cluster import sites
from tests.world import kube, kubernetes, processes
from tests.world import postgres as postgres_server
from tests.world import world as worlds

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(kubernetes.KUBECONFIG_VARIABLE in os.environ, reason="not our etcd"),
]

Credentials = dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    control_plane_binary: pathlib.Path,
    postgres: postgres_server.Postgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> collections.abc.AsyncIterator[sites.Site]:
    """In a world of its own: others would lose what they did since the backup."""
    home = tmp_path_factory.mktemp("restore")
    with worlds.World.start(directory=home, database=postgres, min_ttl=2) as world:
        async with sites.site(world, "restore") as opened:
            yield opened


@pytest.fixture(scope="module")
def restored() -> collections.abc.Iterator[contextlib.ExitStack]:
    """What stops the control plane that a restore starts."""
    with contextlib.ExitStack() as stack:
        yield stack


async def test_after_a_restore_of_etcd_deletions_are_served_and_no_lease_is_forgotten(
    restored: contextlib.ExitStack, site: sites.Site, tmp_path: pathlib.Path
) -> None:
    for name in ("kept", "rotated"):
        await site.lease(name, ttl="1h", rotation={"overlap": "0s"})
    await asyncio.gather(site.ready("kept"), site.ready("rotated"))
    plane = site.world.control_plane
    await asyncio.to_thread(plane.backup, tmp_path / "backup")

    kept, former = await site.credentials("kept"), await site.credentials("rotated")
    await site.lease("later", ttl="1h")
    await site.ready("later")
    rotate: kube.Object = {"metadata": {"annotations": {"leaseholder.dev/rotate": "1"}}}
    await site.client.patch("DynamicLease", "rotated", site.namespace, rotate)
    await _let_out(site, former, what="rotated, and the former lease revoked")
    later, newer = await site.credentials("later"), await site.credentials("rotated")
    assert site.lets_in(later)
    assert site.lets_in(newer)

    again = await asyncio.to_thread(plane.restore, tmp_path / "backup")
    restored.callback(again.stop)
    assert await site.found("later") is None
    assert await site.credentials("rotated") == former
    await site.delete("kept")
    await site.gone("kept", timeout=40)
    assert not site.lets_in(kept)
    await asyncio.gather(
        _let_out(site, later, what="the lease of what never was is revoked"),
        _let_out(site, newer, what="the lease that no Secret shows any more is revoked"),
        _heals(site, "rotated"),
    )
    await processes.wait_until_async(site.is_settled, what="nothing is left over")
    site.operator.process.check()
    assert site.operator.metrics()["leaseholder_cluster_restores_total"] == 1
    assert "etcd was restored" in site.operator.log.read_text()


async def _let_out(site: sites.Site, values: Credentials, *, what: str) -> None:
    async def refused() -> bool:
        return not await site.works(values)

    # Leases of a DynamicLease that is gone wait for a minute: it may be made again.
    await processes.wait_until_async(refused, timeout=MADE_AGAIN.total_seconds() + 40, what=what)


async def _heals(site: sites.Site, name: str) -> None:
    """The Secret holds credentials that live, and status says so."""

    async def lives() -> bool:
        return await site.logs_in(name)

    await processes.wait_until_async(lives, what="credentials that live")
    await site.ready(name)
