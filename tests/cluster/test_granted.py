"""The rights that the chart grants are those that the operator uses: no request more, no rule less.

One operator does all that it can do, through a proxy that counts each request, kopf's too.
"""

import asyncio
import collections.abc
import contextlib
import re
import typing

import aiohttp
import pytest
import pytest_asyncio

from tests.cluster import sites, workloads
from tests.world import charts, kube, operator, processes
from tests.world import world as worlds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

Right = tuple[str, str, str]
"""Group, resource with subresource, verb."""
RBAC: typing.Final = "rbac.authorization.k8s.io"
ARGO: typing.Final = "rollouts.argoproj.io"
KINDS: typing.Final = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")
UNASKED: typing.Final = {
    ("leaseholder.dev", "dynamicleases/finalizers", "update"),  # for blockOwnerDeletion
}
"""What is checked by the API server's admission, without a request of its own."""
VERBS: typing.Final = {"POST": "create", "PATCH": "patch", "PUT": "update", "WATCH": "watch"}
PLACE: typing.Final = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/v[^/]+(?:/namespaces/\{namespace\})?"
    r"/(?P<resource>[^/]+)(?P<name>/\{name\})?(?:/(?P<sub>[^/]+))?"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    assert world.kubernetes_faults is not None
    world.kubernetes_faults.faults.reset_counters()
    switches = ("LEASEHOLDER_LEADER_ELECTION", "LEASEHOLDER_METRICS_AUTH")
    async with sites.site(world, "granted", **dict.fromkeys(switches, "true")) as opened:
        await opened.client.apply(workloads.ARGO)
        try:
            yield opened
        finally:
            await opened.client.delete("CustomResourceDefinition", ARGO)


async def test_what_the_chart_grants_is_what_the_operator_asks_for(site: sites.Site) -> None:
    await asyncio.gather(_restarted(site), _logged_in(site), _told_twice(site), _scraped(site))
    granted = _granted()

    async def all_asked() -> bool:
        return _asked(site) >= granted - UNASKED

    with contextlib.suppress(AssertionError):  # the sets below say what wasn't
        await processes.wait_until_async(all_asked, what="all rights were used")
    assert granted - _asked(site) - UNASKED == set(), "granted, and never asked for"
    assert _asked(site) - granted == set(), "asked for, and not granted"
    assert _counters(site).answers.get("403", 0) == 0


async def test_metrics_are_for_who_may_get_them_by_rbac(site: sites.Site) -> None:
    reader = await _scraped(site)
    other = await _token(site, "other")
    signature = reader.rpartition(".")[2]
    forged = f"{reader.removesuffix(signature)}{signature[::-1]}"
    for token, status, sentence in (
        (reader, 200, "leaseholder_build_info{"),
        (None, 401, "send a token of a ServiceAccount that may get /metrics"),
        (forged, 401, "the API server doesn't take this token"),
        (other, 403, "'system:serviceaccount:granted:other' has no right to get /metrics"),
    ):
        found, text = await _metrics(site, token)
        assert (found, sentence in text) == (status, True), text[:200]
    assert site.operator.answers("/healthz")
    before = _reviews(site)
    told = await asyncio.gather(*(_metrics(site, reader) for _ in range(30)))
    assert {status for status, _ in told} == {200}
    assert _reviews(site) - before <= 1
    log = await asyncio.to_thread(site.operator.log.read_text, encoding="utf-8")
    assert not [one for one in (reader, other, forged) if one in log]


async def test_without_the_api_server_nobody_new_reads_metrics(site: sites.Site) -> None:
    assert site.world.kubernetes_faults is not None
    faults = site.world.kubernetes_faults.faults
    reader = await _scraped(site)
    rule = faults.answer(503, path="tokenreviews")
    try:
        status, text = await _metrics(site, await _token(site, "late"))
        assert status == 503
        assert "the API server couldn't create tokenreviews now: it answered 503" in text
        assert (await _metrics(site, reader))[0] == 200
    finally:
        faults.remove(rule)
    assert "metrics are refused: " in await asyncio.to_thread(site.operator.log.read_text)


async def _scraped(site: sites.Site) -> str:
    """The token of a ServiceAccount that reads metrics by the chart's role."""
    token = await _token(site, "reader")
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "leaseholder-metrics-reader"}
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": site.namespace}
    await site.client.apply(
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "granted-reads-metrics"},
            "roleRef": role,
            "subjects": [subject],
        }
    )

    async def is_let_in() -> bool:
        return (await _metrics(site, token))[0] == 200

    await processes.wait_until_async(is_let_in, what="the binding is known")
    return token


async def _token(site: sites.Site, name: str) -> str:
    place = {"name": name, "namespace": site.namespace}
    await site.client.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place})
    return await site.client.service_account_token(name, site.namespace)


async def _metrics(site: sites.Site, token: str | None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    async with (
        aiohttp.ClientSession(site.operator.metrics_url, headers=headers) as session,
        session.get("/metrics") as answer,
    ):
        return answer.status, await answer.text()


def _reviews(site: sites.Site) -> int:
    """How many tokens were reviewed."""
    asked = _counters(site).requests
    return sum(number for request, number in asked.items() if request.endswith("/tokenreviews"))


async def _restarted(site: sites.Site) -> None:
    """A lease with workloads of all kinds is acquired, rotated and deleted."""
    for kind in KINDS:
        await site.client.apply(_workload(kind, site.namespace))
    targets = [{"kind": kind, "name": kind.lower()} for kind in KINDS]
    some = [{"kind": kind, "selector": {"matchLabels": {"app": "x"}}} for kind in KINDS]
    await site.lease("orders", ttl="1h", rotation={"restartTargets": targets + some})
    await site.ready("orders")
    await _annotate(site, rotate="1")
    for kind in KINDS:
        await site.client.wait(
            kind, kind.lower(), site.namespace, _is_restarted, what="it is restarted"
        )
    await site.delete("orders")
    await site.gone("orders")


async def _logged_in(site: sites.Site) -> None:
    """Providers log in with a token of a ServiceAccount, and trust what a ConfigMap holds."""
    token = {
        "identityId": "nobody",
        "serviceAccountRef": {"name": "default"},
        "audience": "infisical",
    }
    await site.provider("tokens", auth={"kubernetesAuth": token})
    await site.client.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "trust", "namespace": site.namespace},
            "data": {"ca.crt": _bundle(site)},
        }
    )
    ref = {"kind": "ConfigMap", "name": "trust", "key": "ca.crt"}
    infisical = {"url": site.world.provider_url, "auth": site.universal_auth()}
    await site.client.apply(
        {
            "apiVersion": "leaseholder.dev/v1alpha1",
            "kind": "LeaseProvider",
            "metadata": {"name": "trusting", "namespace": site.namespace},
            "spec": {"infisical": infisical, "caBundleRef": ref},
        }
    )
    await site.client.wait(
        "LeaseProvider", "trusting", site.namespace, kube.is_ready, what="it is ready"
    )


async def _told_twice(site: sites.Site) -> None:
    """The same trouble comes back, and its event is counted; one provider serves others."""
    reference = {"name": "infisical-auth", "namespace": site.namespace}
    secret = {"universalAuth": {"clientId": "x", "clientSecretRef": {**reference, "key": "x"}}}
    await site.provider("shared-granted", kind="ClusterLeaseProvider", auth=secret)
    await site.lease("astray", provider="nowhere", ttl="1h")
    await site.reason("astray", "ProviderMissing")
    shared = {"kind": "ClusterLeaseProvider", "name": "shared-granted"}
    await _refer(site, **shared)
    await site.reason("astray", "NamespaceNotAllowed")
    await _refer(site, kind="LeaseProvider", name="nowhere")
    await site.reason("astray", "ProviderMissing")


def _granted() -> set[Right]:
    """What the roles allow that the chart binds for the operator, with all powers."""
    objects = charts.rendered(operator.rights(*operator.OPTIONS))
    bound = {one["roleRef"]["name"] for one in objects if one["kind"].endswith("RoleBinding")}
    roles = (one for one in objects if one["kind"] in ("ClusterRole", "Role"))
    return {
        (group, resource, verb)
        for role in roles
        if role["metadata"]["name"] in bound
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _asked(site: sites.Site) -> set[Right]:
    """What was asked for, in the words of a role."""
    found = set()
    for request in _counters(site).requests:
        method, _, shape = request.partition(" ")
        place = PLACE.fullmatch(shape)
        if (
            place is not None
        ):  # else what every ServiceAccount may: which kinds and versions are there
            resource = "/".join(filter(None, (place["resource"], place["sub"])))
            found.add((place["group"] or "", resource, _verb(method, named=bool(place["name"]))))
    return found


def _verb(method: str, *, named: bool) -> str:
    if method == "DELETE":
        return "delete" if named else "deletecollection"
    return VERBS.get(method) or ("get" if named else "list")


def _counters(site: sites.Site) -> typing.Any:
    assert site.world.kubernetes_faults is not None
    return site.world.kubernetes_faults.faults.counters()


def _workload(kind: str, namespace: str) -> kube.Object:
    made = workloads.manifest(kind, kind.lower(), namespace)
    return {**made, "apiVersion": "argoproj.io/v1alpha1"} if kind == "Rollout" else made


def _is_restarted(found: kube.Object | None) -> bool:
    return "restart.leaseholder.dev/" in str(found)


def _bundle(site: sites.Site) -> str:
    assert site.world.provider_ca_file is not None
    return site.world.provider_ca_file.read_text(encoding="utf-8")


async def _annotate(site: sites.Site, **commands: str) -> None:
    notes = {f"leaseholder.dev/{name}": nonce for name, nonce in commands.items()}
    change = {"metadata": {"annotations": notes}}
    await site.client.patch("DynamicLease", "orders", site.namespace, change)


async def _refer(site: sites.Site, **ref: str) -> None:
    change = {"spec": {"providerRef": ref}}
    await site.client.patch("DynamicLease", "astray", site.namespace, change)
