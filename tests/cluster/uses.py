"""What the features of ``features`` and ``services`` have in common: one to try, and its proof."""

import typing

from tests.cluster.withheld import SOON, Withheld
from tests.world import kube

PROVIDERS: typing.Final = {
    "leaseproviders": "LeaseProvider",
    "clusterleaseproviders": "ClusterLeaseProvider",
}


async def held(one: Withheld, name: str = "") -> str:
    """A DynamicLease with a lease whose credentials log in; the lease's id."""
    name = name or one.name
    await one.site.lease(name, ttl="1h")
    found = await one.site.ready(name)
    assert await one.site.logs_in(name)
    return str(found["status"]["lease"]["id"])


async def lives_and_goes(one: Withheld, name: str = "") -> None:
    """With the right: credentials log in, and are dead once the DynamicLease is deleted."""
    name = name or one.name
    await one.site.ready(name, timeout=SOON)
    values = await one.site.credentials(name)
    assert one.site.lets_in(values)
    await one.site.delete(name)
    await one.site.gone(name)
    assert not one.site.lets_in(values)


async def has_another(one: Withheld, held: str) -> None:
    """The DynamicLease gets another lease than the one that it had."""

    def is_another(found: kube.Object | None) -> bool:
        return kube.is_ready(found) and (found or {})["status"]["lease"]["id"] != held

    await one.site.until(one.name, is_another, what="another lease", timeout=SOON)


async def say(one: Withheld, command: str, name: str = "") -> None:
    change = {"metadata": {"annotations": {f"leaseholder.dev/{command}": "1"}}}
    await one.site.client.patch("DynamicLease", name or one.name, one.site.namespace, change)


async def refer(one: Withheld, ref: dict[str, str]) -> None:
    change = {"spec": {"providerRef": ref}}
    await one.site.client.patch("DynamicLease", one.name, one.site.namespace, change)


async def provider(one: Withheld, kind: str, **spec: typing.Any) -> None:
    auth = one.site.universal_auth()
    for reference in auth["universalAuth"].values() if kind != "LeaseProvider" else ():
        reference["namespace"] = one.site.namespace
    await one.site.provider(one.name, kind=kind, auth=auth, **spec)


async def provider_ready(one: Withheld, kind: str = "LeaseProvider") -> None:
    namespace = one.site.namespace if kind == "LeaseProvider" else ""
    await one.site.client.wait(kind, one.name, namespace, kube.is_ready, what="Ready", timeout=SOON)


async def token(one: Withheld) -> str:
    """A token of a ServiceAccount of its own."""
    place = {"name": one.name, "namespace": one.site.namespace}
    await one.site.client.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place})
    return await one.site.client.service_account_token(one.name, one.site.namespace)


def break_watches(one: Withheld, path: str) -> None:
    """What is open goes on without the right, until it ends."""
    proxy: typing.Any = one.site.world.kubernetes_faults
    assert proxy.faults.drop_watches(path)
