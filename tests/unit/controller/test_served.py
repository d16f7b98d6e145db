"""Namespaces that aren't there are warned of once, and told when they are."""

import asyncio

import pytest

from leaseholder.controller.served import Served
from tests.unit.controller.world import World, cluster_away


async def test_a_namespace_that_isnt_there_is_warned_of_once_and_told_when_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    world = World()
    world.cluster.namespaces["billing"] = None
    world.cluster.before("get namespace", None, None, cluster_away())
    work = asyncio.create_task(Served(world.cluster, ("shop", "billing"), again=0.001).run())
    try:
        await world.trace.until(lambda: world.count("get namespace") > 9)
        world.cluster.labels("billing")
        await world.trace.until(lambda: len(caplog.records) > 1)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    told = [(one.levelname, one.message, getattr(one, "fields")) for one in caplog.records]  # noqa: B009
    assert [(level, words, fields["namespace"]) for level, words, fields in told] == [
        ("WARNING", "namespace isn't there", "billing"),
        ("INFO", "namespace is there", "billing"),
    ]
    assert "mend the name, or create it" in told[0][2]["why"]


async def test_nothing_is_asked_where_all_namespaces_are_served() -> None:
    world = World()
    async with asyncio.timeout(5):
        work = asyncio.create_task(Served(world.cluster, ()).run())
        await asyncio.sleep(0)
        assert not work.done()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    assert world.count("get namespace") == 0
