"""May a request go to a provider now, and if not, when: circuit, budget and turns as one question.

In comes a ``requests.Request``; out comes a turn, within which ``client`` sends it, or an error
that says after how many seconds the next try makes sense. Nobody sleeps here but in a turn: the
controller's queue does the waiting. Requests are told at once what they would be told after
waiting for a turn.

- ``leaseholder.circuit`` holds requests back while a provider is down.
- ``Pace`` knows the administrator's budget and what answers teach of the server's. Reads and writes
  are paced apart, as the server counts them apart. A part is kept for those who keep leases alive:
  issues, and even more so revocations and looks at the provider, stop while there is still room
  for renewals.
- ``Turns`` bounds how many requests are under way. What keeps held leases alive comes before all
  else, by the time that is left to them; then new leases, then what is to be revoked, then looks at
  the provider itself. A lease past its known end waits after those that live: it can't be lost any
  more.

- All LeaseProviders of one namespace share turns beside their own. Each request under way holds an
  open file, and the process may have 1,024 of those: a tenant whose thousand servers don't answer
  would take the connections of all others.

Lists that a server may need minutes for stand apart: they have turns of their own, so that nothing
which needs no list waits for one, and what becomes of them opens no circuit. While it is open they
wait as all do, and aren't the trial: its answer would come too late.
"""

import asyncio
import contextlib
import heapq
import itertools
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Final

from leaseholder import circuit, errors, server_clock
from leaseholder.api import provider
from leaseholder.api.conditions import Reason
from leaseholder.ports.clock import Clock
from leaseholder.providers.kit import failures
from leaseholder.providers.kit.requests import Category, Rank, Request

NAMESPACE: Final = 128
"""Requests at once to all LeaseProviders of one namespace (fault N7)."""
LISTS: Final = 2
"""Long lists of one provider at once."""
_LOGIN_LEFT: Final = 10.0
"""A login is as urgent as this: it may be for any lease, also for one with seconds to live."""
LONGEST: Final = 120.0
"""No wait is longer: old servers state Retry-After in milliseconds."""
LEAST: Final = 1.0
"""No wait is shorter: OpenBao cuts what is left to whole seconds, and says 0."""
UNSTATED: Final = 10.0
"""The wait after a 429 that doesn't say how long."""
_WINDOW: Final = 60.0
_SHARE: Final = {
    Rank.LOGIN: 1.0,
    Rank.KEEP: 1.0,
    Rank.ISSUE: 0.75,
    Rank.REVOCATION: 0.5,
    Rank.CHECK: 0.5,
}
"""How much of a budget may be used up for each rank; one request is always granted."""
_IN_MESSAGE: Final = re.compile(r"(?:try again|available) in ([0-9]{1,9}) ?s", re.IGNORECASE)


class Gate:
    """Lets requests to one provider go."""

    def __init__(
        self,
        clock: Clock,
        limits: provider.Limits,
        now: Callable[[], datetime],
        changed: Callable[[bool], None],
        shared: "Turns | None" = None,
    ) -> None:
        """Nothing is under way.

        Args:
            clock: this machine's.
            limits: how hard the provider may be driven.
            now: the provider's clock.
            changed: told True when the circuit opens, False when it closes.
            shared: turns that other providers take, too; None: there are none.
        """
        self._now = now
        self._circuit = circuit.Circuit(clock.monotonic, changed)
        self._trouble: errors.Unavailable | None = None
        self.pace = Pace(clock, limits.requests_per_minute, now)
        self._turns = Turns(limits.concurrency, shared)
        # P2: lists that took a minute opened the circuit, and a deletion waited behind them.
        self._lists = Turns(LISTS, shared)

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
        self._trouble = failures.again(trouble)
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
        """Hold a request back while the provider is down; an issue is never the trial."""
        wait = self._circuit.wait(self._left(request))
        if (request.issues or request.is_long) and self._circuit.is_open:
            wait = max(wait, circuit.FIRST)
        if wait > 0:
            known = self._trouble
            said = known.sentence if known is not None else "the provider doesn't answer"
            raise errors.Unavailable(
                known.reason if known is not None else Reason.UNAVAILABLE,
                f"{said}; it failed {circuit.OPEN_AFTER} times in a row or more, so requests are "
                "held back until a trial is answered",
                sent=False,
                retry_after=wait,
            )

    def _left(self, request: Request) -> float | None:
        """Seconds that the lease which a request keeps alive still lives."""
        if request.rank is Rank.LOGIN:
            return _LOGIN_LEFT
        if request.expires is None:
            return None
        left = (request.expires - self._now()).total_seconds()
        return left if left > 0 else None


class Pace:
    """Knows how long a request of a category has to wait."""

    def __init__(
        self,
        clock: Clock,
        per_minute: int | None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """Nothing was sent yet.

        Args:
            clock: this machine's.
            per_minute: the administrator's budget; None: there is none.
            now: the provider's clock; None: this machine's stands in.
        """
        self._clock = clock
        self._now = now or clock.wall
        self._per_minute = per_minute
        self._sent: deque[float] = deque()
        self._until: dict[Category, float] = {"read": 0.0, "write": 0.0}
        self._quota: dict[Category, tuple[float, float]] = {"read": (1.0, 0.0), "write": (1.0, 0.0)}
        """By category the share of the server's quota that is left, and when it is whole again."""

    def wait(self, category: Category, rank: Rank = Rank.KEEP) -> float:
        """Seconds until a request may be sent; 0 for at once."""
        now = self._clock.monotonic()
        left, renewed = self._quota[category]
        reserved = renewed if left <= 1 - _SHARE[rank] else 0.0
        until = max(self._until[category], reserved)
        return max(0.0, until - now, self._budget(now, _SHARE[rank]))

    def used(self) -> float | None:
        """The share of the budget that is used up, 0 to 1; None where no bound is known."""
        now = self._clock.monotonic()
        if any(until > now for until in self._until.values()):
            return 1.0
        shares = [1 - left for left, renewed in self._quota.values() if renewed > now]
        if self._per_minute is not None:
            self._budget(now, 1.0)  # lets go what was sent before this minute
            shares.append(len(self._sent) / self._per_minute)
        return min(1.0, max(shares)) if shares else None

    def sent(self) -> None:
        """Count a request that is sent now."""
        if self._per_minute is not None:
            self._sent.append(self._clock.monotonic())

    def learn(self, category: Category, headers: Mapping[str, str]) -> None:
        """Take note of what an answer says about the requests that are left."""
        remaining = _number(headers.get("x-ratelimit-remaining"))
        if remaining is None:
            return
        limit = _number(headers.get("x-ratelimit-limit")) or max(1.0, remaining)
        reset = min(_number(headers.get("x-ratelimit-reset")) or 0.0, LONGEST)
        self._quota[category] = remaining / limit, self._clock.monotonic() + reset

    def throttled(self, category: Category, headers: Mapping[str, str], message: str) -> float:
        """Take note of a 429.

        Returns:
            Seconds after which the next try makes sense.
        """
        stated = self._retry_after(headers)
        if stated is None:
            stated = _number(headers.get("x-ratelimit-reset"))
        in_message = _IN_MESSAGE.search(message)
        said = float(in_message[1]) if in_message else None
        if stated is None or (stated > LONGEST and said is not None):
            stated = said
        wait = UNSTATED if stated is None else min(max(stated, LEAST), LONGEST)
        self._hold(category, wait)
        return wait

    def _retry_after(self, headers: Mapping[str, str]) -> float | None:
        """Seconds that ``Retry-After`` says: their number, or a moment by the answer's ``Date``."""
        after = headers.get("retry-after")
        until = server_clock.moment(after) if _number(after) is None else None
        if until is None:
            return _number(after)
        return (until - (server_clock.moment(headers.get("date")) or self._now())).total_seconds()

    def _hold(self, category: Category, seconds: float) -> None:
        until = self._clock.monotonic() + min(seconds, LONGEST)
        self._until[category] = max(self._until[category], until)

    def _budget(self, now: float, share: float) -> float:
        while self._sent and self._sent[0] <= now - _WINDOW:
            self._sent.popleft()
        if self._per_minute is None:
            return 0.0
        over = len(self._sent) - max(1, int(self._per_minute * share))
        return self._sent[over] + _WINDOW - now if over >= 0 else 0.0


class Turns:
    """Bounds how many requests are under way; a semaphore whose queue has an order.

    Who needs a turn of others beside its own (``shared``) takes both at once, or neither: who held
    one while it waits for the other would let the most urgent wait behind itself.
    """

    def __init__(self, most: int, shared: "Turns | None" = None) -> None:
        """All turns are free.

        Args:
            most: how many there are.
            shared: turns of which one is taken with each; None: there are none.
        """
        self._free = most
        self._shared = shared
        self._waiting: list[_Waiting] = []

    @contextlib.asynccontextmanager
    async def turn(self, rank: Rank, left: float | None = None) -> AsyncIterator[None]:
        """Wait for a turn and hold it.

        Args:
            rank: what for.
            left: seconds that the lease which it keeps alive still lives; None: not known.
        """
        await self._take(rank, float("inf") if left is None else left)
        try:
            yield
        finally:
            self._give()

    async def _take(self, rank: Rank, left: float) -> None:
        if self._free and (self._shared is None or self._shared._free):
            self._begin()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = rank, left, next(_ARRIVALS), turn, self
        heapq.heappush(self._waiting, waiting)
        if self._shared is not None:
            heapq.heappush(self._shared._waiting, waiting)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn came at the same moment
                self._give()
            raise

    def _begin(self) -> None:
        self._free -= 1
        if self._shared is not None:
            self._shared._free -= 1

    def _give(self) -> None:
        self._free += 1
        if self._shared is None:
            self._call()
        else:
            self._shared._free += 1
            self._remind(self._shared)
            self._shared._call()

    def _remind(self, shared: "Turns") -> None:
        """Put the first of those who wait here in line there: it was passed over, maybe."""
        while self._waiting and self._waiting[0][3].done():
            heapq.heappop(self._waiting)
        if self._free and self._waiting:
            heapq.heappush(shared._waiting, self._waiting[0])

    def _call(self) -> None:
        """Give what is free to who waits for it; who has no turn of its own is passed over."""
        while self._free and self._waiting:
            *_, turn, own = heapq.heappop(self._waiting)
            if turn.done() or not own._free:
                continue
            own._begin()
            turn.set_result(None)
            if own is not self:
                own._remind(self)


_Waiting = tuple[Rank, float, int, asyncio.Future[None], Turns]
_ARRIVALS: Final = itertools.count()


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text.strip()):
        return None
    return float(text)
