"""What the operator does with providers, events, metrics and its own Lease, right by right.

Each function tries one thing without the right, sees it named, and does it with the right.
"""

import asyncio
import contextlib
import typing

from leaseholder.cluster import electing
from tests.cluster import uses
from tests.cluster.withheld import METRICS, READYZ, SOON, Withheld
from tests.world import processes
from tests.world.infisical import seeds

AUDIENCE: typing.Final = "infisical"


# -- providers


async def logged_in_anew(one: Withheld) -> None:
    """A new provider is logged in at."""
    async with one.gone():
        for plural, kind in uses.PROVIDERS.items():
            await uses.provider(one, kind)
            await one.at(one.name, "Ready", kind=kind, resource=plural)
    for kind in uses.PROVIDERS.values():
        await uses.provider_ready(one, kind)


async def providers_heard_of(one: Withheld) -> None:
    """New providers are heard of."""
    async with one.gone():
        uses.break_watches(one, "leaseproviders")
        for plural, kind in uses.PROVIDERS.items():
            await one.in_log("a watch isn't open", plural)
            await uses.provider(one, kind)
        await one.in_answer(READYZ, "clusterleaseproviders")
    await one.ready()
    for kind in uses.PROVIDERS.values():
        await uses.provider_ready(one, kind)


async def namespaces_known(one: Withheld) -> None:
    """The operator starts, and a ClusterLeaseProvider allows namespaces by their labels."""
    async with _starts(one):
        await one.in_log("waiting for the API server")
        await one.in_answer(READYZ)
        assert one.site.operator.answers("/healthz")  # or the kubelet starts it again and again
    chosen = {"selector": {"matchLabels": {"kubernetes.io/metadata.name": one.site.namespace}}}
    await uses.provider(one, "ClusterLeaseProvider", allowedNamespaces=[chosen])
    ref = {"kind": "ClusterLeaseProvider", "name": one.name}
    async with one.gone():
        await one.site.lease(one.name, ttl="1h", providerRef=ref)
        await one.at(one.name, "Ready", "Stalled")
    await uses.lives_and_goes(one)


async def logged_in_as_service_account(one: Withheld) -> None:
    """A provider is logged in at as a ServiceAccount."""
    keys = seeds.OidcAuth(
        jwks_from_api_server=True,
        jwks_bearer=await uses.token(one),
        bound_audiences=AUDIENCE,
        bound_subject=f"system:serviceaccount:{one.site.namespace}:{one.name}",
    )
    identity = seeds.Identity(name=one.name, universal_auth=None, oidc_auth=keys)
    await one.site.admin.seed(seeds.Seed(identities=[identity]))
    account = {"serviceAccountRef": {"name": one.name}, "audience": AUDIENCE}
    await _provided(one, auth={"oidcAuth": {"identityId": identity.id, **account}})


async def trusted(one: Withheld) -> None:
    """A provider is trusted by what a ConfigMap holds."""
    assert one.site.world.provider_ca_file is not None
    pem = one.site.world.provider_ca_file.read_text(encoding="utf-8")
    place = {"name": one.name, "namespace": one.site.namespace}
    bundle = {"kind": "ConfigMap", "metadata": place, "data": {"ca.crt": pem}}
    await one.site.client.apply({"apiVersion": "v1", **bundle})
    ref = {"kind": "ConfigMap", "name": one.name, "key": "ca.crt"}
    await _provided(one, caBundleRef=ref)


async def _provided(one: Withheld, **provider: typing.Any) -> None:
    """A provider that needs the right, and a lease of it."""
    async with one.gone():
        await one.site.provider(one.name, **provider)
        await one.site.lease(one.name, provider=one.name, ttl="1h")
        await one.at(one.name, "Ready", kind="LeaseProvider")
        await one.at(one.name, "Ready", "Stalled")
    await uses.lives_and_goes(one)


# -- events and metrics


async def announced(one: Withheld) -> None:
    """Events say what happens."""
    async with one.gone():
        await one.site.lease(one.name, ttl="1h")
        await one.in_log("event not posted")
        await one.site.ready(one.name)
    await uses.say(one, "rotate")
    async with asyncio.timeout(SOON):
        async for event in one.site.client.watch("Event", one.site.namespace):
            if event["involvedObject"]["name"] == one.name:
                break
    await uses.lives_and_goes(one)


async def counted(one: Withheld) -> None:
    """An event that comes again is counted."""
    await uses.provider(one, "ClusterLeaseProvider")
    elsewhere = {"kind": "ClusterLeaseProvider", "name": one.name}, "NamespaceNotAllowed"
    nowhere = {"kind": "LeaseProvider", "name": "nowhere"}, "ProviderMissing"
    await one.site.lease(one.name, ttl="1h", providerRef=nowhere[0])
    await one.site.reason(one.name, "ProviderMissing")
    async with one.gone():
        for ref, reason in (elsewhere, nowhere):
            await uses.refer(one, ref)
            await one.site.reason(one.name, reason)
        await one.in_log("event not posted")
    for ref, reason in (elsewhere, nowhere):
        await uses.refer(one, ref)
        await one.site.reason(one.name, reason)
    async with asyncio.timeout(SOON):
        async for event in one.site.client.watch("Event", one.site.namespace):
            if event["involvedObject"]["name"] == one.name and event["count"] > 1:
                break
    await uses.refer(one, {"kind": "LeaseProvider", "name": "infisical"})
    await uses.lives_and_goes(one)


async def scraped(one: Withheld) -> None:
    """Who may read metrics is known."""
    login = {"Authorization": f"Bearer {await uses.token(one)}"}
    async with one.gone():
        await one.in_answer(METRICS, **login)
        await one.in_log("metrics are refused")

    def is_known() -> bool:
        return "has no right to get /metrics" in one.refusal(METRICS, **login)

    await asyncio.to_thread(processes.wait_until, is_known, what="it is known", timeout=SOON)


# -- leader election


async def led(one: Withheld) -> None:
    """The leader goes on leading; without the right it stops acting, and doesn't end."""
    pid = one.site.operator.process.pid
    async with one.gone():
        await one.in_log("this process doesn't lead for now")
        await one.in_answer(READYZ)
    await one.ready()
    one.site.operator.process.check()
    assert one.site.operator.process.pid == pid
    await one.site.lease(one.name, ttl="1h")
    await uses.lives_and_goes(one)


async def elected(one: Withheld) -> None:
    """A process takes the Lease that another left, or that isn't there yet."""
    async with _starts(one):
        await one.in_log("standing by, and the Lease can't be taken")
    await one.site.lease(one.name, ttl="1h")
    await uses.lives_and_goes(one)


@contextlib.asynccontextmanager
async def _starts(one: Withheld) -> typing.AsyncIterator[None]:
    """Another process begins without the right, and is ready with it."""
    await asyncio.to_thread(one.site.operator.stop)
    if one.right.verb == "create":
        await one.site.client.delete("Lease", electing.LEASE, one.site.home)
    async with one.gone():
        starting = asyncio.create_task(one.site.restart())
        yield
        assert not starting.done()
    await starting
