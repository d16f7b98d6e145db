"""Kubernetes durations (GEP-2257): ``90s``, ``15m``, ``1h30m``.

Source: https://gateway-api.sigs.k8s.io/geps/gep-2257/. Seconds are whole everywhere in the
product (status stores whole seconds), so milliseconds round down.
"""

import functools
import re
from datetime import timedelta
from typing import Final

PATTERN: Final = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
SENTENCE: Final = "write a Kubernetes duration made of h, m and s, such as 90s, 15m or 1h30m"
MAX_LENGTH: Final = 32

_PART: Final = re.compile(r"([0-9]{1,5})(ms|h|m|s)")
_MILLISECONDS: Final = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


@functools.lru_cache(maxsize=256)  # each decision asks for those of its DynamicLease
def parse(text: str) -> timedelta:
    """The length of a duration such as ``1h30m``, in whole seconds.

    Raises:
        ValueError: ``text`` isn't a GEP-2257 duration; the message says what to write.
    """
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text!r} is no duration: {SENTENCE}")
    total = sum(int(n) * _MILLISECONDS[unit] for n, unit in _PART.findall(text))
    return timedelta(seconds=total // 1000)


def render(length: timedelta) -> str:
    """``length`` as the shortest duration that says the same: ``1h30m``, ``0s``."""
    seconds = int(length.total_seconds())
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{n}{unit}" for n, unit in parts if n) or "0s"
