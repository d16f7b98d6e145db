"""The Lease of a drain, before a small API server: its namespace goes, and it stays."""

import pathlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from leaseholder import errors
from leaseholder.cluster import client, electing
from leaseholder.core.election import DEADLINE, DURATION, Election, Standing
from leaseholder.ports.seats import Seat

HOME = "home"
NAMESPACE = f"/api/v1/namespaces/{HOME}"
COLLECTION = f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases"
LEASE = f"{COLLECTION}/{electing.LEASE}"
CONFIG = """
apiVersion: v1
kind: Config
current-context: c
clusters: [{{name: c, cluster: {{server: "{server}"}}}}]
users: [{{name: u, user: {{token: t}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
"""
MINE = Seat(holder="me", duration=DURATION, version="", transitions=0, begins=True)


@dataclass
class Server:
    """One Namespace, with or without a Lease."""

    namespace: dict[str, Any] | None = field(default_factory=lambda: {"metadata": {}})
    lease: dict[str, Any] | None = None
    forbids: bool = False
    """It makes no Lease, for another reason than the end of the Namespace."""

    def goes(self) -> None:
        """The Namespace is being deleted; the Lease is gone, and no other can be made."""
        self.namespace, self.lease = {"metadata": {"deletionTimestamp": "now"}}, None

    async def answer(self, request: web.Request) -> web.Response:
        going = self.namespace is None or "deletionTimestamp" in self.namespace["metadata"]
        if request.path == NAMESPACE:
            return _found(self.namespace)
        if request.method == "POST":
            if going or self.forbids:
                return web.json_response({"kind": "Status", "code": 403}, status=403)
            self.lease = await request.json()
        if request.method == "PATCH" and self.lease is not None:
            self.lease["spec"] |= (await request.json())["spec"]
        if self.lease is not None:
            self.lease["metadata"]["resourceVersion"] = "7"
        return _found(self.lease)


def _found(body: dict[str, Any] | None) -> web.Response:
    return web.json_response(body or {"code": 404}, status=200 if body is not None else 404)


@pytest_asyncio.fixture
async def server() -> Server:
    return Server()


@pytest_asyncio.fixture
async def seats(server: Server, tmp_path: pathlib.Path) -> AsyncIterator[electing.LastingSeats]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(app) as running:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(CONFIG.format(server=running.make_url("")))
        opened = electing.LastingSeats(await client.Api.connect(kubeconfig), HOME)
        yield opened
        await opened.aclose()


async def test_while_its_namespace_stands_the_lease_is_any_operators(
    seats: electing.LastingSeats,
) -> None:
    assert await seats.read() is None
    written = await seats.write(MINE)
    assert await seats.read() == written
    assert written == replace(MINE, version="7", begins=False)


async def test_a_lease_that_is_refused_in_a_namespace_that_stands_is_refused(
    seats: electing.LastingSeats, server: Server
) -> None:
    server.forbids = True
    with pytest.raises(errors.Refused):
        await seats.write(MINE)


@pytest.mark.parametrize("gone", [False, True])
async def test_where_no_lease_can_be_made_one_leads_without(
    seats: electing.LastingSeats, server: Server, gone: bool
) -> None:
    server.goes()
    if gone:
        server.namespace = None
    election = Election("me")
    now = await _round(seats, election, 0.0)
    assert election.standing(now) is Standing.LEADING
    now = await _round(seats, election, 2.0)
    assert election.standing(now + DEADLINE / 2) is Standing.LEADING


async def test_a_lease_that_goes_with_the_namespace_is_not_lost(
    seats: electing.LastingSeats, server: Server
) -> None:
    election = Election("me")
    await _round(seats, election, 0.0)
    server.goes()
    now = await _round(seats, election, 2.0)
    assert election.standing(now) is Standing.LEADING


async def test_a_lease_that_is_deleted_where_the_namespace_stands_is_lost(
    seats: electing.LastingSeats, server: Server
) -> None:
    election = Election("me")
    await _round(seats, election, 0.0)
    server.lease = None
    now = await _round(seats, election, 2.0)
    assert election.standing(now) is Standing.LOST


async def test_whoever_led_when_the_lease_was_last_seen_has_its_time(
    seats: electing.LastingSeats, server: Server
) -> None:
    theirs = {"holderIdentity": "operator", "leaseDurationSeconds": int(DURATION)}
    server.lease = {"metadata": {}, "spec": theirs}
    election = Election("me")
    await _round(seats, election, 0.0)
    server.goes()
    now = await _round(seats, election, DURATION - 1)
    assert election.standing(now) is Standing.WAITING
    now = await _round(seats, election, DURATION + 1)
    assert election.standing(now) is Standing.LEADING


async def _round(seats: electing.LastingSeats, election: Election, now: float) -> float:
    """What the elector does at a moment."""
    bid = election.bid(await seats.read(), now)
    if bid is not None:
        election.wrote(await seats.write(bid), now, now)
    return now
