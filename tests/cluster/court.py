"""Two tenants of one operator: one who minds his own business, and one who doesn't.

The second holds a real ServiceAccount whose Role lets it do everything with DynamicLeases (their
status too), LeaseProviders, LeaseRecords, Secrets and ConfigMaps of its own namespace, and nothing
else. The operator has the rights that deploy/ ships, cluster-wide.
"""

import collections.abc
import contextlib
import dataclasses
import typing

from tests.cluster import rogue, sites
from tests.world import kube, operator
from tests.world import world as worlds
from tests.world.infisical import client as infisical

LEASE = "orders"
FAST: dict[str, typing.Any] = {"ttl": "60s", "renewal": {"afterPercent": 3}}
"""Renewed every three seconds."""
IN_TIME = 25.0
"""Seconds without a renewal, with half a minute to spare."""
_GROUP = "rbac.authorization.k8s.io"
_RULES = [
    {
        "apiGroups": ["leaseholder.dev"],
        "resources": ["*"],
        "verbs": ["*"],
    },
    {"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["*"]},
]


@dataclasses.dataclass(slots=True)
class Court:
    """Where attacks are made and judged."""

    victim: sites.Site
    """Acts as an administrator would, in the namespace that is attacked."""
    tenant: sites.Site
    """Acts with the attacker's token, in the attacker's namespace."""
    server: rogue.Rogue
    """The attacker's own server."""
    values: dict[str, str]
    """The credentials that the victim has had all the time."""
    lease_id: str

    async def own_provider(self, name: str = "own", **spec: typing.Any) -> None:
        """A LeaseProvider at the attacker's own server."""
        await self.provider(name, self.server.url, **spec)

    async def provider(
        self, name: str, url: str, *, auth: kube.Object | None = None, **spec: typing.Any
    ) -> None:
        """A LeaseProvider of the attacker's, at that url."""
        given = auth or self.tenant.universal_auth("own-auth")
        await self.tenant.provider_at(name, url, auth=given, **spec)

    async def told(self, name: str, reason: str, *, timeout: float = 90.0) -> str:
        """The sentence at a LeaseProvider of the attacker's that isn't ready for that reason."""
        return await self.tenant.provider_told(name, reason, timeout=timeout)

    @contextlib.asynccontextmanager
    async def attacked(self) -> collections.abc.AsyncIterator[typing.Self]:
        """The court; the victim is looked at after the attack, while it goes on."""
        try:
            yield self
            await self.is_untouched()
        finally:
            await self.clean()

    async def is_untouched(self) -> None:
        """The victim's lease is the one that it was, lets in, and is renewed in time.

        Raises:
            AssertionError: it isn't.
        """
        site = self.victim
        found = await site.found(LEASE)
        assert kube.is_ready(found)
        assert found is not None
        before = found["status"]["lease"]["renewals"]
        found = await site.renewals(LEASE, before + 1, timeout=IN_TIME)
        assert found["status"]["lease"]["id"] == self.lease_id
        assert await site.credentials(LEASE) == self.values
        assert site.lets_in(self.values)
        known = await site.leases(self.lease_id)
        assert known is not None
        assert known.alive
        records = await site.records()
        mine = [r for r in records if r["for"]["namespace"] == site.namespace]
        assert [r["state"] for r in mine] == ["Held"]

    async def clean(self) -> None:
        """Take away what the attacker left."""
        self.server.behave()
        client, namespace = self.victim.client, self.tenant.namespace
        for kind in ("DynamicLease", "LeaseProvider", "LeaseRecord"):
            for one in await client.list(kind, namespace):
                meta = one["metadata"]
                if kind == "DynamicLease" and meta.get("finalizers"):
                    gone: kube.Object = {"metadata": {"finalizers": []}}
                    with contextlib.suppress(kube.Refused):
                        await client.delete(kind, meta["name"], namespace)
                        await client.patch(kind, meta["name"], namespace, gone)
                await client.delete(kind, meta["name"], namespace)
        for one in await client.list("ClusterLeaseProvider"):
            if one["metadata"]["name"].startswith(f"{self.victim.namespace}-"):
                await client.delete("ClusterLeaseProvider", one["metadata"]["name"])
        for one in await client.list("Secret", namespace):
            if one["metadata"]["name"] != "own-auth":
                await client.delete("Secret", one["metadata"]["name"], namespace)


@contextlib.asynccontextmanager
async def opened(
    world: worlds.World, name: str, **settings: str
) -> collections.abc.AsyncIterator[Court]:
    """Two namespaces, an operator that serves both, a lease of the victim's, and the attacker."""
    home, ours, theirs = f"leaseholder-{name}", name, f"{name}-rogue"
    all_settings = {**operator.FAST, **settings}
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(kube.Kube(world.control_plane))
        admin = await stack.enter_async_context(infisical.InfisicalAdmin(world.infisical.url))
        server = await stack.enter_async_context(rogue.serving())
        await operator.install(client, home)
        for namespace in (ours, theirs):
            await client.apply(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            )
        token = await _tenant(client, theirs)
        tenant = await stack.enter_async_context(kube.Kube(world.control_plane, token))
        running = await operator.Operator.start(
            world,
            client,
            name=home,
            home=home,
            namespaces=f"{ours},{theirs}",
            settings=all_settings,
        )
        both = f"{ours},{theirs}"
        victim = sites.Site(world, client, admin, running, ours, home, all_settings, serves=both)
        stack.callback(lambda: victim.operator.stop())
        attacker = sites.Site(world, tenant, admin, running, theirs, home, all_settings)
        await victim.auth_secret()
        await victim.provider()
        await victim.lease(LEASE, **FAST)
        held = await victim.ready(LEASE)
        await attacker.auth_secret("own-auth", clientId="own", clientSecret="own-secret")
        values = await victim.credentials(LEASE)
        yield Court(victim, attacker, server, values, held["status"]["lease"]["id"])


async def _tenant(client: kube.Kube, namespace: str) -> str:
    """The attacker's token."""
    place = {"name": "tenant", "namespace": namespace}
    reference = {"apiGroup": _GROUP, "kind": "Role", "name": "tenant"}
    subject = {"kind": "ServiceAccount", **place}
    for document in (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place},
        {"apiVersion": f"{_GROUP}/v1", "kind": "Role", "metadata": place, "rules": _RULES},
        {
            "apiVersion": f"{_GROUP}/v1",
            "kind": "RoleBinding",
            "metadata": place,
            "roleRef": reference,
            "subjects": [subject],
        },
    ):
        await client.apply(document)
    return await client.service_account_token("tenant", namespace)
