"""What the controller keeps of one key between two looks; lost in a crash.

Flows in: what each look showed, and hints that came meanwhile. Flows out: how urgent the key is,
for ``line``; whether Secrets have to be read before a step, and how long to wait after a failure,
for ``loop``. What decisions may see of it is in ``core.memory``.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from leaseholder.api import base, conditions, lease, names, record
from leaseholder.controller.keys import Key
from leaseholder.controller.supplies import Ref
from leaseholder.core import actions, offline, schedule
from leaseholder.core.memory import Memory
from leaseholder.core.queue import PATIENCE
from leaseholder.core.view import View
from leaseholder.ports.clock import Clock

HUNGRY: Final = 10.0
"""Who has no credentials counts as if a lease of its own ended so many seconds later: leases that
end sooner are renewed first, but a renewal that has time waits."""

_READY: Final = conditions.ConditionType.READY


@dataclass(slots=True)
class Entry:
    """One key's."""

    memory: Memory = field(default_factory=Memory)
    poked: bool = False
    """Something changed, also after the worker that holds the key looked."""
    provider: Ref | None = None
    seen: tuple[object, ...] = ()
    holder: record.Holder | None = None
    """Whom the last look showed."""
    going: bool = False
    """It was being deleted then."""
    released: str = ""
    """Uid of the DynamicLease that went with our finalizer, which we just took off."""
    failures: int = 0
    """Goes in a row that ended in an exception."""
    logged: str = ""
    """What the log says of the last one."""
    cut_off: bool = False
    """The last go ended because the API server didn't answer."""
    expires: float | None = None
    """When the delivered lease ends, on our own clock."""
    unready: float | None = None
    """By when Ready, which is True, is to be taken back unless the lease is kept alive (our own
    clock); None: it isn't True."""
    wants: bool = True
    """It may have no credentials, as far as is known, and is to have some."""
    shown: float | None = None
    """Before the first look: when the lease ends of which status says Ready, on our own clock. Only
    the order hangs on it, because the wall clock that tells it may be wrong."""
    is_due: bool = False
    """Before the first look: something is to be done, as far as its DynamicLease shows."""
    last: offline.Keepsake | None = None
    """What is kept of the last good look of a go, where the lease can be renewed by it."""
    noted: View | None = None
    """The last good look of the go that is under way."""
    offline_from: float = 0.0
    """Until then nothing is renewed from memory: a try failed (our own clock)."""

    @classmethod
    def unseen(cls, outline: lease.Outline | None, clock: Clock) -> "Entry":
        """One that wasn't looked at yet; ``outline``: its DynamicLease, where that is known."""
        if outline is None:
            return cls()
        now, end = clock.wall(), outline.ends
        shown = clock.monotonic() + (end - now).total_seconds() if end is not None else None
        return cls(shown=shown, is_due=outline.is_due(now))

    def must_read_for(self, view: View, step: actions.Action) -> bool:
        """Whether the Secrets have to be read before that step; from then on they aren't known.

        On a deletion they went before the leases are revoked.
        """
        going = view.dl is not None and view.dl.deleting
        seen = self.memory.secrets
        if seen is not None and seen.supposed:
            on_known = isinstance(step, actions.ON_SUPPOSED)
            self.memory.doubted = self.memory.doubted or not on_known
        elif seen is not None and seen.watched:
            proven = view.delivered is not None and isinstance(step, actions.ON_PROVEN)
            on_known = proven and not self._needs_more(view, step)
            self.memory.doubted = self.memory.doubted or not on_known
        elif view.proven:
            on_known = isinstance(step, actions.ON_PROVEN) and not self._needs_more(view, step)
        else:
            on_known = isinstance(step, actions.ON_KNOWN)
        if on_known or (going and isinstance(step, actions.Revoke)):
            return False
        self.memory.secrets = None
        return seen is not None and seen.is_old

    def _needs_more(self, view: View, step: actions.Action) -> bool:
        """Whether a step needs more than a Secret that was proven in an earlier go.

        What is copied needs its values. And that Ready changes isn't said by what may be old:
        another process may just have replaced the lease. Only that a lease is over can't wait.
        """
        match step:
            case actions.Deliver(lease):
                return self.memory.of(lease.attempt_id).credentials is None
            case actions.Report(status) if view.dl is not None:
                before, held = view.dl.status.conditions, view.delivered
                ready = (conditions.is_true(one, _READY) for one in (status.conditions, before))
                return len({*ready}) > 1 and not (held is not None and view.ending(held))
        return False

    def doubt_secrets(self) -> None:
        """A write met what isn't known: the Secrets are read at the next look."""
        self.memory.secrets, self.memory.doubted = None, True

    @property
    def secret_versions(self) -> tuple[str, ...]:
        """The resourceVersions of the target that our last write left, and that was read."""
        seen = self.memory.secrets
        target = seen.target if seen is not None else None
        read = (target.resource_version,) if target is not None else ()
        return self.memory.secret_version, *read

    def note(self, view: View) -> None:
        """Remember a look."""
        self.holder = view.holder
        if view.dl is not None:
            self.seen = wishes(view.dl.metadata)
            ref = view.dl.spec.provider_ref
            namespace = view.holder.namespace if ref.kind == "LeaseProvider" else ""
            self.provider = (ref.kind, namespace, ref.name)
        self.going = view.dl is not None and view.dl.deleting
        wanted = view.dl is not None and not self.going
        self.wants = wanted and view.delivered is None
        self.shown, self.is_due = None, False
        self.noted, self.offline_from = view, 0.0

    def keep(self) -> None:
        """A go is over: of its last look that is kept which a renewal is decided from."""
        if self.noted is not None:
            self.last, self.noted = offline.keepsake(self.noted), None

    def measure(self, view: View, good_for: float | None) -> None:
        """Remember how long the delivered lease lives, and for how long Ready may stay True."""
        held = view.delivered
        expiry = view.expiry(held) if held is not None else None
        left = (expiry - view.now).total_seconds() if expiry is not None else None
        self.expires = view.monotonic + left if left is not None else None
        self.unready = view.monotonic + good_for if good_for is not None else None

    def good_for(self, now: float) -> float | None:
        """Seconds for which Ready may stay True, below 0 when they are over; None: it isn't."""
        return self.unready - now if self.unready is not None else None

    def left(self, now: float) -> timedelta | None:
        """How long the delivered lease still lives; None where none does."""
        left = self.expires - now if self.expires is not None else 0.0
        return timedelta(seconds=left) if left > 0 else None

    def by(self, now: float, due: float) -> float | None:
        """By when something is lost, or has waited for long enough, that is due at ``due``.

        None: nothing is.
        """
        over = self.expires is not None and self.left(now) is None
        known = self.unready, None if over else self.expires, self.shown
        alive = next((at for at in known if at is not None), None)
        hungry = (self.wants and self.shown is None) or (alive is None and over)
        # Whose status says that its credentials are dead has time for those whose doesn't yet.
        since = max(due, now) if over else due
        moments = [alive, since + HUNGRY if hungry or self.is_due else None]
        # What a user changed, a deletion above all, doesn't wait for the end of a lease that has
        # days to live while others come and are given theirs.
        moments.append(due + PATIENCE if self.poked and alive is not None else None)
        return min((at for at in moments if at is not None), default=None)

    def backoff(self, key: Key, now: float, most: float, retry_after: float | None) -> float:
        """Seconds to wait after so many failures."""
        wait = schedule.backoff(
            self.failures,
            seed=str(key),
            most=most,
            left=self.left(now),
            retry_after=retry_after,
        )
        return wait.total_seconds()


def wishes(meta: base.ObjectMeta) -> tuple[object, ...]:
    """What a user can change about a DynamicLease and that we act on, beside its finalizer."""
    commands = tuple(
        lease.command_of(meta, name) for name in (names.ROTATE, names.RENEW, names.FORCE)
    )
    return meta.uid, meta.generation, meta.deletion_timestamp, commands


def is_unprotected(meta: base.ObjectMeta) -> bool:
    """Whether our finalizer is to be put on. That it came on is no news: we did it."""
    return names.FINALIZER not in meta.finalizers and meta.deletion_timestamp is None
