"""Keyhouse's API: where keys are, what answers look like, what its refusals mean."""

from typing import Annotated, Final

import pydantic
from pydantic import Field

from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import answers
from leaseholder.providers.kit.refusals import Refusal, Refusals, text_in

KEYS: Final = "/v1/keys"


class Session(answers.Wire):
    """Answer of a login."""

    token: Annotated[answers.Token, Field(repr=False)]
    expires_in: answers.Seconds


class Key(answers.Wire):
    """A key, without what it is made of."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9]{1,64}$")]
    made_at: answers.Moment
    ends_at: answers.Moment
    longest: answers.Seconds
    renewable: bool


class MadeAnswer(answers.Wire):
    """The one answer that shows what a key is made of."""

    key: Key
    secret: Annotated[dict[str, pydantic.JsonValue], Field(repr=False, min_length=1)]


said: Final = text_in("error")


def is_up(answer: answers.Answer) -> bool:
    """Whether the server works, whatever became of this request."""
    return answer.status < 500 or said(answer) is not None


BACKEND: Final = "backend"
ERRORS: Final = Refusals(
    who="Keyhouse",
    read=said,
    throttled="too many requests",
    trouble="the server is in trouble",
    strange="but not as Keyhouse does: check that the url is that of a Keyhouse server",
    words=lambda _, source: {"wanted": source.get("keyClass")},
    otherwise=Refusal(0, "", Reason.INVALID, "it doesn't take this request for {wanted}"),
    table=(
        Refusal(403, "no_right", Reason.DENIED, "the login needs the right keys:{wanted}"),
        Refusal(404, "no_key", Reason.GONE, "it has no such key"),
        Refusal(
            404, "no_class", Reason.SOURCE_MISSING, "there is no class {wanted}: check keyClass"
        ),
        Refusal(422, "ttl_too_long", Reason.TTL_TOO_LONG, "the ttl is too long for {wanted}"),
        # The code says that nothing was done, so an issue isn't unclear after it.
        Refusal(500, "backend", Reason.UNAVAILABLE, "the house's locks don't answer", BACKEND),
    ),
)
LOGIN_ERRORS: Final = ERRORS.at_login("check name and password")
