"""Which Secrets there are for a DynamicLease, and which of them are ours.

Flows in: a DynamicLease with its leases on record. Flows out: the Secret under the wanted name,
those that are ours, and whether another one has the wanted one. ``observe`` asks, and
``core.secret_facts`` says what they hold.

Our marks on a Secret prove nothing, because anybody in the namespace may write them: they lead to a
Secret, and its data or its note decides.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from leaseholder.api import names
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import Holder, RecordedLease, State, Subject
from leaseholder.controller.records import Records
from leaseholder.core import contents
from leaseholder.core.memory import Memory, SecretsSeen
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.secrets import SecretView

MOST_READ: Final = 2
"""So many Secrets under former names are read with their data."""


@dataclass(frozen=True, slots=True)
class FoundSecrets:
    """The Secrets of one look."""

    target: SecretView | None
    """The one under the wanted name, whosever it is; None where none is wanted."""
    contested: bool
    """The target belongs to somebody else."""
    ours: tuple[SecretView, ...]
    proven: str
    """As ``View.proven``."""


NOTHING: Final = FoundSecrets(None, False, (), "")
"""No Secret was looked for."""


@dataclass(frozen=True, slots=True)
class SecretFinder:
    """Reads Secrets."""

    cluster: Cluster
    records: Records

    async def find(
        self,
        subject: Subject,
        holder: Holder,
        dl: DynamicLease | None,
        leases: Sequence[RecordedLease],
        memory: Memory,
    ) -> FoundSecrets:
        """The Secrets as they are, or as they were read some steps ago (``Memory.secrets``).

        Raises:
            errors.ClusterError: they can't be read.
        """
        theirs = (one.holder_uid for one in leases)
        uids = list(dict.fromkeys([holder.uid, *theirs, *sorted(memory.former_uids)]))
        if _has_none(dl, leases, memory) and self.cluster.hears_of_secrets(subject.namespace):
            asked = (*uids, _target_name(dl, holder))
            memory.secrets = SecretsSeen(asked, (), None, is_old=True, supposed=True)
            memory.searched = True
        labelled, named = await self._secrets(subject, uids, dl, holder, memory)
        if memory.former_uids:
            memory.former_uids &= {one.labels.get(names.OWNER_UID) for one in labelled}
        target = named if dl is not None else None
        contested = await self._contested(dl, target, uids, leases)
        others = [s for s in labelled if named is None or s.name != named.name]
        former = await self._former(holder, others, leases)
        proven = memory.secrets.proven if memory.secrets is not None else ""
        ours = (*_ours(subject.name, uids, named, leases), *former)
        return FoundSecrets(target, contested, ours, proven)

    async def _secrets(
        self,
        subject: Subject,
        uids: Sequence[str],
        dl: DynamicLease | None,
        holder: Holder,
        memory: Memory,
    ) -> tuple[Sequence[SecretView], SecretView | None]:
        """Secrets with our label, and the one under the wanted name.

        Those of a Namespace that was made again went with it: what is there now is another's.
        """
        if self.records.is_former(subject):
            return [], None
        asked, seen = (*uids, _target_name(dl, holder)), memory.secrets
        deaf = (
            seen is not None
            and seen.proven
            and not self.cluster.hears_of_secrets(subject.namespace)
        )
        if seen is not None and seen.asked == asked and not (memory.doubted or deaf):
            seen.is_old = True
            return seen.labelled, seen.target
        watched = dl is not None and not dl.deleting and not memory.doubted
        watched = watched and self._shows_only(subject.namespace, uids, asked[-1])
        memory.searched = True
        memory.doubted = False  # from now on: what is told of while they are read may be missing
        read = self._read_watched if watched else self._read
        seen = memory.secrets = await read(subject.namespace, uids, asked[-1])
        return seen.labelled, seen.target

    async def _read(self, namespace: str, uids: Sequence[str], name: str) -> SecretsSeen:
        by_label = asyncio.create_task(self._labelled(namespace, uids))
        by_name = asyncio.create_task(self.cluster.secret(namespace, name))
        # Of two refusals always the same one is raised: a sentence that changed from look to look
        # would be logged anew each time.
        await asyncio.gather(by_label, by_name, return_exceptions=True)
        return SecretsSeen((*uids, name), tuple(by_label.result()), by_name.result())

    async def _read_watched(self, namespace: str, uids: Sequence[str], name: str) -> SecretsSeen:
        """The one of that name; that no other has our label, the watch tells."""
        target = await self.cluster.secret(namespace, name)
        found = (target,) if target is not None else ()
        labelled = tuple(one for one in found if one.labels.get(names.OWNER_UID) in uids)
        return SecretsSeen((*uids, name), labelled, target, is_old=True, watched=True)

    def _shows_only(self, namespace: str, uids: Sequence[str], target: str) -> bool:
        """Whether the watch shows no Secret with our label but the one of that name.

        After a start thousands are looked at, and the API server would go through all Secrets of
        the namespace for each list by label. Only a few steps are made from that
        (``Entry.must_read_for``).
        """
        shown = [self.cluster.labelled(namespace, uid) for uid in uids if uid]
        return all(one is not None and {*one} <= {target} for one in shown)

    async def _labelled(self, namespace: str, uids: Sequence[str]) -> list[SecretView]:
        found = (self.cluster.secrets_of(namespace, uid) for uid in uids if uid)
        return [secret for some in await asyncio.gather(*found) for secret in some]

    async def _former(
        self, holder: Holder, labelled: Sequence[SecretView], records: Sequence[RecordedLease]
    ) -> list[SecretView]:
        """Secrets of ours under other names than the wanted one; a few with their data.

        A lease may have to be copied from one. Which, their annotations tell: those that show a
        Held lease, and those that show nothing.
        """
        theirs = self._shown_by_others(holder.namespace, labelled, records)
        ours = (s for s in labelled if s.annotations.get(names.ATTEMPT) not in theirs)
        mine = [s for s in ours if _is_former(s, holder)]
        held = {r.attempt_id: n for n, r in enumerate(records, 1) if r.state is State.HELD}
        reporting = sorted(mine, key=lambda s: -held.get(s.annotations.get(names.ATTEMPT, ""), 0))
        read = [s for s in reporting if s.annotations.get(names.ATTEMPT) in {None, *held}]
        found = await asyncio.gather(
            *(self.cluster.secret(s.namespace, s.name) for s in read[:MOST_READ])
        )
        whole = {s.uid: s for s in found if s is not None}
        return [whole.get(s.uid, s) for s in mine]

    def _shown_by_others(
        self,
        namespace: str,
        labelled: Sequence[SecretView],
        records: Sequence[RecordedLease],
    ) -> frozenset[str]:
        """The attempts named by Secrets with our label that are on another's record.

        Somebody put our marks on its Secret: it isn't ours to delete.
        """
        named = {s.annotations[names.ATTEMPT] for s in labelled if names.ATTEMPT in s.annotations}
        foreign = named - {one.attempt_id for one in records}
        if not foreign:
            return frozenset()
        pages = (page for page in self.records if page.subject.namespace == namespace)
        return frozenset(foreign & {one.attempt_id for page in pages for one in page.leases})

    async def _contested(
        self,
        dl: DynamicLease | None,
        target: SecretView | None,
        uids: Sequence[str],
        records: Sequence[RecordedLease],
    ) -> bool:
        """Whether the target belongs to somebody else: not to us, nobody who is gone or younger.

        One whose owner's name was taken off is left alone: whoever owns it puts the name on again,
        and to search all DynamicLeases for a uid would cost whoever reads thousands of forged ones.
        """
        if dl is None or target is None or any(target.belongs_to(uid) for uid in uids):
            return False
        if _sealed(target, records):
            return False
        if names.SECRET in target.annotations and not target.written_here:
            return True
        uid, name = target.labels.get(names.OWNER_UID), target.annotations.get(names.OWNER_NAME)
        if uid is None or name is None:
            return True
        owner = await self.cluster.read_dynamic_lease(target.namespace, name)
        if owner is None or owner.metadata.uid != uid:
            return False
        wants = owner.secret_name == target.name and not owner.deleting
        return not wants or _age(owner) < _age(dl)


def _has_none(dl: DynamicLease | None, leases: Sequence[RecordedLease], memory: Memory) -> bool:
    """Whether no Secret was ever written for a DynamicLease, as far as is known.

    Our finalizer, which comes before anything else, isn't on yet, and no lease is on record. That
    holds if the finalizer can be put on (by resourceVersion), and if the dry run of the Secret's
    POST meets none: before any other step the Secrets are read (``Entry.must_read_for``).
    """
    if dl is None or dl.deleting or names.FINALIZER in dl.metadata.finalizers:
        return False
    is_known = memory.secrets is not None or memory.doubted or memory.former_uids
    return not (is_known or leases or dl.status.lease is not None)


def _target_name(dl: DynamicLease | None, holder: Holder) -> str:
    """The wanted name; of a DynamicLease that is gone, its own.

    Somebody may have taken our label off the Secret: then only its name leads to it.
    """
    return dl.secret_name if dl is not None else holder.name


def _ours(
    name: str,
    uids: Sequence[str],
    target: SecretView | None,
    records: Sequence[RecordedLease],
) -> list[SecretView]:
    """The Secret under the wanted name where it is ours, also if our label was taken off."""
    if target is None:
        return []
    ours = any(uid and target.belongs_to(uid) for uid in uids) or _is_marked(target, name)
    return [target] if ours or _sealed(target, records) else []


def _is_marked(secret: SecretView, name: str) -> bool:
    """Whether its marks say that we wrote it for a DynamicLease of that name, of whichever uid."""
    named = secret.annotations.get(names.OWNER_NAME) == name
    return named and secret.written_here and names.OWNER_UID in secret.labels


def _is_former(secret: SecretView, holder: Holder) -> bool:
    """Whether we wrote a Secret with the holder's label for the holder, under another name.

    Our label alone says little, and on a copy all marks are ours: its note names another Secret.
    """
    if secret.annotations.get(names.OWNER_NAME, holder.name) != holder.name:
        return False
    bare = names.SECRET not in secret.annotations and holder.uid in secret.owner_uids
    return secret.written_here or bare


def _sealed(secret: SecretView, records: Sequence[RecordedLease]) -> bool:
    """Whether a Secret's data proves that we wrote it for one of these records."""
    known = contents.noted(secret)
    held = (r for r in records if r.state is State.HELD)
    return known is not None and any(contents.holds(secret, r, known) for r in held)


def _age(dl: DynamicLease) -> tuple[float, str]:
    """What sorts DynamicLeases from the oldest to the youngest."""
    made = dl.metadata.creation_timestamp
    return made.timestamp() if made is not None else 0.0, dl.metadata.uid
