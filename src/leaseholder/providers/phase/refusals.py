"""What Phase's answers other than 2xx mean, in our words.

A status alone tells little: 401 is also an environment that the account lost, 500 is also a plan or
an AWS that refuses, 404 as a page is a wrong address. ``kit.answers`` has the ladder that the table
is part of.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import answers
from leaseholder.providers.kit.refusals import Refusal, Refusals, lines, text_in

_NO_KEY: Final = "cannot access this environment"
_OTHERS: Final = "leases for other accounts"
_INTERNAL: Final = "an internal error occurred while "
_LEASING: Final = f"{_INTERNAL}creating"
_REVOKING: Final = f"{_INTERNAL}revoking"
_FORBIDDEN: Final = (401, 403)
_REFUSED: Final = range(400, 500)
_LEFT: Final = re.compile(r"maximum remaining renewal time: ([0-9]{1,12}) second")
text_of: Final = text_in("error")
"""An answer's error in lower case; None where it isn't one of Phase's."""


def login_failed(answer: answers.Answer) -> bool:
    """Whether the token is the trouble; an environment that was lost answers 401 as well."""
    text = text_of(answer)
    return answer.status == 401 and text is not None and _NO_KEY not in text


def lacks_right(answer: answers.Answer) -> bool:
    """Whether the account's role is the trouble, and nothing else."""
    return answer.status == 403 and (text_of(answer) or "").startswith("you don't have permission")


def is_up(answer: answers.Answer) -> bool:
    """Whether an answer comes from a server that works, also where what is behind it refused."""
    return answer.status < 500 or (text_of(answer) or "").startswith(_INTERNAL)


def not_holder(answer: answers.Answer) -> bool:
    """Whether the account didn't take the lease, and has no right over others'."""
    return answer.status == 403 and _OTHERS in (text_of(answer) or "")


def not_leased(answer: answers.Answer) -> bool:
    """Whether the server says that it tried to make a lease and couldn't."""
    return answer.status == 500 and (text_of(answer) or "").startswith(_LEASING)


def not_revoked(answer: answers.Answer) -> bool:
    """Whether the server says that it tried to revoke and couldn't."""
    return answer.status == 500 and (text_of(answer) or "").startswith(_REVOKING)


def renewal_left(answer: answers.Answer) -> int | None:
    """Seconds by which a lease can still be renewed, where a refusal says so."""
    found = _LEFT.search(text_of(answer) or "") if answer.status == 400 else None
    return int(found[1]) if found else None


def named(source: Mapping[str, Any]) -> str:
    """The dynamic secret that a source means, in words."""
    if source.get("id") is not None:
        return f"the dynamic secret with the id {source['id']}"
    return f"the dynamic secret {source.get('name')} in {source.get('path', '/')}"


def place(source: Mapping[str, Any]) -> str:
    """Where a source is, in words."""
    return f"environment {source.get('env')} of app {source.get('appId')}"


def _words(_: answers.Answer, source: Mapping[str, Any]) -> dict[str, object]:
    """What sentences of ``ERRORS`` name of a source."""
    return {
        "where": place(source),
        "app": source.get("appId"),
        "env": source.get("env"),
        "secret": named(source),
    }


ERRORS: Final = Refusals(
    who="Phase",
    read=text_of,
    words=_words,
    throttled="too many requests of this account",
    trouble="the server is in trouble",
    strange="but not as Phase's API does: check the url, a self-hosted server's API is under "
    "/service/public",
    otherwise=Refusal(0, "", Reason.INVALID, "it doesn't take this request for {where}"),
    table=(
        Refusal(
            range(500, 600),
            f"^{_INTERNAL}",
            Reason.UNAVAILABLE,
            "it couldn't do what it was asked: check at Phase that its AWS credentials still work",
            unclear=True,
        ),
        Refusal(
            _FORBIDDEN,
            "enterprise plan",
            Reason.PLAN,
            "dynamic secrets need Phase's Enterprise plan",
        ),
        *lines(
            _FORBIDDEN,
            Reason.DENIED,
            {
                _NO_KEY: "the service account has no access to {where}: give it access there",
                "network access policy": "a network access policy of Phase doesn't let this "
                "address in",
                _OTHERS: "only the account that took the lease may do this: log in with a token of "
                "the same service account (to a personal token Phase denies even its own leases)",
                "create": "the account's role needs the right DynamicSecretLeases:create in "
                "{where}",
                "": "the account's role needs the right Secrets:read in {where}",
            },
        ),
        Refusal(404, "^lease not found", Reason.GONE, "it has no such lease"),
        *lines(
            404,
            Reason.SOURCE_MISSING,
            {
                "^app with id": "there is no app with the id {app}: check appId",
                "^environment": "the app has no environment {env}: check env",
                "": "there isn't {secret}, {where}: check name, path or id",
            },
        ),
        Refusal(
            _REFUSED,
            "exceeds the maximum ttl",
            Reason.TTL_TOO_LONG,
            "the ttl is longer than the dynamic secret's maximum: write a shorter one in ttl",
        ),
        *lines(
            _REFUSED,
            Reason.INVALID,
            {
                "sse is not enabled": "the app has no server-side encryption, without which its "
                "API can't lease: enable it",
                "ttl must be at least": "the ttl is too short: write a longer one",
            },
        ),
    ),
)


def no_lease(answer: answers.Answer, *, left: bool) -> errors.ProviderError:
    """The server tried to lease and couldn't.

    It makes the AWS user first, and where a group or a policy of it fails leaves it there, on no
    row. So this isn't tried again as often as what only passes.

    Args:
        answer: what it said.
        left: whether a lease may be there all the same.
    """
    said = "it made no lease, and doesn't say why"
    if left:
        said = "it failed, though it may have made a lease, which is searched for"
    sentence = (
        f"{ERRORS.stated(answer)}: {said}: check at Phase that the plan is Enterprise, and that "
        "its AWS credentials, groups and policies are right. Each try can leave a user at AWS, so "
        f"the next one may be hours away: annotate {names.ROTATE} to try at once"
    )
    if left:
        return errors.Unavailable(Reason.BACKEND_FAILED, sentence, sent=True)
    return errors.Invalid(Reason.BACKEND_FAILED, sentence)
