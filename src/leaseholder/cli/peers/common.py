"""What the readers of all peers share: what comes out, and Go templates that ours say, too.

A peer's resource is whatever somebody wrote: each field is checked before it is used.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from leaseholder.api import freeform, names, reserved
from leaseholder.cli import exits, manifests
from leaseholder.cli.manifests import Manifest

SUSPENDED: Final = True
"""What is printed issues nothing until the Secret is taken over (docs/migration.md)."""
_NAMES: Final = (
    re.compile(r'get \.Secrets "(?P<name>\w+)"'),
    re.compile(r"\.(?:Secrets\.)?(?P<name>(?!Secrets$)\w+)(?:\.Value)?"),
)
"""How peers name a value: VSO, External Secrets, Infisical."""
_FILTERS: Final = {
    "b64enc": "b64encode",
    "b64dec": "b64decode",
    "toJson": "json",
    "trim": "trim",
    "urlquery": "urlquote",
}
"""Their functions that ours do, too. Go's urlquery writes a space as +, ours as %20."""


@dataclass(slots=True)
class Migrated:
    """One resource of a peer: what becomes of it, and what doesn't carry over."""

    origin: str
    """Kind, namespace and name, as the comment names it."""
    delete: str = ""
    """The kind as ``kubectl delete`` takes it."""
    home: str = ""
    """The namespace where it is."""
    namespace: str = ""
    """The namespace of its Secret, where ours has to be."""
    name: str = ""
    secret: str = ""
    objects: list[Manifest] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def leases(self) -> list[Manifest]:
        """The DynamicLease that takes its place, if there is one."""
        return [one for one in self.objects if one["kind"] == "DynamicLease"]

    def remark(self, text: str) -> None:
        """Say what doesn't carry over, or is to be done."""
        self.remarks.append(text)


@dataclass(frozen=True, slots=True)
class Pool:
    """All objects that were given, to find what one refers to."""

    objects: Sequence[Manifest]
    namespace: str
    """Of those that name none."""

    def find(self, kind: str, group: str, namespace: str, name: str) -> Manifest | None:
        """The object of that name, if it was given."""
        for one in self.objects:
            same = (one["kind"], manifests.group(one), manifests.name(one)) == (kind, group, name)
            if same and (not namespace or self.home(one) == namespace):
                return one
        return None

    def home(self, manifest: Manifest) -> str:
        """The namespace that an object is in."""
        return manifests.namespace(manifest, self.namespace)


def text(node: Any, *path: str) -> str:
    """The text at a path; empty where there is none."""
    found = value(node, *path)
    return found if isinstance(found, str) else ""


def mapping(node: Any, *path: str) -> dict[str, Any]:
    """The mapping at a path; empty where there is none."""
    found = value(node, *path)
    return found if isinstance(found, dict) else {}


def listing(node: Any, *path: str) -> list[Any]:
    """The list at a path; empty where there is none."""
    found = value(node, *path)
    return found if isinstance(found, list) else []


def values(made: Migrated, node: Any, name: str) -> dict[str, Any]:
    """The values of any shape under a name; empty where none are, or ours can't be so deep."""
    found = mapping(node, name)
    if _fits(found, freeform.LEVELS):
        return found
    made.remark(f"{name} isn't carried over: it is nested deeper than ours may be")
    return {}


def _fits(node: Any, levels: int) -> bool:
    """Whether lists and maps are within each other no deeper than that."""
    if not isinstance(node, dict | list):
        return True
    inner = node.values() if isinstance(node, dict) else node
    return levels > 0 and all(_fits(one, levels - 1) for one in inner)


def value(node: Any, *path: str) -> Any:
    """What stands at a path; None where nothing does."""
    for part in path:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def dynamic_lease(made: Migrated, provider: str, spec: Manifest) -> Manifest:
    """The DynamicLease that takes the place of a resource, suspended until the take-over."""
    target = {"secretName": made.secret, **spec.pop("target", {})}
    meta = {"name": made.name, **({"namespace": made.namespace} if made.namespace else {})}
    whole = {"providerRef": {"name": provider}, **spec, "target": target, "suspend": SUSPENDED}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "DynamicLease",
        "metadata": meta,
        "spec": whole,
    }


def lease_provider(made: Migrated, name: str, spec: Manifest) -> Manifest:
    """The LeaseProvider that takes the place of a login."""
    meta = {"name": name, **({"namespace": made.namespace} if made.namespace else {})}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "LeaseProvider",
        "metadata": meta,
        "spec": spec,
    }


def login_secret(made: Migrated, name: str) -> None:
    """Say that a Secret to log in with needs our label."""
    where = f" -n {exits.quoted(made.namespace)}" if made.namespace else ""
    secret = exits.quoted(name)
    made.remark(f"label its Secret: kubectl label secret {secret}{where} {names.AUTH}=true")


def token_right(made: Migrated, account: str) -> None:
    """Say that tokens of a ServiceAccount have to be allowed."""
    made.remark(f"the operator makes tokens of ServiceAccount {account}: bind leaseholder-tokens")


def metadata(made: Migrated, labels: Any, annotations: Any) -> Manifest:
    """Labels and annotations of the Secret, without those that other controllers act on."""
    kept = dict[str, dict[str, str]]()
    for what, found in (("labels", labels), ("annotations", annotations)):
        texts = {key: one for key, one in mapping(found).items() if isinstance(one, str)}
        taken = [key for key in texts if not reserved.is_free(key)]
        for key in taken:
            made.remark(f"the {what[:-1]} {key} isn't carried over: other controllers act on it")
        if len(texts) > len(taken):
            kept[what] = {key: one for key, one in texts.items() if key not in taken}
    return kept


def templates(made: Migrated, texts: Mapping[str, Any]) -> dict[str, str]:
    """Their templates as ours; each that says more than ours can is a remark."""
    found = {}
    for key, one in texts.items():
        made_of = _translated(one) if isinstance(one, str) else None
        if made_of is None:
            made.remark(
                f"write the template of key {key} anew (docs/templates.md): ours has no functions, "
                "conditions or loops"
            )
        else:
            found[key] = made_of
    return found


def _translated(template: str) -> str | None:
    """A Go template in our syntax; None where ours can't say it.

    It is whatever a tenant wrote, so it is gone through once.
    """
    if "{%" in template or "{#" in template:
        return None
    head, *places = template.split("{{")
    pieces = [head]
    for place in places:
        inner, closed, rest = place.partition("}}")
        said = _place(inner) if closed and "-" not in (inner[:1], inner[-1:]) else None
        if said is None:
            return None
        pieces.append(f"{{{{ {said} }}}}{rest}")
    return "".join(pieces)


def _place(inner: str) -> str | None:
    head, *steps = (part.strip() for part in inner.split("|"))
    name = next((found["name"] for one in _NAMES if (found := one.fullmatch(head))), None)
    if name is None or any(step not in _FILTERS for step in steps):
        return None
    return " | ".join([name, *(_FILTERS[step] for step in steps)])
