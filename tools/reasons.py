"""The table of all reasons (docs/reasons.md), made of ``leaseholder.api.reasons``."""

from typing import Final

from leaseholder.api.reasons import SECTIONS

_INTRODUCTION: Final = """\
<!-- Generated from leaseholder.api.reasons by `make crds`. -->

# Reasons

Every reason that stands in a condition, an event, a metric or a LeaseRecord, with a sentence as you
may see it. [Operations](operations.md#conditions) says what the conditions mean. While `Stalled` is
True, somebody has to do what stands under "Do"; what is mended is noticed within a minute or two, without
a restart. What the API server refuses at `kubectl apply` stands beside the fields in the
[reference](reference.md).
"""


def rendered() -> str:
    """The table as Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(name) for name in SECTIONS)])


def _section(name: str) -> str:
    lines = [f"## {name}", "", "| Reason | Meaning | Do | For example |", "|---|---|---|---|"]
    for reason, entry in SECTIONS[name].items():
        cells = (f"`{reason}`", entry.meaning, entry.remedy, entry.example)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
