"""What is known of a dynamic secret before a lease is taken on it.

Looking at one needs rights that a careful administrator doesn't give (it shows the root
credential's settings), so a refusal is remembered and the issue goes on without. Many leases of
one source ask at once: they share one look, whose outcome holds for some seconds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cachetools import LRUCache

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.clock import Clock
from leaseholder.providers.infisical import api, kinds, leases, projects, refusals
from leaseholder.providers.kit import cache, failures, lifetimes, requests
from leaseholder.providers.kit.requests import Rank

_KEEP_SECONDS: Final = 2.0
_KEEP_FORBIDDEN_SECONDS: Final = 300.0
_LONGEST_TYPE: Final = 64
"""Characters of a ``credentialType``: what is remembered may come from a hostile server."""
_DELETING: Final = "Revocation in process"


@dataclass(frozen=True, slots=True)
class _Check:
    """What one look showed."""

    holds: float = _KEEP_SECONDS
    """Seconds for which it is believed."""
    deleting: bool = False
    maximum: int | None = None
    """The longest ttl in seconds, where it is known."""
    error: errors.ProviderError | None = None


@dataclass(frozen=True, slots=True)
class _Learned:
    """What answers said of a dynamic secret."""

    shared: bool = False
    """One account, with room for one lease."""
    credential_type: str | None = None
    maximum: int | None = None
    """The longest ttl in seconds."""


_NOTHING: Final = _Learned()


class Sources:
    """Looks at dynamic secrets, seldom."""

    def __init__(self, known: projects.Projects, clock: Clock, timeout: float) -> None:
        self._projects = known
        self._timeout = timeout
        self._checks: cache.Checks[_Check] = cache.Checks(
            clock.monotonic, lambda check: check.holds
        )
        self._seen: LRUCache[str, _Learned] = LRUCache(cache.MOST)

    async def check(self, source: Mapping[str, Any], ttl_seconds: int | None) -> None:
        """Refuse what can't be issued.

        Raises:
            Invalid: it isn't there, is being deleted, or ``ttl_seconds`` is above its maximum.
        """
        check = await self._checks.get(key(source), lambda: self._ask(source))
        if check.error is not None:
            raise failures.again(check.error)
        if check.deleting:
            sentence = (
                f"the dynamic secret {api.name(source)} in {refusals.place(source)} is being "
                "deleted at Infisical"
            )
            raise errors.Invalid(Reason.SOURCE_DELETED, sentence)
        bound = check.maximum
        if bound is not None and ttl_seconds is not None and ttl_seconds > bound:
            raise lifetimes.too_long(ttl_seconds, bound, than="the dynamic secret's maximum")

    def credential_type(self, source: Mapping[str, Any]) -> str | None:
        """``inputs.credentialType`` as last seen, None where it never was."""
        return self._last(source).credential_type

    def is_shared(self, source: Mapping[str, Any]) -> bool:
        """Whether it is known to be one account, with room for one lease."""
        return self._last(source).shared

    def maximum(self, source: Mapping[str, Any]) -> int | None:
        """The longest ttl in seconds as last seen, None where it isn't known."""
        return self._last(source).maximum

    def note(self, source: Mapping[str, Any], secret: api.InfisicalDynamicSecret) -> None:
        """Remember what an answer said about the dynamic secret."""
        named = secret.credential_type
        if named is None or len(named) > _LONGEST_TYPE:  # answers to an issue say none
            named = self.credential_type(source)
        shared, maximum = kinds.is_shared(secret.type, named), leases.maximum(secret)
        self._seen[key(source)] = _Learned(shared, named, maximum)

    def _last(self, source: Mapping[str, Any]) -> _Learned:
        return self._seen.get(key(source), _NOTHING)

    async def _ask(self, source: Mapping[str, Any]) -> _Check:
        request = requests.Request(
            operation="check",
            path=api.secret(source),
            timeout=self._timeout,
            rank=Rank.ISSUE,
        )
        answer = await self._projects.ask(source, request)
        if answer.status == 200:
            secret = answer.parse(api.InfisicalDynamicSecret, under="dynamicSecret")
            if secret is None:
                return _Check()
            self.note(source, secret)
            # Not the whole of it: it may hold what the server puts in, and credentials.
            deleting = secret.status == _DELETING
            return _Check(deleting=deleting, maximum=leases.maximum(secret))
        if answer.status == 403:
            return _Check(holds=_KEEP_FORBIDDEN_SECONDS)
        error = refusals.ERRORS.error(answer, source)
        if not isinstance(error, errors.Invalid):
            raise failures.again(error)  # raised itself, it would hold the answer by this frame
        return _Check(error=error)


def key(source: Mapping[str, Any]) -> str:
    """A name for the dynamic secret that a source means, whatever the lease's own config."""
    where = ("projectId", "projectSlug", "environmentSlug", "path")
    return json.dumps([*(source.get(part) for part in where), api.name(source)])
