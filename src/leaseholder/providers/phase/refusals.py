"""What Phase's answers other than 2xx mean, in our words.

A status alone tells little: 401 is also an environment that the account lost, 500 is also a plan or
an AWS that refuses, 404 as a page is a wrong address. So the text is matched too, never passed on.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import durations, names
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import answers
from leaseholder.providers.phase import wire

_NO_KEY: Final = "cannot access this environment"
_OTHERS: Final = "leases for other accounts"
_INTERNAL: Final = "an internal error occurred while "
_LEASING: Final = f"{_INTERNAL}creating"
_REVOKING: Final = f"{_INTERNAL}revoking"
_LEFT: Final = re.compile(r"maximum remaining renewal time: ([0-9]{1,12}) second")


def text_of(answer: answers.Answer) -> str | None:
    """The answer's error in lower case; None where it isn't one of Phase's."""
    body = answer.parse(wire.Refusal)
    return body.error.lower() if body is not None else None


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


def stated(answer: answers.Answer) -> str:
    """Who answered what."""
    return f"Phase answered {answer.status}"


def bad_answer(answer: answers.Answer, *, sent: bool) -> errors.Unavailable:
    """An answer that makes no sense, such as a page."""
    sentence = (
        f"{stated(answer)}, but not as Phase's API does: check the url, a self-hosted server's API "
        "is under /service/public"
    )
    return errors.Unavailable(Reason.BAD_ANSWER, sentence, sent=sent)


def refusal(
    answer: answers.Answer, source: Mapping[str, Any], *, effect: bool
) -> errors.ProviderError:
    """The error that an answer other than 200 stands for.

    Args:
        answer: what came back.
        source: what was asked about, for the sentence.
        effect: whether the request leaves something behind when its answer is lost.
    """
    who, text = stated(answer), text_of(answer)
    if answer.status == 429:
        sentence = f"{who}: too many requests of this account"
        return errors.Throttled(Reason.THROTTLED, sentence, retry_after=answer.retry_after)
    if answer.status >= 500:
        return _trouble(who, text, effect=effect)
    if answer.status < 400:
        return bad_answer(answer, sent=effect and answer.status < 300)
    if text is None:
        # Not Phase but something in front of it, which didn't pass the request on.
        return bad_answer(answer, sent=False)
    match answer.status:
        case 401 | 403:
            return _forbidden(text, who, source)
        case 404:
            return _missing(text, who, source)
    return _bad_request(text, who, source)


def too_long(seconds: int | None, maximum: timedelta, *, who: str = "") -> errors.Invalid:
    """The ttl asked for (None: the default) is above the dynamic secret's maximum."""
    asked = (
        f"a ttl of {durations.render(timedelta(seconds=seconds))}"
        if seconds is not None
        else "the dynamic secret's default ttl"
    )
    sentence = (
        f"{asked} is longer than the dynamic secret's maximum, which is "
        f"{durations.render(maximum)}: write a shorter one in ttl"
    )
    return errors.Invalid(Reason.TTL_TOO_LONG, f"{who}: {sentence}" if who else sentence)


def named(source: Mapping[str, Any]) -> str:
    """The dynamic secret that a source means, in words."""
    if source.get("id") is not None:
        return f"the dynamic secret with the id {source['id']}"
    return f"the dynamic secret {source.get('name')} in {source.get('path', '/')}"


def place(source: Mapping[str, Any]) -> str:
    """Where a source is, in words."""
    return f"environment {source.get('env')} of app {source.get('appId')}"


def no_lease(answer: answers.Answer, *, left: bool) -> errors.ProviderError:
    """The server tried to lease and couldn't.

    It makes the AWS user first, and where a group or a policy of it fails leaves it there, on no
    row. So this isn't tried again as often as what only passes.

    Args:
        answer: what it said.
        left: whether a lease may be there all the same.
    """
    told = "it made no lease, and doesn't say why"
    if left:
        told = "it failed, though it may have made a lease, which is searched for"
    sentence = (
        f"{stated(answer)}: {told}: check at Phase that the plan is Enterprise, and that its AWS "
        "credentials, groups and policies are right. Each try can leave a user at AWS, so the next "
        f"one may be hours away: annotate {names.ROTATE} to try at once"
    )
    if left:
        return errors.Unavailable(Reason.BACKEND_FAILED, sentence, sent=True)
    return errors.Invalid(Reason.BACKEND_FAILED, sentence)


def _trouble(who: str, text: str | None, *, effect: bool) -> errors.Unavailable:
    told = "the server is in trouble"
    if (text or "").startswith(_INTERNAL):
        told = (
            "it couldn't do what it was asked: check at Phase that its AWS credentials still work"
        )
    return errors.Unavailable(Reason.UNAVAILABLE, f"{who}: {told}", sent=effect)


def _forbidden(text: str, who: str, source: Mapping[str, Any]) -> errors.Denied:
    where = place(source)
    if _NO_KEY in text:
        told = f"the service account has no access to {where}: give it access there"
    elif "network access policy" in text:
        told = "a network access policy of Phase doesn't let this address in"
    elif "enterprise plan" in text:
        told = "dynamic secrets need Phase's Enterprise plan"
        return errors.Denied(Reason.PLAN, f"{who}: {told}")
    elif _OTHERS in text:
        told = (
            "only the account that took the lease may do this: log in with a token of the same "
            "service account (to a personal token Phase denies even its own leases)"
        )
    elif "create" in text:
        told = f"the account's role needs the right DynamicSecretLeases:create in {where}"
    else:
        told = f"the account's role needs the right Secrets:read in {where}"
    return errors.Denied(Reason.DENIED, f"{who}: {told}")


def _missing(text: str, who: str, source: Mapping[str, Any]) -> errors.ProviderError:
    if text.startswith("lease not found"):
        return errors.LeaseGone(Reason.GONE, f"{who}: it has no such lease")
    if text.startswith("app with id"):
        told = f"there is no app with the id {source.get('appId')}: check appId"
    elif text.startswith("environment"):
        told = f"the app has no environment {source.get('env')}: check env"
    else:
        told = f"there isn't {named(source)}, {place(source)}: check name, path or id"
    return errors.Invalid(Reason.SOURCE_MISSING, f"{who}: {told}")


def _bad_request(text: str, who: str, source: Mapping[str, Any]) -> errors.Invalid:
    if "exceeds the maximum ttl" in text:
        sentence = "the ttl is longer than the dynamic secret's maximum: write a shorter one in ttl"
        return errors.Invalid(Reason.TTL_TOO_LONG, f"{who}: {sentence}")
    told = f"it doesn't take this request for {place(source)}"
    if "ttl must be at least" in text:
        told = "the ttl is too short: write a longer one"
    if "sse is not enabled" in text:
        told = "the app has no server-side encryption, without which its API can't lease: enable it"
    return errors.Invalid(Reason.INVALID, f"{who}: {told}")
