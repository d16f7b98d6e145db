"""The time line of ``show`` as a picture: SVG, readable on white and on black.

Texts come from objects that others write: they are escaped for XML, and what doesn't print is as
it is on the terminal.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from xml.sax import saxutils

from leaseholder.api import base
from leaseholder.cli import exits, story

_WIDTH: Final = 900
_LEFT: Final = 20
_RIGHT: Final = 20
_TOP: Final = 40
_ROW: Final = 46
_LETTER: Final = 8.0
"""Width of a letter at most, on average."""
_GAP: Final = 8.0
_STYLE: Final = """\
text { font: 13px sans-serif; fill: #57606a } .name { font-weight: bold }
.held { fill: #2da44e } .overlap { fill: #d4a72c } .left { fill: #8c959f; opacity: .45 }
.now { stroke: #cf222e; stroke-width: 2 } .plan { stroke: #0969da; stroke-width: 2 }"""


def picture(
    title: str, known: Sequence[story.Span], marks: Sequence[story.Mark], now: datetime
) -> str:
    """The lives of leases on one axis, with dates; ``now`` and what is planned as lines."""
    scale = _Scale(known, now)
    rows = [part for number, one in enumerate(known) for part in _life(scale, number, one, now)]
    bottom = _TOP + _ROW * max(1, len(known))
    shown = [mark for mark in marks if mark.what == "now" or mark.at > now]
    lines = [_line(scale.x(mark.at), mark, max(1, len(known))) for mark in shown]
    labels, lowest = _labels(scale, shown, bottom + 14)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {lowest + 10}" '
            f'role="img" aria-labelledby="title"><title id="title">{_escaped(title)}: its '
            f"leases, one below the other, from issue to end</title><style>{_STYLE}</style>",
            _text(_LEFT, 22, title, "name"),
            *rows,
            *lines,
            *labels,
            "</svg>",
            "",
        ]
    )


class _Scale:
    """Where moments are on the picture."""

    def __init__(self, known: Sequence[story.Span], now: datetime) -> None:
        self._start, self._end = story.axis(known) if known else (now, now)

    def x(self, moment: datetime) -> float:
        """How far from the left."""
        whole = max((self._end - self._start).total_seconds(), 1.0)
        share = min(1.0, max(0.0, (moment - self._start).total_seconds() / whole))
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _life(scale: _Scale, number: int, one: story.Span, now: datetime) -> list[str]:
    """One lease: its name and dates, held, overlap, what is left."""
    y = _TOP + _ROW * number
    over = min(one.replaced or one.end, one.end)
    parts = [
        ("held", one.issued, min(over, max(now, one.issued))),
        ("overlap", over, one.end),
        ("left", max(now, one.issued), one.end if one.replaced is None else now),
    ]
    bars = [
        f'<rect class="{kind}" x="{scale.x(since)}" y="{y + 20}" height="12" '
        f'width="{max(0.0, round(scale.x(until) - scale.x(since), 1))}"/>'
        for kind, since, until in parts
        if until > since
    ]
    dates = f"{base.render_moment(one.issued)} to {base.render_moment(one.end)}"
    return [_text(_LEFT, y + 14, f"lease {one.lease_id}   {dates}"), *bars]


def _line(x: float, mark: story.Mark, rows: int) -> str:
    """A moment: a line through each lease, but not through its name."""
    kind = "now" if mark.what == "now" else "plan"
    tops = (_TOP + _ROW * row + 17 for row in range(rows))
    return "".join(f'<line class="{kind}" x1="{x}" x2="{x}" y1="{y}" y2="{y + 18}"/>' for y in tops)


def _labels(scale: _Scale, shown: Sequence[story.Mark], top: int) -> tuple[list[str], int]:
    """What the lines are, below them, and where the lowest is: none is written over another."""
    found, taken = list[str](), list[float]()  # taken: where each row of texts begins
    for mark in sorted(shown, key=lambda one: one.at, reverse=True):
        text, x = f"{mark.what} {_clock(mark.at)}", scale.x(mark.at)
        width = _LETTER * len(text)
        at_edge = x + width > _WIDTH
        begin, end = (x - width, x) if at_edge else (x, x + width)
        row = next((n for n, other in enumerate(taken) if end + _GAP <= other), len(taken))
        taken[row : row + 1] = [begin]
        found.append(_text(x, top + 16 * row, text, anchor="end" if at_edge else "start"))
    return found, top + 16 * max(0, len(taken) - 1)


def _clock(moment: datetime) -> str:
    return base.render_moment(moment)[11:]


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    shown = _escaped(text)
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{named}>{shown}</text>'


def _escaped(text: str) -> str:
    return saxutils.escape(exits.printable(text))
