"""What the test world's OpenBao has: engines, policies, ways to log in.

    database/creds/orders   real PostgreSQL roles: 1 h, 24 h at most
    ssh/creds/otp           a lease that can't be renewed, and needs no database (POST, {ip})
    pki/issue/web           certificates with a lease (POST, {common_name}); pki/issue/bare without
    kv/plain                no lease at all
    database/static-creds/… with `static_role`; no lease either

The policy `leaseholder` is the one that docs/providers/openbao.md asks for, read from there.
"""

import json
import re
import typing
import urllib.error
import urllib.request

import jwt
import psycopg
from cryptography.hazmat.primitives import serialization
from psycopg import sql

from tests.world import kubernetes as clusters
from tests.world import postgres as postgres_server
from tests.world import processes

if typing.TYPE_CHECKING:
    from tests.world import openbao

POLICY: typing.Final = "leaseholder"
ORDERS: typing.Final = "database/creds/orders"
PAGE: typing.Final = processes.CHECKOUT / "docs/providers/openbao.md"

_REVIEWER = "openbao-reviewer"
_ENGINES = {"database": {}, "ssh": {}, "pki": {}, "kv": {"options": {"version": "1"}}}
_CREATE = (
    "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"
)
SLOWLY: typing.Final = f"{_CREATE} SELECT pg_sleep(2);"
"""Creation statements that leave time to interfere."""
_ELSE = "".join(
    f'path "{path}" {{ capabilities = ["{right}"] }}\n'
    for path, right in (
        ("database/creds/+", "read"),
        ("database/static-creds/+", "read"),
        ("ssh/creds/+", "update"),
        ("pki/issue/+", "update"),
        ("kv/plain", "read"),
    )
)


def furnish(
    bao: "openbao.OpenBao", postgres: postgres_server.Postgres, *, namespace: str = ""
) -> None:
    """Mount and configure everything in a namespace."""
    for name, more in _ENGINES.items():
        bao.call("POST", f"sys/mounts/{name}", {"type": name, **more}, namespace=namespace)
    _database(bao, postgres, namespace)
    database_role(bao, "orders", ttl="1h", max_ttl="24h", namespace=namespace)
    _without_database(bao, namespace)
    bao.call("POST", "sys/auth/approle", {"type": "approle"}, namespace=namespace)
    bao.policy(POLICY, policy(), namespace=namespace)


def policy() -> str:
    """The page's policy, and the same right to read for the other paths of this world."""
    found = re.search(r"```hcl\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise processes.PartFailed(f"{PAGE.name} shows no policy")
    return found[1] + _ELSE


def database_role(
    bao: "openbao.OpenBao",
    name: str,
    *,
    ttl: str,
    max_ttl: str,
    namespace: str = "",
    **options: typing.Any,
) -> str:
    """Make or change a role of the database engine; returns the path to read."""
    wanted = {
        "db_name": "postgres",
        "creation_statements": [_CREATE],
        "revocation_statements": ['DROP ROLE IF EXISTS "{{name}}";'],
        "default_ttl": ttl,
        "max_ttl": max_ttl,
        **options,
    }
    bao.call("POST", f"database/roles/{name}", wanted, namespace=namespace)
    return f"database/creds/{name}"


def static_role(bao: "openbao.OpenBao", postgres: postgres_server.Postgres, name: str) -> str:
    """Hand a role of PostgreSQL to the engine, which changes its password; returns the path."""
    with psycopg.connect(postgres.dsn) as connection:
        connection.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
    wanted = {"db_name": "postgres", "username": name, "rotation_period": "24h"}
    bao.call("POST", f"database/static-roles/{name}", wanted)
    return f"database/static-creds/{name}"


def trust_cluster(bao: "openbao.OpenBao", plane: clusters.ControlPlane, audience: str) -> None:
    """auth/kubernetes asks the cluster for a TokenReview, auth/jwt knows its public keys."""
    enabled = bao.call("GET", "sys/auth")["data"]
    for method in ("kubernetes", "jwt"):
        if f"{method}/" not in enabled:
            bao.call("POST", f"sys/auth/{method}", {"type": method})
    config = {
        "kubernetes_host": plane.url,
        "kubernetes_ca_cert": plane.ca_file.read_text(encoding="utf-8"),
        "token_reviewer_jwt": _reviewer(plane),
        "disable_local_ca_jwt": True,
    }
    bao.call("POST", "auth/kubernetes/config", config)
    role = {"token_policies": [POLICY], "audience": audience}
    bound = {"bound_service_account_names": "*", "bound_service_account_namespaces": "*"}
    bao.call("POST", "auth/kubernetes/role/leaseholder", role | bound)
    bao.call("POST", "auth/jwt/config", {"jwt_validation_pubkeys": _keys(plane)})
    role = {"token_policies": [POLICY], "bound_audiences": [audience]}
    bound = {"role_type": "jwt", "user_claim": "sub"}
    bao.call("POST", "auth/jwt/role/leaseholder", role | bound)


def _database(bao: "openbao.OpenBao", postgres: postgres_server.Postgres, namespace: str) -> None:
    where = f"{bao.database.host}:{bao.database.port}/{postgres.database}"
    config = {
        "plugin_name": "postgresql-database-plugin",
        "allowed_roles": "*",
        "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@{where}?sslmode=disable",
        "username": "postgres",
        "password": postgres.password,
    }
    bao.call("POST", "database/config/postgres", config, namespace=namespace)


def _without_database(bao: "openbao.OpenBao", namespace: str) -> None:
    otp = {"key_type": "otp", "default_user": "shop", "cidr_list": "0.0.0.0/0"}
    root = {"common_name": "leaseholder test world", "key_type": "ec", "ttl": "720h"}
    web = {"allow_any_name": True, "key_type": "ec", "max_ttl": "1h"}
    for path, body in (
        ("ssh/roles/otp", otp),
        ("sys/mounts/pki/tune", {"max_lease_ttl": "720h"}),
        ("pki/root/generate/internal", root),
        ("pki/roles/web", {**web, "generate_lease": True}),
        ("pki/roles/bare", web),
        ("kv/plain", {"username": "shop"}),
    ):
        bao.call("POST", path, body, namespace=namespace)


def _reviewer(plane: clusters.ControlPlane) -> str:
    """A token of a ServiceAccount that may review tokens."""
    account = {"kind": "ServiceAccount", "name": _REVIEWER, "namespace": "kube-system"}
    _post(plane, "api/v1/namespaces/kube-system/serviceaccounts", {"metadata": {"name": _REVIEWER}})
    _post(
        plane,
        "apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": _REVIEWER},
            "subjects": [account],
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:auth-delegator",
            },
        },
    )
    path = f"api/v1/namespaces/kube-system/serviceaccounts/{_REVIEWER}/token"
    made = _post(plane, path, {"spec": {"expirationSeconds": 86_400}})
    return str(made["status"]["token"])


def _keys(plane: clusters.ControlPlane) -> list[str]:
    """The keys that check the cluster's ServiceAccount tokens, in PEM."""
    shown = serialization.PublicFormat.SubjectPublicKeyInfo
    found = jwt.PyJWKSet.from_dict(_request(plane, "GET", "openid/v1/jwks", None))
    return [one.key.public_bytes(serialization.Encoding.PEM, shown).decode() for one in found.keys]


def _post(plane: clusters.ControlPlane, path: str, body: dict[str, typing.Any]) -> typing.Any:
    """What was made; it is fine if it is there."""
    try:
        return _request(plane, "POST", path, body)
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise
    return None


def _request(
    plane: clusters.ControlPlane, method: str, path: str, body: dict[str, typing.Any] | None
) -> typing.Any:
    headers = {"Content-Type": "application/json", "Accept": "*/*"}
    if plane.admin_token is not None:
        headers["Authorization"] = f"Bearer {plane.admin_token}"
    request = urllib.request.Request(
        f"{plane.url}/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers=headers,
    )
    with urllib.request.urlopen(request, timeout=30, context=plane.tls()) as response:
        return json.load(response)
