"""The rules that DESIGN, section 3, marks with ``!``, one function each."""

import dataclasses
from collections.abc import Callable
from typing import Any

from leaseholder.api import base, lease, names, record
from leaseholder.api.conditions import Reason
from leaseholder.controller import acquire, deliver, entry, keys, observe, records, renew, revoke
from leaseholder.core import actions, drift, going, plan, replaced, slots
from leaseholder.core.observation import Supply
from leaseholder.core.view import View
from leaseholder.ports.secrets import SecretView
from tests.simulation.mutants import classic
from tests.simulation.mutants.registry import (
    LAGGING,
    ONE_SLOT,
    RULES,
    Patch,
    changed,
    moved_behind,
    swap,
    switched_off,
    without,
)
from tests.unit.controller import wire


@switched_off(
    "each PATCH and DELETE of a record carries uid and resourceVersion",
    "the ledger takes stale writes",
    story="unclear",
)
def records_unguarded() -> list[Patch]:
    guarded = wire.same

    def same(known: base.CustomResource | None, read: base.CustomResource) -> None:
        if not isinstance(read, record.LeaseRecord):
            guarded(known, read)

    return [swap(wire, "same", same)]


# -- acquire


@switched_off(
    "a record is known as our own last write left it; a conflict reads it anew",
    "what was known before is written again",
    story="rotation",
)
def conflict_not_read() -> list[Patch]:
    async def reread(self: records.Records, subject: record.Subject) -> record.LeaseRecord | None:
        return self.known(subject)

    return [swap(records.Records, "reread", reread)]


@switched_off(
    "a Secret or status that names a lease that isn't known: the record is read",
    "it isn't",
    covered="the record is read before a delivery, and each write is a compare-and-swap",
)
def sign_not_heeded() -> list[Patch]:
    return [swap(observe, "_sign_of_others", lambda view, page: "")]


@switched_off(
    "the rule above, and the record is read before a delivery",
    "neither",
    story="creation",
)
def sign_not_heeded_and_delivered_unseen() -> list[Patch]:
    return [*sign_not_heeded(), *classic.delivered_unseen()]


@switched_off(
    "Secrets that were read some steps ago are read again before a revocation",
    "they aren't",
    covered="the fence and each later delivery move the Secret, and a late delivery fails",
)
def revoked_on_what_was_read() -> list[Patch]:
    return [swap(entry.Entry, "must_read_for", _not_for(actions.Revoke))]


@switched_off(
    "… and before a Secret is deleted",
    "they aren't",
    covered="a deletion carries uid and resourceVersion, and the DynamicLease is read before it",
)
def deleted_on_what_was_read() -> list[Patch]:
    return [swap(entry.Entry, "must_read_for", _not_for(actions.DeleteSecret))]


def _not_for(kind: type[object]) -> Callable[[entry.Entry, View, actions.Action], bool]:
    honest = entry.Entry.must_read_for

    def must_read_for(self: entry.Entry, view: View, step: actions.Action) -> bool:
        return not isinstance(step, kind) and honest(self, view, step)

    return must_read_for


@switched_off(
    "a look just after a renewal may show the end before it: then the later one counts",
    "what is shown counts",
    kinds=LAGGING,
    story="trailing",
    covered="the next renewal waits until replicas show the last one",
)
def renewal_forgotten() -> list[Patch]:
    return [swap(renew, "_trails", lambda view, known, asked: False)]


@switched_off(
    "an attempt goes onto the record that it was decided from",
    "onto whichever is known by then",
    story="slow-turn",
)
def decided_from_an_older_record() -> list[Patch]:
    async def post(
        self: acquire.Acquirer, view: View, attempt: record.RecordedLease, supply: Supply
    ) -> record.RecordedLease:
        return await self.records.add(view.subject, attempt, supply.trust)

    return [swap(acquire.Acquirer, "_post", post)]


@switched_off(
    "a shared account is looked at once more while our attempt is on record",
    "nobody looks",
    kinds=ONE_SLOT,
    story="account",
)
def turn_taken() -> list[Patch]:
    async def has_turn(self: acquire.Acquirer, *_: object) -> bool:
        return True

    return [swap(acquire.Acquirer, "_has_turn", has_turn)]


@switched_off(
    "an older lease never replaces a newer one in the Secret",
    "their order isn't looked at",
    covered="a lease that nobody delivers is to be revoked before the next is issued",
)
def lower_over_higher() -> list[Patch]:
    return [swap(View, "shown", property(lambda view: -1))]


@switched_off(
    "the rule above, and an undelivered lease is to be revoked",
    "neither",
    story="rotation",
)
def lower_over_higher_and_undelivered_left() -> list[Patch]:
    def rank(view: View, found: actions.Found) -> actions.Found:
        reason = found.to.revocation.reason if isinstance(found, actions.Move) else ""
        return None if reason == Reason.UNDELIVERED else found

    return [*lower_over_higher(), changed("replaced-or-undelivered", rank)]


# -- replaced, or never delivered


@switched_off(
    "a lease that status shows may be in use, though no Secret shows it",
    "it counts as undelivered",
    covered="what status shows is kept as the lease in use",
)
def doubted_though_told() -> list[Patch]:
    return _maybe_delivered_but_for(0)


@switched_off(
    "the rule above, and what status shows is kept as the lease in use",
    "neither",
    story="lost",
)
def doubted_though_told_and_not_kept() -> list[Patch]:
    return [*_maybe_delivered_but_for(0), swap(drift, "_bereft", lambda view, dl: None)]


@switched_off(
    "… and one that this process saw in its Secret",
    "it counts as undelivered",
    story="unreported",
)
def doubted_though_seen() -> list[Patch]:
    return _maybe_delivered_but_for(1)


@switched_off(
    "… and any while a Secret of ours says nothing",
    "it counts as undelivered",
    covered="while a Secret says nothing the newest lease is kept as the one in use",
)
def doubted_though_mute() -> list[Patch]:
    return _maybe_delivered_but_for(2)


@switched_off(
    "the rule above, and the newest lease is kept as the one in use",
    "neither",
    story="mute",
)
def doubted_though_mute_and_not_kept() -> list[Patch]:
    return [*_maybe_delivered_but_for(2), swap(drift, "_bereft", lambda view, dl: None)]


@switched_off(
    "… and any while somebody else has the Secret",
    "it counts as undelivered",
    story="outranked",
)
def doubted_though_contested() -> list[Patch]:
    return _maybe_delivered_but_for(3)


def _maybe_delivered_but_for(number: int) -> list[Patch]:
    """One reason of ``replaced._maybe_delivered`` doesn't count."""

    def maybe_delivered(view: View, dl: lease.DynamicLease, known: record.RecordedLease) -> bool:
        told = dl.status.lease
        reasons = [
            told is not None and told.attempt == known.attempt_id,
            view.known(known).contents is not None,
            view.mute,
            view.target_contested,
        ]
        del reasons[number]
        moved_to = known.rolled_out_at is not None
        return any(reasons) or moved_to or replaced._outlived_status(view, dl, known)

    return [swap(replaced, "_maybe_delivered", maybe_delivered)]


# -- unclear attempts


@switched_off(
    "an unclear attempt is claimed; only then may a new attempt start",
    "the claim comes after the new lease is delivered",
    kinds=ONE_SLOT,
    story="creation",
)
def claimed_too_late() -> list[Patch]:
    def late(view: View, found: actions.Found) -> actions.Found:
        waits = isinstance(found, actions.Move) and view.delivered is None and view.dl is not None
        return None if waits else found

    return [changed("unclear-attempt-claimed", late)]


# -- rotate, slots


@switched_off(
    "a nonce is handled when status says so or the delivered record carries it",
    "the record's nonce isn't looked at",
    story="answered-unheard",
)
def nonce_by_status_alone() -> list[Patch]:
    honest = plan.need

    def need(view: View, dl: lease.DynamicLease) -> plan.Need | None:
        found, nonce = honest(view, dl), plan.rotate_nonce(dl)
        waiting = view.in_hand is not None or dl.spec.suspend
        return found or (plan.Need(Reason.COMMANDED, nonce) if nonce and not waiting else None)

    return [swap(plan, "need", need)]


@switched_off(
    "every other record of the slot is gone before the issue",
    "the next lease is issued beside the others",
    kinds=ONE_SLOT,
)
def slot_not_vacated() -> list[Patch]:
    return [swap(slots, "one_slot", lambda view, known: False)]


@switched_off(
    "… Superseded included",
    "only what is Held is vacated",
    kinds=ONE_SLOT,
)
def superseded_left_on_the_slot() -> list[Patch]:
    honest = slots.one_slot

    def one_slot(view: View, known: record.RecordedLease) -> bool:
        pending = known.state in (record.State.SUPERSEDED, record.State.REVOKING)
        return honest(view, known) and not pending

    return [swap(slots, "one_slot", one_slot)]


# -- revoke


@switched_off(
    "before the call: live GET of the Secret; if it names the record, back to Held",
    "nobody looks at the Secret before a revocation",
    story="source",
)
def revoked_although_shown() -> list[Patch]:
    async def delivered(
        self: revoke.Revoker, view: View, fence: SecretView, known: record.RecordedLease
    ) -> bool:
        return False

    return [
        without("held-again"),
        swap(revoke.Revoker, "_delivered_after_all", delivered),
    ]


@switched_off(
    "an undelivered lease: one write of the Secret before the revocation",
    "the Secret is read, not written",
    story="source",
)
def no_fence() -> list[Patch]:
    async def delivered(
        self: revoke.Revoker, view: View, fence: SecretView, known: record.RecordedLease
    ) -> bool:
        now = await self.cluster.secret(fence.namespace, fence.name)
        return now is not None and now.annotations.get(names.ATTEMPT) == known.attempt_id

    return [swap(revoke.Revoker, "_delivered_after_all", delivered)]


# -- retire


@switched_off(
    "on delete the Secrets go first",
    "the leases go first",
)
def leases_before_secrets() -> list[Patch]:
    return [moved_behind("secrets-deleted", "pending-revocation-tried", "going")]


@switched_off(
    "vanished means that a live GET says so, never a cached list",
    "a list up to ten minutes old says so",
    story="listed",
)
def gone_by_a_list() -> list[Patch]:
    honest = observe.Observer.observe
    lists: dict[int, tuple[float, frozenset[str]]] = {}
    since: dict[tuple[int, str], float] = {}

    async def seen(self: observe.Observer, key: keys.Key, memory: Any) -> View:
        now, who = self.clock.monotonic(), id(self)
        if who not in lists or now - lists[who][0] > 600:
            listed = [dl.metadata.name async for dl in self.cluster.dynamic_leases()]
            lists[who] = now, frozenset(listed)
        view = await honest(self, key, memory)
        if key.name in lists[who][1]:
            since.pop((who, key.name), None)
            return view
        memory.vanished_since = since.setdefault((who, key.name), now)
        return dataclasses.replace(view, dl=None)

    return [swap(observe.Observer, "observe", seen)]


@switched_off(
    "what a DynamicLease that is gone left waits for one of its name",
    "it doesn't wait",
    story="gap",
)
def nobody_awaited() -> list[Patch]:
    return [swap(going, "_made_again_until", lambda view: None)]


@switched_off(
    "a Secret of ours with no owner, no lease that may live and nobody who wants it is deleted",
    "it is left",
    story="let-go",
)
def stray_secret_left() -> list[Patch]:
    return [without("secrets-deleted", "gone")]


@switched_off(
    "a Secret of ours is deleted: first the DynamicLease is read, it may be wanted again",
    "it isn't read",
    story="renamed-back",
)
def deleted_though_wanted() -> list[Patch]:
    async def is_wanted(self: deliver.Deliverer, view: View, secret: SecretView) -> bool:
        return False

    return [swap(deliver.Deliverer, "_is_wanted", is_wanted)]


@switched_off(
    "deletion.timeout is measured from the deletion, whatever restarts",
    "each process begins it anew",
    story="killed",
)
def deletion_begun_anew() -> list[Patch]:
    return [swap(observe.Observer, "_deleting_for", lambda self, dl: 0.0)]


# -- drift


@switched_off(
    "Secrets of ours under other names are found by label, not by status",
    "status says what they are called",
    story="rename",
)
def former_secret_by_status() -> list[Patch]:
    honest = observe.Observer.observe

    async def seen(self: observe.Observer, key: keys.Key, memory: Any) -> View:
        view = await honest(self, key, memory)
        if view.dl is None:
            return view
        told = view.dl.status.target
        known = {view.dl.secret_name, told.secret_name if told is not None else ""}
        return dataclasses.replace(
            view, secrets=tuple(one for one in view.secrets if one.name in known)
        )

    return [swap(observe.Observer, "observe", seen)]


@switched_off(
    "Secrets under former names are deleted before their record is superseded",
    "the record first",
    story="forbidden",
)
def superseded_before_former_goes() -> list[Patch]:
    honest = {one.id: one for one in RULES}["replaced-or-undelivered"].find

    def rank(view: View, found: actions.Found) -> actions.Found:
        name = view.dl.secret_name if view.dl is not None else ""
        wanted = tuple(one for one in view.secrets if one.name == name)
        return honest(dataclasses.replace(view, secrets=wanted))

    return [changed("replaced-or-undelivered", rank)]


# -- time


@switched_off(
    "the wall clock decides nothing",
    "now is the wall clock's",
    story="clock-set",
)
def by_the_wall_clock() -> list[Patch]:
    honest = observe.Observer.observe

    async def seen(self: observe.Observer, key: keys.Key, memory: Any) -> View:
        view = await honest(self, key, memory)
        return dataclasses.replace(view, now=base.whole_second(self.clock.wall()))

    return [swap(observe.Observer, "observe", seen)]
