"""``migrate``: other operators' resources as ours; what doesn't carry over stands in comments.

What is printed is suspended: it issues nothing until the Secret is taken over, and the comments
say how (docs/migration.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click
import pydantic
import yaml

from leaseholder.api import lease, names, provider
from leaseholder.cli import exits, manifests, refused, session
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
Key = tuple[str, str, str]
"""Kind, namespace and name."""
Placed = tuple[Migrated, list[Manifest]]
"""What becomes of a resource, and what of it is printed."""
_CLUSTER_WIDE: Final = frozenset({"clustergenerators"})


async def show(login: dict[str, Any], path: str | None) -> None:
    """Print what becomes of the resources of a file, or of those in the cluster.

    Raises:
        Failed: there is none that can be carried over.
    """
    hidden = list[str]()
    if path is not None:
        pool = Pool(manifests.read(path), str(login["namespace"]))
    else:
        async with session.opened(**login) as user:
            pool = Pool(await _live(user, hidden), user.namespace)
    found = [made for one in pool.objects if (made := _read(one, pool)) is not None]
    if not found:
        none = (
            "there is no VaultDynamicSecret, no ExternalSecret with such a generator, and no "
            "InfisicalDynamicSecret"
        )
        raise Failed("; ".join([none, *hidden]))
    placed = list(_placed(found))
    click.echo(_text(placed), nl=False)
    leases = sum(one["kind"] == "DynamicLease" for _, objects in placed for one in objects)
    remarks = sum(len(made.remarks) for made in found)
    sentence = f"{len(found)} read, {leases} carried over, {remarks} remarks: see the comments"
    for one in [*(f"left out: {why}" for why in hidden), sentence]:
        click.echo(exits.printable(one), err=True)


def _read(manifest: Manifest, pool: Pool) -> Migrated | None:
    match manifests.group(manifest), manifest["kind"]:
        case vault.VSO, "VaultDynamicSecret":
            return vault.read(manifest, pool)
        case external.GROUP, "ExternalSecret":
            return external.read(manifest, pool)
        case infisical.GROUP, "InfisicalDynamicSecret":
            return infisical.read(manifest, pool)
    return None


async def _live(user: session.Session, hidden: list[str]) -> list[Manifest]:
    """All that can be carried over, and what it refers to; what the user may not see is added.

    Few may list what belongs to all three operators, two of which aren't even there.
    """
    found = list[Manifest]()
    for group, versions, plurals in _LIVE:
        for plural in plurals:
            home = "" if plural in _CLUSTER_WIDE else user.namespace
            kinds = (places.Resource(f"/apis/{group}/{one}", plural).at(home) for one in versions)
            try:
                found += await user.foreign(list(kinds))
            except refused.Forbidden as failure:
                hidden.append(failure.message)
    return found


def _placed(found: Sequence[Migrated]) -> Iterator[Placed]:
    """Each with what is printed of it; what several have in common is printed once."""
    known = dict[Key, Manifest]()
    for made in found:
        for one in made.objects:
            _named(made, one, known)
        fresh = [one for one in made.objects if _key(one) not in known]
        known.update((_key(one), one) for one in fresh)
        made.remarks += [fault for one in fresh for fault in _faults(one)]
        yield made, fresh


def _named(made: Migrated, one: Manifest, known: Mapping[Key, Manifest]) -> None:
    """Give an object another name, where another one than this has it already."""
    before, number = manifests.name(one), 1
    while known.get(_key(one), one)["spec"] != one["spec"]:
        number += 1
        one["metadata"]["name"] = f"{before[:240]}-{number}"
    if number == 1:
        return
    now = manifests.name(one)
    made.remark(f"another {one['kind']} {before} stands above: this one is {now}")
    if one["kind"] == "LeaseProvider":
        for other in made.leases:
            other["spec"]["providerRef"]["name"] = now


def _text(placed: Sequence[Placed]) -> str:
    """Comments and manifests."""
    parts = list[str]()
    for made, objects in placed:
        lines = [f"# {exits.printable(line)}".rstrip() for line in _comments(made, objects)]
        comments = "".join(f"{line}\n" for line in lines)
        bodies = [yaml.safe_dump(one, sort_keys=False) for one in objects]
        parts.append(comments + "---\n".join(bodies))
    return "---\n".join(parts)


def _key(made: Manifest) -> Key:
    return made["kind"], manifests.namespace(made, ""), manifests.name(made)


def _comments(made: Migrated, objects: Sequence[Manifest]) -> Iterator[str]:
    yield made.origin
    if made.remarks:
        yield "See to this:"
        yield from (f"- {one}" for one in made.remarks)
    if not made.leases:
        yield "It isn't carried over."
    for one in made.leases:
        if one in objects:
            yield from _take_over(made, manifests.name(one))
        else:
            yield "It stands above already."


def _take_over(made: Migrated, ours: str) -> Iterator[str]:
    """The commands that put a DynamicLease in the place of the resource."""
    yield "Then take its Secret over (docs/migration.md):"
    # Whoever wrote the resource chose these names, and who reads this pastes them.
    theirs, name, secret = (exits.quoted(one) for one in (made.name, ours, made.secret))
    there, where = (
        f" -n {exits.quoted(one)}" if one else "" for one in (made.home, made.namespace)
    )
    uid = f"$(kubectl get dynamicleases {name}{where} -o jsonpath={{.metadata.uid}})"
    yield f"  kubectl delete {made.delete} {theirs}{there} --cascade=orphan"
    yield f"  kubectl label secret {secret}{where} {names.OWNER_UID}={uid}"
    yield f"  kubectl leaseholder resume {name}{where}"


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
