"""What the controller needs from the world, in the words of the field.

Adapters under ``providers/`` and ``cluster/`` implement these protocols; tests bring their own.
All moments are UTC in whole seconds, all lengths seconds; errors are ``leaseholder.errors``.
"""

from collections.abc import AsyncIterator, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from leaseholder import changes, errors
from leaseholder.api import conditions, lease, names, provider, record, refs
from leaseholder.secrecy import Credentials, Hidden

# ---------------------------------------------------------------------------- providers


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do for one kind of lease."""

    renewable: bool
    """Renewing keeps the credentials alive (False where renewal is refused or a no-op)."""
    revocable: bool
    """A revocation kills the credentials."""
    verifiable: bool
    """A lease can be looked at."""
    recoverable: bool
    """A lease of a lost answer can be found."""
    sweepable: bool = False
    """Whether a lease was issued for this installation can be seen at the provider."""
    found_by: Literal["Tag", "OwnerAndTime"] = "Tag"
    """How it is: by what was sent along with the issue, or as a lease of our own account that was
    made in the attempt's time and that nobody else's record explains."""
    proven_after: int | None = None
    """Seconds after a lease's first expiry from which a look at it proves that a renewal kept it
    alive: before, the provider may still end it, whatever it said of a later expiry, and show it
    as alive meanwhile. None: a renewal is as good as its word."""
    probe_seconds: int | None = None
    """An inspection of a lease costs the provider little if it comes no more often than this, at a
    multiple of these seconds, so that one question serves all who ask; None: not known."""
    slots: Literal["One", "Many"] = "Many"
    """One: a shared account, where a newer lease kills the older one's credentials."""
    minimum_renewal: int = 1
    """Shortest renewal that the provider takes, in seconds; its shortest ttl is the adapter's."""
    settle: int = 0
    """Seconds after which a late commit of a lost issue must be visible."""
    replica_lag: int = 0
    """Seconds for which a read may still miss what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An issue that is on record: what to ask for, and the tag to ask with."""

    installation: str
    attempt_id: str
    source: Mapping[str, Any]
    """The source as in the DynamicLease and the record, wire names."""
    ttl_seconds: int | None
    started_at: datetime
    deadline: datetime
    """The request isn't sent after this moment (provider's clock)."""
    handle: Mapping[str, Any] = field(default_factory=dict)
    """What ``prepare`` noted for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease as the provider knows it."""

    id: str
    source: Mapping[str, Any]
    issued_at: datetime
    expires_at: datetime
    latest: datetime | None = None
    """It can't be renewed beyond this moment; None: no known bound."""
    seen_at: datetime | None = field(default=None, compare=False)
    """What an inspection shows held at this moment or later, by the provider's clock; None: at the
    moment when it was asked for."""
    handle: Mapping[str, Any] = field(default_factory=dict)
    """The adapter's own notes, JSON values, kept in the record; no credentials."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A lease that this installation had issued, as a list of leases shows it."""

    lease: Lease
    attempt_id: str = ""
    """The attempt that it was issued for, as its tag says; empty where it has none."""


MOST_MARKED: Final = 100
"""So many leases of a provider a sweep reports; the others when these are gone."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new lease and its credentials."""

    lease: Lease
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class Revocation:
    """What the provider answered to a revocation.

    ``done``: it says that the lease and its credentials are gone. Otherwise ``reason`` and
    ``sentence`` say what it met; the lease is still to be revoked.
    """

    done: bool
    reason: conditions.Reason = conditions.Reason.REVOKED
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a look at the provider showed."""

    server_version: str | None
    clock_skew: int
    """Provider's clock minus ours, in seconds."""
    capabilities: tuple[str, ...]
    caveat: str = ""
    """What the way to log in keeps us from promising, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """The Lease of coordination.k8s.io that its holder leads by."""

    holder: str
    """Identity of who leads; empty: nobody."""
    duration: float
    """Seconds for which others leave it alone while it isn't written."""
    version: str
    """resourceVersion; empty: there is none yet."""
    transitions: int
    """How often it changed hands."""
    begins: bool = field(default=False, compare=False)
    """To be written: the holder changes with it."""


class Seats(Protocol):
    """Reads and writes that Lease."""

    async def read(self) -> Seat | None:
        """The Lease; None where there is none.

        Raises:
            ClusterError: it can't be read.
        """
        ...

    async def write(self, seat: Seat) -> Seat:
        """Write it as it was read, or for the first time.

        Raises:
            Conflict: somebody else wrote it meanwhile.
            ClusterError: it wasn't written, or nobody knows.
        """
        ...


class Provider(Protocol):
    """One login at one provider; safe to share between leases.

    Every method may raise ``Unavailable``, ``Throttled`` and ``Denied``.
    """

    def now(self) -> datetime:
        """The provider's clock: its last ``Date``, carried on by a clock that never jumps."""
        ...

    @property
    def has_time(self) -> bool:
        """Whether an answer told the time; before, this machine's wall clock stands in."""
        ...

    async def check(self) -> Health:
        """Log in if need be and look whether the provider answers."""
        ...

    async def prepare(self, attempt: Attempt) -> Mapping[str, Any]:
        """Get ready for an issue; refuse what can't be issued, as far as may be known.

        Returns:
            Notes that must be on record before the issue, so that its lease can be found: JSON
            values, no credentials. They stand in ``Attempt.handle`` from then on.

        Raises:
            Invalid: source missing or being deleted, ttl above the maximum.
        """
        ...

    async def issue(self, attempt: Attempt) -> Issued:
        """Issue one lease; never tries twice.

        Raises:
            Invalid: the source or the ttl can't be served; nothing was issued.
            Unavailable: with ``sent`` the issue may have happened.
        """
        ...

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """Renew ``lease`` so that it ends at ``until``, never later.

        Raises:
            CannotRenew: it is at its end, or its kind can't be renewed.
            LeaseGone: the provider has no such lease.
        """
        ...

    async def inspect(self, lease: Lease) -> Lease:
        """Look at a lease.

        Raises:
            LeaseGone: the provider has no such lease.
        """
        ...

    async def revoke(self, lease: Lease, *, force: bool = False) -> Revocation:
        """Take a lease back; ``force`` also gives up on the system behind the provider.

        Raises:
            LeaseGone: the provider has no such lease.
        """
        ...

    async def recover(self, attempt: Attempt) -> Sequence[Lease]:
        """The live leases that carry the attempt's tag: none, one or more."""
        ...

    async def sweep(
        self, installation: str, source: Mapping[str, Any], known: Container[str]
    ) -> Sequence[Marked]:
        """The live leases of a source that an installation had issued, ``MOST_MARKED`` at most.

        Where a capability says ``sweepable``; elsewhere none.

        Args:
            installation: as tags name it; where leases have none, who logs in stands for it.
            source: as in the DynamicLease.
            known: ids of leases that are left out.
        """
        ...

    def capabilities(self, handle: Mapping[str, Any]) -> Capabilities:
        """What can be done for a lease with these notes; empty notes: for one not yet issued."""
        ...

    async def aclose(self) -> None:
        """Close connections; the login isn't revoked."""
        ...


ProviderName = tuple[str, str, str]
"""Kind, namespace (empty for a ClusterLeaseProvider) and name of a provider object."""


@dataclass(frozen=True, slots=True)
class ProviderObject:
    """A LeaseProvider or ClusterLeaseProvider, told by its uid from one made again."""

    kind: str
    namespace: str
    """Empty for a ClusterLeaseProvider."""
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What the connections to a provider show at a moment."""

    circuit_open: bool
    """Requests are held back, because the provider doesn't answer."""
    budget_used: float | None
    """Share of the requests of a minute that is used up, 0 to 1; None: no bound is known."""
    clock_skew: int
    """Provider's clock minus ours at its last answer, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach and log in at one provider: everything an adapter is built from."""

    spec: provider.ProviderSpec
    of: ProviderObject
    """Whose spec it is, or was: references are followed only while this very object is there."""

    @property
    def namespace(self) -> str | None:
        """Namespace that references default to; None for a ClusterLeaseProvider."""
        return self.of.namespace or None


class Credentialing(Protocol):
    """Where an adapter gets what it logs in with, afresh each time it logs in."""

    async def secret_value(self, ref: refs.SecretKeyRef) -> Hidden:
        """One value of a Secret, read live.

        Raises:
            Denied: reason AuthSecretMissing; Secret or key is missing or empty. Reason AuthGone;
                the provider object that refers to it is gone.
            Unavailable: the API server is away.
        """
        ...

    async def service_account_token(self, ref: refs.ServiceAccountRef, audience: str) -> Hidden:
        """A fresh short-lived token of a ServiceAccount, for that audience only.

        Raises:
            Denied: reason AuthSecretMissing; no such ServiceAccount, or no right to it. Reason
                AuthGone; the provider object that refers to it is gone.
            Unavailable: the API server is away.
        """
        ...

    async def ca_bundle(self) -> str | None:
        """PEM of the CAs to trust beside the system's, None for the system's alone.

        Raises:
            Denied: reason AuthSecretMissing; caBundleRef points nowhere. Reason AuthGone; the
                provider object that refers to it is gone.
        """
        ...


# ------------------------------------------------------------------------------ cluster


MOST_RIVALS: Final = 20
"""So many records of a slot are looked at. Of a shared account there are only a few; of a kind that
isn't shared there may be thousands, and none of them counts. Where a shared one has so many, none
is issued: the one that holds it may be among the rest."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What matters of a workload: our stamps, and how far its rollout has come.

    Counts are of pods. For a Rollout only ``observed``, ``restarted`` and ``phase`` say how far.
    """

    kind: lease.WorkloadKind
    namespace: str
    name: str
    uid: str
    resource_version: str
    stamps: Mapping[str, str]
    """For which leases it was restarted, by whole key under ``restart.leaseholder.dev``: only what
    its pods show, or will show when its rollout is complete."""
    observed: bool
    """Its controller has seen the spec as it is."""
    strategy: str = ""
    """RollingUpdate, Recreate or OnDelete."""
    partition: int = 0
    """Pods of a StatefulSet below this ordinal keep their template."""
    paused: bool = False
    stuck: bool = False
    """The progress deadline of a Deployment is over."""
    wanted: int = 0
    updated: int = 0
    total: int = 0
    available: int = 0
    terminating: int = 0
    """Pods of a Deployment that haven't ended yet; 0 where the API server doesn't count them."""
    restarted: bool = True
    """A Rollout's controller has replaced the pods that were older than ``restartAt``."""
    phase: str = ""
    """Of a Rollout: Healthy, Progressing, Paused or Degraded."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Cluster(Protocol):
    """The API server.

    What is *known* comes from watches, lists and answers to our own writes, and may be old; what
    isn't known, or met a conflict, is read live even there. A ``read_…`` is always live: it stands
    where no precondition of a write protects.

    Every method may raise ``ClusterUnavailable``; every write ``Conflict`` and ``Refused``.
    Writes to what exists carry uid and resourceVersion.
    """

    async def dynamic_lease(self, namespace: str, name: str) -> lease.DynamicLease | None:
        """A DynamicLease as it is known; None: there is none, as was read live.

        Each write of it carries its version, and before anything is asked of a provider that can't
        be taken back it is read live.
        """
        ...

    async def read_dynamic_lease(self, namespace: str, name: str) -> lease.DynamicLease | None:
        """A DynamicLease, read live; None where there is none.

        For what a write of the DynamicLease itself doesn't protect: a lease is issued or revoked,
        a Secret is written or deleted for it.
        """
        ...

    def watched_beside(self, dl: lease.DynamicLease, other: record.Holder) -> bool:
        """Whether the watch told of a DynamicLease while another of its namespace stood.

        It still stands, as far as is known: so their Namespace is one and the same.
        """
        ...

    def shown_end(self, namespace: str, name: str) -> datetime | None:
        """When the lease ends that the status of a DynamicLease shows, as it is known.

        Nothing is read; None: it shows none, or isn't known.
        """
        ...

    def known_name(self, namespace: str, uid: str) -> str | None:
        """The name of the DynamicLease of that uid; None: it isn't known. Nothing is read."""
        ...

    def dynamic_leases(self) -> AsyncIterator[lease.DynamicLease]:
        """All DynamicLeases in the watched namespaces, page by page: each may have a megabyte."""
        ...

    async def patch_lease_status(
        self, dl: lease.DynamicLease, status: lease.DynamicLeaseStatus
    ) -> None:
        """Make ``status`` the status of ``dl`` as it was read (resourceVersion)."""
        ...

    async def patch_finalizer(self, dl: lease.DynamicLease, *, on: bool) -> None:
        """Put our finalizer on ``dl`` as it was read, or take it off; gone: ``Conflict``."""
        ...

    async def record_named(self, name: str) -> record.LeaseRecord | None:
        """A record, None where there is none."""
        ...

    async def records(self) -> Sequence[record.LeaseRecord]:
        """The whole ledger; what can't be read is left out."""
        ...

    def now(self) -> datetime | None:
        """The API server's clock (UTC), which dates what users do; None: it never told the time."""
        ...

    def unreadable(self, kind: str) -> Sequence[str]:
        """Namespace and name of the objects of a kind that couldn't be read."""
        ...

    async def records_of_slot(self, slot: str) -> Sequence[record.LeaseRecord]:
        """Some of the records with that slot, enough to see whether it is a shared account."""
        ...

    async def create_record(self, spec: record.RecordSpec) -> record.LeaseRecord:
        """Put a record on the ledger under the name of its subject; ``Conflict`` if it is there.

        Our finalizer is on it while leases are.
        """
        ...

    async def write_record(
        self, known: record.LeaseRecord, spec: record.RecordSpec
    ) -> record.LeaseRecord:
        """Make ``spec`` the record's, as it was read; gone: ``Conflict``."""
        ...

    async def delete_record(self, known: record.LeaseRecord) -> None:
        """Delete a record as it was read; it is fine if it is gone already."""
        ...

    async def secret(self, namespace: str, name: str) -> SecretView | None:
        """A Secret, None where there is none."""
        ...

    async def secrets_of(self, namespace: str, uid: str) -> Sequence[SecretView]:
        """Metadata of the Secrets in a namespace that carry our owner label with that uid.

        Anybody may put the label on, so only ``MOST_OWNED`` are given; ours are one or two.
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

    async def workload(
        self, kind: lease.WorkloadKind, namespace: str, name: str
    ) -> Workload | None:
        """A workload; None where there is none, or its kind isn't known.

        Raises:
            Refused: no right to look.
        """
        ...

    async def workloads(
        self, kind: lease.WorkloadKind, namespace: str, labels: Mapping[str, str]
    ) -> Sequence[Workload]:
        """The workloads that carry all these labels; none where the kind isn't known.

        Raises:
            Refused: no right to look.
        """
        ...

    async def stamp_workload(
        self, current: Workload, key: str, value: str, *, restart_at: datetime
    ) -> None:
        """Replace a workload's pods by ones with a stamp, in one write.

        Args:
            current: the workload as it was read.
            key: annotation key under ``restart.leaseholder.dev``.
            value: what the stamp says.
            restart_at: now (UTC); a Rollout's pods that are older are to go.
        """
        ...

    async def provider_of(
        self, ref: lease.ProviderRef, namespace: str
    ) -> provider.AnyProvider | None:
        """The provider that a DynamicLease of ``namespace`` means, None where there is none."""
        ...

    async def patch_provider_status(
        self, known: provider.AnyProvider, status: provider.ProviderStatus
    ) -> None:
        """Make ``status`` the provider's status."""
        ...

    async def namespace(self, name: str) -> "NamespaceView | None":
        """A namespace, None where there is none."""
        ...

    async def emit(self, about: lease.DynamicLease | provider.AnyProvider, note: "Note") -> None:
        """Post an event about a resource; failures are swallowed."""
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

    def credentialing(self, access: Access) -> Credentialing:
        """Where an adapter for ``access`` gets what it logs in with."""
        ...


@dataclass(frozen=True, slots=True)
class NamespaceView:
    """What matters of a namespace."""

    name: str
    labels: Mapping[str, str]
    terminating: bool
    uid: str


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


@dataclass(frozen=True, slots=True)
class Note:
    """An event's text."""

    type: Literal["Normal", "Warning"]
    reason: conditions.Reason
    message: str
    action: str = "Reconcile"


# -------------------------------------------------------------------------------- clock


class Clock(Protocol):
    """Time on this machine."""

    def monotonic(self) -> float:
        """Seconds that never jump, running on through sleep (CLOCK_BOOTTIME)."""
        ...

    def wall(self) -> datetime:
        """The wall clock in UTC; shows a moment, decides nothing."""
        ...


# ---------------------------------------------------------------------------- telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a look at a DynamicLease showed; moments are the provider's, in UTC."""

    now: datetime
    """When it was looked at, by the same clock."""
    ready: bool | None
    """None: there is no such DynamicLease any more."""
    reason: conditions.Reason
    """Of Ready."""
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    renews_at: datetime | None = None
    """Of the lease whose credentials are in the Secret."""
    leases: Sequence[tuple[str, record.State, ProviderName]] = ()
    """Each lease on record: its record, its state, where it was issued."""
    pending_since: datetime | None = None
    """Since when status says that a lease is to be revoked (our clock)."""


class Meter(Protocol):
    """Where figures go; names of leases, never values of theirs."""

    def issued(self, by: ProviderName, outcome: errors.Outcome, *, replaces: bool) -> None:
        """An issue ended; ``replaces``: the lease takes another one's place."""
        ...

    def renewed(self, by: ProviderName, outcome: errors.Outcome) -> None:
        """A renewal ended."""
        ...

    def revoked(self, by: ProviderName, outcome: errors.Outcome) -> None:
        """A revocation ended; ``OK``: the provider confirms that the lease is gone."""
        ...

    def observed(self, holder: record.Holder, figures: Figures) -> None:
        """A DynamicLease was looked at."""
        ...

    def forget(self, holder: record.Holder) -> None:
        """A DynamicLease is gone, and nothing of it is left on record."""
        ...

    def provider_observed(
        self, ref: ProviderName, ready: bool | None, reason: conditions.Reason
    ) -> None:
        """A provider object was looked at, or seen for the first time (None: not looked at)."""
        ...

    def swept(self, ref: ProviderName, unrecorded: int | None) -> None:
        """A sweep found so many leases of a provider on no record; None: it isn't swept."""
        ...

    def forget_provider(self, ref: ProviderName) -> None:
        """A provider object is gone."""
        ...

    def late(self, seconds: float) -> None:
        """A due time was met that much late."""
        ...


class Journal(Protocol):
    """Where changes of leases are written down for people to read."""

    def enter(self, change: changes.Change) -> None:
        """A lease, a DynamicLease or a provider changed."""
        ...

    def forget(self, uid: str) -> None:
        """A DynamicLease or a provider is gone."""
        ...
