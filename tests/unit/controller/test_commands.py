"""Every command that was acted on is answered, and a suspended DynamicLease says so."""

from leaseholder.api import conditions
from tests.unit.controller.world import World, manifest


def told(world: World) -> list[tuple[str, str]]:
    return [(note.reason, note.message) for _, note in world.cluster.notes]


async def command(world: World, **commands: str) -> None:
    notes = {f"leaseholder.dev/{name}": nonce for name, nonce in commands.items()}
    world.cluster.notes.clear()
    world.cluster.user_applies(manifest(annotations=notes))
    await world.settle()


async def test_a_renewal_by_command_is_answered() -> None:
    world = World()
    await world.settle()
    world.clock.move(120)
    await command(world, renew="1")
    ((reason, message),) = told(world)
    assert reason == "LeaseRenewed"
    assert message.startswith("lease lease-1 is renewed until ")
    assert message.endswith(": leaseholder.dev/renew says so")


async def test_a_renewal_that_nobody_asked_for_is_no_event() -> None:
    world = World()
    await world.settle()
    world.cluster.notes.clear()
    await world.settle(after=2500)
    assert world.provider.live["lease-1"].expires_at > world.clock.wall()
    assert told(world) == []
    assert world.journal.kinds[-1] == "lease renewed"


async def test_a_rotation_by_command_is_answered() -> None:
    world = World()
    await world.settle()
    await command(world, rotate="1")
    assert ("LeaseIssued", "issued lease lease-2: leaseholder.dev/rotate says so") in told(world)


async def test_a_force_command_is_answered_also_where_there_is_nothing_to_force() -> None:
    world = World()
    await world.settle()
    await command(world, force="1")
    expected = "leaseholder.dev/force is acted on: no lease is to be revoked"
    assert told(world) == [("ForceHandled", expected)]
    await command(world, force="1")
    assert told(world) == []


async def test_suspended_shows_while_ready_stays_true_and_resumed_is_told() -> None:
    world = World()
    await world.settle()
    world.cluster.notes.clear()
    for suspended, reason in ((True, "Suspended"), (False, "Ready")):
        world.cluster.user_applies(manifest(suspend=suspended))
        await world.settle()
        assert world.ready == reason
        assert conditions.is_true(world.dl.status.conditions, conditions.ConditionType.READY)
    assert [(note.type, note.reason) for _, note in world.cluster.notes] == [
        ("Normal", "Suspended"),
        ("Normal", "Ready"),
    ]
    assert world.journal.kinds[-2:] == ["suspended", "resumed"]
