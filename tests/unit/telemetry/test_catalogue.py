"""docs/metrics.md: in step with the code, and the code in step with what is shown."""

import pathlib

from prometheus_client import parser

from leaseholder.telemetry import catalogue, exposition
from tests.unit.telemetry import test_metrics

CHECKOUT = pathlib.Path(__file__).parents[3]


def test_the_page_of_metrics_is_in_step_with_the_code() -> None:
    text = (CHECKOUT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert text == catalogue.rendered(), "run `make crds`"


def test_what_is_shown_is_what_the_catalogue_has_with_its_labels() -> None:
    metrics = test_metrics.everything()
    shown = exposition.render(metrics.snapshot(), exposition.TEXT).decode()
    found = {
        one.name + ("_total" if one.type == "counter" else ""): one
        for one in parser.text_string_to_metric_families(shown)
        if one.name.startswith("leaseholder_")
    }
    assert {family.name for family in catalogue.ALL} == {*found}
    for family in catalogue.ALL:
        one = found[family.name]
        assert one.type == family.type
        assert one.documentation == family.text
        labels = {frozenset(sample.labels) - {"le"} for sample in one.samples}
        assert labels == {frozenset(family.labels)}, family.name


def test_names_follow_the_conventions_of_prometheus() -> None:
    for family in catalogue.ALL:
        assert family.name.startswith("leaseholder_")
        assert family.name.endswith("_total") == (family.type == "counter"), family.name
        assert family.type != "histogram" or family.name.endswith("_seconds")
        assert family.text.endswith(".")
