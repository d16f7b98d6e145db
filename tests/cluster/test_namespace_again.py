"""A namespace that is made again belongs to somebody else: what stands there now stays there.

The first tenant's server refuses to revoke, so the operator still has business with it when the
second tenant's Secret and ServiceAccount stand under the old names.
"""

import json
import typing

import pytest
from aiohttp import web

from tests.cluster import rogue, sites
from tests.world import kube, processes
from tests.world import world as worlds

SECOND = "the-second-tenants"


async def test_a_secret_of_the_second_tenant_reaches_no_server_of_the_first(
    world: worlds.World,
) -> None:
    async with rogue.serving() as server, sites.site(world, "again-secret") as site:
        await site.auth_secret(clientId="first", clientSecret="first-secret")
        await _left_with_a_pending_lease(site, server, site.universal_auth())
        logins = server.count(rogue.LOGIN)
        await _made_again(site)
        await site.auth_secret(clientId=SECOND, clientSecret=SECOND)
        await _pending_for_want_of_a_login(site)
        assert server.count(rogue.LOGIN) == logins
        assert SECOND not in _heard(server)


@pytest.mark.timeout(600)
async def test_a_token_of_the_second_tenant_reaches_no_server_of_the_first_after_a_restart(
    world: worlds.World,
) -> None:
    way = {"identityId": "x", "serviceAccountRef": {"name": "login"}, "audience": "first"}
    async with rogue.serving() as server, sites.site(world, "again-token") as site:
        await site.client.apply(_account(site.namespace))
        await _left_with_a_pending_lease(site, server, {"kubernetesAuth": way})
        site.operator.kill()
        logins = server.count(rogue.BY_ACCOUNT)
        await _made_again(site)
        await site.client.apply(_account(site.namespace))
        await site.restart()
        await _pending_for_want_of_a_login(site)
        assert server.count(rogue.BY_ACCOUNT) == logins


async def _left_with_a_pending_lease(
    site: sites.Site, server: rogue.Rogue, auth: kube.Object
) -> None:
    """The first tenant's time: a lease that its server won't revoke, and the namespace goes."""
    server.trick(rogue.END, _refuses)
    await site.provider_at("rogue", server.url, auth=auth)
    await site.lease("orders", provider="rogue", deletion={"timeout": "1s"})
    await site.ready("orders")
    await site.client.delete("Namespace", site.namespace)
    await site.client.wait("Namespace", site.namespace, "", kube.is_gone, what="gone")
    (record,) = await site.records()
    assert record["state"] == "Revoking"


async def _made_again(site: sites.Site) -> None:
    await site.client.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": site.namespace}}
    )


async def _pending_for_want_of_a_login(site: sites.Site) -> None:
    """Wait until the revocation was tried once more, by what stands there now."""

    async def revocation() -> dict[str, typing.Any]:
        (record,) = await site.records()
        found: dict[str, typing.Any] = record["revoke"]
        return found

    before = (await revocation())["attempts"]

    async def tried() -> bool:
        return bool((await revocation())["attempts"] > before)

    await processes.wait_until_async(tried, what="another try to revoke")
    assert (await revocation())["lastReason"] == "AuthGone"


async def _refuses(_: web.Request) -> web.StreamResponse:
    """As if the login were over, so that the next one reads what stands in the namespace."""
    body = {"reqId": "req-1", "statusCode": 401, "message": "Token missing", "error": "TokenError"}
    return web.json_response(body, status=401)


def _account(namespace: str) -> kube.Object:
    metadata = {"name": "login", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def _heard(server: rogue.Rogue) -> str:
    heard: list[typing.Any] = [[one.body, one.bearer, one.path] for one in server.asked]
    return json.dumps(heard)
