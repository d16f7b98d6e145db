"""What comes of resources on their way to the API server and back."""

from typing import TypeVar

from leaseholder import errors
from leaseholder.api import base, refs
from leaseholder.api.conditions import Reason
from leaseholder.secrecy import Hidden

AnyResource = TypeVar("AnyResource", bound=base.CustomResource)


def conflict() -> errors.Conflict:
    return errors.Conflict(Reason.CONFLICT, "somebody wrote first")


def written(kept: AnyResource, **fields: object) -> AnyResource:
    """A resource after a write, as it comes back over the wire."""
    body = {
        "metadata": kept.metadata.model_dump(),
        **kept.model_dump(mode="json", exclude={"metadata"}, exclude_none=True),
    }
    for name, value in fields.items():
        body[name] = value.dump() if isinstance(value, base.Model) else value
    return type(kept).model_validate(body)


def same(known: base.CustomResource | None, read: base.CustomResource) -> None:
    """What is written must be as it was read."""
    if known is None:
        raise conflict()
    now, then = known.metadata, read.metadata
    if (now.uid, now.resource_version) != (then.uid, then.resource_version):
        raise conflict()


class NoCredentials:
    """``Credentialing`` for the fake provider, which doesn't log in."""

    async def secret_value(self, ref: refs.SecretKeyRef) -> Hidden:
        raise NotImplementedError

    async def service_account_token(self, ref: refs.ServiceAccountRef, audience: str) -> Hidden:
        raise NotImplementedError

    async def ca_bundle(self) -> str | None:
        return None
