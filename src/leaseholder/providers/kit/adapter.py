"""What an adapter begins with, and what the registry has to know of it.

An adapter is an ``Adapter`` with the port's other methods (``Provider``): it makes
``requests.Request`` of them, sends these with its ``Login``, and reads what comes back with
``answers``.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from leaseholder.ports.provider import Marked, Provider
from leaseholder.providers.kit import answers, client, login, methods
from leaseholder.providers.kit.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the registry has to know of a provider."""

    name: str
    """Its field in a provider's spec, and in the settings."""
    build: Callable[[Context, Any, Any], Provider]
    """Makes its adapter, by what stands in that field of the spec and of the settings."""
    tails: tuple[str, ...] = ()
    """How people end a server's url, though it makes no other server of it."""
    root: Callable[[str], str] = str
    """Where the API begins at an address."""


class Adapter:
    """Connections to one provider, a login there, and its clock."""

    def __init__(
        self,
        context: Context,
        method: Callable[[client.Client], methods.Method],
        is_up: Callable[[answers.Answer], bool] = answers.is_up,
        throttles: Callable[[answers.Answer], bool] = answers.throttles,
    ) -> None:
        """Nothing is sent yet.

        Args:
            context: what the registry gives.
            method: how one logs in over connections.
            is_up: whether an answer shows a server that works, whatever it says.
            throttles: whether a 429 asks for a pause, and not for less of what there is.
        """
        self._http = client.Client(context, is_up, throttles)
        context.connected(self._http.reading)
        self._login = login.Login(method(self._http), self._http, context.clock, context.accounts)

    def now(self) -> datetime:
        """The provider's clock: its last ``Date``, carried on by a clock that never jumps."""
        return self._http.clock.now()

    @property
    def has_time(self) -> bool:
        """Whether an answer told the time."""
        return self._http.clock.heard

    async def sweep(
        self, installation: str, source: Mapping[str, Any], known: Container[str]
    ) -> Sequence[Marked]:
        """None: where nothing marks leases as ours, an adapter leaves this as it is."""
        return ()

    async def aclose(self) -> None:
        """Close connections; the login isn't revoked."""
        await self._login.aclose()
        await self._http.aclose()
