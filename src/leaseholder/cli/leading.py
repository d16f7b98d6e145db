"""How a command of an administrator leads instead of the operators, so that none of them works.

It takes the Lease of an operator and those of its shards, as each of these has one.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from leaseholder.cli import session
from leaseholder.clock import SystemClock
from leaseholder.cluster import client, electing
from leaseholder.cluster import login as logins
from leaseholder.controller import leader
from leaseholder.core import election


@dataclass(frozen=True, slots=True)
class Leadership:
    """Where an operator leads."""

    home: str
    shard: str = ""
    """Empty: the default one."""

    def __str__(self) -> str:
        shard = f", shard {self.shard}" if self.shard else ""
        return f"in namespace {self.home}{shard}"


@contextlib.asynccontextmanager
async def connected(choice: logins.Choice) -> AsyncIterator[client.Api]:
    """A connection of its own.

    Raises:
        ClusterUnavailable: there is no usable configuration.
    """
    api = await client.Api.connect(choice.kubeconfig, context=choice.context)
    try:
        yield api
    finally:
        await api.aclose()


async def shards(user: session.Session, home: str) -> list[Leadership]:
    """Those beside the default one; a pod may run on that its Deployment doesn't want any more."""
    return [Leadership(home, shard) for shard in await user.shards(home)]


def candidate(elections: client.Api, places: Iterable[Leadership]) -> leader.Several:
    """This process as a candidate in all places."""
    electors = {
        str(one): leader.Elector(
            electing.LastingSeats(elections, one.home, one.shard),
            SystemClock(),
            election.Election(leader.identity()),
        )
        for one in places
    }
    return leader.Several(electors)


def waiting(waits: str) -> str:
    """What to say while a Lease isn't free."""
    return f"waiting for the Lease of the operator {waits}; scale its Deployment to 0"
