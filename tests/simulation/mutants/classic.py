"""The classic faults: wrong order, blind retries, a 404 believed, an answer not waited for."""

from typing import Any

from leaseholder import errors, ports
from leaseholder.api import lease, names, record
from leaseholder.api.conditions import Reason
from leaseholder.controller import acquire, pay, perform
from leaseholder.core import debts, live, plan, schedule, steps
from leaseholder.core.view import View
from tests.simulation.mutants.registry import FOUND_BY_TAG, LAGGING, Patch, swap, switched_off


@switched_off(
    "write order: the record before the mint",
    "the mint before the record",
)
def minted_before_the_record() -> list[Patch]:
    honest = acquire.Acquirer._issue

    async def acquired(
        self: acquire.Acquirer, view: View, dl: lease.DynamicLease, step: steps.Acquire
    ) -> None:
        supply, adapter = await self.supplies.wanted(dl)
        spec = self._spec(dl, supply, adapter, step)
        issued = await adapter.issue(acquire._planned(spec, {}))
        posted = await self.cluster.create_record(
            view.holder, step.number, spec, record.RecordStatus(state=record.State.ATTEMPT)
        )
        view.memory.leases[posted.name] = issued.lease
        view.memory.credentials[posted.name] = issued.credentials
        await self.hold(view, posted)

    return [swap(acquire.Acquirer, "acquire", acquired), swap(acquire.Acquirer, "_issue", honest)]


@switched_off(
    "make before break",
    "the old lease is revoked before the new one is delivered",
)
def revoked_before_delivery() -> list[Patch]:
    honest = live._acquire

    def acquired(view: View, dl: lease.DynamicLease) -> steps.Step | None:
        held, step = view.delivered, honest(view, dl)
        due = isinstance(step, steps.Acquire) and held is not None
        return debts.owe(view, held, Reason.ROTATING) if due and held is not None else step

    return [swap(live, "_acquire", acquired)]


@switched_off(
    "finalizer on, then acquire",
    "nobody looks for the finalizer",
    story="unheard",
)
def before_the_finalizer() -> list[Patch]:
    honest = live.decide

    def decide(view: View, dl: lease.DynamicLease) -> steps.Step:
        meta = dl.metadata.model_copy(update={"finalizers": (names.FINALIZER,)})
        return honest(view, dl.model_copy(update={"metadata": meta}))

    async def wanted(self: acquire.Acquirer, view: View, dl: lease.DynamicLease) -> bool:
        holder = view.holder
        now = await self.cluster.read_dynamic_lease(holder.namespace, holder.name)
        return now is not None and now.metadata.uid == holder.uid and not now.deleting

    return [swap(live, "decide", decide), swap(acquire.Acquirer, "_wanted", wanted)]


@switched_off(
    "after the record one look: a DynamicLease that goes → stand back",
    "no look",
    story="creation",
)
def minted_for_what_goes() -> list[Patch]:
    async def wanted(self: acquire.Acquirer, view: View, dl: lease.DynamicLease) -> bool:
        return True

    return [swap(acquire.Acquirer, "_wanted", wanted)]


@switched_off(
    "never retried blindly",
    "a mint without an answer is sent again",
    story="late",
)
def mint_retried() -> list[Patch]:
    honest = acquire.Acquirer._issue

    async def issue(
        self: acquire.Acquirer,
        adapter: ports.Provider,
        posted: record.LeaseRecord,
        *,
        replaces: bool,
    ) -> ports.Issued:
        try:
            return await adapter.issue(acquire.attempt_of(posted))
        except errors.Unavailable:
            return await honest(self, adapter, posted, replaces=replaces)

    return [swap(acquire.Acquirer, "_issue", issue)]


@switched_off(
    "a 404 counts when the lease is old enough, seen twice",
    "the first 404 pays a debt",
    kinds=LAGGING,
    story="young",
)
def forgotten_on_404() -> list[Patch]:
    return [swap(debts, "after_gone", lambda view, known: None)]


@switched_off(
    "the same for a lease that is held",
    "the first 404 replaces the lease",
    kinds=LAGGING,
    story="young",
)
def gone_at_first_sight() -> list[Patch]:
    honest = perform.Performer._gone

    async def gone(
        self: perform.Performer,
        view: View,
        known: record.LeaseRecord,
        *,
        tell: bool,
        certain: bool = False,
    ) -> None:
        await honest(self, view, known, tell=tell, certain=True)

    return [swap(perform.Performer, "_gone", gone)]


@switched_off(
    "an extension is made when replicas show the last one",
    "as soon as the provider takes it",
    kinds=LAGGING,
    story="swallowed",
)
def extended_too_soon() -> list[Patch]:
    return [swap(plan, "least_extension", lambda can: can.minimum_extension)]


@switched_off(
    "an unclear attempt is searched twice, a replica lag apart",
    "not found once: the record goes",
    kinds=FOUND_BY_TAG,
    story="late",
)
def searched_once() -> list[Patch]:
    honest = pay.Payer.search

    async def search(self: pay.Payer, view: View, known: record.LeaseRecord) -> None:
        view.memory.searched.setdefault(known.name, view.monotonic)
        await honest(self, view, known)

    return [swap(pay.Payer, "search", search)]


@switched_off(
    "… after deadline and settle from the searcher's own first sight",
    "searched at once",
    kinds=FOUND_BY_TAG,
    story="late",
)
def searched_too_early() -> list[Patch]:
    honest = debts._search

    def search(view: View, known: record.LeaseRecord) -> Any:
        view.memory.sighted[known.name] = -1e9
        return honest(view, known)

    return [swap(debts, "_search", search), swap(schedule, "LOOK_AGAIN", 1.0)]


@switched_off(
    "deliver: GET record (must be Held)",
    "the record isn't looked at",
    story="creation",
)
def delivered_unseen() -> list[Patch]:
    return [swap(perform, "_held", lambda known: True)]


@switched_off(
    "conflict at Attempt → Held: leave the state, drop the credentials",
    "the state is made Held all the same",
    story="creation",
)
def claim_ignored() -> list[Patch]:
    async def claimed(
        self: acquire.Acquirer, view: View, posted: record.LeaseRecord, minted: ports.Lease
    ) -> record.LeaseRecord | None:
        known = await self.cluster.records(view.holder.uid)
        current = next((r for r in known if r.metadata.uid == posted.metadata.uid), None)
        if current is None:
            return None
        status = acquire.held_status(current, minted, record.State.HELD)
        return await self.cluster.update_record(current, status)

    return [swap(acquire.Acquirer, "_claimed", claimed)]


@switched_off(
    "record gone: POST a new one in Revoking with the lease id",
    "the lease is forgotten",
    story="creation",
)
def vanished_record_not_put_back() -> list[Patch]:
    async def put_back(
        self: acquire.Acquirer, view: View, posted: record.LeaseRecord, minted: ports.Lease
    ) -> None:
        view.memory.forget(posted.name)

    return [swap(acquire.Acquirer, "_put_back", put_back)]


@switched_off(
    "a replaced lease lives on through the overlap",
    "it is revoked at once",
)
def no_overlap() -> list[Patch]:
    def supersede(view: View, dl: lease.DynamicLease, known: record.LeaseRecord) -> steps.Move:
        return debts.owe(view, known, Reason.SUPERSEDED)

    return [swap(live, "_supersede", supersede)]


@switched_off(
    "Ready goes False before a dead credential is replaced",
    "it stays True",
    kinds=("taggable", "owner-and-time", "exclusive", "accessor"),
    story="ended",
)
def not_retracted() -> list[Patch]:
    return [swap(live, "_retract", lambda view, dl: None)]


@switched_off(
    "never rotate because of an outage",
    "after a failure the lease is replaced",
)
def outage_rotates() -> list[Patch]:
    honest = plan.need

    def need(view: View, dl: lease.DynamicLease) -> plan.Need | None:
        found = honest(view, dl)
        tired = dl.status.retry is not None and view.in_hand is None and not dl.spec.suspend
        return found or (plan.Need(Reason.ROTATING) if tired else None)

    return [swap(plan, "need", need)]
