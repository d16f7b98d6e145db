"""Infisical's own operator: InfisicalDynamicSecret (v1alpha1)."""

from typing import Any, Final

from leaseholder.api import durations
from leaseholder.cli import manifests
from leaseholder.cli.manifests import Manifest
from leaseholder.cli.peers import common
from leaseholder.cli.peers.common import Migrated, Pool

GROUP: Final = "secrets.infisical.com"
_CLOUD: Final = "https://app.infisical.com"


def read(manifest: Manifest, pool: Pool) -> Migrated:
    """An InfisicalDynamicSecret."""
    spec, name = manifests.spec(manifest), manifests.name(manifest)
    home = pool.home(manifest)
    managed = common.mapping(spec, "managedSecretReference")
    made = Migrated(
        origin=f"InfisicalDynamicSecret {home}/{name} of Infisical's operator",
        delete=f"infisicaldynamicsecrets.{GROUP}",
        home=home,
        namespace=common.text(managed, "secretNamespace") or home,
        name=name,
        secret=common.text(managed, "secretName") or name,
    )
    if made.namespace != home:
        made.remark(f"the DynamicLease is where its Secret is, in namespace {made.namespace}")
    known = common.mapping(spec, "dynamicSecret")
    ours: Manifest = {"infisical": _source(known)}
    if ttl := _ttl(made, common.text(spec, "leaseTTL")):
        ours["ttl"] = ttl
    if common.text(spec, "leaseRevocationPolicy") == "Revoke":
        made.remark(
            "set its spec.leaseRevocationPolicy to None before it is deleted: else the credentials "
            "that pods use end with it"
        )
    made.remark(
        "workloads with the annotation secrets.infisical.com/auto-reload: write them into "
        "rotation.restartTargets"
    )
    ours["target"] = _target(made, managed)
    provider = f"{name}-infisical"
    login = _login(made, common.mapping(spec, "authentication"), home)
    if login is not None:
        made.objects.append(common.lease_provider(made, provider, _server(made, spec, login)))
    made.objects.append(common.dynamic_lease(made, provider, ours))
    return made


def _source(known: Manifest) -> Manifest:
    project = {
        "projectId": common.text(known, "projectId"),
        "projectSlug": common.text(known, "projectSlug"),
    }
    chosen = {key: one for key, one in project.items() if one}
    return {
        **dict(list(chosen.items())[:1]),
        "environmentSlug": common.text(known, "environmentSlug"),
        "path": common.text(known, "secretsPath") or common.text(known, "secretPath") or "/",
        "dynamicSecretName": common.text(known, "secretName"),
    }


def _ttl(made: Migrated, written: str) -> str:
    """``leaseTTL`` as a Kubernetes duration; theirs may be a day or plain seconds."""
    if not written:
        return ""
    if written.isdecimal() and len(written) < 9:
        written = f"{int(written) // 3600}h{int(written) % 3600}s"
    elif written.endswith("d") and written[:-1].isdecimal() and len(written) < 6:
        written = f"{int(written[:-1]) * 24}h"
    try:
        return durations.render(durations.parse(written))
    except ValueError:
        made.remark(f"leaseTTL {written} isn't carried over: write ttl")
        return ""


def _target(made: Migrated, managed: Manifest) -> Manifest:
    found = dict[str, Any]()
    if common.text(managed, "secretType") not in ("", "Opaque"):
        found["type"] = managed["secretType"]
    template = common.mapping(managed, "template")
    data = common.templates(made, common.mapping(template, "data"))
    if data:
        policy = {} if template.get("includeAllSecrets") else {"mergePolicy": "Replace"}
        found["template"] = {"data": data, **policy}
    return found


def _server(made: Migrated, spec: Manifest, login: Manifest) -> Manifest:
    url = (common.text(spec, "hostAPI") or _CLOUD).rstrip("/").removesuffix("/api")
    ours: Manifest = {"infisical": {"url": url, "auth": login}}
    ca = common.mapping(spec, "tls", "caRef")
    if name := common.text(ca, "secretName"):
        ours["caBundleRef"] = {"kind": "Secret", "name": name, "key": common.text(ca, "key")}
        _copied(made, name, common.text(ca, "secretNamespace"))
    return ours


def _login(made: Migrated, auth: Manifest, home: str) -> Manifest | None:
    ref = common.mapping(auth, "universalAuth", "credentialsRef")
    if name := common.text(ref, "secretName"):
        _copied(made, name, common.text(ref, "secretNamespace") or home)
        common.login_secret(made, name)
        refs = {
            "clientIdSecretRef": {"name": name, "key": "clientId"},
            "clientSecretRef": {"name": name, "key": "clientSecret"},
        }
        return {"universalAuth": refs}
    known = common.mapping(auth, "kubernetesAuth")
    if account := common.text(known, "serviceAccountRef", "name"):
        audience = next(iter(common.listing(known, "serviceAccountTokenAudiences")), "")
        if not audience:
            audience = "infisical"
            made.remark(
                "no audience was set, and no token is made for the API server's own: allow "
                f"{audience} at the identity"
            )
        there = common.text(known, "serviceAccountRef", "namespace")
        if there and there != made.namespace:
            made.remark(
                f"ServiceAccount {account} is in namespace {there}: make one in namespace "
                f"{made.namespace} and allow it at the identity, or make a ClusterLeaseProvider"
            )
        common.token_right(made, account)
        return {
            "kubernetesAuth": {
                "identityId": common.text(known, "identityId"),
                "serviceAccountRef": {"name": account},
                "audience": audience,
            }
        }
    ways = ", ".join(sorted(auth)) or "none"
    made.remark(
        f"the login ({ways}) isn't supported: write LeaseProvider {made.name}-infisical (kubectl "
        "leaseholder init infisical)"
    )
    return None


def _copied(made: Migrated, name: str, where: str) -> None:
    if where and where != made.namespace:
        made.remark(f"copy Secret {name} from namespace {where}, or make a ClusterLeaseProvider")
