"""LeaseProvider and ClusterLeaseProvider: where leases come from, and how to log in there."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from leaseholder.api import base
from leaseholder.api.conditions import Condition

_Plain = Annotated[str, Field(min_length=1, max_length=1024)]


def _exactly_one(*fields: str, what: str) -> dict[str, str]:
    present = " + ".join(f"(has(self.{f}) ? 1 : 0)" for f in fields)
    return base.rule(f"{present} == 1", f"write exactly one {what}: {', '.join(fields)}")


class SecretKeyRef(base.Model):
    """One key of a Secret."""

    name: base.ObjectName
    """Name of the Secret."""
    key: base.Key
    """Key in the Secret's data."""
    namespace: base.NamespaceName | None = None
    """Namespace of the Secret; only a ClusterLeaseProvider names one."""


class ServiceAccountRef(base.Model):
    """A ServiceAccount whose tokens log in at the provider."""

    name: base.ObjectName
    """Name of the ServiceAccount."""
    namespace: base.NamespaceName | None = None
    """Namespace of the ServiceAccount; only a ClusterLeaseProvider names one."""


class CaBundleRef(base.Model):
    """Where CA certificates (PEM) are kept."""

    kind: Literal["ConfigMap", "Secret"]
    """ConfigMap or Secret."""
    name: base.ObjectName
    """Name of the object."""
    key: base.Key
    """Key in the object's data."""
    namespace: base.NamespaceName | None = None
    """Namespace of the object; only a ClusterLeaseProvider names one."""


class UniversalAuth(base.Model):
    """Infisical Universal Auth: a client id and a client secret."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            _exactly_one("clientId", "clientIdSecretRef", what="client id")
        )
    )

    client_id: _Plain | None = None
    """The machine identity's client id, in plain text."""
    client_id_secret_ref: SecretKeyRef | None = None
    """Where the client id is kept, instead of clientId."""
    client_secret_ref: SecretKeyRef
    """Where the client secret is kept."""
    organization_slug: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Slug of the sub-organization to log in to."""


class ServiceAccountAuth(base.Model):
    """Infisical Kubernetes or OIDC Auth: a ServiceAccount token, made afresh for each login."""

    identity_id: Annotated[str, Field(min_length=1, max_length=128)]
    """Id of the machine identity."""
    service_account_ref: ServiceAccountRef
    """The ServiceAccount to log in as."""
    audience: _Plain
    """Audience of the token, as configured at the identity. The operator makes no token for
    the API server's own audience."""
    organization_slug: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Slug of the sub-organization to log in to."""


class TokenAuth(base.Model):
    """A ready-made access token."""

    token_secret_ref: SecretKeyRef
    """Where the access token is kept."""


class InfisicalAuth(base.Model):
    """How to log in at Infisical: exactly one way."""

    WAYS: ClassVar = ("universalAuth", "kubernetesAuth", "oidcAuth", "tokenAuth")
    model_config = ConfigDict(
        json_schema_extra=base.rules(_exactly_one(*WAYS, what="way to log in"))
    )

    universal_auth: UniversalAuth | None = None
    """Client id and client secret of a machine identity."""
    kubernetes_auth: ServiceAccountAuth | None = None
    """A ServiceAccount token that Infisical reviews at this cluster."""
    oidc_auth: ServiceAccountAuth | None = None
    """A ServiceAccount token that Infisical verifies through this cluster's OIDC issuer."""
    token_auth: TokenAuth | None = None
    """A static access token."""


Url = Annotated[
    str,
    Field(min_length=1, max_length=2048),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": 2048,
            **base.rules(
                base.rule(
                    "self.matches('^https?://[^/@?#]+(/[^?#]*)?$')",
                    "write an http(s) URL without user, query or fragment, such as "
                    "https://us.infisical.com",
                ),
                base.rule("self == oldSelf", "url can't change: make another provider instead"),
            ),
        }
    ),
]


class Infisical(base.Model):
    """An Infisical server: Cloud or self-hosted."""

    url: Url
    """Address of the server, with or without /api or a trailing slash; can't change."""
    auth: InfisicalAuth
    """How to log in."""


class Limits(base.Model):
    """How hard the provider may be driven."""

    concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    """Requests under way at once."""
    requests_per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Upper bound of requests a minute; absent: learned from the provider's own answers."""


class Probe(base.Model):
    """Looking whether the provider answers and held leases still live."""

    interval: Annotated[
        base.Duration, base.duration_schema(base.at_least("10s", "the probe interval"))
    ] = "5m"
    """Time between two looks."""


_SPEC_RULES = (
    _exactly_one("infisical", what="provider"),
    base.rule(
        "!(has(self.caBundle) && has(self.caBundleRef))",
        "write caBundle or caBundleRef, not both",
    ),
)


class ProviderSpec(base.Model):
    """Which provider, and how to talk to it."""

    infisical: Infisical | None = None
    """An Infisical server."""
    ca_bundle: Annotated[str, Field(min_length=1, max_length=65_536)] | None = None
    """CA certificates (PEM) that sign the provider's certificate."""
    ca_bundle_ref: CaBundleRef | None = None
    """Where such CA certificates are kept, instead of caBundle."""
    limits: Limits = Limits()
    """How hard the provider may be driven."""
    probe: Probe = Probe()
    """Looking whether the provider answers and held leases still live."""


class NamespaceLabels(base.Model):
    """A label selector over namespaces."""

    match_labels: Annotated[
        dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=63)]],
        Field(min_length=1, max_length=32),
    ]
    """Labels that a namespace must carry, each with this value."""


class AllowedNamespaces(base.Model):
    """Some namespaces: by name or by label."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            _exactly_one("names", "selector", what="way to choose namespaces")
        )
    )

    names: Annotated[tuple[base.NamespaceName, ...], Field(min_length=1, max_length=256)] | None = (
        None
    )
    """The namespaces' names."""
    selector: NamespaceLabels | None = None
    """The namespaces' labels."""


_NAMESPACED_ONLY = (
    "references stay in the provider's own namespace: leave namespace out, or make a "
    "ClusterLeaseProvider"
)


def _every_reference(test: str) -> str:
    """A CEL expression that holds ``test`` (with ``r`` for the reference) for each reference."""
    auth = "self.infisical.auth"
    places = (
        ("self.caBundleRef", "has(self.caBundleRef)"),
        (
            f"{auth}.universalAuth.clientIdSecretRef",
            f"has({auth}.universalAuth) && has({auth}.universalAuth.clientIdSecretRef)",
        ),
        (f"{auth}.universalAuth.clientSecretRef", f"has({auth}.universalAuth)"),
        (f"{auth}.kubernetesAuth.serviceAccountRef", f"has({auth}.kubernetesAuth)"),
        (f"{auth}.oidcAuth.serviceAccountRef", f"has({auth}.oidcAuth)"),
        (f"{auth}.tokenAuth.tokenSecretRef", f"has({auth}.tokenAuth)"),
    )
    checks = []
    for path, present in places:
        guard = present if path.startswith("self.ca") else f"has(self.infisical) && {present}"
        checks.append(f"(!({guard}) || {test.replace('r.', path + '.')})")
    return " && ".join(checks)


class LeaseProviderSpec(ProviderSpec):
    """A provider for leases of its own namespace."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            *_SPEC_RULES,
            base.rule(_every_reference("!has(r.namespace)"), _NAMESPACED_ONLY),
        )
    )


class ClusterLeaseProviderSpec(ProviderSpec):
    """A provider for leases of the namespaces that it allows."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            *_SPEC_RULES,
            base.rule(
                _every_reference("has(r.namespace)"),
                "each reference of a ClusterLeaseProvider names its namespace: add namespace",
            ),
        )
    )

    allowed_namespaces: Annotated[tuple[AllowedNamespaces, ...], Field(max_length=64)] = ()
    """The namespaces whose DynamicLeases may use this provider; default: none."""


class ProviderStatus(base.Model):
    """What was seen of the provider."""

    type: Annotated[str, Field(max_length=32)] | None = None
    """Kind of provider: infisical."""
    observed_generation: int = 0
    """The generation of the spec that was looked at."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
    """Ready: the provider answers and the login works."""
    capabilities: Annotated[
        tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=32)
    ] = ()
    """What the provider can do for a lease: Extend, Inspect, Revoke, ForceRevoke, Recover."""
    server_version: Annotated[str, Field(max_length=128)] | None = None
    """Version that the server states."""
    clock_skew_seconds: int | None = None
    """Provider's clock minus the operator's, in seconds."""


class LeaseProvider(base.Resource):
    """Where DynamicLeases of this namespace get their leases."""

    KIND: ClassVar[str] = "LeaseProvider"
    spec: LeaseProviderSpec
    """Which provider, and how to talk to it."""
    status: ProviderStatus = ProviderStatus()
    """What was seen of the provider."""


class ClusterLeaseProvider(base.Resource):
    """Where DynamicLeases of the allowed namespaces get their leases."""

    KIND: ClassVar[str] = "ClusterLeaseProvider"
    spec: ClusterLeaseProviderSpec
    """Which provider, how to talk to it, and who may."""
    status: ProviderStatus = ProviderStatus()
    """What was seen of the provider."""


AnyProvider = LeaseProvider | ClusterLeaseProvider


def trust_of(spec: ProviderSpec) -> dict[str, Any]:
    """The CA certificates to trust, or where they are, as a LeaseRecord keeps them."""
    chosen = spec.model_dump(mode="json", include={"ca_bundle", "ca_bundle_ref"})
    return {key: value for key, value in chosen.items() if value is not None}


def auth_of(spec: ProviderSpec) -> dict[str, Any]:
    """The references to log in with, as a LeaseRecord keeps them: names, never values."""
    return spec.infisical.auth.dump() if spec.infisical else {}
