"""Pictures of the figures: ``python -m bench.plots`` draws docs/images/bench-*.svg.

Each draws one figure over the number of leases, operator beside floor, from a result of
``make bench-full``.
"""

import argparse
import collections.abc
import dataclasses
import pathlib
import typing

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

from bench import results

DOCS: typing.Final = pathlib.Path(__file__).parents[1] / "docs" / "images"


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """One plot: its lines by label, each a figure of the results."""

    name: str
    title: str
    unit: str
    lines: collections.abc.Mapping[str, str]


PICTURES: typing.Final = (
    Picture(
        "rate",
        "DynamicLeases that become Ready, all applied at once",
        "per second",
        {"operator": "acquire.per_second", "floor": "acquire.floor_per_second"},
    ),
    Picture(
        "cpu",
        "Processor time for an acquisition",
        "milliseconds",
        {"operator": "acquire.operator_cpu_ms_each", "floor": "acquire.floor_cpu_ms_each"},
    ),
    Picture(
        "memory",
        "Resident memory",
        "MiB",
        {"after acquiring": "acquire.operator_rss_mib", "restarted": "restart.operator_rss_mib"},
    ),
    Picture(
        "lateness",
        "How late due work is taken up",
        "seconds, 99th percentile",
        {"operator": "lateness.seconds_p99"},
    ),
)


def draw(picture: Picture, measures: list[dict[str, typing.Any]], into: pathlib.Path) -> None:
    """One picture of measures that differ in the number of leases."""
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for label, name in picture.lines.items():
        points = sorted(
            (one["parameters"]["leases"], one["figures"][name])
            for one in measures
            if name in one["figures"]
        )
        sizes = [size for size, _ in points]
        medians = [spread["median"] for _, spread in points]
        axes.plot(sizes, medians, marker="o", label=label)
        lows, highs = [s["min"] for _, s in points], [s["max"] for _, s in points]
        axes.fill_between(sizes, lows, highs, alpha=0.2)
    axes.set(title=picture.title, xlabel="leases", ylabel=picture.unit, ylim=(0, None))
    axes.legend()
    axes.grid(visible=True, alpha=0.3)
    into.mkdir(parents=True, exist_ok=True)
    figure.savefig(into / f"bench-{picture.name}.svg", metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(prog="python -m bench.plots", description=__doc__)
    parser.add_argument("--result", type=pathlib.Path, default=results.DIRECTORY / "full.json")
    parser.add_argument("--into", type=pathlib.Path, default=DOCS)
    arguments = parser.parse_args()
    # Without a fixed salt each drawing has other ids, and so a diff of its own.
    mpl.rcParams["svg.hashsalt"] = "leaseholder"
    found = results.read(arguments.result)
    chosen = [one for one in found if one["name"].startswith("infisical-50ms-")]
    for picture in PICTURES:
        draw(picture, chosen, arguments.into)


if __name__ == "__main__":
    main()
