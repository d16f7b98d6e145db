"""Stories of the sweep: pieces of a lease's life, and what happens while a process stands still.

Each rule that a random history rarely needs has a story here that needs it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from leaseholder.api import names
from tests.simulation import gate, world
from tests.simulation.process import Process
from tests.unit.controller import world as units

Act = Callable[[world.World], None]
Meddle = Callable[[world.World, Process], None]
BEYOND: Final = 300.0
"""More seconds than every deadline and every search."""


_OVER: Final = ("taken over", "taken over later")
_ALL: Final = frozenset(
    (
        *_OVER,
        "a second thought",
        "one more",
        "dies revoking",
        "records taken",
        "killed and renamed",
        "deleted meanwhile",
    )
)


@dataclass(frozen=True, slots=True)
class Story:
    """What is there when a process may stop for the first time, and what goes on then."""

    begin: Act
    acts: tuple[Act, ...]
    spec: Mapping[str, Any] = field(default_factory=lambda: {"ttl": "1h"})
    meddles: frozenset[str] = _ALL


def _nothing(known: world.World) -> None:
    return None


def _held(known: world.World) -> None:
    known.apply()
    known.wait(1)


def _before_renewal(known: world.World) -> None:
    known.apply()
    known.wait(190)


def _renewed(known: world.World) -> None:
    known.apply()
    known.wait(400)


def _restore(known: world.World) -> None:
    known.restore_elsewhere(gap=False)


def _restore_after_a_moment(known: world.World) -> None:
    known.restore_elsewhere(gap=True, awaited=True)


def _clock_ahead(known: world.World) -> None:
    _held(known)
    known.jump_wall(known.processes[0], 86400.0)


def _suspended_and_unclear(known: world.World) -> None:
    """An attempt that nobody issued for, and no other one is to follow."""
    known.arm(known.processes[0], 0, gate.Fate.CRASH_BEFORE, world.EFFECTS, "issue")
    known.apply()
    known.apply(suspend=True)
    known.start()


def _issue_comes_late(known: world.World) -> None:
    known.lag(True)
    known.arm(known.processes[0], 0, gate.Fate.LATE, world.EFFECTS, "issue")
    known.apply()


def _unheard(known: world.World) -> None:
    known.deafen(known.processes[0], True)
    known.apply()


def _rotate(known: world.World) -> None:
    known.command(names.ROTATE)


def _probed_young(known: world.World) -> None:
    """A look at a lease that replicas don't show yet."""
    known.truth.put_provider(units.infisical(probe={"interval": "10s"}))
    known.lag(True)
    known.apply()
    known.wait(1)


def _ended_outside(known: world.World) -> None:
    """Somebody revokes the lease, and no other thing happens for long before and after."""
    known.apply()
    known.wait(400)
    known.server.revoke(known.server.living()[0].lease, by_us=False)
    known.wait(BEYOND + 60)


def _renew_again(known: world.World) -> None:
    """Two renewals, and replicas that don't show the first when the second is made."""
    known.apply()
    known.wait(200)
    known.lag(True)
    known.command(names.RENEW)


def _rename(known: world.World) -> None:
    known.change_target(secretName="other")


def _forbidden(known: world.World) -> None:
    """A former Secret that we may not delete, and a new lease under the new name."""
    _held(known)
    known.forbid_deletes(forbidden=True)
    known.change_target(secretName="other")
    known.change_source("e")


def _lost(known: world.World) -> None:
    """A user deletes the Secret, and whoever saw it is gone."""
    _held(known)
    known.crash(known.processes[0])
    known.delete_secret()


def _mute(known: world.World) -> None:
    """A Secret without our notes, a status from before its lease, and nobody who saw either."""
    known.apply(suspend=True)
    known.remember()
    known.apply(suspend=False)
    known.wait(1)
    known.crash(known.processes[0])
    known.strip_annotations(everything=True)
    known.restore_status()


def _beside_an_older_one(known: world.World) -> None:
    """Two leases: who begins anew looks first at the one that ends first, the older one's."""
    known.rival("billing")
    known.wait(5)
    _held(known)


def _wait(seconds: float) -> Act:
    return lambda known: known.wait(seconds)


def _begun(before: Act) -> Act:
    """What is there when a process starts."""

    def begin(known: world.World) -> None:
        before(known)
        known.start()

    return begin


def _source(name: str) -> Act:
    return lambda known: known.change_source(name)


STORIES: Final[dict[str, Story]] = {
    "creation": Story(_nothing, (world.World.apply, _wait(1))),
    "renewal": Story(_before_renewal, (_wait(20),), {"ttl": "5m"}),
    "deletion": Story(_held, (world.World.delete, _wait(60))),
    "source": Story(_held, (_source("e"), _wait(1))),
    "rotation": Story(_held, (_rotate, _wait(1))),
    "rename": Story(_held, (_rename, _wait(1))),
    "edit": Story(_held, (lambda known: known.edit_secret(1), _wait(1))),
    "unclear": Story(_suspended_and_unclear, (_wait(BEYOND),)),
    "late": Story(_issue_comes_late, (_wait(BEYOND),)),
    "young": Story(_probed_young, (_wait(20), world.World.delete, _wait(100))),
    "ended": Story(_ended_outside, (_wait(1),), meddles=frozenset(_OVER)),
    "swallowed": Story(_renew_again, (_wait(BEYOND),), {"ttl": "5m"}),
    "unheard": Story(_unheard, (_wait(650), world.World.delete, _wait(1))),
    "forbidden": Story(_forbidden, (_wait(BEYOND),)),
    "restore": Story(_renewed, (_restore, _wait(130)), {"ttl": "5m"}),
    "gap": Story(_held, (_restore_after_a_moment, _wait(130)), meddles=frozenset({"taken over"})),
    "clock": Story(_clock_ahead, (_wait(BEYOND),), meddles=frozenset(_OVER)),
    "lost": Story(_begun(_lost), (_wait(BEYOND),), meddles=frozenset(_OVER)),
    "mute": Story(_begun(_mute), (_wait(BEYOND),), meddles=frozenset(_OVER)),
    "unfenced": Story(_held, (_rotate, _wait(1)), meddles=frozenset({"lost, then deleted"})),
    "outranked": Story(_beside_an_older_one, (_rotate, _wait(1)), meddles=frozenset({"outranked"})),
    "account": Story(_nothing, (world.World.apply, _wait(1)), meddles=frozenset({"another asks"})),
    "life": Story(
        _nothing,
        (
            world.World.apply,
            _wait(220),
            _rotate,
            _wait(200),
            _source("e"),
            _wait(200),
            world.World.delete,
            _wait(60),
        ),
        {"ttl": "5m"},
        frozenset(_OVER),
    ),
}


# -- while the process stands still


def _takes_over(seconds: float) -> Meddle:
    def meddle(known: world.World, first: Process) -> None:
        known.start()
        known.wait(seconds)

    return meddle


def _second_thought(known: world.World, first: Process) -> None:
    """The user takes the wish back before anybody else saw it."""
    known.apply(suspend=False)
    known.change_source("d")
    _takes_over(1)(known, first)


def _one_more(known: world.World, first: Process) -> None:
    """Another process fulfils the wish, and then one more."""
    _takes_over(BEYOND)(known, first)
    known.apply(suspend=False)
    known.command(names.ROTATE)
    known.wait(1)


def _dies_revoking(known: world.World, first: Process) -> None:
    """Another process, which may not issue, revokes and can't say so any more."""
    known.apply(suspend=True)
    known.start(dies_after="revoke")
    known.wait(BEYOND)


def _records_taken(known: world.World, first: Process) -> None:
    while known.truth.ledger:
        known.delete_record(0)


def _killed_and_renamed(known: world.World, first: Process) -> None:
    """The process ends here, and the Secret is to be called otherwise before the next begins."""
    known.crash(first)
    known.change_target(secretName="third")
    known.start()
    known.wait(1)


def _outranked(known: world.World, first: Process) -> None:
    """The process ends here, and an older DynamicLease has the Secret before the next begins."""
    known.crash(first)
    known.rival_wants(known.secret_key[1])
    known.start()
    known.wait(BEYOND)


def _another_asks(known: world.World, first: Process) -> None:
    """Another process acquires a lease of the same source for another DynamicLease."""
    known.rival("billing")
    _takes_over(1)(known, first)


def _lost_then_deleted(known: world.World, first: Process) -> None:
    """The Secret goes; the process looks anew, and the DynamicLease goes while it does."""
    known.delete_secret()
    known.go_on(first, 1)
    if first.gate.paused:
        _deleted_meanwhile(known, first)


def _deleted_meanwhile(known: world.World, first: Process) -> None:
    """Another process lets the DynamicLease go."""
    known.delete()
    _takes_over(1)(known, first)


MEDDLES: Final[dict[str, Meddle]] = {
    "taken over": _takes_over(1),
    "taken over later": _takes_over(BEYOND),
    "a second thought": _second_thought,
    "one more": _one_more,
    "dies revoking": _dies_revoking,
    "records taken": _records_taken,
    "killed and renamed": _killed_and_renamed,
    "deleted meanwhile": _deleted_meanwhile,
    "outranked": _outranked,
    "lost, then deleted": _lost_then_deleted,
    "another asks": _another_asks,
}
