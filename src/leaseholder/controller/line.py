"""Who is next: by due time and urgency, and no namespace takes everything.

Flows in: keys that are due, and who is done. Flows out: the key that is taken next, for ``runner``.
DynamicLeases stand in one line, providers in another; ``core.queue`` orders them.

Whoever is taken is *under way* until it is done, and has a *turn*: it may ask the API server and
take the processor's time. Few have one at once. Who waits for a provider lends its turn meanwhile
and lines up for another one afterwards, as urgent as before; thousands may be under way.

A tenant may have a provider that never answers, and any number of leases there. So a namespace
gets three quarters of what others leave, at most, of turns as of places under way, and always one
if one is free; who is due beyond that is parked, and the others go first.
"""

import collections
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from leaseholder.core.queue import DueQueue

K = TypeVar("K", bound=Hashable)
Place = Literal["Ahead", "AsBefore", "Anew"]
"""Where somebody stands who comes back: ahead of those who only begin; as urgent as when it was
taken, or as it is now, if that is more; as it is now."""


@dataclass(slots=True)
class _Shares:
    """How much of something each namespace has."""

    most: int
    taken: collections.Counter[str] = field(default_factory=collections.Counter)

    @property
    def is_full(self) -> bool:
        return self.taken.total() >= self.most

    def has_room(self, namespace: str) -> bool:
        own = self.taken[namespace]
        others = self.taken.total() - own
        return own == 0 or own < (self.most - others) * 3 // 4

    def take(self, namespace: str) -> None:
        self.taken[namespace] += 1

    def give(self, namespace: str) -> None:
        self.taken[namespace] -= 1
        if not self.taken[namespace]:
            del self.taken[namespace]


@dataclass(slots=True)
class Line(Generic[K]):
    """The keys that are due some time, and those that are under way; moments are monotonic."""

    turns: int
    namespace: Callable[[K], str]
    urgency: Callable[[K, float], float | None] = lambda key, due: None
    """By when something is lost that is due then; None: nothing is."""
    most: int = 0
    """So many are under way at once; 0: as many as have turns."""
    _queue: DueQueue[K] = field(default_factory=DueQueue)
    _parked: dict[tuple[str, bool], DueQueue[K]] = field(default_factory=dict)
    """Due, but their namespace has as much as it may: by namespace, and whether they come back."""
    _turns: _Shares = field(init=False)
    _ways: _Shares = field(init=False)
    _since: dict[K, float] = field(default_factory=dict)
    """Those under way, and since when they were due."""
    _begun: dict[K, float] = field(default_factory=dict)
    """Those under way, and by when they had to be taken. Nobody comes back less urgent: else a
    command would be begun first, and wait then until all others are begun."""
    _lent: set[K] = field(default_factory=set)
    """Under way without a turn, those in the queue among them."""
    _ahead: set[K] = field(default_factory=set)
    """Of those in the queue: whoever has little left to do."""
    _again: dict[K, float] = field(default_factory=dict)
    """Due again at that moment, but under way."""

    def __post_init__(self) -> None:
        self._turns = _Shares(self.turns)
        self._ways = _Shares(self.most or self.turns)

    @property
    def is_full(self) -> bool:
        """Whether no turn is free."""
        return self._turns.is_full

    @property
    def under_way(self) -> int:
        """How many keys were taken and aren't done."""
        return len(self._since)

    def offer(self, key: K, at: float) -> None:
        """Look at it then, or earlier where that was said before."""
        if key in self._since:
            self._again[key] = min(at, self._again.get(key, at))
            self._hurry(key)
            return
        # Whoever is parked stands there alone: in two places it would be taken twice at once.
        parked = self._parked.get((self.namespace(key), False))
        queue = parked if parked is not None and key in parked else self._queue
        queue.offer(key, at, by=self.urgency(key, at))

    def _hurry(self, key: K) -> None:
        """Who waits for another turn may be more urgent by now: its Secret went meanwhile.

        With 10,000 inspections overdue one came back after 110 s.
        """
        since = self._since[key]
        for queue in (self._queue, self._parked.get((self.namespace(key), True))):
            if queue is not None and key in queue:
                queue.offer(key, since, by=self._by(key, since))

    def next_due(self) -> float | None:
        """When the next one is due that isn't parked."""
        return self._queue.next_due()

    def waiting(self, now: float) -> int:
        """How many are due and wait for a worker."""
        return self._queue.due(now) + sum(len(parked) for parked in self._parked.values())

    def take(self, now: float) -> tuple[K, float] | None:
        """Who gets a turn now, and since when it has been due; None: nobody."""
        while not self.is_full and (queue := self._most_urgent(now)) is not None:
            by, due = queue.urgency(now), queue.pop(now)
            assert by is not None  # noqa: S101 - the queue was chosen by it
            assert due is not None  # noqa: S101 - whose urgency that is
            key, since = due
            namespace, back = self.namespace(key), key in self._since
            if queue is not self._queue and not len(queue):
                del self._parked[namespace, back]
            if not self._has_room(namespace, back=back):
                self._park(key, since, back=back)
                continue
            self._turns.take(namespace)
            if not back:
                self._ways.take(namespace)
                self._since[key], self._begun[key] = since, by
            self._lent.discard(key)
            self._ahead.discard(key)
            return key, since
        return None

    def lend(self, key: K) -> None:
        """Its turn, if it has one, is free for others; it stays under way."""
        if key not in self._lent:
            self._lent.add(key)
            self._turns.give(self.namespace(key))

    def is_lent(self, key: K) -> bool:
        """Whether it is under way without a turn."""
        return key in self._lent

    def back(self, key: K, place: Place = "AsBefore") -> None:
        """It wants a turn again: ``take`` gives it one."""
        if place == "Ahead":
            self._ahead.add(key)
        elif place == "Anew":
            self._begun.pop(key, None)
        since = self._since[key]
        self._queue.offer(key, since, by=self._by(key, since))

    def done(self, key: K, again: float) -> None:
        """It is no longer under way; due ``again`` at the earliest if that was said meanwhile."""
        namespace = self.namespace(key)
        del self._since[key]
        self._begun.pop(key, None)
        self._ways.give(namespace)
        if key in self._lent:
            self._lent.discard(key)
            self._withdraw(key)
        else:
            self._turns.give(namespace)
        if (at := self._again.pop(key, None)) is not None:
            self.offer(key, max(at, again))

    def _withdraw(self, key: K) -> None:
        """Whoever came back for a turn and was cancelled meanwhile wants none any more."""
        self._ahead.discard(key)
        self._queue.forget(key)
        place = self.namespace(key), True
        if (parked := self._parked.get(place)) is not None:
            parked.forget(key)
            if not len(parked):
                del self._parked[place]

    def _has_room(self, namespace: str, *, back: bool) -> bool:
        room = self._turns.has_room(namespace)
        return room and (back or self._ways.has_room(namespace))

    def _park(self, key: K, since: float, *, back: bool) -> None:
        parked = self._parked.setdefault((self.namespace(key), back), DueQueue())
        parked.offer(key, since, by=self._by(key, since))

    def _by(self, key: K, since: float) -> float | None:
        if key in self._ahead:
            return since
        now, begun = self.urgency(key, since), self._begun.get(key)
        return min((by for by in (now, begun) if by is not None), default=None)

    def _most_urgent(self, now: float) -> DueQueue[K] | None:
        """Where the most urgent key stands that may have a turn: queued, or parked with room.

        Whoever is parked mustn't wait until the queue is empty: leases end meanwhile.
        """
        ranked = [
            (by, self._turns.taken[name], number, queue)
            for number, (name, queue) in enumerate([("", self._queue), *self._with_room()])
            if (by := queue.urgency(now)) is not None
        ]
        return min(ranked, key=lambda one: one[:3])[3] if ranked else None

    def _with_room(self) -> list[tuple[str, DueQueue[K]]]:
        parked = self._parked.items()
        return [(name, q) for (name, back), q in parked if self._has_room(name, back=back)]
