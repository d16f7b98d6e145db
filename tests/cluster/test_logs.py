"""The log of a lease's life, from a real run, in both formats and at INFO."""

import asyncio
import collections.abc
import contextlib
import json
import re
import typing

import pytest
import pytest_asyncio

from tests.cluster import sites, workloads
from tests.world import kube, operator, processes
from tests.world import world as worlds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

Line = dict[str, typing.Any]
_TEXT = re.compile(r"(\S+Z) (DEBUG|INFO|WARNING|ERROR) (.*)")
LIFE = [
    "lease issued",
    "lease delivered",
    "ready",
    "lease renewed",
    "lease issued",
    "lease delivered",
    "lease rotated",
    "workload restarted",
    "lease rolled out",
    "lease pending revocation",
    "lease revoked",
    "suspended",
    "resumed",
    "secret deleted",
    "lease pending revocation",
    "lease revoked",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    settings = {"LEASEHOLDER_LOG_LEVEL": "info", "LEASEHOLDER_LOG_FORMAT": "json"}
    async with sites.site(world, "logs", **settings) as opened:
        yield opened


def lines(site: sites.Site) -> list[Line]:
    """All lines of the operator's log; each is a JSON object."""
    text = site.operator.log.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def of(site: sites.Site, name: str) -> list[Line]:
    """Those of one DynamicLease."""
    return [line for line in lines(site) if line.get("name") == name]


async def line(site: sites.Site, words: str, *, timeout: float = 30, **fields: str) -> Line:
    """Wait for a line."""

    async def found() -> Line:
        while True:
            for one in await asyncio.to_thread(lines, site):
                if one["message"] == words and fields.items() <= one.items():
                    return one
            await asyncio.sleep(0.1)

    return await asyncio.wait_for(found(), timeout)


async def annotate(site: sites.Site, name: str, command: str, nonce: str) -> None:
    notes = {"metadata": {"annotations": {f"leaseholder.dev/{command}": nonce}}}
    await site.client.patch("DynamicLease", name, site.namespace, notes)


async def renew(site: sites.Site, name: str) -> None:
    """Ask until it is late enough: a renewal has to add some seconds."""
    for nonce in range(100):
        await annotate(site, name, "renew", str(nonce))
        with contextlib.suppress(TimeoutError):
            await line(site, "lease renewed", name=name, timeout=1)
            return
    raise AssertionError("it was never renewed")


async def suspend(site: sites.Site, name: str, *, to: bool) -> None:
    await site.client.patch("DynamicLease", name, site.namespace, {"spec": {"suspend": to}})


async def live(site: sites.Site, name: str) -> None:
    """One lease's life: issued, renewed, rotated with a restart, suspended, deleted."""
    async with workloads.kubelet(site.client, site.namespace):
        deployment = workloads.manifest("Deployment", name, site.namespace)
        await site.client.apply(deployment)
        targets = [{"kind": "Deployment", "name": name}]
        rotation = {"overlap": "1s", "restartTargets": targets}
        await site.lease(name, ttl="1h", rotation=rotation)
        await site.ready(name)
        first = await line(site, "lease issued", name=name)
        await renew(site, name)
        await annotate(site, name, "rotate", "1")
        await line(site, "lease revoked", name=name, lease=first["lease"])
    await suspend(site, name, to=True)
    await line(site, "suspended", name=name)
    shown = await site.reason(name, "Suspended")
    assert kube.is_ready(shown)
    await suspend(site, name, to=False)
    await line(site, "resumed", name=name)
    await site.delete(name)
    await site.gone(name)
    held = [one for one in of(site, name) if one["message"] == "lease issued"]
    await line(site, "lease revoked", name=name, lease=held[-1]["lease"])


async def test_a_leases_life_is_told_line_by_line(site: sites.Site) -> None:
    await live(site, "orders")
    told = of(site, "orders")
    assert [one["message"] for one in told] == LIFE
    assert {one["level"] for one in told} == {"INFO"}
    for one in told:
        assert one["namespace"] == site.namespace
        assert one["uid"]
        assert one["provider"] == "LeaseProvider/infisical"
    issued = [one for one in told if one["message"] == "lease issued"]
    assert "why" not in issued[0]
    assert issued[1]["why"] == "leaseholder.dev/rotate says so"
    known = {one.id for one in await site.all_issued()}
    assert {one["lease"] for one in issued} <= known
    revoked = [one["lease"] for one in told if one["message"] == "lease revoked"]
    assert sorted(revoked) == sorted(one["lease"] for one in issued)
    for one in issued:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one["expires"])


async def test_the_first_line_says_what_is_in_force(site: sites.Site) -> None:
    first = lines(site)[0]
    assert first["message"] == "starting"
    assert first["namespaces"] == site.namespace
    assert first["operatorNamespace"] == site.home
    assert first["providerHosts"] == operator.HOSTS
    assert first["installation"].endswith(f"/{site.home}")
    assert (first["workers"], first["logLevel"]) == (16, "INFO")
    assert {"version", "python", "kopf"} <= first.keys()
    assert "LEASEHOLDER_INFISICAL__SETTLE_SECONDS=2" in first["changed"]


async def test_an_outage_of_many_leases_makes_two_lines(site: sites.Site) -> None:
    assert site.world.provider_faults is not None
    faults = site.world.provider_faults.faults
    names = [f"many-{number}" for number in range(6)]
    for name in names:
        await site.lease(name, ttl="60s", renewal={"afterPercent": 5})
    await asyncio.gather(*(line(site, "ready", timeout=90, name=name) for name in names))
    before = len(lines(site))
    rule = faults.answer(503)
    try:
        for name in names:
            await site.reason(name, "ProviderUnavailable", timeout=60)
        await site.provider_told("infisical", "ProviderUnavailable", timeout=60)
    finally:
        faults.remove(rule)
    await asyncio.gather(*(site.reason(name, "Ready", timeout=60) for name in names))
    await line(site, "outage ended", timeout=60)
    told = [one["message"] for one in lines(site)[before:] if one["message"] != "lease renewed"]
    assert told == ["outage began", "outage ended"]
    await asyncio.gather(*(site.delete(name) for name in names))
    await asyncio.gather(*(site.gone(name) for name in names))


async def test_a_lease_that_gets_none_is_warned_of_once(site: sites.Site) -> None:
    await site.lease("refused", source="no-such")
    await site.reason("refused", "SourceNotFound")
    told = await line(site, "not ready", name="refused")
    assert (told["level"], told["reason"]) == ("WARNING", "SourceNotFound")
    assert "check dynamicSecretName" in told["why"]
    await site.until(
        "refused",
        lambda found: ((found or {}).get("status", {}).get("retry") or {}).get("failures", 0) >= 2,
        what="it was tried again",
    )
    assert len(of(site, "refused")) == 1
    await site.delete("refused")


async def test_text_says_the_same(site: sites.Site) -> None:
    site.settings["LEASEHOLDER_LOG_FORMAT"] = "text"
    site.operator.stop()
    await site.restart()
    await site.lease("written", ttl="1h")
    await site.ready("written")
    await site.delete("written")
    await site.gone("written")
    text = await asyncio.to_thread(site.operator.log.read_text, encoding="utf-8")
    for one in text.splitlines():
        assert _TEXT.fullmatch(one), one
    words = re.findall(r"INFO ([a-z ]+) namespace=logs name=written uid=\S+ provider=", text)
    assert words[:3] == ["lease issued", "lease delivered", "ready"]
    assert words[-1] == "lease revoked"
    assert "succeeded" not in text


async def test_a_namespace_that_comes_later_is_warned_of_and_then_served(
    site: sites.Site,
) -> None:
    later = "logs-later"
    running = await operator.Operator.start(
        site.world,
        site.client,
        name="logs-of-two",
        home=site.home,
        namespaces=f"{site.namespace},{later}",
        settings={**site.settings, "LEASEHOLDER_LOG_FORMAT": "text"},
    )
    site.operator.stop()
    site.operator = running
    await asyncio.to_thread(
        processes.wait_until,
        lambda: f"WARNING namespace isn't there namespace={later} why=" in running.log.read_text(),
        what="the namespace is warned of",
        part=running.process,
    )
    meta = {"name": later}
    await site.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    site.namespace = later
    await site.auth_secret()
    await site.provider()
    await site.lease("orders", ttl="1h")
    await site.ready("orders")
