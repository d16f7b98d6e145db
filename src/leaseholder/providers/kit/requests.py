"""One request to a provider, and what may be said of it before it is sent.

An adapter says what is asked (method, path, body), what a lost answer would leave behind
(``effect``), and for whom (``Rank``); ``gate`` decides by that when it goes, ``client`` sends it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Final, Literal

_SHORT: Final = 256 * 2**10
_CREDENTIALS: Final = 2**20
LIST: Final = 6 * 2**20
"""Bytes that a list may have: of some ten thousand leases."""
LONG_LIST: Final = 24 * 2**20
"""Bytes of one that is read as it comes: of some forty thousand leases."""

Category = Literal["read", "write"]
"""How a provider counts a request for its rate limit."""
Method = Literal["GET", "POST", "PUT", "DELETE"]
Take = Callable[[dict[str, Any]], int]
"""Told a row of a list; gives the bytes that are kept. May raise ``json_documents.Malformed``."""


class Rank(IntEnum):
    """What a request is for; a lower rank goes first."""

    LOGIN = 0
    """Everybody else waits for it."""
    KEEP = 1
    """Renews or looks at a lease that there is, or finds out how to."""
    ISSUE = 2
    REVOCATION = 3
    """Revokes, or searches for what is to be revoked."""
    CHECK = 4
    """Only looks whether the provider answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to a provider."""

    operation: str
    """What it is for, as metrics call it."""
    path: str
    timeout: float
    """Seconds to wait for the answer."""
    method: Method = "GET"
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    """The query; a name with several values stands there once for each."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside those that every request has; nothing secret."""
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    category: Category = "read"
    """How the provider's rate limit counts it."""
    effect: bool = False
    """It leaves something behind even when its answer is lost."""
    deadline: datetime | None = None
    """It isn't sent at or after this moment of the provider's clock."""
    rank: Rank = Rank.KEEP
    """How early its turn comes."""
    lists: bool = False
    """Its answer may be a list as long as ``LIST``, which is read by ``Answer.rows``."""
    take: Take | None = field(default=None, repr=False)
    """What reads the rows of a 200 as they come; nothing else is kept of it, so that the list may
    be as long as ``LONG_LIST``. The server may take minutes for it: see ``gate``."""
    expires: datetime | None = None
    """The end of the lease that it keeps alive."""

    @property
    def issues(self) -> bool:
        """Whether its lost answer would leave an unclear attempt."""
        return self.effect and self.rank is Rank.ISSUE

    @property
    def is_long(self) -> bool:
        """Whether its answer is a list that may take the server minutes."""
        return self.take is not None

    @property
    def most(self) -> int:
        """Bytes that its answer may have; credentials as many as a Secret can hold."""
        if self.is_long:
            return LONG_LIST
        if self.lists:
            return LIST
        return _CREDENTIALS if self.rank is Rank.ISSUE else _SHORT
