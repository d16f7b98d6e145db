"""What a test puts into the server: apps, accounts, dynamic secrets, as one JSON document.

The same models describe the file of ``--seed`` and the body of ``POST /__admin/seed``. Seeding is
an upsert: what has a known id (or name, for apps and roles) is changed, the rest is added.
"""

from typing import Final, Literal

import pydantic

from tests.world.emulation import models
from tests.world.phase import state

DEMO_APP: Final = "72b9ddd5-8fce-49ab-89d9-c431d53a9552"
DEMO_ACCOUNT: Final = "66c4693e-dfda-4ba8-9775-6bee658e4915"
OTHER_ACCOUNT: Final = "0f7a0a0e-7c55-4d0f-9a53-2f5d8f3f5c11"
DEMO_USER: Final = "b02fb8ac-3dee-44ff-8616-56dde4389e29"
RECOMMENDED: Final = ("Secrets:read", "DynamicSecretLeases:create")
"""The rights of the role that docs/providers/phase.md asks for."""
SERVICE: Final = (
    "Apps:read",
    "Secrets:create",
    "Secrets:read",
    "Secrets:update",
    "Secrets:delete",
    "DynamicSecretLeases:create",
    "DynamicSecretLeases:read",
)
EVERYTHING: Final = (*SERVICE, "DynamicSecretLeases:update", "DynamicSecretLeases:delete")
KEYS: Final = {
    "username": "AWS_IAM_USERNAME",
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
}
HOUR: Final = 3_600
DAY: Final = 86_400


class App(models.Model):
    """An app; every folder exists in every environment."""

    name: str
    id: str = pydantic.Field(default_factory=models.new_id)
    sse_enabled: bool = True
    environments: list[str] = pydantic.Field(
        default_factory=lambda: ["Development", "Staging", "Production"]
    )


class Role(models.Model):
    """A role by its permissions, such as ``Secrets:read``."""

    name: str
    permissions: list[str] = pydantic.Field(default_factory=lambda: list(SERVICE))
    admin: bool = False


class Account(models.Model):
    """A service account or a user with one token; environments are names that it can't open."""

    name: str
    id: str = pydantic.Field(default_factory=models.new_id)
    kind: state.AccountKind = "service_account"
    role: str = "Service"
    token: str = pydantic.Field(default_factory=state.new_token)
    locked_out: list[str] = pydantic.Field(default_factory=list)
    allowed_ips: bool = True


class LegacyToken(models.Model):
    """A token of the type ``Service``, which no account stands behind."""

    token: str = pydantic.Field(default_factory=state.new_token)


class DynamicSecret(models.Model):
    """A dynamic secret for AWS users; ``keys`` names the values as the admin wants them."""

    name: str
    id: str = pydantic.Field(default_factory=models.new_id)
    app: str = "demo"
    environment: str = "Production"
    path: str = "/"
    default_ttl_seconds: float = HOUR
    max_ttl_seconds: float = DAY
    keys: dict[Literal["username", "access_key_id", "secret_access_key"], str] = pydantic.Field(
        default_factory=lambda: dict(KEYS)  # type: ignore[arg-type]
    )


class StaticSecret(models.Model):
    """A secret that isn't dynamic."""

    key: str
    value: str
    app: str = "demo"
    environment: str = "Production"
    path: str = "/"


class Seed(models.Model):
    """The whole document."""

    apps: list[App] = pydantic.Field(default_factory=list)
    roles: list[Role] = pydantic.Field(default_factory=list)
    accounts: list[Account] = pydantic.Field(default_factory=list)
    legacy_tokens: list[LegacyToken] = pydantic.Field(default_factory=list)
    dynamic_secrets: list[DynamicSecret] = pydantic.Field(default_factory=list)
    static_secrets: list[StaticSecret] = pydantic.Field(default_factory=list)


def default(
    token: str | None = None, *, short_seconds: float = 60, role: str = "Leaseholder"
) -> Seed:
    """What the server holds when nobody says otherwise; ``role`` is the service account's."""
    return Seed(
        apps=[App(name="demo", id=DEMO_APP), App(name="closed", sse_enabled=False)],
        roles=[
            Role(name="Leaseholder", permissions=list(RECOMMENDED)),
            Role(name="Service"),
            Role(name="Developer"),
            Role(name="Nothing", permissions=[]),
            Role(name="Owner", permissions=list(EVERYTHING), admin=True),
        ],
        accounts=[
            Account(
                name="kube-bot",
                id=DEMO_ACCOUNT,
                role=role,
                token=token or state.new_token(),
            ),
            Account(name="other-bot", id=OTHER_ACCOUNT),
            Account(name="rohan", id=DEMO_USER, kind="user", role="Developer"),
            Account(name="owner", kind="user", role="Owner"),
        ],
        dynamic_secrets=[
            DynamicSecret(name="aws-deploy"),
            DynamicSecret(name="aws-short", default_ttl_seconds=short_seconds, max_ttl_seconds=600),
            DynamicSecret(name="aws-backend", path="/backend"),
            DynamicSecret(name="twice"),
            DynamicSecret(name="twice", path="/backend"),
            DynamicSecret(name="misconfigured", default_ttl_seconds=2 * DAY),
            DynamicSecret(name="aws-staging", environment="Staging"),
        ],
        static_secrets=[StaticSecret(key="LOG_LEVEL", value="info")],
    )
