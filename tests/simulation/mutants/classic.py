"""The classic faults: wrong order, blind retries, a 404 believed, an answer not waited for."""

from datetime import datetime
from typing import Any

from leaseholder import errors
from leaseholder.api import lease, record
from leaseholder.api.conditions import Reason
from leaseholder.controller import acquire, deliver, records, renew
from leaseholder.core import actions, arrival, plan, replaced, revocations, schedule
from leaseholder.core.view import View
from leaseholder.ports.provider import Capabilities, Issued, Lease, Provider
from tests.simulation.mutants.registry import (
    FOUND_BY_TAG,
    LAGGING,
    Patch,
    changed,
    swap,
    switched_off,
    without,
)


@switched_off(
    "write order: the record before the issue",
    "the issue before the record",
)
def issued_before_the_record() -> list[Patch]:
    async def acquired(
        self: acquire.Acquirer, view: View, dl: lease.DynamicLease, step: actions.Acquire
    ) -> None:
        supply, adapter = await self.supplies.wanted(dl)
        planned = self._planned(view, dl, supply, adapter, step)
        issued = await adapter.issue(self.attempt_of(planned))
        await self.records.add(view.subject, planned, supply.trust)
        view.known(planned).shown = issued.lease
        view.known(planned).credentials = issued.credentials
        view.known(planned).ahead = 0
        await self._hold(view, planned, issued.lease, adapter, step.reason)

    return [swap(acquire.Acquirer, "acquire", acquired)]


@switched_off(
    "make before break",
    "the old lease is revoked before the new one is delivered",
)
def revoked_before_delivery() -> list[Patch]:
    def revoke(view: View, found: actions.Found) -> actions.Found:
        held = view.delivered
        early = isinstance(found, actions.Acquire) and held is not None
        return (
            revocations.begin(view, held, Reason.ROTATING) if early and held is not None else found
        )

    return [changed("issued", revoke)]


@switched_off(
    "finalizer on, then acquire",
    "nobody looks for the finalizer",
    story="unheard",
)
def before_the_finalizer() -> list[Patch]:
    async def is_wanted(self: acquire.Acquirer, view: View) -> bool:
        holder = view.holder
        now = await self.cluster.read_dynamic_lease(holder.namespace, holder.name)
        return now is not None and now.metadata.uid == holder.uid and not now.deleting

    return [without("finalizer-put-on"), swap(acquire.Acquirer, "_wanted", is_wanted)]


@switched_off(
    "after the record one look: a DynamicLease that goes → stand back",
    "no look",
    story="creation",
)
def issued_for_what_goes() -> list[Patch]:
    async def is_wanted(self: acquire.Acquirer, view: View) -> bool:
        return True

    return [swap(acquire.Acquirer, "_wanted", is_wanted)]


@switched_off(
    "never retried blindly",
    "an issue without an answer is sent again",
    story="late",
)
def issue_retried() -> list[Patch]:
    honest = acquire.Acquirer._issue

    async def issue(
        self: acquire.Acquirer,
        view: View,
        adapter: Provider,
        attempt: record.RecordedLease,
        *,
        replaces: bool,
    ) -> Issued:
        try:
            return await adapter.issue(self.attempt_of(attempt))
        except errors.Unavailable:
            return await honest(self, view, adapter, attempt, replaces=replaces)

    return [swap(acquire.Acquirer, "_issue", issue)]


@switched_off(
    "a 404 counts when the lease is old enough, seen twice",
    "the first 404 confirms a revocation",
    kinds=LAGGING,
    story="young",
)
def forgotten_on_404() -> list[Patch]:
    return [swap(revocations, "after_gone", lambda view, known: None)]


@switched_off(
    "the same for a lease that is held",
    "the first 404 replaces the lease",
    kinds=LAGGING,
    story="young",
)
def gone_at_first_sight() -> list[Patch]:
    honest = renew.Renewer.gone

    async def gone(
        self: renew.Renewer,
        view: View,
        known: record.RecordedLease,
        *,
        report: bool,
        certain: bool = False,
    ) -> None:
        await honest(self, view, known, report=report, certain=True)

    return [swap(renew.Renewer, "gone", gone)]


@switched_off(
    "a renewal is made when replicas show the last one",
    "as soon as the provider takes it",
    kinds=LAGGING,
    story="swallowed",
    covered="renewals are a lag apart by our own clock, too (`plan.apart`)",
)
def renewed_too_soon() -> list[Patch]:
    return [swap(plan, "least_renewal", lambda can: can.minimum_renewal)]


@switched_off(
    "an unclear attempt is searched twice, a replica lag apart",
    "not found once: the attempt goes",
    kinds=FOUND_BY_TAG,
    story="late",
)
def searched_once() -> list[Patch]:
    return [swap(revocations, "after_search", lambda view, known: None)]


@switched_off(
    "… after deadline and settle from its claim",
    "searched at once",
    kinds=FOUND_BY_TAG,
    story="late",
)
def searched_too_early() -> list[Patch]:
    honest = revocations._search_at

    def search_at(view: View, known: record.RecordedLease, can: Capabilities) -> datetime:
        searched = known.revocation.searched_at is not None
        return honest(view, known, can) if searched else view.now

    return [swap(revocations, "_search_at", search_at), swap(schedule, "INSPECT_AGAIN", 1.0)]


@switched_off(
    "deliver: read the record (the lease must be Held, and no newer one be there)",
    "the record isn't looked at",
    covered="a Secret or status that names a lease that isn't known has the record read",
)
def delivered_unseen() -> list[Patch]:
    async def still(
        self: deliver.Deliverer, view: View, dl: lease.DynamicLease, known: record.RecordedLease
    ) -> lease.DynamicLease | None:
        return dl

    return [swap(deliver.Deliverer, "_still", still)]


@switched_off(
    "conflict at Attempt → Held: leave the state, drop the credentials",
    "the state is made Held all the same",
    story="creation",
)
def claim_ignored() -> list[Patch]:
    honest = acquire._arrived

    def arrived(
        view: View, known: record.RecordedLease, issued: Lease, ahead: int, wrong: Any
    ) -> record.RecordedLease:
        if known.state is record.State.REVOKING:
            return arrival.with_answer(known, issued, record.State.HELD, ahead)
        return honest(view, known, issued, ahead, wrong)

    return [swap(acquire, "_arrived", arrived)]


@switched_off(
    "a lease that goes from the record without being named in ended is put back",
    "it is forgotten",
    story="creation",
)
def lost_not_put_back() -> list[Patch]:
    async def put_back(self: records.Records, subject: record.Subject) -> None:
        self._lost.pop(record.name_of(self.installation, subject), None)

    return [swap(records.Records, "put_back", put_back)]


@switched_off(
    "… whatever is missing: a list or a read that lacks it says so",
    "what is missing isn't noted",
    story="creation",
)
def missing_not_noted() -> list[Patch]:
    def note_missing(self: records.Records, name: str, leases: object) -> None:
        return None

    return [swap(records.Records, "_note_missing", note_missing)]


@switched_off(
    "… and a lease that was just issued, with what the provider said of it",
    "it is forgotten",
    covered="its attempt is put back as unclear, and searched for",
)
def issued_not_put_back() -> list[Patch]:
    def miss(self: records.Records, subject: record.Subject, lost: record.RecordedLease) -> None:
        return None

    return [swap(records.Records, "miss", miss)]


@switched_off(
    "what the record names in ended isn't put back",
    "it is put back",
    covered="it is looked at, found gone, and ended again",
)
def ended_put_back() -> list[Patch]:
    return [swap(record.LeaseRecord, "names_ended", lambda page, attempt: False)]


@switched_off(
    "a replaced lease lives on through the overlap",
    "it is revoked at once",
)
def no_overlap() -> list[Patch]:
    def supersede(view: View, dl: lease.DynamicLease, known: record.RecordedLease) -> actions.Move:
        return revocations.begin(view, known, Reason.SUPERSEDED)

    return [swap(replaced, "_supersede", supersede)]


@switched_off(
    "a lease whose renewals fail is replaced before it ends",
    "when it is over",
    story="not-renewed",
)
def replaced_when_over() -> list[Patch]:
    return [swap(plan, "unrenewed_until", lambda view, dl, known: None)]


@switched_off(
    "… where the provider serves",
    "also where it is away",
    story="away-to-the-last",
)
def replaced_for_an_outage() -> list[Patch]:
    honest = errors.Unavailable.__init__

    def made(self: errors.Unavailable, reason: Reason, sentence: str, **more: Any) -> None:
        honest(self, reason, sentence, **{**more, "served": True})

    return [swap(errors.Unavailable, "__init__", made)]


@switched_off(
    "never rotate because of an outage",
    "after a failure the lease is replaced",
    story="outages",
)
def outage_rotates() -> list[Patch]:
    honest = plan.need

    def need(view: View, dl: lease.DynamicLease) -> plan.Need | None:
        found = honest(view, dl)
        tired = dl.status.retry is not None and view.in_hand is None and not dl.spec.suspend
        return found or (plan.Need(Reason.ROTATING) if tired else None)

    return [swap(plan, "need", need)]
