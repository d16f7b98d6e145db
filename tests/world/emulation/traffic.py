"""What passed through: the request log and its counters, for tests that count calls."""

import collections
import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Final

LONGEST_LOG: Final = 20_000


@dataclasses.dataclass(slots=True)
class Entry:
    """One request; status 0 is an answer that was lost."""

    time: str
    method: str
    route: str
    path: str
    status: int = 0
    milliseconds: float = 0.0


class Traffic:
    """The log, the counts, and how many requests were inside at once."""

    def __init__(self) -> None:
        self.log: collections.deque[Entry] = collections.deque(maxlen=LONGEST_LOG)
        self.by_route: collections.Counter[str] = collections.Counter()
        self.by_status: collections.Counter[str] = collections.Counter()
        self.in_flight = 0
        self.peak_in_flight = 0

    @contextlib.contextmanager
    def passing(self, entry: Entry) -> Iterator[None]:
        """A request is inside while the block lasts, which writes its status down."""
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        started = time.monotonic()
        try:
            yield
        finally:
            self.in_flight -= 1
            entry.milliseconds = (time.monotonic() - started) * 1000
            self.log.append(entry)
            self.by_route[entry.route] += 1
            self.by_status[str(entry.status)] += 1

    def reset(self) -> None:
        self.log.clear()
        self.by_route.clear()
        self.by_status.clear()
        self.peak_in_flight = self.in_flight

    def counters(self) -> dict[str, object]:
        return {
            "byRoute": dict(self.by_route),
            "byStatus": dict(self.by_status),
            "inFlight": self.in_flight,
            "peakInFlight": self.peak_in_flight,
        }
