"""LeaseRecord: the ledger. One for each DynamicLease name, written by us alone.

It holds every lease from before it is issued until the provider confirms its end, so each step is
one compare-and-swap of one object. All stands in spec: a backup that drops status keeps it. What is
read is written back as it was read, unknown fields of another version among it.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from leaseholder.api import base, names

MOST_LEASE_ID: Final = 1024
"""Bytes of a provider's lease id that go on record."""
MOST_HANDLE: Final = 4096
"""Bytes of an adapter's notes, as JSON, that go on record."""

MOST_LEASES: Final = 16
"""So many leases are put on one record; the schema takes more, for what is put back."""
MOST_IN_ALL: Final = 24
"""So many the schema takes."""
MOST_BYTES: Final = 1024 * 1024
"""Bytes of a record, as etcd has it, up to which another lease is put on it. The rest up to etcd's
1.5 MiB is for what its leases grow by: an answer, a revocation."""
MOST_TRUSTS: Final = 256 * 1024
"""Bytes of a record's trusts up to which another lease is put on it."""
MOST_ENDED: Final = 32
"""So many leases that ended are remembered by attempt id."""
_MOST_PROVIDERS: Final = 256
"""So many providers of leases are one object each, however many leases they have."""
_MOST_PROVIDER: Final = 2048
"""Letters of such a provider, as JSON."""
_MOST_NAME: Final = 180
_HASHED: Final = 20

_Text = Annotated[str, Field(max_length=1024), base.Interned]
_Free = Annotated[
    dict[str, Any],
    Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
]


class _Kept(base.Model):
    """What is written back as it was read: fields of a newer version stay."""

    model_config = ConfigDict(extra="allow")


class State(StrEnum):
    """Where a lease stands between its issue and the provider's word that it is gone."""

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
    """A DynamicLease; its uid tells it from one that was made again under its name."""

    namespace: _Text
    """Namespace of the DynamicLease."""
    name: _Text
    """Name of the DynamicLease."""
    uid: _Text
    """Uid of the DynamicLease."""


class Subject(_Kept):
    """The name that a record is for: a Namespace that was made again is another tenant's."""

    namespace: _Text
    """Namespace of the DynamicLease."""
    namespace_uid: _Text
    """Uid of that Namespace."""
    name: _Text
    """Name of the DynamicLease."""


class RecordProvider(_Kept):
    """Where a lease was issued: enough to find it again when the provider object is gone."""

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
    trust: Annotated[str, Field(max_length=64)] = ""
    """Which of the record's trusts is the provider's; empty: the system's alone."""
    options: _Free = Field(default_factory=dict)
    """What else of the provider object says where the lease is: namespace, exclusive."""
    auth_ref: _Free = Field(default_factory=dict)
    """References to the credentials that made the lease: names, never values."""

    @property
    def ref(self) -> tuple[str, str, str]:
        """Kind, namespace and name of the provider object."""
        return self.kind, self.namespace, self.name


_providers: Final[dict[str, RecordProvider]] = {}


def _shared(one: RecordProvider) -> RecordProvider:
    """The object that equals it and is kept already: of 3 KiB, and thousands of leases have it."""
    try:
        text = one.model_dump_json()
    except ValueError:  # half of a surrogate pair: it is no UTF-8, and written in no other way
        return one
    if len(text) > _MOST_PROVIDER:
        return one
    if len(_providers) >= _MOST_PROVIDERS:
        _providers.clear()
    return _providers.setdefault(text, one)


class Revocation(_Kept):
    """How far a revocation has come."""

    reason: _Text = ""
    """Why the lease is to be revoked."""
    since: base.Moment | None = None
    """When the lease was superseded, or its revocation became due (UTC)."""
    not_before: base.Moment | None = None
    """A superseded lease lives on until this moment (UTC), or a shorter overlap's end."""
    first_seen_at: base.Moment | None = None
    """When an unclear attempt was first seen (UTC)."""
    searched_at: base.Moment | None = None
    """When an unclear attempt was first searched for and not found (UTC)."""
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


class RecordedLease(_Kept):
    """One lease, from before it is issued until the provider confirms its end."""

    attempt_id: Annotated[str, Field(min_length=1, max_length=64), base.Interned]
    """Random; names the lease everywhere, and is sent along where the provider keeps a tag."""
    seal_key: Annotated[str, Field(max_length=64)] = ""
    """Random; key of the seal on the Secret, and nowhere but here."""
    holder_uid: _Text
    """Uid of the DynamicLease that the lease was issued for, or that took it over."""
    state: State
    """Attempt, Held, Superseded, Revoking or Abandoned."""
    provider: Annotated[RecordProvider, AfterValidator(_shared)]
    """Where the lease is issued."""
    source: _Free = Field(default_factory=dict)
    """What is asked for there, as in the DynamicLease."""
    source_hash: _Text
    """Hash of provider and source."""
    slot: Annotated[str, Field(max_length=63), base.Interned] = ""
    """Hash of the provider's address and the source: where leases share one account, they share
    it across DynamicLeases and provider objects."""
    ttl_seconds: int | None = None
    """Lifetime asked for, in seconds; absent: the provider's default."""
    rotate_nonce: Annotated[str, Field(max_length=1024)] = ""
    """The rotate command that this lease answers."""
    restarts: bool = False
    """It takes the place of a lease that was delivered: workloads are restarted for it."""
    started_at: base.Moment
    """When the attempt began (UTC)."""
    deadline: base.Moment
    """The issue isn't sent after this moment (UTC)."""
    notes: _Free = Field(default_factory=dict)
    """What the provider adapter noted before the issue, by which its lease is found: no
    credentials."""
    lease_id: _Text = ""
    """The provider's id of the lease; empty until it answered."""
    handle: _Free = Field(default_factory=dict)
    """What the provider adapter noted with the answer; no credentials."""
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
    installation: _Text = ""
    """The installation that issued the lease, where another one adopted its record: by its name the
    provider's tag is found."""

    @property
    def noted(self) -> dict[str, Any]:
        """All that the provider adapter noted, before the issue and with the answer."""
        return {**self.notes, **self.handle}

    @property
    def revocation(self) -> Revocation:
        """How far the revocation has come; an empty one where there is none yet."""
        return self.revoke or Revocation()

    def but(self, **changes: Any) -> "RecordedLease":
        """The lease with other values in these fields."""
        return self.model_copy(update=changes)


Why = Literal["Confirmed", "Expired", "NotIssued", "NotFound", "Forgotten", "Orphaned"]


class Ended(_Kept):
    """A lease that went from the record, so that it isn't put back."""

    attempt_id: Annotated[str, Field(max_length=64)]
    """The lease's."""
    at: base.Moment
    """When it went (UTC)."""
    why: Annotated[str, WithJsonSchema({"type": "string", "enum": [*get_args(Why)]})]
    """Confirmed: the provider says that it is gone. Expired: its kind can't be asked about, and its
    end is past. NotIssued: it was never asked for, or refused. NotFound: no lease of an unclear
    attempt was found. Forgotten: an administrator let it go. Orphaned: deletion.policy says so."""
    until: base.Moment | None = None
    """Until when an orphaned lease may live (UTC): for so long no sweep takes it for a lost one."""
    lease_id: _Text | None = None
    """The provider's id of an orphaned or a forgotten lease: somebody let it go, so no sweep finds
    it lost."""
    address: Annotated[str, Field(max_length=64)] | None = None
    """Hash of the address of that lease's provider: only there the id names it."""


def _any_order(found: Any) -> Any:
    return () if found is None else found


class RecordSpec(_Kept):
    """The leases of one DynamicLease name."""

    for_: Annotated[Subject, Field(alias="for")]
    """The DynamicLease name that the leases are for."""
    installation: _Text
    """The installation that issued them: uid of kube-system and the operator's namespace."""
    trusts: Annotated[dict[str, _Free], Field(max_length=MOST_IN_ALL)] = Field(default_factory=dict)
    """caBundle or caBundleRef of provider objects, by the hash that leases name."""
    ended: Annotated[tuple[Ended, ...], Field(max_length=MOST_ENDED)] = ()
    """The last leases that ended, oldest first."""
    leases: Annotated[
        tuple[RecordedLease, ...],
        Field(
            max_length=MOST_IN_ALL,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["attemptId"],
            },
        ),
        BeforeValidator(_any_order),
    ] = ()
    """The leases that may live, oldest first."""


class LeaseRecord(base.CustomResource):
    """The ledger's page for one DynamicLease name."""

    KIND: ClassVar[str] = "LeaseRecord"
    KEEPS_UNKNOWN: ClassVar[bool] = True
    spec: RecordSpec
    """The leases of one DynamicLease name."""

    @model_validator(mode="after")
    def _set_apart(self) -> "LeaseRecord":
        ids = [lease.attempt_id for lease in self.spec.leases]
        if len({*ids}) != len(ids):
            raise ValueError("two leases have one attempt id")
        return self

    @property
    def name(self) -> str:
        """What ``name_of`` makes of its subject."""
        return self.metadata.name

    @property
    def version(self) -> str:
        """Uid and resourceVersion."""
        return f"{self.metadata.uid}/{self.metadata.resource_version}"

    @property
    def subject(self) -> Subject:
        """The DynamicLease name that it is for."""
        return self.spec.for_

    @property
    def leases(self) -> tuple[RecordedLease, ...]:
        """The leases on it, oldest first."""
        return self.spec.leases

    def lease(self, attempt_id: str) -> RecordedLease | None:
        """The lease of an attempt, None where it isn't on the record."""
        return next((one for one in self.leases if one.attempt_id == attempt_id), None)

    @property
    def kept_until(self) -> datetime | None:
        """Until when leases may live that went from it; None: none may."""
        return max((one.until for one in self.spec.ended if one.until is not None), default=None)

    def names_ended(self, attempt_id: str) -> bool:
        """Whether it says that the lease of an attempt went from it."""
        return any(one.attempt_id == attempt_id for one in self.spec.ended)


def name_of(installation: str, subject: Subject) -> str:
    """``<namespace>.<name>``, cut, and a hash of installation, Namespace uid and name."""
    named = json.dumps([installation, subject.namespace_uid, subject.name], ensure_ascii=False)
    digest = hashlib.sha256(named.encode()).hexdigest()[:_HASHED]
    text = f"{subject.namespace}.{subject.name}"[:_MOST_NAME].rstrip(".-")
    return f"{text}.{digest}"


def without(
    spec: RecordSpec, attempt_id: str, why: Why, now: datetime, *, until: datetime | None = None
) -> RecordSpec:
    """What stands on a record when a lease is over, and says so; its trust goes with the last.

    ``until``: so long it may live all the same. Of what ended, that is forgotten last.
    """
    leases = tuple(one for one in spec.leases if one.attempt_id != attempt_id)
    used = {one.provider.trust for one in leases}
    over = Ended(attempt_id=attempt_id, at=now, why=why, until=until)
    let_go = [one for one in spec.leases if one.attempt_id == attempt_id]
    if let_go and (until is not None or why == "Forgotten"):
        at = address_key(let_go[0].provider.address)
        over = over.model_copy(update={"lease_id": let_go[0].lease_id, "address": at})
    ended = (*spec.ended, over)
    ended = tuple(sorted(ended, key=lambda one: one.until or one.at)[-MOST_ENDED:])
    trusts = {key: trust for key, trust in spec.trusts.items() if key in used}
    return spec.model_copy(update={"leases": leases, "ended": ended, "trusts": trusts})


def address_key(address: str) -> str:
    """The hash of an address by which leases that went are told from another server's."""
    return hashlib.sha256(address.encode(errors="replace")).hexdigest()[:16]


def trust_key(trust: dict[str, Any]) -> str:
    """The hash by which leases name a provider's trust; empty where there is none."""
    if not trust:
        return ""
    text = json.dumps(trust, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def slot_labels(leases: Sequence[RecordedLease]) -> dict[str, str]:
    """Labels by which the leases that share an account find each other."""
    return {f"{names.SLOT}/{one.slot}": "" for one in leases if one.slot}
