"""What a test puts into the server: projects, identities, dynamic secrets, as one JSON document.

The same models describe the file of ``--seed`` and the body of ``POST /__admin/seed``. Seeding is
an upsert: what has a known slug, name or id is changed, the rest is added.
"""

from typing import Literal

import pydantic

from tests.world.emulation import models

Action = Literal[
    "lease",
    "read-root-credential",
    "edit-root-credential",
    "create-root-credential",
    "delete-root-credential",
]
EVERY_ACTION: tuple[Action, ...] = (
    "lease",
    "read-root-credential",
    "edit-root-credential",
    "create-root-credential",
    "delete-root-credential",
)
ROOT_ORGANIZATION = "demo-org"
DEMO_PROJECT_ID = "5b8d8a4e-6f0e-4a57-9d0c-3d1f5a1f0d01"
DEMO_IDENTITY_ID = "0c4f2a86-90d3-4a6b-8a52-7e5f7a2c9d02"
THIRTY_DAYS = 2_592_000


class Project(models.Model):
    """A project; every folder exists in every environment."""

    slug: str
    id: str = pydantic.Field(default_factory=models.new_id)
    name: str | None = None
    organization: str = ROOT_ORGANIZATION
    environments: list[str] = pydantic.Field(default_factory=lambda: ["dev", "staging", "prod"])
    folders: list[str] = pydantic.Field(default_factory=lambda: ["/"])


class DynamicSecret(models.Model):
    """A dynamic secret; ``inputs`` are the provider's own (credentialType, statements, …)."""

    name: str
    type: str
    project: str = "demo"
    environment: str = "prod"
    path: str = "/"
    default_ttl: str = pydantic.Field("1h", alias="defaultTTL")
    max_ttl: str | None = pydantic.Field("24h", alias="maxTTL")
    inputs: dict[str, object] = pydantic.Field(default_factory=dict)
    metadata: list[dict[str, str]] = pydantic.Field(default_factory=list)
    username_template: str | None = None


class Grant(models.Model):
    """Rights in a project; environment and path may be globs. No actions: a mere member."""

    project: str = "demo"
    environment: str = "*"
    path: str = "*"
    actions: list[Action] = pydantic.Field(default_factory=lambda: list(EVERY_ACTION))


class TokenLife(models.Model):
    """How long an access token lives; the defaults are the server's own."""

    access_token_ttl: int = pydantic.Field(THIRTY_DAYS, alias="accessTokenTTL")
    access_token_max_ttl: int = pydantic.Field(THIRTY_DAYS, alias="accessTokenMaxTTL")
    access_token_period: int = 0
    access_token_num_uses_limit: int = 0


class UniversalAuth(TokenLife):
    """Client id and secret, with the lockout."""

    client_id: str = pydantic.Field(default_factory=models.new_id)
    client_secret: str = pydantic.Field(default_factory=models.new_id)
    client_secret_ttl: int = pydantic.Field(0, alias="clientSecretTTL")
    num_uses_limit: int = 0
    trusted: bool = True
    lockout_enabled: bool = True
    lockout_threshold: int = 3
    lockout_duration_seconds: float = 300.0
    lockout_counter_reset_seconds: float = 30.0


class KubernetesAuth(TokenLife):
    """TokenReview; host and CA default to the command line's."""

    kubernetes_host: str | None = None
    ca_cert: str | None = None
    token_reviewer_jwt: str | None = None
    allowed_namespaces: str = ""
    allowed_names: str = ""
    allowed_audience: str = ""


class OidcAuth(TokenLife):
    """A foreign JWT; keys from discovery, from an API server's JWKS, or given as PEM."""

    oidc_discovery_url: str = ""
    ca_cert: str | None = None
    bound_issuer: str = ""
    bound_audiences: str = ""
    bound_subject: str = ""
    bound_claims: dict[str, str] = pydantic.Field(default_factory=dict)
    public_key: str | None = None
    jwks_from_api_server: bool = False
    jwks_bearer: str | None = None


class TokenAuth(TokenLife):
    """Static tokens, made by ``POST /__admin/issue-token``."""


class Identity(models.Model):
    """A machine identity, its ways in and its rights."""

    name: str
    id: str = pydantic.Field(default_factory=models.new_id)
    universal_auth: UniversalAuth | None = None
    kubernetes_auth: KubernetesAuth | None = None
    oidc_auth: OidcAuth | None = None
    token_auth: TokenAuth | None = None
    sub_organizations: list[str] = pydantic.Field(default_factory=list)
    grants: list[Grant] = pydantic.Field(default_factory=lambda: [Grant()])


class Seed(models.Model):
    """The whole document."""

    projects: list[Project] = pydantic.Field(default_factory=list)
    dynamic_secrets: list[DynamicSecret] = pydantic.Field(default_factory=list)
    identities: list[Identity] = pydantic.Field(default_factory=list)
    sub_organizations: list[str] = pydantic.Field(default_factory=list)


def default(
    client_id: str | None = None, client_secret: str | None = None, *, short_ttl: str = "1m"
) -> Seed:
    """What the server holds when nobody says otherwise."""
    auth = UniversalAuth(
        client_id=client_id or models.new_id(), client_secret=client_secret or models.new_id()
    )
    identity = Identity(
        name="demo", id=DEMO_IDENTITY_ID, universal_auth=auth, token_auth=TokenAuth()
    )
    project = Project(slug="demo", id=DEMO_PROJECT_ID, name="Demo", folders=["/", "/apps"])
    return Seed(
        projects=[project], dynamic_secrets=_default_secrets(short_ttl), identities=[identity]
    )


def _default_secrets(short_ttl: str) -> list[DynamicSecret]:
    return [
        DynamicSecret(name="orders-db", type="sql-database"),
        DynamicSecret(name="short-db", type="sql-database", default_ttl=short_ttl, max_ttl="10m"),
        DynamicSecret(name="endless-db", type="sql-database", max_ttl=None),
        DynamicSecret(name="apps-db", type="sql-database", path="/apps"),
        DynamicSecret(name="k8s", type="kubernetes", inputs={"credentialType": "dynamic"}),
        DynamicSecret(
            name="aws-sts", type="aws-iam", inputs={"credentialType": "temporary-credentials"}
        ),
        DynamicSecret(name="aws-user", type="aws-iam", inputs={"credentialType": "iam-user"}),
        DynamicSecret(name="ldap", type="ldap", inputs={"credentialType": "dynamic"}),
        DynamicSecret(name="ldap-static", type="ldap", inputs={"credentialType": "static"}),
        DynamicSecret(name="github", type="github"),
        DynamicSecret(name="ssh", type="ssh"),
    ]
