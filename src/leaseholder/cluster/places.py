"""Where things are in the API: paths, and what to call the resource there in a sentence.

Flows in: a kind, a namespace, a name. Flows out: a ``Place``, which ``client`` sends to and
``refusals`` names.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from leaseholder.api import names


@dataclass(frozen=True, slots=True)
class Place:
    """A collection or an object of the API; an empty name means the collection."""

    path: str
    resource: str
    """As in RBAC rules: ``secrets``, ``dynamicleases/status``."""
    namespace: str
    name: str
    kinds: bool = False
    """It is what the API server knows of a group, which is no resource."""

    @property
    def label(self) -> str:
        """What to call it in metrics, in one word."""
        return "apiresources" if self.kinds else self.resource

    def __str__(self) -> str:
        named = f"{self.resource} {self.name}" if self.name else self.resource
        return f"{named} in namespace {self.namespace}" if self.namespace else named


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of thing, by the plural of its name."""

    prefix: str
    plural: str

    def at(self, namespace: str, name: str = "", sub: str = "") -> Place:
        """The object of that name, or the collection; no namespace: cluster-wide."""
        scope = f"namespaces/{quote(namespace, safe='')}" if namespace else ""
        parts = (self.prefix, scope, self.plural, quote(name, safe=""), sub)
        resource = f"{self.plural}/{sub}" if sub else self.plural
        return Place("/".join(filter(None, parts)), resource, namespace, name)


def collection(path: str) -> Place:
    """The collection with that path."""
    *_, above, within, plural = path.split("/")
    return Place(path, plural, within if above == "namespaces" else "", "")


_CORE: Final = "/api/v1"
_APPS: Final = "/apis/apps/v1"
_ARGO: Final = "/apis/argoproj.io/v1alpha1"
_AUTHORIZATION: Final = "/apis/authorization.k8s.io/v1"
_OURS: Final = f"/apis/{names.API_VERSION}"

KINDS: Final = Place(_OURS, "the kinds of leaseholder.dev", "", "", kinds=True)
"""What the API server knows of our group."""

SECRETS: Final = Resource(_CORE, "secrets")
CONFIG_MAPS: Final = Resource(_CORE, "configmaps")
SERVICE_ACCOUNTS: Final = Resource(_CORE, "serviceaccounts")
NAMESPACES: Final = Resource(_CORE, "namespaces")
EVENTS: Final = Resource(_CORE, "events")
DEPLOYMENTS: Final = Resource(_APPS, "deployments")
STATEFUL_SETS: Final = Resource(_APPS, "statefulsets")
DAEMON_SETS: Final = Resource(_APPS, "daemonsets")
ROLLOUTS: Final = Resource(_ARGO, "rollouts")
WORKLOADS: Final = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, ROLLOUTS)
TOKEN_REVIEWS: Final = Resource("/apis/authentication.k8s.io/v1", "tokenreviews")
ACCESS_REVIEWS: Final = Resource(_AUTHORIZATION, "subjectaccessreviews")
OWN_ACCESS_REVIEWS: Final = Resource(_AUTHORIZATION, "selfsubjectaccessreviews")
ELECTIONS: Final = Resource("/apis/coordination.k8s.io/v1", "leases")
CRDS: Final = Resource("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions")
LEASES: Final = Resource(_OURS, "dynamicleases")
RECORDS: Final = Resource(_OURS, "leaserecords")
PROVIDERS: Final = Resource(_OURS, "leaseproviders")
CLUSTER_PROVIDERS: Final = Resource(_OURS, "clusterleaseproviders")
