"""The judge: hears of every issue, revocation, delivery and deletion as it happens, and counts.

What it knows is the servers' truth: the provider's own list of leases, the values in Secrets, the
ledger. Where a promise has a bound (what a provider can't show, what somebody deleted by hand),
the bound is kept here as an exemption with its reason. The promises are in ``promises``.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from leaseholder.api import conditions, durations, lease, names, record
from leaseholder.core.obstacles import MOST_LIVE
from leaseholder.ports.secrets import SecretView
from leaseholder.ports.workloads import Workload
from tests.simulation import promises, server
from tests.simulation.process import Process
from tests.simulation.promises import CALM, Broken

if TYPE_CHECKING:
    from tests.simulation.world import World


class Judge:
    """Holds the promises against one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._forgiven: set[str] = set()
        """Attempts whose record somebody deleted by hand: promise 1 ends there."""
        self._orphans: set[str] = set()
        """Leases whose owner said Orphan: they live out their time by the owner's will."""
        self._replaced: dict[str, float] = {}
        """When a Secret stopped showing a lease because we put another one there."""
        self._due_issues: defaultdict[str, int] = defaultdict(int)
        """Issues that a DynamicLease may still see, by uid."""
        self._in_vain = 0
        """Issues that may come of crashes, faults and hands on what is ours."""
        self._needs: set[tuple[str, str]] = set()
        self._let_go: set[str] = set()
        """DynamicLeases that went because nothing was pending."""
        """Needs that were counted."""
        self._holders: dict[str, str] = {}
        """Uid that each attempt was for."""
        self._forced_off: set[str] = set()
        self._by_hand: set[str] = set()
        """All attempts whose record somebody ever deleted."""
        self._taken: set[str] = set()
        """Attempts whose record somebody deleted while a process held the lease in hand: as long
        as no process ends, promise 1 stands."""
        self._inherited: set[str] = set()
        """Leases of a predecessor that the workloads of its successor use."""
        self._successor_since: float | None = None
        """When the successor first put a lease of its own into its Secret."""
        self._unfound: set[str] = set()
        """Leases that began to be revoked while there was no DynamicLease, and no label of ours on
        the Secret that shows them: nothing leads to that Secret then."""
        self._forced_out: set[str] = set()
        """Leases whose revocation began while a limit forced the oldest out: it goes on."""
        self._posted_late: set[str] = set()
        """Leases that a former leader put into a Secret after their end, by DESIGN's known rest."""
        self._broken: list[Broken] = []
        self._pods = ""
        """The lease that the workload's pods use; empty where it isn't known."""
        self._edits = self._strips = self._restores = 0
        """What was done to the Secret and to what is told of it since it got its lease."""
        self._put: set[str] = set()
        """Leases that were put into a Secret."""
        world.server.hooks.issued.append(self._issued)
        world.server.hooks.revoking.append(self._revoking)
        world.server.hooks.shortening.append(self._shortening)
        world.truth.hooks.delivered.append(self._delivered)
        world.truth.hooks.deleting.append(self._deleting_secret)
        world.truth.hooks.released.append(self._released)

    # -- what the world tells

    def applied(self, old: lease.DynamicLease | None, new: lease.DynamicLease) -> None:
        """A user created or changed the DynamicLease."""
        before, after = (old.spec, new.spec) if old is not None else (None, new.spec)
        commanded = old is not None and old.command(names.ROTATE) != new.command(names.ROTATE)
        sources = before is None or before.infisical != after.infisical
        self._due_issues[new.metadata.uid] += sources + commanded
        if old is not None and old.secret_name != new.secret_name:
            self._renamed(old)

    def _renamed(self, old: lease.DynamicLease) -> None:
        """Without our label nothing leads to the Secret under the former name, nor to its data."""
        former = self._world.truth.secrets.get((old.metadata.namespace, old.secret_name))
        if former is not None and names.OWNER_UID not in former.labels:
            self._allow()

    def tampered(self) -> None:
        """Somebody changed what is ours: one more issue may be needed."""
        self._restores += 1
        self.overlaps_lost()

    def overlaps_lost(self) -> None:
        """A restore dropped what records said of overlap."""
        self._replaced.clear()
        self._inherited.clear()
        self._pods = ""
        self._allow()

    def inherits(self, shown: str, uid: str) -> None:
        """A DynamicLease came back under another uid: its workloads use what its Secret shows."""
        self._inherited = {shown} if self._holders.get(shown) == uid else set()
        self._successor_since = None

    def secret_lost(self, values: Mapping[str, str]) -> None:
        """A user deleted the Secret: its lease lives on until another one is delivered.

        Where status didn't yet tell of that lease, nobody may know that it was ever delivered.
        """
        shown, dl = values.get(server.SHOWS, ""), self._world.dl
        told = dl.status.lease if dl is not None else None
        if told is not None and told.id == shown:
            self._replaced[shown] = math.inf
        else:
            self._pods = ""
        self._allow()

    def edited(self) -> None:
        """A user changed the Secret's data."""
        self._edits += 1
        self._allow()

    def stripped(self) -> None:
        """A user took our annotations off the Secret."""
        self._strips += 1
        self._pods = ""

    def restarting(self, known: Workload, key: str, value: str) -> None:
        """We replace a workload's pods."""
        if known.stamps.get(key) == value:
            self.broke(3, f"{known.name} is restarted twice for {value}")

    def rolled_out(self) -> None:
        """The workload's pods are up; they read the Secret when they started."""
        self._pods = self._world.truth.shows(self._world.secret_key) or self._pods

    def deleting(self, dl: lease.DynamicLease) -> None:
        """The DynamicLease is to be deleted: what its Secret shows may be its owner's to keep."""
        if dl.spec.deletion.policy == "Orphan":
            self._orphans |= self.shown()
        uid = dl.metadata.uid
        left = [m.id for m in self.living() if self._holders.get(m.id) == uid]
        if left and names.FINALIZER not in dl.metadata.finalizers and uid not in self._forced_off:
            self.broke(5, f"the DynamicLease is gone at once, and {left} live on")

    def record_taken(self, gone: record.LeaseRecord) -> None:
        """Somebody deleted a record by hand."""
        for one in gone.leases:
            recalled = any(process.recalls(one.attempt_id) for process in self._world.processes)
            (self._taken if recalled else self._forgiven).add(one.attempt_id)
            self._by_hand.add(one.attempt_id)
        self._pods = ""
        self._allow()

    def forced_off(self, dl: lease.DynamicLease) -> None:
        """Somebody took the finalizer off by hand."""
        self._forced_off.add(dl.metadata.uid)

    def crashing(self, process: Process) -> None:
        """A process ends; what it had in hand is lost and may be needed anew."""
        busy = process.gate.paused or not process.alive
        in_hand = any(memory.has_credentials for memory in process.memories)
        self._forgiven |= self._taken - {one.attempt_id for one in self._world.truth.recorded}
        if busy or in_hand:
            self._allow()

    def faulted(self) -> None:
        """A call is held up or fails: what comes of it may be an issue in vain."""
        self._allow()

    def _allow(self) -> None:
        self._in_vain += 1

    @property
    def used(self) -> str:
        """The lease that the workload's pods use; empty where it isn't known."""
        return self._pods

    @property
    def misled(self) -> bool:
        """Whether everything that tells of the Secret is false: data, notes, a restored status."""
        return bool(self._edits and self._strips and self._restores)

    def account_lost(self, lease_id: str) -> bool:
        """Whether another's lease of the same account ended, whose record somebody deleted by hand.

        Meanwhile nothing said that the account was taken, and the record is put back later.
        """
        issued = self._world.server.leases.get(lease_id)
        return issued is not None and issued.killed and bool(self._by_hand)

    def entitled(self, uid: str) -> bool:
        """Whether an issue is needed, or explained by something that went wrong; counts it.

        Two processes at once claim each other's attempts: one need may cost several issues. Unless
        they are of two shards.
        """
        pending = self._due_issues[uid] > 0
        if not pending and not self._in_vain:
            return False
        if len(self._world.processes) == 1 or len(self._world.shards) > 1:
            self._due_issues[uid] -= pending
            self._in_vain -= not pending
        return True

    # -- when to look

    def broke(self, promise: int, what: str) -> None:
        """A promise is broken in the midst of a call: told when the call is over."""
        self._broken.append(Broken(promise, what))

    def at_each_step(self) -> None:
        """What must hold whenever nothing is under way at this very moment."""
        if self._broken:
            raise self._broken[0]
        for one in self._world.truth.recorded:
            if one.lease_id in self._holders:
                self._holders[one.lease_id] = one.holder_uid  # it may have been taken over
        promises.no_lost_lease(self)
        self._note_unfound()
        if self._world.calm_for >= CALM:
            promises.no_dead_credential(self)
            promises.nothing_left_over(self)
            self._settle_accounts()

    def at_the_end(self) -> None:
        """What must hold when the DynamicLease is deleted and time enough went by."""
        promises.deletion_revokes(self)

    def _note_unfound(self) -> None:
        """Who looks while there is no DynamicLease may retire what was its, and finds no Secret
        without our label."""
        truth = self._world.truth
        if self._world.dl is not None:
            return
        self._inherited.clear()
        for known in truth.recorded:
            shows = (s for k, s in truth.secrets.items() if truth.shows(k) == known.lease_id)
            if known.state is record.State.REVOKING and all(
                names.OWNER_UID not in secret.labels for secret in shows
            ):
                self._unfound.add(known.lease_id)

    def _settle_accounts(self) -> None:
        """All is well: nobody is entitled to an issue any more."""
        dl = self._world.dl
        if dl is not None and self._ready(dl):
            self._due_issues[dl.metadata.uid] = self._in_vain = 0

    # -- what is

    def living(self) -> Iterator[server.Issued]:
        """The leases at the provider that we answer for."""
        for issued in self._world.server.living():
            if issued.attempt not in self._forgiven and issued.id not in self._orphans:
                yield issued

    def recorded(self, issued: server.Issued) -> bool:
        """Whether a record, or a process about to put it back on record, knows of a lease."""
        ledger = self._world.truth.recorded
        if any(r.lease_id == issued.id or r.attempt_id == issued.attempt for r in ledger):
            return True
        recalled = any(process.recalls(issued.attempt) for process in self._world.processes)
        return issued.attempt in self._taken and recalled

    def shown(self) -> set[str]:
        """The leases whose credentials stand in a Secret."""
        return {self._world.truth.shows(key) for key in self._world.truth.values} - {""}

    def wanted(self, dl: lease.DynamicLease) -> bool:
        """Whether nothing but ourselves stands between a DynamicLease and its credentials."""
        target = self._world.truth.secrets.get((dl.metadata.namespace, dl.secret_name))
        ours = target is None or target.belongs_to(dl.metadata.uid)
        ready = conditions.find(dl.status.conditions, conditions.ConditionType.READY)
        taken = ready is not None and ready.reason == conditions.Reason.SLOT_TAKEN
        hindered = dl.deleting or dl.spec.suspend or self.crowded(dl)
        return ours and not (hindered or contested(dl) or taken)

    def waits(self, uid: str) -> bool:
        """Whether replaced leases of a DynamicLease live on for longer than their overlap.

        It is suspended, another one may have the Secret that it wants, somebody keeps at that
        Secret, or its rollout isn't over: it is stuck, or the next one always comes before.
        """
        wanted = [dl for dl in self._world.truth.leases.values() if dl.metadata.uid == uid]
        names_ = [dl.secret_name for dl in self._world.truth.leases.values()]
        return any(
            dl.spec.suspend
            or names_.count(dl.secret_name) > 1
            or contested(dl)
            or (self._world.rolls and bool(dl.spec.rotation.restart_targets))
            for dl in wanted
        )

    def crowded(self, dl: lease.DynamicLease) -> bool:
        """Whether so many leases aren't gone that promise 2 yields to promise 1."""
        mine = [
            one
            for known in self._world.truth.ledger.values()
            if known.subject.name == dl.metadata.name
            for one in known.leases
            if one.state is not record.State.ABANDONED
        ]
        return len(mine) >= MOST_LIVE

    def forced_out(self, issued: server.Issued, dl: lease.DynamicLease) -> bool:
        """Whether a lease went, or began to go, because of the limit of live leases."""
        if self.crowded(dl):
            self._forced_out.add(issued.id)
        return issued.id in self._forced_out

    def _ready(self, dl: lease.DynamicLease) -> bool:
        return conditions.is_true(dl.status.conditions, conditions.ConditionType.READY)

    # -- what is heard of

    def _issued(self, issued: server.Issued) -> None:
        known = self._world.truth.recorded
        attempt = next((r for r in known if r.attempt_id == issued.attempt), None)
        if attempt is None and issued.attempt not in self._by_hand:
            self.broke(1, f"{issued.id} is issued, and no record says so")
        if any(one.attempt == issued.attempt for one in self._world.server.leases.values()):
            self.broke(4, f"{issued.id} is issued by a request that was sent twice")
        if attempt is not None:
            self._holders[issued.id] = attempt.holder_uid
            promises.never_twice(self, issued, attempt.holder_uid)
        self._world.figures.issues += 1

    def _revoking(self, issued: server.Issued) -> None:
        promises.make_before_break(self, issued)
        promises.successor_moves_first(self, issued)
        promises.secrets_go_first(self, issued)
        self._world.figures.revocations += 1

    def _shortening(self, issued: server.Issued) -> None:
        # Several that work at once, while replicas trail: one that knows of an older end adds too
        # much, and the next, which does it right, takes it off again (proof.md, "Known limits").
        at_work = [one for one in self._world.processes if one.runs]
        if len(at_work) > 1 and self._world.server.lagging:
            return
        self.broke(2, f"our own renewal makes {issued.id} end earlier")

    def _delivered(self, key: tuple[str, str], before: str, after: str) -> None:
        self._world.figures.deliveries += 1
        self._pods = self._pods or after
        dl = self._world.dl
        mine = dl is not None and self._holders.get(after) == dl.metadata.uid
        is_copy = not before and after in self._put  # under another name, with what was edited
        if mine and before != after and not is_copy:
            self._edits = self._strips = self._restores = 0
        self._put.add(after)
        loser = self._holders.get(before, "")
        if before and loser != self._holders.get(after, ""):
            self._due_issues[loser] += 1  # an older one took its Secret, and with it the values
        for lost, at in self._replaced.items():
            if math.isinf(at) and lost != after:
                self._replaced[lost] = self._world.clock.seconds
        if before and before != after:
            self._replaced[before] = self._world.clock.seconds
        if mine and key == self._world.secret_key and self._successor_since is None:
            self._successor_since = self._world.clock.seconds
        issued = self._world.server.leases.get(after)
        if issued is None or issued.attempt in self._forgiven:
            return
        if not before and self._world.posts_late:
            self._posted_late.add(issued.id)
            return  # DESIGN's known rest: a former leader just before its POST
        if before == after and issued.id in self._posted_late:
            return  # its marks are mended, until a look shows that it is gone
        # A lease of the slot whose record somebody deleted may be revoked after a newer one came.
        killed = issued.killed and before and not self._by_hand
        if issued.by_us or killed:
            self.broke(2, f"{after} is put into a Secret, and we had revoked it")

    def _deleting_secret(self, gone: SecretView) -> None:
        dl = self._world.dl
        if dl is None or dl.deleting or gone.name != dl.secret_name:
            return
        if gone.belongs_to(dl.metadata.uid):
            self.broke(2, f"Secret {gone.name} is wanted, and we deleted it")

    def _released(self, dl: lease.DynamicLease) -> None:
        """The finalizer goes off a DynamicLease: it is gone in this moment."""
        if dl.spec.deletion.policy == "Orphan":
            return
        world, uid = self._world, dl.metadata.uid
        since = dl.metadata.deletion_timestamp or world.clock.wall()
        timed_out = world.clock.wall() >= since + durations.parse(dl.spec.deletion.timeout)
        if timed_out or dl.metadata.namespace in world.truth.shut or uid in self._forced_off:
            return
        if not (self._world.kind.can.verifiable or self._world.kind.can.revocable):
            return
        on_record = {one.attempt_id for one in world.truth.recorded}
        hidden = self._taken - on_record  # only a process that stands still may know of them
        mine = [m for m in self.living() if self._holders.get(m.id) == uid]
        left = [m.id for m in mine if m.attempt not in hidden]
        if left:
            self.broke(5, f"the DynamicLease is gone before its time, and {left} live on")
        self._let_go.add(uid)


def contested(dl: lease.DynamicLease) -> bool:
    """Whether somebody changed or deleted its Secret again and again."""
    return dl.status.drift is not None and dl.status.drift.times > 1
