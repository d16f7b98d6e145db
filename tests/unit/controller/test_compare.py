"""Comparison: what no event told is found by it, and other people's writes of Secrets."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

from leaseholder import errors
from leaseholder.api import lease, names
from leaseholder.api.conditions import Reason
from leaseholder.controller import compare, entry, runner, supplies
from leaseholder.controller.compare import Comparison
from leaseholder.core.going import MADE_AGAIN
from leaseholder.ports.secrets import SecretCopy, SecretEvent
from tests.unit.controller import fakes
from tests.unit.controller.world import KEY, NAME, SHOP, World, infisical, key_of, manifest


def comparison_of(world: World) -> Comparison:
    return Comparison(world.cluster, world.controller, world.observer.records, world.supplies)


@contextlib.asynccontextmanager
async def following(world: World) -> AsyncIterator[None]:
    comparison = comparison_of(world)
    running = asyncio.create_task(comparison.follow_secrets())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_dynamiclease_that_no_event_told_of_is_found() -> None:
    world = World()
    comparison = comparison_of(world)
    async with world.running():
        await comparison.compare()
        await world.passed()
        assert world.secret == "lease-1"
        taken = len(world.meter.lateness)
        await comparison.compare()
        assert len(world.meter.lateness) == taken
        world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}))
        await comparison.compare()
        await world.passed()
    assert world.secret == "lease-2"


async def test_a_record_whose_dynamiclease_is_gone_has_its_lease_revoked() -> None:
    world = World()
    await world.settle()
    world.cluster.vanish(*KEY)
    async with world.running():
        await comparison_of(world).compare()
        await world.passed()
        await world.passed(after=MADE_AGAIN.total_seconds())
    assert (world.records, world.provider.live) == ([], {})


async def test_what_is_on_no_list_any_more_is_forgotten() -> None:
    world = World()
    world.rival(1, state="Abandoned", leaseId="lease-9")
    world.cluster.vanish(*KEY)
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        assert [*controller.keys] == [world.key]
        records = world.observer.records
        await records.end(world.subject, "rival-1", "Forgotten", world.clock.wall())
        await comparison_of(world).compare()
        await world.passed()
        assert not controller.keys
        assert world.cluster.ledger == {}
        assert world.holder not in world.meter.seen


async def test_a_comparison_that_fails_is_made_again_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    refused = errors.Refused(Reason.WRITE_REFUSED, "no right to list dynamicleases")
    for failure in (refused, RuntimeError("hunter2-canary")):
        world.cluster.before("list dynamicleases", failure)
        running = asyncio.create_task(comparison_of(world).run())
        known = len(caplog.records)
        await world.trace.until(lambda: world.count("list dynamicleases"))
        assert len(caplog.records) == known + 1
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        world.trace.calls.clear()
    assert "no right to list dynamicleases" in caplog.messages[0]
    assert "unexpected RuntimeError" in caplog.messages[1]
    assert "canary" not in caplog.text


async def test_a_secret_that_somebody_else_changed_makes_its_owner_due_and_ours_does_not() -> None:
    world = World()
    async with world.running() as controller, following(world):
        await controller.offer(world.key)
        await world.passed()
        taken = len(world.meter.lateness)
        ours = world.cluster.secrets[KEY].resource_version
        for version in (ours, "999"):
            event = SecretEvent(SHOP, NAME, world.holder.uid, version)
            world.cluster.events.put_nowait(event)
        await world.trace.until(lambda: len(world.meter.lateness) > taken)
        await world.passed()
        sentinels = 2
        assert len(world.meter.lateness) == taken + 1 + sentinels


async def test_a_secret_that_somebody_deletes_is_replaced_by_a_new_lease() -> None:
    world = World()
    async with world.running() as controller, following(world):
        await controller.offer(world.key)
        await world.passed()
        del world.cluster.secrets[KEY], world.cluster.values[KEY]
        world.cluster.events.put_nowait(SecretEvent(SHOP, NAME, world.holder.uid))
        await world.trace.until(lambda: world.secret == "lease-2")


async def test_who_waits_for_a_secret_is_due_as_soon_as_its_owner_lets_go() -> None:
    world = World()
    other = world.cluster.user_applies(manifest("other"))
    world.cluster.user_writes_secret(
        SHOP,
        NAME,
        labels={names.OWNER_UID: other.metadata.uid},
        annotations={names.OWNER_NAME: "other"},
    )
    async with world.running() as controller, following(world):
        await controller.offer(world.key)
        await world.trace.until(lambda: world.dl.status.conditions and world.ready != "Progressing")
        assert world.ready == "SecretNotOurs"
        del world.cluster.secrets[KEY], world.cluster.values[KEY]
        world.cluster.events.put_nowait(SecretEvent(SHOP, "other", other.metadata.uid))
        await world.trace.until(lambda: KEY in world.cluster.secrets)


async def test_a_dynamiclease_that_went_unseen_is_found_although_a_record_is_left() -> None:
    world = World()
    comparison = comparison_of(world)
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.trace.until(lambda: world.secret == "lease-1")
        world.cluster.user_strips_finalizer(*KEY)
        await controller.offer(world.key)
        await world.passed()
        world.cluster.vanish(*KEY)
        await comparison.compare()
        await world.passed()
        await world.passed(after=MADE_AGAIN.total_seconds())
        await world.trace.until(lambda: not world.cluster.ledger)
    assert not world.provider.live


@pytest.mark.parametrize("missed", ["finalizer", "deletion", "status"])
async def test_what_is_to_be_done_is_found_although_it_was_seen_once(missed: str) -> None:
    world = World()
    comparison = comparison_of(world)
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        assert controller.knows(world.dl)
        match missed:
            case "finalizer":
                world.cluster.user_strips_finalizer(*KEY)
            case "deletion":
                world.cluster.user_deletes(*KEY)
            case _:
                await world.cluster.patch_lease_status(world.dl, lease.DynamicLeaseStatus())
        controller._entries[world.key].seen = entry.wishes(world.dl.metadata)
        assert not controller.knows(world.dl)
        await comparison.compare()
        await world.passed()
        assert missed == "deletion" or controller.knows(world.dl)
        assert missed != "deletion" or KEY not in world.cluster.leases


async def test_an_event_that_can_not_be_taken_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    async with world.running() as controller, following(world):
        await controller.offer(world.key)
        await world.passed()
        world.cluster.before("get dynamiclease", RuntimeError("hunter2-canary"))
        world.cluster.events.put_nowait(_copy(SHOP, owner_uid=world.holder.uid))
        del world.cluster.secrets[KEY], world.cluster.values[KEY]
        world.cluster.events.put_nowait(SecretEvent(SHOP, NAME, world.holder.uid))
        await world.trace.until(lambda: world.secret == "lease-2")
    assert "an event of a Secret: unexpected RuntimeError" in caplog.text
    assert "canary" not in caplog.text


async def test_a_dynamiclease_that_only_a_secret_names_gets_no_key_and_no_request() -> None:
    world = World()
    async with world.running() as controller, following(world):
        await controller.offer(world.key)
        await world.passed()
        taken, read = len(world.meter.lateness), world.count("list records")
        for number in range(300):
            event = SecretEvent(SHOP, f"nobody-{number}", "strange", "7")
            world.cluster.events.put_nowait(event)
        known = SecretEvent(SHOP, NAME, world.holder.uid, "999")
        world.cluster.events.put_nowait(known)
        await world.trace.until(lambda: len(world.meter.lateness) > taken)
        await world.passed()
        assert {*controller.keys} == {world.key}
        assert world.count("list records") == read


async def test_of_those_that_only_secrets_name_a_few_are_looked_at_and_none_is_kept() -> None:
    world = World()
    for number in range(100):
        world.cluster.user_writes_secret(
            SHOP,
            f"forged-{number}",
            labels={names.OWNER_UID: f"strange-{number}"},
            annotations={
                names.OWNER_NAME: f"forged-{number}",
                names.SECRET: f"{SHOP}/forged-{number}",
            },
        )
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        await comparison_of(world).compare()
        await world.passed(after=compare.INTERVAL)
        await world.passed(after=MADE_AGAIN.total_seconds())
        left = sum(name.startswith("forged") for _, name in world.cluster.secrets)
        assert left == 100 - compare.MOST_NAMED
        assert {*controller.keys} == {world.key}


def _copy(namespace: str, name: str = "copy", **owner: str) -> SecretCopy:
    marks = {"owner_name": NAME, "owner_uid": "nobody", **owner}
    return SecretCopy(namespace=namespace, name=name, original=f"{SHOP}/{NAME}", **marks)


async def test_a_copy_is_told_once_at_its_dynamiclease_and_elsewhere_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    async with world.running() as controller, following(world):
        await controller.offer(world.key)
        await world.passed()
        for _ in range(5):
            world.cluster.events.put_nowait(_copy(SHOP, owner_uid=world.holder.uid))
            world.cluster.events.put_nowait(_copy("elsewhere"))
        for number in range(100):
            world.cluster.events.put_nowait(_copy("flooded", f"copy-{number}"))
        await world.cluster.events.join()
        await world.passed()
    told = [note.message for _, note in world.cluster.notes if note.reason == "SecretCopied"]
    assert [text.partition(",")[0] for text in told] == [
        "Secret shop/copy is a copy of shop/orders"
    ]
    logged = [text for text in caplog.messages if "is a copy of" in text]
    assert len(logged) == 1 + compare.MOST_COPIES
    assert logged[0].startswith("Secret elsewhere/copy is a copy of shop/orders")


@pytest.mark.parametrize("owner_name", ["", NAME])
async def test_a_secret_with_our_label_alone_is_told_at_its_dynamiclease_and_nowhere_else(
    owner_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    async with world.running() as controller, following(world):
        await controller.offer(world.key)
        await world.passed()
        for name, uid in (("former", world.holder.uid), (NAME, world.holder.uid), ("b", "nobody")):
            marks = {"owner_name": owner_name, "owner_uid": uid, "original": ""}
            for _ in range(3):
                world.cluster.events.put_nowait(dataclasses.replace(_copy(SHOP, name), **marks))
        await world.cluster.events.join()
        await world.passed()
    told = [note.message for _, note in world.cluster.notes if note.reason == "SecretLeftAlone"]
    assert [text.partition(" has the label")[0] for text in told] == ["Secret shop/former"]
    assert [text for text in caplog.messages if "left alone" in text] == []


async def test_forged_labels_make_no_reads() -> None:
    world = World()
    async with following(world):
        for number in range(1000):
            copy = _copy(SHOP, f"forged-{number}", owner_name=f"nobody-{number}")
            world.cluster.events.put_nowait(dataclasses.replace(copy, original=""))
        await world.cluster.events.join()
        assert world.count("get dynamiclease") == 0


async def test_events_of_thousands_of_forged_secrets_leave_turns_to_all_others() -> None:
    world = World()
    for number in range(1000):
        copy = _copy(SHOP, f"forged-{number}", owner_name=f"nobody-{number}")
        world.cluster.events.put_nowait(dataclasses.replace(copy, original=""))
    async with _turns() as turns, following(world):
        await world.cluster.events.join()
        assert len(turns) >= 1000 // runner.SLICE


async def test_a_comparison_of_thousands_leaves_turns_to_all_others() -> None:
    world = World()
    for number in range(3000):
        world.cluster.user_applies(manifest(name=f"lease-{number}"))
    comparison = Comparison(world.cluster, world.controller, world.observer.records, world.supplies)
    async with _turns() as turns:
        await comparison.compare()
        compared = len(turns)
    assert len(world.controller.keys) == 3001
    assert compared >= 2 * 3000 // runner.SLICE


async def test_a_comparison_of_thousands_of_records_leaves_turns_to_all_others() -> None:
    world = World()
    records, lease = world.observer.records, World().rival(1)
    await records.load()
    for number in range(3000):
        subject = world.subject.model_copy(update={"name": f"lease-{number}"})
        await records.add(subject, lease)
    async with _turns() as turns:
        assert await records.compare() == []
        assert len(turns) >= 2 * 3000 // runner.SLICE


async def test_a_comparison_of_thousands_of_forged_secrets_leaves_turns_to_all_others() -> None:
    world = World()
    for number in range(2000):
        labels = {names.OWNER_UID: "strange"}
        notes = {names.OWNER_NAME: f"forged-{number}"}
        name = f"forged-{number}"
        world.cluster.user_writes_secret(SHOP, name, labels=labels, annotations=notes)
    async with _turns() as turns:
        await comparison_of(world).compare()
        assert len(turns) >= 3 * 2000 // runner.SLICE


async def test_a_change_of_a_provider_that_thousands_use_leaves_turns_to_all_others() -> None:
    world, ref = World(), ("LeaseProvider", SHOP, "infisical")
    for number in range(2000):
        holder = world.cluster.user_applies(manifest(name=f"lease-{number}")).holder
        world.controller._entries[key_of(holder)] = entry.Entry(provider=ref)
    async with _turns() as turns:
        await world.controller.offer_users_of(ref)
        assert len(turns) >= 2000 // runner.SLICE


@contextlib.asynccontextmanager
async def _turns() -> AsyncIterator[list[None]]:
    """One more for each turn of the loop."""
    seen: list[None] = []

    async def count() -> None:
        while True:
            seen.append(None)
            await asyncio.sleep(0)

    task = asyncio.create_task(count())
    try:
        yield seen
    finally:
        task.cancel()


async def test_adapters_of_provider_objects_that_went_go_before_the_next_comparison() -> None:
    world = World()
    comparison = comparison_of(world)
    comparison.forget_every = 0
    async with world.running():
        forgetting = asyncio.create_task(comparison.forget_adapters())
        await comparison.compare()
        comparison.compared.set()
        await world.passed()
        ((_, adapter),) = world.built
        world.cluster.providers.clear()
        world.supplies.gone(infisical().metadata.uid)
        world.clock.move(supplies.UNUSED_GONE + 1)
        await fakes.turns_pass()
        assert [one.closed for _, one in world.built] == [False]  # its lease is on record
        world.cluster.user_deletes(SHOP, NAME)
        await world.controller.offer(world.key)
        await world.passed()
        world.clock.move(supplies.UNUSED_GONE + 1)
        await fakes.turns_pass()
        assert adapter.closed
        forgetting.cancel()
