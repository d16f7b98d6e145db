"""What is OpenBao's own, at the real server; what all providers promise is in ``conformance``."""

import asyncio
import contextlib
import itertools
import json
import re
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Attempt, Issued, Lease, Provider
from leaseholder.providers.openbao.api import ACCESSORS, LEASES
from tests.provider.benches import base
from tests.provider.benches import openbao as benches
from tests.provider.benches.openbao import OpenBaoBench
from tests.world import certificates, kube, kubernetes, openbao, openbao_mounts
from tests.world import postgres as servers

ORDERS = openbao_mounts.ORDERS
NUMBERS = itertools.count(1)


class Bench(OpenBaoBench):
    """With logins of any kind, and attempts of any path."""

    def approle(self, *, namespace: str = "", **options: Any) -> dict[str, Any]:
        name = f"role-{next(NUMBERS)}"
        role = self.server.approle(name, namespace=namespace, **options)
        self.values.held[name] = role.secret_id
        reference = {"name": "auth", "key": name}
        return {"appRole": {"roleId": role.role_id, "secretIdSecretRef": reference}}

    def token(self, token: str) -> dict[str, Any]:
        self.values.held["token"] = token
        return {"token": {"tokenSecretRef": {"name": "auth", "key": "token"}}}

    def wanted(
        self,
        adapter: Provider,
        path: str = ORDERS,
        *,
        ttl: int | None = None,
        **source: Any,
    ) -> Attempt:
        return self.attempt(adapter, benches.source(path, **source), ttl=ttl)

    async def issue(
        self,
        adapter: Provider,
        path: str = ORDERS,
        *,
        ttl: int | None = None,
        **source: Any,
    ) -> Issued:
        return await self.issued(adapter, benches.source(path, **source), ttl=ttl)


@pytest.fixture
async def bench(
    bao: openbao.OpenBao, postgres: servers.Postgres, line_files: certificates.ServerFiles
) -> AsyncIterator[Bench]:
    async with benches.opened(bao, postgres, line_files, Bench) as opened:
        yield opened


def token_of(bench: Bench, lease: Lease) -> dict[str, Any]:
    body = {"accessor": lease.handle["accessor"]}
    found = bench.server.call("POST", "auth/token/lookup-accessor", body)["data"]
    return dict(found)


def left(adapter: Provider, lease: Lease) -> float:
    return (lease.expires_at - adapter.now()).total_seconds()


# ------------------------------------------------------------------------------- both ends


async def test_a_renewal_moves_the_lease_and_its_token(bench: Bench) -> None:
    adapter = bench.built(auth=bench.approle(token_ttl="20m"))
    lease = (await bench.issue(adapter, ttl=600)).lease
    until, asked = adapter.now() + timedelta(hours=2), time.monotonic()
    renewed = await adapter.renew(lease, until)
    # The server counts from when it gets to the request, and moments are whole seconds.
    late = timedelta(seconds=1 + time.monotonic() - asked)
    assert until - timedelta(seconds=3) <= renewed.expires_at <= until
    seen = bench.server.lease(lease.id)
    token = token_of(bench, lease)
    assert seen is not None
    for end in (seen["expire_time"], token["expire_time"]):
        assert renewed.expires_at <= datetime.fromisoformat(end) <= until + late


async def test_a_truncated_renewal_teaches_the_maximum(bench: Bench) -> None:
    adapter = bench.adapter()
    path = bench.server.role("short", ttl="60s", max_ttl="90s")
    lease = (await bench.issue(adapter, path)).lease
    assert lease.latest is None
    renewed = await adapter.renew(lease, adapter.now() + timedelta(hours=1))
    assert renewed.latest == renewed.expires_at
    # Each moment is a whole second, one rounded down and one up.
    assert 85 <= (renewed.expires_at - lease.issued_at).total_seconds() <= 91
    with pytest.raises(errors.CannotRenew) as caught:
        await adapter.renew(renewed, adapter.now() + timedelta(hours=1))
    assert caught.value.latest == renewed.expires_at
    later = (await bench.issue(adapter, path)).lease
    assert later.latest is not None
    assert 80 <= (later.latest - later.issued_at).total_seconds() <= 91  # as it was learned


async def test_a_ttl_above_the_maximum_is_refused_and_leaves_nothing(bench: Bench) -> None:
    adapter = bench.adapter()
    path = bench.server.role("capped", ttl="60s", max_ttl="90s")
    tokens = len(bench.server.accessors())
    attempt = await bench.prepared(adapter, benches.source(path), ttl=3600)
    with pytest.raises(errors.Invalid, match="which is 1m") as caught:
        await adapter.issue(attempt)
    assert caught.value.reason is Reason.TTL_TOO_LONG
    assert bench.server.leases("database/creds/capped/") == []
    with pytest.raises(errors.Invalid):  # known by now: no issue
        await adapter.prepare(bench.wanted(adapter, path, ttl=3600))
    assert len(bench.server.accessors()) <= tokens + 1  # the shared login


@pytest.mark.parametrize("token", [{}, {"token_ttl": "60s", "token_max_ttl": "60s"}])
async def test_a_ttl_that_is_the_maximum_is_given_again_and_again(
    bench: Bench, token: dict[str, str]
) -> None:
    adapter = bench.built(auth=bench.approle(**token))
    path = bench.server.role("equal", ttl="30s", max_ttl="1h" if token else "60s")
    lease = (await bench.issue(adapter, path, ttl=60)).lease
    for pause in (0.0, 0.4, 0.8):
        await asyncio.sleep(pause)  # where in a second it begins matters
        with contextlib.suppress(errors.CannotRenew):
            await adapter.renew(lease, adapter.now() + timedelta(seconds=90))
        lease = (await bench.issue(adapter, path, ttl=60)).lease
    assert left(adapter, lease) > 55


async def test_a_lease_ends_with_a_token_that_cannot_live_longer(bench: Bench) -> None:
    adapter = bench.built(auth=bench.approle(token_ttl="30s", token_max_ttl="60s"))
    lease = (await bench.issue(adapter)).lease
    assert 55 <= left(adapter, lease) <= 60
    assert lease.latest == lease.expires_at
    with pytest.raises(errors.CannotRenew):
        await adapter.renew(lease, adapter.now() + timedelta(hours=1))
    later = await bench.issue(adapter, ttl=50)
    assert later.lease.latest is not None
    with pytest.raises(errors.Invalid) as caught:
        await adapter.prepare(bench.wanted(adapter, ttl=600))
    assert caught.value.reason is Reason.TTL_TOO_LONG


async def test_a_periodic_token_is_renewed_again_and_again(bench: Bench) -> None:
    adapter = bench.built(auth=bench.approle(token_period="30s"))
    lease = (await bench.issue(adapter)).lease
    assert left(adapter, lease) <= 30
    assert lease.latest is None
    renewed = await adapter.renew(lease, adapter.now() + timedelta(seconds=60))
    assert 25 <= left(adapter, renewed) <= 30
    assert renewed.latest is None
    with pytest.raises(errors.Invalid, match="token_period"):
        await adapter.prepare(bench.wanted(adapter, ttl=600))


async def test_the_end_of_its_token_is_the_end_of_a_lease(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issue(adapter)
    bench.server.revoke_accessor(issued.lease.handle["accessor"])
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(issued.lease)
    with pytest.raises(errors.LeaseGone):
        await adapter.renew(issued.lease, adapter.now() + timedelta(hours=3))
    await bench.until_dead(issued)
    assert (await adapter.revoke(issued.lease)).done


# ---------------------------------------------------------------------------- lost answers


async def test_what_a_lost_answer_left_is_known_by_its_accessor(bench: Bench) -> None:
    lost = await bench.lost(bench.adapter())
    restarted = bench.adapter(base.Login.ANOTHER)
    [found] = await restarted.recover(lost)
    assert found.id == f"accessor/{lost.handle['accessor']}"
    assert (await restarted.inspect(found)).id == found.id
    with pytest.raises(errors.CannotRenew):
        await restarted.renew(found, restarted.now() + timedelta(hours=1))
    assert (await restarted.revoke(found)).done
    with pytest.raises(errors.LeaseGone):
        await restarted.inspect(found)
    assert await restarted.recover(bench.attempt(restarted)) == (), "nothing noted, nothing made"


async def test_a_login_goes_with_its_lease(bench: Bench) -> None:
    adapter = bench.adapter()
    lease = (await bench.issue(adapter)).lease
    assert lease.handle["accessor"] in bench.server.accessors()
    assert (await adapter.revoke(lease)).done
    assert lease.handle["accessor"] not in bench.server.accessors()


# ------------------------------------------------------------------------------- outages


async def test_a_database_that_is_down_does_not_make_the_server_look_down(bench: Bench) -> None:
    adapter = bench.adapter()
    lease = (await bench.issue(adapter)).lease
    bench.server.database.cut()
    try:
        for _ in range(6):
            with pytest.raises(errors.Unavailable):
                await bench.issue(adapter)
        assert (await adapter.inspect(lease)).id == lease.id
    finally:
        bench.server.database.mend()


async def test_a_sealed_server_is_told_and_its_leases_live_on(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issue(adapter)
    attempt = await bench.prepared(adapter, benches.source(ORDERS), ttl=None)
    bench.server.seal()
    try:
        for call in (adapter.check(), adapter.inspect(issued.lease), adapter.issue(attempt)):
            with pytest.raises(errors.Unavailable, match="sealed") as caught:
                await call
            assert not caught.value.sent
    finally:
        bench.server.unseal()
    assert (await adapter.inspect(issued.lease)).id == issued.lease.id
    assert await bench.works(issued)
    assert (await adapter.revoke(issued.lease)).done


async def test_a_server_that_was_killed_is_back_with_its_leases(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issue(adapter)
    bench.server.kill()
    try:
        with pytest.raises(errors.Unavailable):
            await adapter.inspect(issued.lease)
    finally:
        bench.server.restart(unseal=False)
    with pytest.raises(errors.Unavailable, match="sealed"):
        await adapter.check()
    bench.server.unseal()
    renewed = await adapter.renew(issued.lease, adapter.now() + timedelta(hours=3))
    assert (await adapter.revoke(renewed)).done
    assert not await bench.works(issued)


# --------------------------------------------------------------------------- who may what


async def test_health_tells_version_clock_and_what_can_be_done(bench: Bench) -> None:
    health = await bench.adapter().check()
    assert health.server_version is not None
    assert health.server_version.startswith("2.")
    assert abs(health.clock_skew) <= 2
    assert health.capabilities == ("Renew", "Inspect", "Revoke", "Recover")
    assert not health.caveat


@pytest.mark.parametrize(
    ("path", "right"),
    [(ORDERS, "read")] + [(right.path, right.capability) for right in (*LEASES, *ACCESSORS)],
)
async def test_a_missing_right_is_told_before_the_issue(
    bench: Bench, path: str, right: str
) -> None:
    lines = openbao_mounts.policy().splitlines()
    kept = [one for one in lines if path not in one and "database/creds/+" not in one]
    if path != ORDERS:
        kept.append(f'path "{ORDERS}" {{ capabilities = ["read"] }}')
    # The policy `default` gives some of them.
    kept.append(f'path "{path}" {{ capabilities = ["deny"] }}')
    bench.server.policy("poor", "\n".join(kept))
    adapter = bench.built(auth=bench.approle(policies=("poor",)))
    tokens = len(bench.server.accessors())
    line = f'path "{path}" {{ capabilities = ["{right}"] }}'
    with pytest.raises(errors.Denied, match=re.escape(line)) as caught:
        await adapter.prepare(bench.wanted(adapter))
    assert caught.value.reason is Reason.DENIED
    assert len(bench.server.accessors()) == tokens
    if path != ORDERS:
        with pytest.raises(errors.Denied, match=re.escape(line)):
            await adapter.check()


async def test_a_right_for_the_other_method_is_told(bench: Bench) -> None:
    with pytest.raises(errors.Denied, match="or write method: GET"):
        await bench.issue(bench.adapter(), method="POST")


async def test_batch_tokens_are_refused(bench: Bench) -> None:
    adapter = bench.built(auth=bench.approle(token_type="batch", token_ttl="5m"))
    with pytest.raises(errors.Denied, match="token_type"):
        await adapter.prepare(bench.wanted(adapter))


async def test_a_ready_made_token_is_shared_and_finds_nothing_again(bench: Bench) -> None:
    token = bench.server.token(ttl="2m", explicit_max_ttl="2h")
    adapter = bench.built(auth=bench.token(token))
    attempt = await bench.prepared(adapter, benches.source(ORDERS), ttl=None)
    issued = await adapter.issue(attempt)
    assert await bench.works(issued)
    assert 3590 <= left(adapter, issued.lease) <= 3600
    assert not adapter.capabilities({}).recoverable
    assert not adapter.capabilities(issued.lease.handle).recoverable
    assert await adapter.recover(attempt) == ()
    health = await adapter.check()
    assert health.capabilities == ("Renew", "Inspect", "Revoke")
    assert "all leases share one ready-made token" in health.caveat
    renewed = await adapter.renew(issued.lease, adapter.now() + timedelta(hours=3))
    assert renewed.expires_at == renewed.latest
    assert 7100 <= left(adapter, renewed) <= 7200
    other = await bench.issue(adapter)
    assert (await adapter.revoke(renewed)).done
    assert not await bench.works(issued)
    assert await bench.works(other)


async def test_leases_of_a_namespace_stay_in_it(bench: Bench) -> None:
    bench.server.make_namespace("apart", bench.postgres)
    adapter = bench.built(auth=bench.approle(namespace="apart"), namespace="apart")
    attempt = await bench.prepared(adapter, benches.source(ORDERS), ttl=None)
    issued = await adapter.issue(attempt)
    lease = issued.lease
    assert await bench.works(issued)
    assert lease.id in bench.server.leases(namespace="apart")
    renewed = await adapter.renew(lease, adapter.now() + timedelta(hours=3))
    assert left(adapter, await adapter.inspect(renewed)) > 10_000
    assert len(await adapter.recover(attempt)) == 1
    assert (await adapter.revoke(lease)).done
    assert not await bench.works(issued)
    assert bench.server.leases(namespace="apart") == []
    with pytest.raises(errors.Denied, match="namespace"):
        await bench.built(auth=bench.approle(), namespace="nowhere").check()


async def test_service_accounts_log_in_with_a_token_for_the_audience(
    bench: Bench, control_plane: kubernetes.ControlPlane
) -> None:
    bench.server.trust_cluster(control_plane)
    async with kube.Kube(control_plane) as cluster:
        meta = {"name": "shop", "namespace": "default"}
        await cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    path = "/api/v1/namespaces/default/serviceaccounts/shop/token"
    for audience in ("openbao", "other"):
        body = {"spec": {"audiences": [audience], "expirationSeconds": 600}}
        async with control_plane.session() as session, session.post(path, json=body) as made:
            bench.values.held[f"shop/{audience}"] = (await made.json())["status"]["token"]
    for way in ("kubernetes", "jwt"):
        login = {"role": "leaseholder", "serviceAccountRef": {"name": "shop"}}
        issued = await bench.issue(bench.built(auth={way: {**login, "audience": "openbao"}}))
        assert await bench.works(issued)
        with pytest.raises(errors.Denied):
            await bench.built(auth={way: {**login, "audience": "other"}}).check()


# ---------------------------------------------------------------------------- other paths


@pytest.mark.parametrize(
    ("source", "reason", "sentence"),
    [
        ({"path": "database/creds/nope"}, Reason.SOURCE_MISSING, "nothing at"),
        ({"path": "database/static-creds/nope"}, Reason.SOURCE_MISSING, "nothing at"),
        ({"path": ORDERS, "method": "POST"}, Reason.INVALID, "method: GET"),
        ({"path": "ssh/creds/otp"}, Reason.INVALID, "method: POST"),
        ({"path": "ssh/creds/otp", "method": "POST"}, Reason.INVALID, "parameters"),
        ({"path": "kv/plain"}, Reason.INVALID, "gives no lease"),
        (
            {"path": "pki/issue/bare", "method": "POST", "parameters": {"common_name": "a.test"}},
            Reason.INVALID,
            "generate_lease",
        ),
    ],
)
async def test_what_gives_no_lease_is_told_and_leaves_nothing(
    bench: Bench, source: dict[str, Any], reason: Reason, sentence: str
) -> None:
    both = "".join(
        f'path "{path}" {{ capabilities = ["read", "update"] }}\n'
        for path in (ORDERS, "ssh/creds/+")
    )
    bench.server.policy("both", both)
    adapter = bench.built(auth=bench.approle(policies=("leaseholder", "both")))
    await adapter.check()
    tokens, held = bench.server.accessors(), bench.server.leases()
    with pytest.raises(errors.Invalid, match=sentence) as caught:
        await bench.issue(adapter, **source)
    assert caught.value.reason is reason
    assert sorted(bench.server.accessors()) == sorted(tokens)
    assert bench.server.leases() == held


@pytest.mark.parametrize(
    "path",
    [
        *("sys/seal", "auth/token/create", "identity/oidc/token/x", "cubbyhole/x", "sys"),
        *("team/sys/seal", "a/../sys/seal", "a//b", "a/./b", "", "a?b", "a%2fb", "a b"),
    ],
)
async def test_paths_of_the_server_itself_are_never_asked(bench: Bench, path: str) -> None:
    adapter = bench.adapter()
    for call in (adapter.prepare, adapter.issue):
        with pytest.raises(errors.Invalid):
            await call(bench.wanted(adapter, path))


async def test_a_lease_that_cannot_be_renewed_is_held_and_revoked(bench: Bench) -> None:
    adapter = bench.adapter()
    asked = {"ip": "10.0.0.1"}
    issued = await bench.issue(adapter, "ssh/creds/otp", method="POST", parameters=asked)
    assert issued.credentials.reveal()["port"] == "22"
    lease = issued.lease
    assert not adapter.capabilities(lease.handle).renewable
    assert lease.latest == lease.expires_at
    with pytest.raises(errors.CannotRenew):
        await adapter.renew(lease, lease.expires_at + timedelta(hours=1))
    assert (await adapter.inspect(lease)).expires_at >= lease.expires_at
    assert (await adapter.revoke(lease)).done
    assert lease.id not in bench.server.leases("ssh/")


async def test_a_certificate_is_leased_with_its_chain(bench: Bench) -> None:
    adapter = bench.adapter()
    parameters = {"common_name": "a.test", "ttl": "10m"}
    issued = await bench.issue(adapter, "pki/issue/web", method="POST", parameters=parameters)
    values = issued.credentials.reveal()
    assert "BEGIN CERTIFICATE" in values["certificate"]
    assert isinstance(json.loads(values["ca_chain"]), list)
    assert 590 <= left(adapter, issued.lease) <= 600
    assert (await adapter.revoke(issued.lease)).done


async def test_static_credentials_are_no_lease(bench: Bench) -> None:
    path = openbao_mounts.static_role(bench.server, bench.postgres, "standing")
    adapter = bench.adapter()
    with pytest.raises(errors.Invalid, match="gives no lease"):
        await bench.issue(adapter, path)


async def test_a_lease_whose_role_was_deleted_is_replaced_not_renewed(bench: Bench) -> None:
    adapter = bench.adapter()
    path = bench.server.role("leaving", ttl="10m", max_ttl="1h")
    issued = await bench.issue(adapter, path)
    bench.server.call("DELETE", "database/roles/leaving")
    with pytest.raises(errors.CannotRenew):
        await adapter.renew(issued.lease, adapter.now() + timedelta(minutes=30))
    assert (await adapter.revoke(issued.lease)).done
    assert not await bench.works(issued)


async def test_a_lease_whose_user_was_dropped_is_replaced_not_renewed(bench: Bench) -> None:
    adapter = bench.adapter()
    issued = await bench.issue(adapter)
    with psycopg.connect(bench.postgres.dsn) as connection:
        user = sql.Identifier(issued.credentials.reveal()["username"])
        connection.execute(sql.SQL("drop role {}").format(user))
    with pytest.raises(errors.CannotRenew):
        await adapter.renew(issued.lease, adapter.now() + timedelta(hours=3))
    assert (await adapter.revoke(issued.lease)).done


async def test_too_many_requests_are_told_with_the_wait(bench: Bench) -> None:
    adapter = bench.adapter()
    attempts = [await bench.prepared(adapter, benches.source(ORDERS), ttl=None) for _ in range(3)]
    bench.server.quota(1, path="database/")
    outcomes = await asyncio.gather(*map(adapter.issue, attempts), return_exceptions=True)
    bench.server.quota(None)
    throttled = [one for one in outcomes if isinstance(one, errors.Throttled)]
    assert throttled
    assert all(0 < (one.retry_after or 0) <= 2 for one in throttled)
