"""An emulator's time: the machine's, plus an offset that a test may move."""

import datetime
import email.utils


class Clock:
    """What every server's clock can do; each has a ``now`` in its own unit."""

    def __init__(self) -> None:
        self.offset = datetime.timedelta()

    def moment(self) -> datetime.datetime:
        """Now, as this server sees it."""
        return datetime.datetime.now(datetime.UTC) + self.offset

    def http_date(self) -> str:
        return email.utils.format_datetime(self.moment(), usegmt=True)
