"""Some moments of ``make kills`` before Phase and OpenBao; test_crash has Infisical's."""

import contextlib
import os

import pytest

from tests.cluster import kills, sites
from tests.world import houses
from tests.world import world as worlds

MOMENTS = 3


@pytest.mark.timeout(600)
@pytest.mark.parametrize("provider", ["phase", "openbao"])
async def test_whenever_it_is_killed_what_lives_in_the_end_is_what_the_secrets_show(
    world: worlds.World, provider: str
) -> None:
    seed = kills.seed_from(os.environ.get("SEED_FOR_TESTS"))
    async with contextlib.AsyncExitStack() as stack:
        house, trusts = await stack.enter_async_context(houses.opened(world, provider))
        opened = sites.site_of(house, world, f"kills-{provider}", trusts=trusts)
        site = await stack.enter_async_context(opened)
        run = await stack.enter_async_context(kills.Kills(site, seed).watched())
        await run.strike(MOMENTS)
        outcome = await run.reckon()
    assert outcome.holds, f"seed {outcome.seed}: {outcome}"
    assert outcome.wanted >= kills.FLEET // 2
