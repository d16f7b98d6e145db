"""What answers other than 2xx mean, in our words.

OpenBao and Vault answer 400 to nearly everything that fails at a lease: the lease is unknown, can't
be renewed, or the database behind it is down. Only the message tells them apart. It is matched by
parts, because several errors can stand in one entry. ``kit.answers`` has the ladder that these
tables are part of.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import answers
from leaseholder.providers.kit.refusals import UNREACHED, Refusal, Refusals, lines
from leaseholder.providers.openbao import api


class Meaning(StrEnum):
    """What a refusal is about, where the adapter asks."""

    GONE = "gone"
    """The lease or token isn't there, or is being revoked."""
    ENDED = "ended"
    """It can't be renewed."""
    BACKEND = "backend"
    """The system behind the engine didn't do its part; nothing changed."""
    MISSING = "missing"
    """No such path, role or namespace."""
    METHOD = "method"
    """The path takes another method."""
    DENIED = "denied"
    """The token is dead, or its policies don't allow it."""
    OTHER = "other"


_ANY: Final = range(300, 500)
_STANDBY: Final = frozenset({307, 412, 472, 473})
"""Of a server that sends one elsewhere, hasn't seen the last writes yet, or stands by for a
disaster; nothing was done."""
_UNREACHED: Final = (
    r"connection refused|^(?=(?s:.*)failed to (renew|revoke) entry)(?s:.*)"
    rf"\b({UNREACHED}|dial|eof|broken pipe|deadline exceeded|no (such host|route)|unreachable|"
    r"failed to connect|unable to (connect|start transaction)|verifying connection|"
    "(bad|invalid) connection|conn (closed|busy)|closed network connection|connection is shut down|"
    r"transport is closing|code = unavailable|context canceled|server misbehaving)\b"
)
"""From the beginning on, so that each part is searched for once: a server may repeat itself."""
_NOT_TAKEN: Final = "it doesn't take this request"
_NOT_RENEWED: Final = "the lease can't be renewed, only replaced"
_TROUBLE: Final = "the server, or the system behind the engine, is in trouble"


def _said(answer: answers.Answer) -> str | None:
    """All that an answer says; one entry can hold several errors."""
    body = answer.parse(api.OpenBaoErrors)
    return body.text if body is not None else None


def _words(_: answers.Answer, source: api.Source) -> dict[str, object]:
    """What sentences of ``UNISSUED`` name."""
    return {
        "path": source.path,
        "method": source.method,
        "other": _other(source),
        "add": _add(source.right),
    }


def _other(source: api.Source) -> str:
    return "POST" if source.method == "GET" else "GET"


def _add(*rights: api.PolicyLine) -> str:
    return f"the login's policies lack rights: add {' and '.join(str(one) for one in rights)}"


_STATE: Final = (
    Refusal(_STANDBY, None, Reason.UNAVAILABLE, "it only stands by; the next one may do it"),
    Refusal(503, "vault is sealed", Reason.UNAVAILABLE, "it is sealed; unseal it"),
)
"""Of a server that serves nobody at the moment."""
ERRORS: Final = Refusals(
    who="OpenBao",
    read=_said,
    words=_words,
    relayed=True,
    throttled="too many requests, by its rate limit quota",
    full=(
        # Of Vault Enterprise. Renewals waited for it, and so did the revocations that make room.
        Refusal(
            429,
            "lease count quota",
            Reason.TOO_MANY,
            "there are as many leases as the server allows, by its lease count quota: raise it, or "
            "revoke some",
            error=errors.Invalid,
        ),
    ),
    trouble=_TROUBLE,
    strange="but not as OpenBao or Vault does: check that the url is that of such a server",
    otherwise=Refusal(0, "", Reason.INVALID, _NOT_TAKEN, Meaning.OTHER),
    table=(
        *_STATE,
        # The database couldn't even be asked, so nothing was made.
        Refusal(range(500, 600), "unable to start transaction", Reason.UNAVAILABLE, _TROUBLE),
        Refusal(403, "", Reason.DENIED, "the policies don't allow it", Meaning.DENIED),
        Refusal(
            _ANY,
            "lease not found|invalid lease|lease expired|invalid accessor",
            Reason.GONE,
            "it has no such lease",
            Meaning.GONE,
        ),
        Refusal(
            _ANY,
            "not renewable|past the max ttl|failed previous revocation"
            # Its role, or the user that it stands for, isn't there any more.
            '|could not find role|role "[^"]*" does not exist',
            Reason.CANNOT_RENEW,
            _NOT_RENEWED,
            Meaning.ENDED,
        ),
        Refusal(
            _ANY,
            _UNREACHED,
            Reason.UNAVAILABLE,
            "it can't reach the system behind the engine: check it there",
            Meaning.BACKEND,
        ),
        Refusal(
            _ANY,
            "failed to (renew|revoke) entry",
            Reason.UNAVAILABLE,
            "the system behind the engine didn't do its part: check it there",
            Meaning.BACKEND,
            served=True,
        ),
        Refusal(
            _ANY,
            "unknown role|no handler for route|namespace not found",
            Reason.INVALID,
            _NOT_TAKEN,
            Meaning.MISSING,
        ),
        Refusal(_ANY, "unsupported operation", Reason.INVALID, _NOT_TAKEN, Meaning.METHOD),
        Refusal(404, "", Reason.INVALID, _NOT_TAKEN, Meaning.MISSING),
    ),
)
_ILL_ASKED: Final = Refusal(
    0, "", Reason.INVALID, "{path} doesn't take this request: check method and parameters"
)
UNISSUED: Final[Mapping[str, Refusal]] = {
    Meaning.MISSING: Refusal(
        0, "", Reason.SOURCE_MISSING, "there is nothing at {path}: check path, role and namespace"
    ),
    Meaning.METHOD: Refusal(
        0, "", Reason.INVALID, "{path} doesn't take {method}: write method: {other}"
    ),
    Meaning.DENIED: Refusal(0, "", Reason.DENIED, "{add}"),
    Meaning.OTHER: _ILL_ASKED,
    Meaning.GONE: _ILL_ASKED,
    Meaning.ENDED: _ILL_ASKED,
}
"""What refusals mean where a lease was asked for."""
LOGIN_ERRORS: Final = ERRORS.at_login(
    "check the credentials, mountPath, the role and what the role is bound to",
    *_STATE,
    *lines(
        range(400, 500),
        Reason.LOGIN_REFUSED,
        {
            "invalid role or secret id": "the role id or the secret id is wrong, or used up",
            "role name|role could not be found": "there is no such role: check role",
            "audience": "the role doesn't take the token's audience: check audience",
            "not authorized": "the role doesn't take this ServiceAccount",
            "no handler": "there is no such auth method: check mountPath and namespace",
            "namespace not found": "there is no such namespace: check namespace",
        },
    ),
    trouble="the server, or what it asks about the login, is in trouble",
)


def is_up(answer: answers.Answer) -> bool:
    """Whether the server serves; a 500 of its own is about one request, its database say."""
    return answer.status < 500 or (answer.status == 500 and _said(answer) is not None)


def unissued(answer: answers.Answer, source: api.Source) -> errors.ProviderError:
    """Why there is no lease."""
    return ERRORS.error(answer, source, effect=True, instead=UNISSUED)


def denied(answer: answers.Answer, right: api.PolicyLine) -> errors.Denied:
    """A right is missing; the sentence says which line gives it."""
    return errors.Denied(Reason.DENIED, f"{ERRORS.stated(answer)}: {_add(right)}")


def lacking(rights: tuple[api.PolicyLine, ...]) -> errors.Denied:
    """Rights are missing, as the server told when it was asked."""
    return errors.Denied(Reason.DENIED, _add(*rights))


def other_method(source: api.Source) -> errors.Denied:
    """The right is there for the path's other method."""
    sentence = f"{_add(source.right)}; or write method: {_other(source)}"
    return errors.Denied(Reason.DENIED, sentence)


def health(answer: answers.Answer) -> errors.ProviderError:
    """Why a server that answers its health check doesn't serve."""
    seen = answer.parse(api.HealthAnswer)
    said = "it isn't initialised" if answer.status == 501 else "it is sealed; unseal it"
    if answer.status == 501 or (seen is not None and seen.sealed):
        sentence = f"{ERRORS.stated(answer)}: {said}"
        return errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=False)
    return ERRORS.error(answer)
