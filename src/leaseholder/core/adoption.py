"""What becomes of a record when another installation takes it over: a join of two records.

Flows in: the record as the old installation has it, and as the new one has it by now. Flows out:
what the new one has to have on record; ``controller.adopt`` writes it.

The copy is written before the record that it was made of goes, so a crash leaves both, and either
operator may have gone on with its own meanwhile. So nothing depends on which of the two is newer:
of each lease the one that came further counts, and what either saw end has ended. The same two
records give the same result however often, so an adoption that is begun anew ends as one that
wasn't stopped.
"""

from typing import Final

from leaseholder.api import record
from leaseholder.api.record import RecordedLease, RecordSpec, State

_RANK: Final = {state: number for number, state in enumerate(State)}


def adopted(old: RecordSpec, new: RecordSpec | None, installation: str) -> RecordSpec:
    """What an installation has to have on record.

    Args:
        old: what the former installation has.
        new: what the installation has already under that name; None: nothing.
        installation: the one that takes over.
    """
    leases = {one.attempt_id: _marked(one, old.installation) for one in old.leases}
    before = new or old.model_copy(update={"leases": (), "ended": (), "trusts": {}})
    for one in before.leases:
        known = leases.get(one.attempt_id)
        leases[one.attempt_id] = one if known is None else _further(known, one)
    ended = {one.attempt_id: one for one in (*old.ended, *before.ended)}
    alive = [one for one in leases.values() if one.attempt_id not in ended]
    ends = sorted(ended.values(), key=lambda one: (one.until or one.at, one.attempt_id))
    used = {one.provider.trust for one in alive}
    trusts = {**old.trusts, **before.trusts}
    return before.model_copy(
        update={
            "installation": installation,
            "leases": tuple(sorted(alive, key=lambda one: (one.started_at, one.attempt_id))),
            "ended": tuple(ends[-record.MOST_ENDED :]),
            "trusts": {key: trusts[key] for key in sorted(used & trusts.keys())},
        }
    )


def _marked(lease: RecordedLease, installation: str) -> RecordedLease:
    """A lease with the installation that issued it: the provider may have it in the lease's tag."""
    return lease.but(installation=lease.installation or installation)


def _further(old: RecordedLease, new: RecordedLease) -> RecordedLease:
    """The one that came further; what a claimed attempt lacks of its answer comes from the other.

    A lease that is back from Revoking to Held goes there again: the operator reads the Secret
    before it revokes anything, and moves it back.
    """
    ahead, behind = (old, new) if _RANK[old.state] > _RANK[new.state] else (new, old)
    if ahead.lease_id or not behind.lease_id:
        return ahead
    return ahead.but(
        lease_id=behind.lease_id,
        handle=behind.handle,
        issued_at=behind.issued_at,
        expires_at=behind.expires_at,
        clock_ahead=behind.clock_ahead,
    )
