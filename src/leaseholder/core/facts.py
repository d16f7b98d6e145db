"""Facts: each question about an observation is answered once in a decision.

Flows in: a question, which is a function of a view, and what it is about. Flows out: the answer;
for a second time it comes from the view's own memory. ``lease_facts``, ``secret_facts``, ``view``
and the modules of rules mark their questions with ``fact``; ``View.for_decision`` begins a
decision.
"""

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
