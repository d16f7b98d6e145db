"""Facts: questions about an observation that are answered once in a decision."""

import functools
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

from leaseholder.core.observation import Observation

Args = TypeVarTuple("Args")
Seen = TypeVar("Seen", bound=Observation)
Answer = TypeVar("Answer")


def fact(
    ask: Callable[[Seen, Unpack[Args]], Answer],
) -> Callable[[Seen, Unpack[Args]], Answer]:
    """A question about a view that is answered once in a decision, however many rules ask it."""

    @functools.wraps(ask)
    def once(view: Seen, *args: *Args) -> Answer:
        known = view._facts
        if known is None:
            return ask(view, *args)
        key = ask, *map(id, args)
        if key not in known:
            known[key] = args, ask(view, *args)  # who holds the objects keeps their ids
        answer: Answer = known[key][1]
        return answer

    return once
