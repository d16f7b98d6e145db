"""What logins with the same credentials share, whichever provider object they came through.

Many LeaseProviders, each with a copy of one client secret, are one login to Infisical: one
token serves them all, and their wrong tries count together towards the server's lockout.
Entries live as long as somebody uses them.
"""

import asyncio
import weakref
from collections.abc import Callable
from dataclasses import dataclass

from leaseholder.providers.kit import login
from leaseholder.secrecy import Hidden


@dataclass(frozen=True, slots=True)
class Held:
    """An access token; moments are those of a clock that never jumps."""

    token: Hidden
    renew_at: float
    ends_at: float


class Account:
    """One pair of credentials at one server: its token, and the lock of who logs in."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.held: Held | None = None

    def drop(self, token: Hidden) -> None:
        """Forget ``token``, unless another one took its place."""
        if self.held is not None and self.held.token == token:
            self.held = None


class Wallet:
    """Accounts by credentials, and back-offs by identity."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._accounts: weakref.WeakValueDictionary[tuple[str, Hidden], Account] = (
            weakref.WeakValueDictionary()
        )
        self._backoffs: weakref.WeakValueDictionary[tuple[str, str], login.Backoff] = (
            weakref.WeakValueDictionary()
        )

    def account(self, address: str, credentials: Hidden) -> Account:
        """The account of these very credentials at that server."""
        return self._accounts.setdefault((address, credentials), Account())

    def backoff(self, address: str, identity: str) -> login.Backoff:
        """The back-off of an identity at that server, whatever secret is tried."""
        return self._backoffs.setdefault((address, identity), login.Backoff(self._now))
