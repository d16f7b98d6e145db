"""How one is let in to Phase: by a token that people write, in all the forms in which they do.

There is no login to make: the token is read from its Secret, seldom; ``kit.login`` holds it. The
console shows one token twice: as the API takes it (``ServiceAccount <hex>``) and as command
line, SDK and operator do (``pss_service:v2:<hex>:…``), of which the second field is the API's.
"""

import re
from typing import Final

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.api.phase import PhaseAuth
from leaseholder.providers.kit import answers, client, methods
from leaseholder.providers.kit.context import Context
from leaseholder.providers.phase import refusals
from leaseholder.secrecy import Hidden

_SHORT: Final = re.compile(
    "((?P<kind>serviceaccount|user) )?(?P<token>[0-9a-f]{64})", re.ASCII | re.IGNORECASE
)
"""``ServiceAccount <hex>``, as the API takes it."""
_LONG: Final = re.compile(
    r"pss_(?P<kind>service|user):[^:\s]*:(?P<token>[0-9a-f]{64})(:\S*)?", re.ASCII | re.IGNORECASE
)
"""``pss_service:v2:<hex>:<key>:<share>:<key>``, as command line, SDK and operator do."""
_LEGACY: Final = re.compile(r"service \S+|pss_service:v1(:\S*)?", re.ASCII | re.IGNORECASE)
"""Of a kind that Phase doesn't make any more."""
_NO_ACCOUNT: Final = (
    "a legacy service token of Phase can't lease, because no account stands behind it: make a "
    "service account and a token of that"
)
_UNKNOWN: Final = (
    "the Secret to log in with holds no token of Phase: write it as the console shows it, "
    "pss_service:v2:… or ServiceAccount and 64 hexadecimal digits"
)


class PhaseLogin(methods.Method):
    """See ``kit.methods.Method``."""

    ready_made = True
    not_taken = (
        "Phase doesn't take the token: it is deleted, expired or mistyped, so make a new one"
    )

    def __init__(
        self, auth: PhaseAuth, connection: client.Client, context: Context, timeout: float
    ) -> None:
        super().__init__(connection, context, timeout)
        self._ref = auth.token_secret_ref

    async def proof(self) -> methods.Proof:
        """Read the token from its Secret."""
        written = await self._credentialing.secret_value(self._ref)
        return methods.Proof(credentials=parse(written))

    async def is_ended(self, answer: answers.Answer, token: Hidden) -> bool:
        """Whether the answer says so."""
        return refusals.login_failed(answer)


def is_personal(bearer: Hidden | None) -> bool:
    """Whether the token in use is a user's, as far as it was read."""
    return bearer is not None and bearer.reveal().startswith("User ")


def parse(written: Hidden) -> Hidden:
    """The token that a Secret holds, as the API takes it after ``Bearer``.

    Raises:
        Denied: it is none, or one of a kind that can't lease.
    """
    words = written.reveal().split()
    text = " ".join(words[1:] if words and words[0].lower() == "bearer" else words)
    if _LEGACY.fullmatch(text):
        raise methods.refused(_NO_ACCOUNT)
    found = _SHORT.fullmatch(text) or _LONG.fullmatch(text)
    if found is None:
        raise errors.Denied(Reason.AUTH_MISSING, _UNKNOWN)
    kind = "User" if (found["kind"] or "").lower() == "user" else "ServiceAccount"
    return Hidden(f"{kind} {found['token']}")
