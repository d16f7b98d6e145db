"""Builders of views: a held lease of an hour in a Secret, unless the test says otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease, DynamicLeaseStatus, Handled, WorkloadKind
from leaseholder.api.record import Holder, RecordedLease, Revocation, State, Subject
from leaseholder.core import contents, marks, rules, status
from leaseholder.core.actions import Action, Report
from leaseholder.core.memory import Failure, LeaseMemory, Memory
from leaseholder.core.observation import Supply
from leaseholder.core.view import View
from leaseholder.ports.provider import Capabilities, Lease
from leaseholder.ports.secrets import SecretView
from leaseholder.ports.workloads import Workload
from leaseholder.secrecy import Credentials

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UID = "0b1c"
HOLDER = Holder(namespace="shop", name="orders", uid=UID)
SUBJECT = Subject(namespace="shop", namespace_uid="shop-uid", name="orders")
HASH = "hash-of-the-source"
SLOT = "hash-of-address-and-source"
CAN = Capabilities(
    renewable=True,
    revocable=True,
    verifiable=True,
    recoverable=True,
    minimum_renewal=1,
    settle=30,
    replica_lag=60,
)
FAILURE = Failure(reason=Reason.UNAVAILABLE, sentence="the provider is away", permanent=False)
SPEC: dict[str, Any] = {
    "providerRef": {"name": "infisical"},
    "infisical": {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "d"},
    "ttl": "1h",
}


def decide(view: View) -> Action:
    """What is to be done next, whichever rule says so."""
    return rules.decide(view).step


def at(seconds: float) -> datetime:
    """A moment that many seconds from now."""
    return NOW + timedelta(seconds=seconds)


def lease(
    spec: Mapping[str, Any] | None = None,
    *,
    annotations: Mapping[str, str] | None = None,
    status: DynamicLeaseStatus | None = None,
    finalizers: Sequence[str] = (names.FINALIZER,),
    deleted_at: datetime | None = None,
    generation: int = 1,
) -> DynamicLease:
    return DynamicLease.model_validate(
        {
            "metadata": {
                "name": HOLDER.name,
                "namespace": HOLDER.namespace,
                "uid": UID,
                "generation": generation,
                "finalizers": tuple(finalizers),
                "annotations": dict(annotations or {}),
                "deletionTimestamp": deleted_at,
            },
            "spec": {**SPEC, **(spec or {})},
            "status": status or DynamicLeaseStatus(handled=Handled()),
        }
    )


def record(
    number: int = 1,
    state: State = State.HELD,
    *,
    lease_id: str | None = None,
    issued: float | None = -60,
    expires: float | None = 3540,
    ttl: int | None = 3600,
    source_hash: str = HASH,
    rotate_nonce: str = "",
    restarts: bool = False,
    rolled: float | None = None,
    revoke: Revocation | None = None,
    holder: str = UID,
) -> RecordedLease:
    started = at(issued if issued is not None else -60)
    known = f"lease-{number}" if lease_id is None else lease_id
    return RecordedLease.model_validate(
        {
            "attemptId": f"attempt-{number}",
            "sealKey": f"key-{number}",
            "holderUid": holder,
            "state": state,
            "provider": {
                "type": "infisical",
                "kind": "LeaseProvider",
                "namespace": "shop",
                "name": "infisical",
                "uid": "provider",
                "address": "https://infisical.example",
            },
            "source": {},
            "sourceHash": source_hash,
            "slot": SLOT,
            "ttlSeconds": ttl,
            "rotateNonce": rotate_nonce,
            "restarts": restarts,
            "startedAt": started,
            "deadline": started + timedelta(seconds=20),
            "leaseId": known,
            "issuedAt": at(issued) if issued is not None else None,
            "expiresAt": at(expires) if expires is not None else None,
            "rolledOutAt": at(rolled) if rolled is not None else None,
            "revoke": revoke,
        }
    )


def attempt(number: int = 1, state: State = State.ATTEMPT, **more: Any) -> RecordedLease:
    """An issue whose answer isn't on record."""
    blank: dict[str, Any] = {"lease_id": "", "expires": None, **more}
    return record(number, state, **blank)


def pending(
    number: int = 1, reason: Reason = Reason.SUPERSEDED, *, expires: float = 3540, **more: Any
) -> RecordedLease:
    """A lease to be revoked."""
    revocation = Revocation(reason=reason, **more)
    return record(number, State.REVOKING, revoke=revocation, expires=expires)


def superseded(number: int = 1, *, until: float = 120) -> RecordedLease:
    revocation = Revocation(reason=Reason.SUPERSEDED, not_before=at(until))
    return record(number, State.SUPERSEDED, revoke=revocation)


def workload(name: str = "orders", kind: WorkloadKind = "Deployment", **more: Any) -> Workload:
    """A workload of two pods, which are up."""
    settings: dict[str, Any] = {
        "kind": kind,
        "namespace": HOLDER.namespace,
        "name": name,
        "uid": f"{kind}-{name}",
        "resource_version": "1",
        "stamps": {},
        "observed": True,
        "strategy": "RollingUpdate",
        "wanted": 2,
        "updated": 2,
        "total": 2,
        "available": 2,
        "phase": "Healthy",
        **more,
    }
    return Workload(**settings)


def secret(
    shows: RecordedLease | None = None,
    *,
    name: str = HOLDER.name,
    owner: str | None = UID,
    deleting: bool = False,
    keys: Sequence[str] = ("DB_PASSWORD", "DB_USERNAME"),
    dl: DynamicLease | None = None,
) -> SecretView:
    """A Secret as we write it for ``dl``; ``shows`` is the record that it was delivered for."""
    wanted = dl or lease({"target": {"secretName": name}})
    values = Credentials(dict.fromkeys(keys, "x"))
    notes: Mapping[str, str | None] = {names.OWNER_NAME: HOLDER.name}
    if shows is not None:
        filling = contents.filled(wanted, shows, values.reveal())
        notes = marks.annotations(wanted, shows, filling.contents)
        values = filling.values
    labels = marks.labels(wanted)
    return SecretView(
        namespace=HOLDER.namespace,
        name=name,
        uid=f"secret-{name}",
        resource_version="1",
        type="Opaque",
        labels=_given({**labels, names.OWNER_UID: owner}) if owner is not None else {},
        annotations=_given(notes),
        keys=tuple(values.keys()),
        owner_uids=(owner,) if owner is not None else (),
        deleting=deleting,
        values=values,
    )


def changed(secret: SecretView, **values: str) -> SecretView:
    """A Secret in which somebody wrote values of their own."""
    data = {**secret.values.reveal(), **values}
    return replace(secret, values=Credentials(data), keys=tuple(sorted(data)), resource_version="2")


def _given(wanted: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in wanted.items() if value is not None}


def supply(source_hash: str = HASH, probe_interval: float = 300) -> Supply:
    return Supply(
        type="infisical",
        kind="LeaseProvider",
        namespace="shop",
        name="infisical",
        uid="provider",
        address="https://infisical.example",
        auth_ref={},
        options={},
        trust={},
        source={},
        source_hash=source_hash,
        slot=SLOT if source_hash == HASH else source_hash,
        probe_interval=timedelta(seconds=probe_interval),
    )


def known(held: RecordedLease, expires: float, latest: float | None = None) -> Lease:
    """What the provider itself said of a lease."""
    return Lease(
        id=held.lease_id,
        source={},
        issued_at=held.issued_at or NOW,
        expires_at=at(expires),
        latest=at(latest) if latest is not None else None,
    )


def in_hand(*held: RecordedLease) -> Memory:
    """The memory of a process that issued these leases and hasn't delivered them."""
    issued = {"DB_PASSWORD": "x"}
    known = {one.attempt_id: LeaseMemory(credentials=Credentials(issued)) for one in held}
    return Memory(leases=known)


def remembers(held: RecordedLease, **known: Any) -> Memory:
    """The memory of a process that knows this of one lease."""
    return Memory(leases={held.attempt_id: LeaseMemory(**known)})


def view(
    *records: RecordedLease,
    shows: RecordedLease | None = None,
    dl: DynamicLease | None = None,
    vanished: bool = False,
    can: Capabilities | None = CAN,
    memory: Memory | None = None,
    **more: Any,
) -> View:
    """One observation; ``shows`` is the lease that the target Secret names.

    This process saw it live a minute ago, and looks again in a day; a test of the first look gives
    ``target`` instead.
    """
    target = secret(shows, dl=dl) if shows is not None else None
    memory = memory or Memory()
    if shows is not None:
        known = memory.of(shows.attempt_id)
        known.shown_at = known.shown_at or at(-60)
        known.inspected_at = known.inspected_at or NOW
    settings: dict[str, Any] = {
        "now": NOW,
        "monotonic": 1000.0,
        "subject": SUBJECT,
        "holder": HOLDER,
        "record_version": "uid/1" if records else "",
        "dl": None if vanished else dl or lease(),
        "records": records,
        "capabilities": {r.attempt_id: can for r in records} if can is not None else {},
        "secrets": (target,) if target is not None else (),
        "target": target,
        "supply": supply(probe_interval=86_400),
        "memory": memory,
        **more,
    }
    return View(**settings)


def holding(dl: DynamicLease | None = None, held: RecordedLease | None = None, **more: Any) -> View:
    """A view in which one lease is delivered."""
    held = held or record()
    return view(held, shows=held, dl=dl, **more)


def later(before: View, seconds: float) -> View:
    """The same some time later."""
    length = timedelta(seconds=seconds)
    return replace(
        before,
        now=before.now + length,
        monotonic=before.monotonic + seconds,
    )


def wanted(seen: View) -> DynamicLease:
    assert seen.dl is not None
    return seen.dl


def tell(before: View, status: DynamicLeaseStatus) -> View:
    """The view after ``status`` was written."""
    dl = wanted(before).model_copy(update={"status": status})
    return replace(before, dl=dl, memory=replace(before.memory, failure=None))


def told(before: View) -> View:
    """The view after everything that is to be told was told."""
    return tell(before, status.status(before, wanted(before)))


def after_reports(before: View) -> tuple[View, Action]:
    """The first step that isn't a report, and the view in which it is decided."""
    for _ in range(5):
        step = decide(before)
        if not isinstance(step, Report):
            return before, step
        before = tell(before, step.status)
    raise AssertionError("status isn't told in five writes")
