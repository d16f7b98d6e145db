"""What a refusal advises to bind is what the chart has."""

import pytest

from leaseholder.cluster import refusals
from tests.world import charts

pytestmark = pytest.mark.usefixtures("helm")


def test_every_role_is_one_that_a_refusal_advises_to_bind() -> None:
    roles = {
        f"the {one['kind']} {one['metadata']['name']} there"
        for one in charts.rendered()
        if one["kind"] in ("ClusterRole", "Role")
        and "aggregate-to" not in str(one["metadata"]["labels"])
    }
    advised = {one.partition(" (")[0] for one in refusals.ROLES.values()}
    assert advised == roles - {"the ClusterRole leaseholder there"}


def test_every_value_that_a_refusal_names_is_one_of_the_chart() -> None:
    advised = {one.partition(" (")[2] for one in refusals.ROLES.values()} - {""}
    powers = {"secrets", "tokens", "workloads", "configmaps"}
    assert advised == {f"in the chart's values: rights.{power})" for power in powers}
    for power in powers:
        bound = charts.rendered(charts.rights(power))
        assert f"leaseholder-{power}" in {
            one["roleRef"]["name"] for one in bound if one["kind"] == "ClusterRoleBinding"
        }
