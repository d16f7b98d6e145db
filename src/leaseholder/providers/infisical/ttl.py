"""Lengths of time in Infisical's words: read in all of them, written in one.

The server reads and stores the grammar of npm ``ms``: one number, perhaps spaces, perhaps a
unit; without a unit it means milliseconds. It lets strings pass that it can't parse, and fails
after it has made a credential, so what we send is always ``<int>s``.
"""

import re
from decimal import Decimal
from typing import Final

_MAX_LENGTH: Final = 100
_GRAMMAR: Final = re.compile(
    r"(?P<number>-?(?:[0-9]+)?\.?[0-9]+) *"
    r"(?P<unit>milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h"
    r"|days?|d|weeks?|w|months?|mo|years?|yrs?|y)?",
    re.IGNORECASE,
)
_SECOND: Final = Decimal(1000)
_DAY: Final = 86_400 * _SECOND
_YEAR: Final = _DAY * 1461 / 4
_BY_LETTERS: Final = (
    ("mo", _YEAR / 12),
    ("ms", Decimal(1)),
    ("mil", Decimal(1)),
    ("s", _SECOND),
    ("m", 60 * _SECOND),
    ("h", 3_600 * _SECOND),
    ("d", _DAY),
    ("w", 7 * _DAY),
    ("y", _YEAR),
)


def parse(text: str) -> int | None:
    """Whole seconds of a length such as ``1h``, ``2 days``, ``1.5h`` or ``3600000``.

    Returns:
        Seconds, rounded towards zero; None where ``text`` says nothing that the server can read.
    """
    if not 0 < len(text) <= _MAX_LENGTH:
        return None
    found = _GRAMMAR.fullmatch(text)
    if found is None:
        return None
    return int(Decimal(found["number"]) * _milliseconds(found["unit"] or "ms") / _SECOND)


def render(seconds: int) -> str:
    """``seconds`` in the one form that the server can't misread."""
    return f"{int(seconds)}s"


def _milliseconds(unit: str) -> Decimal:
    lowered = unit.lower()
    return next(length for start, length in _BY_LETTERS if lowered.startswith(start))
