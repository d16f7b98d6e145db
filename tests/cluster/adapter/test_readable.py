"""What the API server takes, the models read: what they can't read would stand there in silence.

Nobody would serve it: its lease would die under a status that says Ready, and its finalizer would
stay for ever. So each field of a manifest gets each odd value, one at a time.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import aiohttp
import pytest

from leaseholder import errors
from leaseholder.api import lease, names, provider
from leaseholder.cluster import documents, patches
from tests.cluster.adapter import objects
from tests.world import kube, kubernetes

AT_ONCE: Final = 8
LONG_NAME: Final = f"{'.'.join(['a' * 60] * 6)}/x"
ODD: Final = (
    *("null", "true", "-1", "1.0", "1e2", "1e300", "9223372036854775808", "9" * 400),
    *('""', '" "', '"1h"', '"1h\\n"', '"\\ud800"', '"\\u0000"', '"\\u202e"', '"a/b"'),
    *(json.dumps("x" * length) for length in (254, 1025, 4097)),
    json.dumps("\N{GRINNING FACE}" * 254),
    *("[]", "[null]", '["x"]', "[[]]", "[{}]", "{}", '{"": ""}', '{"a": null}', '{"a": "x"}'),
    *('{"a": 1}', '{"a": [null]}', '{"a": {"b": null}}', '{"a": [1.5, 1e300]}', '{"a b": "x"}'),
    *(json.dumps({name: "x"}) for name in ("x" * 257, "x" * 5000, LONG_NAME)),
    *(json.dumps({f"k{number}": "x" for number in range(count)}) for count in (33,)),
)
MARK: Final = "ODD VALUE"
REF: Final = {"name": "auth", "key": "key"}
TEMPLATE: Final = {
    "metadata": {"labels": {"team": "shop"}, "annotations": {"team": "shop"}},
    "data": {"URL": "{{ DB_USERNAME }}"},
    "mergePolicy": "Merge",
}
LEASE: Final = {
    "providerRef": {"kind": "LeaseProvider", "name": "infisical"},
    "ttl": "1h",
    "renewal": {"strategy": "Auto", "afterPercent": 50},
    "rotation": {
        "maxAge": "24h",
        "overlap": "2m",
        "waitForRollout": True,
        "rolloutTimeout": "15m",
        "restartTargets": [
            {"kind": "Deployment", "name": "orders"},
            {"kind": "Deployment", "selector": {"matchLabels": {"app": "orders"}}},
        ],
    },
    "target": {"secretName": "orders", "type": "Opaque", "template": TEMPLATE},
    "deletion": {"policy": "Revoke", "timeout": "15m"},
    "suspend": False,
}
SOURCES: Final = {
    "infisical": {
        "projectSlug": "demo",
        "environmentSlug": "prod",
        "path": "/",
        "dynamicSecretName": "orders-db",
        "config": {"namespace": "shop"},
    },
    "phase": {"appId": "app", "env": "prod", "path": "/", "name": "orders"},
    "openbao": {"path": "database/creds/orders", "method": "GET", "parameters": {"a": 1}},
}
ACCOUNT: Final = {"serviceAccountRef": {"name": "orders"}, "audience": "bao"}
SERVERS: Final = {
    "infisical": (
        {"universalAuth": {"clientId": "id", "clientSecretRef": REF, "organizationSlug": "a"}},
        {"kubernetesAuth": {"identityId": "id", **ACCOUNT}},
        {"tokenAuth": {"tokenSecretRef": REF}},
    ),
    "phase": ({"tokenSecretRef": REF},),
    "openbao": (
        {"kubernetes": {"role": "orders", "mountPath": "kubernetes", **ACCOUNT}},
        {"appRole": {"roleId": "id", "secretIdSecretRef": REF, "mountPath": "approle"}},
    ),
}
PROVIDER: Final = {
    "caBundleRef": {"kind": "Secret", "name": "ca", "key": "ca.crt"},
    "limits": {"concurrency": 8, "requestsPerMinute": 100},
    "probe": {"interval": "5m"},
}
MODELS: Final[Mapping[str, type[lease.DynamicLease | provider.AnyProvider]]] = {
    "DynamicLease": lease.DynamicLease,
    "LeaseProvider": provider.LeaseProvider,
    "ClusterLeaseProvider": provider.ClusterLeaseProvider,
}


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and spec of manifests in which, together, each field is written."""
    ref = {"providerRef": LEASE["providerRef"]}
    yield "DynamicLease", {**LEASE, "phase": SOURCES["phase"]}
    yield "DynamicLease", {**ref, "renewal": {"before": "5m"}, "infisical": SOURCES["infisical"]}
    yield "DynamicLease", {**ref, "openbao": SOURCES["openbao"]}
    for kind, ways in SERVERS.items():
        for auth in ways:
            more = {"namespace": "team"} if kind == "openbao" else {}
            beside = PROVIDER if kind == "phase" else {}
            yield "LeaseProvider", {**beside, kind: {"url": URL, "auth": auth, **more}}
    auth = {"tokenAuth": {"tokenSecretRef": {**REF, "namespace": "shop"}}}
    yield (
        "ClusterLeaseProvider",
        {
            "infisical": {"url": URL, "auth": auth},
            "allowedNamespaces": [{"names": ["shop"]}, {"selector": {"matchLabels": {"a": "b"}}}],
            "revocationAuth": "AllAtUrl",
            "sweep": "Report",
            "caBundle": "-----BEGIN CERTIFICATE-----",
        },
    )


URL: Final = "https://provider.example"


def odd_ones(node: Any) -> Iterator[Any]:
    """The same with a mark in the place of each value that there is."""
    yield MARK
    for key, one in node.items() if isinstance(node, dict) else []:
        yield from ({**node, key: odd} for odd in odd_ones(one))
    for number, one in enumerate(node) if isinstance(node, list) else []:
        yield from ([*node[:number], odd, *node[number + 1 :]] for odd in odd_ones(one))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", sorted(MODELS))
async def test_whatever_the_api_server_takes_is_read(
    user: kube.Kube, control_plane: kubernetes.ControlPlane, place: objects.Place, kind: str
) -> None:
    within = "" if kind == "ClusterLeaseProvider" else f"namespaces/{place.shop}/"
    path = f"/apis/{names.API_VERSION}/{within}{kind.lower()}s?dryRun=All"
    written = [spec for one, spec in manifests() if one == kind]
    bodies = {
        json.dumps(_body(kind, odd)).replace(f'"{MARK}"', value)
        for spec in written
        for odd in odd_ones(spec)
        for value in ODD
    }
    plain = [json.dumps(_body(kind, spec)) for spec in written]
    async with control_plane.session() as session:
        assert await _unread(session, path, kind, plain) == (len(plain), [])
        taken, unread = await _unread(session, path, kind, sorted(bodies))
    assert taken > len(plain)
    assert unread == []


def _body(kind: str, spec: Any) -> dict[str, Any]:
    meta = {"name": "odd"}
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": meta, "spec": spec}


async def _unread(
    session: aiohttp.ClientSession, path: str, kind: str, bodies: Sequence[str]
) -> tuple[int, list[str]]:
    """How many the API server takes, and what is said of those that can't be read."""
    room, taken, unread = asyncio.Semaphore(AT_ONCE), 0, list[str]()

    async def tried(body: str) -> None:
        nonlocal taken
        headers = {"Content-Type": "application/json"}
        async with room, session.post(path, data=body, headers=headers) as answer:
            found = documents.parse(await answer.read())
        if answer.status != 201:
            return
        taken += 1
        try:
            patches.read(MODELS[kind], found)
        except errors.Unreadable as error:
            unread.append(f"{error.sentence}: {body[:2000]}")

    await asyncio.gather(*map(tried, bodies))
    return taken, unread
