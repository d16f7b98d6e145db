"""The operator and a real OpenBao: what its server and its database go through costs no lease."""

import asyncio
import collections.abc
import dataclasses
import pathlib
import time
import typing

import pytest
import pytest_asyncio
import yaml
from click import testing

from leaseholder.cli import plugin
from tests.cluster import sites
from tests.world import faults, kube, openbao, processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTLE = openbao.LONGEST_REQUEST + 1
FAST: dict[str, typing.Any] = {"ttl": "60s", "renewal": {"afterPercent": 5}}
"""Renewed every three seconds."""


@dataclasses.dataclass(slots=True)
class Place:
    """A site whose provider is OpenBao, behind a fault proxy."""

    site: sites.Site
    bao: openbao.OpenBao
    proxy: faults.FaultProxy

    async def role(self, name: str) -> str:
        """A database role of its own, so that its leases can be counted; returns its path."""
        return await asyncio.to_thread(self.bao.role, name, ttl="1h", max_ttl="24h")

    async def lease(self, name: str, *, path: str = "", **spec: typing.Any) -> None:
        """Apply a DynamicLease of a role of the same name."""
        await self.site.client.apply(
            {
                "apiVersion": "leaseholder.dev/v1alpha1",
                "kind": "DynamicLease",
                "metadata": {"name": name, "namespace": self.site.namespace},
                "spec": {
                    "providerRef": {"name": "bao"},
                    "openbao": {"path": path or await self.role(name)},
                    **spec,
                },
            }
        )

    async def living(self, name: str) -> list[str]:
        """The leases of that role, as root sees them."""
        return await asyncio.to_thread(self.bao.leases, f"database/creds/{name}/")

    async def logs_in(self, values: collections.abc.Mapping[str, str]) -> bool:
        """Whether PostgreSQL lets these in."""
        user, password = values["username"], values["password"]
        return await self.site.world.postgres.can_log_in_async(user, password)

    async def accessor(self, name: str) -> str:
        """Of the token that made the lease, from its record."""
        [record] = await self.site.records(name)
        return str(record["handle"]["accessor"])

    async def renewed_after(self, name: str, before: kube.Object) -> kube.Object:
        """Wait until it was renewed at least twice more."""
        count = before["status"]["lease"].get("renewals", 0)
        return await self.site.renewals(name, count + 2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(world: worlds.World, bao: openbao.OpenBao) -> collections.abc.AsyncIterator[Place]:
    settings = {
        "LEASEHOLDER_OPENBAO__SETTLE_SECONDS": str(SETTLE),
        "LEASEHOLDER_OPENBAO__REPLICA_LAG_SECONDS": "0",
    }
    with faults.FaultProxy.start(bao.url, directory=world.directory, name="bao-faults") as proxy:
        async with sites.site(world, "bao", **settings) as site:
            opened = Place(site, bao, proxy)
            role = bao.approle("operator", token_ttl="20m")
            await site.auth_secret("bao-auth", secretId=role.secret_id)
            await site.client.apply(_provider(site.namespace, role.role_id, proxy))
            yield opened


def _provider(namespace: str, role_id: str, proxy: faults.FaultProxy) -> kube.Object:
    reference = {"name": "bao-auth", "key": "secretId"}
    auth = {"appRole": {"roleId": role_id, "secretIdSecretRef": reference}}
    assert proxy.ca_file is not None
    return {
        "apiVersion": "leaseholder.dev/v1alpha1",
        "kind": "LeaseProvider",
        "metadata": {"name": "bao", "namespace": namespace},
        "spec": {
            "openbao": {"url": proxy.url, "auth": auth},
            "caBundle": proxy.ca_file.read_text(encoding="utf-8"),
            "probe": {"interval": "10s"},
        },
    }


async def test_a_lease_is_delivered_and_taken_back_with_its_login(place: Place) -> None:
    await place.lease("plain", ttl="10m")
    found = await place.site.ready("plain")
    values = await place.site.credentials("plain")
    assert await place.logs_in(values)
    assert await place.living("plain") == [found["status"]["lease"]["id"]]
    accessor = await place.accessor("plain")
    await place.site.delete("plain")
    await place.site.gone("plain")
    assert await place.living("plain") == []
    assert not await place.logs_in(values)
    assert accessor not in place.bao.accessors()
    assert await place.site.records("plain") == []


async def test_what_init_prints_is_all_that_a_first_lease_needs(
    place: Place, tmp_path: pathlib.Path
) -> None:
    """Its policy is that of the login, and its manifests are applied as they are."""
    site, ca = place.site, tmp_path / "ca.pem"
    assert place.proxy.ca_file is not None
    ca.write_bytes(place.proxy.ca_file.read_bytes())
    path = await place.role("first")
    policy, role = "init", place.bao.approle("init", policies=("init",))
    options = ("--url", place.proxy.url, "--auth", "approle", "--role-id", role.role_id)
    done = testing.CliRunner().invoke(
        plugin.main,
        ["init", "openbao", "-n", site.namespace, "--path", path, *options, "--ca-file", str(ca)],
    )
    assert done.exit_code == 0, done.output
    commands = "\n".join(line.removeprefix("# ") for line in done.stdout.splitlines())
    rules = commands.partition("<<'EOF'\n")[2].partition("\nEOF")[0]
    await asyncio.to_thread(place.bao.policy, policy, rules)
    await site.auth_secret("openbao-auth", secretId=role.secret_id)
    for document in yaml.safe_load_all(done.stdout):
        await site.client.apply(document)
    await site.ready("first")
    values = await site.credentials("first")
    assert await place.logs_in(values)
    await site.delete("first")
    await site.gone("first")
    assert await place.living("first") == []
    assert not await place.logs_in(values)


async def test_a_secret_for_basic_auth_needs_no_template_here(place: Place) -> None:
    await place.lease("basic", ttl="10m", target={"type": "kubernetes.io/basic-auth"})
    await place.site.ready("basic")
    secret = await place.site.client.get("Secret", "basic", place.site.namespace)
    assert secret is not None
    assert secret["type"] == "kubernetes.io/basic-auth"
    assert secret["data"].keys() == {"username", "password"}
    assert await place.logs_in(await place.site.credentials("basic"))


async def test_the_provider_says_what_it_can_do(place: Place) -> None:
    found = await place.site.client.wait(
        "LeaseProvider", "bao", place.site.namespace, kube.is_ready, what="Ready"
    )
    assert found is not None
    assert found["status"]["type"] == "openbao"
    assert found["status"]["serverVersion"].startswith("2.")
    assert "Recover" in found["status"]["capabilities"]


@pytest.mark.parametrize("outage", ["database", "seal", "restart"])
async def test_an_outage_across_renewals_costs_no_lease(place: Place, outage: str) -> None:
    name = f"out-{outage}"
    await place.lease(name, **FAST)
    before = await place.site.ready(name)
    values = await place.site.credentials(name)
    try:
        if outage == "database":
            place.bao.database.cut()
            await _fails(place, name)
        elif outage == "seal":
            await asyncio.to_thread(place.bao.seal)
            await _fails(place, name)
        else:
            await asyncio.to_thread(place.bao.restart, unseal=False)
            await _fails(place, name)
    finally:
        place.bao.database.mend()
        if outage != "database":
            await asyncio.to_thread(place.bao.unseal)
    now = await place.site.found(name) or {}
    after = await place.renewed_after(name, now)
    assert after["status"]["lease"]["id"] == before["status"]["lease"]["id"]
    assert await place.site.credentials(name) == values
    assert await place.logs_in(values)
    assert len(await place.living(name)) == 1
    await _end(place, name)


async def test_a_lease_whose_renewals_the_database_refuses_is_replaced_before_it_ends(
    place: Place,
) -> None:
    """OpenBao's user there may make users, and may not alter them."""
    path = await asyncio.to_thread(
        place.bao.role, "unaltered", ttl="60s", max_ttl="24h", renew_statements=["alter nothing"]
    )
    await place.lease("unaltered", path=path, rotation={"overlap": "1s"})
    first = await place.site.ready("unaltered")
    before = await place.site.credentials("unaltered")
    await place.site.until(
        "unaltered", lambda now: _id(now) not in ("", _id(first)), what="the next lease"
    )
    assert await place.logs_in(before), "it ended before it was replaced"
    assert await place.logs_in(await place.site.credentials("unaltered"))
    await _end(place, "unaltered")


async def test_a_login_revoked_outside_is_healed_within_thirty_seconds(place: Place) -> None:
    await place.lease("robbed", ttl="10m")
    before = await place.site.ready("robbed")
    accessor = await place.accessor("robbed")
    started = time.monotonic()
    place.bao.revoke_accessor(accessor)

    async def healed() -> bool:
        values = await place.site.credentials("robbed")
        return bool(values) and await place.logs_in(values)

    await processes.wait_until_async(_not(healed), what="the credential is dead", interval=0.02)
    await processes.wait_until_async(healed, what="a good credential again")
    assert time.monotonic() - started < 30
    other = before["status"]["lease"]["id"]
    after = await place.site.until(
        "robbed", lambda now: _id(now) not in ("", other), what="another lease"
    )
    await place.site.ready("robbed")
    assert await place.living("robbed") == [_id(after)]
    await _end(place, "robbed")


@pytest.mark.timeout(600)
async def test_a_lost_answer_leaves_no_lease_but_the_one_in_the_secret(place: Place) -> None:
    path = await place.role("lost")
    place.proxy.faults.reset_after_commit(method="GET", path=f"/v1/{path}", times=1)
    await place.lease("lost", path=path, ttl="10m")
    found = await place.site.ready("lost", timeout=60)

    async def settled() -> bool:
        return (
            await place.living("lost") == [_id(found)]
            and len(await place.site.records("lost")) == 1
        )

    assert len(await place.living("lost")) == 2
    await processes.wait_until_async(settled, timeout=90, what="the lost lease is taken back")
    assert await place.logs_in(await place.site.credentials("lost"))
    await _end(place, "lost")


async def test_a_missing_right_is_a_condition_before_any_issue(place: Place) -> None:
    await place.lease("denied", path="rabbitmq/creds/denied")
    found = await place.site.reason("denied", "PermissionDenied")
    message = kube.condition(found, "Ready")["message"]
    assert 'path "rabbitmq/creds/denied" { capabilities = ["read"] }' in message
    await place.site.delete("denied")
    await place.site.gone("denied")


async def test_a_value_that_is_no_lease_is_told(place: Place) -> None:
    await place.lease("value", path="kv/plain")
    found = await place.site.reason("value", "InvalidRequest")
    assert "gives no lease" in kube.condition(found, "Ready")["message"]
    await place.site.delete("value")
    await place.site.gone("value")


async def _fails(place: Place, name: str) -> None:
    """Wait until a renewal was tried in vain."""
    await place.site.until(name, _has_failed, what="a renewal failed", timeout=30)


def _has_failed(found: kube.Object | None) -> bool:
    retry = ((found or {}).get("status") or {}).get("retry") or {}
    return int(retry.get("failures", 0)) > 0


def _id(found: kube.Object | None) -> str:
    lease = ((found or {}).get("status") or {}).get("lease") or {}
    return str(lease.get("id", ""))


def _not(
    condition: collections.abc.Callable[[], collections.abc.Awaitable[bool]],
) -> collections.abc.Callable[[], collections.abc.Awaitable[bool]]:
    async def opposite() -> bool:
        return not await condition()

    return opposite


async def _end(place: Place, name: str) -> None:
    await place.site.delete(name)
    await place.site.gone(name)
    assert await place.living(name) == []
