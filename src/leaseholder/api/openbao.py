"""OpenBao and Vault in manifests: how to log in there, and a path that gives leases."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from leaseholder.api import base, freeform, refs

RESERVED: Final = ("sys", "auth", "identity", "cubbyhole")
"""Mounts of the server itself: none of their paths gives a lease to a workload."""
_SEGMENT: Final = r"[^/?#%\\\\\\s\\p{C}\\p{Z}]+"


def _path(*, what: str, leased: bool = False, mount: bool = False) -> WithJsonSchema:
    rules = [
        base.rule(
            f"self.matches('^{_SEGMENT}(/{_SEGMENT})*$') && !self.startsWith('v1/')",
            f"write {what}, without /v1, a slash at either end, or any of ? # % and spaces",
        ),
        base.rule(
            "!self.split('/').exists(part, part in ['.', '..'])",
            "write the path without . and .. in it",
        ),
    ]
    if leased:
        rules.append(
            base.rule(
                f"!self.matches('(^|/)({'|'.join(RESERVED)})/')",
                "write a path of a secrets engine, such as database/creds/orders: nothing under "
                f"{', '.join(f'{name}/' for name in RESERVED)} is a lease",
            )
        )
        rules.append(
            base.rule(
                "self.contains('/')",
                "write the engine's mount and what is read there, such as database/creds/orders",
            )
        )
    if mount:
        rules.append(base.rule("!self.startsWith('auth/')", f"write {what}, without auth/"))
    return base.text(512, *rules)


_Mount = Annotated[
    str,
    Field(min_length=1, max_length=512),
    _path(what="where the method is mounted, such as kubernetes", mount=True),
]
_Role = Annotated[str, Field(min_length=1, max_length=256), base.text(256)]


class ServiceAccountLogin(base.Model):
    """A ServiceAccount token, made afresh for each login."""

    role: _Role
    """Role to log in as."""
    service_account_ref: refs.ServiceAccountRef
    """The ServiceAccount to log in as."""
    audience: refs.Plain
    """Audience of the token, as configured at the role. The operator makes no token for the API
    server's own audience."""


class KubernetesLogin(ServiceAccountLogin):
    """Kubernetes auth: the server reviews the token at this cluster."""

    mount_path: _Mount = "kubernetes"
    """Where the auth method is mounted, without auth/."""


class JwtLogin(ServiceAccountLogin):
    """JWT auth: the server verifies the token with this cluster's keys."""

    mount_path: _Mount = "jwt"
    """Where the auth method is mounted, without auth/."""


class AppRoleLogin(base.Model):
    """AppRole auth."""

    role_id: refs.Plain
    """The role's id."""
    secret_id_secret_ref: refs.SecretKeyRef
    """Where the secret id is kept; one with a limited number of uses runs out, because each lease
    is a login of its own."""
    mount_path: _Mount = "approle"
    """Where the auth method is mounted, without auth/."""


class TokenLogin(base.Model):
    """A ready-made token, shared by all leases: they die with it."""

    token_secret_ref: refs.SecretKeyRef
    """Where the token is kept."""


class OpenBaoAuth(base.Model):
    """How to log in at OpenBao or Vault: exactly one way."""

    WAYS: ClassVar = ("kubernetes", "jwt", "appRole", "token")
    model_config = ConfigDict(
        json_schema_extra=base.rules(refs.exactly_one(*WAYS, what="way to log in"))
    )

    kubernetes: KubernetesLogin | None = None
    """A ServiceAccount token that the server reviews at this cluster."""
    jwt: JwtLogin | None = None
    """A ServiceAccount token that the server verifies with this cluster's keys."""
    app_role: AppRoleLogin | None = None
    """Role id and secret id."""
    token: TokenLogin | None = None
    """A static token; leases of lost answers can't be found with it."""


class OpenBao(base.Model):
    """An OpenBao or Vault server."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            base.rule(
                "has(self.__namespace__) == has(oldSelf.__namespace__) && "
                "(!has(self.__namespace__) || self.__namespace__ == oldSelf.__namespace__)",
                "namespace can't change: make another provider instead",
            )
        )
    )

    url: refs.Url
    """Address of the server, with or without /v1 or a trailing slash; can't change."""
    namespace: (
        Annotated[
            str,
            Field(min_length=1, max_length=512),
            _path(what="a namespace such as team1 or org/team1"),
        ]
        | None
    ) = None
    """Namespace of the server, not of Kubernetes; can't change."""
    auth: OpenBaoAuth
    """How to log in."""


class OpenBaoSource(base.Model):
    """A path that gives a lease each time that it is read."""

    path: Annotated[
        str,
        Field(min_length=1, max_length=512),
        _path(what="a path such as database/creds/orders", leased=True),
    ]
    """Path below /v1, such as database/creds/orders or pki/issue/web."""
    method: Literal["GET", "POST"] = "GET"
    """GET, or POST for engines that make something of a request (pki, ssh, kubernetes, …)."""
    parameters: freeform.Values = Field(default_factory=dict)
    """What is sent along, such as {common_name: shop.example.com}: in the body of a POST, in the
    query of a GET, which can say no maps. At most 32 names; lists and maps in at most two levels,
    with at most 32 entries each and numbers and texts on the second."""
