"""The emulator's time: the machine's in microseconds, plus an offset that a test may move."""

import datetime
import email.utils


class Clock:
    """Now, as this server sees it."""

    def __init__(self) -> None:
        self.offset = datetime.timedelta()

    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC) + self.offset

    def http_date(self) -> str:
        return email.utils.format_datetime(self.now(), usegmt=True)


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
