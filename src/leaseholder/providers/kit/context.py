"""What every adapter is built from: one provider object's way to its server.

The registry makes a ``Context`` of a provider's spec and of what all adapters of this process
share; ``client`` and ``login`` take from it what they need.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import httpx2

from leaseholder.ports.clock import Clock
from leaseholder.ports.credentials import Access, Credentialing
from leaseholder.ports.provider import Reading
from leaseholder.providers.kit import answer_memory, gate
from leaseholder.providers.kit.accounts import Accounts
from leaseholder.providers.kit.network import dialing

Observe = Callable[[str, str, float], None]
"""Told each request's operation, outcome (``failures.RequestOutcome``) and seconds."""


class News(StrEnum):
    """What may happen to a provider between two looks at it."""

    DOWN = "down"
    """Its circuit is open now."""
    UP = "up"
    """Its circuit is closed again."""
    CLOCK_DOUBTED = "clock-doubted"
    """An answer's ``Date`` is far ahead: the next one tells whether its clock was set."""
    CLOCK_SET = "clock-set"
    """Its clock went forward: leases end earlier than was planned."""


OnNews = Callable[[str, News], None]
"""Told a provider's base URL, and what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One provider object's way to its server."""

    access: Access
    """What its spec says."""
    credentialing: Credentialing
    """Where it gets what it logs in with, and the CA certificates to trust."""
    base_url: str
    """Where requests go, in one spelling."""
    clock: Clock
    """This machine's."""
    observe: Observe
    """Told of each request."""
    on_news: OnNews | None = None
    """Told what happens to the provider."""
    connected: Callable[[Callable[[], Reading]], None] = lambda read: None
    """Told what reads the connections."""
    dialer: dialing.Dialer | None = None
    """Makes the connections; by default to every name."""
    turns: gate.Turns | None = None
    """Turns that all LeaseProviders of its namespace share."""
    room: answer_memory.Room | None = None
    """The memory that answers of all servers share."""
    accounts: Accounts | None = None
    """Logins that all provider objects share where they log in alike."""
    transport: httpx2.AsyncBaseTransport | None = None
    """What to send with instead of the network."""
