"""Infisical in manifests: how to log in there, and a dynamic secret of it."""

from typing import Annotated, ClassVar, Final

from pydantic import ConfigDict, Field

from leaseholder.api import base, freeform, refs

_SLUG_RULE: Final = base.rule(
    "self.matches('^[A-Za-z0-9_][A-Za-z0-9_.-]*$')",
    "write the slug or id that Infisical shows, such as prod: letters, digits, '-', '_' and '.'",
)
_Slug = Annotated[str, Field(min_length=1, max_length=256), base.text(256, _SLUG_RULE)]
_Name = Annotated[str, Field(min_length=1, max_length=64), base.text(64, _SLUG_RULE)]
_Id = Annotated[str, Field(min_length=1, max_length=128), base.text(128, _SLUG_RULE)]


class UniversalAuth(base.Model):
    """Infisical Universal Auth: a client id and a client secret."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            refs.exactly_one("clientId", "clientIdSecretRef", what="client id")
        )
    )

    client_id: refs.Plain | None = None
    """The machine identity's client id, in plain text."""
    client_id_secret_ref: refs.SecretKeyRef | None = None
    """Where the client id is kept, instead of clientId."""
    client_secret_ref: refs.SecretKeyRef
    """Where the client secret is kept."""
    organization_slug: _Name | None = None
    """Slug of the sub-organization to log in to."""


class ServiceAccountAuth(base.Model):
    """Infisical Kubernetes or OIDC Auth: a ServiceAccount token, made afresh for each login."""

    identity_id: _Id
    """Id of the machine identity."""
    service_account_ref: refs.ServiceAccountRef
    """The ServiceAccount to log in as."""
    audience: refs.Plain
    """Audience of the token, as configured at the identity. The operator makes no token for
    the API server's own audience."""
    organization_slug: _Name | None = None
    """Slug of the sub-organization to log in to."""


class TokenAuth(base.Model):
    """A ready-made access token."""

    token_secret_ref: refs.SecretKeyRef
    """Where the access token is kept."""


class InfisicalAuth(base.Model):
    """How to log in at Infisical: exactly one way."""

    WAYS: ClassVar = ("universalAuth", "kubernetesAuth", "oidcAuth", "tokenAuth")
    model_config = ConfigDict(
        json_schema_extra=base.rules(refs.exactly_one(*WAYS, what="way to log in"))
    )

    universal_auth: UniversalAuth | None = None
    """Client id and client secret of a machine identity."""
    kubernetes_auth: ServiceAccountAuth | None = None
    """A ServiceAccount token that Infisical reviews at this cluster."""
    oidc_auth: ServiceAccountAuth | None = None
    """A ServiceAccount token that Infisical verifies through this cluster's OIDC issuer."""
    token_auth: TokenAuth | None = None
    """A static access token."""


class Infisical(base.Model):
    """An Infisical server: Cloud or self-hosted."""

    url: refs.Url
    """Address of the server, with or without /api or a trailing slash; can't change."""
    auth: InfisicalAuth
    """How to log in."""


class InfisicalSource(base.Model):
    """A dynamic secret of Infisical."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            base.rule(
                "has(self.projectSlug) != has(self.projectId)",
                "write exactly one of projectSlug and projectId",
            )
        )
    )

    project_slug: _Slug | None = None
    """Slug of the project."""
    project_id: _Slug | None = None
    """Id of the project, instead of its slug; an id doesn't change when the slug does."""
    environment_slug: _Slug
    """Slug of the environment."""
    path: Annotated[
        str,
        Field(max_length=1024, pattern=r"^(/[A-Za-z0-9_-]+)*/?$"),
        base.text(
            1024,
            base.rule(
                "self.matches('^/([A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*/?)?$')",
                "write an absolute folder path such as / or /apps/shop: letters, digits, '-' and "
                "'_'",
            ),
            least=0,
        ),
    ] = "/"
    """Folder of the dynamic secret."""
    dynamic_secret_name: _Name
    """Name of the dynamic secret; Infisical's names are lower-case."""
    config: freeform.Values = Field(default_factory=dict)
    """Settings of this lease, such as {namespace: shop} for the kind kubernetes or
    {principals: [me]} for ssh. At most 32 names; lists and maps in at most two levels, with at most
    32 entries each and numbers and texts on the second."""
