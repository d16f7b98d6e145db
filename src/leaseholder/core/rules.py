"""The decision: from one observation to the one thing to do next.

Flows in: a view of one name. Flows out: the step of the first rule that finds something to do, or
the earliest moment at which one may. ``RULES`` reads top to bottom; each rule has an id, which the
log says, and the history that it closes. What it looks at is in ``wanted``, ``replaced``,
``going``, ``revocations``, ``rollout`` and ``handover``; ``controller.perform`` does the step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from leaseholder.api.lease import DynamicLease
from leaseholder.core import going, handover, replaced, revocations, rollout, wanted
from leaseholder.core.actions import Action, Found, Idle, Later
from leaseholder.core.view import View

Case = Literal["wanted", "going", "gone", "elsewhere"]
NOTHING: Final = "nothing-to-do"
"""What is said instead of a rule where none finds anything."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    id: str
    find: Callable[[View], Found]
    why: str
    """The history that it closes, in a sentence."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The one thing to do next, and the rule that says so."""

    rule: str
    step: Action


def _of_dl(find: Callable[[View, DynamicLease], Found]) -> Callable[[View], Found]:
    """A rule about a DynamicLease that stands."""
    return lambda view: find(view, view.dl) if view.dl is not None else None


_UNCLEAR: Final = Rule(
    "unclear-attempt-claimed",
    wanted.unclear,
    "An Attempt whose answer is lost is claimed before anything else is issued, or whoever wrote "
    "it completes it beside the next lease.",
)
_PENDING: Final = Rule(
    "pending-revocation-tried",
    revocations.pending,
    "What is to be revoked is searched for, revoked and confirmed, however often that fails.",
)
_SECRETS_FIRST: Final = Rule(
    "secrets-deleted",
    going.delete_secrets,
    "The Secrets go before their leases, or pods start with credentials that are dead.",
)
_LEASES: Final = Rule(
    "leases-to-be-revoked",
    going.revoke,
    "Each lease of a DynamicLease that goes is put on record as to be revoked, or it lives on.",
)
_DISCARD: Final = Rule(
    "record-deleted",
    going.discard,
    "A record without leases goes with its DynamicLease, or records of what is gone pile up.",
)

RULES: Final[Mapping[Case, tuple[Rule, ...]]] = {
    "wanted": (
        Rule(
            "drained",
            wanted.drains,
            "While the installation is drained nothing is done for what isn't deleted yet, or a "
            "lease is issued that nobody is left to hold.",
        ),
        Rule(
            "finalizer-put-on",
            _of_dl(wanted.protect),
            "The finalizer is on before a lease is asked for, or a deletion goes by unseen.",
        ),
        _UNCLEAR,
        Rule(
            "held-again",
            revocations.held_again,
            "A lease that the Secret shows after all is held again: it was delivered before the "
            "fence.",
        ),
        Rule(
            "taken-over",
            _of_dl(wanted.take_over),
            "What the Secret proves goes on for a DynamicLease that was made again under its name; "
            "a restore costs no lease.",
        ),
        Rule(
            "renewed-before-delivery",
            _of_dl(wanted.renew_before_delivery),
            "A Secret that is refused again and again doesn't cost the lease that waits for it.",
        ),
        Rule(
            "delivered",
            _of_dl(wanted.deliver),
            "What was issued is delivered first of all: its credentials are in memory only.",
        ),
        Rule(
            "replaced-or-undelivered",
            _of_dl(replaced.rank),
            "A Held lease that no Secret shows was replaced and gets its overlap, or never got "
            "there and is revoked; else nobody would end it.",
        ),
        Rule(
            "room-made",
            _of_dl(replaced.make_room),
            "At the limit, without credentials that live, the oldest replaced lease goes before "
            "its time; else a workload waits for as long as a provider refuses revocations.",
        ),
        Rule(
            "over-let-go",
            _of_dl(replaced.let_go),
            "A full record lets go of a lease that is long over, though nobody confirmed its end; "
            "else a provider that confirms none leaves a workload without credentials.",
        ),
        Rule(
            "failure-reported",
            _of_dl(wanted.report_failure),
            "A failure is in status, with its back-off, before the next try; else it is tried "
            "without end, and nobody knows why.",
        ),
        Rule(
            "ready-taken-back",
            _of_dl(wanted.retract),
            "Ready goes False before dead credentials are renewed or replaced, or it says True for "
            "as long as the provider takes.",
        ),
        Rule(
            "inspected-first",
            wanted.inspect_first,
            "A lease that this process knows from a Secret alone is inspected before Ready: it may "
            "have ended while nobody looked.",
        ),
        Rule(
            "renewed-first",
            _of_dl(wanted.renew_first),
            "A due renewal comes before a replacement, so that the lease outlives one that fails.",
        ),
        Rule(
            "slot-vacated",
            _of_dl(wanted.vacate),
            "A shared account has room for one lease: the others are gone before the next is "
            "issued, or the revocation of an old one ends the new one.",
        ),
        Rule(
            "issued",
            _of_dl(wanted.issue),
            "A lease is issued for a need, and for one need once.",
        ),
        Rule(
            "renewed-second",
            _of_dl(wanted.renew_second),
            "After an odd number of failures the replacement goes first: neither keeps the other "
            "from its turn.",
        ),
        Rule(
            "former-secret-deleted",
            _of_dl(wanted.delete_former),
            "The Secret under a former name goes once the new one is there, or credentials stay "
            "where nobody looks after them.",
        ),
        Rule(
            "secret-repaired",
            _of_dl(wanted.repair),
            "Labels, notes, foreign keys and a changed template cost a write of the Secret, never "
            "a lease.",
        ),
        Rule(
            "workload-restarted",
            _of_dl(rollout.restart),
            "A workload is restarted for the lease that its Secret shows, or its pods run on into "
            "the end of the replaced one.",
        ),
        Rule(
            "rollout-complete",
            _of_dl(rollout.settle),
            "That all workloads have moved is on record, so that the replaced lease may go, also "
            "after a restart of ours.",
        ),
        Rule(
            "replaced-renewed",
            _of_dl(rollout.sustain),
            "A replaced lease that pods may still use is renewed, as long as a rollout fails.",
        ),
        Rule(
            "inspected",
            wanted.inspect,
            "A lease that somebody ended behind our back is noticed within the probe's interval.",
        ),
        Rule(
            "reported",
            _of_dl(wanted.report),
            "Status says what is, before a pending revocation that may take long is tried.",
        ),
        _PENDING,
    ),
    "going": (
        Rule(
            "released-wedged",
            _of_dl(going.release_wedged),
            "A Secret that we may not delete any more doesn't keep a namespace for ever.",
        ),
        Rule(
            "orphaned",
            _of_dl(going.orphan),
            "With deletion.policy Orphan lease and Secret stay, and an event says until when.",
        ),
        _UNCLEAR,
        _SECRETS_FIRST,
        _LEASES,
        _PENDING,
        _DISCARD,
        Rule(
            "attempts-reported",
            _of_dl(going.report_attempts),
            "A revocation that didn't succeed at once is in status; no deletion hangs in silence.",
        ),
        Rule(
            "released",
            _of_dl(going.release),
            "The finalizer goes when nothing is pending or deletion.timeout is over; what is left "
            "stays on record.",
        ),
        Rule(
            "ready-of-before-taken-back",
            _of_dl(going.retract),
            "While a deletion waits Ready isn't True of credentials that are gone.",
        ),
    ),
    "gone": (_UNCLEAR, _SECRETS_FIRST, _LEASES, _PENDING, _DISCARD),
    "elsewhere": (
        Rule(
            "handed-over-held",
            handover.hold,
            "The answer to an issue goes on record before another shard takes over: it is known "
            "here alone.",
        ),
        Rule(
            "handed-over-claimed",
            handover.claim,
            "An attempt that nobody works on is claimed by who wrote it, or the other shard waits "
            "for its deadline.",
        ),
        Rule(
            "handed-over-discarded",
            handover.discard,
            "A record that the last deletion here emptied goes, also where the name is another "
            "shard's by now.",
        ),
        Rule(
            "handed-over-delivered",
            _of_dl(handover.deliver),
            "Credentials that are in memory here are delivered here, or the lease is in vain.",
        ),
    ),
}


def decide(view: View) -> Decision:
    """What to do next for one DynamicLease; pure, so every rule can be explored by machine."""
    seen, wake = view.for_decision(), None
    for rule in RULES[_case(seen)]:
        found = rule.find(seen)
        if isinstance(found, Later):
            wake = found.at if wake is None else min(wake, found.at)
        elif found is not None:
            return Decision(rule.id, found)
    return Decision(NOTHING, Idle(wake))


def _case(view: View) -> Case:
    if view.elsewhere:
        return "elsewhere"
    if view.dl is None:
        return "gone"
    return "going" if view.dl.deleting else "wanted"
