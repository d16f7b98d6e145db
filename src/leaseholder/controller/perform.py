"""Perform: one step is handed to the edge that does it; what that says becomes memory or ledger.

Flows in: a view and the step that ``core.rules`` decided on. Flows out: nothing, as the loop
observes anew afterwards. The verbs have modules of their own: ``acquire``, ``deliver``, ``renew``,
``revoke``, ``rollouts`` and ``statuses``; here are the choice among them, and the finalizer.

A provider's failure on the way to a lease is left in memory, to be reported in status; one on the
way to a revocation goes on the record. The API server's failures are the caller's.
"""

from dataclasses import dataclass
from typing import assert_never

from leaseholder import changes, errors
from leaseholder.api.conditions import Reason
from leaseholder.api.record import State
from leaseholder.controller import acquire, deliver, renew, revoke, rollouts, runner, statuses
from leaseholder.controller.chronicle import Chronicle
from leaseholder.controller.records import Records
from leaseholder.core import actions
from leaseholder.core.memory import failure_of
from leaseholder.core.view import View
from leaseholder.ports.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Performer:
    """Performs steps."""

    cluster: Cluster
    records: Records
    chronicle: Chronicle
    acquirer: acquire.Acquirer
    deliverer: deliver.Deliverer
    renewer: renew.Renewer
    revoker: revoke.Revoker
    mover: rollouts.Mover
    statuses: statuses.StatusWriter

    async def put_back(self, view: View) -> None:
        """Put on record again what was taken off it without our doing.

        Its credentials are dropped: whoever took it off may have revoked it.

        Raises:
            errors.ClusterError: it can't be written; it stays to be done.
        """
        for attempt_id in self.records.missing(view.subject):
            view.memory.of(attempt_id).credentials = None
        for lease in await self.records.put_back(view.subject):
            put_back = changes.of_lease(changes.Kind.PUT_BACK, view.subject, lease)
            await self.chronicle.note(view.dl, put_back)

    async def perform(self, view: View, step: actions.Action) -> None:
        """Do what ``step`` says; the world is to be observed again afterwards.

        Raises:
            errors.ClusterError: the API server didn't take a write that isn't about a lease.
        """
        match step:
            case actions.Move():
                await self._move(view, step)
            case actions.Search(record):
                await self.revoker.search(view, record)
            case actions.Revoke():
                await self.revoker.revoke(view, step)
            case actions.Drop():
                await self._drop(view, step)
            case actions.Discard():
                await self.records.discard(view.subject)
            case actions.Restart():
                await self.mover.restart(view, step)
            case actions.Sustain():
                await self._sustain(view, step)
            case actions.DeleteSecret(secret):
                await self.deliverer.delete(view, secret)
            case actions.Disown(secret):
                await self.cluster.disown_secret(secret, view.holder)
            case actions.Report():
                await self._report(view, step)
            case actions.Protect() | actions.Release():
                await self._change_finalizer(view, step)
            case actions.Idle():
                pass
            case (
                actions.Acquire()
                | actions.Hold()
                | actions.Deliver()
                | actions.Renew()
                | actions.Inspect()
            ):
                await self._towards_lease(view, step)
            case _:
                assert_never(step)

    async def _move(self, view: View, step: actions.Move) -> None:
        record, to = step.record, step.to
        if to.revocation.reason == Reason.UNDELIVERED:
            await self._check_status(view)
        await self.revoker.write(view, record, to)
        if to.state is not State.HELD:
            view.known(record).credentials = None

    async def _drop(self, view: View, step: actions.Drop) -> None:
        record, name = step.record, step.record.attempt_id
        await self.records.end(view.subject, name, step.why, view.now, was=record, until=step.until)
        await self.chronicle.emit(view.dl, step.note)
        await self.chronicle.note(None, changes.dropped(view.subject, record))

    async def _change_finalizer(self, view: View, step: actions.Protect | actions.Release) -> None:
        if view.dl is None:
            return
        if isinstance(step, actions.Release):
            await self._check_record(view)
        await self.cluster.patch_finalizer(view.dl, on=isinstance(step, actions.Protect))
        if isinstance(step, actions.Release):
            await self.chronicle.emit(view.dl, step.note)

    async def _check_status(self, view: View) -> None:
        """The DynamicLease is as it is known: a lease that its status tells was delivered.

        Raises:
            errors.Conflict: it isn't; look again.
        """
        if view.dl is None:
            return
        meta = view.dl.metadata
        now = await self.cluster.read_dynamic_lease(meta.namespace, meta.name)
        if now is None or now.metadata.resource_version != meta.resource_version:
            raise errors.Conflict(Reason.CONFLICT, "the DynamicLease was written meanwhile")

    async def _check_record(self, view: View) -> None:
        """The record is as it was seen, so that no lease of another process is let go unseen.

        Raises:
            errors.Conflict: it isn't; look again.
        """
        page = await self.records.reread(view.subject)
        leases = page.leases if page is not None else ()
        if leases != view.records or self.records.lost(view.subject):
            raise errors.Conflict(Reason.CONFLICT, "another process wrote the record")

    async def _towards_lease(
        self,
        view: View,
        step: actions.Acquire | actions.Hold | actions.Deliver | actions.Renew | actions.Inspect,
    ) -> None:
        dl = view.dl
        try:
            match step:
                case actions.Hold(record):
                    await self.acquirer.hold(view, record)
                case actions.Inspect(record):
                    await self.renewer.inspect(view, record)
                case actions.Acquire() if dl is not None:
                    await self.acquirer.acquire(view, dl, step)
                case actions.Deliver(record) if dl is not None:
                    await self.deliverer.deliver(view, dl, record)
                case actions.Renew() if dl is not None:
                    await self.renewer.renew(view, dl, step)
        except (errors.Conflict, errors.ClusterUnavailable):
            raise
        except errors.EdgeError as error:
            if isinstance(step, actions.Hold):
                raise  # the lease is in memory: the ledger is tried again until it takes it
            view.memory.poked = False
            view.memory.failure = failure_of(error)

    async def _report(self, view: View, step: actions.Report) -> None:
        if view.dl is None:
            return
        async with runner.elsewhere("Ahead"):
            await self.statuses.write(view.dl, step.status, step.notes)
        view.memory.failure = None

    async def _sustain(self, view: View, step: actions.Sustain) -> None:
        try:
            await self.mover.sustain(view, step)
        except errors.LeaseGone as error:
            await self.renewer.gone(view, step.record, report=False, certain=error.certain)
