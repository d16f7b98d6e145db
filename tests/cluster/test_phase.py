"""Phase with its renewal as it is today: broken. Ten lives of a lease, by each strategy."""

import asyncio
import collections.abc
import dataclasses
import typing

import aiohttp
import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import kube, processes
from tests.world import world as worlds
from tests.world.phase import client, part, seeds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

LIVES = 10
SHORT = 8.0
"""Seconds that a lease lives."""
MANY = 10
"""Leases that end together."""
ALIKE = seeds.DynamicSecret(name="alike", default_ttl_seconds=39, max_ttl_seconds=600)
"""Its leases are asked for 38 seconds, each of them: there is no room for a fingerprint."""
SETTINGS = {
    "LEASEHOLDER_PHASE__MINIMUM_TTL_SECONDS": "2",
    "LEASEHOLDER_PHASE__SETTLE_SECONDS": "2",
    "LEASEHOLDER_PHASE__REPLICA_LAG_SECONDS": "1",
    "LEASEHOLDER_PHASE__LATE_EXPIRY_SECONDS": "20",
}


@dataclasses.dataclass(slots=True)
class Place:
    """A site, and a Phase that it leases from."""

    site: sites.Site
    admin: client.PhaseAdmin

    async def lease(self, name: str, source: str, **spec: typing.Any) -> None:
        phase = {"appId": seeds.DEMO_APP, "env": "production", "path": "/", "name": source}
        metadata = {"name": name, "namespace": self.site.namespace}
        await self.site.client.apply(
            {
                "apiVersion": "leaseholder.dev/v1alpha1",
                "kind": "DynamicLease",
                "metadata": metadata,
                "spec": {"providerRef": {"name": "phase"}, "phase": phase, **spec},
            }
        )

    async def logs_in(self, name: str) -> bool:
        """Whether AWS lets the key of a Secret in."""
        values = await self.site.credentials(name)
        return bool(values) and await self.lets_in(values)

    async def lets_in(self, values: collections.abc.Mapping[str, str]) -> bool:
        user = await self.admin.can_log_in(
            values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"]
        )
        return user is not None

    async def dead_though_ready(self, name: str) -> str | None:
        """The dead key of a Secret that is Ready before and after the key was tried."""
        before = await self.site.found(name)
        values = await self.site.credentials(name)
        if not kube.is_ready(before) or not values or await self.lets_in(values):
            return None
        after = await self.site.found(name)
        same = await self.site.credentials(name) == values
        return values["AWS_IAM_USERNAME"] if same and kube.is_ready(after) else None

    async def see_everybodys_leases(self) -> None:
        """From now on lists show the leases of other accounts, too."""
        role = seeds.Role(name="Sees all", permissions=list(seeds.SERVICE))
        account = seeds.Account(
            name="kube-bot", id=seeds.DEMO_ACCOUNT, role=role.name, token=await self.admin.token()
        )
        await self.admin.seed(seeds.Seed(roles=[role], accounts=[account]))

    async def somebody_leases(self, source: seeds.DynamicSecret) -> str:
        """Another account takes a lease like ours; returns its id."""
        token, url = await self.admin.token("other-bot"), f"{self.admin.url}/v1/secrets/dynamic/"
        query = {"app_id": seeds.DEMO_APP, "env": "production", "id": source.id}
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                url,
                params={**query, "lease": "true", "ttl": "38"},
                headers={"Authorization": f"Bearer ServiceAccount {token}"},
            ) as answer,
        ):
            (secret,) = await answer.json()
            return str(secret["lease"]["id"])

    async def revoke_outside(self, lease_id: str | None) -> None:
        """Somebody with the right to it revokes a lease at Phase."""
        token, url = await self.admin.token("owner"), f"{self.admin.url}/v1/secrets/dynamic/leases/"
        async with (
            aiohttp.ClientSession() as session,
            session.delete(
                url,
                params={"app_id": seeds.DEMO_APP, "env": "production"},
                json={"lease_id": lease_id},
                headers={"Authorization": f"Bearer User {token}"},
            ) as answer,
        ):
            assert answer.status == 200

    async def lives(self, source: str) -> list[client.Key]:
        return [one for one in await self.admin.keys() if one.secret == source]


@pytest.fixture(scope="module")
def phase(tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[part.Phase]:
    with part.Phase.start(directory=tmp_path_factory.mktemp("phase"), min_ttl=2) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(world: worlds.World, phase: part.Phase) -> collections.abc.AsyncIterator[Place]:
    async with (
        sites.site(world, "phase", **SETTINGS) as opened,
        client.PhaseAdmin(phase.url) as admin,
    ):
        await opened.auth_secret("phase-token", token=phase.token)
        auth = {"tokenSecretRef": {"name": "phase-token", "key": "token"}}
        await opened.client.apply(
            {
                "apiVersion": "leaseholder.dev/v1alpha1",
                "kind": "LeaseProvider",
                "metadata": {"name": "phase", "namespace": opened.namespace},
                "spec": {"phase": {"url": phase.url, "auth": auth, "exclusive": True}},
            }
        )
        yield Place(opened, admin)


async def test_a_lease_becomes_a_secret_that_logs_in_and_is_revoked(place: Place) -> None:
    await place.lease("simple", "aws-backend", ttl="10m")
    await place.site.reason("simple", "SourceNotFound")
    await place.lease("simple", "aws-deploy", ttl="10m")
    await place.site.ready("simple")
    values = await place.site.credentials("simple")
    assert await place.lets_in(values)
    await place.site.delete("simple")
    await place.site.gone("simple")
    assert not await place.lets_in(values)
    assert await place.site.records("simple") == []


async def test_a_lease_of_a_lost_answer_is_taken_back_and_nobody_elses_lease(place: Place) -> None:
    """All leases here have the same seconds and ttl: who has them is all that tells them apart."""
    await place.see_everybodys_leases()
    await place.admin.seed(seeds.Seed(dynamic_secrets=[ALIKE]))
    await place.admin.turn(loseLeases=1)
    names = ("lost", "neighbour")
    rotation = {"overlap": "5m", "waitForRollout": False}
    await asyncio.gather(*(place.lease(one, ALIKE.name, rotation=rotation) for one in names))

    async def is_lost() -> bool:
        return bool(await place.lives(ALIKE.name))

    await processes.wait_until_async(is_lost, what="the lease whose answer is lost", timeout=90)
    somebodys = await place.somebody_leases(ALIKE)
    await asyncio.gather(*(place.site.ready(one) for one in names))
    lost, *ours = [one for one in await place.lives(ALIKE.name) if one.lease_id != somebodys]
    assert [one.lease.ttl if one.lease else "" for one in ours] == ["00:00:38"] * len(ours)
    assert (lost.answered, lost.lease and lost.lease.ttl) == (False, "00:00:38")

    async def taken_back() -> bool:
        return lost.username not in {one.username for one in await place.admin.alive()}

    await processes.wait_until_async(taken_back, what="the lost lease is taken back", timeout=90)
    alive = {one.lease_id for one in await place.admin.alive()}
    assert somebodys in alive, "another account's lease was taken for the lost one"
    assert {one.lease_id for one in ours} <= alive, "another DynamicLease's lease was"
    assert all([await place.logs_in(one) for one in names])
    await asyncio.gather(*(place.site.delete(one) for one in names))
    await asyncio.gather(*(place.site.gone(one) for one in names))
    left = {one.lease_id for one in await place.lives(ALIKE.name) if one.alive}
    assert left == {somebodys}


async def _ten_lives(place: Place, name: str, strategy: str) -> tuple[list[str], int, int]:
    """Dead keys in a Ready Secret, looks at a Ready one, looks in all."""
    source = seeds.DynamicSecret(name=name, default_ttl_seconds=SHORT, max_ttl_seconds=600)
    await place.admin.seed(seeds.Seed(dynamic_secrets=[source]))
    rotation = {"overlap": "1s", "waitForRollout": False}
    await place.lease(name, name, renewal={"strategy": strategy}, rotation=rotation)
    await place.site.ready(name)
    dead, ready, looks = [], 0, 0
    while len(await place.lives(name)) <= LIVES:
        found = await place.dead_though_ready(name)
        dead += [found] if found is not None else []
        ready += kube.is_ready(await place.site.found(name))
        looks += 1
        await asyncio.sleep(0.05)
    await place.site.delete(name)
    await place.site.gone(name)
    return dead, ready, looks


async def test_no_ready_secret_holds_a_dead_key_over_ten_lives(place: Place) -> None:
    await place.admin.turn(workerBusySeconds=0)
    replaced, renewed = await asyncio.gather(
        _ten_lives(place, "ten-replaced", "Auto"), _ten_lives(place, "ten-renewed", "Renew")
    )
    print(f"dead keys, looks at Ready, looks: replaced {replaced}, renewed {renewed}")
    assert (replaced[0], renewed[0]) == ([], [])
    assert replaced[1] == replaced[2], "make before break: never without a good key"
    assert renewed[1] > 0
    left = [*await place.lives("ten-replaced"), *await place.lives("ten-renewed")]
    assert [one for one in left if one.alive] == []


async def test_no_ready_secret_holds_a_dead_key_while_expiry_jobs_are_late(place: Place) -> None:
    """Jobs run one after the other: keys are dead long before the rows of the last ones say so."""
    await place.admin.turn(workerBusySeconds=2, awsSeconds=1.2)
    source = seeds.DynamicSecret(name="late", default_ttl_seconds=12, max_ttl_seconds=600)
    await place.admin.seed(seeds.Seed(dynamic_secrets=[source]))
    names = [f"late-{number}" for number in range(MANY)]
    rotation = {"overlap": "1s", "waitForRollout": False}
    await asyncio.gather(
        *(
            place.lease(one, "late", renewal={"strategy": "Renew"}, rotation=rotation)
            for one in names
        )
    )
    await asyncio.gather(*(place.site.ready(one) for one in names))
    first, dead, misled = [one.username for one in await place.lives("late")][:MANY], [], set()
    while any(one.username in first and one.alive for one in await place.lives("late")):
        dead += [one for one in await asyncio.gather(*map(place.dead_though_ready, names)) if one]
        misled |= {
            one.username
            for one in await place.lives("late")
            if not one.alive and one.lease is not None and one.lease.status == "active"
        }
    assert dead == []
    assert misled, "no row was active over a dead key: this run shows nothing"
    await asyncio.gather(*(place.site.delete(one) for one in names))
    await asyncio.gather(*(place.site.gone(one) for one in names))
    await place.admin.turn(workerBusySeconds=0, awsSeconds=0)


async def test_an_issue_that_leaves_users_at_aws_is_tried_seldom_and_at_once_when_told(
    place: Place,
) -> None:
    await place.admin.seed(seeds.Seed(dynamic_secrets=[seeds.DynamicSecret(name="groupless")]))
    await place.admin.turn(awsLacksGroup=["groupless"])
    await place.lease("groupless", "groupless", ttl="10m")
    found = await place.site.reason("groupless", "BackendFailed")
    assert kube.condition(found, "Stalled")["status"] == "True"
    assert "Each try can leave a user at AWS" in kube.condition(found, "Stalled")["message"]

    async def command(nonce: str) -> None:
        annotations = {"leaseholder.dev/rotate": nonce}
        change = {"metadata": {"annotations": annotations}}
        await place.site.client.patch("DynamicLease", "groupless", place.site.namespace, change)

    async def failures(count: int) -> None:
        await place.site.until(
            "groupless",
            lambda one: ((one or {}).get("status", {}).get("retry") or {}).get("failures") == count,
            what=f"{count} failures",
        )

    await failures(1)
    await command("try")
    await failures(2)
    change = {"spec": {"probe": {"interval": "4m"}}}
    changed = await place.site.client.patch("LeaseProvider", "phase", place.site.namespace, change)
    generation = changed["metadata"]["generation"]
    await place.site.client.wait(
        "LeaseProvider",
        "phase",
        place.site.namespace,
        lambda one: ((one or {}).get("status") or {}).get("observedGeneration") == generation,
        what="the changed provider is Ready",
    )
    await place.admin.turn(awsLacksGroup=[])
    await command("mended")
    await place.site.ready("groupless")
    assert await place.logs_in("groupless")
    assert len(await place.admin.strays()) == 2
    await place.site.delete("groupless")
    await place.site.gone("groupless")


async def test_a_lease_that_is_revoked_outside_is_noticed_long_before_the_probe_interval(
    place: Place,
) -> None:
    """A list that is short serves all leases of a secret, so it is asked for every 30 seconds."""
    await place.admin.seed(seeds.Seed(dynamic_secrets=[seeds.DynamicSecret(name="outside")]))
    names = ("outside-0", "outside-1")
    await asyncio.gather(*(place.lease(one, "outside", ttl="10m") for one in names))
    await asyncio.gather(*(place.site.ready(one) for one in names))
    first = await place.lives("outside")
    begun, _ = await place.admin.lists()
    await place.revoke_outside(first[0].lease_id)

    async def replaced() -> bool:
        return len(await place.lives("outside")) == 3 and all(
            [await place.logs_in(one) for one in names]
        )

    await processes.wait_until_async(replaced, what="the revoked lease is replaced", timeout=120)
    assert first[1].username in {one.username for one in await place.lives("outside") if one.alive}
    assert (await place.admin.lists())[0] - begun < 2 * 120 / 30
    await asyncio.gather(*(place.site.delete(one) for one in names))
    await asyncio.gather(*(place.site.gone(one) for one in names))


async def test_a_list_that_takes_long_keeps_neither_a_deletion_nor_an_issue_waiting(
    place: Place,
) -> None:
    """It comes last: a list is under way at its end."""
    await place.admin.seed(seeds.Seed(dynamic_secrets=[seeds.DynamicSecret(name="aged")]))
    await place.admin.age("aged", 5_000)
    await place.admin.turn(rowSeconds=0.016)
    await asyncio.gather(*(place.lease(f"aged-{n}", "aged", ttl="10m") for n in range(3)))
    await asyncio.gather(*(place.site.ready(f"aged-{n}") for n in range(3)))

    async def is_listing() -> bool:
        return (await place.admin.lists())[1] > 0

    await processes.wait_until_async(is_listing, what="a list is under way", timeout=90)
    before = await place.admin.lists()
    await place.lease("beside", "aws-deploy", ttl="10m")
    await asyncio.gather(*(place.site.delete(f"aged-{n}") for n in range(3)))
    await place.site.ready("beside")
    await asyncio.gather(*(place.site.gone(f"aged-{n}") for n in range(3)))
    assert not [one for one in await place.lives("aged") if one.alive]
    assert await place.admin.lists() == before == (before[0], 1), "all that beside one list"
    await place.site.delete("beside")
    await place.site.gone("beside")
