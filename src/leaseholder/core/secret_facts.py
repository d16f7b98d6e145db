"""Facts about Secrets: which lease a Secret of ours holds, and whether its data is as we wrote it.

Flows in: an observation, whose Secrets ``controller.secret_finder`` found to be ours. Flows out:
one answer for each lease on record::

    its data has the seal of the lease ................. it holds it       ``names``, ``intact``
    its data has the seal of another one ............... it holds the other
    no seal fits, its note names the lease ............. it was edited     ``names``, ``edited``
    no seal fits, its note names another one ........... it holds the other
    no seal fits, no note, only status names the lease . as far as we told ``names``
    nothing fits, and it has data ...................... any of them       ``mute``

A seal proves; marks that anybody may write only lead here. ``delivered`` is the Held lease that the
target names, ``sound`` a Secret from which it can be copied. ``view`` builds on it.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from leaseholder.api import names
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import contents
from leaseholder.core.contents import Contents
from leaseholder.core.facts import fact
from leaseholder.core.lease_facts import LeaseFacts
from leaseholder.core.memory import SecretsSeen
from leaseholder.ports.secrets import SecretView
from leaseholder.secrecy import Credentials

MOST_MARKS: Final = 16_384
"""Characters of a Secret's marks and names of keys that are kept from one go to the next: anybody
may write megabytes there, of thousands of Secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFacts(LeaseFacts):
    """The same, and what it says of the Secrets."""

    @property
    @fact
    def delivered(self) -> RecordedLease | None:
        """The Held record whose credentials the target Secret holds."""
        return next((r for r in self.in_state(State.HELD) if self.names(r)), None)

    def names(self, record: RecordedLease) -> bool:
        """Whether the target Secret of ours is the one that this record was delivered to."""
        return self._owned is not None and self._shows(self._owned, record)

    def named_anywhere(self, record: RecordedLease) -> bool:
        """Whether any Secret of ours is, also one under a former name."""
        return self.named_in(record, self.secrets)

    def named_in(self, record: RecordedLease, secrets: Sequence[SecretView]) -> bool:
        """Whether one of these Secrets of ours is."""
        return any(self._shows(secret, record) for secret in secrets)

    @property
    @fact
    def shown(self) -> int:
        """The place of the lease that the target Secret of ours shows; -1 where it shows none."""
        if self._owned is None:
            return -1
        return max((self.place(r) for r in self.records if self.names(r)), default=-1)

    @property
    @fact
    def mute(self) -> bool:
        """Whether a Secret of ours has data and nothing says of which lease it is."""
        return any(
            (secret.keys or not secret.is_read)
            and names.ATTEMPT not in secret.annotations
            and not any(self._shows(secret, record) for record in self.records)
            for secret in self.secrets
        )

    @property
    @fact
    def _owned(self) -> SecretView | None:
        """The target where it is ours."""
        if self.target is None:
            return None
        ours = self.target.belongs_to(self.holder.uid) or self.target in self.secrets
        return self.target if ours else None

    @fact
    def _shows(self, secret: SecretView, record: RecordedLease) -> bool:
        """By its seal; where its data was changed by its annotations, or by what we told."""
        if self._proves(secret, record):
            return True
        if any(self._proves(secret, other) for other in reversed(self.records)):
            return False  # the newest first: it is mostly the one
        notes = secret.annotations
        named = notes.get(names.ATTEMPT)
        if named == record.attempt_id:
            return notes.get(names.LEASE_ID, record.lease_id) == record.lease_id
        if any(named == other.attempt_id for other in self.records):
            return False
        if self.known_contents(secret, record) is not None:
            return False
        shown = self.dl.status.lease if self.dl is not None else None
        if named is not None or shown is None or shown.attempt != record.attempt_id:
            return False
        # A status from a backup tells what was held then.
        return all(self.place(other) <= self.place(record) for other in self.in_state(State.HELD))

    def _holds(self, secret: SecretView, record: RecordedLease, note: Contents) -> bool:
        """``contents.holds``, reckoned once: a decision asks it many times."""
        if self.proven and secret == self.target:
            return self.proven == record.attempt_id
        lease = record.attempt_id, record.seal_key, record.lease_id
        asked = secret.values, secret.name, lease, note
        if asked not in self._held:
            self._held[asked] = contents.holds(secret, record, note)
        return self._held[asked]

    def _proves(self, secret: SecretView, record: RecordedLease) -> bool:
        """Whether a Secret's data is what we wrote for a record, by its note or by memory."""
        notes = contents.noted(secret), self.known(record).contents
        return any(n is not None and self._holds(secret, record, n) for n in notes)

    @fact
    def known_contents(self, secret: SecretView, record: RecordedLease) -> Contents | None:
        """What we wrote into a Secret for a record, where that is still known."""
        noted = contents.noted(secret)
        if noted is not None and self._holds(secret, record, noted):
            return noted
        return self.known(record).contents or noted

    def intact(self, secret: SecretView, record: RecordedLease) -> bool:
        """Whether a Secret's data is as we wrote it for the record, as far as that is known."""
        known = self.known_contents(secret, record)
        return known is None or self._holds(secret, record, known)

    def edited(self, record: RecordedLease) -> bool:
        """Whether somebody changed the data that the target Secret holds for the record."""
        return self._owned is not None and not self.intact(self._owned, record)

    @fact
    def sound(self, record: RecordedLease) -> SecretView | None:
        """A Secret of ours that holds the record's data as we wrote it, the target first."""
        read = (s for s in self.secrets if s.is_read)
        mine = (s for s in read if self._shows(s, record) and self.intact(s, record))
        return min(mine, key=lambda secret: secret != self.target, default=None)

    @property
    def secrets_to_keep(self) -> SecretsSeen | None:
        """What of the Secrets holds until the watch tells of a change; None: they are read again.

        There is just the target, and its data proves the delivered lease: neither is a copy to be
        made nor anything to be repaired from its values, so these aren't kept.
        """
        seen, held, target = self.memory.secrets, self.delivered, self.target
        if seen is None or seen.target != target or target is None or self.target_contested:
            return None
        if self.memory.doubted:
            return None
        if held is None or {one.uid for one in seen.labelled} != {target.uid} or target.deleting:
            return None
        if self.proven:
            return seen
        noted = contents.noted(target)
        if noted is None or not self._holds(target, held, noted) or _size(target) > MOST_MARKS:
            return None
        bare = dataclasses.replace(target, values=Credentials({}))
        return SecretsSeen(seen.asked, (bare,), bare, is_old=True, proven=held.attempt_id)

    @fact
    def source_of(self, record: RecordedLease) -> SecretView | None:
        """A Secret of ours that holds all that the target needs for the record."""
        secret = self.sound(record)
        if secret is None or self.dl is None:
            return None
        known = self.known_contents(secret, record)
        return secret if known is None or contents.refillable(self.dl, known) else None


def _size(secret: SecretView) -> int:
    """How many characters somebody may have written on a Secret, beside its values."""
    marks = (*secret.labels.items(), *secret.annotations.items())
    lists = sum(map(len, (*secret.keys, *secret.owner_uids)))
    return lists + sum(len(key) + len(value) for key, value in marks)
