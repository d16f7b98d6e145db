"""A clock that is turned by hand."""

from datetime import UTC, datetime, timedelta

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
"""When tests begin."""


class FakeClock:
    """Time stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.ahead = 0.0
        """Seconds that somebody set the wall clock ahead."""

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds - 1000.0 + self.ahead)

    def move(self, seconds: float) -> None:
        self.seconds += seconds
