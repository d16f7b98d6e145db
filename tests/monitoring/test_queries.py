"""Alerts and dashboard against the metrics that there are, and alerts against the runbook."""

import re

import pytest

from leaseholder.telemetry import catalogue
from tests import pages
from tests.monitoring import queries

each_query = pytest.mark.parametrize(
    "query", queries.every().values(), ids=list(queries.every().keys())
)


@each_query
def test_every_metric_that_is_asked_for_exists(query: str) -> None:
    asked = {re.sub("_(bucket|count|sum)$", "", one) for one in queries.names(query)}
    assert asked
    assert asked - {one.name for one in catalogue.ALL} - queries.PROCESS == set()


@each_query
def test_buckets_are_asked_of_histograms_and_rates_of_counters_alone(query: str) -> None:
    kinds = {family.name: family.type for family in queries.families(query)}
    for name in re.findall(r"(?:rate|increase)\((\w+)", query):
        base = re.sub("_(bucket|count|sum)$", "", name)
        assert kinds.get(base) in ("counter", "histogram") or name in queries.PROCESS
    for name in re.findall(r"(\w+)_bucket", query):
        assert kinds[name] == "histogram"


@each_query
def test_every_label_that_is_asked_for_is_one_of_those_metrics(query: str) -> None:
    known = {label for family in queries.families(query) for label in family.labels}
    assert queries.labels(query) - known - queries.TARGET == set()


@each_query
def test_a_value_that_is_asked_for_is_one_that_the_label_can_have(query: str) -> None:
    for family in queries.families(query):
        for label, values in family.known.items():
            for asked in re.findall(rf'\b{label}=~?"([^"]*)"', query):
                assert {*asked.split("|")} <= {*values}


@each_query
def test_providers_of_one_name_in_two_namespaces_are_not_taken_for_one(query: str) -> None:
    for part in re.findall(r"\bby \(([^)]*)\)", query):
        grouped = {one.strip() for one in part.split(",")}
        assert "provider" not in grouped or "provider_namespace" in grouped


@pytest.mark.parametrize("alert", [one["alert"] for one in queries.rules()])
def test_an_alert_names_a_provider_with_its_namespace(alert: str) -> None:
    (rule,) = (one for one in queries.rules() if one["alert"] == alert)
    said = rule["annotations"]["summary"]
    assert ("$labels.provider }}" in said) == ("with $labels.provider_namespace }}" in said)


def test_each_query_of_the_page_is_read() -> None:
    assert len(queries.of_pages()) == pages.read(pages.DOCS / "metrics.md").count("```promql") > 3


def test_every_panel_has_a_place_of_its_own_and_shows_something() -> None:
    ids = [panel["id"] for panel in queries.dashboard()["panels"]]
    assert len(ids) == len({*ids})
    cells: set[tuple[int, int]] = set()
    for panel in queries.dashboard()["panels"]:
        at = panel["gridPos"]
        here = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in here) < 24
        assert not here & cells, panel["title"]
        cells |= here
    assert all(panel["targets"] for panel in queries.panels())
    rows = [one["title"] for one in queries.dashboard()["panels"] if one["type"] == "row"]
    assert rows == ["Now", "Leases", "Providers", "The operator"]


def test_the_panels_about_renewals_that_are_overdue_show_what_the_alert_says() -> None:
    (alert,) = (one for one in queries.rules() if one["alert"] == "LeaseholderRenewalOverdue")
    late = " ".join(alert["expr"].split())
    shown = {
        panel["targets"][0]["expr"].replace('{namespace=~"$namespace"}', "")
        for panel in queries.panels()
        if panel["title"] == "Renewals overdue"
    }
    assert shown == {f"count({late}) or vector(0)", f"topk(15, {late})"}


def test_every_alert_has_a_section_in_the_runbook_that_its_link_leads_to() -> None:
    text = pages.read(pages.DOCS / "runbook.md")
    sections = re.findall(r"^### (Leaseholder\w+)$", text, flags=re.MULTILINE)
    alerts = [rule["alert"] for rule in queries.rules()]
    assert sections == alerts
    for rule in queries.rules():
        link = f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook_url"] == link
        section = text.split(f"### {rule['alert']}\n", 1)[1].split("\n#", 1)[0]
        assert "**Means**" in section
        assert re.search(r"\*\*Do\*\*", section)
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
