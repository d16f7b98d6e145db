"""``explain``: the entries of docs/reasons.md on the terminal."""

import difflib

from leaseholder.api import reasons
from leaseholder.api.conditions import Reason
from leaseholder.cli import exits, tables, views
from leaseholder.cli.exits import Failed


def show(word: str | None) -> None:
    """Print what a reason means and what to do; without one, all of them.

    Raises:
        Failed: there is no such reason.
    """
    if word is None:
        rows = [
            (reason.value, views.unmarked(entry.meaning))
            for section in reasons.SECTIONS.values()
            for reason, entry in section.items()
        ]
        tables.table(("REASON", "MESSAGE"), rows)
        return
    known = {reason.lower(): reason for reason in Reason}
    reason = known.get(word.lower())
    if reason is None:
        near = difflib.get_close_matches(word.lower(), known, n=1)
        hint = f"do you mean {known[near[0]]}?" if near else "explain without a reason has them all"
        raise Failed(f"there is no reason {exits.printable(word)}: {hint}")
    entry = reasons.entry(reason)
    example = [("For example", entry.example)] if entry.example else []
    tables.details(
        [
            ("Reason", reason.value),
            ("Means", views.unmarked(entry.meaning)),
            ("Do", views.unmarked(entry.remedy)),
            *example,
        ]
    )
