"""What may be done for a lease while the API server can't be reached: renew it, nothing else.

Flows in: the last good look at a lease, cut down to what a renewal needs (``keepsake``), and the
same at the time that it is now. Flows out: the renewal that is due; ``controller.away`` has it
made.

Everything but a renewal needs a write that can't be taken back, or a look that can't be had:
nothing is issued, delivered, revoked or reported.

What was decided meanwhile by others isn't known: the DynamicLease may be on its way out, the
lease replaced by another process, revoked, or its Secret gone. None of that makes a renewal
harmful beyond a bound: it never goes beyond the lifetime that the lease is held at, so a lease
that nobody wants any more lives at most that much longer; whoever revoked it has the provider's
word for it, and a renewal of a lease that is gone fails. So only leases whose revocation the
provider confirms are renewed (the others' records go by their expiry), and only for ``LONGEST``.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from leaseholder.api import names
from leaseholder.api.conditions import ConditionType
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import RecordedLease
from leaseholder.core import ends, plan
from leaseholder.core.actions import Idle, Renew
from leaseholder.core.view import View
from leaseholder.ports.secrets import SecretView
from leaseholder.secrecy import Credentials

LONGEST: Final = timedelta(hours=24)
"""So long after the last good look leases are left to their end."""
_LEFT_OUT: Final[Mapping[str, Any]] = {
    "metadata": {"labels": True, "annotations": True, "finalizers": True},
    "spec": {"infisical": True, "phase": True, "openbao": True, "target": {"template": True}},
}
"""What of a DynamicLease no renewal is decided from: it may be long, and as deep as one likes."""
_EMPTY: Final[dict[Any, Any]] = {}
"""One for all; nobody writes it."""
_NOTHING: Final = Credentials({})


@dataclass(frozen=True, slots=True)
class Keepsake:
    """The part of a view that a renewal is decided from.

    Thousands are kept, so the DynamicLease is text: its model takes 19 KiB.
    """

    _seen: View
    """Without what follows, and without what was reckoned from the Secret's data: that holds on to
    the values."""
    _dl: str
    _target: SecretView
    """Without its data and marks, which tenants write."""
    _shown: RecordedLease
    """The lease that it holds."""

    @property
    def view(self) -> View:
        """The view, with that part of the DynamicLease; the target's marks say what it holds."""
        marks = {names.ATTEMPT: self._shown.attempt_id, names.LEASE_ID: self._shown.lease_id}
        return dataclasses.replace(
            self._seen,
            dl=DynamicLease.model_validate_json(self._dl),
            target=dataclasses.replace(self._target, annotations=marks),
            _held={},
        )


def keepsake(view: View) -> Keepsake | None:
    """What to keep of a view; None where no renewal is to come."""
    dl, held, target = view.dl, view.delivered, view.target
    if dl is None or held is None or target is None:
        return None
    if not (_wanted(dl) and _may_be_renewed(view, held)):
        return None
    seen = dataclasses.replace(
        view, dl=None, secrets=(), supply=None, target=None, targets=(), _held=_EMPTY
    )
    bare = dataclasses.replace(
        target,
        annotations=_EMPTY,
        labels=_EMPTY,
        keys=(),
        values=_NOTHING,
        owner_uids=(view.holder.uid,),
    )
    return Keepsake(seen, _text(dl), bare, held)


def _text(dl: DynamicLease) -> str:
    """What of a DynamicLease is kept; of its conditions only Ready, which metrics show."""
    ready = tuple(one for one in dl.status.conditions if one.type == ConditionType.READY)
    status = dl.status.model_copy(update={"conditions": ready})
    kept = dl.model_copy(update={"status": status})
    return kept.model_dump_json(exclude=_LEFT_OUT, exclude_defaults=True)


def decide(seen: View, now: View) -> Renew | Idle:
    """The renewal that is due, or when one will be.

    Args:
        seen: the last good look.
        now: the same with the time as it is.
    """
    held, dl = now.delivered, now.dl
    over = timedelta(seconds=now.monotonic - seen.monotonic) >= LONGEST
    if held is None or dl is None or over or now.known(held).gone_since is not None:
        return Idle(None)
    at = plan.renewal_at(now, dl, held)
    if at is None or now.now < at:
        return Idle(at)
    sure = now.known(held).shown is not None and now.memory.failure is None
    fresh = sure and dl.status.retry is None
    # A longer ttl that isn't on record yet has to wait: nothing can be put there.
    life = min(now.life(held), ends.asked_life(now, held))
    return Renew(held, now.own_now(held) + life, inspect_first=not fresh)


def _wanted(dl: DynamicLease) -> bool:
    return not dl.deleting and names.FINALIZER in dl.metadata.finalizers


def _may_be_renewed(view: View, held: RecordedLease) -> bool:
    can = view.capabilities.get(held.attempt_id)
    return can is not None and can.renewable and can.revocable and can.verifiable
