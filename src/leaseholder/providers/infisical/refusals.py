"""What Infisical's answers other than 2xx mean, in our words.

Status and the ``error`` field tell most; for 404 and some 400s only the message tells them apart.
``kit.answers`` has the ladder that these tables are part of.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.infisical import api
from leaseholder.providers.kit import accounts, answers, lifetimes
from leaseholder.providers.kit.refusals import UNREACHED, Refusal, Refusals, lines

_REQUEST_ID: Final = re.compile(r"req-[A-Za-z0-9]{1,20}")
"""As Infisical makes them. A server could send back a credential there."""
NO_PROJECT: Final = "no project"
"""The meaning of a 404 for the project's slug, which may have changed."""
_FORBIDDEN_NAMESPACE: Final = (
    "failed to create lease from provider: namespace .{1,253} is not allowed"
)
_UNREACHED: Final = (
    "failed to renew lease from provider: "
    r"(?s:.*)\b(econn\w+|etimedout|enotfound|eai_again|e(host|net)unreach|epipe|socket hang up|"
    rf"socket disconnected|{UNREACHED})\b"
)
"""What is said where the renewal never got through, or got no answer."""
_KNOWN_FIELDS: Final = frozenset(
    {"dynamicSecretName", "projectSlug", "environmentSlug", "path", "ttl", "config", "isForced"}
)


def body_of(answer: answers.Answer) -> api.ErrorBody | None:
    """The answer's error body; None where it isn't one of Infisical's."""
    body = answer.parse(api.ErrorBody)
    return body if body is not None and (body.error or body.status_code) else None


def login_failed(answer: answers.Answer) -> bool:
    """Whether the access token is the trouble: 401, or 403 about the token itself."""
    if answer.status == 403:
        body = body_of(answer)
        return body is not None and body.error == "TokenError"
    return answer.status == 401


def blames_config(answer: answers.Answer) -> bool:
    """Whether an issue was refused for the ``config`` that came with it."""
    body = body_of(answer)
    if body is None or answer.status not in (400, 422):
        return False
    text = body.text.lower()
    if text.startswith(("failed to create", "ssh lease requires")):
        return False
    return "config" in body.fields or "config" in text


def _said(answer: answers.Answer) -> str | None:
    body = body_of(answer)
    return f"{body.error}: {body.text}".lower() if body is not None else None


def _request_id(answer: answers.Answer) -> str:
    body = body_of(answer)
    request_id = body.req_id if body else None
    sound = request_id is not None and _REQUEST_ID.fullmatch(request_id)
    return f" (request {request_id})" if sound else ""


def _message(start: str) -> str:
    """How the message begins; before it stands the ``error`` field."""
    return f"^[^:]*: {start}"


def _words(answer: answers.Answer, source: Mapping[str, Any]) -> dict[str, object]:
    """What sentences of ``ERRORS`` name; a source may have its ``maxTTL``, in seconds."""
    body = body_of(answer)
    fields = sorted(set(body.fields) & _KNOWN_FIELDS) if body is not None else []
    return {
        "where": place(source),
        "project": source.get("projectSlug") or source.get("projectId"),
        "name": source.get("dynamicSecretName"),
        "fields": f" ({', '.join(fields)})" if fields else "",
        "maximum": lifetimes.which_is(source.get(lifetimes.MAXIMUM)),
    }


def place(source: Mapping[str, Any]) -> str:
    """Where a source is, in words."""
    return f"environment {source.get('environmentSlug')}, path {source.get('path', '/')}"


ERRORS: Final = Refusals(
    who="Infisical",
    read=_said,
    words=_words,
    note=_request_id,
    throttled="too many requests from this address",
    trouble="the server is in trouble",
    strange="but not as Infisical does: check that the url is that of an Infisical server",
    otherwise=Refusal(0, "", Reason.INVALID, "it doesn't take this request for {where}"),
    table=(
        *lines(
            403,
            Reason.DENIED,
            {
                "^permissiondenied: ": "the identity needs the permission 'lease' on "
                "dynamic-secrets in {where}",
                "": "the identity has to be a member of the project with the permission 'lease' "
                "on dynamic-secrets in {where}, and its way to log in has to be allowed there",
            },
        ),
        Refusal(
            404,
            _message("project with "),
            Reason.SOURCE_MISSING,
            "there is no project {project} in the identity's organization: check projectSlug or "
            "projectId",
            NO_PROJECT,
        ),
        # With the dynamic secret's id: the lease is there but in another folder, or its dynamic
        # secret went just now.
        Refusal(
            404, _message("dynamic secret (lease )?with id"), Reason.GONE, "it has no such lease"
        ),
        *lines(
            404,
            Reason.SOURCE_MISSING,
            {
                _message("folder with path"): "project {project} has no such environment or folder "
                "({where}): check environmentSlug and path",
                _message("dynamic secret with name"): "there is no dynamic secret {name} in "
                "{where}: check dynamicSecretName",
                "": "it doesn't find what was asked for in {where} of project {project}",
            },
        ),
        Refusal(422, "", Reason.INVALID, "it finds the request malformed{fields}"),
        Refusal(400, "plan restriction", Reason.PLAN, "dynamic secrets need a plan that has them"),
        Refusal(
            400,
            _message("ttl cannot be larger than max"),
            Reason.TTL_TOO_LONG,
            "the ttl is longer than the dynamic secret's maximum{maximum}: write a shorter one in "
            "ttl",
        ),
        Refusal(
            400,
            _message("max lease limit reached"),
            Reason.TOO_MANY,
            "the dynamic secret has as many leases as the server allows: revoke some",
        ),
        *lines(
            400,
            Reason.INVALID,
            {
                _message("ssh lease requires"): "the lease has to say which users its SSH "
                "certificate is for: write infisical.config: {{principals: [name]}}",
                _message(_FORBIDDEN_NAMESPACE): "the dynamic secret makes no ServiceAccount in "
                "that namespace: write one that it allows in infisical.config: {{namespace: name}}",
            },
        ),
        # A new lease would meet the same, and one that was renewed before would be replaced for it.
        Refusal(
            400,
            _message(_UNREACHED),
            Reason.UNAVAILABLE,
            "it can't reach the system behind the dynamic secret: check it there",
        ),
        # Often passing: the database behind it is down. No lease was made either way.
        Refusal(
            400,
            _message("failed to create"),
            Reason.UNAVAILABLE,
            "the system behind the dynamic secret didn't make credentials: check it there",
            error=errors.Invalid,
        ),
    ),
)
_REFUSED: Final = range(400, 500)
LOGIN_ERRORS: Final = ERRORS.at_login(
    "check the credentials, the identity and the addresses that it trusts",
    Refusal(
        _REFUSED,
        "temporarily locked",
        Reason.LOCKED_OUT,
        "too many wrong tries have locked the identity for a while",
        retry_after=accounts.LOCKOUT,
    ),
    *lines(
        _REFUSED,
        Reason.LOGIN_REFUSED,
        {
            "invalid credentials": "the client id or the client secret is wrong",
            "expired client secret": "the client secret has expired: make a new one",
            "usage limit": "the client secret is used up: make a new one",
            "sub organization": "the identity can't log in to that organization: check "
            "organizationSlug",
            "namespace not allowed": "the identity doesn't allow the ServiceAccount's namespace",
            "name not allowed": "the identity doesn't allow the ServiceAccount's name",
            "audience not allowed": "the identity doesn't allow the token's audience: check "
            "audience",
            "auth method not found": "the identity doesn't have this way to log in: check "
            "identityId",
            "k8s": "the identity doesn't allow this ServiceAccount",
        },
    ),
)
