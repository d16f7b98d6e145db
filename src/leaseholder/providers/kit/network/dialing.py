"""Connections to providers: only to addresses that the administrator's list lets through.

A name is looked up here, all that it stands for is judged, and then the judged addresses are
connected to: a name that means something else a moment later (DNS rebinding) leads nowhere. TLS
still checks the certificate against the name.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import httpcore2

from leaseholder.providers.kit.network import hosts, sockets

Endpoint = tuple[str, int]
"""A host and a port."""
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives the addresses that a name stands for; raises ``OSError`` where there are none."""
PATIENCE: Final = 10.0
"""Seconds for a lookup or a connection where nobody says."""


class AddressRefused(Exception):
    """The name stands for an address that isn't called; carries no text of anybody's."""


class Dialer(httpcore2.AsyncNetworkBackend):
    """Makes connections for httpcore2."""

    def __init__(
        self,
        allowed: hosts.Hosts,
        api_server: Endpoint | None = None,
        network: sockets.Network | None = None,
        *,
        resolve: Resolve | None = None,
    ) -> None:
        """No connection is made yet.

        Args:
            allowed: the administrator's list.
            api_server: what is never connected to, whatever the list says; its other ports only
                where its address is listed.
            network: connects to addresses.
            resolve: looks names up.
        """
        self._allowed = allowed
        self._api_server = api_server
        self._resolve = resolve or addresses_of
        self._network = network or sockets.Network()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to one of the addresses of ``host``, in the order of the lookup.

        Raises:
            AddressRefused: one of them isn't to be called; none was.
            httpcore2.ConnectError, httpcore2.ConnectTimeout: nobody answers there.
        """
        patience = PATIENCE if timeout is None else timeout
        found = await self._judged(host, port, patience)
        error: httpcore2.ConnectError | httpcore2.ConnectTimeout | None = None
        for address in found:
            try:
                return await self._network.connect(address, port, patience / len(found))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failed:
                error = failed
        raise error or httpcore2.ConnectError("no address")

    async def _judged(self, host: str, port: int, patience: float) -> list[str]:
        found: list[str] = []
        own: set[hosts.Address] = set()
        trouble: type[Exception] = httpcore2.ConnectError
        try:
            async with asyncio.timeout(patience):
                found = await self._resolve(host, port)
                own = await self._own()
        except TimeoutError:
            trouble, found = httpcore2.ConnectTimeout, []
        except (OSError, UnicodeError):
            found = []
        if not found:
            raise trouble("the name can't be looked up")
        # One for all: which of them is connected to may be the DNS server's choice.
        if not all(self._admits(ipaddress.ip_address(one), port, own) for one in found):
            raise AddressRefused
        return found

    def _admits(self, address: hosts.Address, port: int, own: set[hosts.Address]) -> bool:
        if self._api_server is not None and address in own:
            return port != self._api_server[1] and self._allowed.lists(address)
        return self._allowed.admits(address)

    async def _own(self) -> set[hosts.Address]:
        """The API server's addresses, as they are now."""
        if self._api_server is None:
            return set()
        with contextlib.suppress(OSError, UnicodeError):
            return {ipaddress.ip_address(one) for one in await self._resolve(*self._api_server)}
        return set()


async def addresses_of(host: str, port: int) -> list[str]:
    """The addresses of a name, in the system's order.

    Raises:
        OSError: there are none, or they can't be looked up.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
