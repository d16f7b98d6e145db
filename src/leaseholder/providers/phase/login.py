"""How one is let in to Phase: by a token that people write, in all the forms in which they do.

There is no login to make: the token is read from its Secret, seldom; ``kit.login`` holds it. The
console shows one token twice: as the API takes it (``ServiceAccount <hex>``) and as command
line, SDK and operator do (``pss_service:v2:<hex>:…``), of which the second field is the API's.
"""

import re
from typing import Final, Literal

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.api.phase import PhaseAuth
from leaseholder.providers.kit import answers, client, login
from leaseholder.providers.kit.context import Context
from leaseholder.providers.phase import refusals
from leaseholder.secrecy import Hidden

Kind = Literal["ServiceAccount", "User"]
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
_KINDS: Final[dict[str, Kind]] = {"serviceaccount": "ServiceAccount", "user": "User"}
_PREFIXES: Final[dict[str, Kind]] = {"pss_service": "ServiceAccount", "pss_user": "User"}
_LEGACY_VERSION: Final = "v1"


class LoginMethod(login.Method):
    """See ``kit.login.Method``."""

    ready_made = True

    def __init__(
        self, auth: PhaseAuth, connection: client.Client, context: Context, timeout: float
    ) -> None:
        super().__init__(connection, context.credentialing, context.clock, timeout)
        self._ref = auth.token_secret_ref

    async def proof(self) -> login.Proof:
        """Read the token from its Secret."""
        written = await self._credentialing.secret_value(self._ref)
        return login.Proof(credentials=parse(written))

    async def is_ended(self, answer: answers.Answer, token: Hidden) -> bool:
        """Whether the answer says so."""
        return refusals.login_failed(answer)

    def not_taken(self) -> errors.Denied:
        """The error for a token that isn't taken."""
        sentence = (
            "Phase doesn't take the token: it is deleted, expired or mistyped, so make a new one"
        )
        return errors.Denied(Reason.LOGIN_REFUSED, sentence)


def is_personal(bearer: Hidden | None) -> bool:
    """Whether the token in use is a user's, as far as it was read."""
    return bearer is not None and bearer.reveal().startswith("User ")


def parse(written: Hidden) -> Hidden:
    """The token that a Secret holds, as the API takes it after ``Bearer``.

    Raises:
        Denied: it is none, or one of a kind that can't lease.
    """
    words = written.reveal().split()
    if words and words[0].lower() == "bearer":
        words = words[1:]
    if len(words) == 1 and ":" in words[0]:
        return _long(words[0].split(":"))
    kind, value = ("serviceaccount", *words) if len(words) == 1 else (*words, "", "")[:2]
    if len(words) == 2 and kind.lower() == "service":
        raise _legacy()
    if len(words) > 2 or kind.lower() not in _KINDS:
        raise _unknown()
    return _token(_KINDS[kind.lower()], value)


def _long(fields: list[str]) -> Hidden:
    """``pss_service:v2:<hex>:<key>:<share>:<key>``; the first version is the legacy token's."""
    prefix, version = fields[0].lower(), fields[1].lower()
    if prefix == "pss_service" and version == _LEGACY_VERSION:
        raise _legacy()
    if prefix not in _PREFIXES or len(fields) < 3:
        raise _unknown()
    return _token(_PREFIXES[prefix], fields[2])


def _token(kind: Kind, value: str) -> Hidden:
    if not _HEX.fullmatch(value):
        raise _unknown()
    return Hidden(f"{kind} {value}")


def _legacy() -> errors.Denied:
    sentence = (
        "a legacy service token of Phase can't lease, because no account stands behind it: make a "
        "service account and a token of that"
    )
    return errors.Denied(Reason.LOGIN_REFUSED, sentence)


def _unknown() -> errors.Denied:
    sentence = (
        "the Secret to log in with holds no token of Phase: write it as the console shows it, "
        "pss_service:v2:… or ServiceAccount and 64 hexadecimal digits"
    )
    return errors.Denied(Reason.AUTH_MISSING, sentence)
