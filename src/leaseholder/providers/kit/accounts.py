"""What logins remember, and share with other provider objects that log in as the same.

Many provider objects, each with a copy of one client secret, are one login to the server: one token
serves them all (``Account``), and their wrong tries count together towards the server's lockout
(``LoginBackoff``). ``login`` asks here before it logs in, and tells what became of it. Entries live
as long as somebody uses them.
"""

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from leaseholder import errors, pauses
from leaseholder.providers.kit import failures
from leaseholder.secrecy import Hidden

ENDLESS: Final = float("inf")
"""The life of a token that ends only when somebody ends it."""
LOCKOUT_WINDOW: Final = 35.0
"""The server's 30 s and a little for the way there."""
LOCKOUT: Final = 300.0
_LONGEST: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A token; moments are those of a clock that never jumps, lengths seconds."""

    token: Hidden
    made_at: float
    life: float
    """How long it lives when it was just made or renewed."""
    renew_at: float
    ends_at: float
    renewable: bool = False

    @classmethod
    def made(
        cls, token: Hidden, now: float, life: float, renew_after: float, *, renewable: bool = False
    ) -> "Held":
        """A token that was made, or read, now."""
        return cls(
            token=token,
            made_at=now,
            life=life,
            renew_at=now + renew_after,
            ends_at=now + life,
            renewable=renewable,
        )


class Account:
    """One pair of credentials at one server: its token, and the lock of who logs in."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.held: Held | None = None

    def drop(self, token: Hidden) -> None:
        """Forget ``token``, unless another one took its place."""
        if self.held is not None and self.held.token == token:
            self.held = None


class LoginBackoff:
    """When a refused login may be tried again; moments are those of a clock that never jumps.

    Servers lock an identity out after some wrong tries, for everybody who uses it: Infisical for
    300 s after three within 30 s, OpenBao and Vault for 15 min after five. So two tries are never
    followed by a third within Infisical's window, and the same credentials are tried ever more
    seldom. Changed ones are tried at once, and those that worked last whatever others try with the
    same identity: a good login clears the server's count. State is in memory: a restart costs one
    try.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._refused: errors.ProviderError | None = None
        self._with: Hidden | None = None
        self._good: Hidden | None = None
        """What worked last and wasn't refused since."""
        self._count = 0
        self._until = 0.0
        self._tries: deque[float] = deque(maxlen=2)
        self._one_by_one = asyncio.Lock()

    def hindrance(self, credentials: Hidden | None) -> errors.ProviderError | None:
        """The refusal that stands in the way of trying ``credentials`` now.

        Args:
            credentials: what would be tried; None where it is new each time.
        """
        if self._refused is None or self._is_good(credentials):
            return None
        wait = self._burst()
        if credentials is None or credentials == self._with:
            wait = max(wait, self._until - self._now())
        return failures.again(self._refused, retry_after=wait) if wait > 0 else None

    def turn(self, credentials: Hidden | None) -> contextlib.AbstractAsyncContextManager[object]:
        """Held while ``credentials`` are tried: many at once would lock the identity out.

        What worked last needs no turn, and waits for nobody.
        """
        return contextlib.nullcontext() if self._is_good(credentials) else self._one_by_one

    def _is_good(self, credentials: Hidden | None) -> bool:
        return credentials is not None and credentials == self._good

    def refused(self, error: errors.ProviderError, credentials: Hidden | None) -> None:
        """Take note that a try with ``credentials`` was refused."""
        same = credentials == self._with and self._refused is not None
        self._count = self._count + 1 if same else 1
        self._with = credentials
        self._good = None if credentials == self._good else self._good
        self._tries.append(self._now())
        wait = pauses.doubled(self._count, LOCKOUT_WINDOW, _LONGEST)
        self._until = self._now() + max(wait, error.retry_after or 0.0)
        error.retry_after = self._until - self._now()
        self._refused = failures.again(error)

    def worked(self, credentials: Hidden | None = None) -> None:
        """Forget what was: a good login, with ``credentials``, clears the server's count too."""
        self._good = credentials or self._good
        self._refused, self._with, self._count = None, None, 0
        self._tries.clear()

    def _burst(self) -> float:
        if len(self._tries) < 2:
            return 0.0
        return self._tries[0] + LOCKOUT_WINDOW - self._now()


class Accounts:
    """Accounts by credentials, back-offs by identity."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._accounts: weakref.WeakValueDictionary[tuple[str, Hidden], Account] = (
            weakref.WeakValueDictionary()
        )
        self._backoffs: weakref.WeakValueDictionary[tuple[str, str], LoginBackoff] = (
            weakref.WeakValueDictionary()
        )

    def account(self, address: str, credentials: Hidden) -> Account:
        """The account of these very credentials at that server."""
        return self._accounts.setdefault((address, credentials), Account())

    def backoff(self, address: str, identity: str) -> LoginBackoff:
        """The back-off of an identity at that server, whatever secret is tried."""
        return self._backoffs.setdefault((address, identity), LoginBackoff(self._now))
