"""Tales: pieces of a lease's life without a pause, each with what must be so at its end.

A history counts what may come of its faults, and a sweep stops a process somewhere; both forgive a
lease in vain. A tale forgives nothing. After it the promises are held as after each history.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from leaseholder.api import conditions, names
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.controller import compare
from leaseholder.core import shards
from tests.simulation import gate, server, world
from tests.simulation.promises import Broken
from tests.unit.controller import world as units

Play = Callable[[world.World], None]
RENEWED: Final = ("taggable", "owner-and-time", "exclusive", "one-slot")
"""Kinds whose leases are renewed for ever."""
SEEN: Final = (*RENEWED, "accessor")
"""Kinds whose leases can be inspected."""
SHORT: Final = {"ttl": "5m"}


@dataclass(frozen=True, slots=True)
class Tale:
    """What happens, for these kinds of provider."""

    play: Play
    kinds: tuple[str, ...] = tuple(server.KINDS)
    spec: Mapping[str, Any] = field(default_factory=lambda: {"ttl": "1h"})
    every: Sequence[shards.Shard] = world.ALONE


def _held(known: world.World) -> None:
    known.start()
    known.apply()
    known.wait(1)


def _holds(promise: int, what: str, *, is_so: bool) -> None:
    if not is_so:
        raise Broken(promise, what)


def _ready(known: world.World) -> conditions.Condition | None:
    dl = known.dl
    kind = ConditionType.READY
    return conditions.find(dl.status.conditions, kind) if dl is not None else None


def _must_be_ready(known: world.World) -> None:
    ready = _ready(known)
    _holds(2, "it isn't Ready", is_so=ready is not None and ready.status == "True")


def _issued_at_most(known: world.World, number: int) -> None:
    many = len(known.server.leases)
    _holds(4, f"{many} leases were issued for {number}", is_so=many <= number)


def short_life(known: world.World) -> None:
    """Nothing happens, for many lives of a lease."""
    _held(known)
    for _ in range(30):
        known.wait(50)
        _must_be_ready(known)
    _issued_at_most(known, 1)


def outages(known: world.World) -> None:
    """The provider is away each other minute, never for as long as a lease has left."""
    _held(known)
    for _ in range(12):
        known.outage(server.State.REFUSES)
        known.wait(60)
        known.outage(server.State.UP)
        known.wait(60)
        _must_be_ready(known)
    _issued_at_most(known, 1)


def not_renewed(known: world.World) -> None:
    """The system behind the provider renews nothing, and the provider issues leases."""
    _held(known)
    first = known.truth.shows(known.secret_key)
    known.fail_renewals(fails=True)
    for _ in range(57):
        known.wait(60)
        _must_be_ready(known)
    shown = known.truth.shows(known.secret_key)
    _holds(3, "it ends before it is replaced", is_so=shown != first and known.server.lives(first))
    _issued_at_most(known, 2)


def renewed_at_last(known: world.World) -> None:
    """Renewals fail behind the provider, but not for as long as the lease lives."""
    _held(known)
    known.fail_renewals(fails=True)
    known.wait(3000)
    known.fail_renewals(fails=False)
    for _ in range(30):
        known.wait(60)
        _must_be_ready(known)
    _issued_at_most(known, 1)


def away_to_the_last(known: world.World) -> None:
    """The provider is away until little of a lease is left, again and again."""
    _held(known)
    for seconds in range(100, 220, 20):
        known.outage(server.State.REFUSES)
        (issued,) = known.server.living()
        left = issued.lease.expires_at - known.server.now()
        known.wait(left.total_seconds() - seconds)
        known.outage(server.State.UP)
        known.wait(seconds - 20)
        _must_be_ready(known)
    _issued_at_most(known, 1)


def ended_outside(known: world.World) -> None:
    """Somebody revokes the lease at the provider, long before a renewal is due."""
    _held(known)
    known.wait(200)
    known.revoke_outside(0)
    known.wait(400)
    _must_be_ready(known)
    shown = known.truth.shows(known.secret_key)
    _holds(2, "the Secret shows a lease that is gone", is_so=known.server.lives(shown))
    _issued_at_most(known, 2)


def trailing(known: world.World) -> None:
    """A lease is renewed, and inspected while replicas show its end as it was before."""
    known.truth.put_provider(units.infisical(probe={"interval": "10s"}))
    _held(known)
    known.wait(150)
    known.lag(True)
    known.command(names.RENEW)
    for _ in range(10):
        known.wait(20)
        _must_be_ready(known)
    known.lag(False)
    known.wait(400)
    _must_be_ready(known)
    _issued_at_most(known, 1)


def undeletable(known: world.World) -> None:
    """The Secret under a former name may not be deleted, for many lives of the lease."""
    _held(known)
    known.forbid_deletes(forbidden=True)
    known.change_target(secretName="other")
    for _ in range(15):
        known.wait(100)
        _must_be_ready(known)
    known.forbid_deletes(forbidden=False)
    known.wait(700)
    _must_be_ready(known)
    _issued_at_most(known, 1)


def clock_set(known: world.World) -> None:
    """The operator's wall clock is set, back and ahead."""
    _held(known)
    for seconds in (-86_400.0, 2 * 86_400.0):
        known.jump_wall(known.processes[0], seconds)
        known.wait(400)
        _must_be_ready(known)
    _issued_at_most(known, 1)


def answered_unheard(known: world.World) -> None:
    """A process ends when it has delivered for a command, and before status says so."""
    _held(known)
    known.arm(known.processes[0], 0, gate.Fate.CRASH_BEFORE, world.EFFECTS, "patch_lease_status")
    known.command(names.ROTATE)
    known.start()
    known.wait(60)
    _must_be_ready(known)
    _issued_at_most(known, 2)


def restored(known: world.World) -> None:
    """A DynamicLease comes back under another uid, beside its Secret."""
    _held(known)
    known.restore_elsewhere(gap=False)
    known.wait(60)
    _must_be_ready(known)
    _issued_at_most(known, 1)


def restored_suspended(known: world.World) -> None:
    """A suspended one comes back so, its Secret loses our notes, and it is deleted by others."""
    _held(known)
    known.apply(suspend=True)
    known.restore_elsewhere(gap=False)
    known.wait(60)
    _must_be_ready(known)
    known.strip_annotations(everything=True)
    known.crash(known.processes[0])
    known.delete()
    known.start()
    known.wait(60)
    _holds(5, "its Secret is left", is_so=known.secret_key not in known.truth.secrets)
    _issued_at_most(known, 1)


def drained(known: world.World) -> None:
    """A DynamicLease is made while the installation is drained."""
    known.start(draining=True)
    known.apply()
    known.wait(60)
    _issued_at_most(known, 0)
    known.crash(known.processes[0])


def crowd(known: world.World) -> None:
    """As many leases as may live, replaced and in their overlap, and the Secret is deleted."""
    _held(known)
    for _ in range(4):
        known.command(names.ROTATE)
        known.wait(10)
    known.delete_secret()
    known.wait(120)
    _must_be_ready(known)


def unconfirmed(known: world.World) -> None:
    """Our right to revoke is gone, for more leases than a record holds."""
    _held(known)
    known.forbid_revocations()
    for _ in range(36):
        known.wait(120)
        _must_be_ready(known)


def wedged(known: world.World) -> None:
    """The right to delete Secrets is gone, and a DynamicLease goes."""
    _held(known)
    known.forbid_deletes(forbidden=True)
    known.delete()
    known.wait(1000)
    _holds(5, "the deletion hangs", is_so=known.dl is None)
    known.delete_secret()


def made_again(known: world.World) -> None:
    """The Namespace goes while no revocation succeeds, and another one comes under its name."""
    _held(known)
    former = known.truth.shows(known.secret_key)
    known.refuse_revocations(7)
    known.shut_namespace()
    known.wait(60)
    _holds(5, "the namespace hangs", is_so=known.dl is None and known.server.lives(former))
    known.open_namespace()
    known.apply()
    known.wait(60)
    _must_be_ready(known)
    known.wait(600)
    _holds(5, "the former tenant's lease lives on", is_so=not known.server.lives(former))
    _issued_at_most(known, 2)


def made_again_unheard(known: world.World) -> None:
    """A second process hears nothing of the Namespace that is made again, and reads its record."""
    _held(known)
    known.start()
    known.shut_namespace()
    known.wait(60)
    known.deafen(known.processes[1], deaf=True)
    known.open_namespace()
    known.apply()
    known.wait(900)
    _must_be_ready(known)
    _issued_at_most(known, 2)


def made_again_twice(known: world.World) -> None:
    """A Namespace is made again twice, and neither tenant's lease can be revoked meanwhile."""
    _held(known)
    known.forbid_revocations()
    for _ in range(2):
        known.shut_namespace()
        known.wait(60)
        known.force_off_finalizer()
        known.wait(60)
        known.open_namespace()
        known.apply()
        known.wait(120)
    known.change_shard("batch")
    known.wait(60)


def lengthened_twice(known: world.World) -> None:
    """A longer ttl is asked for, and again, and a renewal, all before replicas show the first.

    Each renewal adds to the end that a replica shows.
    """
    _held(known)
    known.wait(60)
    known.lag(lagging=True)
    for ttl in ("30m", "3h"):
        known.apply(ttl=ttl)
    known.command(names.RENEW)
    known.wait(180)
    _must_be_ready(known)
    left = min(one.lease.expires_at - known.server.now() for one in known.server.living())
    _holds(2, "it lives less than was asked for", is_so=left >= timedelta(hours=2))
    _issued_at_most(known, 1)


def orphaned(known: world.World) -> None:
    """Lease and Secret are its owner's to keep."""
    _held(known)
    shown = known.truth.shows(known.secret_key)
    known.delete()
    known.wait(60)
    kept = known.dl is None and known.server.lives(shown)
    _holds(5, "what is the owner's to keep is gone", is_so=kept and shown in known.judge.shown())


def refused(known: world.World) -> None:
    """The provider takes no revocation, then it is away, and a DynamicLease goes meanwhile."""
    _held(known)
    known.refuse_revocations(100)
    known.delete()
    known.wait(60)
    before = _pending_for(known)
    known.outage(server.State.REFUSES)
    known.wait(120)
    after = _pending_for(known)
    _holds(5, "the deletion hangs in silence", is_so=after == Reason.UNAVAILABLE != before)


def killed(known: world.World) -> None:
    """A DynamicLease goes while no revocation succeeds, and its operator is killed each 40 s."""
    _held(known)
    known.refuse_revocations(100)
    known.delete()
    for _ in range(8):
        known.wait(40)
        known.crash(known.processes[0])
        known.start()
    _holds(5, "restarts begin deletion.timeout anew", is_so=known.dl is None)


def _pending_for(known: world.World) -> str:
    kind = ConditionType.REVOCATION_PENDING
    found = conditions.find(known.dl.status.conditions, kind) if known.dl is not None else None
    return found.reason if found is not None else ""


def awaited(known: world.World) -> None:
    """A deletion waits for the search after an unclear attempt."""
    _held(known)
    known.arm(known.processes[0], 0, gate.Fate.CRASH_BEFORE, world.EFFECTS, "issue")
    known.command(names.ROTATE)
    known.start()
    known.delete()
    known.wait(30)
    ready = _ready(known)
    false = known.dl is None or (ready is not None and ready.status == "False")
    _holds(2, "Ready is True of a lease that is gone", is_so=false)


def rolled_out(known: world.World) -> None:
    """A lease is replaced, and the workload moves."""
    _held(known)
    known.command(names.ROTATE)
    known.wait(600)
    _holds(3, "the replaced lease lives on", is_so=len(known.server.living()) == 1)


def stuck(known: world.World) -> None:
    """A lease is replaced, and the new pods don't come up for longer than it lives."""
    _held(known)
    known.command(names.ROTATE)
    known.wait(60)
    known.stick(stuck=True)
    known.command(names.ROTATE)
    known.wait(900)
    _holds(3, "a lease ended that pods use", is_so=known.server.lives(known.judge.used))


def marks(known: world.World) -> None:
    """A user takes our label off, and the template gets another one."""
    _held(known)
    known.strip_label()
    known.change_target(template={"metadata": {"labels": {"l": "a"}}})
    known.wait(60)
    secret = known.truth.secrets[known.secret_key]
    marked = names.OWNER_UID in secret.labels and secret.labels.get("l") == "a"
    _holds(2, "the Secret isn't as it is wanted", is_so=marked)
    _issued_at_most(known, 1)


def renamed_back(known: world.World) -> None:
    """A new name is taken back while a process reads the Secrets to delete the former one."""
    _held(known)
    first = known.processes[0]
    known.forbid_deletes(forbidden=True)
    known.change_target(secretName="other")
    known.wait(5)
    first.gate.stall("secret")
    known.forbid_deletes(forbidden=False)
    known.wait(60)
    known.change_target(secretName=None)
    first.gate.answer()
    known.wait(60)
    _must_be_ready(known)
    _issued_at_most(known, 1)


def let_go(known: world.World) -> None:
    """Owner and finalizer are taken off by hand, and the DynamicLease goes."""
    _held(known)
    known.deafen(known.processes[0], True)
    known.mark_secret(owner_uids=())
    known.force_off_finalizer()
    known.delete()
    known.deafen(known.processes[0], False)
    known.wait(900)
    _holds(5, "its Secret is left", is_so=not known.truth.secrets)


def listed(known: world.World) -> None:
    """One process acquires a lease, after another one listed what there is."""
    known.start()
    known.rival("billing")
    known.wait(5)
    known.apply()
    known.start()
    known.wait(200)
    _must_be_ready(known)


def slow_turn(known: world.World) -> None:
    """A process waits at the provider, another one acquires the lease, the first one compares."""
    known.start()
    first = known.processes[0]
    known.wait(compare.INTERVAL - 5)
    first.gate.stall("prepare")
    known.apply()
    known.start()
    known.wait(10)
    first.gate.answer()
    known.wait(60)
    _must_be_ready(known)
    _issued_at_most(known, 1)


def edited(known: world.World) -> None:
    """A user changes the data of a Secret that is known, and again before long."""
    _held(known)
    for number in (1, 2):
        known.wait(20)
        known.edit_secret(number)
        known.wait(120)
        values = known.truth.values[known.secret_key]
        whole = values.get(server.PASSWORD) == f"password of {values.get(server.SHOWS)}"
        _holds(2, "the edit stays", is_so=whole and known.server.lives(values[server.SHOWS]))
    _issued_at_most(known, 3)


def unreported(known: world.World) -> None:
    """A Secret goes after a delivery, and before status says that there was one."""
    _held(known)
    known.arm(known.processes[0], 0, gate.Fate.REFUSED, world.EFFECTS, "patch_lease_status")
    known.command(names.ROTATE)
    shown = known.truth.shows(known.secret_key)
    known.delete_secret()
    known.wait(60)
    _must_be_ready(known)
    _holds(3, "pods may use a lease that is revoked", is_so=known.server.lives(shown))


def missed(known: world.World) -> None:
    """A user deletes the Secret, and no event of that ever comes."""
    _held(known)
    known.wait(20)
    known.deafen(known.processes[0], True)
    known.delete_secret()
    known.deafen(known.processes[0], False)
    known.wait(2 * compare.INTERVAL)
    _holds(2, "nobody noticed", is_so=known.server.lives(known.truth.shows(known.secret_key)))
    _issued_at_most(known, 2)


def unshown(known: world.World) -> None:
    """A Secret goes whose lease is its owner's to keep, and no event of that ever comes."""
    _held(known)
    known.wait(20)
    known.deafen(known.processes[0], True)
    known.delete_secret()
    known.delete()
    known.deafen(known.processes[0], False)
    known.wait(300)
    _holds(1, "a lease is left to nobody", is_so=known.dl is None and not known.server.living())


def overtaken(known: world.World) -> None:
    """Another process replaces the lease; the first one hears of all but the Secret."""
    _held(known)
    known.wait(20)
    first = known.processes[0]
    known.deafen(first, True)
    known.start()
    known.command(names.ROTATE)
    known.wait(5)
    first.misses_secrets = True
    known.deafen(first, False)
    for _ in range(40):
        known.wait(10)
        _must_be_ready(known)
    _issued_at_most(known, 2)


# -- a label moves a name to another shard


def _two_shards(known: world.World) -> None:
    known.start()
    known.start()


def _move(known: world.World) -> None:
    """The name is another shard's from now on."""
    known.change_shard("batch")


def moved_unrecorded(known: world.World) -> None:
    """A lease is issued, and the label changes before the answer is on record."""
    _two_shards(known)
    known.arm(known.processes[0], 0, gate.Fate.REFUSED, world.EFFECTS, "write_record")
    known.apply()
    _move(known)
    known.wait(60)
    _must_be_ready(known)
    _issued_at_most(known, 1)


def moved_unanswered(known: world.World) -> None:
    """The label changes during an issue, whose answer is lost; the other shard hears late."""
    _two_shards(known)
    first, second = known.processes
    known.deafen(second, False, trails=5.0)
    first.gate.stall("issue")
    known.apply()
    _move(known)
    known.arm(first, 0, gate.Fate.LOST, world.EFFECTS, "issue")
    first.gate.answer()
    known.wait(15)
    _must_be_ready(known)
    _issued_at_most(known, 2)


def moved_undelivered(known: world.World) -> None:
    """A lease is on record as Held, and the label changes before it is in the Secret."""
    _two_shards(known)
    known.arm(known.processes[0], 0, gate.Fate.REFUSED, world.EFFECTS, "write_secret")
    known.apply()
    _move(known)
    known.wait(60)
    _must_be_ready(known)
    _issued_at_most(known, 1)


def moved_and_back(known: world.World) -> None:
    """The label changes again and again, and a lease is renewed meanwhile."""
    _two_shards(known)
    known.apply()
    for label in ("batch", "", "batch", ""):
        known.change_shard(label)
        known.wait(130)
        _must_be_ready(known)
    _issued_at_most(known, 1)


def emptied(known: world.World) -> None:
    """A shard lets a DynamicLease go whose name isn't its own when there is none.

    It is away from the API server when the emptied record is to go.
    """
    _two_shards(known)
    _move(known)
    known.apply()
    known.wait(1)
    known.arm(known.processes[1], 0, gate.Fate.REFUSED, world.EFFECTS, "delete_record")
    known.delete()
    known.wait(120)
    _holds(5, "the deletion hangs", is_so=known.dl is None)
    _holds(5, "its record is left", is_so=not known.truth.ledger)


_RESTARTS: Final = {"restartTargets": [{"kind": "Deployment", "name": "orders"}]}
TALES: Final = {
    "short-life": Tale(short_life, RENEWED, {"ttl": "60s"}),
    "outages": Tale(outages, RENEWED, SHORT),
    "not-renewed": Tale(not_renewed, ("taggable", "owner-and-time", "exclusive", "accessor")),
    "renewed-at-last": Tale(renewed_at_last, RENEWED),
    "away-to-the-last": Tale(away_to_the_last, RENEWED),
    "ended-outside": Tale(ended_outside, ("taggable", "owner-and-time", "exclusive", "accessor")),
    "trailing": Tale(trailing, ("taggable", "owner-and-time", "one-slot"), SHORT),
    "undeletable": Tale(undeletable, RENEWED, SHORT),
    "clock-set": Tale(clock_set, RENEWED, SHORT),
    "answered-unheard": Tale(answered_unheard),
    "restored": Tale(restored, SEEN),
    "restored-suspended": Tale(restored_suspended, SEEN, SHORT),
    "drained": Tale(drained),
    "crowd": Tale(
        crowd, ("taggable", "owner-and-time", "exclusive"), {"rotation": {"overlap": "2h"}}
    ),
    "unconfirmed": Tale(unconfirmed, ("taggable",), {**SHORT, "renewal": {"strategy": "Rotate"}}),
    "wedged": Tale(wedged, SEEN),
    "made-again": Tale(made_again, ("taggable", "owner-and-time", "exclusive", "accessor")),
    "made-again-unheard": Tale(
        made_again_unheard, ("taggable", "owner-and-time", "exclusive", "accessor")
    ),
    "made-again-twice": Tale(made_again_twice, SEEN, every=world.SHARDS),
    "lengthened-twice": Tale(
        lengthened_twice, ("taggable", "owner-and-time", "exclusive", "one-slot"), SHORT
    ),
    "orphaned": Tale(orphaned, spec={"deletion": {"policy": "Orphan"}}),
    "refused": Tale(refused, SEEN),
    "killed": Tale(killed, SEEN, {"deletion": {"timeout": "4m"}}),
    "awaited": Tale(awaited, ("taggable", "exclusive")),
    "rolled-out": Tale(rolled_out, RENEWED, {"rotation": _RESTARTS}),
    "stuck": Tale(
        stuck, ("taggable", "owner-and-time", "exclusive"), {**SHORT, "rotation": _RESTARTS}
    ),
    "marks": Tale(marks),
    "slow-turn": Tale(slow_turn),
    "listed": Tale(listed, ("taggable", "owner-and-time", "exclusive", "accessor")),
    "renamed-back": Tale(renamed_back),
    "let-go": Tale(let_go, SEEN),
    "edited": Tale(edited, SEEN),
    "unreported": Tale(unreported, ("taggable", "owner-and-time", "exclusive")),
    "missed": Tale(missed),
    "unshown": Tale(unshown, SEEN, {"deletion": {"policy": "Orphan"}}),
    "overtaken": Tale(overtaken, ("taggable", "owner-and-time", "exclusive")),
    "moved-unrecorded": Tale(moved_unrecorded, every=world.SHARDS),
    "moved-unanswered": Tale(
        moved_unanswered,
        ("taggable", "owner-and-time", "exclusive", "accessor"),
        every=world.SHARDS,
    ),
    "moved-undelivered": Tale(moved_undelivered, every=world.SHARDS),
    "moved-and-back": Tale(moved_and_back, RENEWED, SHORT, world.SHARDS),
    "emptied": Tale(emptied, SEEN, every=world.SHARDS),
}
