"""Alerts and panels, run by Prometheus' own engine."""

import pathlib
import shutil
import subprocess

import pytest
import yaml
from prometheus_client import parser

from leaseholder.telemetry import exposition
from tests import pages
from tests.monitoring import queries
from tests.unit.telemetry import test_metrics
from tools import chart

HISTORIES = pathlib.Path(__file__).with_name("alerts.yaml")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """The rules as Prometheus reads them."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(queries.spec()), encoding="utf-8")
    return tmp_path


def run(promtool: pathlib.Path, folder: pathlib.Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_rules_are_valid_and_without_a_fault_that_promtool_knows(
    promtool: pathlib.Path, folder: pathlib.Path
) -> None:
    found = run(promtool, folder, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")
    assert found == (0, f"Checking rules.yaml\n  SUCCESS: {len(queries.rules())} rules found\n\n")


def test_prometheus_takes_the_configuration_of_the_page_and_finds_the_pods_by_it(
    promtool: pathlib.Path, folder: pathlib.Path
) -> None:
    (config,) = (one for _, one in pages.documents() if "scrape_configs" in one)
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    code, told = run(promtool, folder, "check", "config", "prometheus.yaml")
    assert code == 0, told
    (scrape,) = config["scrape_configs"]
    assert scrape["honor_labels"] is True
    (deployment,) = (
        one
        for one in yaml.safe_load_all(chart.MANIFEST.read_text("utf-8"))
        if one["kind"] == "Deployment"
    )
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    label = pod["metadata"]["labels"]["app.kubernetes.io/name"]
    assert scrape["relabel_configs"][0]["regex"] == f"{label};{port['name']}"


def test_alerts_fire_when_they_are_to_and_else_not(
    promtool: pathlib.Path, folder: pathlib.Path
) -> None:
    shutil.copy(HISTORIES, folder)
    code, told = run(promtool, folder, "test", "rules", HISTORIES.name)
    assert code == 0, told


def test_every_alert_is_seen_firing_by_a_history() -> None:
    text = HISTORIES.read_text(encoding="utf-8")
    assert [rule["alert"] for rule in queries.rules() if rule["alert"] not in text] == []


def test_every_panel_shows_data_of_an_operator_that_does_something(
    promtool: pathlib.Path, folder: pathlib.Path
) -> None:
    asked = [
        {"expr": f"count({query}) > bool 0", "eval_time": "1h", "exp_samples": [ONE]}
        for query in queries.of_panels().values()
    ]
    history = {"interval": "1m", "input_series": list(series()), "promql_expr_test": asked}
    whole = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [history]}
    (folder / "panels.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    code, told = run(promtool, folder, "test", "rules", "panels.yaml")
    assert code == 0, told


ONE = {"labels": "{}", "value": 1}


def series() -> list[dict[str, str]]:
    """What an operator shows, as if it went on so for an hour; counters grow."""
    shown = exposition.render(test_metrics.everything().snapshot(), exposition.TEXT).decode()
    found = []
    for family in parser.text_string_to_metric_families(shown):
        grows = family.type in ("counter", "histogram")
        for sample in family.samples:
            labels = {**sample.labels, "job": "leaseholder", "instance": "a"}
            text = ",".join(f'{key}="{value}"' for key, value in labels.items())
            step = f"+{sample.value}" if grows else "+0"
            values = f"{sample.value}{step}x60"
            found.append({"series": f"{sample.name}{{{text}}}", "values": values})
    return found
