"""How a conversation with a provider can fail, in our own words and for metrics."""

import ssl
from enum import StrEnum
from typing import Final, TypeVar

import httpx2

from leaseholder import errors
from leaseholder.api.conditions import Reason

Error = TypeVar("Error", bound=errors.ProviderError)
_NOT_SENT: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)


class RequestOutcome(StrEnum):
    """How a request ended, for metrics."""

    OK = "ok"
    REFUSED = "refused"
    THROTTLED = "throttled"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    LOST = "lost"
    LATE = "late"
    FORBIDDEN = "forbidden"


def too_late() -> errors.Unavailable:
    """A request that waited beyond its deadline."""
    sentence = "the request wasn't sent, because its deadline had passed"
    return errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=False)


def in_trouble(status: int) -> errors.Unavailable:
    """An answer of 5xx."""
    sentence = f"the provider is in trouble: it answered {status}"
    return errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=False)


def unreadable(*, effect: bool) -> errors.Unavailable:
    """An answer that costs too much to be read, or that is compressed unasked."""
    sentence = (
        "the answer isn't the provider's: it is far too large, in far too many pieces, or "
        "compressed unasked; check the url, and what stands in front of the provider"
    )
    return errors.Unavailable(Reason.BAD_ANSWER, sentence, sent=effect)


def no_room(*, effect: bool) -> errors.Unavailable:
    """An answer for which there is no memory at the moment."""
    sentence = (
        "the answer is long, and answers of other providers take all the memory that there is for "
        "them; it is tried again"
    )
    return errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=effect)


def translate(
    error: Exception, *, effect: bool, sent: bool
) -> tuple[errors.Unavailable, RequestOutcome]:
    """What httpx2 raised, as our error and for metrics.

    Args:
        error: what it raised.
        effect: the request leaves something behind.
        sent: the server may have seen something of it.
    """
    never_sent = isinstance(error, TimeoutError) and not sent
    if never_sent or isinstance(error, _NOT_SENT):
        if _distrusted(error):
            sentence = (
                "the provider's certificate isn't trusted: check the url, or write its CA in "
                "caBundle"
            )
            unavailable = errors.Unavailable(Reason.UNTRUSTED, sentence, sent=False)
            return unavailable, RequestOutcome.UNTRUSTED
        sentence = "the provider can't be reached: no connection could be made"
        return errors.Unavailable(
            Reason.UNREACHABLE, sentence, sent=False
        ), RequestOutcome.UNREACHABLE
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        sentence = "the provider didn't answer in time"
    else:
        sentence = "the connection to the provider was lost before its answer"
    return errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=effect), RequestOutcome.LOST


def _distrusted(error: BaseException | None) -> bool:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def outcome_of(status: int) -> RequestOutcome:
    """An answer's status, for metrics."""
    if status < 300:
        return RequestOutcome.OK
    if status == httpx2.codes.TOO_MANY_REQUESTS:
        return RequestOutcome.THROTTLED
    return RequestOutcome.REFUSED if status < 500 else RequestOutcome.FAILED


def again(error: Error, *, retry_after: float | None = None) -> Error:
    """The same error as a new object, which may be kept, and raised by many.

    One that was raised remembers where, and so holds the answer that it came of, and its memory.
    """
    same = type(error).__new__(type(error), error.sentence)
    vars(same).update(vars(error))
    if retry_after is not None:
        same.retry_after = retry_after
    return same
