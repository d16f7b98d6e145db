"""The dashboard's picture: ``python -m bench.dashboard`` draws docs/images/dashboard.svg.

A real operator lives through six minutes with leases of a minute: they are issued, renewed and
rotated, the provider is away for a while, and in the end it is away again. Its metrics are scraped
every five seconds, and each panel's own query is evaluated over them by Prometheus' engine. How
Grafana would draw it is played: there is none here.
"""

import argparse
import asyncio
import collections.abc
import io
import pathlib
import sys
import tempfile
import time
import typing

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench import promql
from tests.cluster import sites
from tests.monitoring import queries
from tests.world import build, faults
from tests.world import world as worlds

TARGET: typing.Final = pathlib.Path(__file__).parents[1] / "docs" / "images" / "dashboard.svg"
INTERVAL: typing.Final = 5
"""Seconds between two scrapes."""
_STEP: typing.Final = 10
"""Seconds between two points of a line."""
_RATES: typing.Final = "1m"
"""Over how much a rate is taken; Grafana takes four scrapes."""
_LABELS: typing.Final = {"job": "leaseholder", "instance": "leaseholder-0"}
_MOST: typing.Final = 7
"""So many lines of a panel are named, and so many rows shown."""
_WIDE, _HIGH = 24, 61
_TITLE: typing.Final = (
    "The dashboard of a run of six minutes in four rows: Now, Leases, Providers, The operator. The "
    "provider is away twice, the second time in the end."
)
_UNITS: typing.Final = {
    "s": (1.0, "s"),
    "bytes": (2**20, "MiB"),
    "percentunit": (0.01, "%"),
    "ops": (1.0, "/s"),
    "reqps": (1.0, "/s"),
}
Object = dict[str, typing.Any]
Act = tuple[int, str, collections.abc.Callable[[], collections.abc.Awaitable[object]]]


async def lived() -> promql.History:
    """The metrics of the run."""
    with tempfile.TemporaryDirectory() as folder:
        world = await asyncio.to_thread(
            worlds.World.start, directory=pathlib.Path(folder), provider_faults=True, min_ttl=2
        )
        try:
            async with sites.site(
                world,
                "shop",
                LEASEHOLDER_LEADER_ELECTION="true",
                LEASEHOLDER_SWEEP_INTERVAL_SECONDS="20",
            ) as site:
                await site.provider(sweep="Report", limits={"requestsPerMinute": 120})
                return await _recorded(site)
        finally:
            await asyncio.to_thread(world.stop)


async def _recorded(site: sites.Site) -> promql.History:
    history = promql.History(INTERVAL, time.time())
    acts = sorted(_acts(site), key=lambda one: one[0])
    end = 330
    began = time.monotonic()
    while history.scrapes * INTERVAL <= end:
        while acts and acts[0][0] <= history.scrapes * INTERVAL:
            moment, what, act = acts.pop(0)
            print(f"{moment} s: {what}", file=sys.stderr, flush=True)
            await act()
        history.add(await asyncio.to_thread(site.operator.exposition), **_LABELS)
        await asyncio.sleep(max(0.0, began + history.scrapes * INTERVAL - time.monotonic()))
    return history


def _acts(site: sites.Site) -> collections.abc.Iterator[Act]:
    """What happens, and when."""
    proxy = site.world.provider_faults
    assert proxy is not None
    short = {"ttl": "60s", "rotation": {"overlap": "10s"}}

    def applied(*names: str, **spec: typing.Any) -> collections.abc.Callable[[], typing.Any]:
        return lambda: asyncio.gather(*(site.lease(one, **{**short, **spec}) for one in names))

    def rotated() -> typing.Any:
        change = {"metadata": {"annotations": {"leaseholder.dev/rotate": "1"}}}
        return asyncio.gather(
            *(site.client.patch("DynamicLease", f"orders-{n}", "shop", change) for n in range(4))
        )

    async def away() -> None:
        await asyncio.to_thread(
            proxy.faults.add, faults.Rule(action=faults.Action.ANSWER, status=503)
        )

    async def back() -> None:
        await asyncio.to_thread(proxy.faults.clear)

    yield 10, "six leases that are renewed", applied(*(f"orders-{n}" for n in range(6)))
    turned = {"renewal": {"strategy": "Rotate", "afterPercent": 50}}
    yield 25, "three that are replaced", applied(*(f"cart-{n}" for n in range(3)), **turned)
    yield 40, "one of a provider that isn't there", applied("reports", provider="nobody")
    yield 90, "the provider is away", away
    yield 135, "the provider is back", back
    yield 180, "four are rotated", rotated
    yield (
        225,
        "three are deleted",
        lambda: asyncio.gather(*(site.delete(f"orders-{n}") for n in (3, 4, 5))),
    )
    yield 290, "the provider is away", away


# ---------------------------------------------------------------------------- queries


def asked(history: promql.History) -> dict[str, list[int]]:
    """Each panel's queries, and when: over the whole run, or at its end."""
    over, end = [*range(0, history.seconds + 1, _STEP)], [history.seconds]
    return {
        query(target): over if panel["type"] == "timeseries" else end
        for panel in queries.panels()
        for target in panel["targets"]
    }


def query(target: Object) -> str:
    """A query as it reaches Prometheus."""
    text = str(target["expr"])
    for name, value in {**queries.VARIABLES, "$__rate_interval": _RATES}.items():
        text = text.replace(name, value)
    return text


# ---------------------------------------------------------------------------- drawing


@mpl.rc_context(
    {"svg.hashsalt": "leaseholder", "svg.fonttype": "none", "font.family": "sans-serif"}
)
def draw(history: promql.History, answers: promql.Answers, into: pathlib.Path) -> None:
    """The dashboard, each panel where Grafana has it."""
    figure = plt.figure(figsize=(16, 19))
    for panel in queries.dashboard()["panels"]:
        at = panel["gridPos"]
        top = 1 - at["y"] / _HIGH
        if panel["type"] == "row":
            figure.text(0.008, top - 0.6 / _HIGH, panel["title"], size=13, weight="bold")
            continue
        pads = {"timeseries": (1.1, 3.7), "bargauge": (2.4, 1.5)}.get(panel["type"], (0.3, 1.2))
        axes = figure.add_axes(
            (
                (at["x"] + pads[0]) / _WIDE,
                top - (at["h"] - pads[1] + 1.2) / _HIGH,
                (at["w"] - pads[0] - 0.3) / _WIDE,
                (at["h"] - pads[1]) / _HIGH,
            )
        )
        axes.set_gid(f"panel-{panel['id']}")
        axes.set_title(
            panel["title"], size=9, loc="left", x=-(pads[0] - 0.3) / (at["w"] - pads[0] - 0.3)
        )
        _DRAWN[panel["type"]](axes, panel, history, answers)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    plt.close(figure)
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text(_titled(drawn.getvalue()), encoding="utf-8")


def _titled(svg: str) -> str:
    """The picture with words for who doesn't see it."""
    named = svg.replace("<svg ", '<svg role="img" aria-labelledby="title" ', 1)
    return named.replace("<metadata>", f'<title id="title">{_TITLE}</title>\n <metadata>', 1)


def _stat(axes: Axes, panel: Object, history: promql.History, answers: promql.Answers) -> None:
    axes.axis("off")
    found = answers.get((query(panel["targets"][0]), history.seconds), {})
    shown = "no data"
    for labels, value in found.items():
        shown = _named(panel["targets"][0], labels) if "{{" in _format(panel) else f"{value:g}"
    axes.text(0.5, 0.4, shown, size=20, ha="center", va="center", transform=axes.transAxes)


def _table(axes: Axes, panel: Object, history: promql.History, answers: promql.Answers) -> None:
    axes.axis("off")
    found = answers.get((query(panel["targets"][0]), history.seconds), {})
    hidden = {"job", "instance", "provider_kind"}
    rows = [[value for key, value in labels if key not in hidden] for labels in found]
    heads = next(([key for key, _ in labels if key not in hidden] for labels in found), [])
    shown = [heads, *sorted(rows)[:_MOST]]
    widths = [max(map(len, column)) + 2 for column in zip(*shown, strict=True)]
    for number, row in enumerate(shown):
        for column, text in enumerate(row):
            axes.text(
                sum(widths[:column]) / sum(widths),
                1 - (number + 0.6) / (_MOST + 1),
                text,
                size=8,
                weight="bold" if not number else "normal",
                transform=axes.transAxes,
            )


def _bars(axes: Axes, panel: Object, history: promql.History, answers: promql.Answers) -> None:
    target = panel["targets"][0]
    found = answers.get((query(target), history.seconds), {})
    bars = sorted(
        ((value, _named(target, labels)) for labels, value in found.items()), reverse=True
    )
    axes.barh([name for _, name in bars], [value for value, _ in bars])
    _plain(axes, "s")


def _lines(axes: Axes, panel: Object, history: promql.History, answers: promql.Answers) -> None:
    factor, unit = _UNITS.get(panel["fieldConfig"]["defaults"].get("unit", ""), (1.0, ""))
    drawn = 0
    for target in panel["targets"]:
        over = {moment: found for (text, moment), found in answers.items() if text == query(target)}
        for labels in sorted({labels for found in over.values() for labels in found}):
            points = [
                (at, over.get(at, {}).get(labels)) for at in range(0, history.seconds + 1, _STEP)
            ]
            name = _named(target, labels) if drawn < _MOST else "_"
            values = [value / factor if value is not None else float("nan") for _, value in points]
            axes.plot([at / 60 for at, _ in points], values, label=name, linewidth=1.2)
            drawn += 1
    _plain(axes, unit)
    axes.set(xlim=(0, history.seconds / 60))
    axes.margins(y=0.15)
    if not drawn:
        axes.text(0.5, 0.5, "no data", size=9, ha="center", transform=axes.transAxes)
        return
    columns = panel["gridPos"]["w"] // 3
    below = (-0.1, -0.12)
    axes.legend(fontsize=6, ncols=columns, loc="upper left", bbox_to_anchor=below, frameon=False)


_DRAWN: typing.Final = {"stat": _stat, "table": _table, "bargauge": _bars, "timeseries": _lines}


def _plain(axes: Axes, unit: str) -> None:
    axes.tick_params(labelsize=7)
    axes.grid(visible=True, alpha=0.3)
    axes.annotate(unit, (1, 1.02), xycoords="axes fraction", size=7, ha="right")


def _format(panel: Object) -> str:
    return str(panel["targets"][0].get("legendFormat") or "")


def _named(target: Object, labels: promql.Labels) -> str:
    """A line's name, as Grafana makes it."""
    text = str(target.get("legendFormat") or "")
    for key, value in labels:
        text = text.replace(f"{{{{{key}}}}}", value)
    return text.strip() or ", ".join(value for _, value in labels)


def main() -> None:
    """Live through the run, and draw it."""
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard", description=__doc__)
    parser.add_argument("--into", type=pathlib.Path, default=TARGET)
    arguments = parser.parse_args()
    promtool = build.PROMTOOL.ensure(lambda line: print(line, file=sys.stderr))
    history = asyncio.run(lived())
    draw(history, promql.evaluate(promtool, history, asked(history)), arguments.into)
    print(f"drawn: {arguments.into}")


if __name__ == "__main__":
    main()
