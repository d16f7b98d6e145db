"""What ``init`` prints: two manifests, and above them how to set up the provider's side.

The texts of the providers' pages (docs/providers) in short; tests set up real servers by them.
"""

import contextlib
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import click
import pydantic
import yaml

from leaseholder.api import durations, lease, names, provider
from leaseholder.cli import exits, manifests

AUDIENCE: Final = "leaseholder"
"""Of the tokens that log in; never the API server's own."""
_POLICY: Final = "leaseholder"
_SHORTEST: Final = timedelta(seconds=60)
"""The shortest ``spec.ttl``."""
_KINDS: Final = {one.lower(): one for one in ("Deployment", "StatefulSet", "DaemonSet", "Rollout")}
_UNIVERSAL: Final = {"clientIdSecret": "clientId", "clientSecret": "clientSecret"}
_RIGHTS: Final = (
    *("sys/leases/renew", "sys/leases/lookup", "sys/leases/revoke"),
    *("auth/token/lookup-accessor", "auth/token/renew-accessor", "auth/token/revoke-accessor"),
)
"""What the operator does at OpenBao beside reading the leased path; all are updates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the user chose."""

    kind: str
    """infisical, phase or openbao."""
    name: str | None
    namespace: str
    secret: str | None
    ttl: str | None
    restart: tuple[str, ...]
    service_account: str
    url: str
    auth: str
    trust: str
    """CA certificates (PEM) that sign the server's; empty: the usual ones."""
    more: Mapping[str, Any]
    """What only this provider takes."""

    @property
    def login_secret(self) -> str:
        """Name of the Secret to log in with."""
        return f"{self.kind}-auth"


def text(start: Start) -> str:
    """The manifests and their comments.

    Raises:
        UsageError: something isn't as it has to be; the sentence says what to write.
    """
    _check_options(start)
    objects = list(_objects(start))
    for made in objects:
        _check(made)
    comments = [f"# {exits.printable(line)}".rstrip() for line in _setup(start)]
    bodies = "---\n".join(yaml.safe_dump(one, sort_keys=False) for one in objects)
    return "\n".join([*comments, bodies])


def _objects(start: Start) -> Iterator[dict[str, Any]]:
    if _takes_account(start):
        yield _object(start, "v1", "ServiceAccount", start.service_account, {})
    auth, source = {
        "infisical": (_infisical_auth, _infisical_source),
        "phase": (_phase_auth, _phase_source),
        "openbao": (_openbao_auth, _openbao_source),
    }[start.kind]
    server: dict[str, Any] = {"url": start.url, "auth": auth(start)}
    if start.kind == "phase":
        server["exclusive"] = True
    known = {start.kind: server, **({"caBundle": start.trust} if start.trust else {})}
    yield _object(start, names.API_VERSION, "LeaseProvider", start.kind, {"spec": known})
    spec: dict[str, Any] = {"providerRef": {"name": start.kind}, start.kind: source(start)}
    if start.ttl:
        spec["ttl"] = start.ttl
    if start.restart:
        spec["rotation"] = {"restartTargets": [_target(one) for one in start.restart]}
    if start.secret:
        spec["target"] = {"secretName": start.secret}
    yield _object(start, names.API_VERSION, "DynamicLease", _name(start), {"spec": spec})


def _object(
    start: Start, version: str, kind: str, name: str, more: dict[str, Any]
) -> dict[str, Any]:
    meta = {"name": name, **({"namespace": start.namespace} if start.namespace else {})}
    return {"apiVersion": version, "kind": kind, "metadata": meta, **more}


def _name(start: Start) -> str:
    """The DynamicLease's name: what was written, else the source's, as Kubernetes takes it."""
    source = str(start.more.get("dynamic_secret") or start.more.get("path") or "")
    made = re.sub(r"[^a-z0-9]+", "-", source.rpartition("/")[2].lower()).strip("-")
    name = start.name or made
    if not names.is_name(name):
        raise click.UsageError("write --name: lower-case letters, digits, '-' and '.'")
    return name


def _target(text: str) -> dict[str, str]:
    kind, _, name = text.partition("/")
    if kind.lower() not in _KINDS or not names.is_name(name):
        raise click.UsageError(
            f"--restart: write KIND/NAME with one of {', '.join(_KINDS)}, such as deployment/orders"
        )
    return {"kind": _KINDS[kind.lower()], "name": name}


def _takes_account(start: Start) -> bool:
    return start.auth in ("kubernetes", "oidc", "jwt")


def _key(start: Start, key: str) -> dict[str, str]:
    return {"name": start.login_secret, "key": key}


def _account(start: Start) -> dict[str, Any]:
    return {"serviceAccountRef": {"name": start.service_account}, "audience": AUDIENCE}


def _infisical_auth(start: Start) -> dict[str, Any]:
    match start.auth:
        case "universal":
            refs = {f"{one}Ref": _key(start, key) for one, key in _UNIVERSAL.items()}
            return {"universalAuth": refs}
        case "token":
            return {"tokenAuth": {"tokenSecretRef": _key(start, "token")}}
        case way:
            if not start.more["identity"]:
                raise click.UsageError(f"--auth {way}: write --identity, the machine identity's id")
            return {f"{way}Auth": {"identityId": start.more["identity"], **_account(start)}}


def _infisical_source(start: Start) -> dict[str, Any]:
    return {
        "projectSlug": start.more["project"],
        "environmentSlug": start.more["environment"],
        "path": start.more["folder"],
        "dynamicSecretName": start.more["dynamic_secret"],
    }


def _phase_auth(start: Start) -> dict[str, Any]:
    return {"tokenSecretRef": _key(start, "token")}


def _phase_source(start: Start) -> dict[str, Any]:
    return {
        "appId": start.more["app"],
        "env": start.more["environment"],
        "path": start.more["folder"],
        "name": start.more["dynamic_secret"],
    }


def _openbao_auth(start: Start) -> dict[str, Any]:
    match start.auth:
        case "approle":
            if not start.more["role_id"]:
                raise click.UsageError(
                    "--auth approle: write --role-id; `bao read auth/approle/role/"
                    f"{start.more['role']}/role-id` shows it"
                )
            ref = _key(start, "secretId")
            return {"appRole": {"roleId": start.more["role_id"], "secretIdSecretRef": ref}}
        case "token":
            return {"token": {"tokenSecretRef": _key(start, "token")}}
        case way:
            return {way: {"role": start.more["role"], **_account(start)}}


def _openbao_source(start: Start) -> dict[str, Any]:
    return {"path": start.more["path"]}


def _check_options(start: Start) -> None:
    """Refuse what rules of the API server would: they are CEL, which no model knows."""
    if start.url and not re.match(r"https?://[^/?#]", start.url):
        raise click.UsageError("--url: write an http(s) URL, such as https://us.infisical.com")
    folder = str(start.more.get("folder") or "/")
    if not folder.startswith("/"):
        raise click.UsageError("--folder: write an absolute folder path such as / or /apps/shop")
    with contextlib.suppress(ValueError):  # what is no length the model says better
        if start.ttl and durations.parse(start.ttl) < _SHORTEST:
            raise click.UsageError("--ttl: write 60s or more")


def _check(made: dict[str, Any]) -> None:
    """See that the models take it; the API server's own rules speak at ``kubectl apply``."""
    models: dict[str, type[pydantic.BaseModel]] = {
        "LeaseProvider": provider.LeaseProvider,
        "DynamicLease": lease.DynamicLease,
    }
    model = models.get(made["kind"])
    try:
        if model is not None:
            model.model_validate(made)
    except pydantic.ValidationError as error:
        raise click.UsageError(manifests.faults(error)[0]) from None


def _setup(start: Start) -> Iterator[str]:
    """What to do at the provider and for the login, line by line."""
    yield {
        "infisical": "Infisical; more in docs/providers/infisical.md.",
        "phase": "Phase; more in docs/providers/phase.md.",
        "openbao": "OpenBao or Vault; more in docs/providers/openbao.md.",
    }[start.kind]
    yield ""
    yield from {"infisical": _infisical, "phase": _phase, "openbao": _openbao}[start.kind](start)
    if _takes_account(start):
        yield f"The operator makes tokens of ServiceAccount {start.service_account}: bind the"
        yield "ClusterRole leaseholder-tokens in its namespace (in the chart: rights.tokens)."
    yield ""
    yield "Then check this file, apply it, and wait:"
    yield "  kubectl leaseholder plan -f FILE"
    yield "  kubectl apply -f FILE"
    yield f"  kubectl leaseholder wait {_name(start)}{_in(start)}"
    yield ""


def _infisical(start: Start) -> Iterator[str]:
    yield f"Make a machine identity, a member of project {start.more['project']}, with one right:"
    yield f"subject dynamic-secrets, action lease, in environment {start.more['environment']}."
    match start.auth:
        case "universal":
            yield "Give it Universal Auth, and put client id and client secret into a Secret:"
            yield from _login_secret(start, "clientId", "clientSecret")
        case "token":
            yield "Give it Token Auth, and put an access token into a Secret:"
            yield from _login_secret(start, "token")
        case way:
            yield f"Give it {way} auth: audience {AUDIENCE}, subject or ServiceAccount"
            yield f"{start.namespace or '<namespace>'}/{start.service_account}."


def _phase(start: Start) -> Iterator[str]:
    yield "Make a service account for this operator alone, with a role of two rights:"
    yield "Secrets: read, DynamicSecretLeases: create; and access to environment"
    yield f"{start.more['environment']} of app {start.more['app']}, which has to have server-side"
    yield "encryption. Put a token of it into a Secret:"
    yield from _login_secret(start, "token")


def _openbao(start: Start) -> Iterator[str]:
    path, role = start.more["path"], start.more["role"]
    if '"' in path or "\\" in path:
        raise click.UsageError("--path: write a path such as database/creds/orders")
    yield f"bao policy write {_POLICY} - <<'EOF'"
    yield f'path "{path}" {{ capabilities = ["read"] }}'
    for right in _RIGHTS:
        yield f'path "{right}" {{ capabilities = ["update"] }}'
    yield "EOF"
    yield ""
    account, home = start.service_account, start.namespace or "<namespace>"
    token = (f"token_policies={_POLICY}", "token_ttl=1h")
    match start.auth:
        case "kubernetes":
            bound = (
                f"bound_service_account_names={account}",
                f"bound_service_account_namespaces={home}",
            )
            given = _quoted(role, *bound, f"audience={AUDIENCE}", *token)
            yield f"bao write auth/kubernetes/role/{given}"
        case "jwt":
            subject = f"bound_subject=system:serviceaccount:{home}:{account}"
            claims = ("role_type=jwt", "user_claim=sub", f"bound_audiences={AUDIENCE}", subject)
            yield f"bao write auth/jwt/role/{_quoted(role, *claims, *token)}"
        case "approle":
            yield f"bao write auth/approle/role/{_quoted(role, *token)}"
            yield f"bao write -f auth/approle/role/{_quoted(role)}/secret-id"
            yield from _login_secret(start, "secretId")
        case _:
            yield f"bao token create -policy={_POLICY} -period=24h"
            yield from _login_secret(start, "token")


def _login_secret(start: Start, *keys: str) -> Iterator[str]:
    values = " ".join(f"--from-literal={key}=..." for key in keys)
    yield f"kubectl create secret generic {start.login_secret}{_in(start)} {values}"
    yield f"kubectl label secret {start.login_secret}{_in(start)} {names.AUTH}=true"


def _in(start: Start) -> str:
    return f" -n {_quoted(start.namespace)}" if start.namespace else ""


def _quoted(*words: str) -> str:
    return " ".join(shlex.quote(one) for one in words)
