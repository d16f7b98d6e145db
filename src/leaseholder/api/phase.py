"""Phase in manifests: how to log in there, and a dynamic secret of it."""

from typing import Annotated

from pydantic import ConfigDict, Field

from leaseholder.api import base, refs

_Word = Annotated[str, Field(min_length=1, max_length=256), base.text(256)]


class PhaseAuth(base.Model):
    """How to log in at Phase: with a token of a service account."""

    token_secret_ref: refs.SecretKeyRef
    """Where the token is kept, in the console's form (pss_service:v2:…) or that of the API."""


class Phase(base.Model):
    """A Phase server: Cloud or self-hosted."""

    url: refs.Url
    """Address of the server, with or without /service/public, /v1 or a trailing slash; can't
    change."""
    auth: PhaseAuth
    """How to log in."""
    exclusive: bool = False
    """The service account is used by this installation only: a lease whose answer was lost is
    then searched for by owner and time, and revoked."""


class PhaseSource(base.Model):
    """A dynamic secret of Phase."""

    model_config = ConfigDict(
        json_schema_extra=base.rules(
            base.rule(
                "has(self.name) != has(self.id)",
                "write exactly one of name and id of the dynamic secret",
            )
        )
    )

    app_id: _Word
    """Id of the app."""
    env: _Word
    """Name of the environment."""
    path: Annotated[
        str,
        Field(max_length=1024, pattern=r"^/[^?#]*$"),
        base.text(
            1024,
            base.rule(
                r"self.matches('^/[^?#\\p{C}\\p{Zl}\\p{Zp}]*$')",
                "write an absolute folder path such as / or /apps/shop",
            ),
            least=0,
        ),
    ] = "/"
    """Folder of the dynamic secret."""
    name: _Word | None = None
    """Name of the dynamic secret."""
    id: _Word | None = None
    """Id of the dynamic secret, instead of its name; an id doesn't change when the name does."""
