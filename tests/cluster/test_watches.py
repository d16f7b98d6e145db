"""The watches end in every way, and the operator goes on: asked of the world."""

import asyncio
import collections.abc
import contextlib
import json
import os
import resource
import socket
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import faults, kube, processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS = "leaseholder.dev"
WATCHES = r"(?=.*leaseholder\.dev/v1alpha1)(?=.*watch=)"
OUTAGE = float(os.environ.get("OUTAGE_SECONDS", "10"))
"""How long no login is accepted; beyond 60 the lease lives by what is renewed meanwhile."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "watches") as opened:
        yield opened


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _the_same_process(site: sites.Site) -> collections.abc.AsyncIterator[None]:
    """Whatever is done, the process that was there before goes on, and watches."""
    await _until(site.operator.ready, what="ready before")
    pid = site.operator.process.pid
    yield
    _cluster(site).clear()
    await _until(site.operator.ready, what="ready again")
    site.operator.process.check()
    assert site.operator.process.pid == pid


async def _serves(site: sites.Site, name: str, old: str) -> None:
    """A new DynamicLease gets Ready and logs in; one that is deleted is revoked."""
    values = await site.credentials(old)
    await site.lease(name, ttl="1h")
    await site.delete(old)
    await site.ready(name)
    assert await site.logs_in(name)
    await site.gone(old)
    assert not site.lets_in(values)


async def _old(site: sites.Site, name: str) -> str:
    await site.lease(name, ttl="1h")
    await site.ready(name)
    return name


async def test_one_401_on_one_watch_is_borne(site: sites.Site) -> None:
    old = await _old(site, "once-old")
    refused = _cluster(site).answer(401, path=WATCHES, times=1)
    _cluster(site).drop_watches("dynamicleases")
    await _applied(site, refused)
    await _serves(site, "once", old)
    assert "kopf ended" not in site.operator.log.read_text()


async def test_readiness_says_which_watch_is_not_open(site: sites.Site) -> None:
    _cluster(site).answer(401, path=f"{WATCHES}.*dynamicleases")
    _cluster(site).drop_watches("dynamicleases")
    await _until(lambda: "answers 401" in _readiness(site), what="told")
    assert "/dynamicleases isn't open" in _readiness(site)
    assert site.operator.answers("/healthz")
    _cluster(site).clear()
    _cluster(site).answer(500, path="(?=.*/secrets)(?=.*watch=)")
    _cluster(site).drop_watches("secrets")
    await _until(lambda: "/secrets isn't open" in _readiness(site), what="told")
    assert site.operator.answers("/healthz")


async def test_a_login_that_is_refused_everywhere_for_a_while_ends_no_lease(
    site: sites.Site,
) -> None:
    old = await _old(site, "refused-old")
    await site.lease("short", ttl="60s", renewal={"afterPercent": 50})
    await site.ready("short")
    refused_logins = []
    _cluster(site).answer(401)
    _cluster(site).drop_watches()
    over = time.monotonic() + OUTAGE
    while time.monotonic() < over:
        if not await site.logs_in("short"):
            refused_logins.append(time.monotonic())
        await asyncio.sleep(0.5)
        assert await asyncio.to_thread(site.operator.answers, "/healthz")
    assert not await asyncio.to_thread(site.operator.ready)
    _cluster(site).clear()
    await _serves(site, "refused", old)
    assert await site.logs_in("short")
    assert refused_logins == []
    await site.delete("short")
    await site.gone("short")


async def test_idle_connections_to_its_port_starve_nobody(site: sites.Site) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    port = urllib.parse.urlsplit(site.operator.metrics_url).port
    with contextlib.ExitStack() as idle:
        for _ in range(1100):
            idle.enter_context(socket.create_connection((processes.LOOPBACK, port), timeout=5))
        for path in ("/healthz", "/metrics", "/readyz"):
            assert await asyncio.to_thread(site.operator.answers, path)
        await _old(site, "crowded")
        assert await site.logs_in("crowded")


async def test_error_events_in_watches_are_borne(site: sites.Site) -> None:
    old = await _old(site, "error-old")
    for code in (500, 429, 403, 410):
        status = {"kind": "Status", "code": code, "status": "Failure", "message": "told by a test"}
        event = json.dumps({"type": "ERROR", "object": status})
        told = _cluster(site).answer(200, path=WATCHES, times=3, body=event + "\n")
        _cluster(site).drop_watches(OURS)
        await _applied(site, told, times=3)
        await _serves(site, f"error-{code}", old)
        old = f"error-{code}"


async def test_the_crd_of_an_unused_kind_goes_and_comes_back(site: sites.Site) -> None:
    old = await _old(site, "unused-old")
    crd = await _without_crd(site, "clusterleaseproviders")
    await _until(
        lambda: "waiting for the CRDs of clusterleaseproviders" in _readiness(site), what="told"
    )
    await _serves(site, "unused", old)
    await site.client.apply(crd)
    await _until(site.operator.ready, what="all are watched")
    auth: kube.Object = site.universal_auth()
    for ref in auth["universalAuth"].values():
        ref["namespace"] = site.namespace
    await site.provider(kind="ClusterLeaseProvider", auth=auth)
    await site.client.wait(
        "ClusterLeaseProvider", "infisical", "", kube.is_ready, what="the new kind is served"
    )


async def test_all_crds_go_and_come_back(site: sites.Site) -> None:
    for one in await site.client.list("DynamicLease", site.namespace):
        await site.delete(one["metadata"]["name"])
        await site.gone(one["metadata"]["name"])
    assert await site.records() == []
    await _let_go_elsewhere(site)
    plurals = ("dynamicleases", "leaseproviders", "clusterleaseproviders", "leaserecords")
    gone = await asyncio.gather(*(_without_crd(site, plural) for plural in plurals))
    await _until(lambda: "waiting for the CRDs of" in _readiness(site), what="told")
    assert site.operator.answers("/healthz")
    for crd in gone:
        await site.client.apply(crd)
    await _until(site.operator.ready, what="all are watched")
    await site.provider()
    await site.lease("again", ttl="1h")
    await site.ready("again")
    assert await site.logs_in("again")
    await site.delete("again")
    await site.gone("again")


def _cluster(site: sites.Site) -> faults.Faults:
    assert site.world.kubernetes_faults is not None
    return site.world.kubernetes_faults.faults


def _readiness(site: sites.Site) -> str:
    """What /readyz says while it isn't 200."""
    try:
        with urllib.request.urlopen(site.operator.metrics_url + "/readyz", timeout=5):
            return ""
    except urllib.error.HTTPError as error:
        return str(error.read().decode())


async def _until(holds: collections.abc.Callable[[], bool], *, what: str) -> None:
    await asyncio.to_thread(processes.wait_until, holds, what=what)


async def _applied(site: sites.Site, rule: str, *, times: int = 1) -> None:
    await _until(
        lambda: _cluster(site).counters().applied.get(rule, 0) >= times, what="it took effect"
    )


async def _let_go_elsewhere(site: sites.Site) -> None:
    """What other modules left, whose operators run no more, doesn't keep the CRDs."""
    free: kube.Object = {"metadata": {"finalizers": None}}
    for kind in ("DynamicLease", "LeaseRecord"):
        for one in await site.client.list(kind, ""):
            meta = one["metadata"]
            if meta.get("finalizers"):
                await site.client.patch(kind, meta["name"], meta["namespace"], free)


async def _without_crd(site: sites.Site, plural: str) -> kube.Object:
    """Delete a CRD; returns the manifest that makes it again."""
    name = f"{plural}.{OURS}"
    (path,) = (processes.CHECKOUT / "crds").glob(f"{plural}.yaml")
    (crd,) = kube.documents(path)
    await site.client.delete("CustomResourceDefinition", name, "")
    await site.client.wait("CustomResourceDefinition", name, "", kube.is_gone, what="gone")
    return crd
