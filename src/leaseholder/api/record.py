"""LeaseRecord: the ledger. One per lease, on record before the mint, written by us alone.

The kind has no status subresource on purpose: state, lease id and their annotations move in
one write, and a backup that drops status still leaves the annotations.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, model_validator

from leaseholder.api import base, names

MOST_LEASE_ID: Final = 1024
"""Bytes of a provider's lease id that go on record."""
MOST_HANDLE: Final = 4096
"""Bytes of an adapter's notes, as JSON, that go on record."""

_Text = Annotated[str, Field(max_length=1024)]
_Free = Annotated[
    dict[str, Any],
    Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
]


class State(StrEnum):
    """Where a lease stands between its mint and the provider's word that it is gone."""

    ATTEMPT = "Attempt"
    HELD = "Held"
    SUPERSEDED = "Superseded"
    REVOKING = "Revoking"
    ABANDONED = "Abandoned"

    @property
    def pending(self) -> bool:
        """Whether the lease is still to be revoked."""
        return self in (State.REVOKING, State.ABANDONED)


class Holder(base.Model):
    """The DynamicLease that a lease was minted for; its uid tells it from a namesake."""

    namespace: _Text
    """Namespace of the DynamicLease."""
    name: _Text
    """Name of the DynamicLease."""
    uid: _Text
    """Uid of the DynamicLease."""


class RecordProvider(base.Model):
    """Where the lease was minted: enough to find it again when the provider object is gone."""

    type: _Text
    """infisical, phase or openbao."""
    kind: _Text
    """LeaseProvider or ClusterLeaseProvider."""
    namespace: Annotated[str, Field(max_length=253)] = ""
    """Namespace of the LeaseProvider; empty for a ClusterLeaseProvider."""
    name: _Text
    """Name of the provider object."""
    uid: _Text
    """Uid of the provider object."""
    address: Annotated[str, Field(max_length=2048)]
    """Base URL of the server."""
    trust: _Free = Field(default_factory=dict)
    """caBundle or caBundleRef of the provider object."""
    options: _Free = Field(default_factory=dict)
    """What else of the provider object says where the lease is: namespace, exclusive."""
    auth_ref: _Free = Field(default_factory=dict)
    """References to the credentials that made the lease: names, never values."""

    @property
    def ref(self) -> tuple[str, str, str]:
        """Kind, namespace and name of the provider object."""
        return self.kind, self.namespace, self.name


class RecordSpec(base.Model):
    """What is known before the mint."""

    for_: Annotated[Holder, Field(alias="for")]
    """The DynamicLease that the lease is for."""
    installation: _Text
    """The installation that minted it: uid of kube-system and the operator's namespace."""
    attempt_id: _Text
    """Random tag that is sent along with the mint, where the provider keeps one."""
    rotate_nonce: Annotated[str, Field(max_length=1024)] = ""
    """The rotate command that this lease answers."""
    restarts: bool = False
    """It takes the place of a lease that was delivered: workloads are restarted for it."""
    provider: RecordProvider
    """Where the lease is minted."""
    source: _Free
    """What is asked for there, as in the DynamicLease."""
    source_hash: _Text
    """Hash of provider and source."""
    slot: Annotated[str, Field(max_length=63)] = ""
    """Hash of the provider's address and the source: where leases share one account, they share
    it across DynamicLeases and provider objects."""
    ttl_seconds: int | None = None
    """Lifetime asked for, in seconds; absent: the provider's default."""
    notes: _Free = Field(default_factory=dict)
    """What the provider adapter noted before the mint, by which its lease is found: no
    credentials. Here and not in status, so that a restore that drops status keeps it."""
    started_at: base.Moment
    """When the attempt began (UTC)."""
    deadline: base.Moment
    """The mint isn't sent after this moment (UTC)."""


class Revocation(base.Model):
    """The debt: how far the revocation has come."""

    reason: _Text = ""
    """Why the lease is to be revoked."""
    since: base.Moment | None = None
    """When the lease was superseded, or its revocation became due (UTC)."""
    not_before: base.Moment | None = None
    """A superseded lease lives on until this moment (UTC), or a shorter overlap's end."""
    attempts: int = 0
    """Tries so far."""
    next_at: base.Moment | None = None
    """When the next try is due (UTC)."""
    last_reason: _Text = ""
    """What the last try met."""
    answered_at: base.Moment | None = None
    """When the provider said that it revoked the lease, or first said that it has none."""
    forced_nonce: _Text = ""
    """The force command that this revocation was tried for."""


class RecordStatus(base.Model):
    """What became of the lease."""

    state: State
    """Attempt, Held, Superseded, Revoking or Abandoned."""
    lease_id: _Text = ""
    """The provider's id of the lease; empty until it answered."""
    handle: _Free = Field(default_factory=dict)
    """The provider adapter's own notes about the lease; no credentials."""
    issued_at: base.Moment | None = None
    """When the lease was issued (UTC)."""
    expires_at: base.Moment | None = None
    """When the lease ends at the provider (UTC); a lower bound."""
    clock_ahead: int = 0
    """Seconds that the lease's own moments are ahead of the provider's ``Date``, as its issue
    showed: a proxy may write a ``Date`` of its own."""
    rolled_out_at: base.Moment | None = None
    """When the workloads that were restarted for the lease had moved to it (UTC)."""
    revoke: Revocation | None = None
    """How far the revocation has come."""


class LeaseRecord(base.Resource):
    """One lease, from before its mint until the provider confirms its end."""

    KIND: ClassVar[str] = "LeaseRecord"
    spec: RecordSpec
    """What is known before the mint."""
    status: RecordStatus
    """What became of the lease."""

    @model_validator(mode="before")
    @classmethod
    def _restored(cls, body: Any) -> Any:
        """A record from a backup that dropped status: as far as its annotations tell."""
        if not isinstance(body, dict) or body.get("status") is not None:
            return body
        meta = body.get("metadata")
        notes = (meta.get("annotations") or {}) if isinstance(meta, dict) else {}
        lease_id = notes.get(names.LEASE_ID, "")
        status = {
            "state": State.HELD if lease_id else State.ATTEMPT,
            "leaseId": lease_id,
            "expiresAt": notes.get(names.EXPIRES_AT),
        }
        return {**body, "status": status}

    @property
    def name(self) -> str:
        """``<uid of the DynamicLease>-<n>``."""
        return self.metadata.name

    @property
    def number(self) -> int:
        """The place among those of its DynamicLease, from 1; 0: somebody else named it."""
        return number_of(self.metadata.name)

    @property
    def handle(self) -> dict[str, Any]:
        """All that the provider adapter noted, before the mint and after it."""
        return {**self.spec.notes, **self.status.handle}

    @property
    def state(self) -> State:
        """Where the lease stands."""
        return self.status.state


def number_of(name: str) -> int:
    """The ``n`` of a record's name ``<uid>-<n>``; 0 where the name is no record's."""
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isdecimal() and len(digits) < 10 else 0
