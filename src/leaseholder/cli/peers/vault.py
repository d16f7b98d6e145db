"""Vault's logins and paths, as Vault Secrets Operator and External Secrets both write them."""

from typing import Any, Final

from leaseholder.cli.manifests import Manifest
from leaseholder.cli.peers import common
from leaseholder.cli.peers.common import Migrated, Pool

VSO: Final = "secrets.hashicorp.com"
_KINDS: Final = {
    **{one: one for one in ("Deployment", "StatefulSet", "DaemonSet")},
    "argo.Rollout": "Rollout",
}
_PERCENT: Final = 67
"""VSO's default share of a lease's life; ours is 66."""


def read(manifest: Manifest, pool: Pool) -> Migrated:
    """A VaultDynamicSecret of Vault Secrets Operator (v1beta1)."""
    name, home = common.text(manifest, "metadata", "name"), pool.home(manifest)
    spec = common.mapping(manifest, "spec")
    destination = common.mapping(spec, "destination")
    made = Migrated(
        origin=f"VaultDynamicSecret {home}/{name} of Vault Secrets Operator",
        delete=f"vaultdynamicsecrets.{VSO}",
        home=home,
        namespace=home,
        name=name,
        secret=common.text(destination, "name") or name,
    )
    if spec.get("allowStaticCreds"):
        made.remark("it reads a static role, which is no lease: leave it with its operator")
        return made
    provider = _provider(made, spec, pool)
    ours: Manifest = {"openbao": _source(made, spec)}
    percent = spec.get("renewalPercent")
    if isinstance(percent, int) and percent != _PERCENT and 1 <= percent <= 95:
        ours["renewal"] = {"afterPercent": percent}
    targets = _targets(made, common.listing(spec, "rolloutRestartTargets"))
    if targets:
        ours["rotation"] = {"restartTargets": targets}
    if spec.get("revoke"):
        made.remark(
            "set its spec.revoke to false before it is deleted: else the credentials that pods use "
            "end with it"
        )
    ours["target"] = _target(made, destination)
    made.objects.append(common.dynamic_lease(made, provider, ours))
    return made


def _source(made: Migrated, spec: Manifest) -> Manifest:
    path = f"{common.text(spec, 'mount').strip('/')}/{common.text(spec, 'path').strip('/')}"
    params = common.values(made, spec, "params")
    source: Manifest = {"path": path}
    if params or common.text(spec, "requestHTTPMethod") in ("POST", "PUT"):
        source["method"] = "POST"
    if params:
        source["parameters"] = params
    return source


def _targets(made: Migrated, known: list[Any]) -> list[Manifest]:
    found = []
    for one in known:
        kind, name = common.text(one, "kind"), common.text(one, "name")
        if kind in _KINDS and name:
            found.append({"kind": _KINDS[kind], "name": name})
        else:
            made.remark(f"{kind} {name} can't be restarted: write it into rotation.restartTargets")
    return found


def _target(made: Migrated, destination: Manifest) -> Manifest:
    target = dict[str, Any]()
    if common.text(destination, "type") not in ("", "Opaque"):
        target["type"] = destination["type"]
    if not destination.get("create"):
        made.remark(
            "its Secret was made by somebody else (destination.create is false): see by whom"
        )
    made.remark("the key _raw isn't written any more")
    change = common.mapping(destination, "transformation")
    labels, notes = destination.get("labels"), destination.get("annotations")
    template = dict[str, Any]()
    if kept := common.metadata(made, labels, notes):
        template["metadata"] = kept
    texts = {
        key: common.text(one, "text") for key, one in common.mapping(change, "templates").items()
    }
    if data := common.templates(made, texts):
        template["data"] = data
    if common.listing(change, "excludes") == [".*"] and data:
        template["mergePolicy"] = "Replace"
    elif common.listing(change, "excludes") or common.listing(change, "includes"):
        made.remark(
            "includes and excludes aren't carried over: all keys of the provider are written"
        )
    if common.listing(change, "transformationRefs"):
        made.remark("write the templates of its transformationRefs into target.template.data")
    if template:
        target["template"] = template
    return target


def _provider(made: Migrated, spec: Manifest, pool: Pool) -> str:
    """The LeaseProvider of its VaultAuth and VaultConnection; its name."""
    ref = common.text(spec, "vaultAuthRef") or "default"
    namespace, _, name = ref.rpartition("/")
    auth = pool.find("VaultAuth", VSO, namespace or made.namespace, name)
    if auth is None:
        made.remark(
            f"VaultAuth {ref} wasn't given: write LeaseProvider {name} yourself (kubectl "
            "leaseholder init openbao)"
        )
        return name
    auth_spec = common.mapping(auth, "spec")
    to = common.text(auth_spec, "vaultConnectionRef") or "default"
    there, _, connection = to.rpartition("/")
    known = pool.find("VaultConnection", VSO, there or pool.home(auth), connection)
    server = common.mapping(known, "spec")
    if known is None:
        made.remark(f"VaultConnection {to} wasn't given: write the url of LeaseProvider {name}")
    login = _vso_login(made, auth_spec)
    if login is None:
        return name
    for key in ("headers", "tlsServerName", "skipTLSVerify"):
        if server.get(key):
            made.remark(f"{key} of VaultConnection {to} isn't carried over")
    if auth_spec.get("headers") or auth_spec.get("params"):
        made.remark(f"headers and params of VaultAuth {ref} aren't carried over")
    url = common.text(server, "address") or "https://replace-me"
    ours: Manifest = {"url": url, "auth": login}
    if within := common.text(spec, "namespace") or common.text(auth_spec, "namespace"):
        ours["namespace"] = within
    trust = common.text(server, "caCertSecretRef")
    bundle = {"kind": "Secret", "name": trust, "key": "ca.crt"}
    if trust and known is not None and pool.home(known) != made.namespace:
        made.remark(f"copy Secret {trust} with its ca.crt from namespace {pool.home(known)}")
    more = {"caBundleRef": bundle} if trust else {}
    made.objects.append(common.lease_provider(made, name, {"openbao": ours, **more}))
    return name


def _vso_login(made: Migrated, auth: Manifest) -> Manifest | None:
    method, mount = common.text(auth, "method"), common.text(auth, "mount")
    at = {"mountPath": mount} if mount else {}
    match method:
        case "kubernetes" | "jwt" if common.text(auth, method, "serviceAccount"):
            role, account = (common.text(auth, method, one) for one in ("role", "serviceAccount"))
            audience = next(iter(common.listing(auth, method, "audiences")), "")
            return {method: {**token(made, role, account, audience), **at}}
        case "appRole":
            secret = common.text(auth, method, "secretRef")
            common.login_secret(made, secret)
            ref = {"name": secret, "key": "id"}
            role_id = common.text(auth, method, "roleId")
            return {"appRole": {"roleId": role_id, "secretIdSecretRef": ref, **at}}
    made.remark(f"the login method {method} isn't supported: see kubectl leaseholder init openbao")
    return None


def token(made: Migrated, role: str, account: str, audience: object) -> Manifest:
    """A login with a ServiceAccount token; one for the API server's own audience isn't made."""
    if not isinstance(audience, str) or not audience:
        audience = "vault"
        made.remark(
            f"no audience was set, and no token is made for the API server's own: set "
            f"audience={audience} at the role {role}, and give the auth method a reviewer token"
        )
    common.token_right(made, account)
    return {"role": role, "serviceAccountRef": {"name": account}, "audience": audience}
