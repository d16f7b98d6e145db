"""What Infisical's answers other than 2xx mean, in our words.

Status and the ``error`` field tell most; for 404 and some 400s only the message tells them
apart. It is matched, never passed on: it can hold what the system behind the provider said.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import durations
from leaseholder.api.conditions import Reason
from leaseholder.providers.infisical import wire
from leaseholder.providers.kit import answers

_REQUEST_ID: Final = re.compile(r"req-[A-Za-z0-9]{1,20}")
"""As Infisical makes them. A server could send back a credential there."""
_KNOWN_FIELDS: Final = frozenset(
    {"dynamicSecretName", "projectSlug", "environmentSlug", "path", "ttl", "config", "isForced"}
)


class Missing(StrEnum):
    """What a 404 is about."""

    PROJECT = "project"
    FOLDER = "folder"
    SECRET = "dynamic secret"  # noqa: S105 - a thing, not a password
    LEASE = "lease"
    OTHER = "other"


_MISSING: Final = (
    ("project with ", Missing.PROJECT),
    ("folder with path", Missing.FOLDER),
    ("dynamic secret lease with id", Missing.LEASE),
    # The lease is there but in another folder, or its dynamic secret went just now.
    ("dynamic secret with id", Missing.LEASE),
    ("dynamic secret with name", Missing.SECRET),
)


def body_of(answer: answers.Answer) -> wire.Refusal | None:
    """The answer's error body; None where it isn't one of Infisical's."""
    body = answer.parse(wire.Refusal)
    return body if body is not None and (body.error or body.status_code) else None


def login_failed(answer: answers.Answer) -> bool:
    """Whether the access token is the trouble: 401, or 403 about the token itself."""
    if answer.status == 403:
        body = body_of(answer)
        return body is not None and body.error == "TokenError"
    return answer.status == 401


def missing(answer: answers.Answer) -> Missing | None:
    """What isn't there according to a 404; None for other answers."""
    body = body_of(answer)
    if answer.status != 404 or body is None:
        return None
    text = body.text.lower()
    return next((what for start, what in _MISSING if text.startswith(start)), Missing.OTHER)


def blames_config(answer: answers.Answer) -> bool:
    """Whether a mint was refused for the ``config`` that came with it."""
    body = body_of(answer)
    if body is None or answer.status not in (400, 422):
        return False
    text = body.text.lower()
    if text.startswith(("failed to create", "ssh lease requires")):
        return False
    return "config" in body.fields or "config" in text


def no_tag(answer: answers.Answer) -> errors.Unavailable:
    """The server takes no config where the tag is; or none such, if the lease has its own."""
    sentence = (
        f"{stated(answer)}: it doesn't take the lease's config, in which the operator's tag is; "
        "the lease is asked for once more, without the tag"
    )
    return errors.Unavailable(Reason.PROGRESSING, sentence, sent=False, retry_after=1.0)


def stated(answer: answers.Answer) -> str:
    """Who answered what: status code, and the request id where a sound one is there."""
    body = body_of(answer)
    request_id = body.req_id if body else None
    if request_id and _REQUEST_ID.fullmatch(request_id):
        return f"Infisical answered {answer.status} (request {request_id})"
    return f"Infisical answered {answer.status}"


def bad_answer(answer: answers.Answer, *, sent: bool) -> errors.Unavailable:
    """An answer that makes no sense."""
    sentence = (
        f"{stated(answer)}, but not as Infisical does: check that the url is that of an "
        "Infisical server"
    )
    return errors.Unavailable(Reason.BAD_ANSWER, sentence, sent=sent)


def refusal(
    answer: answers.Answer,
    source: Mapping[str, Any],
    *,
    effect: bool,
    maximum: int | None = None,
) -> errors.ProviderError:
    """The error that an answer other than 2xx stands for.

    Args:
        answer: what came back.
        source: what was asked about, for the sentence.
        effect: whether the request leaves something behind when its answer is lost.
        maximum: longest ttl of the source in seconds, where it is known.
    """
    who, where = stated(answer), place(source)
    if answer.status == 429:
        return throttled(answer)
    if answer.status >= 500:
        sentence = f"{who}: the server is in trouble"
        return errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=effect)
    if answer.status < 300:
        return bad_answer(answer, sent=effect)
    body = body_of(answer)
    if body is None:
        # Not Infisical but something in front of it, which didn't pass the request on.
        return bad_answer(answer, sent=False)
    match answer.status:
        case 403:
            return _forbidden(body, who, where)
        case 404:
            return _missing(missing(answer) or Missing.OTHER, who, source)
        case 422:
            return _unprocessable(body, who)
        case 400:
            return _bad_request(body, who, where, maximum=maximum)
    return errors.Invalid(Reason.INVALID, f"{who}: it doesn't take this request for {where}")


def throttled(answer: answers.Answer) -> errors.Throttled:
    """A 429, with the wait that was read from it."""
    sentence = f"{stated(answer)}: too many requests from this address"
    return errors.Throttled(Reason.THROTTLED, sentence, retry_after=answer.retry_after)


def too_long(seconds: int | None, *, who: str = "", maximum: int | None) -> errors.Invalid:
    """The ttl asked for is above the dynamic secret's maximum."""
    asked = f"a ttl of {_length(seconds)}" if seconds is not None else "the ttl"
    bound = f", which is {_length(maximum)}" if maximum is not None else ""
    sentence = (
        f"{asked} is longer than the dynamic secret's maximum{bound}: write a shorter one in ttl"
    )
    return errors.Invalid(Reason.TTL_TOO_LONG, f"{who}: {sentence}" if who else sentence)


def _length(seconds: int) -> str:
    return durations.render(timedelta(seconds=seconds))


def place(source: Mapping[str, Any]) -> str:
    """Where a source is, in words."""
    return f"environment {source.get('environmentSlug')}, path {source.get('path', '/')}"


def _forbidden(body: wire.Refusal, who: str, where: str) -> errors.Denied:
    if body.error == "PermissionDenied":
        sentence = f"{who}: the identity needs the permission 'lease' on dynamic-secrets in {where}"
    else:
        sentence = (
            f"{who}: the identity has to be a member of the project with the permission 'lease' "
            f"on dynamic-secrets in {where}, and its way to log in has to be allowed there"
        )
    return errors.Denied(Reason.DENIED, sentence)


def _missing(what: Missing, who: str, source: Mapping[str, Any]) -> errors.ProviderError:
    where = place(source)
    project = source.get("projectSlug") or source.get("projectId")
    sentence = {
        Missing.PROJECT: f"there is no project {project} in the identity's organization: check "
        "projectSlug or projectId",
        Missing.FOLDER: f"project {project} has no such environment or folder ({where}): check "
        "environmentSlug and path",
        Missing.SECRET: f"there is no dynamic secret {source.get('dynamicSecretName')} in "
        f"{where}: check dynamicSecretName",
        Missing.LEASE: "it has no such lease",
        Missing.OTHER: f"it doesn't find what was asked for in {where} of project {project}",
    }[what]
    if what is Missing.LEASE:
        return errors.LeaseGone(Reason.GONE, f"{who}: {sentence}")
    return errors.Invalid(Reason.SOURCE_MISSING, f"{who}: {sentence}")


def _unprocessable(body: wire.Refusal, who: str) -> errors.Invalid:
    fields = sorted(set(body.fields) & _KNOWN_FIELDS)
    named = f" ({', '.join(fields)})" if fields else ""
    return errors.Invalid(Reason.INVALID, f"{who}: it finds the request malformed{named}")


def _bad_request(
    body: wire.Refusal, who: str, where: str, *, maximum: int | None
) -> errors.ProviderError:
    text = body.text.lower()
    if "plan restriction" in text:
        sentence = "dynamic secrets need a plan that has them"
        return errors.Denied(Reason.PLAN, f"{who}: {sentence}")
    if text.startswith("ttl cannot be larger than max"):
        return too_long(None, who=who, maximum=maximum)
    if text.startswith("max lease limit reached"):
        sentence = "the dynamic secret has as many leases as the server allows: revoke some"
        return errors.Denied(Reason.TOO_MANY, f"{who}: {sentence}")
    if text.startswith("failed to create"):
        # Often passing: the database behind it is down. No lease was made either way.
        sentence = "the system behind the dynamic secret didn't make credentials: check it there"
        return errors.Invalid(Reason.UNAVAILABLE, f"{who}: {sentence}")
    return errors.Invalid(Reason.INVALID, f"{who}: it doesn't take this request for {where}")
