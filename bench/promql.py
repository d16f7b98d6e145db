"""Queries over the metrics of a run, by Prometheus' own engine.

``promtool test rules`` evaluates an expression at a moment and prints what it got where that isn't
what was expected. Nothing is expected here, so it prints all.
"""

import collections.abc
import dataclasses
import json
import pathlib
import re
import subprocess
import tempfile
import typing

import yaml

Labels = tuple[tuple[str, str], ...]
_ABSOLUTE: typing.Final = re.compile("_(timestamp|start_time)_seconds$")
_ANSWER: typing.Final = re.compile(
    r'expr: (?P<expr>"(?:\\.|[^"\\])*"), time: (?P<time>\S+),\n\s+exp: nil\n\s+got: (?P<got>.*)\n'
)
_SAMPLE: typing.Final = re.compile(
    r'(?P<labels>\{(?:"(?:\\.|[^"\\])*"|[^"}])*\}) '
    r"(?P<value>[-+.\dEe]+|NaN|[-+]Inf)(?:, |$)"
)
_LABEL: typing.Final = re.compile(r'([a-z_]+)=("(?:\\.|[^"\\])*")')
_PART: typing.Final = re.compile(r"(\d+)(ms|h|m|s)")
_SECONDS: typing.Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclasses.dataclass(slots=True)
class History:
    """What was scraped, at a regular pace."""

    interval: int
    """Seconds between two scrapes."""
    began: float
    """Unix time of the first; moments in metrics count from it on."""
    series: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """The values of each series, ``stale`` and then ``_`` where it wasn't there."""
    scrapes: int = 0

    def add(self, exposition: str, **labels: str) -> None:
        """Take what /metrics answered."""
        for line in exposition.splitlines():
            name, _, value = line.rpartition(" ")
            if not name or line.startswith("#"):
                continue
            bare, _, rest = name.partition("{")
            more = ",".join(f'{key}="{one}"' for key, one in labels.items())
            key = f"{bare}{{{more}{',' if rest else ''}{rest or '}'}"
            if _ABSOLUTE.search(bare) and float(value):
                value = repr(float(value) - self.began)
            values = self.series.setdefault(key, [])
            values += _gap(values, self.scrapes)
            values.append(value)
        self.scrapes += 1

    @property
    def seconds(self) -> int:
        """From the first scrape to the last."""
        return (self.scrapes - 1) * self.interval


Answers = dict[tuple[str, float], dict[Labels, float]]


def evaluate(
    promtool: pathlib.Path,
    history: History,
    asked: collections.abc.Mapping[str, collections.abc.Iterable[int]],
) -> Answers:
    """What each expression comes to at its moments, in seconds; moments without data are left out.

    Raises:
        ValueError: promtool says something else, such as that a query isn't one.
    """
    tests = [
        {"expr": query, "eval_time": f"{moment}s", "exp_samples": []}
        for query, moments in asked.items()
        for moment in moments
    ]
    pace = f"{history.interval}s"
    series = [
        {"series": name, "values": " ".join([*values, *_gap(values, history.scrapes)])}
        for name, values in history.series.items()
    ]
    whole = {"interval": pace, "input_series": series, "promql_expr_test": tests}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "test.yaml")
        path.write_text(yaml.safe_dump({"evaluation_interval": pace, "tests": [whole]}), "utf-8")
        done = subprocess.run(
            [promtool, "test", "rules", path], capture_output=True, text=True, check=False
        )
    said = done.stdout + done.stderr
    answers = {
        (json.loads(found["expr"]), _seconds(found["time"])): dict(_samples(found["got"]))
        for found in _ANSWER.finditer(said)
    }
    if not answers:
        raise ValueError(said)
    return answers


def _gap(values: list[str], scrapes: int) -> list[str]:
    """What a series has where it wasn't there: it is marked as gone, as Prometheus marks it.

    Without the mark its last value would count for five minutes more.
    """
    missing = scrapes - len(values)
    gone = ["stale"] if values and missing else []
    return [*gone, *(["_"] * (missing - len(gone)))]


def _samples(text: str) -> collections.abc.Iterator[tuple[Labels, float]]:
    for found in _SAMPLE.finditer(text):
        labels = ((key, json.loads(value)) for key, value in _LABEL.findall(found["labels"]))
        known = tuple(one for one in labels if one[0] != "__name__")
        yield known, float(found["value"])


def _seconds(text: str) -> float:
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
