"""``migrate``: other operators' resources as ours; what doesn't carry over stands in comments.

What is printed is suspended: it issues nothing until the Secret is taken over, and the comments
say how (docs/migration.md).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import click
import pydantic
import yaml

from leaseholder.api import lease, names, provider
from leaseholder.cli import exits, manifests, session
from leaseholder.cli.exits import Failed
from leaseholder.cli.manifests import Manifest
from leaseholder.cli.peers import external, infisical, vault
from leaseholder.cli.peers.common import Migrated, Pool
from leaseholder.cluster import places

_LIVE: Final = (
    (vault.VSO, ("v1beta1",), ("vaultdynamicsecrets", "vaultauths", "vaultconnections")),
    (external.GROUP, ("v1", "v1beta1"), ("externalsecrets",)),
    (external.GENERATORS, ("v1alpha1",), ("vaultdynamicsecrets", "clustergenerators")),
    (infisical.GROUP, ("v1alpha1",), ("infisicaldynamicsecrets",)),
)
"""Groups, their versions from the newest on, and the plurals that are read."""
_CLUSTER_WIDE: Final = frozenset({"clustergenerators"})


async def show(login: dict[str, Any], path: str | None) -> None:
    """Print what becomes of the resources of a file, or of those in the cluster.

    Raises:
        Failed: there is none that can be carried over.
    """
    if path is not None:
        pool = Pool(manifests.read(path), str(login["namespace"]))
    else:
        async with session.opened(**login) as user:
            pool = Pool(await _live(user), user.namespace)
    found = [made for one in pool.objects if (made := _read(one, pool)) is not None]
    if not found:
        raise Failed(
            "there is no VaultDynamicSecret, no ExternalSecret with such a generator, and no "
            "InfisicalDynamicSecret"
        )
    click.echo(text(found), nl=False)
    leases = sum(one["kind"] == "DynamicLease" for made in found for one in made.objects)
    remarks = sum(len(made.remarks) for made in found)
    sentence = f"{len(found)} read, {leases} carried over, {remarks} remarks: see the comments"
    click.echo(sentence, err=True)


def _read(manifest: Manifest, pool: Pool) -> Migrated | None:
    match manifests.group(manifest), manifest["kind"]:
        case vault.VSO, "VaultDynamicSecret":
            return vault.read(manifest, pool)
        case external.GROUP, "ExternalSecret":
            return external.read(manifest, pool)
        case infisical.GROUP, "InfisicalDynamicSecret":
            return infisical.read(manifest, pool)
    return None


async def _live(user: session.Session) -> list[Manifest]:
    """All that can be carried over, and what it refers to."""
    found = list[Manifest]()
    for group, versions, plurals in _LIVE:
        for plural in plurals:
            home = "" if plural in _CLUSTER_WIDE else user.namespace
            kinds = (places.Resource(f"/apis/{group}/{one}", plural).at(home) for one in versions)
            found += await user.foreign(list(kinds))
    return found


def text(found: Sequence[Migrated]) -> str:
    """Comments and manifests; a LeaseProvider that several use once."""
    parts, known = list[str](), set[tuple[str, str, str]]()
    for made in found:
        fresh = [one for one in made.objects if _key(one) not in known]
        known.update(map(_key, fresh))
        lines = [f"# {exits.printable(line)}".rstrip() for line in _comments(made, fresh)]
        comments = "".join(f"{line}\n" for line in lines)
        bodies = [yaml.safe_dump(one, sort_keys=False) for one in fresh]
        parts.append(comments + "---\n".join(bodies))
    return "---\n".join(parts)


def _key(made: Manifest) -> tuple[str, str, str]:
    return made["kind"], manifests.namespace(made, ""), manifests.name(made)


def _comments(made: Migrated, objects: Sequence[Manifest]) -> Iterator[str]:
    yield made.origin
    remarks = [*made.remarks, *(fault for one in objects for fault in _faults(one))]
    if remarks:
        yield "See to this:"
        yield from (f"- {one}" for one in remarks)
    if any(one["kind"] == "DynamicLease" for one in objects):
        yield "Then take its Secret over (docs/migration.md):"
        # Whoever wrote the resource chose these names, and who reads this pastes them.
        where = f" -n {exits.quoted(made.namespace)}" if made.namespace else ""
        name, secret = exits.quoted(made.name), exits.quoted(made.secret)
        uid = f"$(kubectl get dynamicleases {name}{where} -o jsonpath={{.metadata.uid}})"
        yield f"  kubectl delete {made.delete} {name}{where} --cascade=orphan"
        yield f"  kubectl label secret {secret}{where} {names.OWNER_UID}={uid}"
        yield f"  kubectl leaseholder resume {name}{where}"
    else:
        yield "It isn't carried over."


def _faults(made: Manifest) -> list[str]:
    """What our own models find wrong; the API server's rules speak at ``plan``."""
    model: type[pydantic.BaseModel] = (
        lease.DynamicLease if made["kind"] == "DynamicLease" else provider.LeaseProvider
    )
    try:
        model.model_validate(made)
    except pydantic.ValidationError as error:
        return [f"mend {one}" for one in manifests.faults(error)]
    return []
