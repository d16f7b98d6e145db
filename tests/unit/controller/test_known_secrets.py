"""Secrets whose data was proven: what is known of them holds until something tells of a change."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.controller import deliver
from leaseholder.controller.compare import Comparison
from leaseholder.core import contents
from leaseholder.core.memory import Memory
from leaseholder.ports.secrets import SecretEvent, SecretView
from tests.unit.controller import fakes
from tests.unit.controller.world import KEY, NAME, SHOP, World, manifest

HALF = 1800.0
"""Seconds: a lease of an hour is renewed by then, or soon after."""


@contextlib.asynccontextmanager
async def delivered() -> AsyncIterator[World]:
    """A DynamicLease that is Ready, and from now on nothing was read."""
    world = World()
    comparison = Comparison(world.cluster, world.controller, world.observer.records, world.supplies)
    async with world.running() as controller:
        following = asyncio.create_task(comparison.follow_secrets())
        await controller.offer(world.key)
        await world.passed()
        assert world.ready == "Ready"
        world.trace.calls.clear()
        yield world
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def reads(world: World) -> int:
    """How often the Secrets were read: by label, and each time by name, too."""
    return world.count("list secrets")


def changed(world: World) -> SecretEvent:
    """The watch's event of the Secret as it is now."""
    version = world.cluster.secrets[KEY].resource_version
    return SecretEvent(SHOP, NAME, world.holder.uid, version)


async def test_that_a_lease_is_over_is_said_without_reading_its_secret() -> None:
    async with delivered() as world:
        world.clock.move(3600)
        await world.controller.offer(world.key, poke=False)
        await world.trace.until(lambda: world.ready == "LeaseExpired")
        assert reads(world) == 0


async def test_for_a_first_lease_no_secret_is_read() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
    assert (world.ready, world.secret) == ("Ready", "lease-1")
    assert (reads(world), world.count("try secret")) == (0, 1)
    assert "get secret" not in world.trace.calls[: world.trace.calls.index("patch finalizer")]


async def test_while_the_watch_is_not_open_it_is_read_for_a_first_lease() -> None:
    world = World()
    world.cluster.watches_secrets = False
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
    assert (world.ready, reads(world)) == ("Ready", 1)


async def test_a_secret_that_nothing_told_of_is_read_before_a_first_lease_is_issued() -> None:
    world = World()
    world.cluster.user_writes_secret(SHOP, NAME, values={"MINE": "1"})
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
    assert world.ready == "SecretNotOurs"
    assert world.count("issue") == 0
    assert world.cluster.values[KEY] == {"MINE": "1"}


async def test_what_refuses_a_supposed_secret_is_said_after_the_secret_was_read() -> None:
    world = World()
    no_list = errors.Refused(Reason.DENIED, "no right to list secrets")
    no_create = errors.Refused(Reason.WRITE_REFUSED, "no right to create secrets")
    world.cluster.before("list secrets", no_list)
    world.cluster.before("try secret", no_create)
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        assert world.ready == Reason.DENIED
        await world.passed(60)
    assert (world.ready, world.secret) == ("Ready", "lease-1")
    told = [note.message for _, note in world.cluster.notes if "no right" in note.message]
    assert told == ["no right to list secrets"]


async def test_what_keeps_a_first_lease_away_is_reported_after_the_secret_was_read() -> None:
    world = World()
    world.cluster.providers.clear()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
    assert (world.ready, reads(world)) == ("ProviderMissing", 1)


async def test_a_deletion_reads_no_secret_and_nothing_after_it() -> None:
    async with delivered() as world:
        secret = changed(world)
        world.cluster.user_deletes(*KEY)
        await world.controller.heard(world.dl.metadata, gone=False)
        await world.passed()
        world.cluster.events.put_nowait(dataclasses.replace(secret, version=""))
        await world.passed()
        assert (world.provider.live, world.cluster.ledger) == ({}, {})
        assert KEY not in world.cluster.secrets
        assert world.key not in world.controller
        calls = world.trace.calls
        assert reads(world) == 0
        assert calls[calls.index("get record") :][:3] == [
            "get record",
            "patch finalizer",
            "delete record",
        ]


async def test_with_the_finalizer_of_somebody_else_a_deletion_is_looked_at_again() -> None:
    async with delivered() as world:
        held = world.cluster.leases[KEY]
        theirs = ("others.example/wait", *held.metadata.finalizers)
        world.cluster._put_lease(held, finalizers=theirs, deletion_timestamp=world.clock.wall())
        taken = world.cluster.user_strips_finalizer

        def only_ours(namespace: str, name: str) -> None:
            world.cluster._put_lease(world.dl, finalizers=theirs[:1])

        world.cluster.user_strips_finalizer = only_ours  # type: ignore[method-assign]
        await world.controller.heard(world.dl.metadata, gone=False)
        await world.passed()
        assert not world.provider.live
        assert world.dl.metadata.finalizers == theirs[:1]
        gone = world.dl.metadata
        taken(*KEY)
        await world.controller.heard(gone, gone=True)
        await world.passed()
        assert world.key not in world.controller


async def test_a_renewal_reads_no_secret() -> None:
    async with delivered() as world:
        await world.passed(after=HALF + 900)
        assert (world.count("renew"), reads(world)) == (1, 0)


async def test_while_the_watch_is_not_open_a_renewal_reads_the_secrets() -> None:
    async with delivered() as world:
        world.cluster.watches_secrets = False
        await world.passed(after=HALF + 900)
        assert world.count("renew") == 1
        assert reads(world) >= 1


async def test_the_values_of_a_secret_are_not_kept() -> None:
    async with delivered() as world:
        seen = world.controller._entries[world.key].memory.secrets
        assert seen is not None
        assert seen.target is not None
        assert not seen.target.values.reveal()
        assert all(not one.values.reveal() for one in seen.labelled)


async def test_the_event_of_our_own_write_reads_nothing() -> None:
    async with delivered() as world:
        world.cluster.events.put_nowait(changed(world))
        await world.passed()
        assert reads(world) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"values": {"DB_USERNAME": "other"}},
        {"labels": {}},
        {"annotations": {}},
        {"owner_uids": ()},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_the_watch_shows_is_read_and_healed(change: dict[str, Any]) -> None:
    async with delivered() as world:
        before = world.cluster.secrets[KEY]
        world.cluster.user_writes_secret(SHOP, NAME, **change)
        world.cluster.events.put_nowait(changed(world))
        await world.passed()
        now = world.cluster.secrets[KEY]
        assert now.labels[names.OWNER_UID] == world.holder.uid
        assert now.annotations.keys() >= before.annotations.keys()
        assert now.owner_uids == (world.holder.uid,)
        assert world.secret in world.provider.live


async def test_a_change_that_no_event_told_of_is_found_by_the_comparison() -> None:
    async with delivered() as world:
        del world.cluster.secrets[KEY], world.cluster.values[KEY]
        comparison = Comparison(
            world.cluster, world.controller, world.observer.records, world.supplies
        )
        await comparison.compare()
        await world.passed()
        assert world.secret in world.provider.live


async def test_a_template_that_changes_is_rendered_from_the_secret_as_it_is() -> None:
    async with delivered() as world:
        target = {"template": {"data": {"USER": "{{ DB_USERNAME }}"}}}
        dl = world.cluster.user_applies(manifest(target=target))
        await world.controller.heard(dl.metadata, gone=False)
        await world.passed()
        assert world.cluster.values[KEY]["USER"] == "lease-1"
        assert reads(world) == 1


async def test_a_secret_that_changed_unseen_is_deleted_all_the_same() -> None:
    async with delivered() as world:
        world.cluster.user_writes_secret(SHOP, NAME, values={"DB_USERNAME": "other"})
        world.cluster.user_deletes(*KEY)
        await world.controller.heard(world.dl.metadata, gone=False)
        await world.passed()
        assert KEY not in world.cluster.secrets
        assert not world.provider.live
        assert KEY not in world.cluster.leases


async def test_what_a_rotation_replaces_is_read_before_it_is_revoked() -> None:
    async with delivered() as world:
        dl = world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}))
        await world.controller.heard(dl.metadata, gone=False)
        await world.passed()
        assert world.secret == "lease-2"
        before = reads(world)
        await world.passed(after=300)
        assert [*world.provider.live] == ["lease-2"]
        assert reads(world) > before


@contextlib.asynccontextmanager
async def started_again() -> AsyncIterator[World]:
    """A DynamicLease that was Ready, and another process, which has looked at nothing yet."""
    async with delivered() as world:
        pass
    world.controller = world.process()
    world.trace.calls.clear()
    yield world


async def test_after_a_start_the_secret_is_read_by_its_name_alone() -> None:
    async with started_again() as world, world.running() as controller:
        await controller.offer(world.key, harmed=True)  # as the watch's first list has it
        await world.passed()
        assert (world.ready, world.secret, reads(world)) == ("Ready", "lease-1", 0)
        await world.passed(after=HALF + 900)
        assert (world.count("renew"), reads(world)) == (1, 0)


async def test_after_a_start_all_are_listed_where_the_watch_shows_another_one() -> None:
    async with started_again() as world:
        labels = {names.OWNER_UID: world.holder.uid}
        world.cluster.user_writes_secret(SHOP, "another", labels=labels)
        async with world.running() as controller:
            await controller.offer(world.key)
            await world.passed()
        assert reads(world) >= 1


async def test_after_a_start_all_are_listed_before_a_credential_is_missed() -> None:
    async with started_again() as world:
        del world.cluster.secrets[KEY], world.cluster.values[KEY]
        async with world.running() as controller:
            await controller.offer(world.key)
            await world.passed()
        listed = world.trace.calls.index("list secrets")
        assert listed < world.trace.calls.index("issue")
        assert world.secret == "lease-2"


async def test_after_a_start_a_deletion_lists_the_secrets() -> None:
    async with started_again() as world:
        world.cluster.user_deletes(*KEY)
        async with world.running() as controller:
            await controller.offer(world.key)
            await world.passed()
        assert reads(world) >= 1
        assert not world.provider.live


async def test_what_the_watch_tells_while_the_secret_is_first_read_is_read_again() -> None:
    async with started_again() as world:
        controller = world.controller

        async def changes() -> None:
            world.cluster.user_writes_secret(SHOP, NAME, values={"DB_USERNAME": "other"})
            await controller.offer(world.key, poke=False, harmed=True)

        world.cluster.after("get secret", changes)
        async with world.running():
            await controller.offer(world.key)
            await world.passed()
        assert world.secret in world.provider.live


async def test_our_finalizer_that_comes_on_is_no_news() -> None:
    async with delivered() as world:
        taken = len(world.meter.lateness)
        await world.controller.heard(world.dl.metadata, gone=False)
        assert len(world.meter.lateness) == taken
        world.cluster.user_strips_finalizer(*KEY)
        await world.controller.heard(world.dl.metadata, gone=False)
        await world.passed()
        assert names.FINALIZER in world.dl.metadata.finalizers


async def test_a_change_that_is_told_of_while_the_secret_is_read_is_read_and_healed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with delivered() as world:
        read, changes = world.cluster.secret, iter([{"DB_USERNAME": "other"}])

        async def slow(namespace: str, name: str) -> SecretView | None:
            found = await read(namespace, name)
            for values in changes:
                world.cluster.user_writes_secret(SHOP, NAME, values=values)
                world.cluster.events.put_nowait(changed(world))
                await fakes.turns_pass()  # the event comes before the answer
            return found

        monkeypatch.setattr(world.cluster, "secret", slow)
        await world.controller.offer(world.key, harmed=True)
        await world.passed()
        assert world.secret in world.provider.live


@pytest.mark.parametrize("edited", [False, True])
async def test_an_event_that_overtakes_the_answer_to_our_write_is_judged_by_it(
    edited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    comparison = Comparison(world.cluster, world.controller, world.observer.records, world.supplies)
    write = world.cluster.write_secret

    async def slow(*args: Any, dry_run: bool = False) -> SecretView:
        written = await write(*args, dry_run=dry_run)
        if not dry_run and world.count("write secret") == 1:
            world.cluster.events.put_nowait(changed(world))
            if edited:
                world.cluster.user_writes_secret(SHOP, NAME, values={"DB_USERNAME": "other"})
                world.cluster.events.put_nowait(changed(world))
            await fakes.turns_pass()
        return written

    monkeypatch.setattr(world.cluster, "write_secret", slow)
    async with world.running() as controller:
        following = asyncio.create_task(comparison.follow_secrets())
        await controller.offer(world.key)
        await world.passed()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert world.ready == "Ready"
    assert (world.secret, reads(world) > 0) == ("lease-2" if edited else "lease-1", edited)


async def test_a_change_that_is_told_of_after_the_secrets_were_taken_as_known_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with delivered() as world:
        dl = world.cluster.user_applies(manifest(deletion={"policy": "Orphan"}))
        await world.controller.heard(dl.metadata, gone=False)
        await world.passed()
        assert world.ready == "Ready"
        wanted, changes = world.supplies.wanted, iter([changed(world)])

        async def slow(dl: DynamicLease) -> Any:
            found = await wanted(dl)
            for event in changes:
                del world.cluster.secrets[KEY], world.cluster.values[KEY]
                world.cluster.events.put_nowait(dataclasses.replace(event, version=""))
                await fakes.turns_pass()
            return found

        monkeypatch.setattr(type(world.supplies), "wanted", lambda _, dl: slow(dl))
        world.cluster.user_deletes(*KEY)
        await world.controller.heard(world.dl.metadata, gone=False)
        await world.passed()
        assert not world.provider.live


async def test_a_deletion_that_is_told_of_while_a_write_is_refused_is_read() -> None:
    async with delivered() as world:
        view = await world.observer.observe(world.key, Memory())
        assert view.memory.doubted is False

        def goes() -> None:
            assert view.memory.writing is not None
            view.memory.writing.add("")
            raise errors.Refused(Reason.WRITE_REFUSED, "an admission webhook refuses it")

        world.cluster.before("write secret", goes)
        made = deliver.draft(world.dl, None, contents.rehearsed(world.dl, view.target))
        with pytest.raises(errors.Refused):
            await world.performer.deliverer._write(view, made)
        assert view.memory.doubted
