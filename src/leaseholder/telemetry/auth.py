"""Who may read /metrics: whose bearer token the API server knows, and who may ``get`` it.

As kube-rbac-proxy and controller-runtime do: a TokenReview says whose the token is, a
SubjectAccessReview whether they may ``get`` the URL ``/metrics``, and the answer is believed for a
while, so that few scrapes cost a review.

Whoever reaches the port may send any number of tokens. So only few are reviewed at once and in a
second; one that was good in the last hour is always reviewed, or others could keep Prometheus out.
Tokens are neither kept nor logged: answers go by a digest that means nothing to another process.
"""

import asyncio
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cachetools import TLRUCache, TTLCache

from leaseholder import errors
from leaseholder.ports.reviews import Reviews
from leaseholder.secrecy import Hidden

logger = logging.getLogger(__name__)

PATH: Final = "/metrics"
LONGEST: Final = 4096
"""Characters of a token; a ServiceAccount's has about a thousand."""
BELIEVED: Final[Mapping[int, float]] = {200: 60.0, 401: 10.0, 403: 10.0, 503: 1.0}
"""Seconds for which an answer is believed, by its status."""
MOST: Final = 512
"""Answers that are kept: more than can be new while they are believed."""
MOST_AT_ONCE: Final = 4
"""Tokens that are under review and weren't good lately."""
MOST_PER_SECOND: Final = 10
"""Of these, so many reviews begin in a second."""
GOOD_FOR: Final = 3600.0
"""Seconds for which a token that was good is reviewed whatever else is under way."""
_MOST_GOOD: Final = 64
_BEARER: Final = re.compile(r"bearer +([a-z0-9._~+/-]+=*) *", re.ASCII | re.IGNORECASE)
"""RFC 6750, section 2.1."""


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """What to say to somebody who asks for metrics."""

    status: int
    """200: they may have them. Else 401, 403, 429 or 503."""
    sentence: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


_LOGIN: Final = {"WWW-Authenticate": 'Bearer realm="leaseholder"'}
_ALLOWED: Final = AuthResponse(200)
_NO_TOKEN: Final = AuthResponse(
    401, "send a token of a ServiceAccount that may get /metrics, as Authorization: Bearer", _LOGIN
)
_TOO_LONG: Final = AuthResponse(
    401, f"a token has {LONGEST} characters at most: send a ServiceAccount's", _LOGIN
)
_WRONG: Final = AuthResponse(
    401, "the API server doesn't take this token: send one that is valid there", _LOGIN
)
_BUSY: Final = AuthResponse(
    429, "too many tokens are under review: send this one again in a second", {"Retry-After": "1"}
)


class MetricsAuth:
    """Says who may read metrics."""

    def __init__(self, reviews: Reviews, now: Callable[[], float] = time.monotonic) -> None:
        """No token is known.

        Args:
            reviews: who knows tokens and rights.
            now: seconds that never jump.
        """
        self._reviews = reviews
        self._now = now
        self._key = secrets.token_bytes(32)
        self._answers: TLRUCache[bytes, AuthResponse] = TLRUCache(
            MOST, ttu=lambda _, answer, at: at + BELIEVED[answer.status], timer=now
        )
        self._good: TTLCache[bytes, bool] = TTLCache(_MOST_GOOD, GOOD_FOR, timer=now)
        self._under_way: dict[bytes, asyncio.Task[AuthResponse]] = {}
        self._second, self._begun = 0, 0
        self._trouble = ""

    async def answer(self, authorization: str | None) -> AuthResponse:
        """What to say to who sends this header ``Authorization``; None: they send none.

        Those who send the same token at once share its review.
        """
        bearer = _BEARER.fullmatch(authorization or "")
        if bearer is None:
            return _NO_TOKEN
        if len(bearer[1]) > LONGEST:
            return _TOO_LONG
        digest = hashlib.blake2b(bearer[1].encode(), key=self._key, digest_size=32).digest()
        known = self._answers.get(digest)
        if known is not None:
            return known
        review = self._under_way.get(digest)
        if review is None:
            if not self._may_begin(digest):
                return _BUSY
            review = asyncio.create_task(self._reviewed(digest, Hidden(bearer[1])))
            self._under_way[digest] = review
        return await asyncio.shield(review)  # who hangs up takes the answer from nobody else

    def _may_begin(self, digest: bytes) -> bool:
        if digest in self._good:
            return True
        second = int(self._now())
        if second != self._second:
            self._second, self._begun = second, 0
        others = sum(one not in self._good for one in self._under_way)
        if others >= MOST_AT_ONCE or self._begun >= MOST_PER_SECOND:
            return False
        self._begun += 1
        return True

    async def _reviewed(self, digest: bytes, token: Hidden) -> AuthResponse:
        try:
            answer = await self._review(token)
        except errors.ClusterError as error:
            answer = AuthResponse(
                503, f"whether you may have metrics isn't known now: {error.sentence}"
            )
            self._report(error.sentence)
        else:
            self._report("")
        finally:
            del self._under_way[digest]
        self._answers[digest] = answer
        if answer.status == 200:
            self._good[digest] = True
        elif answer.status != 503:
            self._good.pop(digest, None)
        return answer

    async def _review(self, token: Hidden) -> AuthResponse:
        user = await self._reviews.authenticate(token)
        if user is None:
            return _WRONG
        if await self._reviews.may_get(user, PATH):
            return _ALLOWED
        return AuthResponse(
            403,
            f"{user.name!a} has no right to get {PATH}: bind a ClusterRole to it that has the "
            f"nonResourceURL {PATH}, such as leaseholder-metrics-reader",
        )

    def _report(self, trouble: str) -> None:
        """Log once that nobody new is let in, and once that this is over."""
        if trouble and not self._trouble:
            logger.warning("metrics are refused: %s", trouble)
        if self._trouble and not trouble:
            logger.info("metrics are served again")
        self._trouble = trouble
