"""What is written from the chart, and what the chart holds of other folders, is in step."""

import json
import pathlib
import tomllib
import typing

import pytest
import yaml

from leaseholder.api import crds, names
from tests.world import charts
from tools import chart, values


def test_every_file_that_is_written_is_in_step(helm: pathlib.Path) -> None:
    assert [path.name for path, _ in chart.stale(helm)] == []
    assert chart.strays() == []


def test_a_value_without_a_description_is_refused_by_name(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text("image:\n  # -- Where it is\n  repository: a\n  # tag\n  tag: b\n", "utf-8")
    with pytest.raises(ValueError, match=r"write what image\.tag means above it"):
        values.read(path)


def test_a_description_may_take_lines_and_cover_what_is_below(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text("# -- One\n# two\nresources:\n  limits: {cpu: 1}\n", "utf-8")
    (found,) = values.read(path)
    assert found.row == '| `resources` | `{"limits": {"cpu": 1}}` | One two |'


def test_the_schema_knows_the_values_and_no_others() -> None:
    schema = json.loads((charts.CHART / "values.schema.json").read_text("utf-8"))
    known = {*_leaves(schema, schema)} - {"global", "enabled"}  # Helm's own, and a parent's
    assert known == {one.path for one in values.read(charts.CHART / "values.yaml")}


def _leaves(
    schema: dict[str, typing.Any], root: dict[str, typing.Any], path: str = ""
) -> typing.Iterator[str]:
    """The paths of what a schema lets a user write; each object of ours is closed."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "properties" not in schema or path == "imagePullSecrets":
        yield path
        return
    assert schema["additionalProperties"] is False, path
    for name, inner in schema["properties"].items():
        yield from _leaves(inner, root, f"{path}.{name}" if path else name)


def test_chart_and_image_have_the_version_of_the_package() -> None:
    project = tomllib.loads((chart.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = yaml.safe_load((charts.CHART / "Chart.yaml").read_text("utf-8"))
    assert found["version"] == found["appVersion"] == project["version"]


def test_artifact_hub_is_told_of_each_crd() -> None:
    annotations = yaml.safe_load((charts.CHART / "Chart.yaml").read_text("utf-8"))["annotations"]
    told = yaml.safe_load(annotations["artifacthub.io/crds"])
    kinds = {(one.kind, f"{one.plural}.{names.GROUP}", names.VERSION) for one in crds.KINDS}
    assert {(one["kind"], one["name"], one["version"]) for one in told} == kinds


@pytest.mark.usefixtures("helm")
def test_every_alert_and_panel_of_the_chart_is_that_of_deploy_monitoring() -> None:
    monitoring = {
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    }
    found = {
        one["kind"]: one for one in charts.rendered({**charts.HOSTS, "monitoring": monitoring})
    }
    folder = chart.ROOT / "deploy" / "monitoring"
    rules = yaml.safe_load((folder / "rules.yaml").read_text("utf-8"))
    assert found["PrometheusRule"]["spec"] == rules["spec"]
    dashboard = json.loads((folder / "dashboard.json").read_text("utf-8"))
    assert json.loads(found["ConfigMap"]["data"]["leaseholder.json"]) == dashboard
