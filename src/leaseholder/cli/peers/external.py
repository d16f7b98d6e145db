"""External Secrets Operator: an ExternalSecret with the generator VaultDynamicSecret."""

import base64
import binascii
from typing import Any, Final

from leaseholder.api import durations
from leaseholder.cli import manifests
from leaseholder.cli.manifests import Manifest
from leaseholder.cli.peers import common, vault
from leaseholder.cli.peers.common import Migrated, Pool

GROUP: Final = "external-secrets.io"
GENERATORS: Final = "generators.external-secrets.io"
_GENERATOR: Final = "VaultDynamicSecret"


def read(manifest: Manifest, pool: Pool) -> Migrated | None:
    """An ExternalSecret (v1, v1beta1); None where no such generator makes its data."""
    spec = manifests.spec(manifest)
    sources = common.listing(spec, "dataFrom")
    refs = [common.mapping(one, "sourceRef", "generatorRef") for one in sources]
    ours = [one for one in refs if one.get("kind") in (_GENERATOR, "ClusterGenerator")]
    if not ours:
        return None
    name, home = manifests.name(manifest), pool.home(manifest)
    made = Migrated(
        origin=f"ExternalSecret {home}/{name} of External Secrets Operator",
        delete=f"externalsecrets.{GROUP}",
        home=home,
        namespace=home,
        name=name,
        secret=common.text(spec, "target", "name") or name,
    )
    generator = _generator(ours[0], pool, home)
    if generator is None:
        if ours[0].get("kind") == "ClusterGenerator":
            return None
        made.remark(f"generator {ours[0].get('name')} wasn't given: give its manifest, too")
        return made
    if len(sources) > 1 or common.listing(spec, "data"):
        made.remark(
            "its Secret has keys of other sources, too; ours holds those of one lease: give the "
            "others a Secret of their own"
        )
    if any(common.listing(one, "rewrite") for one in sources):
        made.remark("rewrite isn't carried over: write the keys into target.template.data")
    _spec(made, spec, generator)
    return made


def _generator(ref: Manifest, pool: Pool, home: str) -> Manifest | None:
    """The generator's spec."""
    name = str(ref.get("name") or "")
    if ref.get("kind") == _GENERATOR:
        found = pool.find(_GENERATOR, GENERATORS, home, name)
        return manifests.spec(found) if found is not None else None
    shared = pool.find("ClusterGenerator", GENERATORS, "", name)
    return common.mapping(shared, "spec", "generator", "vaultDynamicSecretSpec") or None


def _spec(made: Migrated, spec: Manifest, generator: Manifest) -> None:
    if common.text(generator, "resultType") not in ("", "Data"):
        made.remark(
            f"resultType {generator['resultType']} isn't supported: only what a lease gives"
        )
        return
    source: Manifest = {"path": common.text(generator, "path").strip("/")}
    if common.text(generator, "method") not in ("", "GET"):
        source["method"] = "POST"
    if parameters := common.values(made, generator, "parameters"):
        source["parameters"] = parameters
    ours: Manifest = {"openbao": source}
    if age := _age(made, spec.get("refreshInterval")):
        ours["rotation"] = {"maxAge": age}
    ours["target"] = _target(made, common.mapping(spec, "target"))
    made.remark("its leases were never revoked: those that it took live on until they end")
    provider = f"{made.name}-vault"
    known = common.mapping(generator, "provider")
    login = _login(made, common.mapping(known, "auth"))
    if login is not None:
        made.objects.append(common.lease_provider(made, provider, _server(made, known, login)))
    made.objects.append(common.dynamic_lease(made, provider, ours))


def _age(made: Migrated, interval: object) -> str:
    """A new lease came each refreshInterval; ours is renewed, and replaced after so long."""
    if not isinstance(interval, str) or interval in ("", "0", "0s"):
        return ""
    try:
        length = durations.parse(interval)
    except ValueError:
        made.remark(f"refreshInterval {interval} isn't carried over: write rotation.maxAge")
        return ""
    if length.total_seconds() < 60:
        made.remark(f"refreshInterval {interval} is too short for rotation.maxAge: 60s at least")
        return ""
    return durations.render(length)


def _target(made: Migrated, target: Manifest) -> Manifest:
    template = common.mapping(target, "template")
    found = dict[str, Any]()
    if common.text(template, "type") not in ("", "Opaque"):
        found["type"] = template["type"]
    ours = dict[str, Any]()
    given = common.mapping(template, "metadata")
    if kept := common.metadata(made, given.get("labels"), given.get("annotations")):
        ours["metadata"] = kept
    if data := common.templates(made, common.mapping(template, "data")):
        ours["data"] = data
        if common.text(template, "mergePolicy") in ("", "Replace"):
            ours["mergePolicy"] = "Replace"
    if common.listing(template, "templateFrom"):
        made.remark("write the templates of templateFrom into target.template.data")
    if target.get("immutable"):
        made.remark("its Secret is immutable: delete it, and it is made anew")
    if common.text(target, "creationPolicy") in ("Merge", "None"):
        made.remark(f"creationPolicy {target['creationPolicy']}: the Secret is somebody else's")
    return {**found, **({"template": ours} if ours else {})}


def _server(made: Migrated, known: Manifest, login: Manifest) -> Manifest:
    server: Manifest = {"url": common.text(known, "server"), "auth": login}
    if within := common.text(known, "namespace"):
        server["namespace"] = within
    for key in ("headers", "tls"):
        if known.get(key):
            made.remark(f"{key} of the provider isn't carried over")
    spec: Manifest = {"openbao": server}
    if common.text(known, "caBundle"):
        try:
            spec["caBundle"] = base64.b64decode(known["caBundle"], validate=True).decode()
        except (binascii.Error, ValueError):
            made.remark("caBundle can't be read: write it in PEM")
    kept = common.mapping(known, "caProvider")
    if common.text(kept, "type") in ("Secret", "ConfigMap"):
        ref = {one: common.text(kept, one) for one in ("name", "key")}
        spec["caBundleRef"] = {"kind": kept["type"], **ref}
    return spec


def _login(made: Migrated, auth: Manifest) -> Manifest | None:
    if ref := _secret(made, auth, "tokenSecretRef"):
        return {"token": {"tokenSecretRef": ref}}
    if (role := common.mapping(auth, "appRole")) and role.get("roleId"):
        ref = _secret(made, role, "secretRef")
        at = {"mountPath": common.text(role, "path") or "approle"}
        return {"appRole": {"roleId": common.text(role, "roleId"), "secretIdSecretRef": ref, **at}}
    known = common.mapping(auth, "kubernetes")
    if account := common.text(known, "serviceAccountRef", "name"):
        audience = next(iter(common.listing(known, "serviceAccountRef", "audiences")), "")
        at = {"mountPath": common.text(known, "mountPath") or "kubernetes"}
        return {"kubernetes": {**vault.token(made, _role(known), account, audience), **at}}
    known = common.mapping(auth, "jwt")
    token = common.mapping(known, "kubernetesServiceAccountToken")
    if account := common.text(token, "serviceAccountRef", "name"):
        audiences = [
            *common.listing(token, "serviceAccountRef", "audiences"),
            *common.listing(token, "audiences"),
            "vault",
        ]
        at = {"mountPath": common.text(known, "path") or "jwt"}
        return {"jwt": {**vault.token(made, _role(known), account, audiences[0]), **at}}
    ways = ", ".join(sorted(auth)) or "none"
    made.remark(
        f"the login ({ways}) isn't supported: write LeaseProvider {made.name}-vault (kubectl "
        "leaseholder init openbao)"
    )
    return None


def _role(known: Manifest) -> str:
    return common.text(known, "role")


def _secret(made: Migrated, node: Manifest, name: str) -> Manifest:
    """A reference to a key of a Secret, as ours; empty where there is none."""
    ref = common.mapping(node, name)
    if not ref:
        return {}
    common.login_secret(made, common.text(ref, "name"))
    return {"name": common.text(ref, "name"), "key": common.text(ref, "key") or "token"}
