"""Attacks by a tenant who may do everything with leases, providers and Secrets in one namespace.

Each test is one attack. After each, while it still goes on, the other tenant's lease is looked at
where it lives: it is the same, renewed in time, and its credentials log in.
"""

import asyncio
import collections.abc
import json
import typing

import pytest
import pytest_asyncio
from aiohttp import web

from tests.cluster import court, rogue, sites
from tests.world import kube
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

API_SERVER = "https://kubernetes.default.svc.cluster.local"
MARK = "smuggled-in"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(world: worlds.World) -> collections.abc.AsyncIterator[court.Court]:
    async with court.opened(world, "tenants") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def attack(place: court.Court) -> collections.abc.AsyncIterator[court.Court]:
    async with place.attacked() as attacked:
        yield attacked


# -- using what is another's


async def test_an_auth_secret_of_another_namespace_cannot_be_named(attack: court.Court) -> None:
    auth = attack.tenant.universal_auth()
    for reference in auth["universalAuth"].values():
        reference["namespace"] = attack.victim.namespace
    await _is_refused(attack.own_provider(auth=auth), "references stay in the provider's own")


async def test_a_service_account_of_another_namespace_cannot_be_named(attack: court.Court) -> None:
    reference = {"name": "default", "namespace": attack.victim.namespace}
    way = {"identityId": "x", "serviceAccountRef": reference, "audience": "infisical"}
    auth = {"kubernetesAuth": way}
    await _is_refused(attack.own_provider(auth=auth), "references stay in the provider's own")


async def test_a_ca_bundle_of_another_namespace_cannot_be_named(attack: court.Court) -> None:
    reference = {"kind": "Secret", "name": "infisical-auth", "key": "clientSecret"}
    reference["namespace"] = attack.victim.namespace
    attempt = attack.own_provider(caBundleRef=reference)
    await _is_refused(attempt, "references stay in the provider's own")


async def test_a_cluster_provider_cannot_be_made(attack: court.Court) -> None:
    await _is_refused(
        attack.tenant.provider("mine", kind="ClusterLeaseProvider"), "cannot patch", status=403
    )


async def test_a_cluster_provider_that_allows_others_gives_nothing(attack: court.Court) -> None:
    auth = attack.victim.universal_auth()
    for reference in auth["universalAuth"].values():
        reference["namespace"] = attack.victim.namespace
    allowed = [{"names": [attack.victim.namespace]}]
    await attack.victim.provider(
        "tenants-central", kind="ClusterLeaseProvider", auth=auth, allowedNamespaces=allowed
    )
    issued = len(await attack.victim.all_issued())
    await attack.tenant.client.apply(_lease(attack, "central", "tenants-central", cluster=True))
    await attack.tenant.reason("central", "NamespaceNotAllowed")
    assert len(await attack.victim.all_issued()) == issued
    assert await attack.tenant.credentials("central") == {}


async def test_a_client_id_without_its_secret_gets_no_token_and_locks_nobody_out(
    attack: court.Court,
) -> None:
    client = attack.victim.world.infisical.client_id
    url = attack.victim.world.provider_url
    ca = attack.victim.world.provider_ca_file
    trust = {"caBundle": await asyncio.to_thread(ca.read_text)} if ca is not None else {}
    for number in range(4):
        await attack.tenant.auth_secret(
            f"guess-{number}", clientId=client, clientSecret=f"g{number}"
        )
        auth = attack.tenant.universal_auth(f"guess-{number}")
        await attack.provider(f"guess-{number}", url, auth=auth, **trust)
    await attack.told("guess-0", "LoginRefused")
    await attack.tenant.client.apply(_lease(attack, "guess", "guess-0"))
    await attack.tenant.reason("guess", "LoginRefused")
    await attack.victim.admin.revoke_all_tokens()
    await attack.is_untouched()
    assert await attack.tenant.credentials("guess") == {}


# -- writing where one may not


async def test_a_name_cannot_lead_into_another_namespace(attack: court.Court) -> None:
    for name in ("../../kube-system/secrets/x", "..", "a/b", "%2e%2e%2fkube-system"):
        attempt = attack.tenant.lease("path", provider="own", ttl="1h", target={"secretName": name})
        await _is_refused(attempt, "write a Kubernetes object name")
    for field in ("namespace", "secretNamespace"):
        target = {field: attack.victim.namespace}
        await _is_refused(attack.tenant.lease("path", target=target), "not declared in schema")


async def test_a_secret_that_grants_rights_is_not_made(attack: court.Court) -> None:
    for kind in (
        "kubernetes.io/service-account-token",
        "bootstrap.kubernetes.io/token",
        "helm.sh/release.v1",
    ):
        attempt = attack.tenant.lease("rights", provider="own", ttl="1h", target={"type": kind})
        await _is_refused(attempt, "may grant rights in the cluster")


async def test_a_system_secret_is_not_overwritten(attack: court.Court) -> None:
    """One that an administrator or another controller keeps in the tenant's namespace."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "system", "namespace": attack.tenant.namespace},
        "stringData": {"token": "an administrator's"},
    }
    await attack.victim.client.apply(secret)
    await attack.own_provider()
    await attack.tenant.lease("system", provider="own", ttl="1h")
    await attack.tenant.reason("system", "SecretNotOurs")
    await attack.tenant.delete("system")
    await attack.tenant.gone("system")
    assert await attack.tenant.credentials("system") == {"token": "an administrator's"}
    assert attack.server.count(rogue.ISSUE) == 0


async def test_workloads_of_another_namespace_cannot_be_named(attack: court.Court) -> None:
    target = {"kind": "Deployment", "name": "shop", "namespace": attack.victim.namespace}
    attempt = attack.tenant.lease("restart", ttl="1h", rotation={"restartTargets": [target]})
    await _is_refused(attempt, "not declared in schema")


# -- taking, ending or keeping alive another's lease


async def test_one_of_the_same_name_in_another_namespace_gets_and_ends_nothing(
    attack: court.Court,
) -> None:
    await attack.own_provider("infisical")
    await attack.tenant.lease(court.LEASE, provider="infisical", ttl="1h")
    await attack.tenant.ready(court.LEASE)
    assert (await attack.tenant.credentials(court.LEASE))["DB_USERNAME"] == "nobody"
    await attack.tenant.delete(court.LEASE)
    await attack.tenant.gone(court.LEASE)


async def test_a_secret_forged_as_the_others_ends_nothing(attack: court.Court) -> None:
    for act in ("made", "edited", "deleted"):
        await _forged_secret(attack, act)
    await attack.tenant.client.delete("Secret", "forged", attack.tenant.namespace)


async def test_a_forged_status_adopts_no_lease(attack: court.Court) -> None:
    await attack.own_provider()
    await attack.tenant.lease("forger", provider="own", ttl="1h")
    mine = await attack.tenant.ready("forger")
    (victims,) = await attack.victim.records(court.LEASE)
    names = {"attempt": victims["attemptId"], "id": attack.lease_id}
    stolen = {**names, "expiresAt": "2099-01-01T00:00:00Z"}
    forged = {**mine["status"]["lease"], **stolen}
    change = {"status": {"lease": forged, "handled": {"force": ""}}}
    await attack.tenant.client.patch_status(
        "DynamicLease", "forger", attack.tenant.namespace, change
    )
    await _annotated(attack, "forger", rotate="now", force="now", renew="now")
    await attack.tenant.until(
        "forger",
        lambda one: _lease_id(one).startswith("made-up"),
        what="the status is the operator's again",
    )
    await attack.tenant.delete("forger")
    await attack.tenant.gone("forger")
    assert all("/made-up-" in one.path for one in attack.server.asked if "leases/" in one.path)


async def test_a_forged_annotation_on_ones_own_secret_ends_only_ones_own_lease(
    attack: court.Court,
) -> None:
    await attack.own_provider()
    await attack.tenant.lease("forger", provider="own", ttl="1h")
    await attack.tenant.ready("forger")
    (victims,) = await attack.victim.records(court.LEASE)
    notes = {
        "leaseholder.dev/lease-id": attack.lease_id,
        "leaseholder.dev/attempt": victims["attemptId"],
    }
    change = {"metadata": {"annotations": notes}}
    await attack.tenant.client.patch("Secret", "forger", attack.tenant.namespace, change)
    await _annotated(attack, "forger", rotate="now")
    await attack.tenant.delete("forger")
    await attack.tenant.gone("forger")


async def test_forged_notes_under_the_wanted_name_end_only_ones_own_lease(
    attack: court.Court,
) -> None:
    """The login is the one that the victim's lease has: it could end that."""
    auth = attack.victim.universal_auth()
    for reference in auth["universalAuth"].values():
        reference["namespace"] = attack.victim.namespace
    allowed = [{"names": [attack.tenant.namespace]}]
    shared = {"kind": "ClusterLeaseProvider", "name": "tenants-shared"}
    await attack.victim.provider(
        shared["name"], kind=shared["kind"], auth=auth, allowedNamespaces=allowed
    )
    before = {one.id for one in await attack.victim.all_issued()}
    for name in ("marked", "nobodys"):
        await _forged_under(attack, name)
    await attack.tenant.lease("marked", ttl="1h", providerRef=shared)
    mine = (await attack.tenant.ready("marked"))["status"]["lease"]
    assert mine["id"] not in before
    values = await attack.tenant.credentials("marked")
    assert attack.victim.lets_in(values)
    assert values != attack.values
    await _forged_under(attack, "marked")
    stolen = {"status": {"lease": {**mine, "id": attack.lease_id}}}
    await attack.tenant.client.patch_status(
        "DynamicLease", "marked", attack.tenant.namespace, stolen
    )
    await _annotated(attack, "marked", rotate="now", renew="now", force="now")
    await attack.tenant.until(
        "marked",
        lambda one: _lease_id(one) not in {mine["id"], attack.lease_id} and kube.is_ready(one),
        what="another lease of its own",
    )
    await attack.tenant.delete("marked")
    await attack.tenant.gone("marked")
    assert await attack.tenant.credentials("marked") == {}
    assert await attack.tenant.credentials("nobodys") == {"DB_PASSWORD": "forged"}
    lives = {one.id for one in await attack.victim.all_issued() if one.alive}
    assert lives & ({attack.lease_id} | (lives - before)) == {attack.lease_id}


async def test_records_can_neither_be_written_nor_made_up(attack: court.Court) -> None:
    pages = await attack.victim.client.list("LeaseRecord", attack.victim.home)
    forged = next(one for one in pages if one["spec"]["for"]["name"] == court.LEASE)
    for key in ("uid", "resourceVersion", "managedFields", "creationTimestamp", "generation"):
        forged["metadata"].pop(key, None)
    forged["spec"]["leases"][0] |= {"state": "Revoking", "revoke": {"reason": "Superseded"}}
    await _is_refused(attack.tenant.client.apply(forged), "cannot patch", status=403)
    forged["metadata"]["namespace"] = attack.tenant.namespace
    await attack.tenant.client.apply(forged)
    await attack.own_provider()
    await attack.tenant.lease("other", provider="own", ttl="1h")
    await attack.tenant.ready("other")


async def test_a_lease_id_that_a_server_makes_up_is_ended_at_that_server_only(
    attack: court.Court,
) -> None:
    attack.server.lease_id = attack.lease_id
    await attack.own_provider()
    await attack.tenant.lease("thief", provider="own", ttl="1h")
    await attack.tenant.ready("thief")
    await attack.tenant.delete("thief")
    await attack.tenant.gone("thief")
    ended = {one.path.rpartition("/")[2] for one in attack.server.asked if one.route == rogue.END}
    assert attack.lease_id in ended


async def test_a_forged_tag_is_overwritten(attack: court.Court) -> None:
    """By its tag a lease of a lost answer is found, and revoked."""
    (record,) = await attack.victim.records(court.LEASE)
    pages = await attack.victim.client.list("LeaseRecord", attack.victim.home)
    installation = pages[0]["spec"]["installation"]
    forged = {"installation": installation, "attempt": record["attemptId"]}
    await attack.own_provider()
    source = {**sites.SOURCE, "dynamicSecretName": "orders-db", "config": {"leaseholder": forged}}
    await attack.tenant.lease("tagged", provider="own", ttl="1h", infisical=source)
    await attack.tenant.ready("tagged")
    (sent,) = [one.body for one in attack.server.asked if one.route == rogue.ISSUE]
    assert sent["config"]["leaseholder"] != forged


async def test_a_finalizer_that_is_taken_off_and_forged_notes_leave_no_lease_behind(
    attack: court.Court,
) -> None:
    await attack.own_provider()
    await attack.tenant.lease("escaped", provider="own", ttl="1h")
    await attack.tenant.ready("escaped")
    notes = {
        f"kopf.leaseholder.dev/{name}": text
        for name, text in (
            ("retire", '{"success":true,"purpose":"delete"}'),
            ("sync", "{not json"),
            ("last-handled-configuration", "[]"),
            ("last-handled", "\\u0000"),
        )
    }
    change = {"metadata": {"annotations": notes, "finalizers": []}}
    await attack.tenant.client.patch("DynamicLease", "escaped", attack.tenant.namespace, change)
    await attack.tenant.delete("escaped")
    async with asyncio.timeout(120):  # a DynamicLease of its name is waited for
        await attack.server.empty.wait()


# -- calling and stealing


async def test_no_token_for_the_api_server_is_made_however_its_audience_is_spelled(
    attack: court.Court,
) -> None:
    spellings = (API_SERVER, f"{API_SERVER}/", API_SERVER.upper(), "kubernetes.default.svc", " ")
    for number, audience in enumerate(spellings):
        auth = _by_account("tenant", audience)
        try:
            await attack.own_provider(f"greedy-{number}", auth=auth)
        except kube.Refused:
            continue
        sentence = await attack.told(f"greedy-{number}", "AuthSecretMissing")
        assert "audience" in sentence
    assert attack.server.count(rogue.BY_ACCOUNT) == 0


async def test_a_token_that_a_tenants_server_gets_opens_nothing_at_the_api_server(
    attack: court.Court,
) -> None:
    await attack.own_provider("account", auth=_by_account("tenant", "my-server"))
    await attack.tenant.client.wait(
        "LeaseProvider", "account", attack.tenant.namespace, kube.is_ready, what="Ready"
    )
    (token,) = [one.body["jwt"] for one in attack.server.asked if one.route == rogue.BY_ACCOUNT]
    async with kube.Kube(attack.victim.world.control_plane, token) as thief:
        with pytest.raises(kube.Refused) as refused:
            await thief.list("Secret", attack.tenant.namespace)
    assert refused.value.status == 401


async def test_a_service_account_that_isnt_there_is_none_of_another_namespace(
    attack: court.Court,
) -> None:
    await attack.own_provider("account", auth=_by_account("leaseholder", "my-server"))
    assert "create it" in await attack.told("account", "AuthSecretMissing")
    assert attack.server.count(rogue.BY_ACCOUNT) == 0


async def test_the_api_server_is_not_called_though_its_address_is_allowed(
    attack: court.Court,
) -> None:
    faults = attack.victim.world.kubernetes_faults
    assert faults is not None
    before = faults.faults.counters().requests.keys()
    await attack.provider("cluster", attack.victim.world.kubernetes_url)
    assert "API server" in await attack.told("cluster", "HostNotAllowed")
    asked = faults.faults.counters().requests.keys() - before
    assert not [route for route in asked if "auth" in route]


async def test_a_redirect_is_not_followed(attack: court.Court) -> None:
    async with rogue.serving() as other:

        async def redirect(_: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(f"{other.url}/{MARK}")

        for route in (rogue.STATUS, rogue.LOGIN):
            attack.server.trick(route, redirect)
        await attack.tenant.auth_secret("fresh", clientId="fresh", clientSecret="fresh")
        await attack.own_provider(auth=attack.tenant.universal_auth("fresh"))
        sentence = await attack.told("own", "BadProviderAnswer")
        assert MARK not in sentence
        assert other.asked == []


# -- bringing text or credentials where they don't belong


async def test_text_of_a_tenants_server_gets_nowhere(attack: court.Court) -> None:
    text = f"{MARK}\n2026-01-01 ERROR {MARK}: all credentials \x1b[31m\x00\u202e" + "x" * 5000

    async def refuse(_: web.Request) -> web.StreamResponse:
        body = {"reqId": text, "statusCode": 400, "message": text, "error": text}
        return web.json_response(body, status=400, reason="No", headers={"X-Request-Id": MARK})

    async def look(_: web.Request) -> web.StreamResponse:
        found = {**rogue.KINDS, "name": text, "type": text, "maxTTL": text, "status": text}
        return web.json_response({"dynamicSecret": found})

    async def version(_: web.Request) -> web.StreamResponse:
        return web.json_response({"version": text})

    attack.server.trick(rogue.STATUS, version)
    attack.server.trick(rogue.ISSUE, refuse)
    await attack.own_provider()
    await attack.tenant.lease("texts", provider="own", ttl="1h")
    await attack.tenant.until("texts", _has_failed, what="the issue failed")
    attack.server.trick(rogue.LOOK, look)
    await attack.tenant.lease("looks", provider="own", ttl="1h", target={"secretName": "x"})
    await attack.tenant.until("looks", _has_conditions, what="it was looked at")
    attack.server.lease_id = text
    attack.server.trick(rogue.ISSUE, None)
    await attack.tenant.lease("ids", provider="own", ttl="1h")
    await attack.tenant.until("ids", _has_conditions, what="it was looked at")
    assert MARK not in await _written(attack)


async def test_what_a_server_echoes_of_a_login_gets_nowhere(attack: court.Court) -> None:
    secret = f"{MARK}-secret"
    await attack.tenant.auth_secret("echoed", clientId="own", clientSecret=secret)

    async def echo(_: web.Request) -> web.StreamResponse:
        body = {"reqId": secret, "statusCode": 401, "message": secret, "error": secret}
        return web.json_response(body, status=401)

    attack.server.trick(rogue.LOGIN, echo)
    await attack.own_provider(auth=attack.tenant.universal_auth("echoed"))
    await attack.told("own", "LoginRefused")
    assert secret not in await _written(attack)


async def test_line_breaks_in_a_manifest_make_no_line_of_the_log(attack: court.Court) -> None:
    text = f"a\n2026-01-01 00:00:00,000 ERROR {MARK}\x1b[31m"
    await attack.own_provider()
    source = {**sites.SOURCE, "dynamicSecretName": "orders-db"}
    changes: tuple[kube.Object, ...] = (
        {"infisical": {**source, "dynamicSecretName": text}},
        {"infisical": {**source, "projectSlug": text}},
        {"infisical": {**source, "environmentSlug": text}},
        {"infisical": {**source, "config": {text: text}}},
        {"target": {"template": {"data": {"X": "{{ " + text + " }}"}}}},
        {"target": {"template": {"metadata": {"annotations": {"note": text}}}}},
    )
    for number, changed in enumerate(changes):
        try:
            await attack.tenant.lease(f"lines-{number}", provider="own", ttl="1h", **changed)
        except kube.Refused:
            continue
        await attack.tenant.until(f"lines-{number}", _has_conditions, what="it was looked at")
    await _annotated(attack, "lines-5", rotate=text, renew=text, force=text)
    await attack.tenant.until("lines-5", _has_conditions, what="it was looked at")
    log = await asyncio.to_thread(attack.victim.operator.log.read_text, errors="replace")
    assert not [line for line in log.splitlines() if line.startswith("2026-01-01")]
    for event in await attack.victim.client.list("Event", attack.tenant.namespace):
        assert event["message"].isprintable()
    for kind in ("DynamicLease", "LeaseProvider"):
        for one in await attack.victim.client.list(kind, attack.tenant.namespace):
            told = (one.get("status") or {}).get("conditions") or []
            assert all(condition["message"].isprintable() for condition in told)


async def test_no_value_of_a_lease_gets_into_status_by_a_key(attack: court.Court) -> None:
    """Keys are told in status; a template can't make one of a value."""
    await attack.own_provider()
    template = {"data": {"{{ DB_PASSWORD }}": "x"}}
    attempt = attack.tenant.lease("keys", provider="own", ttl="1h", target={"template": template})
    await _is_refused(attempt, "write keys of a Secret")
    metadata = {"annotations": {"note": "{{ DB_PASSWORD }}"}}
    await attack.tenant.lease(
        "keys", provider="own", ttl="1h", target={"template": {"metadata": metadata}}
    )
    await attack.tenant.ready("keys")
    found = await attack.tenant.client.get("Secret", "keys", attack.tenant.namespace)
    assert (found or {})["metadata"]["annotations"]["note"] == "{{ DB_PASSWORD }}"


# -- helpers


async def _is_refused(
    attempt: collections.abc.Awaitable[object], sentence: str, *, status: int = 0
) -> None:
    with pytest.raises(kube.Refused) as refused:
        await attempt
    assert sentence in refused.value.message
    assert not status or refused.value.status == status


def _lease(attack: court.Court, name: str, provider: str, *, cluster: bool = False) -> kube.Object:
    kind = "ClusterLeaseProvider" if cluster else "LeaseProvider"
    source = {**sites.SOURCE, "dynamicSecretName": "orders-db"}
    return {
        "apiVersion": "leaseholder.dev/v1alpha1",
        "kind": "DynamicLease",
        "metadata": {"name": name, "namespace": attack.tenant.namespace},
        "spec": {"providerRef": {"kind": kind, "name": provider}, "infisical": source, "ttl": "1h"},
    }


async def _forged_secret(attack: court.Court, data: str) -> None:
    """A Secret with all the marks of the victim's."""
    theirs = await attack.victim.client.get("Secret", court.LEASE, attack.victim.namespace)
    assert theirs is not None
    meta = theirs["metadata"]
    await attack.tenant.client.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "forged",
                "namespace": attack.tenant.namespace,
                "labels": meta["labels"],
                "annotations": meta["annotations"],
                "ownerReferences": [{**meta["ownerReferences"][0], "blockOwnerDeletion": False}],
            },
            "stringData": {"DB_PASSWORD": data},
        }
    )


async def _forged_under(attack: court.Court, name: str) -> None:
    """A Secret with all the marks of the victim's, but that they name itself."""
    theirs = await attack.victim.client.get("Secret", court.LEASE, attack.victim.namespace)
    assert theirs is not None
    itself = {
        "leaseholder.dev/owner-name": name,
        "leaseholder.dev/secret": f"{attack.tenant.namespace}/{name}",
    }
    meta = {
        "name": name,
        "namespace": attack.tenant.namespace,
        "labels": theirs["metadata"]["labels"],
        "annotations": {**theirs["metadata"]["annotations"], **itself},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta}
    await attack.tenant.client.apply({**secret, "stringData": {"DB_PASSWORD": "forged"}})


async def _annotated(attack: court.Court, name: str, **commands: str) -> None:
    notes = {f"leaseholder.dev/{command}": nonce for command, nonce in commands.items()}
    change = {"metadata": {"annotations": notes}}
    await attack.tenant.client.patch("DynamicLease", name, attack.tenant.namespace, change)


def _by_account(name: str, audience: str) -> kube.Object:
    way = {"identityId": "x", "serviceAccountRef": {"name": name}, "audience": audience}
    return {"kubernetesAuth": way}


def _lease_id(found: kube.Object | None) -> str:
    status: dict[str, typing.Any] = (found or {}).get("status") or {}
    return str((status.get("lease") or {}).get("id"))


def _has_failed(found: kube.Object | None) -> bool:
    return bool(((found or {}).get("status") or {}).get("retry"))


def _has_conditions(found: kube.Object | None) -> bool:
    return bool(((found or {}).get("status") or {}).get("conditions"))


async def _written(attack: court.Court) -> str:
    """All that the operator wrote where many can read: log, metrics, events, status."""
    client, namespace = attack.victim.client, attack.tenant.namespace
    texts = [await asyncio.to_thread(attack.victim.operator.log.read_text, errors="replace")]
    texts.append(await asyncio.to_thread(attack.victim.operator.exposition))
    texts += [json.dumps(one) for one in await client.list("Event", namespace)]
    for kind in ("DynamicLease", "LeaseProvider"):
        texts += [json.dumps(one.get("status")) for one in await client.list(kind, namespace)]
    texts += [json.dumps(one) for one in await client.list("LeaseRecord", attack.victim.home)]
    return "\n".join(texts)
