"""The controller: who is due, one worker a key, back-off, pokes, stop, and what is kept."""

import asyncio
import logging

import pytest

from leaseholder import errors
from leaseholder.api import base, conditions, lease, names
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.record import Holder
from leaseholder.controller import entry, hints
from leaseholder.controller.keys import Key
from leaseholder.core import queue, status
from leaseholder.core.memory import Failure
from leaseholder.telemetry import logs
from tests.unit.controller.fakes import background
from tests.unit.controller.world import (
    KEY,
    NAME,
    SHOP,
    World,
    cluster_away,
    denied,
    key_of,
    manifest,
)

CANARY = "hunter2-canary"


async def test_what_is_offered_is_driven_to_the_end() -> None:
    world = World(workers=4)
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.trace.until(
            lambda: world.meter.seen.get(world.holder) and world.ready == "Ready"
        )
    assert (world.secret, world.ready) == ("lease-1", "Ready")
    assert controller.knows(world.dl)
    assert controller.keys == (world.key,)


async def test_a_stop_finishes_an_issue_that_is_under_way_and_delivers_it() -> None:
    world = World()
    answer = asyncio.Event()
    world.provider.before("issue", answer.wait)
    async with background(world.controller.run()):
        await world.controller.offer(world.key)
        await world.trace.until(lambda: world.count("issue"))
        await world.controller.stop()
        answer.set()
    assert (world.secret, world.records) == ("lease-1", [("Held", "lease-1")])
    assert world.count("patch dynamiclease") <= 1


async def test_a_stop_begins_nothing_new() -> None:
    world = World()
    answer = asyncio.Event()
    world.cluster.before("get dynamiclease", answer.wait)
    async with background(world.controller.run()):
        await world.controller.offer(world.key)
        await world.trace.until(lambda: world.count("get dynamiclease"))
        await world.controller.stop()
        answer.set()
    assert world.count("issue") == 0
    assert world.records == []


async def test_after_a_stop_no_key_is_taken() -> None:
    world = World()
    await world.controller.stop()
    await world.controller.offer(world.key)
    await world.controller.run()
    assert world.trace.calls == []


async def test_a_key_is_worked_on_by_one_worker_and_comes_again_if_it_became_due() -> None:
    world = World(workers=4)
    answer = asyncio.Event()
    world.provider.before("issue", answer.wait)
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.trace.until(lambda: world.count("issue"))
        calls = len(world.trace.calls)
        for _ in range(3):
            await controller.offer(world.key)
        assert len(world.trace.calls) == calls
        other = Holder(namespace=SHOP, name="other", uid="")
        await controller.offer(key_of(other))
        await world.trace.until(lambda: other in world.meter.forgotten)
        assert world.count("issue") == 1
        answer.set()
        await world.trace.until(
            lambda: world.meter.seen.get(world.holder) and world.ready == "Ready"
        )
        holders_and_again = 3
        await world.trace.until(lambda: len(world.meter.lateness) == holders_and_again)
    assert world.count("issue") == 1


async def test_back_off_holds_against_hints_and_yields_to_a_poke() -> None:
    world = World()
    world.provider.before("issue", denied(), denied())
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        assert (world.count("issue"), world.ready) == (1, "LoginRefused")
        await controller.offer(world.key, poke=False)
        await world.passed()
        assert world.count("issue") == 1
        await controller.offer(world.key)
        await world.passed()
        assert world.count("issue") == 2
        await world.passed(after=10)
    assert (world.count("issue"), world.ready) == (3, "Ready")


@pytest.mark.parametrize("pauses", [0, 3])
async def test_of_two_refusals_at_once_always_the_same_one_is_told(pauses: int) -> None:
    world = World()
    world.cluster.watches_secrets = False  # without the right to list there is no watch either

    async def no_list() -> None:
        for _ in range(pauses):
            await asyncio.sleep(0)
        raise errors.Refused(Reason.DENIED, "no right to list secrets")

    def told() -> str:
        found = conditions.find(world.dl.status.conditions, ConditionType.READY)
        return found.message if found is not None else ""

    world.cluster.before("list secrets", no_list)
    world.cluster.before("get secret", errors.Refused(Reason.DENIED, "no right to get secrets"))
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.trace.until(lambda: "no right" in told())
        assert told() == "no right to list secrets"


async def test_of_those_that_are_due_the_lease_that_ends_first_is_looked_at_first() -> None:
    world = World()
    world.cluster.user_applies(manifest(name="later", ttl="4h"))
    world.cluster.user_applies(manifest(name="sooner", ttl="10m"))
    holders = {dl.metadata.name: dl.holder for dl in world.cluster.leases.values()}
    async with world.running() as controller:
        for holder in holders.values():
            await controller.offer(key_of(holder))
        await world.passed()
        world.clock.move(500)
        world.meter.looks.clear()
        for name in ("later", NAME, "sooner"):
            await controller.offer(key_of(holders[name]), poke=False)
        await world.passed()
        looks = [holder.name for holder in world.meter.looks if holder.name in holders]
    assert list(dict.fromkeys(looks)) == ["sooner", NAME, "later"]


async def test_after_a_start_the_lease_that_ends_first_is_looked_at_first_the_dead_before_all() -> (
    None
):
    world = World()
    ttls = {"later": "4h", "sooner": "10m", "dead": "9m"}
    for name, ttl in ttls.items():
        world.cluster.user_applies(manifest(name=name, ttl=ttl))
    holders = {dl.metadata.name: dl.holder for dl in world.cluster.leases.values()}
    async with world.running() as controller:
        for holder in holders.values():
            await controller.offer(key_of(holder))
        await world.passed()
    world.clock.move(570)
    world.meter.looks.clear()
    world.cluster.user_applies(manifest(name="new"))
    again = world.controller = world.process()
    order = ["later", "new", NAME, "sooner", "dead"]
    for name in order:
        await again.heard(world.cluster.leases[SHOP, name].metadata, gone=False)
    async with world.running():
        await world.passed()
    looks = list(dict.fromkeys(one.name for one in world.meter.looks if one.name in order))
    assert looks == ["dead", "new", "sooner", "later", NAME]


async def test_after_a_start_what_users_asked_for_is_looked_at_before_all_that_is_idle() -> None:
    world = World()
    order = ["idle", "renewed", "deleted", "changed", "late", "idle-too"]
    for name in order:
        world.cluster.user_applies(manifest(name=name, ttl="4h" if "idle" in name else "8h"))
    holders = {dl.metadata.name: dl.holder for dl in world.cluster.leases.values()}
    async with world.running() as controller:
        for holder in holders.values():
            await controller.offer(key_of(holder))
        await world.passed()
    world.cluster.user_applies(manifest(name="renewed", ttl="8h", annotations={names.RENEW: "now"}))
    world.cluster.user_deletes(SHOP, "deleted")
    world.cluster.user_applies(manifest(name="changed", ttl="9h"))
    late = world.cluster.leases[SHOP, "late"]
    assert late.status.lease is not None
    held = late.status.lease.model_copy(update={"renew_at": world.clock.wall()})
    status_ = late.status.model_copy(update={"lease": held})
    world.cluster.leases[SHOP, "late"] = late.model_copy(update={"status": status_})
    world.meter.looks.clear()
    again = world.controller = world.process()
    for name in order:
        await again.heard(world.cluster.leases[SHOP, name].metadata, gone=False)
    async with world.running():
        await world.passed()
    looks = list(dict.fromkeys(one.name for one in world.meter.looks if one.name in order))
    assert looks == ["renewed", "deleted", "changed", "late", "idle", "idle-too"]


async def test_after_a_start_of_dead_leases_that_go_first_of_which_status_says_ready() -> None:
    world = World()
    keys = {name: (SHOP, name) for name in ("told", "untold")}
    for name in keys:
        world.cluster.user_applies(manifest(name=name, ttl="10m"))
    async with world.running() as controller:
        for dl in world.cluster.leases.values():
            await controller.offer(key_of(dl.holder))
        await world.passed()
    world.clock.move(700)
    dl = world.cluster.leases[keys["told"]]
    expired = Failure(reason=Reason.EXPIRED, sentence="it is over", permanent=False)
    new = status.refused(dl, expired, base.whole_second(world.clock.wall()))
    world.cluster.leases[keys["told"]] = dl.model_copy(update={"status": new})
    world.meter.looks.clear()
    again = world.controller = world.process()
    for key in keys.values():
        await again.heard(world.cluster.leases[key].metadata, gone=False)
    async with world.running():
        await world.passed()
    looks = list(dict.fromkeys(one.name for one in world.meter.looks if one.name in keys))
    assert looks == ["untold", "told"]


async def test_a_deletion_does_not_wait_for_all_that_come_later_and_want_a_lease() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        entry, now = controller._entries[world.key], world.clock.monotonic()
        assert entry.by(now, now) == entry.unready
        world.cluster.user_deletes(*KEY)
        await controller.offer(world.key)
        assert entry.by(now, now) == now + queue.PATIENCE
        await world.trace.until(lambda: KEY not in world.cluster.leases)


async def test_who_has_no_credentials_goes_before_leases_that_have_time() -> None:
    world = World()
    world.cluster.user_applies(manifest(name="later", ttl="4h"))
    world.cluster.user_applies(manifest(name="sooner", ttl="10m"))
    holders = {dl.metadata.name: dl.holder for dl in world.cluster.leases.values()}
    async with world.running() as controller:
        for name in ("later", "sooner"):
            await controller.offer(key_of(holders[name]))
        await world.passed()
        world.clock.move(595)
        world.meter.looks.clear()
        for name in ("later", NAME, "sooner"):
            await controller.offer(key_of(holders[name]), poke=False)
        await world.passed()
        looks = [holder.name for holder in world.meter.looks if holder.name in holders]
    assert list(dict.fromkeys(looks)) == ["sooner", NAME, "later"]


async def test_whose_secret_changed_goes_before_leases_that_have_time() -> None:
    world = World()
    world.cluster.user_applies(manifest(name="sooner", ttl="30m"))
    holders = {dl.metadata.name: dl.holder for dl in world.cluster.leases.values()}
    async with world.running() as controller:
        for holder in holders.values():
            await controller.offer(key_of(holder))
        await world.passed()
        world.meter.looks.clear()
        await controller.offer(key_of(holders["sooner"]), poke=False)
        await controller.offer(key_of(holders[NAME]), poke=False, harmed=True)
        await world.passed()
        looks = [holder.name for holder in world.meter.looks if holder.name in holders]
    assert list(dict.fromkeys(looks)) == [NAME, "sooner"]


async def test_a_secret_that_went_costs_no_look_at_all_who_are_known() -> None:
    world = World()
    controller = world.process()
    for number in range(100):
        await controller.offer(Key(SHOP, f"orders-{number}"))
    waking = controller.offer_contested(SHOP)
    with pytest.raises(StopIteration):  # no turn of the event loop is needed
        waking.send(None)


async def test_many_that_use_a_provider_are_woken_one_after_another() -> None:
    world = World()
    many = [
        Holder(
            namespace=SHOP,
            name=f"user-{n}",
            uid=world.cluster.user_applies(manifest(name=f"user-{n}")).metadata.uid,
        )
        for n in range(hints.AT_ONCE + 100)
    ]
    async with world.running() as controller:
        for holder in many:
            await controller.offer(key_of(holder))
        await world.passed()
        taken = len(world.meter.lateness)
        await controller.offer_users_of(("LeaseProvider", SHOP, "infisical"))
        await world.passed()
        assert len(world.meter.lateness) - taken < len(many) / 2
        await world.passed(after=100 * hints.APART)
        assert len(world.meter.lateness) - taken >= len(many)


async def test_a_poke_that_comes_while_a_worker_holds_the_key_is_not_lost() -> None:
    world = World()
    answer = asyncio.Event()
    world.provider.before("issue", answer.wait)
    world.provider.before("prepare", None)
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.trace.until(lambda: world.count("issue"))
        world.provider.after("issue", denied())
        await controller.offer(world.key)
        answer.set()
        await world.passed()
    assert world.count("issue") == 2


async def test_an_unexpected_exception_ends_neither_worker_nor_key_and_its_text_is_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.cluster.before("try secret", RuntimeError(CANARY))
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        assert world.records == []
        await world.passed(after=5)
    assert world.secret == "lease-1"
    (told,) = caplog.records
    assert told.levelno == logging.ERROR
    line = logs.Text().format(told)
    assert "step failed namespace=shop name=orders" in line
    assert "unexpected RuntimeError at tests.unit.controller.fakes" in line
    assert CANARY not in line + caplog.text


async def test_each_step_is_logged_with_the_rule_that_decided_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
    steps = [one.fields for one in caplog.records if one.message == "step"]  # type: ignore[attr-defined]
    assert [(one["rule"], one["step"]) for one in steps] == [
        ("finalizer-put-on", "Protect"),
        ("issued", "Acquire"),
        ("delivered", "Deliver"),
        ("reported", "Report"),
    ]
    assert {(one["namespace"], one["name"]) for one in steps} == {tuple(world.key)[:2]}


async def test_a_conflict_is_looked_at_anew_at_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.cluster.before("try secret", lambda: world.rival(1))
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
    assert world.secret == "lease-1"
    assert not caplog.records


async def test_conflicts_without_end_make_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    conflict = errors.Conflict(Reason.CONFLICT, "somebody wrote first")
    world.cluster.before("try secret", *[conflict] * 6)
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        assert world.count("try secret") == 6
        await world.passed(after=5)
    assert world.secret == "lease-1"
    (told,) = caplog.records
    assert logs.Text().format(told).endswith('why="Conflict: somebody wrote first"')


async def test_ready_goes_false_while_a_request_hangs_beyond_the_end_of_the_lease() -> None:
    world = World()
    await world.settle()
    answer = asyncio.Event()
    world.clock.move(3600 - 4)
    world.provider.before("inspect", answer.wait)
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.trace.until(lambda: world.ready == "LeaseExpired")
        assert world.count("renew") == 0
        answer.set()
        await world.trace.until(lambda: world.ready == "Ready")
    assert world.secret == "lease-1"
    ends = [note for _, note in world.cluster.notes if note.reason == "LeaseExpired"]
    assert [note.type for note in ends] == ["Warning"]
    assert "not ready" in world.journal.kinds


async def test_an_api_server_that_does_not_take_the_word_is_told_by_the_next_look() -> None:
    world = World()
    await world.settle()
    answer = asyncio.Event()
    world.clock.move(3600 - 4)
    world.provider.before("inspect", answer.wait)
    world.cluster.before("patch dynamiclease", cluster_away())
    told = world.count("patch dynamiclease")
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.trace.until(lambda: world.count("patch dynamiclease") > told)
        answer.set()
        await world.passed()
    assert world.ready == "Ready"


async def test_the_end_of_a_lease_is_told_also_where_its_dynamic_lease_was_changed_meanwhile() -> (
    None
):
    world = World()
    await world.settle()
    answer = asyncio.Event()
    world.clock.move(3600 - 4)
    world.provider.before("inspect", answer.wait)
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.trace.until(lambda: world.count("inspect"))
        world.cluster.user_applies(manifest(annotations={"team": "shop"}))
        await world.trace.until(lambda: world.ready == "LeaseExpired")
        answer.set()
        await world.trace.until(lambda: world.ready == "Ready")


async def test_all_leases_that_end_in_a_hanging_request_say_so_however_few_turns_there_are() -> (
    None
):
    world = World(workers=2)
    names = [f"lease-{number}" for number in range(40)]
    for name in names:
        world.cluster.user_applies(manifest(name=name))
    answer = asyncio.Event()
    async with world.running() as controller:
        for dl in world.cluster.leases.values():
            await controller.offer(key_of(dl.holder))
        await world.passed()
        assert {_reason(dl) for dl in world.cluster.leases.values()} == {"Ready"}
        for call in ("inspect", "renew"):
            world.provider.before(call, *[answer.wait] * 100)
        world.clock.move(3600 - 4)
        for dl in list(world.cluster.leases.values()):
            await controller.offer(key_of(dl.holder), poke=False)
        await world.trace.until(
            lambda: {_reason(dl) for dl in world.cluster.leases.values()} == {"LeaseExpired"}
        )
        answer.set()
        await world.passed()
    assert {_reason(dl) for dl in world.cluster.leases.values()} == {"Ready"}


def _reason(dl: lease.DynamicLease) -> str:
    return next(c.reason for c in dl.status.conditions if c.type == "Ready")


async def test_retirement_lasts_until_nothing_is_pending() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        world.provider.before("revoke", denied())
        world.cluster.user_deletes(*KEY)
        await controller.heard(world.dl.metadata, gone=False)
        await world.passed()
        assert KEY in world.cluster.leases
        assert world.records == [("Revoking", "lease-1")]
        await world.passed(after=5)
        assert KEY not in world.cluster.leases
        assert world.records == []
        assert controller.keys == ()
        assert world.holder in world.meter.forgotten


async def test_retirement_ends_when_the_dynamiclease_is_gone_although_something_is_pending() -> (
    None
):
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        world.provider.before("revoke", denied())
        world.cluster.user_deletes(*KEY)
        await controller.heard(world.dl.metadata, gone=False)
        await world.passed()
        gone = world.dl.metadata
        world.cluster.user_strips_finalizer(*KEY)
        world.provider.before("revoke", denied())
        await controller.heard(gone, gone=True)
        await world.passed(after=3)
        assert world.records == [("Revoking", "lease-1")]
        await world.passed(after=20)
    assert (world.records, world.provider.live) == ([], {})


async def test_a_release_is_told_once_although_its_write_conflicts() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        world.provider.before("revoke", *[denied()] * 9)
        world.cluster.user_deletes(*KEY)
        await controller.heard(world.dl.metadata, gone=False)
        await world.passed()
        conflict = errors.Conflict(Reason.CONFLICT, "somebody wrote first")
        world.cluster.before("patch finalizer", conflict, conflict)
        await world.passed(after=901)
        assert KEY not in world.cluster.leases
        await world.passed(after=4)
    told = [note.reason for _, note in world.cluster.notes]
    assert told.count(Reason.TIMED_OUT) == 1


async def test_users_of_a_provider_are_due_when_it_changes_and_others_are_not() -> None:
    world = World()
    other = world.cluster.user_applies(manifest("other", providerRef={"name": "elsewhere"}))
    async with world.running() as controller:
        await controller.offer(world.key)
        await controller.offer(key_of(other.holder))
        await world.passed()
        before = len(world.meter.lateness)
        await controller.offer_users_of(("LeaseProvider", SHOP, "elsewhere"))
        await world.passed()
        sentinels = 2
        assert len(world.meter.lateness) == before + 1 + sentinels


async def test_our_own_write_of_a_secret_is_told_from_anothers() -> None:
    world = World()
    async with world.running() as controller:
        assert not controller.knows_secret(world.key, "1")
        await controller.offer(world.key)
        await world.passed()
        assert controller.knows_secret(world.key, world.cluster.secrets[KEY].resource_version)
        assert not controller.knows_secret(world.key, "")
        other = world.cluster.user_writes_secret(SHOP, NAME)
        assert not controller.knows_secret(world.key, other.resource_version)


async def test_a_change_of_wishes_is_news_and_a_change_of_status_is_not() -> None:
    world = World()
    async with world.running() as controller:
        assert not controller.knows(world.dl)
        await controller.offer(world.key)
        await world.passed()
        assert controller.knows(world.dl)
        world.cluster.user_applies(manifest(annotations={"team": "shop"}))
        assert controller.knows(world.dl)
        world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}))
        assert not controller.knows(world.dl)


def test_of_a_command_no_more_is_kept_than_status_can_hold() -> None:
    dl = lease.DynamicLease.model_validate(manifest(annotations={names.ROTATE: "x" * 250_000}))
    assert len(repr(entry.wishes(dl.metadata))) < 2_000


async def test_due_work_that_nobody_takes_makes_the_process_unhealthy() -> None:
    world = World()
    assert world.controller.stuck_for == 0.0
    await world.controller.offer(world.key)
    world.clock.move(200)
    assert world.controller.stuck_for == 200.0


async def test_workers_that_make_slow_progress_are_healthy() -> None:
    world = World()
    answer = asyncio.Event()
    issued = asyncio.Event()
    world.cluster.before("get namespace", answer.wait)
    world.provider.before("issue", issued.wait)
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.trace.until(lambda: world.count("get namespace"))
        await controller.offer(Key(SHOP, "other"))
        world.clock.move(200)
        assert controller.stuck_for == 200.0
        answer.set()
        await world.trace.until(lambda: world.count("issue"))
        assert controller.stuck_for == 0.0
        issued.set()


async def test_the_finalizer_is_on_before_anything_is_tried_or_asked_for() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
    effects = ("patch finalizer", "try secret", "create record", "prepare", "issue")
    assert next(call for call in world.trace.calls if call in effects) == "patch finalizer"
    assert world.count("patch finalizer") == 1
    assert world.dl.metadata.finalizers == (names.FINALIZER,)


async def test_a_finalizer_whose_answer_is_lost_costs_no_lease_and_no_second_write() -> None:
    world = World()
    world.cluster.after("patch finalizer", cluster_away())
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        assert world.records == []
        await world.passed(after=5)
    assert world.secret == "lease-1"
    assert world.count("patch finalizer") == 1


async def test_a_finalizer_that_somebody_takes_off_is_put_on_again() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        world.cluster.user_strips_finalizer(*KEY)
        await controller.heard(world.dl.metadata, gone=False)
        await world.passed()
    assert world.dl.metadata.finalizers == (names.FINALIZER,)
    assert world.secret == "lease-1"


async def test_an_event_of_our_own_writes_is_no_news() -> None:
    world = World()
    async with world.running() as controller:
        await controller.heard(world.dl.metadata, gone=False)
        await world.passed()
        looks = world.count("get dynamiclease")
        await controller.heard(world.dl.metadata, gone=False)
        stranger = world.dl.metadata.model_copy(update={"uid": "unknown"})
        await controller.heard(stranger, gone=True)
        await world.passed()
        sentinels = 4
        assert world.count("get dynamiclease") <= looks + sentinels
        assert [*controller.keys] == [world.key]
