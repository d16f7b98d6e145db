"""LeaseProvider and ClusterLeaseProvider: where leases come from, and how to log in there."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from leaseholder.api import base, refs
from leaseholder.api.conditions import Condition
from leaseholder.api.infisical import Infisical
from leaseholder.api.openbao import OpenBao
from leaseholder.api.phase import Phase


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
    refs.exactly_one(*refs.TYPES, what="provider"),
    base.rule(
        " && ".join(f"has(self.{one}) == has(oldSelf.{one})" for one in refs.TYPES),
        "the kind of provider can't change: make another provider instead",
    ),
    base.rule(
        "!(has(self.caBundle) && has(self.caBundleRef))",
        "write caBundle or caBundleRef, not both",
    ),
    base.rule(
        "!has(self.sweep) || !has(self.openbao)",
        "leases of OpenBao and Vault have no mark of whose they are: leave sweep out",
    ),
    base.rule(
        "!has(self.sweep) || !has(self.phase) || "
        "(has(self.phase.exclusive) && self.phase.exclusive)",
        "leases of Phase have no mark but their account: write phase.exclusive: true, if nobody "
        "else uses it, or leave sweep out",
    ),
)


_MOST_BUNDLE: Final = 65_536
_CaBundle = Annotated[
    str,
    Field(min_length=1, max_length=_MOST_BUNDLE),
    base.text(
        _MOST_BUNDLE,
        base.rule(
            "self.contains('-----BEGIN CERTIFICATE-----')",
            "write certificates in PEM, from -----BEGIN CERTIFICATE----- on",
        ),
        base.rule(
            "!self.contains('PRIVATE KEY-----')",
            "write certificates only: a private key doesn't belong in a CA bundle",
        ),
    ),
]


class ProviderSpec(base.Model):
    """Which provider, and how to talk to it."""

    infisical: Infisical | None = None
    """An Infisical server."""
    phase: Phase | None = None
    """A Phase server."""
    openbao: OpenBao | None = None
    """An OpenBao or Vault server."""
    ca_bundle: _CaBundle | None = None
    """CA certificates (PEM) that sign the provider's certificate."""
    ca_bundle_ref: CaBundleRef | None = None
    """Where such CA certificates are kept, instead of caBundle."""
    limits: Limits = Limits()
    """How hard the provider may be driven."""
    probe: Probe = Probe()
    """Looking whether the provider answers and held leases still live."""
    sweep: Literal["Report", "Revoke"] | None = None
    """Asking the provider now and then for leases that this installation had issued and that
    are on no record. Report: they are reported. Revoke: they are reported and revoked. Absent:
    nobody asks."""


class NamespaceLabels(base.Model):
    """A label selector over namespaces."""

    match_labels: base.SomeLabels
    """Labels that a namespace must carry, each with this value."""


class AllowedNamespaces(base.Model):
    """Some namespaces: by name or by label."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            refs.exactly_one("names", "selector", what="way to choose namespaces")
        )
    )

    names: Annotated[tuple[base.NamespaceName, ...], Field(min_length=1, max_length=256)] | None = (
        None
    )
    """The namespaces' names."""
    selector: NamespaceLabels | None = None
    """The namespaces' labels."""

    def has(self, namespace: str, labels: Mapping[str, str] | None) -> bool:
        """Whether a namespace with these labels is one of them; None: they aren't known."""
        if self.names is not None and namespace in self.names:
            return True
        if self.selector is None or labels is None:
            return False
        return all(labels.get(key) == one for key, one in self.selector.match_labels.items())


_NAMESPACED_ONLY = (
    "references stay in the provider's own namespace: leave namespace out, or make a "
    "ClusterLeaseProvider"
)


def _references(model: type[BaseModel], *above: str) -> Iterator[tuple[str, ...]]:
    """Where in a spec objects of the cluster are named: all that may say a namespace of its own."""
    for name, info in model.model_fields.items():
        path = (*above, info.alias or name)
        for inner in (info.annotation, *get_args(info.annotation)):
            if not isinstance(inner, type) or not issubclass(inner, base.Model):
                continue
            if issubclass(inner, (refs.SecretKeyRef, refs.ServiceAccountRef, CaBundleRef)):
                yield path
            else:
                yield from _references(inner, *path)


def _every_reference(test: str) -> str:
    """A CEL expression that holds ``test`` (with ``r`` for the reference) for each reference."""
    checks = []
    for parts in _references(ProviderSpec):
        path = ".".join(parts)
        steps = (".".join(parts[: n + 1]) for n in range(len(parts)))
        present = " && ".join(f"has(self.{step})" for step in steps)
        checks.append(f"(!({present}) || {test.replace('r.', f'self.{path}.')})")
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
    revocation_auth: Literal["OwnLeases", "AllAtUrl"] = "OwnLeases"
    """Which leases this provider's login revokes. OwnLeases: those that were issued with it.
    AllAtUrl: also leases of other providers with the same url, whatever their namespace, when the
    login that issued them is gone."""


class ProviderStatus(base.Model):
    """What was seen of the provider."""

    type: Annotated[str, Field(max_length=32)] | None = None
    """Kind of provider: infisical, phase or openbao."""
    url: Annotated[str, Field(max_length=2048)] | None = None
    """Address of the server, in one spelling."""
    observed_generation: int = 0
    """The generation of the spec that was looked at."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
    """Ready: the provider answers and the login works. UnrecordedLeases: the last sweep found
    leases of this installation that are on no record."""
    capabilities: Annotated[
        tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=32)
    ] = ()
    """What the provider can do for a lease: Renew, Inspect, Revoke, ForceRevoke, Recover,
    Sweep."""
    server_version: Annotated[str, Field(max_length=128)] | None = None
    """Version that the server states."""
    clock_skew_seconds: int | None = None
    """Provider's clock minus the operator's, in seconds."""


class _Provider(base.CustomResource):
    """What both kinds have."""

    @classmethod
    def readable_spec(cls, spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """One that names no server: enough to say in status that the real one can't be read."""
        del spec
        return {}


class LeaseProvider(_Provider):
    """Where DynamicLeases of this namespace get their leases."""

    KIND: ClassVar[str] = "LeaseProvider"
    spec: LeaseProviderSpec
    """Which provider, and how to talk to it."""
    status: Annotated[ProviderStatus, base.DERIVED] = ProviderStatus()
    """What was seen of the provider."""


class ClusterLeaseProvider(_Provider):
    """Where DynamicLeases of the allowed namespaces get their leases."""

    KIND: ClassVar[str] = "ClusterLeaseProvider"
    spec: ClusterLeaseProviderSpec
    """Which provider, how to talk to it, and who may."""
    status: Annotated[ProviderStatus, base.DERIVED] = ProviderStatus()
    """What was seen of the provider."""


AnyProvider = LeaseProvider | ClusterLeaseProvider


def trust_of(spec: ProviderSpec) -> dict[str, Any]:
    """The CA certificates to trust, or where they are, as a LeaseRecord keeps them."""
    chosen = spec.model_dump(mode="json", include={"ca_bundle", "ca_bundle_ref"})
    return {key: value for key, value in chosen.items() if value is not None}


def type_of(spec: ProviderSpec) -> str | None:
    """Which kind of provider a spec describes; None where it is none of ours."""
    return next((one for one in refs.TYPES if getattr(spec, one) is not None), None)


def server_of(spec: ProviderSpec) -> Infisical | Phase | OpenBao | None:
    """The server that a spec describes, whatever its kind; None where it is none of ours."""
    found: Infisical | Phase | OpenBao | None = refs.chosen(spec)
    return found


def auth_of(spec: ProviderSpec) -> dict[str, Any]:
    """The references to log in with, as a LeaseRecord keeps them: names, never values."""
    server = server_of(spec)
    return server.auth.dump() if server is not None else {}


def options_of(spec: ProviderSpec) -> dict[str, Any]:
    """What beside url and auth says how to find a lease again, as a LeaseRecord keeps it."""
    server = server_of(spec)
    if server is None:
        return {}
    return server.model_dump(mode="json", exclude={"url", "auth"}, exclude_defaults=True)
