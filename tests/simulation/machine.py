"""The hypothesis state machine: what may happen, in any order.

Each rule is one choice; between choices everything that isn't held up runs to rest. At the end
the faults stop, time passes, the DynamicLease is deleted, and what must hold then is held.
"""

import sys
from typing import Any, Final

from hypothesis import stateful
from hypothesis import strategies as st

from leaseholder.api import names
from tests.simulation import gate, server, world
from tests.simulation.loop import ManualLoop

MOST_PROCESSES: Final = 2
DAY: Final = 86_400.0
PERCENT: Final = st.sampled_from([50, 66, 90])
TTL: Final = st.sampled_from(["60s", "5m", "1h"])
STRATEGY: Final = st.sampled_from(["Auto", "Auto", "Renew", "Rotate"])
WHICH: Final = st.integers(0, 5)
CALLS: Final = st.integers(0, 12)
FEW: Final = st.integers(0, 2)
EFFECTS: Final = st.sampled_from(
    [
        "create_record",
        "issue",
        "write_record",
        "write_secret",
        "patch_lease_status",
        "delete_record",
        "delete_secret",
        "revoke",
        "renew",
        "stamp_workload",
        "touch_secret",
        "patch_finalizer",
    ]
)
"""Calls that matter to a promise."""
_READS: Final = ("record_named", "read_dynamic_lease", "inspect", "recover")
READS: Final = st.sampled_from(_READS)
ONE_IN_FOUR: Final = st.sampled_from([False, False, False, True])
FATES: Final = st.sampled_from([fate for fate in gate.Fate if fate is not gate.Fate.PAUSE])


class Histories(stateful.RuleBasedStateMachine):
    """Histories of one DynamicLease and its successors."""

    loop: ManualLoop
    kinds: tuple[str, ...]
    total: world.Figures
    """Over all histories of this run."""
    world: world.World

    @stateful.initialize(data=st.data(), two=st.booleans(), sharded=ONE_IN_FOUR)
    def begin(self, data: st.DataObject, two: bool, sharded: bool) -> None:
        kind = server.KINDS[data.draw(st.sampled_from(self.kinds), label="kind")]
        spec: dict[str, Any] = {
            "ttl": data.draw(TTL, label="ttl"),
            "renewal": {"strategy": data.draw(STRATEGY), "afterPercent": data.draw(PERCENT)},
            "rotation": {"maxAge": data.draw(st.sampled_from([None, None, "30m"]))},
            "deletion": {"policy": data.draw(st.sampled_from(["Revoke"] * 5 + ["Orphan"]))},
        }
        spec["rotation"] = {k: v for k, v in spec["rotation"].items() if v is not None}
        if data.draw(st.sampled_from([False, False, True]), label="restarts"):
            spec["rotation"]["restartTargets"] = [{"kind": "Deployment", "name": "orders"}]
        self.world = world.World(self.loop, kind, world.SHARDS if sharded else world.ALONE, **spec)
        self.world.figures = self.total
        for _ in range(1 + (two or sharded)):
            self.world.start()

    # -- processes

    def _process(self, which: int) -> Any:
        return self.world.processes[which % len(self.world.processes)]

    def _any(self) -> bool:
        return bool(self.world.processes)

    def _some_held(self) -> bool:
        return any(p.gate.paused for p in self.world.processes)

    @stateful.precondition(lambda self: len(self.world.processes) < MOST_PROCESSES)
    @stateful.rule()
    def start(self) -> None:
        self.world.start()

    @stateful.precondition(_any)
    @stateful.rule(which=WHICH)
    def crash(self, which: int) -> None:
        self.world.crash(self._process(which))

    @stateful.precondition(_any)
    @stateful.rule(which=WHICH, after=CALLS, fate=FATES)
    def strike(self, which: int, after: int, fate: gate.Fate) -> None:
        """A call that has an effect goes wrong."""
        self.world.arm(self._process(which), after, fate, world.EFFECTS)

    @stateful.precondition(_any)
    @stateful.rule(which=WHICH, after=CALLS)
    def pause_before_an_effect(self, which: int, after: int) -> None:
        self.world.arm(self._process(which), after, gate.Fate.PAUSE, world.EFFECTS)

    @stateful.precondition(_any)
    @stateful.rule(which=WHICH, after=st.integers(0, 30))
    def pause(self, which: int, after: int) -> None:
        self.world.arm(self._process(which), after, gate.Fate.PAUSE, world.ALL)

    @stateful.precondition(_any)
    @stateful.rule(which=WHICH, after=FEW, fate=FATES, call=EFFECTS)
    def strike_at(self, which: int, after: int, fate: gate.Fate, call: str) -> None:
        """A call of that name goes wrong."""
        self.world.arm(self._process(which), after, fate, world.EFFECTS, call)

    @stateful.precondition(_any)
    @stateful.rule(which=WHICH, after=FEW, call=EFFECTS | READS)
    def pause_at(self, which: int, after: int, call: str) -> None:
        """A process stands still just before a call of that name."""
        counts = world.ALL if call in _READS else world.EFFECTS
        self.world.arm(self._process(which), after, gate.Fate.PAUSE, counts, call)

    @stateful.precondition(_some_held)
    @stateful.rule(which=WHICH)
    def go_on(self, which: int) -> None:
        held = [p for p in self.world.processes if p.gate.paused]
        self.world.go_on(held[which % len(held)])

    @stateful.precondition(_some_held)
    @stateful.rule(which=WHICH, fuel=st.integers(1, 12))
    def go_on_a_little(self, which: int, fuel: int) -> None:
        held = [p for p in self.world.processes if p.gate.paused]
        self.world.go_on(held[which % len(held)], fuel)

    @stateful.precondition(_any)
    @stateful.rule(which=WHICH, deaf=st.booleans())
    def lose_events(self, which: int, deaf: bool) -> None:
        self.world.deafen(self._process(which), deaf)

    @stateful.precondition(_any)
    @stateful.rule(which=WHICH, trails=st.sampled_from([1.0, 20.0, 90.0]))
    def trail(self, which: int, trails: float) -> None:
        self.world.deafen(self._process(which), False, trails)

    @stateful.rule()
    def repeat_event(self) -> None:
        self.world.repeat_event()

    @stateful.precondition(_any)
    @stateful.rule(which=WHICH, seconds=st.sampled_from([-DAY, -60.0, 60.0, DAY]))
    def jump_wall(self, which: int, seconds: float) -> None:
        self.world.jump_wall(self._process(which), seconds)

    # -- time

    @stateful.rule(seconds=st.sampled_from([1.0, 5.0, 20.0]))
    def wait_a_moment(self, seconds: float) -> None:
        self.world.wait(seconds)

    @stateful.rule(seconds=st.sampled_from([30.0, 60.0, 130.0, 300.0]))
    def wait_minutes(self, seconds: float) -> None:
        self.world.wait(seconds)

    @stateful.rule(seconds=st.sampled_from([900.0, 1800.0, 4000.0]))
    def wait_long(self, seconds: float) -> None:
        self.world.wait(seconds)

    # -- the DynamicLease

    @stateful.rule()
    def apply(self) -> None:
        self.world.apply()

    @stateful.rule(ttl=TTL, strategy=STRATEGY, percent=PERCENT)
    def change_times(self, ttl: str, strategy: str, percent: int) -> None:
        self.world.apply(ttl=ttl, renewal={"strategy": strategy, "afterPercent": percent})

    @stateful.rule(source=st.sampled_from(["d", "e"]))
    def change_source(self, source: str) -> None:
        self.world.change_source(source)

    @stateful.precondition(lambda self: self.world.shards is world.SHARDS)
    @stateful.rule(label=st.sampled_from(["", "batch", "batch", "nobody"]))
    def change_shard(self, label: str) -> None:
        self.world.change_shard(label)

    @stateful.rule(name=st.sampled_from([None, "other"]))
    def rename_secret(self, name: str | None) -> None:
        self.world.change_target(secretName=name)

    @stateful.rule(label=st.sampled_from(["a", "b"]))
    def change_template(self, label: str) -> None:
        self.world.change_target(template={"metadata": {"labels": {"l": label}}})

    @stateful.rule(url=st.sampled_from([None, "a", "b"]))
    def change_template_data(self, url: str | None) -> None:
        data = {"URL": url + "/{{ DB_USERNAME }}:{{ DB_PASSWORD }}"} if url is not None else {}
        self.world.change_target(template={"data": data})

    @stateful.rule(suspend=st.booleans())
    def suspend(self, suspend: bool) -> None:
        self.world.apply(suspend=suspend)

    @stateful.rule(command=st.sampled_from([names.ROTATE, names.RENEW, names.FORCE]))
    def command(self, command: str) -> None:
        self.world.command(command)

    @stateful.rule()
    def delete(self) -> None:
        self.world.delete()

    @stateful.rule()
    def force_off_finalizer(self) -> None:
        self.world.force_off_finalizer()

    @stateful.rule(gap=st.booleans())
    def restore_elsewhere(self, gap: bool) -> None:
        self.world.restore_elsewhere(gap=gap)

    @stateful.rule()
    def shut_namespace(self) -> None:
        self.world.shut_namespace()

    @stateful.rule()
    def open_namespace(self) -> None:
        self.world.open_namespace()

    # -- backups and hands

    @stateful.rule()
    def back_up(self) -> None:
        self.world.remember()

    @stateful.rule()
    def restore_status(self) -> None:
        self.world.restore_status()

    @stateful.rule()
    def restore_records(self) -> None:
        self.world.restore_records()

    @stateful.rule(which=WHICH)
    def delete_record(self, which: int) -> None:
        self.world.delete_record(which)

    @stateful.rule()
    def delete_secret(self) -> None:
        self.world.delete_secret()

    @stateful.rule(number=st.integers(0, 2))
    def edit_secret(self, number: int) -> None:
        self.world.edit_secret(number)

    @stateful.rule()
    def add_key(self) -> None:
        self.world.add_key()

    @stateful.rule(everything=st.booleans())
    def strip_annotations(self, everything: bool) -> None:
        self.world.strip_annotations(everything=everything)

    @stateful.rule(stuck=st.booleans())
    def stick(self, stuck: bool) -> None:
        self.world.stick(stuck=stuck)

    @stateful.rule(name=st.sampled_from(["orders", "other", "billing"]))
    def rival(self, name: str) -> None:
        self.world.rival(name)

    @stateful.rule()
    def delete_rival(self) -> None:
        self.world.delete_rival()

    @stateful.rule(forbidden=st.booleans())
    def forbid_deletes(self, forbidden: bool) -> None:
        self.world.forbid_deletes(forbidden=forbidden)

    @stateful.rule()
    def strip_label(self) -> None:
        self.world.strip_label()

    @stateful.rule()
    def add_marks(self) -> None:
        self.world.add_marks()

    # -- the provider

    @stateful.rule(state=st.sampled_from([*server.State, server.State.UP]))
    def outage(self, state: server.State) -> None:
        self.world.outage(state)

    @stateful.rule(lagging=st.booleans())
    def lag(self, lagging: bool) -> None:
        self.world.lag(lagging)

    @stateful.rule(fails=st.booleans())
    def fail_renewals(self, fails: bool) -> None:
        self.world.fail_renewals(fails=fails)

    @stateful.rule(times=st.integers(1, 3))
    def refuse_revocations(self, times: int) -> None:
        self.world.refuse_revocations(times)

    @stateful.rule(which=WHICH)
    def revoke_outside(self, which: int) -> None:
        self.world.revoke_outside(which)

    @stateful.rule()
    def replace_provider(self) -> None:
        self.world.replace_provider()

    # -- the end

    def check_invariants(self, *args: Any) -> None:
        """The promises were held at each moment; here steps are counted."""
        self.total.steps += 1

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.world.finish()
                self.total.histories += 1
        finally:
            self.world.close()
