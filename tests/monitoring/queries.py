"""The queries in deploy/monitoring: of alerts and of the dashboard's panels."""

import json
import pathlib
import re
import typing

import yaml

from leaseholder.telemetry import catalogue
from tests import pages

FOLDER: typing.Final = pathlib.Path(__file__).parents[2] / "deploy" / "monitoring"
VARIABLES: typing.Final = {"$namespace": ".*", "$__rate_interval": "5m"}
"""What Grafana puts in their place."""
TARGET: typing.Final = frozenset({"namespace", "job", "instance", "le"})
"""Labels that Prometheus adds, and that of buckets."""
PROCESS: typing.Final = frozenset(
    {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"}
)
_SUFFIX: typing.Final = re.compile("_(bucket|count|sum)$")
Object = dict[str, typing.Any]


def rules() -> list[Object]:
    """All alerts."""
    return [rule for group in spec()["groups"] for rule in group["rules"]]


def spec() -> Object:
    """The groups of rules, as Prometheus itself reads them."""
    manifest = yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))
    found: Object = manifest["spec"]
    return found


def dashboard() -> Object:
    """The dashboard."""
    found: Object = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    return found


def panels() -> list[Object]:
    """The panels that show something."""
    return [one for one in dashboard()["panels"] if one["type"] != "row"]


def of_panels() -> dict[str, str]:
    """Each query of the dashboard, as it reaches Prometheus, by panel."""
    found = {}
    for panel in panels():
        for target in panel["targets"]:
            query = target["expr"]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            found[f"{panel['id']} {panel['title']} {target['refId']}"] = query
    return found


def of_pages() -> dict[str, str]:
    """The queries on the page of metrics, by the question that stands above."""
    text = pages.read(pages.DOCS / "metrics.md")
    return dict(
        re.findall(r"^(\S[^\n]*\?)\n\n```promql\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)
    )


def every() -> dict[str, str]:
    """All queries, by alert, by panel and by question."""
    return {**{rule["alert"]: rule["expr"] for rule in rules()}, **of_panels(), **of_pages()}


def names(query: str) -> set[str]:
    """The metrics that a query asks for."""
    return set(re.findall(r"\b(?:leaseholder|process)_[a-z_]+\b", query))


def families(query: str) -> list[catalogue.Family]:
    """Those of them that are ours."""
    asked = {_SUFFIX.sub("", name) for name in names(query)}
    return [family for family in catalogue.ALL if family.name in asked]


def labels(query: str) -> set[str]:
    """The labels that a query matches, groups or joins by."""
    matched = re.findall(r'([a-z_]+)(?:=~|!~|!=|=)"', query)
    grouped = re.findall(r"\b(?:by|on|without|ignoring) \(([^)]*)\)", query)
    return {*matched, *(one.strip() for part in grouped for one in part.split(","))}
