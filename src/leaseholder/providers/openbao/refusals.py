"""What answers other than 2xx mean, in our words.

OpenBao and Vault answer 400 to nearly everything that fails at a lease: the lease is unknown, can't
be renewed, or the database behind it is down. Only the message tells them apart. It is matched by
parts, because several errors can stand in one entry, and never passed on: it can hold what the
system behind the engine said.
"""

import re
from enum import StrEnum
from typing import Final

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import answers
from leaseholder.providers.openbao import paths, wire


class Meaning(StrEnum):
    """What a refusal is about."""

    GONE = "gone"
    """The lease or token isn't there, or is being revoked."""
    ENDED = "ended"
    """It can't be extended."""
    BACKEND = "backend"
    """The system behind the engine didn't do its part; nothing changed."""
    MISSING = "missing"
    """No such path, role or namespace."""
    METHOD = "method"
    """The path takes another method."""
    SEALED = "sealed"
    DENIED = "denied"
    """The token is dead, or its policies don't allow it."""
    THROTTLED = "throttled"
    ELSEWHERE = "elsewhere"
    """This server only stands by."""
    TROUBLE = "trouble"
    """5xx."""
    STRANGE = "strange"
    """Not as OpenBao or Vault answer."""
    OTHER = "other"


_BY_TEXT: Final = (
    (re.compile(r"lease not found|invalid lease|lease expired|invalid accessor"), Meaning.GONE),
    (re.compile(r"not renewable|past the max ttl|failed previous revocation"), Meaning.ENDED),
    # Its role, or the user that it stands for, isn't there any more.
    (re.compile(r"could not find role|role \"[^\"]*\" does not exist"), Meaning.ENDED),
    (re.compile(r"failed to (renew|revoke) entry|connection refused"), Meaning.BACKEND),
    (re.compile(r"unknown role|no handler for route|namespace not found"), Meaning.MISSING),
    (re.compile(r"unsupported operation"), Meaning.METHOD),
)
_NOTHING_MADE: Final = re.compile(r"unable to start transaction")
"""In a 500 to a mint: the database couldn't even be asked."""
_SEALED: Final = "vault is sealed"
_STANDBY: Final = frozenset({307, 412, 472, 473})
"""Of a server that sends one elsewhere, hasn't seen the last writes yet, or stands by for a
disaster; nothing was done."""


def meaning(answer: answers.Answer) -> Meaning:
    """What an answer other than 2xx is about."""
    body = answer.parse(wire.Refusal)
    if answer.status == 429:
        return Meaning.THROTTLED
    if answer.status in _STANDBY:
        return Meaning.ELSEWHERE
    if answer.status >= 500:
        return Meaning.SEALED if _is_sealed(answer, body) else Meaning.TROUBLE
    if body is None or answer.status < 300:
        return Meaning.STRANGE
    if answer.status == 403:
        return Meaning.DENIED
    for text, found in _BY_TEXT:
        if text.search(body.text):
            return found
    return Meaning.MISSING if answer.status == 404 else Meaning.OTHER


def is_up(answer: answers.Answer) -> bool:
    """Whether the server serves; a 500 of its own is about one request, its database say."""
    if answer.status < 500:
        return True
    return answer.status == 500 and answer.parse(wire.Refusal) is not None


def stated(answer: answers.Answer) -> str:
    """Who answered what."""
    return f"OpenBao answered {answer.status}"


def bad_answer(answer: answers.Answer, *, sent: bool) -> errors.Unavailable:
    """An answer that makes no sense."""
    sentence = (
        f"{stated(answer)}, but not as OpenBao or Vault does: check that the url is that of such a "
        "server"
    )
    return errors.Unavailable(Reason.BAD_ANSWER, sentence, sent=sent)


def refusal(answer: answers.Answer, *, effect: bool = False) -> errors.ProviderError:
    """The error that an answer stands for, whatever was asked.

    Args:
        answer: what came back.
        effect: whether the request may have left something behind.
    """
    who = stated(answer)
    match meaning(answer):
        case Meaning.THROTTLED:
            sentence = f"{who}: too many requests, by its rate limit quota"
            return errors.Throttled(Reason.THROTTLED, sentence, retry_after=answer.retry_after)
        case Meaning.SEALED:
            return _unavailable(answer, "it is sealed; unseal it")
        case Meaning.ELSEWHERE:
            return _unavailable(answer, "it only stands by; the next one may do it")
        case Meaning.TROUBLE:
            made = not _says(answer, _NOTHING_MADE)
            sentence = "the server, or the system behind the engine, is in trouble"
            return _unavailable(answer, sentence, sent=effect and made)
        case Meaning.BACKEND:
            return _unavailable(
                answer, "the system behind the engine didn't do its part: check it there"
            )
        case Meaning.STRANGE:
            return bad_answer(answer, sent=effect)
        case Meaning.DENIED:
            return errors.Denied(Reason.DENIED, f"{who}: the policies don't allow it")
        case Meaning.GONE:
            return errors.LeaseGone(Reason.GONE, f"{who}: it has no such lease")
        case Meaning.ENDED:
            sentence = f"{who}: the lease can't be extended, only replaced"
            return errors.CannotExtend(Reason.CANNOT_EXTEND, sentence)
    return errors.Invalid(Reason.INVALID, f"{who}: it doesn't take this request")


def unminted(answer: answers.Answer, source: paths.Source) -> errors.ProviderError:
    """Why there is no lease."""
    who = stated(answer)
    match meaning(answer):
        case Meaning.MISSING:
            sentence = f"there is nothing at {source.path}: check path, role and namespace"
            return errors.Invalid(Reason.SOURCE_MISSING, f"{who}: {sentence}")
        case Meaning.METHOD:
            other = "POST" if source.method == "GET" else "GET"
            sentence = f"{source.path} doesn't take {source.method}: write method: {other}"
            return errors.Invalid(Reason.INVALID, f"{who}: {sentence}")
        case Meaning.DENIED:
            return denied(answer, source.right)
        case Meaning.OTHER | Meaning.GONE | Meaning.ENDED:
            sentence = f"{source.path} doesn't take this request: check method and parameters"
            return errors.Invalid(Reason.INVALID, f"{who}: {sentence}")
    return refusal(answer, effect=True)


def denied(answer: answers.Answer, right: paths.Right) -> errors.Denied:
    """A right is missing; the sentence says which line gives it."""
    return errors.Denied(Reason.DENIED, f"{stated(answer)}: {_add(right)}")


def lacking(rights: tuple[paths.Right, ...]) -> errors.Denied:
    """Rights are missing, as the server told when it was asked."""
    return errors.Denied(Reason.DENIED, _add(*rights))


def other_method(source: paths.Source) -> errors.Denied:
    """The right is there for the path's other method."""
    other = "POST" if source.method == "GET" else "GET"
    return errors.Denied(Reason.DENIED, f"{_add(source.right)}; or write method: {other}")


def _add(*rights: paths.Right) -> str:
    return f"the login's policies lack rights: add {' and '.join(str(one) for one in rights)}"


def health(answer: answers.Answer) -> errors.ProviderError:
    """Why a server that answers its health check doesn't serve."""
    if answer.status == 501:
        return _unavailable(answer, "it isn't initialised")
    seen = answer.parse(wire.Health)
    if seen is not None and seen.sealed:
        return _unavailable(answer, "it is sealed; unseal it")
    return refusal(answer)


_HINTS: Final = (
    ("invalid role or secret id", "the role id or the secret id is wrong, or used up"),
    ("role name", "there is no such role: check role"),
    ("role could not be found", "there is no such role: check role"),
    ("audience", "the role doesn't take the token's audience: check audience"),
    ("not authorized", "the role doesn't take this ServiceAccount"),
    ("no handler", "there is no such auth method: check mountPath and namespace"),
    ("namespace not found", "there is no such namespace: check namespace"),
)


def login(answer: answers.Answer) -> errors.ProviderError:
    """Why a login failed."""
    found = meaning(answer)
    if found in (Meaning.THROTTLED, Meaning.SEALED, Meaning.STRANGE, Meaning.ELSEWHERE):
        return refusal(answer)
    who = f"{stated(answer)} to the login"
    if found is Meaning.TROUBLE:
        sentence = f"{who}: the server, or what it asks about the login, is in trouble"
        return errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=False)
    body = answer.parse(wire.Refusal)
    text = body.text if body is not None else ""
    unknown = "check the credentials, mountPath, the role and what the role is bound to"
    hint = next((told for sign, told in _HINTS if sign in text), unknown)
    return errors.Denied(Reason.LOGIN_REFUSED, f"{who}: {hint}")


def _unavailable(answer: answers.Answer, told: str, *, sent: bool = False) -> errors.Unavailable:
    return errors.Unavailable(Reason.UNAVAILABLE, f"{stated(answer)}: {told}", sent=sent)


def _is_sealed(answer: answers.Answer, body: wire.Refusal | None) -> bool:
    return answer.status == 503 and body is not None and _SEALED in body.text


def _says(answer: answers.Answer, what: re.Pattern[str]) -> bool:
    body = answer.parse(wire.Refusal)
    return body is not None and what.search(body.text) is not None
