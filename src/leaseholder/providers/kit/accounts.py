"""What logins with the same credentials share, whichever provider object they came through.

Many provider objects, each with a copy of one client secret, are one login to the server: one token
serves them all, and their wrong tries count together towards the server's lockout. ``login`` asks
here before it logs in. Entries live as long as somebody uses them.
"""

import asyncio
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from leaseholder.providers.kit import backoff
from leaseholder.secrecy import Hidden

ENDLESS: Final = float("inf")
"""The life of a token that ends only when somebody ends it."""


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


class Accounts:
    """Accounts by credentials, back-offs by identity."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._accounts: weakref.WeakValueDictionary[tuple[str, Hidden], Account] = (
            weakref.WeakValueDictionary()
        )
        self._backoffs: weakref.WeakValueDictionary[tuple[str, str], backoff.Backoff] = (
            weakref.WeakValueDictionary()
        )

    def account(self, address: str, credentials: Hidden) -> Account:
        """The account of these very credentials at that server."""
        return self._accounts.setdefault((address, credentials), Account())

    def backoff(self, address: str, identity: str) -> backoff.Backoff:
        """The back-off of an identity at that server, whatever secret is tried."""
        return self._backoffs.setdefault((address, identity), backoff.Backoff(self._now))
