"""A circuit breaker: whoever doesn't answer is asked seldom until it answers again.

After some failures in a row the circuit opens: requests aren't sent any more, but told when the
next one makes sense. Now and then one is let through as a trial. Its answer closes the circuit;
the longer the outage, the longer the pauses. Nobody sleeps here; moments are those of a clock
that never jumps.

A pause is never the reason why a lease is lost: who says how long its lease still lives waits
for a fifth of that at most, as the back-off of retries does. One trial a second is the most that
this comes to, however many leases are near their end.
"""

import random
from collections.abc import Callable
from typing import Final

OPEN_AFTER: Final = 5
"""Failures in a row that open the circuit."""
FIRST: Final = 1.0
"""The first pause, and the shortest, in seconds."""
SHARE: Final = 0.25
"""A pause is this share of the outage so far: a short one costs little more than it took."""
LONGEST: Final = 30.0
"""The longest pause: what an outage costs beyond its end, where nothing is urgent."""
TRIES: Final = 5
"""So many trials fit into what is left of a lease's life."""


class Circuit:
    """Closed, open, or open with a trial under way."""

    def __init__(
        self,
        now: Callable[[], float],
        changed: Callable[[bool], None] = lambda _: None,
        *,
        longest: float = LONGEST,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """A closed circuit.

        Args:
            now: seconds that never jump.
            changed: told True when the circuit opens, False when it closes.
            longest: the longest pause, in seconds.
            spread: a number from 0 to 1, so that many processes don't try in step.
        """
        self._now = now
        self._changed = changed
        self._longest = longest
        self._spread = spread
        self._failures = 0
        self._pause = 0.0
        self._since = 0.0
        self._opened = 0.0
        self._count = 0
        self._trials: set[int] = set()

    @property
    def is_open(self) -> bool:
        """Whether requests are held back."""
        return self._pause > 0

    @property
    def is_troubled(self) -> bool:
        """Whether the last request got no usable answer."""
        return self.is_open or self._failures > 0

    def wait(self, left: float | None = None) -> float:
        """Seconds until a request may be sent; 0 for at once.

        Args:
            left: seconds that the lease which the request keeps alive still lives; None where
                nothing is lost by waiting.
        """
        if not self.is_open:
            return 0.0
        pause = self._longest if self._trials else self._pause
        if left is not None:
            pause = min(pause, max(FIRST, left / TRIES))
        return max(0.0, self._since + pause - self._now())

    def begin(self) -> int:
        """A request is sent now; returns the number to report its end with."""
        self._count += 1
        if self.is_open:
            self._trials.add(self._count)
            self._since = self._now()
        return self._count

    def answered(self) -> None:
        """There was an answer, whatever it says: who answers isn't down."""
        was_open = self.is_open
        self._failures, self._pause = 0, 0.0
        self._trials.clear()
        if was_open:
            self._changed(False)

    def failed(self, number: int) -> None:
        """Request ``number`` got no usable answer.

        One that was sent before the circuit opened tells nothing new.
        """
        if not self.is_open:
            self._failures += 1
            if self._failures >= OPEN_AFTER:
                self._opened = self._now()
                self._trip(FIRST)
                self._changed(True)
        elif number in self._trials:
            self._trials.discard(number)
            self._trip(min(max(FIRST, SHARE * (self._now() - self._opened)), self._longest))

    def ended(self, number: int) -> None:
        """Request ``number`` is over; a trial that was never sent makes room for the next."""
        self._trials.discard(number)

    def _trip(self, pause: float) -> None:
        self._pause = pause * (1 - 0.25 * self._spread())
        self._since = self._now()
