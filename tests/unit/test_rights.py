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
    of_kubernetes = {"the ClusterRole system:auth-delegator, cluster-wide"}
    assert advised - of_kubernetes == roles - {"the ClusterRole leaseholder there"}


def test_every_value_that_a_refusal_names_is_one_of_the_chart() -> None:
    advised = {one.partition(" (")[2] for one in refusals.ROLES.values()} - {""}
    powers = {"secrets", "tokens", "workloads", "configmaps"}
    named = {*(f"rights.{power}" for power in powers), "metricsAuth"}
    assert advised == {f"in the chart's values: {value})" for value in named}
    for power in powers:
        bound = charts.rendered(charts.rights(power))
        assert f"leaseholder-{power}" in {
            one["roleRef"]["name"] for one in bound if one["kind"] == "ClusterRoleBinding"
        }


def test_the_value_for_reviews_gives_what_the_role_of_kubernetes_has() -> None:
    def granted(values: charts.Values) -> set[str]:
        (role,) = (
            one
            for one in charts.rendered(values)
            if one["kind"] == "ClusterRole" and one["metadata"]["name"] == "leaseholder"
        )
        return {
            f"{verb} {resource}"
            for rule in role["rules"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    more = granted({**charts.HOSTS, "metricsAuth": True}) - granted(charts.HOSTS)
    assert more == {"create tokenreviews", "create subjectaccessreviews"}
