"""CRD manifests, made of the models.

In come the models of the resources, out go manifests as Kubernetes takes them: ``tools.pages``
writes them to ``crds/``, and the commands ``doctor`` and ``plan`` hold a cluster's against them.

pydantic's JSON schema is turned into the structural schema that Kubernetes wants: references
inlined, ``anyOf [X, null]`` made ``X``, titles dropped, unknown keywords dropped.
Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from leaseholder.api import base, conditions, described, lease, names, provider, record

_KEPT = frozenset(
    {
        "type", "format", "description", "default", "enum", "items", "properties", "required",
        "additionalProperties", "pattern", "minLength", "maxLength", "minimum", "maximum",
        "minItems", "maxItems", "minProperties", "maxProperties",
        "x-kubernetes-validations", "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-int-or-string", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    }
)  # fmt: skip
Schema = dict[str, Any]
_UNSEEN: Final = {
    "observedGeneration": 0,
    "conditions": [
        {
            "type": str(conditions.ConditionType.READY),
            "status": "Unknown",
            "reason": str(conditions.Reason.PENDING),
            "message": "the operator hasn't checked it yet",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
            "observedGeneration": 0,
        }
    ],
}
"""The status before the first look, so that tools see it in progress and not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crd:
    """What a CRD says beside its schema."""

    model: type[base.CustomResource]
    kind: str
    plural: str
    short: str
    namespaced: bool = True
    status_subresource: bool = True
    columns: tuple[tuple[str, str, str], ...] = ()
    wide: tuple[tuple[str, str, str], ...] = ()
    """Columns that only ``-o wide`` shows."""


def _condition(kind: str, what: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{what}'


_MESSAGE = ("Message", "string", _condition("Ready", "message"))
_AGE = ("Age", "date", ".metadata.creationTimestamp")
_PROVIDER_COLUMNS = (
    ("URL", "string", ".status.url"),
    ("Ready", "string", _condition("Ready", "status")),
    ("Status", "string", _condition("Ready", "reason")),
    _AGE,
)
_PROVIDER_WIDE = (
    ("Version", "string", ".status.serverVersion"),
    ("Skew", "integer", ".status.clockSkewSeconds"),
    _MESSAGE,
)
KINDS = (
    Crd(
        model=lease.DynamicLease,
        kind="DynamicLease",
        plural="dynamicleases",
        short="dl",
        columns=(
            ("Ready", "string", _condition("Ready", "status")),
            ("Status", "string", _condition("Ready", "reason")),
            ("Secret", "string", ".status.target.secretName"),
            ("Expires", "string", ".status.lease.expiresAt"),
            ("Renews", "string", ".status.lease.renewAt"),
            _AGE,
        ),
        wide=(
            ("Provider", "string", ".spec.providerRef.name"),
            ("Lease", "string", ".status.lease.id"),
            ("Strategy", "string", ".status.lease.strategy"),
            _MESSAGE,
        ),
    ),
    Crd(
        model=provider.LeaseProvider,
        kind="LeaseProvider",
        plural="leaseproviders",
        short="lp",
        columns=(("Type", "string", ".status.type"), *_PROVIDER_COLUMNS),
        wide=_PROVIDER_WIDE,
    ),
    Crd(
        model=provider.ClusterLeaseProvider,
        kind="ClusterLeaseProvider",
        plural="clusterleaseproviders",
        short="clp",
        namespaced=False,
        columns=(("Type", "string", ".status.type"), *_PROVIDER_COLUMNS),
        wide=_PROVIDER_WIDE,
    ),
    Crd(
        model=record.LeaseRecord,
        kind="LeaseRecord",
        plural="leaserecords",
        short="lr",
        status_subresource=False,
        columns=(
            ("Namespace", "string", ".spec.for.namespace"),
            ("For", "string", ".spec.for.name"),
            # Of a list the API server prints what the first one has, which is the oldest lease.
            ("Oldest", "string", ".spec.leases[*].state"),
            ("Expires", "string", ".spec.leases[*].expiresAt"),
            ("Pending", "string", ".spec.leases[*].revoke.lastReason"),
            _AGE,
        ),
        wide=(
            ("Provider", "string", ".spec.leases[*].provider.name"),
            ("Attempt", "string", ".spec.leases[*].attemptId"),
        ),
    ),
)


def structural(schema: Mapping[str, Any], definitions: Mapping[str, Schema]) -> Schema:
    """``schema`` as Kubernetes takes it, its references looked up in ``definitions``."""
    node: Schema = dict(schema)
    if "$ref" in node:
        target = definitions[node.pop("$ref").rpartition("/")[2]]
        node = {**target, **node}
    if "anyOf" in node:
        (some,) = (option for option in node.pop("anyOf") if option.get("type") != "null")
        node = {**structural(some, definitions), **node}
        if node.get("default", ...) is None:
            del node["default"]
    if "default" in node:
        node["default"] = _meaningful(node["default"])
        if node["default"] in ({}, [], None):
            del node["default"]
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "description" in node:
        node["description"] = " ".join(node["description"].split())
    kept = {key: value for key, value in node.items() if key in _KEPT}
    return {key: _inner(key, value, definitions) for key, value in kept.items()}


def _meaningful(value: Any) -> Any:
    """A default without nulls, empty lists and empty maps.

    Those would say nothing, and make objects differ from the manifests that their writers keep.
    """
    if not isinstance(value, Mapping):
        return value
    inner = {key: _meaningful(one) for key, one in value.items()}
    return {key: one for key, one in inner.items() if one not in (None, {}, [])}


def _inner(key: str, value: Any, definitions: Mapping[str, Schema]) -> Any:
    if key == "properties":
        return {name: structural(prop, definitions) for name, prop in value.items()}
    if key == "items":
        return structural(value, definitions)
    if key == "additionalProperties" and isinstance(value, Mapping):
        return structural(value, definitions)
    return value


def _strip_closed(node: Any) -> Any:
    """Without ``additionalProperties`` beside properties, which CRDs forbid (they prune)."""
    if isinstance(node, list):
        return [_strip_closed(n) for n in node]
    if not isinstance(node, dict):
        return node
    drop = node.get("additionalProperties") in (True, False, {})
    return {
        key: _strip_closed(value)
        for key, value in node.items()
        if not (key == "additionalProperties" and drop)
    }


def schema(kind: Crd) -> Schema:
    """The schema of ``kind`` as its CRD has it."""
    full = kind.model.model_json_schema(schema_generator=described.Described)
    definitions = full.pop("$defs", {})
    root: Schema = _strip_closed(structural(full, definitions))
    root["properties"] = {
        "apiVersion": {"type": "string", "description": "Group and version of this resource."},
        "kind": {"type": "string", "description": "Kind of this resource."},
        # The API server takes nothing but a name's constraints here, not even a description.
        "metadata": {"type": "object"},
        "spec": root["properties"]["spec"],
    } | ({"status": root["properties"]["status"]} if kind.status_subresource else {})
    if kind.status_subresource:
        root["properties"]["status"]["default"] = _UNSEEN
    root["required"] = ["spec"]
    return root


def manifest(kind: Crd) -> Schema:
    """The CRD of ``kind``, ready to apply."""
    columns = [
        {"name": name, "type": type_, "jsonPath": path, **priority}
        for columns, priority in ((kind.columns, {}), (kind.wide, {"priority": 1}))
        for name, type_, path in columns
    ]
    version: Schema = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema(kind)},
        "additionalPrinterColumns": columns,
    }
    if kind.status_subresource:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": ["leaseholder"],
            },
            "versions": [version],
        },
    }


def rendered() -> Iterator[tuple[str, str]]:
    """File name and YAML of each CRD."""
    for kind in KINDS:
        text = yaml.safe_dump(manifest(kind), sort_keys=False, width=100, allow_unicode=True)
        yield f"{kind.plural}.yaml", f"# Generated from leaseholder.api by `make crds`.\n{text}"
