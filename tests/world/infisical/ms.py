"""Durations as the server reads them: the grammar of npm's ``ms``, quirks included.

One number, maybe a unit, no unit meaning milliseconds. A string that doesn't parse isn't an
error here: it becomes NaN, and since NaN is neither under the minimum nor over the maximum, it
passes validation and blows up much later, in the provider.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

from tests.world.infisical import errors

NOT_A_NUMBER: Final = math.nan
LONGEST_TEXT: Final = 100
SECOND: Final = 1000.0
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
YEAR: Final = 365.25 * DAY
TEN_YEARS: Final = 10 * YEAR

UNITS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 1.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), SECOND),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), MINUTE),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), HOUR),
    **dict.fromkeys(("d", "day", "days"), DAY),
    **dict.fromkeys(("w", "week", "weeks"), WEEK),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), YEAR),
}
GRAMMAR: Final = re.compile(r"(-?[0-9]*\.?[0-9]+) *([a-z]+)?", re.IGNORECASE | re.ASCII)

TOO_SHORT: Final = "TTL must be a greater than 1min"
TOO_LONG: Final = "TTL must be less than 10 years"


def parse(text: str) -> float:
    """Milliseconds, or NaN for what doesn't parse; empty or overlong text is a 400."""
    if not 0 < len(text) <= LONGEST_TEXT:
        raise errors.bad_request(f"Invalid date format string: {text}")
    match = GRAMMAR.fullmatch(text)
    if match is None:
        return NOT_A_NUMBER
    factor = UNITS.get((match[2] or "ms").lower())
    return NOT_A_NUMBER if factor is None else float(match[1]) * factor


def complaints(text: str | None, *, minimum_ms: float) -> list[str]:
    """What the server's validation has to say about a ttl: nothing, mostly."""
    if not text:
        return []
    value = parse(text)
    found = [TOO_SHORT] if value < minimum_ms else []
    return [*found, TOO_LONG] if value > TEN_YEARS else found
