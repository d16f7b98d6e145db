"""What a target Secret mustn't be: something that makes other controllers act with their rights.

Who may write a DynamicLease, and no Secrets, would act through the operator otherwise. Types are an
allow-list: few are of use for credentials, and a controller that nobody here knows may watch any
other. Labels and annotations can't be: everybody has names of their own. So those of controllers
that read Secrets are listed, by domain with all that lies below it.
"""

import re
from collections.abc import Mapping
from typing import Final

from leaseholder.api import base, names, secret_types

TYPES: Final = ("Opaque", *secret_types.TYPES)
BINDING: Final = "servicebinding.io/"
"""Types of the Service Binding specification begin so; no controller acts on them."""
DOMAINS: Final[Mapping[str, str]] = {
    "kubernetes.io": "Kubernetes: tokens of ServiceAccounts",
    "k8s.io": "Kubernetes and its projects",
    "x-k8s.io": "Cluster API, hierarchical namespaces and other projects of Kubernetes",
    "helm.sh": "Helm: releases",
    "argoproj.io": "Argo CD: clusters and repositories; Argo Events and Workflows",
    "fluxcd.io": "Flux: what it applies and prunes",
    "emberstack.com": "reflector: copies into other namespaces",
    "havulv.io": "reflector: copies into other namespaces",
    "mittwald.de": "replicator: copies into other namespaces",
    "appscode.com": "config-syncer (kubed): copies into other namespaces and clusters",
    "clustersecret.io": "ClusterSecret: copies into other namespaces",
    "olli.com": "k8s-replicator: copies into other namespaces",
    "synator": "Synator: copies into other namespaces (synator/sync)",
    "carvel.dev": "secretgen-controller: fills in pull secrets of other namespaces",
    "banzaicloud.io": "Bank-Vaults: its webhook fills in what it may read in Vault",
    "bank-vaults.io": "Bank-Vaults: its webhook fills in what it may read in Vault",
    "gke.io": "Config Sync and Connect: what is applied to clusters",
    "external-secrets.io": "External Secrets: what it owns",
    "bitnami.com": "Sealed Secrets: sealing keys",
    "cert-manager.io": "cert-manager: what it owns and injects",
    "velero.io": "Velero: restores and repositories",
    "crossplane.io": "Crossplane: connections",
    "upbound.io": "Crossplane: connections",
    "cattle.io": "Rancher, Fleet and k3s: clusters and what is applied to them",
    "istio.io": "Istio",
    "istio": "Istio: remote clusters (istio/multiCluster)",
    "linkerd.io": "Linkerd: remote clusters",
    "cilium.io": "Cilium: remote clusters",
    "karmada.io": "Karmada: clusters and what is spread to them",
    "open-cluster-management.io": "Open Cluster Management: imports of clusters",
    "projectsveltos.io": "Sveltos: what is applied to clusters",
    "liqo.io": "Liqo: remote clusters",
    "submariner.io": "Submariner: remote clusters",
    "skupper.io": "Skupper: links to other sites",
    "gardener.cloud": "Gardener: resources that it applies",
    "kubesphere.io": "KubeSphere: credentials of pipelines",
    "clastix.io": "Capsule: copies to tenants",
    "loft.sh": "vCluster: clusters and copies",
    "openshift.io": "OpenShift: credentials, clusters, injected certificates",
    "coreos.com": "Operator Lifecycle Manager and the Prometheus operator",
    "hashicorp.com": "Consul and the Vault operator",
    "1password.io": "1Password's operator",
    "kyverno.io": "Kyverno: copies",
    "konghq.com": "Kong: credentials of consumers",
    "jenkins.io": "Jenkins: credentials",
    "tekton.dev": "Tekton: credentials of pipelines",
    "mongodb.com": "Atlas operator: credentials",
    "strimzi.io": "Strimzi: certificates and users of Kafka",
    "metal3.io": "Metal3: hosts",
    "kubevirt.io": "KubeVirt: uploads and access to machines",
}
"""Domain of names of labels and annotations, and whose it is."""
FREE: Final = ("app.kubernetes.io/", "reloader.stakater.com/")
"""Beginnings of names that are of use and that make nobody act for another."""
BARE: Final = (
    *("owner", "OWNER", "grafana_dashboard", "grafana_datasource", "grafana_alert"),
    *("grafana_notifier", "grafana_plugin"),
)
"""Names without a domain: of releases of Helm, and of what the sidecar of Grafana loads."""

_LISTED: Final = "|".join(one.replace(".", "[.]") for one in sorted(DOMAINS))
_PATTERN: Final = f"^(.*[.])?({_LISTED})/"
_SAYS: Final = (
    "other controllers act on Secrets with such names, with rights of their own: write others "
    "(docs/security.md has the list)"
)
OURS_RULE: Final = base.rule(
    f"self.all(key, !key.matches('^([a-z0-9-]+[.])*{names.GROUP.replace('.', '[.]')}/'))",
    f"names under {names.GROUP}/ are the operator's own: write others",
)
_OTHERS_RULE: Final = base.rule(
    f"self.all(key, !(key in {list(BARE)}) && (!key.matches('{_PATTERN}') || "
    + " || ".join(f"key.startsWith('{free}')" for free in FREE)
    + "))",
    _SAYS,
)
NAMES_RULES: Final = (OURS_RULE, _OTHERS_RULE)
TYPE_RULE: Final = base.rule(
    f"self in {list(TYPES)} || self.startsWith('{BINDING}')",
    f"write one of {', '.join(TYPES)}, or {BINDING}<name>: any other type of Secret may grant "
    "rights in the cluster or make another controller act",
)


def is_free(name: str) -> bool:
    """Whether a label or annotation of that name may stand on a target Secret."""
    return name not in BARE and (name.startswith(FREE) or not re.match(_PATTERN, name))


def is_type(kind: str) -> bool:
    """Whether a target Secret may be of that type."""
    return kind in TYPES or kind.startswith(BINDING)
