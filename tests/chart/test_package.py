"""The chart as a release has it."""

import json
import pathlib
import re
import shutil

import pytest
import yaml

from tests.world import charts
from tools import package, values

DIGEST = f"sha256:{'a' * 64}"


def image(archive: pathlib.Path) -> str:
    """The image of the Deployment that a packed chart renders."""
    rendered = charts.Helm(chart=archive).template(charts.HOSTS)
    (deployment,) = (one for one in rendered if one["kind"] == "Deployment")
    found: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return found


def test_a_packed_chart_names_the_pushed_image_by_its_digest(
    helm: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    pushed = tmp_path / "image.json"
    name = "registry.example.com:5000/them/leaseholder:0.1.0"
    pushed.write_text(json.dumps({"image.name": name, "containerimage.digest": DIGEST}))
    package.pack(helm, tmp_path, pushed)
    (archive,) = tmp_path.glob("leaseholder-*.tgz")
    assert image(archive) == f"registry.example.com:5000/them/leaseholder@{DIGEST}"


def test_a_chart_that_is_packed_without_a_pushed_image_is_that_of_the_checkout(
    helm: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    package.pack(helm, tmp_path, tmp_path / "none.json")
    (archive,) = tmp_path.glob("leaseholder-*.tgz")
    assert image(archive) == image(charts.CHART)


def test_a_packed_chart_says_how_to_install_it_by_values_that_there_are(
    helm: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    package.pack(helm, tmp_path, tmp_path / "none.json")
    (archive,) = tmp_path.glob("leaseholder-*.tgz")
    readme = charts.Helm().run("show", "readme", str(archive))
    assert "helm install leaseholder" in readme
    known = {one.path for one in values.read(charts.CHART / "values.yaml")}
    told = {*re.findall(r"`((?:[a-z]+[A-Za-z]*\.)+[a-zA-Z]+)`", readme)}
    assert "crds.keep" in told
    assert told <= known


@pytest.mark.usefixtures("helm")
def test_a_chart_may_depend_on_it_by_a_condition(tmp_path: pathlib.Path) -> None:
    shutil.copytree(charts.CHART, tmp_path / "charts" / "leaseholder")
    needs = {"name": "leaseholder", "version": "0.1.0", "condition": "leaseholder.enabled"}
    about = {"apiVersion": "v2", "name": "shop", "version": "1.0.0", "dependencies": [needs]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(about), "utf-8")
    beside = {"global": {"imageRegistry": "registry.example.com"}}
    for enabled in (True, False):
        given = {**beside, "leaseholder": {**charts.HOSTS, "enabled": enabled}}
        found = charts.Helm(chart=tmp_path).template(given)
        assert bool([one for one in found if one["kind"] == "Deployment"]) is enabled


def test_values_without_a_default_image_arent_packed() -> None:
    text = (charts.CHART / "values.yaml").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"one line 'repository: leaseholder'"):
        package.pinned(text.replace("repository: leaseholder", "repository: other"), "a:1", DIGEST)


def test_a_pinned_image_changes_nothing_else_of_the_values() -> None:
    text = (charts.CHART / "values.yaml").read_text(encoding="utf-8")
    before, after = yaml.safe_load(text), yaml.safe_load(package.pinned(text, "a/b:1", DIGEST))
    assert after["image"] == {**before["image"], "repository": "a/b", "digest": DIGEST}
    assert {**after, "image": None} == {**before, "image": None}
