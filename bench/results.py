"""Figures as they are kept: ``results/<name>.json``, each measure with what it was measured on.

Each figure has the minimum, median and maximum of its runs. Machines differ and are shared, so
what counts is the ratio to the floor that was measured in the same run, not a second.
"""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import typing

DIRECTORY: typing.Final = pathlib.Path(__file__).parent / "results"
_PACKAGES: typing.Final = ("leaseholder", "kopf", "kubernetes", "aiohttp", "pydantic")

Figures = dict[str, float]
"""Figures of one run, by name; the name ends with the unit."""


@dataclasses.dataclass(frozen=True, slots=True)
class Measure:
    """All runs of one measure."""

    name: str
    parameters: dict[str, float | str]
    runs: list[Figures]

    def summary(self) -> dict[str, dict[str, float]]:
        """Minimum, median and maximum of each figure."""
        names = dict.fromkeys(name for run in self.runs for name in run)
        return {name: _spread([run[name] for run in self.runs if name in run]) for name in names}

    def median(self, figure: str) -> float | None:
        """The median of one figure; None where no run has it."""
        spread = self.summary().get(figure)
        return None if spread is None else spread["median"]


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "min": round(min(values), 4),
        "median": round(statistics.median(values), 4),
        "max": round(max(values), 4),
    }


def write(path: pathlib.Path, measures: list[Measure]) -> None:
    """Write measures, each with versions, cores and date; others that the file has stay in it."""
    here = {
        "measured": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": _commit(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }
    made = {
        one.name: {"name": one.name, **here, "parameters": one.parameters, "figures": one.summary()}
        for one in measures
    }
    kept = {one["name"]: one for one in read(path)} if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"measures": list((kept | made).values())}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def read(path: pathlib.Path) -> list[dict[str, typing.Any]]:
    """The measures that ``write`` wrote."""
    measures: list[dict[str, typing.Any]] = json.loads(path.read_text(encoding="utf-8"))["measures"]
    return measures


def show(measure: Measure) -> str:
    """One measure as lines for people."""
    parameters = ", ".join(f"{name}={value}" for name, value in measure.parameters.items())
    lines = [f"{measure.name} ({parameters}), {len(measure.runs)} run(s)"]
    for name, spread in measure.summary().items():
        values = f"{spread['median']:>12.3f}   ({spread['min']:.3f} to {spread['max']:.3f})"
        lines.append(f"  {name:<42}{values}")
    return "\n".join(lines)


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
