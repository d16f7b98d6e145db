"""Logging in at the provider: every way, seldom, and again by itself once what is wrong is mended.

Each test has an identity of its own, so that what it counts is its own.
"""

import asyncio
import collections.abc
import dataclasses
import typing

import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import kube, processes
from tests.world import world as worlds
from tests.world.infisical import seeds

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAST: dict[str, typing.Any] = {"ttl": "60s", "renewal": {"afterPercent": 3}}
"""Renewed every three seconds."""
LOGIN = "POST /api/v1/auth/{way}-auth/login"
PUBLISHED = LOGIN.format(way="oidc")
TOKENS = "POST /api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
TENANT = "shop"
AUDIENCE = "infisical"
API_SERVER = "https://kubernetes.default.svc.cluster.local"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "auth") as opened:
        await _account(opened, TENANT)
        yield opened


@dataclasses.dataclass(frozen=True, slots=True)
class Mistake:
    """What was seen while the client secret was wrong."""

    found: kube.Object
    logins: int
    issued: int


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mistake(site: sites.Site) -> Mistake:
    """A wrong client secret, a lease that wants it, pokes; then the Secret is corrected.

    The login is tried again half a minute later; other tests run meanwhile.
    """
    await _provider_ready(site, "infisical")
    identity = await _identity(site, "mistaken")
    assert identity.universal_auth is not None
    client = identity.universal_auth
    secret = "auth-mistaken"
    await site.auth_secret(secret, clientId=client.client_id, clientSecret="wrong")
    before = await _count(site, LOGIN.format(way="universal"))
    issued = len(await site.all_issued())
    await site.provider("mistaken", auth=site.universal_auth(secret))
    await site.lease("mistaken", provider="mistaken", ttl="1h")
    await site.reason("mistaken", "LoginRefused")
    found = await _poked(site, "mistaken")
    seen = Mistake(
        found=found,
        logins=await _count(site, LOGIN.format(way="universal")) - before,
        issued=len(await site.all_issued()) - issued,
    )
    await site.auth_secret(secret, clientId=client.client_id, clientSecret=client.client_secret)
    return seen


async def test_a_wrong_client_secret_is_reported_neither_tried_often_nor_used_for_an_issue(
    mistake: Mistake,
) -> None:
    ready = kube.condition(mistake.found, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "LoginRefused")
    assert kube.condition(mistake.found, "Stalled")["status"] == "True"
    assert "client secret" in ready["message"]
    assert mistake.logins == 1
    assert mistake.issued == 0


async def test_a_client_id_and_secret_log_in(site: sites.Site) -> None:
    await _universal(site, "client")
    await site.lease("client", provider="client", ttl="1h")
    await asyncio.gather(site.ready("client"), _provider_ready(site, "client"))
    assert await site.logs_in("client")


async def test_many_leases_share_one_login(site: sites.Site) -> None:
    before = await _count(site, PUBLISHED)
    names = [f"shared-{number}" for number in range(20)]
    await asyncio.gather(*(site.lease(name, provider="shared", ttl="1h") for name in names))
    await _published(site, "shared")
    await asyncio.gather(*(site.ready(name) for name in names), _provider_ready(site, "shared"))
    await asyncio.gather(*(site.delete(name) for name in names))
    await asyncio.gather(*(site.gone(name) for name in names))
    assert await _count(site, PUBLISHED) - before == 1


async def test_a_service_account_logs_in_by_token_review_with_a_fresh_token_each_time(
    site: sites.Site,
) -> None:
    reviewer = await _reviewer(site)
    way = seeds.KubernetesAuth(
        token_reviewer_jwt=reviewer,
        allowed_namespaces=site.namespace,
        allowed_names=TENANT,
        allowed_audience=AUDIENCE,
    )
    identity = await _identity(site, "reviewed", universal_auth=None, kubernetes_auth=way)
    await _logs_in_as_a_service_account(site, identity, "kubernetes")


async def test_a_service_account_logs_in_by_the_clusters_published_keys(site: sites.Site) -> None:
    identity = await _identity(site, "oidc", universal_auth=None, oidc_auth=await _keys(site))
    await _logs_in_as_a_service_account(site, identity, "oidc")


async def test_no_token_is_made_for_the_api_servers_own_audience(site: sites.Site) -> None:
    way = seeds.KubernetesAuth(allowed_namespaces=site.namespace)
    identity = await _identity(site, "greedy", universal_auth=None, kubernetes_auth=way)
    before = _tokens(site)
    await site.provider("greedy", auth=_service_account(identity, "kubernetes", API_SERVER))
    await site.lease("greedy", provider="greedy", ttl="1h")
    found = await site.reason("greedy", "AuthSecretMissing")
    assert "audience" in kube.condition(found, "Ready")["message"]
    assert _tokens(site) == before


async def test_a_ready_made_token_logs_in(site: sites.Site) -> None:
    identity = await _identity(site, "static", universal_auth=None, token_auth=seeds.TokenAuth())
    await site.auth_secret("auth-static", token=await site.admin.issue_token(identity.id))
    reference = {"tokenSecretRef": {"name": "auth-static", "key": "token"}}
    await site.provider("static", auth={"tokenAuth": reference})
    await site.lease("static", provider="static", ttl="1h")
    await asyncio.gather(site.ready("static"), _provider_ready(site, "static"))
    assert await site.logs_in("static")


async def test_a_token_revoked_at_the_provider_costs_one_login_and_no_lease(
    site: sites.Site,
) -> None:
    await _published(site, "revoked")
    await site.lease("revoked", provider="revoked", **FAST)
    before = await site.ready("revoked")
    logins = await _count(site, PUBLISHED)
    issued = len(await site.all_issued())
    await site.admin.revoke_all_tokens()
    after = await site.renewals("revoked", 2)
    assert after["status"]["lease"]["id"] == before["status"]["lease"]["id"]
    assert await _count(site, PUBLISHED) - logins == 1
    assert len(await site.all_issued()) == issued
    await site.delete("revoked")


async def test_a_rotated_client_secret_costs_no_lease(site: sites.Site) -> None:
    identity = await _universal(site, "rotated")
    await site.lease("rotated", provider="rotated", **FAST)
    before = await site.ready("rotated")
    issued = len(await site.all_issued())
    assert identity.universal_auth is not None
    client = seeds.UniversalAuth(client_id=identity.universal_auth.client_id)
    renewed = identity.model_copy(update={"universal_auth": client})
    await site.admin.seed(seeds.Seed(identities=[renewed]))
    given = {"clientId": client.client_id, "clientSecret": client.client_secret}
    await site.auth_secret("auth-rotated", **given)
    await site.admin.revoke_all_tokens()
    after = await site.renewals("rotated", 2)
    assert after["status"]["lease"]["id"] == before["status"]["lease"]["id"]
    assert len(await site.all_issued()) == issued
    await site.delete("rotated")


async def test_an_identity_that_is_locked_out_is_told_and_another_one_keeps_the_lease(
    site: sites.Site,
) -> None:
    identity = await _universal(site, "locked")
    await site.lease("locked", provider="locked", **FAST)
    before = await site.ready("locked")
    values, issued = await site.credentials("locked"), len(await site.all_issued())
    await site.lock_out(identity)
    await site.admin.revoke_all_tokens()
    found = await site.reason("locked", "LockedOut")
    assert kube.is_ready(found)
    assert "good until" in kube.condition(found, "Ready")["message"]
    assert await site.credentials("locked") == values
    assert site.lets_in(values)
    renewals = found["status"]["lease"]["renewals"]
    await site.provider("locked")
    after = await site.renewals("locked", renewals + 1)
    assert after["status"]["lease"]["id"] == before["status"]["lease"]["id"]
    assert len(await site.all_issued()) == issued
    await site.delete("locked")


async def test_credentials_that_come_late_are_enough(site: sites.Site) -> None:
    identity = await _identity(site, "late")
    await site.provider("late", auth=site.universal_auth("auth-late"))
    await site.lease("late", provider="late", ttl="1h")
    found = await site.reason("late", "AuthSecretMissing")
    assert "auth/auth-late" in kube.condition(found, "Ready")["message"]
    assert await site.records("late") == []
    assert identity.universal_auth is not None
    client = identity.universal_auth
    given = {"clientId": client.client_id, "clientSecret": client.client_secret}
    await site.auth_secret("auth-late", **given)
    await site.ready("late")
    assert await site.logs_in("late")


async def test_a_provider_that_comes_late_is_enough(site: sites.Site) -> None:
    await site.lease("early", provider="tardy", ttl="1h")
    await site.reason("early", "ProviderMissing")
    await _universal(site, "tardy")
    await site.ready("early", timeout=5)
    assert await site.logs_in("early")


async def test_a_missing_right_is_told_and_doesnt_make_it_log_in_again_and_again(
    site: sites.Site,
) -> None:
    before = await _count(site, PUBLISHED)
    member = seeds.Grant(actions=["read-root-credential"])
    identity = await _published(site, "rightless", grants=[member])
    await site.lease("rightless", provider="rightless", ttl="1h")
    found = await site.reason("rightless", "PermissionDenied")
    assert "'lease'" in kube.condition(found, "Ready")["message"]
    await _poked(site, "rightless")
    assert await _count(site, PUBLISHED) - before == 1

    async def nothing_on_record() -> bool:  # a next try may be under way
        return await site.records("rightless") == []

    await processes.wait_until_async(nothing_on_record, what="the attempt is off")
    granted = identity.model_copy(update={"grants": [seeds.Grant()]})
    await site.admin.seed(seeds.Seed(identities=[granted]))
    await site.ready("rightless")


async def test_an_identity_that_may_only_lease_gets_leases(site: sites.Site) -> None:
    await _universal(site, "modest", grants=[seeds.Grant(actions=["lease"])])
    await site.lease("modest", provider="modest", **FAST)
    await site.renewals("modest", 1)
    assert await site.logs_in("modest")
    await site.delete("modest")
    await site.gone("modest")


async def test_a_cluster_provider_serves_only_the_namespaces_that_it_allows(
    site: sites.Site,
) -> None:
    allowed: list[typing.Any] = [
        {"names": ["somewhere-else"]},
        {"selector": {"matchLabels": {"leases": "yes"}}},
    ]
    await _cluster_provider(site, "auth-central", allowed)
    await _lease_of_cluster_provider(site, "central", "auth-central")
    await site.reason("central", "NamespaceNotAllowed")
    assert await site.records("central") == []
    await _cluster_provider(site, "auth-central", [{"names": [site.namespace]}])
    await site.ready("central", timeout=10)
    assert await site.logs_in("central")


async def test_a_lease_outlives_its_provider_object_and_is_revoked_by_the_cached_login(
    site: sites.Site,
) -> None:
    await _universal(site, "fleeting")
    await site.lease("fleeting", provider="fleeting", **FAST)
    await site.ready("fleeting")
    values = await site.credentials("fleeting")
    await site.client.delete("LeaseProvider", "fleeting", site.namespace)
    await site.client.delete("Secret", "auth-fleeting", site.namespace)
    found = await site.renewals("fleeting", 2)
    assert kube.is_ready(found)
    assert site.lets_in(values)
    await site.delete("fleeting")
    await site.gone("fleeting")
    assert not site.lets_in(values)
    assert await site.records("fleeting") == []


@pytest.mark.timeout(600)
async def test_a_corrected_client_secret_is_found_without_further_ado(
    site: sites.Site, mistake: Mistake
) -> None:
    assert mistake.issued == 0
    await site.ready("mistaken", timeout=60)
    assert await site.logs_in("mistaken")


async def _identity(site: sites.Site, name: str, **facts: typing.Any) -> seeds.Identity:
    """An identity at the emulator; with a client id and secret unless told otherwise."""
    known = {"universal_auth": seeds.UniversalAuth(), **facts}
    identity = seeds.Identity(name=f"auth-{name}", **known)
    await site.admin.seed(seeds.Seed(identities=[identity]))
    return identity


async def _universal(site: sites.Site, name: str, **facts: typing.Any) -> seeds.Identity:
    """A provider with an identity, and a Secret ``auth-<name>``, of its own."""
    identity = await _identity(site, name, **facts)
    assert identity.universal_auth is not None
    client = identity.universal_auth
    secret = f"auth-{name}"
    await site.auth_secret(secret, clientId=client.client_id, clientSecret=client.client_secret)
    await site.provider(name, auth=site.universal_auth(secret))
    return identity


async def _published(site: sites.Site, name: str, **facts: typing.Any) -> seeds.Identity:
    """A provider and an identity of its own, by the way in that only counting tests use."""
    known = {"universal_auth": None, "oidc_auth": await _keys(site), **facts}
    identity = await _identity(site, name, **known)
    await site.provider(name, auth=_service_account(identity, "oidc"))
    return identity


async def _keys(site: sites.Site) -> seeds.OidcAuth:
    """An identity that trusts the cluster's published keys."""
    return seeds.OidcAuth(
        jwks_from_api_server=True,
        jwks_bearer=await site.client.service_account_token(TENANT, site.namespace),
        bound_audiences=AUDIENCE,
        bound_subject=f"system:serviceaccount:{site.namespace}:{TENANT}",
    )


def _service_account(identity: seeds.Identity, way: str, audience: str = AUDIENCE) -> kube.Object:
    reference = {"serviceAccountRef": {"name": TENANT}, "audience": audience}
    return {f"{way}Auth": {"identityId": identity.id, **reference}}


async def _logs_in_as_a_service_account(
    site: sites.Site, identity: seeds.Identity, way: str
) -> None:
    route = LOGIN.format(way=way)
    tokens, logins = _tokens(site), await _count(site, route)
    await site.provider(way, auth=_service_account(identity, way))
    await site.lease(way, provider=way, **FAST)
    await asyncio.gather(site.renewals(way, 1), _provider_ready(site, way))
    assert await site.logs_in(way)
    assert (_tokens(site) - tokens, await _count(site, route) - logins) == (1, 1)
    await site.admin.revoke_all_tokens()
    await site.renewals(way, 2)
    assert (_tokens(site) - tokens, await _count(site, route) - logins) == (2, 2)
    await site.delete(way)
    await site.gone(way)


async def _account(site: sites.Site, name: str) -> None:
    await site.client.apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": site.namespace},
        }
    )


async def _reviewer(site: sites.Site) -> str:
    """A token that may review others', as Infisical's documentation has it."""
    await _account(site, "reviewer")
    subject = {"kind": "ServiceAccount", "name": "reviewer", "namespace": site.namespace}
    group = "rbac.authorization.k8s.io"
    await site.client.apply(
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{site.namespace}-reviewer"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:auth-delegator"},
            "subjects": [subject],
        }
    )
    return await site.client.service_account_token("reviewer", site.namespace)


async def _cluster_provider(site: sites.Site, name: str, allowed: list[typing.Any]) -> None:
    auth = site.universal_auth()
    for reference in auth["universalAuth"].values():
        reference["namespace"] = site.namespace
    await site.provider(name, kind="ClusterLeaseProvider", auth=auth, allowedNamespaces=allowed)


async def _lease_of_cluster_provider(site: sites.Site, name: str, provider: str) -> None:
    source = {**sites.SOURCE, "dynamicSecretName": "orders-db"}
    reference = {"kind": "ClusterLeaseProvider", "name": provider}
    await site.client.apply(
        {
            "apiVersion": "leaseholder.dev/v1alpha1",
            "kind": "DynamicLease",
            "metadata": {"name": name, "namespace": site.namespace},
            "spec": {"providerRef": reference, "infisical": source, "ttl": "1h"},
        }
    )


async def _provider_ready(site: sites.Site, name: str) -> None:
    await site.client.wait("LeaseProvider", name, site.namespace, kube.is_ready, what="Ready")


async def _poked(site: sites.Site, name: str) -> kube.Object:
    """Change what doesn't matter, three times, each time until it was looked at."""
    for poke in ("1m", "2m", "3m"):
        change = {"spec": {"rotation": {"overlap": poke}}}
        await site.client.patch("DynamicLease", name, site.namespace, change)
        await site.until(name, _is_observed, what="the change is seen")
    return await site.found(name) or {}


def _is_observed(found: kube.Object | None) -> bool:
    seen = ((found or {}).get("status") or {}).get("observedGeneration")
    return found is not None and seen == found["metadata"]["generation"]


async def _count(site: sites.Site, route: str) -> int:
    """How often the emulator was asked this."""
    return (await site.admin.counters()).by_route.get(route, 0)


def _tokens(site: sites.Site) -> int:
    """How many ServiceAccount tokens the operator has asked for."""
    assert site.world.kubernetes_faults is not None
    return site.world.kubernetes_faults.faults.counters().requests.get(TOKENS, 0)
