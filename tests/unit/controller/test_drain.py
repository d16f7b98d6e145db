"""A drain over the fakes: what it deletes, what it waits for, and what it says."""

import asyncio
import collections
from collections.abc import AsyncIterator, Iterable

import pytest

from leaseholder import changes, errors
from leaseholder.api import lease
from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord, RecordedLease, Revocation, State
from leaseholder.controller import drain, keys
from tests.unit.controller import fakes
from tests.unit.controller import world as worlds
from tests.unit.core import views

pytestmark = pytest.mark.asyncio

ORDERS = drain.Name(worlds.SHOP, worlds.NAME)


class Users:
    """The API server as a drain sees it; what it deletes makes the controller look, as an event."""

    def __init__(self, world: worlds.World, tally: drain.Tally) -> None:
        self.world = world
        self.controller = world.process(draining=True, journal=tally)
        self.down = False
        self.unread: list[str] = []
        self.remade: list[str] = []
        """Names that somebody makes again when they are deleted."""
        self.kept: list[str] = []
        """Names that the API server doesn't delete."""

    async def dynamic_leases(self) -> AsyncIterator[lease.DynamicLease]:
        if self.down:
            raise worlds.cluster_away()
        for one in [*self.world.cluster.leases.values()]:
            yield one

    async def delete_dynamic_lease(self, dl: lease.DynamicLease) -> None:
        meta = dl.metadata
        if meta.name in self.kept:
            raise errors.Refused(Reason.DENIED, "a policy says no")
        self.world.cluster.user_deletes(meta.namespace, meta.name)
        if meta.name in self.remade:
            self.remade.remove(meta.name)
            if (meta.namespace, meta.name) not in self.world.cluster.leases:
                self.world.cluster.user_applies(worlds.manifest(meta.name))
        await self.controller.offer(keys.Key(meta.namespace, meta.name))

    async def records(self) -> list[LeaseRecord]:
        return [*self.world.cluster.ledger.values()]

    def unreadable_objects(self, kind: str) -> list[str]:
        return self.unread if kind == lease.DynamicLease.KIND else []


class Bench:
    def __init__(self) -> None:
        self.world = worlds.World()
        self.said: list[str] = []
        tally = drain.Tally(self.world.journal)
        self.users = Users(self.world, tally)
        clock, say = self.world.clock, self.said.append
        self.drain = drain.Drain(self.users, worlds.HERE, clock, tally, say, again=0.0)

    async def drained(self) -> None:
        """Let controller and drain work until the drain ends."""
        async with fakes.background(self.users.controller.run()), asyncio.timeout(60):
            await self.drain.run(self.world.clock.monotonic() + 3600)
            await self.users.controller.stop()


async def test_a_held_lease_is_revoked_and_the_line_says_so() -> None:
    bench = Bench()
    await bench.world.settle()
    assert bench.world.provider.live
    await bench.drained()
    assert not bench.world.provider.live
    assert not bench.world.cluster.leases
    assert bench.drain.is_clean
    assert bench.said == ["shop/orders is done: leases: 1 revoked"]


async def test_an_orphan_is_left_alive_and_said_to_be() -> None:
    bench = Bench()
    bench.world.cluster.user_applies(worlds.manifest(deletion={"policy": "Orphan"}))
    await bench.world.settle()
    await bench.drained()
    assert bench.world.provider.live
    assert bench.said == ["shop/orders is done: leases: 1 left alive"]


async def test_what_is_made_again_is_deleted_again_and_gets_no_lease() -> None:
    bench = Bench()
    bench.users.remade = [worlds.NAME]
    await bench.drained()
    assert bench.world.provider.attempts == []
    assert not bench.world.cluster.leases
    assert bench.said == ["shop/orders is done: no lease was held"]


async def test_one_that_may_not_be_deleted_keeps_no_other_and_is_left_with_the_reason() -> None:
    bench = Bench()
    bench.world.cluster.user_applies(worlds.manifest("a-first"))
    await bench.world.settle()
    bench.users.kept = ["a-first"]

    def say(line: str) -> None:
        bench.said.append(line)
        if line.startswith("shop/orders is done"):
            bench.world.clock.move(3600)

    bench.drain.say = say
    await bench.drained()
    (left,) = bench.drain.left.values()
    assert left.why == "a policy says no"
    assert bench.said == [
        "waiting: a policy says no",
        "shop/orders is done: leases: 1 revoked",
    ]
    assert not bench.drain.is_over
    assert not bench.drain.is_clean


async def test_records_of_another_installation_are_neither_waited_for_nor_shown() -> None:
    bench = Bench()
    await bench.world.settle()
    bench.drain.installation = "cluster/elsewhere"
    await bench.drain.check()
    assert bench.drain.left[ORDERS].leases == []


async def test_a_lease_that_is_on_no_record_here_is_another_operator_s() -> None:
    bench = Bench()
    await bench.drain.check()
    assert bench.drain.unrecorded == []  # nothing was issued yet
    await bench.world.settle()
    await bench.drain.check()
    assert bench.drain.unrecorded == []
    bench.drain.installation = "cluster/elsewhere"
    await bench.drain.check()
    assert bench.drain.unrecorded == [ORDERS]
    await bench.users.delete_dynamic_lease(bench.world.cluster.leases[ORDERS])
    await bench.drain.check()
    assert bench.drain.unrecorded == []  # somebody wants it gone


async def test_a_record_that_holds_no_lease_any_more_is_a_record() -> None:
    bench = Bench()
    await bench.world.settle()
    (name,) = bench.world.cluster.ledger
    page = bench.world.cluster.ledger[name]
    spec = page.spec.model_copy(update={"leases": ()})
    bench.world.cluster.ledger[name] = page.model_copy(update={"spec": spec})
    await bench.drain.check()
    assert bench.drain.unrecorded == []


async def test_time_that_is_over_ends_it_and_what_is_left_has_a_reason() -> None:
    bench = Bench()
    await bench.world.settle()
    await bench.drain.run(bench.world.clock.monotonic())
    assert not bench.drain.is_clean
    (left,) = bench.drain.left.values()
    assert left.why.endswith("is Held")


async def test_an_api_server_that_is_away_is_said_once_and_nothing_is_believed() -> None:
    bench = Bench()
    bench.users.down = True
    until = bench.world.clock.monotonic()
    await bench.drain.run(until)
    await bench.drain.run(until)
    assert bench.said == ["waiting: the API server is away"]
    assert not bench.drain.is_over
    assert not bench.drain.is_clean


async def test_what_cannot_be_read_is_no_clean_end() -> None:
    bench = Bench()
    bench.world.cluster.leases.clear()
    bench.users.unread = ["shop/odd"]
    await bench.drained()
    assert bench.drain.is_over
    assert bench.drain.unreadable == ["DynamicLease shop/odd"]
    assert not bench.drain.is_clean


def _left(leases: Iterable[RecordedLease]) -> drain.Remains:
    return drain.Remains(leases=[*leases])


async def test_a_lease_that_was_given_up_is_named_and_not_waited_for() -> None:
    given_up = views.pending().but(state=State.ABANDONED, attempt_id="a1", lease_id="L1")
    remains = _left([given_up])
    assert remains.given_up
    assert remains.why == "lease L1 is given up (kubectl leaseholder forget a1)"


async def test_a_pending_revocation_says_what_its_last_try_met_and_when_the_next_one_is() -> None:
    met = Revocation(attempts=3, last_reason=Reason.AUTH_GONE, next_at=views.NOW)
    pending = views.pending().but(revoke=met, lease_id="L1")
    told = _left([pending]).why
    assert told.startswith("lease L1 is to be revoked: 3 tries, the last try met AuthGone, the ")
    unclear = _left([pending.but(lease_id="", revoke=None, attempt_id="a1")]).why
    assert unclear == "the lease of attempt a1 is to be revoked: 0 tries"


async def test_a_dynamiclease_without_leases_says_what_its_deletion_waits_for() -> None:
    assert drain.Remains(dl=views.lease({})).why == "the finalizer isn't off yet"


async def test_ends_are_counted_in_words() -> None:
    assert drain.outcomes_in(collections.Counter()) == "no lease was held"
    tally = drain.Tally(fakes.FakeJournal())
    for kind in (changes.Kind.REVOKED, changes.Kind.ORPHANED, changes.Kind.READY):
        change = changes.Change(kind=kind, namespace="shop", name="orders", uid="u")
        tally.enter(change)
    tally.forget("u")
    assert drain.outcomes_in(tally.all) == "leases: 1 revoked, 1 left alive"
