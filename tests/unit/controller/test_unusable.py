"""Leases that nobody can use: their issue fails, waits longer each time, and is bounded."""

import asyncio
from datetime import timedelta

import pytest

from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.controller import tenants
from leaseholder.core import actions, obstacles
from leaseholder.core.memory import Memory
from leaseholder.core.observation import Others
from leaseholder.ports.provider import Attempt, Issued, RevocationAnswer
from leaseholder.secrecy import Credentials
from tests.unit.controller.world import World, cluster_away, manifest
from tests.unit.core import views

REFUSED = RevocationAnswer(done=False, reason=Reason.FAILED_TO_DELETE)


def stalled(world: World) -> tuple[str, str]:
    """Status and reason of the condition Stalled."""
    told = next(c for c in world.dl.status.conditions if c.type == "Stalled")
    return told.status, told.reason


@pytest.mark.parametrize("life", [0, 1, 3, 6, 7])
async def test_a_lease_too_short_to_be_used_is_revoked_and_the_next_try_waits(life: int) -> None:
    world = World()
    world.cluster.user_applies(manifest(ttl=None))
    world.provider.default_ttl = life
    await world.settle()
    assert world.count("issue") == 1
    assert (world.ready, stalled(world)) == ("LeaseUnusable", ("True", "LeaseUnusable"))
    assert "too short to be used" in world.dl.status.conditions[0].message
    assert world.secret is None
    assert world.meter.issues == ["ok"]
    for _ in range(600):
        await world.settle(1)
    assert world.count("issue") <= 9
    world.provider.default_ttl = 3600
    await world.settle(600)
    assert world.ready == "Ready"
    assert world.dl.status.retry is None


async def test_moments_far_from_the_providers_date_are_an_issue_that_failed() -> None:
    world = World()
    world.cluster.user_applies(manifest(ttl="3h"))
    world.provider.dated = -timedelta(hours=2)
    world.provider.answers.extend([REFUSED] * 1000)
    for _ in range(90):
        await world.settle(1)
    assert world.count("issue") == obstacles.MOST_LIVE
    assert world.ready == "TooManyLeases"
    assert {state for state, _ in world.records} == {"Revoking"}


@pytest.mark.parametrize("values", [{}, {"DB_USERNAME": "", "DB_PASSWORD": ""}])
async def test_a_lease_without_credentials_never_empties_the_secret(values: dict[str, str]) -> None:
    world = World()
    await world.settle()
    assert world.secret == "lease-1"
    world.provider.values = values
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "now"}))
    for _ in range(600):
        await world.settle(1)
    assert world.secret == "lease-1"
    assert [*world.provider.live] == ["lease-1"]
    assert 2 <= world.count("issue") <= 10
    assert "without credentials" in next(
        one.message for one in world.dl.status.conditions if one.type == "Stalled"
    )
    world.provider.values = None
    await world.settle(600)
    assert world.secret != "lease-1"


async def test_news_of_the_provider_dont_shorten_the_wait() -> None:
    world = World()
    world.cluster.user_applies(manifest(ttl=None))
    world.provider.default_ttl = 1
    await world.settle()
    for _ in range(5):
        world.memory.poked = True
        await world.settle()
    assert world.count("issue") == 1


async def test_a_lease_that_got_short_while_the_api_server_was_away_is_not_delivered() -> None:
    world = World()
    world.cluster.before("patch record", cluster_away(), cluster_away())
    with pytest.raises(type(cluster_away())):
        await world.settle()
    world.clock.move(3598)
    with pytest.raises(type(cluster_away())):
        await world.settle()
    await world.settle()
    assert world.secret is None
    assert world.ready == "LeaseUnusable"


async def test_a_rotation_that_gets_no_usable_lease_leaves_the_old_one_alone() -> None:
    world = World()
    world.cluster.user_applies(manifest(ttl=None, renewal={"strategy": "Rotate"}))
    await world.settle()
    world.provider.default_ttl = 2
    await world.settle(2400)
    assert world.count("issue") == 2
    assert (world.secret, world.ready) == ("lease-1", "LeaseUnusable")
    assert next(c.status for c in world.dl.status.conditions if c.type == "Ready") == "True"


async def test_an_answer_too_big_for_the_record_is_an_unclear_attempt() -> None:
    world = World()
    world.provider.big = "x" * 5000
    await world.settle()
    assert world.ready == "BadProviderAnswer"
    assert world.secret is None
    assert [state for state, _ in world.records] == ["Revoking"]
    for _ in range(20):
        await world.settle(60)
    assert world.count("issue") <= 5
    assert all(one.lease_id == "" for r in world.cluster.ledger.values() for one in r.leases)
    assert all("xxx" not in str(r) for r in world.cluster.ledger.values())
    world.provider.live.clear()
    world.provider.big = ""
    await world.settle(600)
    await world.settle(600)
    assert world.ready == "Ready"
    assert [state for state, _ in world.records] == ["Held"]


async def test_an_older_lease_as_the_answer_is_an_unclear_attempt_and_what_is_held_lives_on() -> (
    None
):
    """A cache between us and the provider; revoking the replaced one would end the new one."""
    world = World()
    await world.settle()
    (older,) = world.provider.live.values()
    make, values = world.provider.make, Credentials({"DB_USERNAME": older.id, "DB_PASSWORD": "x"})
    world.provider.make = lambda attempt: Issued(older, values)  # type: ignore[method-assign]
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}))
    for _ in range(10):
        await world.settle(60)
    assert {*world.provider.live} == {older.id}
    assert (world.secret, world.records[0]) == (older.id, ("Held", older.id))
    assert [lease_id for _, lease_id in world.records[1:] if lease_id] == []
    assert world.count("revoke") == 0
    world.provider.make = make  # type: ignore[method-assign]
    await world.settle(600)
    await world.settle(600)
    assert world.secret != older.id
    assert world.ready == "Ready"
    assert older.id not in world.provider.live


async def test_a_lease_of_another_dynamiclease_as_the_answer_is_given_to_nobody_else() -> None:
    """The same cache: whoever went first would end the credentials of the other."""
    world = World()
    await world.settle()
    (older,) = world.provider.live.values()
    make, values = world.provider.make, Credentials({"DB_USERNAME": older.id, "DB_PASSWORD": "x"})
    world.provider.make = lambda attempt: Issued(older, values)  # type: ignore[method-assign]
    world.holder, world.memory = world.cluster.user_applies(manifest("reports")).holder, Memory()
    for _ in range(10):
        await world.settle(60)
    assert (world.holder.namespace, "reports") not in world.cluster.values
    assert sorted(world.records) == [("Held", older.id), ("Revoking", "")]
    world.cluster.user_deletes(*world.key[:2])
    for _ in range(10):
        await world.settle(60)
    assert {*world.provider.live} == {older.id}
    assert world.secret == older.id
    assert world.count("revoke") == 0
    world.provider.make = make  # type: ignore[method-assign]
    world.holder, world.memory = world.cluster.user_applies(manifest("reports")).holder, Memory()
    await world.settle()
    assert world.cluster.values[world.holder.namespace, "reports"]["DB_USERNAME"] != older.id


async def test_one_lease_as_the_answer_to_two_at_once_is_given_to_one_of_them() -> None:
    """The other answer comes while the first is written to the record."""
    world, same = World(), list[Issued]()
    make = world.provider.make

    def answer(attempt: Attempt) -> Issued:
        same.append(same[0] if same else make(attempt))
        return same[0]

    world.provider.make = answer  # type: ignore[method-assign]
    first = await world.upto(actions.Acquire)
    world.holder, world.memory = world.cluster.user_applies(manifest("reports")).holder, Memory()
    second = await world.upto(actions.Acquire)
    written = asyncio.Event()
    world.cluster.before("patch record", written.wait)
    writing = asyncio.create_task(world.performer.perform(*first))
    await world.trace.until(lambda: world.count("patch record"))
    await world.performer.perform(*second)
    written.set()
    await writing
    assert len(same) == 2
    assert [one.lease_id for one in world.cluster.recorded] == [same[0].lease.id, ""]
    assert not world.memory.has_credentials


def test_pending_revocations_are_counted_by_namespace_and_forgotten_with_their_holder() -> None:
    known, seen = tenants.Pending(), views.view(views.pending(1), views.record(2))
    other = views.SUBJECT.model_copy(update={"name": "other"})
    known.note(seen)
    assert known.beside(other) == Others(leases=1, pending=1)
    assert known.beside(views.SUBJECT) == Others()
    known.note(views.view(vanished=True))
    assert known.beside(other) == Others()
    known.note(views.view(views.pending(1), vanished=True))
    assert known.beside(other) == Others(leases=0, pending=1)
    for _ in range(2):
        known.note(views.view(vanished=True))
    assert known.beside(other) == Others()
