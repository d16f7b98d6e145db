"""What is Infisical's own, at the emulator; what all providers promise is in ``conformance``."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Attempt, Lease
from tests.provider.benches import base
from tests.provider.benches import infisical as benches
from tests.provider.benches.base import Kind
from tests.provider.benches.infisical import InfisicalBench
from tests.world import certificates
from tests.world import postgres as servers
from tests.world.infisical import bench as emulated
from tests.world.infisical import seeds

TOKEN = {"tokenAuth": {"tokenSecretRef": {"name": "a", "key": "token"}}}
ISSUER = "https://cluster.test"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
async def bench(
    postgres: servers.Postgres, line_files: certificates.ServerFiles
) -> AsyncIterator[InfisicalBench]:
    async with benches.opened(postgres, line_files) as opened:
        yield opened


def source(name: str = "orders-db", **changes: Any) -> dict[str, Any]:
    return {**benches.SOURCE, "dynamicSecretName": name, **changes}


def service_account_token(audience: str) -> str:
    claims = {"sub": "system:serviceaccount:shop:shop", "aud": audience, "iss": ISSUER}
    return jwt.encode(claims | {"exp": int(time.time()) + 600}, KEY, "RS256")


async def test_a_name_may_be_written_in_any_case(bench: InfisicalBench) -> None:
    assert await bench.works(await bench.issued(bench.adapter(), source("ORDERS-DB")))


async def test_as_many_leases_as_allowed_are_issued_at_once_and_all_come(
    bench: InfisicalBench,
) -> None:
    """None waits for a connection, which would look like a server that doesn't answer."""
    many = 64
    adapter = bench.adapter(limits={"concurrency": many})
    ready = await asyncio.gather(*(bench.prepared(adapter) for _ in range(many)))
    async with await psycopg.AsyncConnection.connect(bench.postgres.dsn) as database:
        await database.execute("LOCK TABLE pg_authid IN EXCLUSIVE MODE")  # no role is made
        issues = [asyncio.create_task(adapter.issue(one)) for one in ready]

        async def all_there() -> bool:
            return bench.line.counted(bench.routes.issue) == many

        await bench.until(all_there, "the server has all of them")
    issued = await asyncio.gather(*issues)
    await bench.until_living(*(one.lease for one in issued))
    assert len({one.lease.id for one in issued}) == many
    assert all(await asyncio.gather(*(bench.works(one) for one in issued)))
    await adapter.check()


async def test_a_maximum_that_nobody_noted_is_learned_from_the_refusal(
    bench: InfisicalBench,
) -> None:
    adapter = bench.adapter()
    lease = (await bench.issued(adapter, bench.source(Kind.CAPPED), ttl=60)).lease
    far = lease.expires_at + timedelta(days=1)
    renewed = await adapter.renew(lease, far)
    unaware = Lease(
        id=renewed.id,
        source=renewed.source,
        issued_at=renewed.issued_at,
        expires_at=renewed.expires_at,
    )
    with pytest.raises(errors.CannotRenew):
        await adapter.renew(unaware, far)


async def test_what_another_organization_doesnt_show_lives(bench: InfisicalBench) -> None:
    """It has a project, a folder and a dynamic secret of the same names."""
    adapter, admin = bench.adapter(), bench.server.admin
    attempt = bench.attempt(adapter)
    attempt = dataclasses.replace(attempt, handle=await adapter.prepare(attempt))
    issued = await adapter.issue(attempt)
    project = seeds.Project(slug="elsewhere", organization="other")
    secret = seeds.DynamicSecret(name="orders-db", type="sql-database", project=project.slug)
    member = (await admin.identity()).model_copy(update={"sub_organizations": ["other"]})
    known: dict[str, Any] = {
        "projects": [project],
        "dynamic_secrets": [secret],
        "identities": [member],
    }
    await admin.seed(seeds.Seed(sub_organizations=["other"], **known))
    await admin.seed(seeds.Seed(projects=[project.model_copy(update={"slug": "demo"})]))
    login = benches.universal_auth(base.Login.OURS)["universalAuth"]
    elsewhere = bench.built(auth={"universalAuth": {**login, "organizationSlug": "other"}})
    for ask in (
        elsewhere.inspect(issued.lease),
        elsewhere.revoke(issued.lease),
        elsewhere.recover(attempt),
    ):
        with pytest.raises(errors.Denied, match="another one asked for it"):
            await ask
    assert await bench.works(issued)
    assert [one.id for one in await adapter.recover(attempt)] == [issued.lease.id]
    assert (await adapter.revoke(issued.lease)).done
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(issued.lease)


async def test_a_forced_revocation_makes_infisical_forget_and_nobody_else(
    bench: InfisicalBench,
) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter)
    async with bench.revocations_refused():
        assert not (await adapter.revoke(issued.lease)).done
        assert (await adapter.inspect(issued.lease)).handle["status"] == "Failed to delete"
        assert (await adapter.revoke(issued.lease, force=True)).done
    assert await bench.works(issued), "Infisical forgot it, PostgreSQL didn't"


async def test_a_stale_replica_says_that_the_lease_is_gone(bench: InfisicalBench) -> None:
    await bench.server.admin.turn(replicaLagSeconds=30)
    adapter = bench.adapter()
    lease = (await bench.issued(adapter)).lease
    with pytest.raises(errors.LeaseGone):
        await adapter.inspect(lease)


async def test_a_locked_identity_is_told_and_left_alone(bench: InfisicalBench) -> None:
    wrong = {"clientId": bench.values.held["ours-id"], "clientSecret": "wrong"}
    for _ in range(3):
        await bench.server.call("POST", emulated.LOGIN, wrong)
    adapter = bench.adapter()
    for _ in range(3):
        with pytest.raises(errors.Denied) as caught:
            await adapter.check()
        assert caught.value.reason is Reason.LOCKED_OUT
    assert bench.line.counted(bench.routes.login) == 1


async def test_a_static_token_logs_in(bench: InfisicalBench) -> None:
    bench.values.held["token"] = await bench.server.admin.issue_token()
    adapter = bench.built(auth=TOKEN)
    assert await bench.works(await bench.issued(adapter))
    assert bench.line.counted(bench.routes.login) == 0


async def test_a_service_account_logs_in_with_a_token_for_its_audience(
    bench: InfisicalBench,
) -> None:
    shown = serialization.PublicFormat.SubjectPublicKeyInfo
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, shown).decode()
    oidc = seeds.OidcAuth(
        public_key=public,
        bound_issuer=ISSUER,
        bound_audiences="infisical",
        bound_subject="system:serviceaccount:shop:shop",
    )
    await bench.server.admin.seed(seeds.Seed(identities=[seeds.Identity(name="o", oidc_auth=oidc)]))
    known = (await bench.server.admin.identity("o")).id
    way = {"identityId": known, "serviceAccountRef": {"name": "shop"}, "audience": "infisical"}
    for audience in ("infisical", "other"):
        bench.values.held[f"shop/{audience}"] = service_account_token(audience)
    assert await bench.works(await bench.issued(bench.built(auth={"oidcAuth": way})))
    with pytest.raises(errors.Denied):
        await bench.built(auth={"oidcAuth": way | {"audience": "other"}}).check()


async def test_a_project_may_be_given_by_its_id(bench: InfisicalBench) -> None:
    adapter = bench.adapter()
    by_id = source(projectSlug=None, projectId=seeds.DEMO_PROJECT_ID)
    issued = await bench.issued(adapter, by_id)
    assert (await adapter.revoke(issued.lease)).done


async def test_an_identity_that_may_only_lease_can_do_everything(bench: InfisicalBench) -> None:
    poor = seeds.Identity(
        name="poor",
        universal_auth=seeds.UniversalAuth(),
        grants=[seeds.Grant(actions=["lease"])],
    )
    await bench.server.admin.seed(seeds.Seed(identities=[poor]))
    bench.hold("poor", poor)
    adapter = bench.built(auth=benches.universal_auth("poor"))
    ready = await bench.prepared(adapter)
    issued = await adapter.issue(ready)
    until = issued.lease.expires_at + timedelta(seconds=60)
    await adapter.inspect(await adapter.renew(issued.lease, until))
    assert len(await adapter.recover(ready)) == 1
    assert (await adapter.revoke(issued.lease)).done


@pytest.mark.parametrize(
    ("changes", "ttl", "reason"),
    [
        ({"projectSlug": "nope"}, 600, Reason.SOURCE_MISSING),
        ({"environmentSlug": "nope"}, 600, Reason.SOURCE_MISSING),
        ({"path": "/nope"}, 600, Reason.SOURCE_MISSING),
        ({"dynamicSecretName": "nope"}, 600, Reason.SOURCE_MISSING),
        ({}, 86_401, Reason.TTL_TOO_LONG),
    ],
)
async def test_what_cannot_be_issued_is_refused_before_and_at_the_issue(
    bench: InfisicalBench, changes: dict[str, str], ttl: int, reason: Reason
) -> None:
    adapter = bench.adapter()
    wanted = bench.attempt(adapter, {**source(), **changes}, ttl=ttl)
    calls: tuple[Callable[[Attempt], Any], ...] = (adapter.prepare, adapter.issue)
    for call in calls:
        with pytest.raises(errors.Invalid) as caught:
            await call(wanted)
        assert caught.value.reason is reason


async def test_a_source_being_deleted_is_noticed(bench: InfisicalBench) -> None:
    await bench.issued(bench.adapter())
    await bench.server.admin.turn(jobsPaused=True)
    await bench.server.admin.delete_dynamic_secret("orders-db")
    with pytest.raises(errors.Invalid) as caught:
        await bench.prepared(bench.adapter())
    assert caught.value.reason is Reason.SOURCE_DELETED


async def test_the_plan_is_told(bench: InfisicalBench) -> None:
    await bench.server.admin.turn(planAllows=False)
    adapter = bench.adapter()
    with pytest.raises(errors.Denied) as caught:
        await bench.issued(adapter)
    assert caught.value.reason is Reason.PLAN


async def test_a_server_that_takes_no_config_is_served_without_tag(bench: InfisicalBench) -> None:
    await bench.server.admin.turn(configRejected=True)
    adapter = bench.adapter()
    with pytest.raises(errors.Unavailable) as caught:
        await bench.issued(adapter)
    assert not caught.value.sent
    issued = await bench.issued(adapter)
    assert await bench.works(issued)
    assert not adapter.capabilities(issued.lease.handle).recoverable
    assert len(await bench.server.admin.leases()) == 1


async def test_the_rate_limit_is_learned(bench: InfisicalBench) -> None:
    limits = {"enabled": True, "write": 2}
    await bench.server.admin.turn(limits=limits)
    adapter = bench.adapter()
    await bench.issued(adapter, source("k8s"))
    with pytest.raises(errors.Throttled) as caught:
        await bench.issued(adapter, source("k8s"))
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 60
    before = bench.line.counted(bench.routes.issue)
    with pytest.raises(errors.Throttled):
        await bench.issued(adapter, source("k8s"))
    assert bench.line.counted(bench.routes.issue) == before


@pytest.mark.parametrize(
    ("name", "renewable", "revocable", "slots"),
    [
        ("orders-db", True, True, "Many"),
        ("k8s", False, True, "Many"),
        ("aws-sts", False, False, "Many"),
        ("aws-user", True, True, "Many"),
        ("ldap", True, True, "Many"),
        ("ldap-static", True, True, "One"),
        ("github", False, False, "Many"),
        ("ssh", False, False, "Many"),
    ],
)
async def test_what_the_adapter_promises_of_a_kind_is_true(
    bench: InfisicalBench, name: str, renewable: bool, revocable: bool, slots: str
) -> None:
    adapter = bench.adapter()
    config = {"principals": ["deploy"]} if name == "ssh" else {}
    issued = await bench.issued(adapter, source(name, config=config))
    able = adapter.capabilities(issued.lease.handle)
    assert (able.renewable, able.revocable, able.slots) == (renewable, revocable, slots)
    revocation = await adapter.revoke(issued.lease)
    assert revocation.done
    alive = await bench.server.admin.alive()
    assert bool(alive) is not revocable


async def test_ssh_without_principals_is_told_what_to_write(bench: InfisicalBench) -> None:
    adapter = bench.adapter()
    with pytest.raises(errors.Invalid) as caught:
        await bench.issued(adapter, source("ssh"))
    assert "write infisical.config: {principals: [name]}" in str(caught.value)
    assert await bench.server.admin.leases() == []
    written = source("ssh", config={"principals": ["deploy"]})
    assert await bench.works(await bench.issued(adapter, written))


async def test_a_certificate_of_ssh_is_for_its_principals_and_ends_with_its_lease(
    bench: InfisicalBench,
) -> None:
    written = source("ssh", config={"principals": ["deploy", "audit"]})
    issued = await bench.issued(bench.adapter(), written)
    shown = issued.credentials.reveal()
    certificate = serialization.load_ssh_public_identity(shown["SIGNED_KEY"].encode())
    private = serialization.load_ssh_private_key(shown["PRIVATE_KEY"].encode(), None)
    assert isinstance(certificate, serialization.SSHCertificate)
    assert certificate.valid_principals == [b"deploy", b"audit"]
    assert certificate.valid_before == int(issued.lease.expires_at.timestamp())
    raw = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    certified = certificate.public_key().public_bytes(*raw)
    assert certified == private.public_key().public_bytes(*raw)


async def test_a_token_of_github_ends_after_an_hour_whatever_its_lease_says(
    bench: InfisicalBench,
) -> None:
    adapter = bench.adapter()
    issued = await bench.issued(adapter, source("github"), ttl=4 * 3600)
    lease = issued.lease
    hour = timedelta(seconds=3601)
    assert lease.expires_at - lease.issued_at < hour
    assert await bench.ends_at(lease) - lease.issued_at > hour
    brought_back = dataclasses.replace(lease, handle=base.recorded(lease.handle))
    assert (await adapter.inspect(brought_back)).expires_at == lease.expires_at
    assert await bench.works(issued)
    await bench.server.admin.turn(clockOffsetSeconds=3601)
    assert await bench.is_dead(issued)


async def test_kubernetes_takes_a_namespace_that_it_allows(bench: InfisicalBench) -> None:
    inputs: dict[str, object] = {"credentialType": "dynamic", "namespace": "shop, billing"}
    secret = seeds.DynamicSecret(name="two", type="kubernetes", inputs=inputs)
    await bench.server.admin.seed(seeds.Seed(dynamic_secrets=[secret]))
    adapter = bench.adapter()
    issued = await bench.issued(adapter, source("two", config={"namespace": "billing"}))
    assert await bench.works(issued)
    (known,) = await bench.server.admin.leases()
    assert known.config["namespace"] == "billing"
    with pytest.raises(errors.Invalid) as caught:
        await bench.issued(adapter, source("two", config={"namespace": "kube-system"}))
    assert "write one that it allows in infisical.config: {namespace: name}" in str(caught.value)
    assert (await adapter.revoke(issued.lease)).done
    assert await bench.is_dead(issued)
