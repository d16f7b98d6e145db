"""Deliver: the Secrets of a DynamicLease are written, and deleted when nobody wants them.

Flows in: a view and the step Deliver or DeleteSecret. Flows out: one write of the Secret, and in
memory what it holds by now. A delivery is sent only as long as its lease is the newest Held one on
record: ``revoke`` moves the record first and the Secret next, so the two can't miss each other.
"""

from dataclasses import dataclass

from leaseholder import changes, errors
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import RecordedLease, State
from leaseholder.controller.chronicle import Chronicle
from leaseholder.controller.records import Records
from leaseholder.core import contents, drift, marks
from leaseholder.core.memory import failure_of
from leaseholder.core.view import View
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.secrets import SecretDraft, SecretView


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Writes and deletes target Secrets."""

    cluster: Cluster
    records: Records
    chronicle: Chronicle

    async def deliver(self, view: View, dl: DynamicLease, record: RecordedLease) -> None:
        """Write the Secret as it was read before record and DynamicLease are read again.

        Whoever revokes the lease moves the record first and the Secret next: then either this
        sees the record moved, or the write conflicts. The DynamicLease was read live a moment ago
        where the lease was just issued; later its uid may be a former one's, and the garbage
        collector would delete the Secret.
        """
        if view.names(record):
            _count_repair(view, dl)
        now = dl if self._fenced(view, record) else await self._still(view, dl, record)
        if now is None:
            view.memory.secrets = None
            return
        filling = _filling(view, now, record)
        news = drift.keys_changed(view, filling.contents)
        before = view.known_contents(view.target, record) if view.target is not None else None
        wanted = draft(now, record, filling, before)
        written = await self._write(view, wanted)
        seen = view.memory.secrets
        view.memory.secrets = seen.written(written) if seen is not None else None
        view.memory.secret_version = written.resource_version
        view.known(record).contents = filling.contents
        view.known(record).credentials = None
        await self.chronicle.emit(now, news)
        change = changes.delivered(
            view.subject, record, written.name, len(written.keys), view.stated_expiry(record)
        )
        await self.chronicle.note(None, change)

    async def _write(self, view: View, wanted: SecretDraft) -> SecretView:
        """Write the target; what the watch tells of meanwhile, beside that, is read afterwards."""
        shown, own = set[str](), ""
        view.memory.writing = shown
        try:
            written = await self.cluster.write_secret(wanted, view.target)
            own = written.resource_version
            return written
        finally:
            view.memory.writing = None
            others = shown - {own} if own else shown  # one that went has no version
            view.memory.doubted = view.memory.doubted or bool(others)

    @staticmethod
    def _fenced(view: View, record: RecordedLease) -> bool:
        """Whether the lease was put on record as Held after this very Secret was known.

        Then that write is the look: whoever moves the lease since then writes the Secret next, and
        this delivery meets a conflict. Only for the first try: later ones come who knows when.
        """
        known = view.known(record)
        fence, known.fence = known.fence, None
        return fence == view.target_version

    async def _still(
        self, view: View, dl: DynamicLease, record: RecordedLease
    ) -> DynamicLease | None:
        """The DynamicLease as it is now, where its newest Held lease is still this one."""
        page = await self.records.reread(view.subject)
        held = [one for one in page.leases if one.state is State.HELD] if page is not None else []
        newest = held[-1].attempt_id if held else ""
        named = view.named_anywhere(record)
        if not any(one.attempt_id == record.attempt_id for one in held):
            return None
        if newest != record.attempt_id and not named:
            return None
        now = await self.cluster.read_dynamic_lease(dl.metadata.namespace, dl.metadata.name)
        same = now is not None and now.metadata.uid == dl.metadata.uid and not now.deleting
        if now is None or not same or now.secret_name != dl.secret_name:
            return None
        return now

    async def delete(self, view: View, secret: SecretView) -> None:
        """Delete a Secret; a refusal is told where somebody is there to be told."""
        dl = view.dl if view.dl is not None and not view.dl.deleting else None
        if await self._is_wanted(view, secret):
            return
        try:
            await self.cluster.delete_secret(secret)
        except errors.ClusterUnavailable:
            if dl is None:
                view.memory.note_undeleted()
            raise
        except errors.Refused as error:
            if dl is None:
                view.memory.keeps_secret = True
                raise
            view.memory.poked = False
            view.memory.failure = failure_of(error)
            return
        seen, view.memory.undeleted = view.memory.secrets, 0
        view.memory.secrets = seen.deleted(secret) if seen is not None else None
        if view.dl is not None:
            change = changes.of_dl(changes.Kind.SECRET_DELETED, view.dl, secret=secret.name)
            await self.chronicle.note(None, change)

    async def _is_wanted(self, view: View, secret: SecretView) -> bool:
        """Whether a DynamicLease of the name wants the Secret by now.

        It may have another secretName again, or was made again and took the Secret over before it
        was read here. What belongs to the one that goes itself nobody else has.
        """
        holder, going = view.holder, view.dl is not None and view.dl.deleting
        if going and secret.belongs_to(holder.uid):
            return False
        now = await self.cluster.read_dynamic_lease(holder.namespace, holder.name)
        if now is None or (going and now.metadata.uid == holder.uid):
            return False
        return now.secret_name == secret.name


def _filling(view: View, dl: DynamicLease, record: RecordedLease) -> contents.Filling:
    """What the Secret is to hold: from the issue, or from a Secret of ours that holds it.

    Raises:
        errors.Conflict: the Secret isn't as it was when this was decided.
        errors.Invalid: the template can't be rendered.
    """
    issued = view.known(record).credentials
    if issued is not None:
        return contents.filled(dl, record, issued.reveal())
    source = view.source_of(record)
    if source is None:
        raise errors.Conflict(Reason.CONFLICT, "no Secret holds what is to be written")
    known = view.known_contents(source, record) or contents.assumed(dl, record, source)
    return contents.refilled(dl, record, source, known)


def _count_repair(view: View, dl: DynamicLease) -> None:
    """Repairs in a row make the next one wait."""
    memory = view.memory
    calm = view.monotonic > drift.repair_at(view, dl) + drift.QUIET.total_seconds()
    memory.repairs = 1 if calm else memory.repairs + 1
    memory.repaired, memory.repaired_generation = view.monotonic, dl.metadata.generation


def draft(
    dl: DynamicLease,
    lease: RecordedLease | None,
    filling: contents.Filling,
    before: contents.Contents | None = None,
) -> SecretDraft:
    """The Secret as ``dl`` wants it for a lease; ``before``: what it holds of ours now.

    Without a lease it is the rehearsal: it has the template's annotations and none of ours.
    """
    notes: dict[str, str | None] = dict(dl.spec.target.template.metadata.annotations)
    if lease is not None:
        notes = marks.annotations(dl, lease, filling.contents, before)
    return SecretDraft(
        namespace=dl.metadata.namespace,
        name=dl.secret_name,
        type=dl.spec.target.type,
        labels=marks.labels(dl, before),
        annotations=notes,
        owner=dl.holder,
        credentials=filling.values,
    )
