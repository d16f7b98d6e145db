"""Conditions and reasons: the words in which status, events and metrics speak.

Conditions follow the Kubernetes API conventions: ``lastTransitionTime`` moves only when the
condition's status does.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from leaseholder.api import base


class ConditionType(StrEnum):
    """What a condition is about."""

    READY = "Ready"
    LEASE_HELD = "LeaseHeld"
    SECRET_SYNCED = "SecretSynced"  # noqa: S105 - a condition, not a password
    ROLLOUT_COMPLETE = "RolloutComplete"
    REVOCATION_PENDING = "RevocationPending"
    STALLED = "Stalled"
    UNRECORDED_LEASES = "UnrecordedLeases"


class Reason(StrEnum):
    """Why: used alike in conditions, events and metrics."""

    # The good ones.
    PENDING = "Pending"
    HELD = "LeaseHeld"
    DELIVERED = "SecretSynced"
    READY = "Ready"
    ISSUED = "LeaseIssued"
    REVOKED = "LeaseRevoked"
    RENEWED = "LeaseRenewed"
    FORCED = "ForceHandled"
    ROTATING = "Rotating"
    NONE_PENDING = "NothingPending"
    NOT_STALLED = "NotStalled"
    PROGRESSING = "Progressing"
    SUSPENDED = "Suspended"
    DELETING = "Deleting"
    ORPHANED = "LeaseOrphaned"

    # About the provider.
    PROVIDER_MISSING = "ProviderMissing"
    PROVIDER_MISMATCH = "ProviderMismatch"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    AUTH_MISSING = "AuthSecretMissing"
    LOGIN_REFUSED = "LoginRefused"
    LOCKED_OUT = "LockedOut"
    DENIED = "PermissionDenied"
    UNREACHABLE = "ProviderUnreachable"
    UNTRUSTED = "ProviderNotTrusted"
    HOST_NOT_ALLOWED = "HostNotAllowed"
    PLAIN_HTTP = "PlainHttp"
    THROTTLED = "Throttled"
    UNAVAILABLE = "ProviderUnavailable"
    BAD_ANSWER = "BadProviderAnswer"
    BACKEND_FAILED = "BackendFailed"

    # About the source.
    SOURCE_MISSING = "SourceNotFound"
    SOURCE_DELETED = "SourceBeingDeleted"
    INVALID = "InvalidRequest"
    TTL_TOO_LONG = "TTLTooLong"
    PLAN = "PlanRestriction"

    # About the lease.
    UNCLEAR = "IssueUnclear"
    GONE = "LeaseGone"
    EXPIRED = "LeaseExpired"
    CANNOT_RENEW = "CannotRenew"
    TOO_MANY = "TooManyLeases"
    UNUSABLE = "LeaseUnusable"
    RENEWAL_TOO_SOON = "RenewalTooSoon"
    RENEWAL_UNPROVEN = "RenewalUnproven"
    UNDELIVERED = "Undelivered"
    SUPERSEDED = "Superseded"
    SOURCE_CHANGED = "SourceChanged"
    COMMANDED = "Commanded"
    SLOT_TAKEN = "SlotTaken"

    # About the Secret.
    NOT_OURS = "SecretNotOurs"
    WRITE_REFUSED = "SecretWriteRefused"
    TEMPLATE_INVALID = "TemplateInvalid"
    SECRET_CHANGED = "SecretChanged"  # noqa: S105 - a reason, not a password
    SECRET_CONTESTED = "SecretContested"  # noqa: S105 - a reason, not a password
    SECRET_COPIED = "SecretCopied"  # noqa: S105 - a reason, not a password
    SECRET_LEFT = "SecretLeftAlone"  # noqa: S105 - a reason, not a password
    TEMPLATE_CHANGED = "TemplateChanged"
    KEYS_CHANGED = "ProviderKeysChanged"

    # About the workloads that use the lease.
    ROLLED_OUT = "RolloutComplete"
    ROLLING_OUT = "RolloutPending"
    ROLLOUT_FAILED = "RolloutFailed"
    TARGET_MISSING = "RestartTargetMissing"
    RESTART_REFUSED = "RestartRefused"
    RESTARTED = "WorkloadRestarted"

    # About revocation.
    REVOCATION_PENDING = "RevocationPending"
    NOT_CONFIRMED = "RevocationNotConfirmed"
    FAILED_TO_DELETE = "FailedToDelete"
    AUTH_GONE = "AuthGone"
    ABANDONED = "RevocationAbandoned"
    TIMED_OUT = "DeletionTimedOut"
    UNRECORDED = "OnNoRecord"
    ALL_RECORDED = "AllOnRecord"
    NOT_SWEEPABLE = "NotSweepable"

    # About the cluster.
    CLUSTER = "ClusterUnavailable"
    CONFLICT = "Conflict"
    INTERNAL = "InternalError"


def reason_of(text: str) -> Reason:
    """A reason that status or a record tells, maybe in the words of another version of ours."""
    try:
        return Reason(text)
    except ValueError:
        return Reason.INTERNAL


Verdict = Literal["True", "False", "Unknown"]


class Condition(base.Model):
    """One observation about a resource, as in the Kubernetes API conventions."""

    type: Annotated[str, Field(max_length=316)]
    """What the condition is about."""
    status: Verdict
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=1024)]
    """Why, in one word."""
    message: Annotated[str, Field(max_length=32_768)] = ""
    """Why, in a sentence."""
    last_transition_time: base.Moment
    """When the status last changed (UTC)."""
    observed_generation: int = 0
    """The generation of the spec that was looked at."""


def made(
    kind: ConditionType,
    status: Verdict,
    reason: str,
    message: str,
    *,
    of: base.ObjectMeta,
    at: datetime,
) -> Condition:
    """A condition of a resource as it is at that moment; ``carry`` keeps an earlier one."""
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=at,
        observed_generation=of.generation,
    )


def find(conditions: Iterable[Condition], kind: ConditionType) -> Condition | None:
    """The condition of that type, if there is one."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: ConditionType) -> bool:
    """Whether the condition of that type stands and is True."""
    found = find(conditions, kind)
    return found is not None and found.status == "True"


def carry(new: Iterable[Condition], old: Iterable[Condition]) -> tuple[Condition, ...]:
    """``new``, keeping the transition time of each condition whose status didn't change."""
    before = {c.type: c for c in old}

    def settled(condition: Condition) -> Condition:
        known = before.get(condition.type)
        if known is None or known.status != condition.status:
            return condition
        return condition.model_copy(update={"last_transition_time": known.last_transition_time})

    return tuple(settled(c) for c in new)
