"""What can be done for a lease, by kind of its dynamic secret.

Infisical offers renewal and revocation for every kind, but not for every kind do they mean
anything: some credentials die at their first expiry although the lease shows a later one, some
outlive their revocation. What isn't known is judged by its worse case.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from leaseholder.ports.provider import Capabilities
from leaseholder.providers import settings

_RENEWAL_MEANS_NOTHING: Final = frozenset(
    {
        # 200, but the credential dies at the original expiry.
        "kubernetes",
        "ssh",
        # 200, but the new token is dropped and the old one dies.
        "gcp-iam",
        # Always 400.
        "github",
        "totp",
        "tailscale",
        "oauth",
        "oauth2",
    }
)
_REVOCATION_MEANS_NOTHING: Final = frozenset({"github", "gcp-iam", "ssh", "totp"})
_ONE_ACCOUNT: Final = frozenset({"azure-entra-id"})
_SESSION_KEY: Final = "SESSION_TOKEN"


def notes(kind: str, *, credential_type: str | None, keys: Collection[str]) -> dict[str, Any]:
    """What a lease's record keeps about its kind.

    Args:
        kind: type of the dynamic secret.
        credential_type: its ``inputs.credentialType``, None where that can't be read.
        keys: names of the credentials.
    """
    temporary = kind == "aws-iam" and _SESSION_KEY in keys
    static = kind == "kubernetes" and credential_type == "static"
    return {
        "type": kind,
        "renewable": not (kind in _RENEWAL_MEANS_NOTHING or temporary),
        "revocable": not (kind in _REVOCATION_MEANS_NOTHING or temporary or static),
        "slots": "One" if is_shared(kind, credential_type) else "Many",
    }


def capabilities(handle: Mapping[str, Any], known: settings.InfisicalSettings) -> Capabilities:
    """What can be done for a lease with these notes; for one not yet issued without any.

    Whether an attempt can be found its own notes say, not what was learned of others since.
    """
    tagged = handle.get("tagged", known.tag_in_config)
    return Capabilities(
        renewable=handle.get("renewable", True) is True,
        revocable=handle.get("revocable", True) is True,
        verifiable=True,
        recoverable=handle.get("recoverable", tagged) is True,
        sweepable=known.tag_in_config,
        slots="One" if handle.get("slots") == "One" else "Many",
        minimum_renewal=known.minimum_ttl_seconds,
        settle=known.settle_seconds,
        replica_lag=known.replica_lag_seconds,
    )


def is_shared(kind: str, credential_type: str | None) -> bool:
    """Whether each issue resets the one password of one account.

    LDAP does so when static. An identity that may only lease can't see which it is; taking a
    dynamic one for static costs the overlap, the other way round kills held credentials.
    """
    return kind in _ONE_ACCOUNT or (kind == "ldap" and credential_type != "dynamic")
