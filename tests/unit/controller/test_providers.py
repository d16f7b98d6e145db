"""ProviderWatch: looked at when due, told in status, and no hot loop through our own writes."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator

import pytest

from leaseholder import errors
from leaseholder.api import conditions, provider
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.controller import providers, supplies
from leaseholder.controller.providers import WHILE_DOWN, ProviderWatch
from leaseholder.telemetry import logs
from tests.unit.controller import fakes
from tests.unit.controller.world import SHOP, World, away, cluster_away, denied, infisical, shared

REF = ("LeaseProvider", SHOP, "infisical")
FIRST = ("provider-uid", 1)


@contextlib.asynccontextmanager
async def watching(world: World, *, reports: bool = True) -> AsyncIterator[ProviderWatch]:
    parts = world.cluster, world.clock, world.supplies, world.controller
    watch = ProviderWatch(*parts, world.journal, reports)
    running = asyncio.create_task(watch.run())
    try:
        yield watch
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def status(world: World) -> provider.ProviderStatus:
    return world.cluster.providers[REF].status


def ready(world: World) -> tuple[str, str] | None:
    found = conditions.find(status(world).conditions, ConditionType.READY)
    return (found.status, found.reason) if found is not None else None


def _checked(world: World, times: int) -> bool:
    return world.count("check") >= times


async def moved(world: World, watch: ProviderWatch, seconds: float) -> None:
    """Time goes by; another provider's event wakes the watch as its timer would."""
    world.clock.move(seconds)
    await watch.offer(("LeaseProvider", SHOP, f"other-{world.clock.seconds}"), None)


async def test_a_provider_is_looked_at_and_told_ready() -> None:
    world = World()
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
    assert ready(world) == ("True", "Ready")
    assert status(world).capabilities == ("Revoke",)
    assert [note.reason for _, note in world.cluster.notes] == ["Ready"]


async def test_of_several_shards_one_writes_status_and_each_tells_its_own_leases() -> None:
    world = World()
    world.provider.before("check", away())
    await world.settle()
    async with watching(world, reports=False) as watch, world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: _checked(world, 1))
        await world.passed()
        taken = len(world.meter.lateness)
        await moved(world, watch, WHILE_DOWN)
        await world.trace.until(lambda: _checked(world, 2))
        await world.trace.until(lambda: len(world.meter.lateness) > taken)
    assert ready(world) is None
    assert "patch provider" not in world.trace.calls


async def test_what_a_way_to_log_in_cannot_do_is_said_while_all_is_well() -> None:
    world = World()
    world.provider.caveat = "all leases share one token"
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
    found = conditions.find(status(world).conditions, ConditionType.READY)
    assert found is not None
    assert found.message.endswith("the login works; all leases share one token")


async def test_what_we_write_into_status_is_not_taken_for_a_change() -> None:
    world = World()
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
        await watch.offer(REF, FIRST)
        await moved(world, watch, 2)
        await world.trace.until(lambda: world.count("get provider") >= 2)
    assert world.count("check") == 1


async def test_it_is_looked_at_again_after_its_interval_and_nothing_is_written() -> None:
    world = World()
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
        await moved(world, watch, 301)
        await world.trace.until(lambda: world.count("check") == 2)
        await moved(world, watch, 0)
        await world.trace.until(lambda: world.count("get provider") >= 4)
    assert world.count("patch provider") == 1


async def test_a_provider_that_fails_is_told_and_keeps_what_was_learned() -> None:
    world = World()
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
        world.provider.before("check", denied())
        await watch.offer(REF, ("provider-uid", 2))
        await moved(world, watch, 2)
        await world.trace.until(lambda: ready(world) == ("False", "LoginRefused"))
        assert status(world).capabilities == ("Revoke",)
        await moved(world, watch, 11)
        await world.trace.until(lambda: ready(world) == ("True", "Ready"))
    kinds = [note.type for _, note in world.cluster.notes]
    assert kinds == ["Normal", "Warning", "Normal"]


async def test_a_provider_that_can_not_be_read_says_so_until_it_can_be() -> None:
    world = World()
    sentence = "LeaseProvider shop/infisical can't be read: see spec.sweep"
    async with watching(world) as watch:

        async def looked(generation: int, *, readable: bool = True) -> None:
            if not readable:
                rest = world.cluster.providers[REF]
                unreadable = errors.Unreadable(Reason.INVALID, sentence, rest=rest)
                world.cluster.before("get provider", unreadable)
            world.clock.move(31)
            await watch.offer(REF, ("provider-uid", generation))
            await world.trace.until(lambda: world.count("get provider") == generation)

        await looked(1)
        await world.trace.until(lambda: ready(world))
        learned = status(world)
        await looked(2, readable=False)
        await world.trace.until(lambda: ready(world) == ("False", "InvalidRequest"))
        told = conditions.find(status(world).conditions, ConditionType.READY)
        assert told is not None
        assert told.message == sentence
        assert status(world).capabilities == learned.capabilities
        assert world.meter.providers[REF] is False
        await looked(3, readable=False)
        await looked(4)
        await world.trace.until(lambda: ready(world) == ("True", "Ready"))
    assert [note.reason for _, note in world.cluster.notes] == ["Ready", "InvalidRequest", "Ready"]
    assert world.count("patch provider") == 3


async def test_of_several_shards_one_says_that_a_provider_can_not_be_read() -> None:
    world = World()
    rest = world.cluster.providers[REF]
    world.cluster.before("get provider", errors.Unreadable(Reason.INVALID, "see spec", rest=rest))
    async with watching(world, reports=False) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: world.meter.providers.get(REF) is False)
    assert world.count("patch provider") == 0


async def test_users_are_offered_when_it_changes_and_when_it_heals() -> None:
    world = World()
    world.provider.before("check", errors.Throttled(Reason.THROTTLED, "later", retry_after=30))
    async with world.running() as controller, watching(world) as watch:
        await controller.offer(world.key)
        await world.passed()
        taken = len(world.meter.lateness)
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: len(world.meter.lateness) == taken + 1)
        await world.trace.until(lambda: ready(world) == ("False", "Throttled"))
        taken = len(world.meter.lateness)
        await moved(world, watch, 40)
        await world.trace.until(lambda: ready(world) == ("True", "Ready"))
        await world.trace.until(lambda: len(world.meter.lateness) > taken)


async def test_a_provider_that_goes_down_or_comes_back_is_looked_at_at_once() -> None:
    world = World()
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
        world.provider.before("check", away())
        world.clock.move(2)
        watch.check("https://elsewhere.example")
        watch.check("https://infisical.example")
        await world.trace.until(lambda: ready(world) == ("False", "ProviderUnavailable"))
        world.clock.move(2)
        watch.check("https://infisical.example")
        await world.trace.until(lambda: ready(world) == ("True", "Ready"))
    assert world.count("check") == 3


async def test_when_a_providers_clock_was_set_its_leases_look_at_their_plans() -> None:
    world = World()
    async with world.running() as controller, watching(world) as watch:
        await controller.offer(world.key)
        await world.passed()
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
        await world.passed()
        taken = len(world.meter.lateness)
        world.clock.move(2)
        watch.check("https://infisical.example", rouse=True)
        await world.trace.until(lambda: len(world.meter.lateness) > taken)


async def test_a_provider_that_is_held_back_is_looked_at_as_soon_as_a_trial_is_due() -> None:
    world = World()
    held = errors.Unavailable(Reason.UNAVAILABLE, "held back", sent=False, retry_after=7)
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
        world.provider.before("check", *[away()] * 5, held)
        for checks in range(2, 8):
            await moved(world, watch, 301)
            await world.trace.until(functools.partial(_checked, world, checks))
            await world.trace.until(lambda: ready(world) == ("False", "ProviderUnavailable"))
        await moved(world, watch, 7)
        await world.trace.until(lambda: ready(world) == ("True", "Ready"))


async def test_a_provider_that_is_down_is_looked_at_every_few_seconds() -> None:
    world = World()
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
        world.provider.down = away()
        await moved(world, watch, 301)
        for checks in range(2, 12):
            await world.trace.until(functools.partial(_checked, world, checks))
            await world.trace.until(lambda: ready(world) == ("False", "ProviderUnavailable"))
            await moved(world, watch, WHILE_DOWN)
    assert ready(world) == ("False", "ProviderUnavailable")


async def test_an_unexpected_exception_in_one_check_does_not_end_the_watch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.provider.before("check", RuntimeError("hunter2-canary"))
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: world.count("check"))
        await moved(world, watch, 0)
        await world.trace.until(lambda: caplog.records)
        await moved(world, watch, 5)
        await world.trace.until(lambda: ready(world))
    (told,) = caplog.records
    line = logs.Text().format(told)
    assert "check failed provider=LeaseProvider/infisical namespace=shop why=" in line
    assert "unexpected RuntimeError at" in line
    assert "canary" not in line + caplog.text


async def test_an_api_server_that_is_away_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.cluster.put_provider(shared())
    world.cluster.before("get provider", cluster_away())
    async with watching(world) as watch:
        await watch.offer(("ClusterLeaseProvider", "", "shared"), ("shared-uid", 1))
        await world.trace.until(lambda: caplog.records)
        await moved(world, watch, 5)
        await world.trace.until(lambda: world.count("patch provider"))
    (told,) = caplog.records
    end = 'provider=ClusterLeaseProvider/shared why="ClusterUnavailable: the API server is away"'
    assert logs.Text().format(told).endswith(end)


async def test_a_provider_is_checked_once_at_a_time() -> None:
    world = World()
    answer = asyncio.Event()
    world.provider.before("check", answer.wait)
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: world.count("check"))
        await watch.offer(REF, ("provider-uid", 2))
        await moved(world, watch, 0)
        await world.trace.until(lambda: world.count("get provider") == 2)
        assert world.count("check") == 1
        answer.set()
        await world.trace.until(lambda: ready(world))
        await moved(world, watch, 2)
        await world.trace.until(lambda: world.count("check") == 2)


async def test_the_adapter_of_a_provider_whose_only_event_was_that_it_went_is_let_go() -> None:
    world = World()
    await world.supplies.wanted(world.dl)
    async with watching(world) as watch:
        await watch.offer(REF, None)
    assert world.supplies.keeps_gone
    world.clock.move(supplies.UNUSED_GONE + 1)
    world.supplies.forget_unused(())
    await asyncio.sleep(0)  # the turn in which it is closed
    assert world.provider.closed


async def test_the_adapter_of_a_provider_that_went_while_a_look_read_it_is_let_go() -> None:
    world = World()
    answer = asyncio.Event()
    world.cluster.after("get provider", answer.wait)
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: world.count("get provider"))
        world.cluster.providers.clear()
        await watch.offer(REF, None)
        answer.set()
        await world.trace.until(lambda: world.count("patch provider"))
        await fakes.turns_pass()
        assert not world.provider.closed
        await moved(world, watch, 2)
        await fakes.turns_pass()
        assert world.provider.closed


async def test_a_provider_that_went_is_forgotten_and_one_made_again_is_new() -> None:
    world = World()
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
        world.cluster.providers.clear()
        await watch.offer(REF, None)
        await world.trace.until(lambda: world.count("get provider") == 2)
        world.cluster.put_provider(infisical())
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
    assert world.count("check") == 2


async def test_many_providers_that_do_not_answer_take_their_share_of_looks_and_no_more() -> None:
    """More than the process may have open files."""
    world = World()
    many, answer = 1100, asyncio.Event()
    share = providers.CHECKS * 3 // 4
    for _ in range(share):
        world.provider.before("check", answer.wait)
    async with watching(world) as watch:
        for number in range(many):
            rogue = infisical(f"rogue-{number}", f"uid-{number}")
            meta = rogue.metadata.model_copy(update={"namespace": "rogue"})
            world.cluster.put_provider(rogue.model_copy(update={"metadata": meta}))
            await watch.offer(("LeaseProvider", "rogue", f"rogue-{number}"), (meta.uid, 1))
        await world.trace.until(functools.partial(_checked, world, share))
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
        assert world.count("check") == share + 1
        answer.set()
        await world.trace.until(functools.partial(_checked, world, many + 1))


async def test_nothing_is_kept_of_a_provider_whose_last_event_was_lost() -> None:
    world = World()
    async with watching(world) as watch:
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
        world.cluster.providers.clear()
        await moved(world, watch, 2)
        watch.check("https://infisical.example")
        await world.trace.until(lambda: REF not in watch._seen)
        world.cluster.put_provider(infisical())
        await moved(world, watch, 2)
        await watch.offer(REF, FIRST)
        await world.trace.until(lambda: ready(world))
        assert world.count("check") == 2


async def test_a_shared_provider_that_revokes_for_others_is_known_once_it_was_looked_at() -> None:
    world = World()
    known = shared()
    told = known.spec.model_copy(update={"revocation_auth": "AllAtUrl"})
    world.cluster.put_provider(known.model_copy(update={"spec": told}))
    issuer = world.rival(1).provider
    ref = ("ClusterLeaseProvider", "", "shared")
    async with watching(world) as watch:
        assert await world.supplies.last_resort(issuer) is None
        await watch.offer(ref, ("shared-uid", 1))
        await world.trace.until(lambda: _checked(world, 1))
    assert await world.supplies.last_resort(issuer) is not None
    own = issuer.model_copy(update={"uid": "shared-uid"})
    assert await world.supplies.last_resort(own) is None, "its own login is gone already"
