"""Least privilege: each right that the chart gives is taken away, missed, named, and given back.

One operator lives through all of it, and then others begin without what they need to begin.
"""

import collections.abc

import pytest
import pytest_asyncio

from tests.cluster import features, rights, sites, withheld, workloads
from tests.world import charts, operator
from tests.world import world as worlds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

SWITCHES = ("LEASEHOLDER_LEADER_ELECTION", "LEASEHOLDER_METRICS_AUTH")
NOT_OURS = "leaseholder-metrics-reader"
"""A role for whoever scrapes."""
LIVED_THROUGH = sorted(
    (one for one in rights.RIGHTS if not one.at_start),
    key=lambda one: one.role != rights.WORKLOADS,  # first: a restart is tried again in a minute
)
AT_START = [one for one in rights.RIGHTS if one.at_start]


def _name(right: withheld.Right) -> str:
    return right.name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    settings = {"LEASEHOLDER_LOG_LEVEL": "INFO", **dict.fromkeys(SWITCHES, "true")}
    async with sites.site(world, "rights", **settings) as opened:
        await opened.client.apply(workloads.ARGO)
        try:
            yield opened
        finally:
            await opened.client.delete("CustomResourceDefinition", "rollouts.argoproj.io")


async def _is_named(site: sites.Site, right: withheld.Right) -> None:
    one = withheld.Withheld(site, right)
    await right.feature(one)
    assert one.told == {*right.told}


@pytest.mark.parametrize("right", LIVED_THROUGH, ids=_name)
async def test_a_missing_right_is_named_where_it_is_missed_and_lived_through(
    site: sites.Site, right: withheld.Right
) -> None:
    process = site.operator.process
    await _is_named(site, right)
    process.check()
    assert site.operator.process is process


async def test_what_was_to_be_restarted_is_restarted_once_there_is_a_right_to_it(
    site: sites.Site,
) -> None:
    rows = [one for one in LIVED_THROUGH if one.feature is features.restarted]
    assert [one.verb for one in rows] == ["get", "list", "patch"]
    for one in rows:
        await features.are_restarted(withheld.Withheld(site, one))


@pytest.mark.parametrize("right", AT_START, ids=_name)
async def test_a_right_that_is_missing_at_the_start_is_named_and_waited_for(
    site: sites.Site, right: withheld.Right
) -> None:
    await _is_named(site, right)


async def test_each_right_of_the_chart_is_a_row_and_no_row_is_of_another() -> None:
    rows = [(one.role, one.verb, *what) for one in rights.RIGHTS for what in one.of]
    assert len(rows) == len({*rows})
    given = {
        (f"{role['kind']} {role['metadata']['name']}", verb, group, resource)
        for role in charts.rendered(operator.rights(*operator.OPTIONS))
        if role["kind"] in ("ClusterRole", "Role") and _is_operators(role["metadata"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {*rows} == given


def _is_operators(meta: dict[str, object]) -> bool:
    """Whether a role is for the operator: others are for who scrapes, and for users."""
    return meta["name"] != NOT_OURS and "aggregate-to" not in str(meta["labels"])
