"""Secrets: the target of a DynamicLease, what of it is read, and what its watch shows.

Flows in: drafts, from ``controller.deliver``. Flows out: views of Secrets whose values don't show,
for ``controller.secret_finder``, and events, for ``controller.compare``.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from leaseholder.api import names, record
from leaseholder.secrecy import Credentials

MOST_OWNED: Final = 20
"""So many Secrets with the owner label of one DynamicLease are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretView:
    """A Secret as it was read; its values don't show."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    type: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    keys: tuple[str, ...]
    """Names of its data, sorted."""
    is_read: bool = True
    """False: only its metadata is known; keys and values are empty."""
    owner_uids: tuple[str, ...] = ()
    deleting: bool = False
    immutable: bool = False
    """Its data can't be changed, only deleted with it."""
    values: Credentials = field(default_factory=lambda: Credentials({}), repr=False, compare=False)
    """Its data, as far as it is text."""

    @property
    def written_here(self) -> bool:
        """Whether our note names this very Secret; on somebody's copy it names another."""
        return self.annotations.get(names.SECRET) == f"{self.namespace}/{self.name}"

    def belongs_to(self, uid: str) -> bool:
        """Whether it is the Secret of that DynamicLease, by owner or by our label.

        A copy isn't, though it has our label: replicators take labels and annotations along.
        """
        noted = names.SECRET not in self.annotations or self.written_here
        return uid in self.owner_uids or (noted and self.labels.get(names.OWNER_UID) == uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretDraft:
    """A Secret as we want it: labels and annotations of ours (None: off with it), data whole."""

    namespace: str
    name: str
    type: str
    labels: Mapping[str, str | None]
    annotations: Mapping[str, str | None]
    owner: record.Holder
    credentials: Credentials


class Secrets(Protocol):
    """Reads and writes Secrets, and hears of their changes."""

    async def secret(self, namespace: str, name: str) -> SecretView | None:
        """A Secret, None where there is none."""
        ...

    async def secrets_of(self, namespace: str, uid: str) -> Sequence[SecretView]:
        """Metadata of the Secrets in a namespace that carry our owner label with that uid.

        Anybody may put the label on, so only ``MOST_OWNED`` are given; ours are one or two.
        """
        ...

    def labelled(self, namespace: str, uid: str) -> Collection[str] | None:
        """Names of these Secrets as the watch has shown them; None: it isn't open, as far as known.

        Nothing is read. Where there are many, a few are given, and some may be gone.
        """
        ...

    async def leases_shown(self) -> frozenset[str]:
        """Ids of the leases that Secrets of ours name, in all watched namespaces."""
        ...

    async def write_secret(
        self, draft: SecretDraft, current: SecretView | None, *, dry_run: bool = False
    ) -> SecretView:
        """Create the Secret (``current`` None), or make ``current`` as drafted in one write."""
        ...

    async def touch_secret(self, current: SecretView) -> None:
        """One write that moves the Secret's resourceVersion: fences a late delivery."""
        ...

    async def disown_secret(self, current: SecretView, owner: record.Holder) -> None:
        """Take our labels and the owner off a Secret; its data stays."""
        ...

    async def delete_secret(self, current: SecretView) -> None:
        """Delete the Secret as it was read; it is fine if it is gone already."""
        ...

    def secret_events(self) -> "AsyncIterator[SecretEvent | SecretCopy]":
        """Each change of a Secret with our owner label, for ever; metadata only, no data."""
        ...

    def hears_of_secrets(self, namespace: str) -> bool:
        """Whether the watch on our Secrets in a namespace is open, as far as is known."""
        ...

    async def secret_owners(self) -> "Sequence[SecretEvent]":
        """The last event of each Secret with our owner label, as the watch has shown it."""
        ...


@dataclass(frozen=True, slots=True)
class SecretEvent:
    """A Secret of ours changed: whose it is."""

    namespace: str
    owner_name: str
    owner_uid: str
    version: str = field(default="", compare=False)
    """The Secret's resourceVersion; empty where it went or changed hands."""

    @property
    def holder(self) -> record.Holder:
        """The DynamicLease that it belongs to, as its marks say."""
        return record.Holder(namespace=self.namespace, name=self.owner_name, uid=self.owner_uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretCopy:
    """A Secret that has our label and isn't ours to touch.

    Somebody made it from one of ours, marks and all; or nothing else says that we wrote it.
    """

    namespace: str
    name: str
    original: str
    """``namespace/name`` of ours; empty where it names none."""
    owner_name: str
    """Name of the DynamicLease that ours belongs to; empty where that isn't said."""
    owner_uid: str
    """Its uid, as our label says."""
