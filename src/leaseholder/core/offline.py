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
    "spec": {"infisical": True, "phase": True, "openbao": True, "target": {"template": True}}
}
"""What of a DynamicLease no renewal is decided from: it may be long, and as deep as one likes."""


@dataclass(frozen=True, slots=True)
class Keepsake:
    """The part of a view that a renewal is decided from.

    Thousands are kept, so the DynamicLease is text: its model takes 19 KiB.
    """

    _seen: View
    _dl: str

    @property
    def view(self) -> View:
        """The view, with that part of the DynamicLease."""
        return dataclasses.replace(self._seen, dl=DynamicLease.model_validate_json(self._dl))


def keepsake(view: View) -> Keepsake | None:
    """What to keep of a view; None where no renewal is to come."""
    dl, held, target = view.dl, view.delivered, view.target
    if dl is None or held is None or target is None:
        return None
    if not (_wanted(dl) and _may_be_renewed(view, held)):
        return None
    # What was reckoned from the data goes, too: it holds on to the values.
    marked = _marked(view, target, held)
    seen = dataclasses.replace(view, dl=None, secrets=(), supply=None, target=marked, _held={})
    return Keepsake(seen, dl.model_dump_json(exclude=_LEFT_OUT, exclude_defaults=True))


def _marked(view: View, target: SecretView, held: RecordedLease) -> SecretView:
    """The target without its data, which would be kept for each lease; it is known what it shows.

    So its marks say it, whatever stood there.
    """
    shows = {names.ATTEMPT: held.attempt_id, names.LEASE_ID: held.lease_id}
    marked = dataclasses.replace(target, annotations=shows, labels={}, keys=())
    return dataclasses.replace(marked, values=Credentials({}), owner_uids=(view.holder.uid,))


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
