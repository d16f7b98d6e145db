"""The dashboard's picture: Prometheus' engine answers, and the picture has every panel."""

import pathlib
import re
from xml.etree import ElementTree

import pytest

from bench import dashboard, promql
from leaseholder.telemetry import exposition
from tests.monitoring import queries
from tests.unit.telemetry import test_metrics


def history() -> promql.History:
    """An operator that was seen for two minutes and stands still."""
    shown = exposition.render(test_metrics.everything().snapshot(), exposition.TEXT).decode()
    made = promql.History(dashboard.INTERVAL, began=0.0)
    for _ in range(25):
        made.add(shown, job="leaseholder", instance="a")
    return made


def test_a_query_gives_what_it_comes_to_by_moment_and_labels(promtool: pathlib.Path) -> None:
    made = promql.History(5, began=100.0)
    for number in range(3):
        made.add(f'a_total{{x="1, {{2}}"}} {number}\na_timestamp_seconds 107', job="j")
    made.add("b 1")
    asked = {"a_total": [10], "sum(a_total) - time()": [5, 10], "a_timestamp_seconds": [5]}
    assert promql.evaluate(promtool, made, {**asked, "a_total * 2": [15]}) == {
        ("a_total", 10): {(("job", "j"), ("x", "1, {2}")): 2.0},
        ("sum(a_total) - time()", 5): {(): -4.0},
        ("sum(a_total) - time()", 10): {(): -8.0},
        ("a_timestamp_seconds", 5): {(("job", "j"),): 7.0},
    }
    with pytest.raises(ValueError, match="parse error"):
        promql.evaluate(promtool, made, {"sum(": [5]})


def test_a_series_that_is_gone_for_a_while_has_no_value_meanwhile(promtool: pathlib.Path) -> None:
    made = promql.History(5, began=0.0)
    for scraped in ("a 1\nb 1", "b 1", "b 1", "a 2\nb 1", "b 1"):
        made.add(scraped)
    answers = promql.evaluate(promtool, made, {"a": range(0, 25, 5), "b": [20]})
    assert {moment: found[()] for (query, moment), found in answers.items() if query == "a"} == {
        0: 1.0,
        15: 2.0,
    }


def test_every_panel_is_drawn_from_its_own_query(
    promtool: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    made = history()
    answers = promql.evaluate(promtool, made, dashboard.asked(made))
    for panel in queries.panels():
        shown = [(dashboard.query(target), made.seconds) for target in panel["targets"]]
        grows = re.search(r"(rate|changes)\(", shown[0][0])
        assert grows or any(answers.get(one) for one in shown), panel["title"]
    dashboard.draw(made, answers, tmp_path / "drawn.svg")
    drawn = (tmp_path / "drawn.svg").read_text("utf-8")
    assert titles(drawn) == []
    assert shown_in(drawn, *LATE) == (["2"], ["shop/broken", "shop/lease-0"])


def test_the_picture_in_the_documentation_has_every_panel_of_the_dashboard() -> None:
    drawn = dashboard.TARGET.read_text("utf-8")
    assert titles(drawn) == [], "run `make dashboard`"
    assert "no data" not in drawn
    (count,), late = shown_in(drawn, *LATE)
    assert int(count) == len(late) > 0


LATE = (4, 10)
"""The panels about renewals that are overdue: how many, and which."""


def shown_in(svg: str, number: int, bars: int) -> tuple[list[str], list[str]]:
    """What a panel with one number shows, and the names in a panel with bars."""
    root = ElementTree.fromstring(svg)
    panels = {one.get("id"): [text.text or "" for text in one.iter(TEXT)] for one in root.iter()}
    named = sorted(text for text in panels[f"panel-{bars}"] if "/" in text)
    return [text for text in panels[f"panel-{number}"] if text.isdigit()], named


TEXT = "{http://www.w3.org/2000/svg}text"


def titles(svg: str) -> list[str]:
    """Titles of panels and rows that a picture lacks."""
    return [one["title"] for one in queries.dashboard()["panels"] if one["title"] not in svg]
