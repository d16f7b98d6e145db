"""The five promises of DESIGN, section 1, held against what really is.

Each is a function with the promise's own sentence, and says when it is held and what its bounds
are. ``judge`` calls them, and keeps what they need to know.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from leaseholder.api import durations, lease, names, record
from leaseholder.core import schedule
from tests.simulation import server

if TYPE_CHECKING:
    from tests.simulation.judge import Judge
    from tests.simulation.world import World

CALM: Final = 1300.0
"""After so many quiet seconds with a provider that answers, everything must be well: the longest
back-off (10 min), a probe (5 min), an overlap (2 min), the searches, and some."""


AT_THE_END: Final = timedelta(seconds=5)
"""So long the replacement of a lease that is over may take."""


class Broken(AssertionError):
    """A promise isn't kept."""

    def __init__(self, promise: int, what: str) -> None:
        super().__init__(f"promise {promise}: {what}")
        self.promise = promise


def no_lost_lease(judge: "Judge") -> None:
    """Every lease is on record before it is issued, the record outlives crash, restore,
    finalizer and namespace, and goes only when the provider confirms that the lease is gone.

    Held at every step: whatever lives at the provider is on the ledger (by its id or by its
    attempt), or in the memory of a live process whose record somebody took from under it.
    """
    for issued in judge.living():
        if not judge.recorded(issued):
            raise Broken(1, f"{issued.id} lives, and nobody knows of it")


def nothing_left_over(judge: "Judge") -> None:
    """No lost lease, after a quiet time: nothing lives but what a Secret shows or overlap keeps.

    Bounds: a kind that can't be revoked lives out its ttl, and so does one that can't be
    searched for while its id isn't known. Leases of a DynamicLease that is gone wait for its
    successor, those of one whose Secret an older one has live on for its pods, and so do replaced
    ones while a rollout is stuck or a Secret is fought over.
    """
    world = judge._world
    if not world.kind.can.revocable or judge.misled:
        return
    dl = world.dl
    overlap = durations.parse(dl.spec.rotation.overlap).total_seconds() if dl is not None else 0
    shown, ledger = judge.shown(), world.truth.recorded
    for issued in judge.living():
        replaced = judge._replaced.get(issued.id)
        recent = replaced is not None and world.clock.seconds < replaced + overlap + 180
        named = any(r.lease_id == issued.id for r in ledger)
        hidden = not world.kind.can.recoverable and not named
        uids = {one.metadata.uid for one in world.truth.leases.values()}
        inherited = judge._holders.get(issued.id) not in uids and not world.all_ready
        waits = judge.waits(judge._holders.get(issued.id, ""))
        if issued.id not in shown and not (recent or hidden or inherited or waits):
            raise Broken(1, f"{issued.id} lives on after a quiet time, and no Secret shows it")


def no_dead_credential(judge: "Judge") -> None:
    """No dead credential in a Secret while the provider answers.

    Held after a quiet time, with the provider up and a process at work: a DynamicLease that is
    wanted is Ready, and what its Secret shows lives.
    """
    world = judge._world
    dl = world.dl
    if dl is None or not judge.wanted(dl):
        return
    shown = world.truth.shows((dl.metadata.namespace, dl.secret_name))
    if not judge._ready(dl) and not _ended_by_choice(judge, dl, shown):
        raise Broken(2, "all is quiet, and the DynamicLease still isn't Ready")
    if not world.server.lives(shown):
        if _ended_by_choice(judge, dl, shown) or judge.misled or judge.account_lost(shown):
            return
        raise Broken(2, f"Ready, but the Secret shows {shown or 'nothing'}, which doesn't live")
    if _former(world, dl):
        raise Broken(2, f"Secrets {_former(world, dl)} are left under former names")
    values = world.truth.values[dl.metadata.namespace, dl.secret_name]
    unseen = judge._edits and judge._strips
    if values.get(server.PASSWORD) != f"password of {shown}" and not unseen:
        raise Broken(2, f"Ready, but the data of {shown} was edited")


def _ended_by_choice(judge: "Judge", dl: lease.DynamicLease, shown: str) -> bool:
    """With the strategy Renew a lease that can't be renewed is replaced when it is over."""
    world = judge._world
    issued = world.server.leases.get(shown)
    if issued is None or dl.spec.renewal.strategy != "Renew" or world.kind.can.renewable:
        return False
    over = world.server.now() - issued.lease.expires_at
    return -schedule.AHEAD <= over <= AT_THE_END


def make_before_break(judge: "Judge", issued: server.Issued) -> None:
    """A replaced lease lives on until the workloads have moved to the new one; then it is
    revoked.

    Held at each revocation of ours. Exempt: the DynamicLease is being deleted or gone (promise
    5), or was gone when the revocation began and somebody had taken our label off the Secret; one
    slot (replaced in place); a limit of live leases that forces the oldest out.
    """
    world = judge._world
    dl = world.dl
    if dl is None or dl.deleting or not world.server.lives(issued.id):
        return
    if world.kind.can.slots == "One":
        _in_place(judge, issued, dl)
        return
    key = dl.metadata.namespace, dl.secret_name
    mine = judge._holders.get(issued.id) == dl.metadata.uid
    unknown = judge.misled if mine else _proves_nothing(world, key, issued)
    unknown = unknown or issued.id in judge._unfound
    if world.truth.shows(key) == issued.id and not unknown:
        judge.broke(3, f"{issued.id} is revoked while the Secret shows it")
    if any(world.truth.shows(former) == issued.id for former in _former(world, dl)):
        judge.broke(3, f"{issued.id} is revoked while a Secret under a former name shows it")
    by_hand, forced = issued.attempt in judge._by_hand, judge.forced_out(issued, dl)
    moves = bool(dl.spec.rotation.restart_targets) and mine and not (forced or unknown)
    if moves and issued.id == judge._pods:
        judge.broke(3, f"{issued.id} is revoked, and pods use it that weren't replaced yet")
    replaced = judge._replaced.get(issued.id)
    if replaced is None or by_hand or forced or not mine:
        return
    overlap = durations.parse(dl.spec.rotation.overlap).total_seconds()
    if world.clock.seconds < replaced + overlap - 1:
        judge.broke(3, f"{issued.id} is revoked before its overlap is over")


def _former(world: "World", dl: lease.DynamicLease) -> list[tuple[str, str]]:
    """The Secrets of a DynamicLease under names that it doesn't want any more."""
    marked = [
        key
        for key, view in world.truth.secrets.items()
        if view.labels.get(names.OWNER_UID) == dl.metadata.uid
    ]
    return [key for key in marked if key != (dl.metadata.namespace, dl.secret_name)]


def successor_moves_first(judge: "Judge", issued: server.Issued) -> None:
    """Make before break, after a restore under another uid: the predecessor's lease lives on until
    its successor has delivered one of its own and the overlap is over.

    Exempt: one slot, which must be free before; a limit of live leases that forces the oldest out.
    """
    world, dl = judge._world, judge._world.dl
    if dl is None or dl.deleting or issued.id not in judge._inherited:
        return
    if judge.forced_out(issued, dl):
        return
    if world.kind.can.slots == "One" or not world.server.lives(issued.id):
        return
    overlap = durations.parse(dl.spec.rotation.overlap).total_seconds()
    since = judge._successor_since
    if since is None or world.clock.seconds < since + overlap - 1:
        judge.broke(3, f"{issued.id} is revoked before its successor's workloads have moved on")


def _proves_nothing(world: "World", key: tuple[str, str], issued: server.Issued) -> bool:
    """Whether there is no Secret, or its data was edited and our label is off.

    A bound for a lease whose DynamicLease is gone; annotations alone can be forged.
    """
    secret = world.truth.secrets.get(key)
    if secret is None:
        return True
    edited = world.truth.values[key].get(server.PASSWORD) != f"password of {issued.id}"
    return edited and names.OWNER_UID not in secret.labels


def secrets_go_first(judge: "Judge", issued: server.Issued) -> None:
    """No dead credential in a Secret, on deletion: the Secrets go before the leases.

    Exempt: the wait for the deletion is over, and the Secret can't be deleted.
    """
    world = judge._world
    dl = world.dl
    if dl is None or not dl.deleting or not world.server.lives(issued.id):
        return
    ours = [key for key, view in world.truth.secrets.items() if names.OWNER_UID in view.labels]
    shown = {world.truth.shows(key) for key in ours}
    if issued.id in shown and judge._holders.get(issued.id) == dl.metadata.uid:
        judge.broke(2, f"{issued.id} is revoked on deletion while a Secret shows it")


def ready_is_retracted(judge: "Judge", dl: lease.DynamicLease) -> None:
    """Ready goes False before a dead credential is replaced.

    Held at an issue in quiet times, so that the lease didn't die in this moment.
    """
    world = judge._world
    shown = world.truth.shows((dl.metadata.namespace, dl.secret_name))
    dead = shown in world.server.leases and not world.server.lives(shown)
    if dead and judge._ready(dl) and len(world.processes) == 1 and world.calm_for > _PROBED:
        judge.broke(2, f"{shown} is dead and about to be replaced, and Ready stays True")


def _in_place(judge: "Judge", issued: server.Issued, dl: lease.DynamicLease) -> None:
    """One slot: what the Secret shows goes only when a new lease is really needed."""
    world, uid = judge._world, dl.metadata.uid
    if world.truth.shows((dl.metadata.namespace, dl.secret_name)) != issued.id:
        return
    _count_needs(judge, dl)
    if judge._due_issues[uid] + judge._in_vain <= 0:
        judge.broke(4, f"{issued.id} makes room on its slot, and nothing needs a new lease")


def never_twice(judge: "Judge", issued: server.Issued, uid: str) -> None:
    """Never issue twice for one need. Never rotate because of an outage, a restart, a label, an
    annotation or a clock.

    Held at each issue by counting: needs are a new DynamicLease, source or command, a lease that
    ended or is due for replacement, a Secret that was deleted, records that were tampered with.
    Each call that is held up or fails, and each crash in the midst of something, may cost one
    issue in vain. When all was quiet and well, the count starts from nothing.
    """
    world = judge._world
    known = (one for one in world.truth.leases.values() if one.metadata.uid == uid)
    dl = next(known, None)
    if dl is None and uid in judge._let_go:
        judge.broke(4, f"{issued.id} is issued for a DynamicLease that is gone")
    if dl is None:
        return
    ready_is_retracted(judge, dl)
    _count_needs(judge, dl)
    if not judge.entitled(uid):
        judge.broke(4, f"{issued.id} is issued, and nothing needed it")


def _count_needs(judge: "Judge", dl: lease.DynamicLease) -> None:
    """Needs that arise at the provider: a lease that ended, or whose replacement is due."""
    world, uid = judge._world, dl.metadata.uid
    shown = world.truth.shows((dl.metadata.namespace, dl.secret_name))
    for one in world.server.leases.values():
        if judge._holders.get(one.id) != uid:
            continue
        ended = not world.server.lives(one.id) and not one.by_us
        if ended or (one.id == shown and _due(world, dl, one)):
            need = ("ended" if ended else "due", one.id)
            judge._due_issues[uid] += need not in judge._needs
            judge._needs.add(need)


def _due(world: "World", dl: lease.DynamicLease, issued: server.Issued) -> bool:
    """Whether a lease that lives is old enough to be replaced."""
    now, known = world.server.now(), issued.lease
    age = dl.spec.rotation.max_age
    if age is not None and now >= known.issued_at + durations.parse(age):
        return True
    is_renewed = world.kind.can.renewable and world.kind.longest is None
    granted = timedelta(seconds=issued.granted)
    asked = durations.parse(dl.spec.ttl) if dl.spec.ttl is not None else granted
    percent = dl.spec.renewal.after_percent or 66
    if is_renewed and dl.spec.renewal.strategy != "Rotate":
        if not issued.not_renewed or dl.spec.renewal.strategy == "Renew":
            return False
        percent = schedule.LAST_PERCENT
    return now >= known.expires_at - min(asked, granted) * (100 - percent) / 100 - _SECOND


_SECOND: Final = timedelta(seconds=1)
_PROBED: Final = 330.0
"""Seconds after which a lease that somebody revoked was noticed."""


def deletion_revokes(judge: "Judge") -> None:
    """Deletion revokes, verifies, retries; it never wedges a namespace for ever and never leaks
    in silence.

    Held at the end, when the DynamicLease was deleted and time enough went by: no lease, no
    Secret, no record, no finalizer. Exempt: what its owner orphaned, and records that were given
    up with an event, which wait for an administrator.
    """
    world = judge._world
    if world.truth.leases:
        raise Broken(5, f"{[*world.truth.leases]} are still there")
    living = [m.id for m in judge.living()]
    if living:
        raise Broken(5, f"{living} live on")
    given_up = record.State.ABANDONED
    left = [one.attempt_id for one in world.truth.recorded if one.state is not given_up]
    left += [known.name for known in world.truth.ledger.values() if not known.leases]
    if left:
        raise Broken(5, f"records {left} are left")
    marked = [key for key, view in world.truth.secrets.items() if names.OWNER_UID in view.labels]
    secrets = [key for key in marked if not _nameless(judge, key)]
    if secrets:
        raise Broken(5, f"Secrets {secrets} are left")


def _nameless(judge: "Judge", key: tuple[str, str]) -> bool:
    """Whether nothing says whose a Secret was: its name was taken off, its record by hand.

    Or everything but our label was taken off, which anybody may write.
    """
    truth, leases = judge._world.truth, judge._world.server.leases
    issued, view = leases.get(truth.shows(key)), truth.secrets[key]
    taken = issued is not None and issued.attempt in judge._by_hand
    bare = names.SECRET not in view.annotations and not view.owner_uids
    return (taken or bare) and names.OWNER_NAME not in view.annotations
