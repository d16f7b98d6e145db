"""With LEASEHOLDER_REQUIRE_AUTH_LABEL only Secrets that are labelled for providers are read."""

import json

from tests.cluster import rogue, sites
from tests.world import kube
from tests.world import world as worlds

PLANTED = "the-database-owners"


async def test_a_secret_without_the_label_reaches_no_server(world: worlds.World) -> None:
    setting = {"LEASEHOLDER_REQUIRE_AUTH_LABEL": "true"}
    async with rogue.serving() as server, sites.site(world, "label", **setting) as site:
        await site.auth_secret("db-root", password=PLANTED)
        stolen = {"name": "db-root", "key": "password"}
        auth = {"universalAuth": {"clientId": "mine", "clientSecretRef": stolen}}
        await site.provider_at("rogue", server.url, auth=auth)
        sentence = await site.provider_told("rogue", "AuthSecretMissing")
        assert "kubectl -n label label secret db-root leaseholder.dev/auth=true" in sentence
        assert PLANTED not in json.dumps([one.body for one in server.asked])

        await site.provider_told("infisical", "AuthSecretMissing")
        labels = {"metadata": {"labels": {"leaseholder.dev/auth": "true"}}}
        await site.client.patch("Secret", "infisical-auth", site.namespace, labels)
        await site.lease("orders")
        assert kube.is_ready(await site.ready("orders"))
        assert await site.logs_in("orders")
