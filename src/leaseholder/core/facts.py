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
        answers = view._facts
        if answers is None:
            return ask(
                view, *args
            )  # no decision is made: memory may change until the next question
        key = ask, *map(id, args)
        if key not in answers:
            # With the answer its arguments are kept, so that no other object gets one of these ids.
            answers[key] = args, ask(view, *args)
        answer: Answer = answers[key][1]
        return answer

    return once
