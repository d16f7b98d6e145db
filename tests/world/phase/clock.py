"""The emulator's time, and how the server writes moments and lengths."""

import datetime

from tests.world.emulation import clock as clocks


class Clock(clocks.Clock):
    """Now, as this server sees it."""

    def now(self) -> datetime.datetime:
        return self.moment()


def iso(moment: datetime.datetime) -> str:
    """ISO 8601 with microseconds, which vanish when they are none, and a Z."""
    return moment.isoformat().removesuffix("+00:00") + "Z"


def maybe_iso(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else iso(moment)


def length(lasting: datetime.timedelta) -> str:
    """``[D ]HH:MM:SS[.ffffff]``, as the server writes durations."""
    seconds = lasting.seconds
    days = f"{lasting.days} " if lasting.days else ""
    part = f".{lasting.microseconds:06d}" if lasting.microseconds else ""
    return f"{days}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{part}"
