"""What passed through: the request log and its counters, for tests that count calls."""

import collections
import dataclasses
from typing import Final

LONGEST_LOG: Final = 20_000


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One answered request."""

    time: str
    method: str
    route: str
    path: str
    status: int
    milliseconds: float


class Traffic:
    """The log, the counts, and how many requests were inside at once."""

    def __init__(self) -> None:
        self.log: collections.deque[Entry] = collections.deque(maxlen=LONGEST_LOG)
        self.by_route: collections.Counter[str] = collections.Counter()
        self.by_status: collections.Counter[str] = collections.Counter()
        self.in_flight = 0
        self.peak_in_flight = 0

    def entered(self) -> None:
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def left(self, entry: Entry) -> None:
        self.in_flight -= 1
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
