"""A history's world: the truth, the processes, time, and everything that users may do.

Actions are plain methods, so that the machine, the sweep and the mutants share them. Each tells
the judge what it entitles the operator to, and notes when the world was last disturbed
(``calm_since``); ``promises`` reads both.
"""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import conditions, durations, lease, names, record
from leaseholder.core import shards
from leaseholder.ports.namespaces import NamespaceView
from leaseholder.ports.secrets import SecretEvent, SecretView
from leaseholder.ports.workloads import Workload
from tests.simulation import caches, cluster, gate, judge, promises, server
from tests.simulation.loop import ManualLoop
from tests.simulation.process import Process
from tests.unit import clocks
from tests.unit.controller import world as units

SHOP: Final = units.SHOP
NAME: Final = units.NAME
KEY: Final = units.KEY
RIVAL: Final = (SHOP, "billing")
ALONE: Final = (shards.Shard(),)
SHARDS: Final = (shards.Shard("default", ("batch",)), shards.Shard("batch", ("default",)))
ROLLOUT: Final = 30.0
"""Seconds until replaced pods are up."""
LATE_WRITE: Final = 3.0
"""Seconds after which a write reaches the API server whose caller gave up."""
_READ_AND_WRITE: Final = 2
"""Calls of a delivery after it read the record: the DynamicLease, the Secret's write."""
MOST_CALLS: Final = 3000
"""Calls at one go; with ``MOST_A_SECOND`` for each second of a wait: more is busy for nothing."""
MOST_A_SECOND: Final = 15
MOST_AT_ONCE: Final = 18
"""Calls of a provider by one process at one go: more is hammering. Two processes claim each
other's attempts and issue in vain; that takes more."""
ALL: Final = frozenset(gate.Side)
EFFECTS: Final = frozenset({gate.Side.WRITE, gate.Side.PROVIDER})


@dataclass(slots=True)
class Figures:
    """What was done, over all histories."""

    histories: int = 0
    steps: int = 0
    issues: int = 0
    revocations: int = 0
    deliveries: int = 0
    met: Counter[str] = field(default_factory=Counter)
    """Calls that were held up or went wrong."""

    def counted(self) -> Counter[str]:
        """All figures by name."""
        plain = ("histories", "steps", "issues", "revocations", "deliveries")
        return Counter({name: getattr(self, name) for name in plain}) + self.met


class World:
    """One history."""

    def __init__(
        self,
        loop: ManualLoop,
        kind: server.Kind,
        every: Sequence[shards.Shard] = ALONE,
        **spec: Any,
    ) -> None:
        self.loop, self.kind, self.shards = loop, kind, every
        self.clock = clocks.FakeClock()
        loop.begin(self.clock)
        self.truth = cluster.Truth(self.clock)
        self.server = server.Server(kind, self.clock)
        self.truth.put_provider(units.infisical())
        self.processes: list[Process] = []
        self.figures = Figures()
        self.calm_since = self.clock.seconds
        self.spec: dict[str, Any] = {**units.SPEC, **spec}
        self.annotations: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self._nonces = itertools.count(1)
        self._statuses: list[lease.DynamicLeaseStatus] = []
        self._ledgers: list[dict[str, record.LeaseRecord]] = []
        self._late_write = 0.0
        self.stuck = False
        """Pods that are replaced don't come up."""
        self.workload = self.truth.user_runs("orders")
        self.judge = judge.Judge(self)
        self.truth.hooks.restarting.append(self._restarting)
        self.truth.hooks.secrets.append(self._secret_changed)
        self.truth.hooks.labels.append(self._label_changed)
        self.truth.hooks.leases.append(self._lease_changed)

    # -- processes and time

    def start(self, dies_after: str = "", *, draining: bool = False) -> Process:
        """A process starts; maybe one that ends when a call of that name took effect.

        It is of a shard that has no process yet, if there is one.
        """
        shard = min(self.shards, key=[one.shard for one in self.processes].count)
        process = Process(self.loop, self.truth, self.server, self._later, shard, draining=draining)
        self.processes.append(process)
        if dies_after:
            process.gate.arm(0, gate.Fate.CRASH_AFTER, EFFECTS, dies_after)
        self.settle()
        return process

    def crash(self, process: Process) -> None:
        """A process is killed wherever it is."""
        self.judge.crashing(process)
        process.crash()
        self.processes.remove(process)
        self.disturbed()

    def arm(
        self,
        process: Process,
        after: int,
        fate: gate.Fate,
        counts: frozenset[gate.Side],
        name: str = "",
    ) -> None:
        """Something is to happen to a process at a call to come."""
        process.gate.arm(after, fate, counts, name)
        self.judge.faulted()
        self.disturbed()
        self.settle()

    def go_on(self, process: Process, fuel: int = gate.NEVER) -> None:
        """A process that stands still goes on."""
        process.gate.release(fuel)
        self.judge.faulted()
        self.disturbed()
        self.settle()

    def settle(self) -> None:
        """Run all that is ready, and hold the promises against the world."""
        self.loop.drain()
        for process in [*self.processes]:
            if not process.alive:
                self.judge.crashing(process)
                process.bury()
                self.processes.remove(process)
                self.disturbed()
            else:
                process.check()
                asked = process.gate.sent_since()
                if asked > MOST_AT_ONCE * len(self.processes) ** 2:
                    raise AssertionError(f"the provider is called {asked} times at one go")
        if self.loop.mishaps:
            raise AssertionError("an exception that nobody caught") from self.loop.mishaps[0]
        self.judge.at_each_step()

    def wait(self, seconds: float) -> None:
        """Time passes, and everything that is due by then happens when it is due."""
        self.settle()
        end = self.clock.seconds + seconds
        before = sum(process.gate.calls for process in self.processes)
        while (at := self.loop.next_timer()) is not None and at <= end:
            self.clock.seconds = max(at, self.clock.seconds)
            self.settle()
            made = sum(process.gate.calls for process in self.processes) - before
            if made > MOST_CALLS + MOST_A_SECOND * seconds:
                raise AssertionError(f"{made} calls within {seconds} s: it never rests")
        self.clock.seconds = end
        self.settle()

    @property
    def all_ready(self) -> bool:
        """Whether every DynamicLease is Ready."""
        ready = conditions.ConditionType.READY
        known = self.truth.leases.values()
        return all(conditions.is_true(dl.status.conditions, ready) for dl in known)

    def disturbed(self) -> None:
        """Something happened from which the operator may have to recover."""
        self.calm_since = self.clock.seconds

    @property
    def calm_for(self) -> float:
        """Seconds since the last disturbance; none while something is out of order."""
        troubled = self.server.lagging or self.server.stubborn or self.server.forbids
        troubled = troubled or self.truth.keeps_secrets
        well = self.server.state is server.State.UP and not troubled
        well = well and self.all_serve and all(p.hears_all for p in self.processes)
        if not well:
            self.disturbed()
        return self.clock.seconds - self.calm_since

    @property
    def all_serve(self) -> bool:
        """Whether each shard has a process."""
        return {*self.shards} == {one.shard for one in self.processes}

    def _later(self, side: gate.Side, effect: Callable[[], Awaitable[object]]) -> None:
        """An effect that comes after its caller gave up."""
        after = self.kind.commits_late if side is gate.Side.PROVIDER else LATE_WRITE
        if side is gate.Side.WRITE:
            self._late_write = self.clock.seconds + after
        self.disturbed()

        async def act() -> None:
            try:
                await effect()
            except errors.EdgeError:
                return

        self.loop.call_later(after, lambda: self.loop.create_task(act()))

    # -- what a user does with the DynamicLease

    @property
    def dl(self) -> lease.DynamicLease | None:
        """The DynamicLease, if there is one."""
        return self.truth.leases.get(KEY)

    def apply(self, **spec: Any) -> None:
        """Create or change the DynamicLease; a changed source needs a new lease."""
        self.spec.update(spec)
        old = self.dl
        if old is not None and old.deleting:
            return
        manifest = {
            "metadata": {
                "name": NAME,
                "namespace": SHOP,
                "annotations": dict(self.annotations),
                "labels": dict(self.labels),
            },
            "spec": {key: value for key, value in self.spec.items() if value is not None},
        }
        if old is None and SHOP in self.truth.shut:
            return
        self.truth.user_applies(manifest)
        self.judge.applied(old, self._have())
        self._changed()

    def change_shard(self, label: str) -> None:
        """Another shard is to serve the DynamicLease; empty: no label says which."""
        self.labels = {names.SHARD: label} if label else {}
        if self.dl is not None:
            self.apply()

    def command(self, annotation: str) -> None:
        """A command with a new nonce."""
        self.annotations[annotation] = f"n{next(self._nonces)}"
        if self.dl is not None:
            self.apply()

    def delete(self) -> None:
        """Delete the DynamicLease."""
        if self.dl is not None and not self.dl.deleting:
            self.judge.deleting(self.dl)
            self.truth.user_deletes(SHOP, NAME)
            self._changed()

    def restore_elsewhere(self, *, gap: bool, awaited: bool = False) -> None:
        """The DynamicLease comes back from a backup under a new uid, beside its old Secret.

        ``gap``: for a moment there is none, and who looks then may retire what was its; not if
        it is ``awaited``, because everybody who looks saw it a moment ago.
        """
        if self.dl is None or self.dl.deleting:
            return
        shown = self.truth.shows(self.secret_key)
        old = self.truth.lose(KEY).holder
        for key in [key for key in self.truth.secrets if key[0] == SHOP]:
            self.truth.user_changed(self.truth.user_writes_secret(*key, owner_uids=()))
        self.judge.overlaps_lost()
        if gap:
            self._changed()
        if awaited or not gap:
            self.judge.inherits(shown, old.uid)
        self.apply()
        self._changed()

    def force_off_finalizer(self) -> None:
        """Somebody takes the finalizer off by hand."""
        if self.dl is not None:
            self.judge.forced_off(self.dl)
            self.truth.user_strips_finalizer(SHOP, NAME)
            self._changed()

    def change_source(self, source: str) -> None:
        """Another dynamic secret is wanted."""
        self.apply(infisical={**self.spec["infisical"], "dynamicSecretName": source})

    def change_target(self, **target: Any) -> None:
        """The Secret is to look otherwise; None takes a wish back."""
        wished = {**self.spec.get("target", {}), **target}
        self.apply(target={key: value for key, value in wished.items() if value is not None})

    def repeat_event(self) -> None:
        """An event is delivered once more: nothing has happened."""
        for process in self.processes:
            if self.dl is not None:
                process.hears(caches.Seen(self.dl))
        self.settle()

    def remember(self) -> None:
        """A backup is made."""
        if self.dl is not None:
            self._statuses.append(self.dl.status)
        self._ledgers.append(dict(self.truth.ledger))

    def restore_status(self) -> None:
        """The status of the backup comes back, or none."""
        if self.dl is None:
            return
        status = self._statuses[-1] if self._statuses else lease.DynamicLeaseStatus()
        self.truth._put_lease(self.dl.model_copy(update={"status": status}))
        self.judge.tampered()
        self._changed()

    def open_namespace(self) -> None:
        """The namespace is gone, and made anew under its name."""
        if not self.truth.leases and not any(key[0] == SHOP for key in self.truth.secrets):
            self.truth.shut.discard(SHOP)
            self.truth.namespaces[SHOP] = NamespaceView(
                name=SHOP, labels={}, terminating=False, uid=f"{SHOP}-{next(self._nonces)}"
            )

    def deafen(self, process: Process, deaf: bool, trails: float = 0.0) -> None:
        """No event reaches a process any more, or its watches are back and list everything.

        ``trails``: events reach it so many seconds late.
        """
        process.deaf, process.trails = deaf, trails
        process.lists()
        self.disturbed()
        self.settle()

    def _changed(self) -> None:
        self.disturbed()
        self.settle()

    def _lease_changed(self, seen: caches.Seen) -> None:
        for process in self.processes:
            process.hears(seen)

    def _have(self) -> lease.DynamicLease:
        return self.truth.leases[KEY]

    # -- what a user does with records

    def delete_record(self, which: int) -> None:
        """Somebody deletes a record by hand."""
        known = sorted(self.truth.ledger)
        if known:
            gone = self.truth.user_takes_record(known[which % len(known)])
            self.judge.record_taken(gone)
            self.disturbed()
            self.settle()

    def restore_records(self) -> None:
        """The records of the backup come back; newer ones stay."""
        for known in self._ledgers[-1].values() if self._ledgers else ():
            if known.name not in self.truth.ledger:
                self.truth.put_record(known)
        self.judge.tampered()
        self.disturbed()
        self.settle()

    # -- what a user does with the Secret

    @property
    def secret_key(self) -> tuple[str, str]:
        """Namespace and name of the Secret that is wanted now."""
        return (SHOP, self.dl.secret_name) if self.dl is not None else KEY

    def delete_secret(self) -> None:
        """A user deletes the Secret; pods that run may use its credentials all the same."""
        gone = self.truth.secrets.pop(self.secret_key, None)
        if gone is not None:
            self.judge.secret_lost(self.truth.values.pop(self.secret_key))
            self.truth.user_changed(gone, gone=True)
            self.disturbed()
            self.settle()

    def mark_secret(self, **changes: Any) -> None:
        """A user changes labels or annotations of the Secret."""
        before = self.truth.secrets.get(self.secret_key)
        if before is not None:
            known = self.truth.user_writes_secret(*self.secret_key, **changes)
            left = names.OWNER_UID not in known.labels
            self.truth.user_changed(before if left else known, gone=left)
            self.disturbed()
            self.settle()

    def edit_secret(self, number: int) -> None:
        """A user changes a value, or takes it away."""
        known = dict(self.truth.values.get(self.secret_key, {}))
        if server.PASSWORD in known:
            del known[server.PASSWORD]
            known |= {server.PASSWORD: f"edited-{number}"} if number else {}
            self.judge.edited()
            self.mark_secret(values=known)

    def add_key(self) -> None:
        """A user puts a key of their own into the Secret."""
        known = self.truth.values.get(self.secret_key)
        if known is not None:
            self.mark_secret(values={**known, "MINE": "1"})

    def strip_label(self) -> None:
        """A user takes our labels off the Secret."""
        self.mark_secret(labels={})

    def strip_annotations(self, *, everything: bool) -> None:
        """A user takes our annotations off the Secret, or the one that names the record."""
        known = self.truth.secrets.get(self.secret_key)
        if known is not None:
            kept = {k: v for k, v in known.annotations.items() if k != names.ATTEMPT}
            self.judge.stripped()
            self.mark_secret(annotations={} if everything else kept)

    def add_marks(self) -> None:
        """A user adds a label and an annotation of their own."""
        known = self.truth.secrets.get(self.secret_key)
        if known is not None:
            self.mark_secret(
                labels={**known.labels, "team": "shop"},
                annotations={**known.annotations, "note": "mine"},
            )

    # -- others

    def rival(self, secret_name: str) -> None:
        """Another DynamicLease, maybe for the same Secret."""
        if RIVAL not in self.truth.leases:
            self.rival_wants(secret_name)

    def rival_wants(self, secret_name: str) -> None:
        """The other DynamicLease is there, and wants that Secret."""
        before = self.truth.leases.get(RIVAL)
        if SHOP in self.truth.shut or (before is not None and before.deleting):
            return
        spec = {**self.spec, "target": {"secretName": secret_name}}
        manifest = {
            "metadata": {"name": RIVAL[1], "namespace": SHOP},
            "spec": {key: value for key, value in spec.items() if value is not None},
        }
        made = self.truth.user_applies(manifest)
        self.judge.applied(before, made)
        self._changed()

    def delete_rival(self) -> None:
        """The other DynamicLease goes."""
        known = self.truth.leases.get(RIVAL)
        if known is not None and not known.deleting:
            self.judge.deleting(known)
            self.truth.user_deletes(*RIVAL)
            self._changed()

    def stick(self, *, stuck: bool) -> None:
        """Pods of the workload don't come up any more, or come up again."""
        self.stuck = stuck
        self.disturbed()
        if not stuck:
            self._rolled_out()
        self.settle()

    def forbid_deletes(self, *, forbidden: bool) -> None:
        """Somebody takes our right to delete Secrets, or gives it back."""
        self.truth.keeps_secrets = forbidden
        self.disturbed()
        self.settle()

    def _restarting(self, known: Workload, key: str, value: str) -> None:
        self.judge.restarting(known, key, value)
        self.loop.call_later(ROLLOUT, self._rolled_out)

    @property
    def rolls(self) -> bool:
        """Whether pods of a workload are still to be replaced."""
        running = self.truth.running.values()
        return self.stuck or any(one.updated < one.wanted for one in running)

    def _rolled_out(self) -> None:
        if not self.stuck:
            self.truth.rolls_out(self.workload)
            self.judge.rolled_out()

    # -- what happens to the provider and around

    def outage(self, state: server.State) -> None:
        """The provider goes away, or comes back."""
        self.server.state = state
        self.disturbed()
        self.settle()

    def lag(self, lagging: bool) -> None:
        """The provider's replicas trail, or don't."""
        self.server.lagging = lagging
        self.disturbed()
        self.settle()

    def refuse_revocations(self, times: int) -> None:
        """The next revocations fail."""
        self.server.stubborn = times
        self.disturbed()

    def fail_renewals(self, *, fails: bool) -> None:
        """The system behind the provider renews nothing, or does so again."""
        self.server.fails_renewals = fails
        self.disturbed()

    def forbid_revocations(self) -> None:
        """Somebody takes our right to revoke; it comes back when all calms down."""
        self.server.forbids = True
        self.disturbed()

    def replace_provider(self) -> None:
        """The LeaseProvider is deleted and made again: the same provider under another uid."""
        made = units.infisical(uid=f"provider-uid-{next(self._nonces)}")
        self.truth.put_provider(made)
        self.disturbed()

    def revoke_outside(self, which: int) -> None:
        """Somebody revokes a lease at the provider."""
        living = self.server.living()
        if living and self.kind.can.slots == "Many" and self.kind.can.verifiable:
            lost = living[which % len(living)]
            self.server.leases[lost.id].revoked_at = self.server.now()
            self.disturbed()
            self.settle()

    def jump_wall(self, process: Process, seconds: float) -> None:
        """A machine's wall clock is set: that is no disturbance, because it decides nothing."""
        process.clock.off += seconds
        self.settle()

    def shut_namespace(self) -> None:
        """The namespace is deleted: everything in it is told to go, and nothing new gets in."""
        self.truth.shut.add(SHOP)
        known = self.truth.namespaces.get(SHOP)
        uid = known.uid if known is not None else SHOP
        self.truth.namespaces[SHOP] = NamespaceView(name=SHOP, labels={}, terminating=True, uid=uid)
        self.delete()
        self.delete_rival()
        for key in [key for key in self.truth.secrets if key[0] == SHOP]:
            gone = self.truth.secrets.pop(key)
            del self.truth.values[key]
            self.truth.user_changed(gone, gone=True)
        self._changed()

    def _secret_changed(self, event: SecretEvent) -> None:
        for process in self.processes:
            process.hears_of_secret(event)

    def _label_changed(self, view: SecretView, gone: bool) -> None:
        for process in self.processes:
            process.hears_of_label(view, gone=gone)

    # -- the end

    def calm_down(self, seconds: float) -> None:
        """No more faults: everything runs freely, and time passes."""
        for process in [*self.processes]:
            process.deaf, process.trails, process.misses_secrets = False, 0.0, False
            process.gate.release()
            process.lists()
        self.server.state, self.server.lagging, self.server.stubborn = server.State.UP, False, 0
        self.server.forbids = self.server.fails_renewals = False
        self.truth.keeps_secrets = False
        self.stick(stuck=False)
        while not self.all_serve:
            self.start()
        self.disturbed()
        self.wait(seconds)

    def finish(self) -> None:
        """Faults stop and all becomes well; then the DynamicLease goes, and nothing is left."""
        self.calm_down(promises.CALM + 60)
        self.delete()
        self.delete_rival()
        self.wait(1200)
        for _ in range(26):
            if not self.truth.ledger:
                break
            self.wait(3600)
        self.judge.at_the_end()

    @property
    def posts_late(self) -> bool:
        """Whether a Secret's write is under way that was decided long before.

        A process stood still after it had read the record, or the write is on its way since.
        """
        resumed = any(process.gate.since_pause <= _READ_AND_WRITE for process in self.processes)
        return resumed or self.clock.seconds <= self._late_write

    def close(self) -> None:
        """End all processes, so that nothing is left on the loop."""
        for process in self.processes:
            for (call, fate), count in process.gate.met.items():
                self.figures.met[f"{call}: {fate.value}"] += count
            process.crash()
        self.processes.clear()


def overlap_of(dl: lease.DynamicLease) -> float:
    """Seconds that a replaced lease lives on."""
    return durations.parse(dl.spec.rotation.overlap).total_seconds()


__all__ = ["ALL", "EFFECTS", "Figures", "World", "names", "overlap_of"]
