"""Two shards of one installation, and DynamicLeases that go from one to the other."""

import asyncio
from datetime import timedelta

import pytest

from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord
from leaseholder.controller.compare import MOST_NAMED, Comparison
from leaseholder.controller.keys import Key
from leaseholder.core import actions, handover, shards
from leaseholder.core.going import MADE_AGAIN
from leaseholder.ports.secrets import SecretCopy, SecretEvent
from tests.unit.controller.world import NAME, SHOP, World, manifest

BATCH = {names.SHARD: "batch"}
HERE, THERE = shards.Shard("default", ("batch",)), shards.Shard("batch", ("default",))


def two() -> tuple[World, World]:
    """The process of the default shard, which serves the DynamicLease, and that of another."""
    whole = World()
    return whole.beside(HERE), whole.beside(THERE)


def inherited_by(shard: shards.Shard) -> str:
    """A name that a shard gets when no DynamicLease has it."""
    return next(name for number in range(99) if shard.inherits(SHOP, name := f"orders-{number}"))


def comparison_of(world: World) -> Comparison:
    records = world.observer.records
    return Comparison(world.cluster, world.controller, records, world.supplies, world.shard)


async def test_a_held_lease_goes_on_in_the_other_shard_without_a_word_to_the_provider() -> None:
    before, after = two()
    await before.settle()
    shown, asked = before.dl.status.lease, len(before.trace.calls)
    before.cluster.user_applies(manifest(labels=BATCH))
    assert (await before.look())[1] == actions.Idle(None)
    await after.settle()
    assert before.dl.status.lease == shown
    assert {"issue", "renew", "inspect", "revoke"}.isdisjoint(before.trace.calls[asked:])
    await after.settle(after=2500)
    assert (await after.look())[0].delivered is not None
    assert before.dl.status.lease is not None
    assert before.dl.status.lease.renewals == 1
    assert before.records == [("Held", "lease-1")]


async def test_an_attempt_goes_where_the_label_was_changed_before_the_provider_is_asked() -> None:
    before, after = two()
    view, step = await before.upto(actions.Acquire)
    before.cluster.user_applies(manifest(labels=BATCH))
    await before.performer.perform(view, step)
    assert (before.count("issue"), before.records) == (0, [])
    await after.settle()
    assert (after.count("issue"), after.secret, after.ready) == (1, "lease-1", "Ready")


async def test_a_lease_that_was_issued_is_delivered_by_who_has_its_credentials() -> None:
    before, after = two()
    view, step = await before.upto(actions.Acquire)
    await before.performer.perform(view, step)
    before.cluster.user_applies(manifest(labels=BATCH))
    assert await after.settle() != actions.Idle(None)
    assert (before.records, before.secret) == ([("Held", "lease-1")], None)
    assert await before.settle() == actions.Idle(None)
    await after.settle()
    assert (after.secret, after.ready, after.count("issue")) == ("lease-1", "Ready", 1)


async def test_a_lease_whose_first_shard_is_gone_is_revoked_and_another_is_issued() -> None:
    before, after = two()
    view, step = await before.upto(actions.Acquire)
    await before.performer.perform(view, step)
    before.cluster.user_applies(manifest(labels=BATCH))
    await after.settle()
    await after.settle(after=20 + handover.DELIVERY.total_seconds())
    assert (after.secret, after.ready) == ("lease-2", "Ready")
    assert {*after.provider.live} == {"lease-2"}


async def test_an_open_attempt_of_another_shard_is_left_alone_until_its_deadline() -> None:
    before, after = two()
    before.cluster.user_applies(manifest(labels=BATCH))
    before.rival(1, deadline=before.clock.wall() + timedelta(seconds=20))
    await after.settle()
    assert (after.count("issue"), after.records) == (0, [("Attempt", "")])


async def test_what_goes_to_another_shard_leaves_nothing_behind() -> None:
    before, _ = two()
    async with before.running() as controller:
        await controller.offer(before.key)
        await before.passed()
        before.cluster.user_applies(manifest(labels=BATCH))
        await controller.heard(before.dl.metadata, gone=True)
        await before.passed()
        assert not controller.keys
    assert before.holder in before.meter.forgotten


async def test_a_label_that_is_back_while_a_look_sees_it_gone_leaves_the_name_to_somebody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, _ = two()
    read = before.cluster.record_named

    async def slowly(name: str) -> LeaseRecord | None:
        monkeypatch.undo()
        dl = before.cluster.user_applies(manifest())
        await controller.heard(dl.metadata, gone=False)
        return await read(name)

    async with before.running() as controller:
        await controller.offer(before.key)
        await before.passed()
        gone = before.cluster.user_applies(manifest(labels=BATCH))
        monkeypatch.setattr(before.cluster, "record_named", slowly)
        await controller.heard(gone.metadata, gone=True)
        await before.passed()
        assert controller.keys == (before.key,)


@pytest.mark.parametrize("delivered", [True, False])
async def test_a_record_made_anew_elsewhere_lacks_nothing_where_its_name_comes_back(
    delivered: bool,
) -> None:
    before, after = two()
    await before.settle()
    await after.observer.records.load()
    before.cluster.user_deletes(SHOP, NAME)
    await before.settle()
    await before.settle()
    assert before.cluster.ledger == {}
    before.cluster.user_applies(manifest())
    before.holder = after.holder = before.dl.holder
    if delivered:
        await before.settle()
    else:
        before.clock.move(60)
        before.rival(1, deadline=before.clock.wall() + timedelta(seconds=20))
    before.cluster.user_applies(manifest(labels=BATCH))
    await after.settle()
    assert after.records == [("Held", "lease-2") if delivered else ("Attempt", "")]
    assert not after.observer.records.lost(after.subject)
    assert after.count("revoke") == 1


async def test_nothing_is_kept_of_names_that_are_gone_or_never_were() -> None:
    before, _ = two()
    name = inherited_by(HERE)
    before.holder = before.cluster.user_applies(manifest(name)).holder
    async with before.running() as controller:
        await controller.offer(before.key)
        await before.passed()
        before.cluster.user_deletes(SHOP, name)
        await controller.offer(before.key)
        await before.passed()
        await controller.offer(Key(SHOP, inherited_by(HERE) + "-never"))
        await before.passed()
        assert not controller.keys
    assert not before.observer.records._served


async def test_a_comparison_leaves_alone_what_another_shard_serves_and_drops_what_went() -> None:
    before, after = two()
    before.cluster.user_applies(manifest("theirs", labels=BATCH))
    async with before.running() as controller:
        await comparison_of(before).compare()
        await before.passed()
        assert {*controller.keys} == {before.key}
        before.cluster.user_applies(manifest(labels=BATCH))
        read = before.count("list secrets")
        await comparison_of(before).compare()
        await before.passed()
        await comparison_of(before).compare()
        await before.passed()
        assert not controller.keys
        assert before.count("list secrets") == read
    async with after.running() as controller:
        await comparison_of(after).compare()
        await after.passed()
        assert {one.name for one in controller.keys} == {NAME, "theirs"}
    assert before.count("issue") == 2


@pytest.mark.parametrize("by", ["comparison", "Secret"])
async def test_what_a_vanished_dynamiclease_leaves_is_revoked_by_the_shard_that_its_name_gives(
    by: str,
) -> None:
    before, after = two()
    name = inherited_by(THERE)
    holder = before.cluster.user_applies(manifest(name)).holder
    for world in (before, after):
        world.holder = holder
        await world.observer.records.load()  # before there is a record
    await before.settle()
    before.cluster.vanish(SHOP, name)
    assert (await before.look())[1] == actions.Idle(None)
    async with after.running():
        if by == "comparison":
            await comparison_of(after).compare()
        else:
            await comparison_of(after)._heed(SecretEvent(SHOP, name, holder.uid))
        await after.passed()
        assert {*after.provider.live} == {"lease-1"}
        await after.passed(after=MADE_AGAIN.total_seconds())
    assert (after.provider.live, after.cluster.ledger) == ({}, {})


async def test_a_deletion_leaves_nothing_to_the_shard_that_its_name_gives() -> None:
    before, after = two()
    name = inherited_by(THERE)
    holder = before.cluster.user_applies(manifest(name)).holder
    before.holder = after.holder = holder
    await before.settle()
    await after.observer.records.load()
    before.cluster.user_deletes(SHOP, name)
    assert isinstance(await before.settle(), actions.Release)
    assert await before.settle() == actions.Idle(None)
    assert (before.cluster.ledger, before.provider.live) == ({}, {})
    asked = len(before.trace.calls)
    async with after.running() as controller:
        await comparison_of(after).compare()
        await after.passed()
        assert not controller.keys
    assert {"create record", "revoke"}.isdisjoint(before.trace.calls[asked:])


async def test_only_who_serves_a_record_puts_back_what_somebody_takes_off_it() -> None:
    before, after = two()
    await before.settle()
    await after.observer.records.load()
    before.others_write()
    for world in (before, after):
        await world.observer.records.compare()
    assert before.observer.records.lost(before.subject)
    assert not after.observer.records.lost(before.subject)


async def test_who_stops_serving_a_record_puts_back_first_what_is_missing_there() -> None:
    before, after = two()
    async with before.running() as controller:
        await controller.offer(before.key)
        await before.passed()
        before.others_write()
        before.cluster.user_applies(manifest(labels=BATCH))
        await controller.heard(before.dl.metadata, gone=True)
        await before.passed()
        assert before.records == [("Held", "lease-1")]
    await after.settle()
    assert (after.secret, after.ready, after.count("issue")) == ("lease-1", "Ready", 1)


async def test_a_secret_that_goes_makes_nobody_due_that_another_shard_inherits() -> None:
    _, after = two()
    await comparison_of(after)._heed(SecretEvent(SHOP, inherited_by(HERE), "uid"))
    assert not after.controller.keys


async def test_of_the_names_of_secrets_that_go_a_few_are_looked_at() -> None:
    _, after = two()
    comparison = comparison_of(after)
    for number in range(300):
        await comparison._heed(SecretEvent(SHOP, f"nobody-{number}", "uid"))
    assert len(after.controller.keys) == MOST_NAMED


@pytest.mark.parametrize("labels", [{}, BATCH, {names.SHARD: "no-such-shard"}])
async def test_a_copied_secret_is_reported_by_one_shard_whatever_the_label_says(
    labels: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    both = two()
    both[0].cluster.user_applies(manifest(labels=labels))
    elsewhere = [f"space-{number}" for number in range(8)]
    for world in both:
        for _ in range(2):
            world.cluster.events.put_nowait(copied(SHOP, world.holder.uid))
            for namespace in elsewhere:
                world.cluster.events.put_nowait(copied(namespace, "nobody"))
        following = asyncio.create_task(comparison_of(world).follow_secrets())
        await world.trace.until(world.cluster.events.empty)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    told = [note for _, note in both[0].cluster.notes if note.reason == Reason.SECRET_COPIED]
    assert len(told) == 1
    logged = [text for text in caplog.messages if "is a copy of" in text]
    assert sorted(text.split("/")[0] for text in logged) == [f"Secret {one}" for one in elsewhere]


def copied(namespace: str, owner_uid: str) -> SecretCopy:
    """A Secret that somebody made of the DynamicLease's one."""
    return SecretCopy(
        namespace=namespace,
        name="copy",
        original=f"{SHOP}/{NAME}",
        owner_name=NAME,
        owner_uid=owner_uid,
    )
