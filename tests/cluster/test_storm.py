"""One minute of ``make storm``: faults, kills and edits, and a monitor that logs in meanwhile."""

import os

import pytest

from tests.cluster import kills, sites, storm
from tests.world import world as worlds


@pytest.mark.timeout(600)
async def test_no_login_fails_and_no_lease_is_lost_in_a_storm(world: worlds.World) -> None:
    seed = kills.seed_from(os.environ.get("SEED_FOR_TESTS"))
    async with sites.site(world, "storm", **storm.IMPATIENT) as site:
        outcome = await storm.Storm(site, seed).run(1.0)
    storm.report(outcome)
    # Times and counts are judged by make storm, where nothing else runs beside it. A status can
    # trail the end of a lease by a moment while faults keep it from being told: once is borne.
    assert len(outcome.seen.failed) <= 1
    assert not outcome.lost
    assert outcome.seen.logins > 1000
    assert outcome.kills + outcome.stops > 0
