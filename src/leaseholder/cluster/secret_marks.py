"""What the metadata of a Secret says of whose it is, and whether it says so in earnest.

Flows in: metadata from the watch (``watching``) or of a list. Flows out: the owner that the marks
name, or that the Secret is somebody's copy. Anybody who may write Secrets in a served namespace
writes what stands here, and a Secret is read before it is known whose it is. So nothing here
raises, whatever the metadata holds, and only names and uids get further: no text of any other form,
or of any length.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from leaseholder.api import lease, names

KIND: Final = "Secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """A Secret's metadata, as far as it concerns us."""

    uid: str
    namespace: str
    name: str
    version: str
    """Its resourceVersion."""
    owner_uid: str | None
    """What our label says; None: it isn't there, or can't be a uid."""
    owner_name: str | None = None
    """What our annotation says; None: it isn't there, or can't be a name."""
    referred: str | None = None
    """Name of the DynamicLease of that uid among its owners."""
    original: str = ""
    """``namespace/name`` of the Secret that it was copied from; empty: it is no copy."""
    is_ours: bool = False
    """A note or an owner says that we wrote it, beside the label; what else is known proves it."""
    wrong: str = ""
    """Which of our marks can't be one that we wrote; empty: none."""


def read(meta: object) -> Marks | None:
    """The marks in some metadata; None where it isn't that of an object of an API server."""
    if not isinstance(meta, Mapping):
        return None
    uid, namespace, name = (meta.get(field) for field in ("uid", "namespace", "name"))
    if not (names.is_uid(uid) and names.is_name(namespace) and names.is_name(name)):
        return None
    labels, annotations = _mapping(meta.get("labels")), _mapping(meta.get("annotations"))
    owner_uid, owner_name = labels.get(names.OWNER_UID), annotations.get(names.OWNER_NAME)
    wrong = ""
    if owner_uid is not None and not names.is_uid(owner_uid):
        wrong = f"label {names.OWNER_UID}"
    elif owner_name is not None and not names.is_name(owner_name):
        wrong = f"annotation {names.OWNER_NAME}"
    known_uid = owner_uid if names.is_uid(owner_uid) else None
    referred = next(_referred(meta.get("ownerReferences"), known_uid), None)
    noted = annotations.get(names.SECRET)
    return Marks(
        uid=uid,
        namespace=namespace,
        name=name,
        version=_version(meta.get("resourceVersion")),
        owner_uid=known_uid,
        owner_name=owner_name if names.is_name(owner_name) else None,
        referred=referred,
        original=original(namespace, name, noted),
        is_ours=referred is not None or noted == f"{namespace}/{name}",
        wrong=wrong,
    )


def original(namespace: str, name: str, noted: object) -> str:
    """What a Secret is a copy of, by our annotation on it; empty where it is none.

    Replicators take labels and annotations along.
    """
    if not isinstance(noted, str) or noted == f"{namespace}/{name}":
        return ""
    place, _, own = noted.partition("/")
    return noted if names.is_name(place) and names.is_name(own) else ""


def _referred(owners: object, uid: str | None) -> Iterator[str]:
    for owner in owners if isinstance(owners, list) and uid is not None else ():
        if not isinstance(owner, Mapping):
            continue
        name, ours = owner.get("name"), owner.get("kind") == lease.DynamicLease.KIND
        if ours and owner.get("uid") == uid and names.is_name(name):
            yield name


def _mapping(found: object) -> Mapping[object, object]:
    return found if isinstance(found, Mapping) else {}


def _version(found: object) -> str:
    return found if isinstance(found, str) and len(found) <= 64 and found.isalnum() else ""
