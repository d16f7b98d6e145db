"""May a request go to a provider now, and if not, when: circuit, budget and turns as one question.

Requests are told at once what they would be told after waiting for a turn. Lists that a server may
need minutes for stand apart: they have turns of their own, so that nothing which needs no list
waits for one, and what becomes of them opens no circuit. While it is open they wait as all do, and
aren't the trial: its answer would come too late.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Final

from leaseholder import circuit, errors, ports
from leaseholder.api import provider
from leaseholder.api.conditions import Reason
from leaseholder.providers import failures, pace, turns
from leaseholder.providers.request import Request

LISTS: Final = 2
"""Long lists of one provider at once."""
_LOGIN_LEFT: Final = 10.0
"""A login is as urgent as this: it may be for any lease, also for one with seconds to live."""


class Admission:
    """Lets requests to one provider go."""

    def __init__(
        self,
        clock: ports.Clock,
        limits: provider.Limits,
        now: Callable[[], datetime],
        changed: Callable[[bool], None],
    ) -> None:
        """Nothing is under way.

        Args:
            clock: this machine's.
            limits: how hard the provider may be driven.
            now: the provider's clock.
            changed: told True when the circuit opens, False when it closes.
        """
        self._now = now
        self._circuit = circuit.Circuit(clock.monotonic, changed)
        self._trouble: errors.Unavailable | None = None
        self.pace = pace.Pace(clock, limits.requests_per_minute)
        self._turns = turns.Turns(limits.concurrency)
        self._lists = turns.Turns(LISTS)

    @property
    def is_open(self) -> bool:
        """Whether the circuit holds requests back."""
        return self._circuit.is_open

    @contextlib.asynccontextmanager
    async def turn(self, request: Request) -> AsyncIterator[int]:
        """Wait for a turn; within it the request is sent, under the number that is given.

        Raises:
            Unavailable: it is too late, or the provider is down; nothing was sent.
            Throttled: it is too early; nothing was sent.
        """
        self._check(request)  # rather than wait for a turn to be told the same
        waiting = self._lists if request.is_long else self._turns
        async with waiting.turn(request.rank, self._left(request)):
            self._check(request)
            self.pace.sent()
            number = self._circuit.begin()
            try:
                yield number
            finally:
                self._circuit.ended(number)

    def is_late(self, request: Request) -> bool:
        """Whether a request isn't to be sent any more."""
        return request.deadline is not None and self._now() >= request.deadline

    def answered(self) -> None:
        """A server that works gave an answer."""
        self._circuit.answered()

    def failed(
        self, request: Request, number: int, trouble: errors.Unavailable, *, sent: bool = True
    ) -> None:
        """A request got no usable answer; ``sent``: the server may have seen something of it."""
        if request.is_long and sent:
            return
        self._trouble = trouble
        self._circuit.failed(number)

    def _check(self, request: Request) -> None:
        if self.is_late(request):
            raise failures.too_late()
        self._heed_circuit(request)
        wait = self.pace.wait(request.category, request.rank)
        if wait > 0:
            sentence = f"the provider's rate limit leaves no room for another {wait:.0f} s"
            raise errors.Throttled(Reason.THROTTLED, sentence, retry_after=wait)

    def _heed_circuit(self, request: Request) -> None:
        """Hold a request back while the provider is down; a mint is never the trial."""
        wait = self._circuit.wait(self._left(request))
        if (request.mints or request.is_long) and self._circuit.is_open:
            wait = max(wait, circuit.FIRST)
        if wait > 0:
            known = self._trouble
            told = known.sentence if known is not None else "the provider doesn't answer"
            raise errors.Unavailable(
                known.reason if known is not None else Reason.UNAVAILABLE,
                f"{told}; it failed {circuit.OPEN_AFTER} times in a row or more, so requests are "
                "held back until a trial is answered",
                sent=False,
                retry_after=wait,
            )

    def _left(self, request: Request) -> float | None:
        """Seconds that the lease which a request keeps alive still lives."""
        if request.rank is turns.Rank.LOGIN:
            return _LOGIN_LEFT
        if request.expires is None:
            return None
        left = (request.expires - self._now()).total_seconds()
        return left if left > 0 else None
