"""Moments and lengths as providers send them, kept where they can be reckoned with.

A server that is broken, or isn't the provider at all, may state the year 9999 or a lifetime of
10^400 seconds. Such a figure is well formed; sums with it aren't. So it is moved to the nearest
one that a lease can have, which says the same: over long ago, or not for a long time.
"""

from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime

from leaseholder.api import base

CENTURY: Final = timedelta(days=36_525)


def _within_a_century(length: timedelta) -> timedelta:
    return min(max(length, -CENTURY), CENTURY)


def _seconds_within_a_century(seconds: int) -> int:
    most = int(CENTURY.total_seconds())
    return min(max(seconds, -most), most)


Moment = Annotated[AwareDatetime, AfterValidator(base.sensible)]
"""A moment with its time zone."""
Length = Annotated[timedelta, AfterValidator(_within_a_century)]
"""A length of time."""
Seconds = Annotated[int, AfterValidator(_seconds_within_a_century)]
"""A length of time in whole seconds."""
