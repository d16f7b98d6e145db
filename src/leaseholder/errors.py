"""What can go wrong at the edges, as types; adapters translate, the controller classifies.

::

    EdgeError                     reason and a sentence of our own, never a server's text
     +- ProviderError             ``served`` tells whether the provider itself is there
     |   +- Unavailable           no usable answer; ``sent`` tells whether it may have acted
     |   +- Throttled             429; ``retry_after`` seconds
     |   +- Denied                login refused, locked out, right missing, plan
     |   +- Invalid               the request can't succeed as it is: source, ttl, config
     |   +- LeaseGone             the provider says that it has no such lease
     |   +- CannotRenew          this lease can't live longer than ``latest``
     +- ClusterError
         +- ClusterUnavailable    API server away, slow, throttling
         +- Conflict              somebody wrote first; observe again
         +- Refused               403, quota, admission, invalid: the write can't succeed as it is
             +- Unreadable        an object of no form that this version knows
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from leaseholder.api.conditions import Reason

_LONGEST: Final = 4000
_NOT_ASKED: Final = frozenset(
    {
        Reason.AUTH_MISSING,
        Reason.AUTH_GONE,
        Reason.LOGIN_REFUSED,
        Reason.LOCKED_OUT,
        Reason.HOST_NOT_ALLOWED,
        Reason.PLAIN_HTTP,
        Reason.RENEWAL_TOO_SOON,
    }
)
"""With these the request itself wasn't sent: they say nothing of what would become of it."""


class Outcome(StrEnum):
    """How an issue, a renewal or a revocation ended: one of few words, as metrics have each."""

    OK = "ok"
    REFUSED = "refused"
    """The provider won't: a right, the source, the ttl, the end of a lease's longest life."""
    GONE = "gone"
    """The provider has no such lease."""
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    """There was no usable answer, and nothing was done."""
    UNCLEAR = "unclear"
    """There was no usable answer, or it isn't confirmed: it may have been done."""


class EdgeError(Exception):
    """A failure with a reason and a sentence that a user may see.

    The sentence is our own, with the provider's status code and request id where there are
    any; text of an answer is never passed on, because answers can carry credentials. Names out of
    manifests may stand in it: whatever they hold, it is one line that prints, and not too long.
    """

    def __init__(self, reason: Reason, sentence: str, *, retry_after: float | None = None) -> None:
        line = "".join(one if one.isprintable() else " " for one in sentence[:_LONGEST])
        super().__init__(line)
        self.reason = reason
        self.sentence = line
        self.retry_after = retry_after
        """Seconds after which the next try makes sense, where the other side said so."""


class ProviderError(EdgeError):
    """The provider didn't do what was asked."""

    @property
    def outcome(self) -> Outcome:
        """How what was asked ended."""
        return Outcome.REFUSED

    @property
    def served(self) -> bool:
        """Whether the provider serves others meanwhile: what failed is this one request.

        Where it wasn't even sent, a login that is refused stops all requests alike.
        """
        return self.reason not in _NOT_ASKED


class Unavailable(ProviderError):
    """No usable answer: refused, reset, timed out, 5xx, not JSON.

    ``sent`` is True when the request may have reached the provider and taken effect. ``served`` is
    True where the provider answered that the system behind it didn't do its part.
    """

    def __init__(
        self,
        reason: Reason,
        sentence: str,
        *,
        sent: bool,
        served: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason, sentence, retry_after=retry_after)
        self.sent = sent
        self._served = served

    @property
    def outcome(self) -> Outcome:
        """How what was asked ended."""
        return Outcome.UNCLEAR if self.sent else Outcome.UNAVAILABLE

    @property
    def served(self) -> bool:
        """Whether the provider serves others meanwhile."""
        return self._served


class Throttled(ProviderError):
    """Too many requests; nothing was done."""

    @property
    def outcome(self) -> Outcome:
        """How what was asked ended."""
        return Outcome.THROTTLED

    @property
    def served(self) -> bool:
        """Whether the provider serves others meanwhile: it wants no requests at all."""
        return False


class Denied(ProviderError):
    """Not allowed: login refused, locked out, a right or the plan is missing; nothing was done."""


class Invalid(ProviderError):
    """The request can't succeed as it is; nothing was done."""


class LeaseGone(ProviderError):
    """The provider says that it has no such lease (which a stale replica says too).

    ``certain`` is True where it shows the lease, and that it ended: no need to ask twice.
    """

    def __init__(
        self,
        reason: Reason,
        sentence: str,
        *,
        certain: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason, sentence, retry_after=retry_after)
        self.certain = certain

    @property
    def outcome(self) -> Outcome:
        """How what was asked ended."""
        return Outcome.GONE


class CannotRenew(ProviderError):
    """The lease can't be made to live longer than ``latest`` (UTC; None: not known)."""

    def __init__(self, reason: Reason, sentence: str, *, latest: datetime | None = None) -> None:
        super().__init__(reason, sentence)
        self.latest = latest


class ClusterError(EdgeError):
    """The API server didn't do what was asked."""


class ClusterUnavailable(ClusterError):
    """The API server is away, slow or throttling; a write may have taken effect."""


class Conflict(ClusterError):
    """Somebody else wrote first, or it exists already: observe again and judge anew."""


class Refused(ClusterError):
    """The API server won't have this write as it is: rights, quota, admission, schema."""


class Unreadable(Refused):
    """An object can't be read by this version; it was reported where it was read.

    ``rest`` is what of it can be read all the same, enough to say so in its status; None: nothing.
    """

    def __init__(self, reason: Reason, sentence: str, *, rest: object = None) -> None:
        super().__init__(reason, sentence)
        self.rest = rest


def raised(error: BaseException) -> str:
    """Type and place of an exception that nobody expected: its text may carry anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    where = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
    return f"{type(error).__name__} at {where}"
