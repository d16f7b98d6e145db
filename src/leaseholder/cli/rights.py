"""Which rights the operator needs, by namespace: what there is asks for them.

A right that nothing needs isn't asked for: where no DynamicLease restarts workloads the operator
does without the right to patch them (docs/security.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from leaseholder.api import lease, names, provider
from leaseholder.cluster import places, refusals

_WORKLOADS: Final = {
    "Deployment": ("apps", places.DEPLOYMENTS.plural),
    "StatefulSet": ("apps", places.STATEFUL_SETS.plural),
    "DaemonSet": ("apps", places.DAEMON_SETS.plural),
    "Rollout": ("argoproj.io", places.ROLLOUTS.plural),
}
_SECRETS: Final = ("get", "list", "watch", "create", "patch", "delete")
_WIDE: Final = "the ClusterRole leaseholder, cluster-wide"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """What RBAC is asked: a verb on a resource in a namespace."""

    namespace: str
    group: str
    resource: str
    """With its subresource: ``serviceaccounts/token``."""
    verb: str

    @property
    def attributes(self) -> dict[str, str]:
        """As an access review takes it."""
        resource, _, sub = self.resource.partition("/")
        return {
            "namespace": self.namespace,
            "group": self.group,
            "resource": resource,
            "subresource": sub,
            "verb": self.verb,
        }


def of_operator(
    known: Sequence[lease.DynamicLease], providers: Sequence[provider.AnyProvider], home: str
) -> list[Right]:
    """What the operator needs for these, with its own namespace ``home``."""
    return sorted({*_of_home(home), *_of_leases(known), *_of_providers(providers)})


def of_user(namespace: str) -> list[Right]:
    """What the user needs for the commands; an empty namespace means all."""
    wanted = (
        ("dynamicleases", "get"), ("dynamicleases", "list"), ("dynamicleases", "patch"),
        ("leaseproviders", "list"),
    )  # fmt: skip
    return [Right(namespace, names.GROUP, resource, verb) for resource, verb in wanted]


def _of_home(home: str) -> Iterator[Right]:
    for verb in ("get", "list", "create", "patch", "delete"):
        yield Right(home, names.GROUP, places.RECORDS.plural, verb)


def _of_leases(known: Sequence[lease.DynamicLease]) -> Iterator[Right]:
    for dl in known:
        namespace = dl.metadata.namespace
        for verb in _SECRETS:
            yield Right(namespace, "", places.SECRETS.plural, verb)
        for verb in ("get", "list", "watch", "patch"):
            yield Right(namespace, names.GROUP, places.LEASES.plural, verb)
        yield Right(namespace, names.GROUP, f"{places.LEASES.plural}/status", "patch")
        for target in dl.spec.rotation.restart_targets:
            group, resource = _WORKLOADS[target.kind]
            for verb in ("get", "list", "patch"):
                yield Right(namespace, group, resource, verb)


def _of_providers(known: Sequence[provider.AnyProvider]) -> Iterator[Right]:
    for one in known:
        home = one.metadata.namespace
        for ref in references(provider.auth_of(one.spec), "serviceAccountRef"):
            at = str(ref.get("namespace") or home)
            yield Right(at, "", f"{places.SERVICE_ACCOUNTS.plural}/token", "create")
        for ref in references(provider.auth_of(one.spec), "SecretRef"):
            yield Right(str(ref.get("namespace") or home), "", places.SECRETS.plural, "get")
        bundle = one.spec.ca_bundle_ref
        if bundle is not None:
            kept = places.CONFIG_MAPS if bundle.kind == "ConfigMap" else places.SECRETS
            yield Right(bundle.namespace or home, "", kept.plural, "get")


def references(node: Any, end: str) -> Iterator[Mapping[str, Any]]:
    """The references whose name ends so, however deep."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key.endswith(end) and isinstance(value, Mapping):
                yield value
            yield from references(value, end)


def missing(denied: Sequence[Right]) -> list[str]:
    """A sentence for each resource of each namespace, with what to bind."""
    verbs = dict[tuple[str, str], list[str]]()
    for one in denied:
        verbs.setdefault((one.namespace, one.resource), []).append(one.verb)
    return [
        f"namespace {namespace}: the operator has no right to {', '.join(sorted(lacking))} "
        f"{resource}: bind {refusals.ROLES.get(resource, _WIDE)}"
        for (namespace, resource), lacking in sorted(verbs.items())
    ]
