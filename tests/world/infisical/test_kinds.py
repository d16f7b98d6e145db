"""What a renewal and a revocation mean, kind by kind."""

import asyncio
from typing import Any

import pytest

from tests.world import postgres as servers
from tests.world.infisical import bench as benches
from tests.world.infisical import seeds
from tests.world.infisical.kinds import pool, ssh


async def logs_in(postgres: servers.Postgres, data: Any) -> bool:
    return await postgres.can_log_in_async(data["DB_USERNAME"], data["DB_PASSWORD"])


async def test_a_role_logs_in_until_it_is_revoked(
    sql_bench: benches.Bench, postgres: servers.Postgres
) -> None:
    created = await sql_bench.created()
    assert created["lease"]["externalEntityId"] == created["data"]["DB_USERNAME"]
    assert await logs_in(postgres, created["data"])
    assert (await sql_bench.revoke(created["lease"]["id"])).body["lease"]["status"] is None
    assert not await logs_in(postgres, created["data"])
    assert not postgres.role_exists(created["data"]["DB_USERNAME"])


async def test_a_role_is_dropped_when_its_lease_expires(
    sql_bench: benches.Bench, postgres: servers.Postgres
) -> None:
    created = await sql_bench.created(ttl="1h")
    await sql_bench.admin.turn(clockOffsetSeconds=3601)

    async def gone() -> bool:
        return (await sql_bench.get(created["lease"]["id"])).status == 404

    await sql_bench.until(gone)
    assert not postgres.role_exists(created["data"]["DB_USERNAME"])


async def test_a_renewed_role_outlives_its_first_expiry(
    sql_bench: benches.Bench, postgres: servers.Postgres
) -> None:
    created = await sql_bench.created(ttl="1h")
    await sql_bench.renew(created["lease"]["id"], ttl="1h")
    await sql_bench.admin.turn(clockOffsetSeconds=5400)
    assert await logs_in(postgres, created["data"])


async def test_without_a_renew_statement_the_role_dies_at_its_first_expiry(
    sql_bench: benches.Bench, postgres: servers.Postgres
) -> None:
    secret = seeds.DynamicSecret(name="trap", type="sql-database", inputs={"renewStatement": ""})
    await sql_bench.admin.seed(seeds.Seed(dynamic_secrets=[secret]))
    created = await sql_bench.created("trap", ttl="1h")
    assert (await sql_bench.renew(created["lease"]["id"], ttl="1h")).status == 200
    await sql_bench.admin.turn(clockOffsetSeconds=5400)
    assert (await sql_bench.get(created["lease"]["id"])).status == 200
    assert not await logs_in(postgres, created["data"])


async def test_a_role_dropped_outside_fails_its_revocation(sql_bench: benches.Bench) -> None:
    lease = (await sql_bench.created())["lease"]
    await sql_bench.admin.kill(lease["id"])
    (known,) = await sql_bench.admin.leases()
    assert not known.alive
    failed = (await sql_bench.revoke(lease["id"])).body["lease"]
    assert failed["status"] == "Failed to delete"
    assert "does not exist" in failed["statusDetails"]
    assert lease["externalEntityId"] not in failed["statusDetails"]


async def test_a_bad_statement_is_the_providers_400(sql_bench: benches.Bench) -> None:
    secret = seeds.DynamicSecret(
        name="broken", type="sql-database", inputs={"creationStatement": "CREATE NONSENSE"}
    )
    await sql_bench.admin.seed(seeds.Seed(dynamic_secrets=[secret]))
    reply = await sql_bench.create("broken")
    assert reply.status == 400
    assert reply.message.startswith("Failed to create lease from provider: syntax error")


@pytest.mark.parametrize("name", ["k8s", "aws-sts"])
async def test_some_renewals_say_200_and_change_nothing(bench: benches.Bench, name: str) -> None:
    created = await bench.created(name, ttl="1h")
    assert (await bench.renew(created["lease"]["id"], ttl="2h")).status == 200
    assert await bench.admin.check(created["data"])
    await bench.admin.turn(clockOffsetSeconds=3601)
    assert not await bench.admin.check(created["data"])
    assert (await bench.get(created["lease"]["id"])).status == 200


@pytest.mark.parametrize("name", ["aws-user", "ldap"])
async def test_some_credentials_live_until_they_are_revoked(
    bench: benches.Bench, name: str
) -> None:
    created = await bench.created(name, ttl="1h")
    assert (await bench.renew(created["lease"]["id"])).status == 200
    await bench.admin.turn(clockOffsetSeconds=3601)
    assert await bench.admin.check(created["data"])
    await bench.revoke(created["lease"]["id"])
    assert not await bench.admin.check(created["data"])


@pytest.mark.parametrize(("name", "alive"), [("k8s", False), ("aws-sts", True), ("github", True)])
async def test_not_every_revocation_kills(bench: benches.Bench, name: str, alive: bool) -> None:
    created = await bench.created(name)
    assert (await bench.revoke(created["lease"]["id"])).body["lease"]["status"] is None
    assert await bench.admin.check(created["data"]) is alive


async def test_the_shared_account_has_one_password(bench: benches.Bench) -> None:
    first = await bench.created("ldap-static")
    second = await bench.created("ldap-static")
    assert first["data"]["USERNAME"] == second["data"]["USERNAME"]
    assert not await bench.admin.check(first["data"])
    assert await bench.admin.check(second["data"])
    await bench.revoke(first["lease"]["id"])
    assert not await bench.admin.check(second["data"])


async def test_github_can_not_be_renewed(bench: benches.Bench) -> None:
    created = await bench.created("github")
    refused = await bench.renew(created["lease"]["id"])
    assert refused.status == 400
    assert refused.message == "Github dynamic secret does not support renewal"
    assert isinstance(created["data"]["PERMISSIONS"], dict)


async def test_an_ssh_lease_without_principals_is_refused(bench: benches.Bench) -> None:
    configs: tuple[object, ...] = (None, {}, {"principals": []}, {"principals": [7]}, "principals")
    for config in configs:
        reply = await bench.create("ssh", config=config)
        assert (reply.status, reply.message) == (400, ssh.NO_PRINCIPALS)
    assert await bench.admin.leases() == []


async def test_a_certificate_of_ssh_outlives_its_revocation_and_not_its_end(
    bench: benches.Bench,
) -> None:
    created = await bench.created("ssh", ttl="1h", config={"principals": ["deploy"]})
    assert (await bench.renew(created["lease"]["id"], ttl="1h")).status == 200
    assert (await bench.revoke(created["lease"]["id"])).body["lease"]["status"] is None
    assert await bench.admin.check(created["data"])
    await bench.admin.turn(clockOffsetSeconds=3601)
    assert not await bench.admin.check(created["data"])


async def test_not_every_value_is_a_string(bench: benches.Bench) -> None:
    data = (await bench.created("ldap"))["data"]
    assert data["DN_ARRAY"] == [f"uid={data['USERNAME']},ou=users,dc=example,dc=org"]


async def test_sts_and_users_differ_by_one_key(bench: benches.Bench) -> None:
    session = set((await bench.created("aws-sts"))["data"])
    user = set((await bench.created("aws-user"))["data"])
    assert session ^ user == {"SESSION_TOKEN", "USERNAME"}


async def test_roles_that_are_changed_all_at_once_are_dropped_meanwhile_without_an_error(
    postgres: servers.Postgres,
) -> None:
    names = [f"changed-{number}" for number in range(200)]
    connections = pool.Pool(postgres.dsn)
    try:
        await connections.run(" ".join(f'CREATE ROLE "{name}";' for name in names))
        changes = {name: f"ALTER ROLE \"{name}\" VALID UNTIL '2100-01-01';" for name in names}
        async with asyncio.TaskGroup() as group:
            changed = group.create_task(connections.change(changes))
            for name in names:
                group.create_task(connections.run(f'DROP ROLE "{name}";'))
        assert changed.result() <= set(names)
        assert await connections.change(changes) == set()
    finally:
        await connections.close()
