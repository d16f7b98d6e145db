"""A site: a namespace with an operator that serves it, a provider, and eyes on the world.

Each test module works in a site of its own; modules share the servers, not the operator.
"""

import collections.abc
import contextlib
import dataclasses
import typing

import aiohttp

from tests.world import houses, kube, operator
from tests.world import world as worlds
from tests.world.infisical import client as infisical
from tests.world.infisical import seeds

SOURCE = {"projectSlug": "demo", "environmentSlug": "prod", "path": "/"}


@dataclasses.dataclass(slots=True)
class Site:
    """Where a test acts and looks."""

    world: worlds.World
    client: kube.Kube
    admin: infisical.InfisicalAdmin
    operator: operator.Operator
    namespace: str
    home: str
    settings: dict[str, str]
    house: houses.House | None = None
    """Where leases come from, if not from the world's Infisical."""
    serves: str = ""
    """The namespaces that the operator serves; empty: this one."""
    shared: set[str] = dataclasses.field(default_factory=set)
    """ClusterLeaseProviders that were applied: other sites' operators would look at them, too."""

    async def provider(
        self,
        name: str = "infisical",
        *,
        auth: kube.Object | None = None,
        kind: str = "LeaseProvider",
        **spec: typing.Any,
    ) -> None:
        """Apply a provider; by default with the demo identity's client id and secret."""
        metadata = {"name": name}
        if kind == "LeaseProvider":
            metadata["namespace"] = self.namespace
        else:
            self.shared.add(name)
        infisical_ = {"url": self.world.provider_url, "auth": auth or self.universal_auth()}
        ca = self.world.provider_ca_file
        trust = {}
        if ca is not None and "caBundleRef" not in spec:
            trust = {"caBundle": ca.read_text(encoding="utf-8")}
        await self.client.apply(
            {
                "apiVersion": "leaseholder.dev/v1alpha1",
                "kind": kind,
                "metadata": metadata,
                "spec": {"infisical": infisical_, **trust, **spec},
            }
        )

    async def provider_at(
        self, name: str, url: str, *, auth: kube.Object | None = None, **spec: typing.Any
    ) -> None:
        """Apply a LeaseProvider of the kind Infisical at any url, trusted by nothing of ours."""
        await self.client.apply(
            {
                "apiVersion": "leaseholder.dev/v1alpha1",
                "kind": "LeaseProvider",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"infisical": {"url": url, "auth": auth or self.universal_auth()}, **spec},
            }
        )

    async def provider_told(self, name: str, reason: str, *, timeout: float = 90.0) -> str:
        """The sentence at a LeaseProvider, once it isn't ready for that reason."""
        found = await self.client.wait(
            "LeaseProvider",
            name,
            self.namespace,
            lambda one: kube.condition(one, "Ready").get("reason") == reason,
            what=reason,
            timeout=timeout,
        )
        return str(kube.condition(found, "Ready")["message"])

    async def lock_out(self, identity: seeds.Identity) -> None:
        """Somebody tries wrong client secrets for an identity."""
        assert identity.universal_auth is not None
        url = f"{self.world.infisical.url}/api/v1/auth/universal-auth/login"
        wrong = {"clientId": identity.universal_auth.client_id, "clientSecret": "wrong"}
        async with aiohttp.ClientSession() as session:
            for _ in range(identity.universal_auth.lockout_threshold):
                async with session.post(url, json=wrong) as answer:
                    assert answer.status == 401

    def universal_auth(self, secret: str = "infisical-auth") -> kube.Object:
        """Universal Auth by the Secret that ``credentials_for_provider`` writes."""
        return {
            "universalAuth": {
                "clientIdSecretRef": {"name": secret, "key": "clientId"},
                "clientSecretRef": {"name": secret, "key": "clientSecret"},
            }
        }

    async def auth_secret(self, name: str = "infisical-auth", **values: str) -> None:
        """A Secret to log in with; by default the demo identity's."""
        given = values or {
            "clientId": self.world.infisical.client_id,
            "clientSecret": self.world.infisical.client_secret,
        }
        await self.client.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": self.namespace},
                "stringData": given,
            }
        )

    async def lease(
        self,
        name: str,
        *,
        source: str = "orders-db",
        provider: str = "",
        annotations: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        **spec: typing.Any,
    ) -> None:
        """Apply a DynamicLease; by default of the site's provider."""
        provider = provider or (self.house.type if self.house is not None else "infisical")
        await self.client.apply(
            {
                "apiVersion": "leaseholder.dev/v1alpha1",
                "kind": "DynamicLease",
                "metadata": {
                    "name": name,
                    "namespace": self.namespace,
                    "annotations": annotations or {},
                    "labels": labels or {},
                },
                "spec": {"providerRef": {"name": provider}, **self.source(source), **spec},
            }
        )

    @property
    def sources(self) -> tuple[str, str]:
        """Two sources whose leases do the same."""
        return self.house.sources if self.house is not None else ("orders-db", "endless-db")

    def source(self, name: str) -> kube.Object:
        """The part of a DynamicLease's spec that says what is asked for."""
        if self.house is not None:
            return {self.house.type: self.house.source(name)}
        return {"infisical": {**SOURCE, "dynamicSecretName": name}}

    async def found(self, name: str) -> kube.Object | None:
        """A DynamicLease as it stands."""
        return await self.client.get("DynamicLease", name, self.namespace)

    async def until(
        self,
        name: str,
        holds: collections.abc.Callable[[kube.Object | None], bool],
        *,
        what: str,
        timeout: float = 90.0,
    ) -> kube.Object:
        """Wait until a DynamicLease is as wanted; returns it."""
        found = await self.client.wait(
            "DynamicLease", name, self.namespace, holds, what=what, timeout=timeout
        )
        return found or {}

    async def ready(self, name: str, *, timeout: float = 90.0) -> kube.Object:
        """Wait for the condition Ready."""
        return await self.until(name, kube.is_ready, what="Ready", timeout=timeout)

    async def reason(self, name: str, reason: str, *, timeout: float = 90.0) -> kube.Object:
        """Wait until the condition Ready has a reason."""
        return await self.until(
            name,
            lambda found: kube.condition(found, "Ready").get("reason") == reason,
            what=f"reason {reason}",
            timeout=timeout,
        )

    async def renewals(self, name: str, count: int, *, timeout: float = 90.0) -> kube.Object:
        """Wait until a lease was renewed at least so often."""
        return await self.until(
            name,
            lambda found: _renewals(found) >= count,
            what=f"{count} renewals",
            timeout=timeout,
        )

    async def delete(self, name: str) -> None:
        """Delete a DynamicLease; returns at once."""
        await self.client.delete("DynamicLease", name, self.namespace)

    async def gone(self, name: str, *, timeout: float = 90.0) -> None:
        """Wait until a DynamicLease is gone."""
        await self.until(name, kube.is_gone, what="gone", timeout=timeout)

    async def credentials(self, secret: str) -> dict[str, str]:
        """The values in a Secret; empty where there is none."""
        return await self.client.secret_values(secret, self.namespace) or {}

    async def logs_in(self, secret: str) -> bool:
        """Whether PostgreSQL lets the credentials of a Secret in."""
        values = await self.credentials(secret)
        return bool(values) and self.lets_in(values)

    def lets_in(self, values: collections.abc.Mapping[str, str]) -> bool:
        """Whether PostgreSQL lets these credentials in."""
        return self.world.postgres.can_log_in(values["DB_USERNAME"], values["DB_PASSWORD"])

    async def pages(self, name: str) -> list[kube.Object]:
        """The LeaseRecords of this site for a DynamicLease's name."""
        found = await self.client.list("LeaseRecord", self.home)
        return [one for one in found if one["spec"]["for"]["name"] == name]

    async def records(self, name: str | None = None) -> list[kube.Object]:
        """The leases on this site's ledger, of one DynamicLease or all; with whom they are for."""
        return [
            {**lease, "for": page["spec"]["for"]}
            for page in await self.client.list("LeaseRecord", self.home)
            for lease in page["spec"].get("leases", ())
            if name is None or page["spec"]["for"]["name"] == name
        ]

    async def leases(self, lease_id: str) -> infisical.Lease | None:
        """A lease as the provider knows it."""
        return next((one for one in await self.admin.leases() if one.id == lease_id), None)

    async def issued(self, name: str) -> list[infisical.Lease]:
        """Every lease that the provider ever issued for this site's attempts of a source."""
        found = await self.admin.leases()
        return [one for one in found if self._ours(one.config) and one.dynamic_secret == name]

    async def all_issued(self) -> list[infisical.Lease]:
        """Every lease that the provider ever issued for this site."""
        return [one for one in await self.admin.leases() if self._ours(one.config)]

    async def works(self, values: collections.abc.Mapping[str, str]) -> bool:
        """Whether the target lets these in: PostgreSQL, or one that the emulator plays itself."""
        if self.house is not None:
            return await self.house.lets_in(values)
        if "DB_USERNAME" not in values:
            return await self.admin.check(values)
        user, password = values["DB_USERNAME"], values["DB_PASSWORD"]
        return await self.world.postgres.can_log_in_async(user, password)

    async def asked_of(self) -> dict[str, str]:
        """The source of every lease that lives, by its id."""
        if self.house is not None:
            return {id_: one.source for id_, one in (await self.house.living()).items()}
        return {one.id: one.dynamic_secret for one in await self.all_issued() if one.id}

    async def living(self) -> set[str | None]:
        """This site's leases that the provider still has, or whose credentials are let in."""
        if self.house is not None:
            return {*await self.house.living()}
        return {one.id for one in await self.all_issued() if one.alive or one.row is not None}

    async def shown(self) -> set[str]:
        """The leases that this site's Secrets name."""
        found = await self.client.list("Secret", self.namespace, labels="leaseholder.dev/owner-uid")
        notes = [one["metadata"].get("annotations", {}) for one in found]
        return {str(one.get("leaseholder.dev/lease-id")) for one in notes}

    async def is_settled(self) -> bool:
        """Whether what lives, what is on record and what Secrets show is the same."""
        shown = await self.shown()
        records = await self.records()
        held = {one["leaseId"] for one in records if one["state"] == "Held"}
        return len(records) == len(held) and shown == held == await self.living()

    def _ours(self, config: typing.Any) -> bool:
        tag = config.get("leaseholder", {}) if isinstance(config, dict) else {}
        return str(tag.get("installation", "")).endswith(f"/{self.home}")

    async def restart(self) -> None:
        """Start another operator in the place of one that ended."""
        self.operator = await operator.Operator.start(
            self.world,
            self.client,
            name=f"{self.home}-again",
            home=self.home,
            namespaces=self.serves or self.namespace,
            settings=self.settings,
            awaited=False,
        )
        await self.operator.until_ready()


def _renewals(found: kube.Object | None) -> int:
    lease = ((found or {}).get("status") or {}).get("lease") or {}
    return int(lease.get("renewals", 0))


@contextlib.asynccontextmanager
async def site(
    world: worlds.World, name: str, **settings: str
) -> collections.abc.AsyncIterator[Site]:
    """Open a site: namespace, operator, auth Secret and provider ``infisical``.

    ``settings`` are the operator's, beside those that suit the emulator.
    """
    async with _bare(world, name, settings) as opened:
        await opened.auth_secret()
        await opened.provider()
        yield opened


@contextlib.asynccontextmanager
async def site_of(
    house: houses.House,
    world: worlds.World,
    name: str,
    *,
    trusts: str | None,
    **settings: str,
) -> collections.abc.AsyncIterator[Site]:
    """Open a site whose provider goes by the house's type and is trusted by ``trusts`` (PEM)."""
    async with _bare(world, name, {**house.settings, **settings}) as opened:
        opened.house = house
        for document in houses.manifests(house, name, house.type, trusts):
            await opened.client.apply(document)
        yield opened


@contextlib.asynccontextmanager
async def _bare(
    world: worlds.World, name: str, settings: collections.abc.Mapping[str, str]
) -> collections.abc.AsyncIterator[Site]:
    """A namespace and an operator that serves it."""
    home, all_settings = f"leaseholder-{name}", {**operator.FAST, **settings}
    async with (
        kube.Kube(world.control_plane) as client,
        infisical.InfisicalAdmin(world.infisical.url) as admin,
    ):
        shards = filter(None, all_settings.get("LEASEHOLDER_SHARDS", "").split(","))
        await operator.install(client, home, shards=[*shards])
        await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        running = await operator.Operator.start(
            world, client, name=home, home=home, namespaces=name, settings=all_settings
        )
        opened = Site(world, client, admin, running, name, home, all_settings)
        try:
            yield opened
        finally:
            opened.operator.stop()
            for shared in opened.shared:
                await client.delete("ClusterLeaseProvider", shared)
