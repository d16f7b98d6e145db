"""What the operator does with DynamicLeases, records, Secrets and workloads, right by right.

Each function tries one thing without the right, sees it named, and does it with the right.
"""

import datetime
import typing

from tests.cluster import uses, workloads
from tests.cluster.withheld import READYZ, SOON, Withheld
from tests.world import kube, processes

SHARED: typing.Final = "ldap-static"
"""A source that is one account."""
KINDS: typing.Final = {
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "rollouts": "Rollout",
}


# -- DynamicLeases


async def issued(one: Withheld) -> None:
    """A new DynamicLease gets a lease."""
    async with one.gone():
        await one.site.lease(one.name, ttl="1h")
        await one.at(one.name, "Ready", "Stalled")
        assert await one.site.credentials(one.name) == {}
    await uses.lives_and_goes(one)


async def _isnt_rotated(one: Withheld) -> None:
    await uses.say(one, "rotate")
    await one.at(one.name, "Stalled")
    assert await one.site.logs_in(one.name)


async def replaced(one: Withheld) -> None:
    """A lease is replaced on command."""
    held = await uses.held(one)
    async with one.gone():
        await _isnt_rotated(one)
    await uses.has_another(one, held)
    await uses.lives_and_goes(one)


async def kept_apart(one: Withheld) -> None:
    """Two want one Secret: the second one is told whose it is."""
    owner = f"{one.name}-owner"
    await uses.held(one, owner)
    await _is_older(one, owner)
    async with one.gone():
        await one.site.lease(one.name, ttl="1h", target={"secretName": owner})
        await one.at(one.name, "Ready", "Stalled")
    found = await one.site.reason(one.name, "SecretNotOurs", timeout=SOON)
    assert f"belongs to DynamicLease {owner}" in kube.condition(found, "Ready")["message"]
    await one.site.delete(one.name)
    await uses.lives_and_goes(one, owner)


async def _is_older(one: Withheld, name: str) -> None:
    """Wait until what is made now is younger: the API server writes whole seconds."""
    found = await one.site.found(name)
    assert found is not None
    made = datetime.datetime.fromisoformat(found["metadata"]["creationTimestamp"])
    over = made + datetime.timedelta(seconds=1)

    async def is_older() -> bool:
        return datetime.datetime.now(datetime.UTC) >= over

    await processes.wait_until_async(is_older, what="a second is over")


async def heard_of(one: Withheld) -> None:
    """A new DynamicLease is heard of."""
    async with one.gone():
        uses.break_watches(one, "/dynamicleases")
        await one.in_log("a watch isn't open")
        await one.in_answer(READYZ)
        await one.site.lease(one.name, ttl="1h")
    await one.ready()
    await uses.lives_and_goes(one)


async def finalized(one: Withheld) -> None:
    """The finalizer is put on a new DynamicLease, and taken off one that is deleted."""
    going = f"{one.name}-going"
    await uses.held(one, going)
    values = await one.site.credentials(going)
    async with one.gone():
        await one.site.lease(one.name, ttl="1h")
        await one.site.delete(going)
        await one.at(one.name, "Ready", "Stalled")
        await one.at(going, "Ready", "Stalled")
        assert not one.site.lets_in(values)
    await one.site.gone(going)
    await uses.lives_and_goes(one)


async def reported(one: Withheld) -> None:
    """Status says how things are."""
    async with one.gone():
        await one.site.lease(one.name, ttl="1h")
        for kind in uses.PROVIDERS.values():
            await uses.provider(one, kind)
        await one.in_log("step failed", "dynamicleases/status")
        for plural in uses.PROVIDERS:
            await one.in_log("check failed", f"{plural}/status")
    for kind in uses.PROVIDERS.values():
        await uses.provider_ready(one, kind)
    await uses.lives_and_goes(one)


# -- the ledger


async def reread(one: Withheld) -> None:
    """A record that somebody else wrote is read again."""
    held = await uses.held(one)
    (page,) = await one.site.pages(one.name)
    async with one.gone():
        note = {"metadata": {"annotations": {"example.com/note": "1"}}}
        await one.site.client.patch("LeaseRecord", page["metadata"]["name"], one.site.home, note)
        await _isnt_rotated(one)
    await uses.has_another(one, held)
    await uses.lives_and_goes(one)


async def shared(one: Withheld) -> None:
    """A lease of a shared account is issued, which others may hold."""
    async with one.gone():
        await one.site.lease(one.name, source=SHARED, ttl="1h")
        await one.at(one.name, "Ready", "Stalled")
        assert await one.site.issued(SHARED) == []
    await one.site.ready(one.name, timeout=SOON)
    assert await one.site.admin.check(await one.site.credentials(one.name))
    await one.site.delete(one.name)
    await one.site.gone(one.name)


async def cleared(one: Withheld) -> None:
    """The record of a DynamicLease that is gone goes, too."""
    await uses.held(one)
    values = await one.site.credentials(one.name)
    async with one.gone():
        await one.site.delete(one.name)
        await one.in_log("step failed")
        await one.site.gone(one.name)
        assert not one.site.lets_in(values)

    async def is_clear() -> bool:
        return await one.site.pages(one.name) == []

    await processes.wait_until_async(is_clear, what="no record is left", timeout=SOON)


# -- Secrets


async def repaired(one: Withheld) -> None:
    """A Secret that somebody edited is put right."""
    await uses.held(one)
    async with one.gone():
        await _edit(one)
        await one.at(one.name, "Ready", "Stalled")
    await _logs_in_again(one)
    await uses.lives_and_goes(one)


async def read(one: Withheld) -> None:
    """The same, and a new provider is logged in at by a Secret."""
    await repaired(one)
    async with one.gone():
        await one.site.provider(one.name)
        await one.at(one.name, "Ready", kind="LeaseProvider", reason="AuthSecretMissing")
    await uses.provider_ready(one)


async def followed(one: Withheld) -> None:
    """That a Secret was edited is noticed."""
    await uses.held(one)
    async with one.gone():
        uses.break_watches(one, "/secrets")
        await one.in_log("the watch on Secrets isn't open")
        await one.in_answer(READYZ)
        await _edit(one)
    await _logs_in_again(one)
    await one.ready()
    await uses.lives_and_goes(one)


async def deleted(one: Withheld) -> None:
    """A DynamicLease is deleted, with its Secret and its lease."""
    await uses.held(one)
    values = await one.site.credentials(one.name)
    async with one.gone():
        await one.site.delete(one.name)
        await one.at(one.name, "Ready", "Stalled")
        assert await one.site.logs_in(one.name)
    await one.site.gone(one.name)
    assert await one.site.credentials(one.name) == {}
    assert not one.site.lets_in(values)


async def _edit(one: Withheld) -> None:
    change = {"stringData": {"DB_PASSWORD": "edited"}}
    await one.site.client.patch("Secret", one.name, one.site.namespace, change)
    assert not await one.site.logs_in(one.name)


async def _logs_in_again(one: Withheld) -> None:
    async def logs_in() -> bool:
        return await one.site.logs_in(one.name)

    await processes.wait_until_async(logs_in, what="the Secret is put right", timeout=SOON)


# -- workloads


async def restarted(one: Withheld) -> None:
    """Workloads of each kind are restarted for a new lease.

    After a refusal that takes a minute, so the last test looks for it.
    """
    for resource, name in _workloads(one).items():
        kind = KINDS[resource]
        await one.site.client.apply(_workload(kind, name, one.site.namespace))
        by_label = {"selector": {"matchLabels": {"app": name}}}
        which = by_label if one.right.verb == "list" else {"name": name}
        targets = {"restartTargets": [{"kind": kind, **which}]}
        await one.site.lease(name, ttl="1h", rotation=targets)
    for name in _workloads(one).values():
        await one.site.ready(name)
    async with one.gone():
        for name in _workloads(one).values():
            await uses.say(one, "rotate", name)
        for resource, name in _workloads(one).items():
            await one.at(name, "RolloutComplete", resource=resource)
            assert await one.site.logs_in(name)


async def are_restarted(one: Withheld) -> None:
    """The workloads of that row have come to their restart."""
    for resource, name in _workloads(one).items():
        found = await one.site.client.wait(
            KINDS[resource], name, one.site.namespace, _is_restarted, what="it is restarted"
        )
        assert name in str(found)


def _workloads(one: Withheld) -> dict[str, str]:
    """The workload of each kind that a row is about, and its DynamicLease: their one name."""
    return {resource: f"{one.right.verb}-{resource}" for resource in one.right.resources}


def _workload(kind: str, name: str, namespace: str) -> kube.Object:
    made = workloads.manifest(kind, name, namespace, app=name)
    return {**made, "apiVersion": "argoproj.io/v1alpha1"} if kind == "Rollout" else made


def _is_restarted(found: kube.Object | None) -> bool:
    return "restart.leaseholder.dev/" in str(found)
