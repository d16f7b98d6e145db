"""DynamicLease: what a user asks for, and what we tell about it."""

import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, ValidationError

from leaseholder.api import base, names, record, refs, reserved, secret_types
from leaseholder.api.conditions import Condition, ConditionType, is_true
from leaseholder.api.infisical import InfisicalSource
from leaseholder.api.openbao import OpenBaoSource
from leaseholder.api.phase import PhaseSource

MOST_KEYS: Final = 256
"""So many keys of a Secret are told in status."""
_MOST_TEXT: Final = 1024
_Text = Annotated[str, Field(max_length=_MOST_TEXT)]
WorkloadKind = Literal["Deployment", "StatefulSet", "DaemonSet", "Rollout"]
"""Kinds of workloads that can be restarted; Rollout is Argo's."""


class ProviderRef(base.Model):
    """The provider to ask."""

    kind: Literal["LeaseProvider", "ClusterLeaseProvider"] = "LeaseProvider"
    """LeaseProvider (of the same namespace) or ClusterLeaseProvider."""
    name: base.ObjectName
    """The provider's name."""


class Renewal(base.Model):
    """When and how a lease is renewed."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            base.rule(
                "!(has(self.afterPercent) && has(self.before))",
                "write afterPercent or before, not both",
            )
        )
    )

    strategy: Literal["Auto", "Renew", "Rotate"] = "Auto"
    """Auto: renew where that keeps the credentials alive, else replace. Renew: renew only.
    Rotate: always replace."""
    after_percent: Annotated[int, Field(ge=1, le=95)] | None = None
    """Share of the lease's life after which it is renewed or replaced; default 66."""
    before: (
        Annotated[base.Duration, base.duration_schema(base.at_least("1s", "renewal.before"))] | None
    ) = None
    """Time before expiry at which the lease is renewed or replaced, instead of afterPercent; it
    counts for at most half of the life that the provider gives."""


class WorkloadLabels(base.Model):
    """A label selector over workloads."""

    match_labels: base.SomeLabels
    """Labels that a workload itself (not its pods) must carry, each with this value."""


class RestartTarget(base.Model):
    """Workloads of the same namespace that use the lease: one by name, or some by label."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            base.rule(
                "has(self.name) != has(self.selector)",
                "write exactly one of name (one workload) and selector (all that carry its labels)",
            )
        )
    )

    kind: WorkloadKind
    """Deployment, StatefulSet, DaemonSet or Rollout (of Argo Rollouts)."""
    name: base.ObjectName | None = None
    """Its name. As long as there is no such workload, its rollout isn't complete."""
    selector: WorkloadLabels | None = None
    """The workloads' labels, instead of a name. Where no workload carries them, there is nothing to
    restart."""


class Rotation(base.Model):
    """When a lease is replaced by a new one, and how workloads move to it."""

    max_age: (
        Annotated[base.Duration, base.duration_schema(base.at_least("60s", "rotation.maxAge"))]
        | None
    ) = None
    """Age at which a lease is replaced even where it could be renewed."""
    overlap: base.Duration = "2m"
    """How long a replaced lease lives on beside the new one, at least."""
    wait_for_rollout: bool = True
    """A replaced lease lives on until the restart targets run on the new one."""
    rollout_timeout: base.Duration = "15m"
    """After so long an incomplete rollout is told to have failed. The replaced lease lives on, as
    long as the provider renews it."""
    restart_targets: Annotated[tuple[RestartTarget, ...], Field(max_length=16)] = ()
    """Workloads that are restarted when the Secret was switched from one lease to another."""


_Labels = Annotated[
    dict[str, Annotated[str, Field(max_length=63)]],
    Field(max_length=32, json_schema_extra=base.rules(*base.LABELS_RULES, *reserved.NAMES_RULES)),
]
_MOST_ANNOTATIONS: Final = 128 * 1024
"""Bytes: the API server takes 256 KiB on an object, and our own notes have their share of it."""
_Annotations = Annotated[
    dict[str, Annotated[str, Field(max_length=4096)]],
    Field(
        max_length=32,
        json_schema_extra=base.rules(
            base.NAMES_RULE,
            *reserved.NAMES_RULES,
            base.bytes_at_most(_MOST_ANNOTATIONS, "write at most 128 KiB in all annotations"),
        ),
    ),
]


class TemplateMetadata(base.Model):
    """Labels and annotations of the Secret, beside our own."""

    labels: _Labels = Field(default_factory=dict)
    """Further labels."""
    annotations: _Annotations = Field(default_factory=dict)
    """Further annotations."""


MergePolicy = Literal["Merge", "Replace"]
MOST_TEMPLATE_BYTES: Final = 64 * 1024
"""So many bytes all texts of a template may have."""
_Texts = Annotated[
    dict[
        Annotated[str, Field(max_length=253)], Annotated[str, Field(max_length=MOST_TEMPLATE_BYTES)]
    ],
    Field(
        max_length=64,
        json_schema_extra=base.rules(
            base.KEYS_RULE,
            base.bytes_at_most(MOST_TEMPLATE_BYTES, "write at most 64 KiB in all texts together"),
        ),
    ),
]


class Template(base.Model):
    """What the Secret looks like."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            base.rule(
                "self.mergePolicy != 'Replace' || (has(self.data) && size(self.data) > 0)",
                "write template.data, or leave mergePolicy out: Replace without data would "
                "leave the Secret empty",
            )
        )
    )

    metadata: TemplateMetadata = TemplateMetadata()
    """Labels and annotations of the Secret, beside our own."""
    data: _Texts = Field(default_factory=dict)
    """Texts by key of the Secret, such as {DATABASE_URL: "postgresql://{{ DB_USERNAME }}:{{
    DB_PASSWORD | urlquote }}@db/orders"}."""
    merge_policy: MergePolicy = "Merge"
    """Merge: data stands beside the provider's own keys. Replace: the Secret holds only data."""


class Target(base.Model):
    """The Secret that holds the credentials."""

    model_config = ConfigDict(json_schema_extra=secret_types.rules())

    secret_name: base.ObjectName | None = None
    """Name of the Secret; default: the DynamicLease's name."""
    type: Annotated[
        str,
        Field(min_length=1, max_length=253),
        base.text(
            253,
            base.rule("self == oldSelf", "a Secret's type can't change: recreate it"),
            reserved.TYPE_RULE,
        ),
    ] = "Opaque"
    """Type of the Secret: Opaque, one of Kubernetes' types for credentials, or servicebinding.io/…;
    can't change."""
    template: Template = Template()
    """What the Secret looks like."""


class Deletion(base.Model):
    """What happens to the lease when the DynamicLease is deleted."""

    policy: Literal["Revoke", "Orphan"] = "Revoke"
    """Revoke: the Secret goes and the lease is revoked. Orphan: both stay, and nobody holds
    the lease any more."""
    timeout: base.Duration = "15m"
    """How long the deletion waits for the revocation; what is left then is revoked later."""


class DynamicLeaseSpec(base.Model):
    """A lease to hold, and where to put its credentials."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            refs.exactly_one(*refs.TYPES, what="source of the lease"),
            base.rule(
                "!(has(self.ttl) && has(self.renewal) && has(self.renewal.before)) || "
                + base.shorter("self.renewal.before", "self.ttl"),
                "renewal.before leaves no time between two renewals: write less than ttl",
            ),
        )
    )

    provider_ref: ProviderRef
    """The provider to ask."""
    infisical: InfisicalSource | None = None
    """A dynamic secret of Infisical."""
    phase: PhaseSource | None = None
    """A dynamic secret of Phase."""
    openbao: OpenBaoSource | None = None
    """A path of OpenBao or Vault."""
    ttl: Annotated[base.Duration, base.duration_schema(base.at_least("60s", "ttl"))] | None = None
    """Lifetime to ask for, at least 60s; absent: the provider's default."""
    renewal: Renewal = Renewal()
    """When and how the lease is renewed."""
    rotation: Rotation = Rotation()
    """When the lease is replaced by a new one."""
    target: Target = Target()
    """The Secret that holds the credentials."""
    deletion: Deletion = Deletion()
    """What happens to the lease when this resource is deleted."""
    suspend: bool = False
    """Issue, replace and repair nothing; renewals and revocations go on."""


class LeaseStatus(base.Model):
    """The lease whose credentials are in the Secret."""

    attempt: _Text
    """Its attempt id: names the lease on the LeaseRecord, the Secret and restarted workloads."""
    id: _Text
    """The provider's id of the lease."""
    issued_at: base.Moment
    """When it was issued (UTC)."""
    expires_at: base.Moment
    """When it ends unless it is renewed (UTC)."""
    renew_at: base.Moment | None = None
    """When it is to be renewed or replaced (UTC)."""
    renewals: int = 0
    """How often it was renewed."""
    strategy: Literal["Renew", "Rotate"]
    """What happens at renewAt: the lease is renewed (Renew) or replaced (Rotate)."""


class Retry(base.Model):
    """The back-off after failures; kept here so that a restart doesn't reset it."""

    failures: int
    """Failures in a row."""
    next_at: base.Moment
    """When the next try is due (UTC)."""
    reason: _Text
    """Why the last try failed."""
    rotate: _Text = ""
    """The value of leaseholder.dev/rotate that it was to act on; empty where there was none."""


class Drift(base.Model):
    """The last time that the Secret's data was found changed or gone."""

    attempt: _Text
    """Attempt id of the lease whose credentials the Secret held."""
    times: int
    """How often in a row; from the second time on, the new lease waits."""
    at: base.Moment
    """When it was seen (UTC)."""


class Handled(base.Model):
    """The command nonces that were acted on."""

    rotate: _Text = ""
    """Last value of leaseholder.dev/rotate that was acted on."""
    renew: _Text = ""
    """Last value of leaseholder.dev/renew that was acted on."""
    force: _Text = ""
    """Last value of leaseholder.dev/force that was acted on."""


class TargetStatus(base.Model):
    """The Secret that was written."""

    secret_name: _Text
    """Its name."""
    keys: Annotated[tuple[_Text, ...], Field(max_length=MOST_KEYS)] = ()
    """The keys of its data."""


class DynamicLeaseStatus(base.Model):
    """A projection of records, Secret and provider; rebuilt when lost."""

    observed_generation: int = 0
    """The generation of the spec that was looked at."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
    """Ready, LeaseHeld, SecretSynced, RolloutComplete, RevocationPending, Stalled."""
    lease: LeaseStatus | None = None
    """The lease whose credentials are in the Secret."""
    retry: Retry | None = None
    """The back-off after failures."""
    drift: Drift | None = None
    """The last time that the Secret's data was found changed or gone."""
    handled: Handled | None = None
    """The command nonces that were acted on."""
    target: TargetStatus | None = None
    """The Secret that was written."""


def command_of(meta: base.ObjectMeta, annotation: str) -> str:
    """The nonce of a command, cut to what status can hold; empty where there is none."""
    return meta.annotations.get(annotation, "")[:_MOST_TEXT]


class Outline(base.Outline):
    """Metadata and status of a DynamicLease: enough to tell how urgent it is."""

    status: Annotated[DynamicLeaseStatus, base.DERIVED] = DynamicLeaseStatus()
    """What was seen, as far as it can be read."""

    @property
    def ends(self) -> datetime | None:
        """When the lease ends of which status says Ready; None: it says so of none."""
        held = self.status.lease
        ready = is_true(self.status.conditions, ConditionType.READY)
        return held.expires_at if ready and held is not None else None

    def is_due(self, now: datetime) -> bool:
        """Whether something is to be done: by its user, or because renewAt is past."""
        meta, held = self.metadata, self.status.lease
        handled = self.status.handled or Handled()
        commands = (
            (names.ROTATE, handled.rotate),
            (names.RENEW, handled.renew),
            (names.FORCE, handled.force),
        )
        return (
            meta.deletion_timestamp is not None
            or meta.generation != self.status.observed_generation
            or any(command_of(meta, name) not in ("", nonce) for name, nonce in commands)
            or (held is not None and held.renew_at is not None and held.renew_at <= now)
        )


class DynamicLease(base.CustomResource):
    """A dynamic-secret lease that is held for workloads."""

    KIND: ClassVar[str] = "DynamicLease"
    WAITS_TO_GO: ClassVar[bool] = True
    spec: DynamicLeaseSpec
    """A lease to hold, and where to put its credentials."""
    status: Annotated[DynamicLeaseStatus, base.DERIVED] = DynamicLeaseStatus()
    """What was seen; a projection, rebuilt when lost."""

    @classmethod
    def readable_spec(cls, spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The Secret's name and what is to become of the lease, as far as they can be read."""
        found: dict[str, Any] = {"providerRef": {"name": "unreadable"}}
        target = spec.get("target")
        named = target.get("secretName") if isinstance(target, Mapping) else None
        for part, model, value in (
            ("target", Target, {"secretName": named}),
            ("deletion", Deletion, spec.get("deletion")),
        ):
            with contextlib.suppress(ValidationError):
                found[part] = model.model_validate(value, extra="ignore")
        return found

    @property
    def source(self) -> dict[str, Any]:
        """What is asked for at the provider, under its wire names."""
        chosen: base.Model | None = refs.chosen(self.spec)
        return chosen.dump() if chosen is not None else {}

    @property
    def holder(self) -> record.Holder:
        """Namespace, name and uid, as records name their DynamicLease."""
        meta = self.metadata
        return record.Holder(namespace=meta.namespace, name=meta.name, uid=meta.uid)

    @property
    def secret_name(self) -> str:
        """Name of the target Secret."""
        return self.spec.target.secret_name or self.metadata.name

    def command(self, annotation: str) -> str:
        """The nonce of a command, cut to what status can hold; empty where there is none."""
        return command_of(self.metadata, annotation)

    @property
    def deleting(self) -> bool:
        """Whether the resource is on its way out."""
        return self.metadata.deletion_timestamp is not None
