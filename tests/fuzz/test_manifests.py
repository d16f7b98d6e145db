"""Whatever users write, the operator neither dies, nor loops, nor tells what it must not."""

import asyncio
import contextlib
import json
from collections import Counter
from typing import Any

import hypothesis
import pytest

from leaseholder import errors
from leaseholder.api import conditions, lease
from leaseholder.cluster import patches
from leaseholder.core import actions
from tests.fuzz import answers, cases, manifests
from tests.unit.controller import world as worlds


@pytest.mark.timeout(0)
def test_no_manifest_makes_the_controller_fail_leak_or_loop() -> None:
    seen: Counter[str] = Counter()

    @cases.cases(2 / cases.TESTS)
    @hypothesis.given(manifests.dynamic_leases())
    def explored(manifest: dict[str, Any]) -> None:
        found = _read(manifest)
        if isinstance(found, errors.Refused):
            assert found.__context__ is None
            assert found.sentence.isprintable()
            seen["can't be read"] += 1
        else:
            seen[asyncio.run(_lived(manifest, found))] += 1

    explored()
    print(dict(seen.most_common()))
    assert len(seen) > 2, "nothing much went wrong"


def _read(manifest: dict[str, Any]) -> lease.DynamicLease | errors.Refused:
    try:
        return patches.read(lease.DynamicLease, manifest)
    except errors.Refused as error:
        return error


async def _lived(manifest: dict[str, Any], dl: lease.DynamicLease) -> str:
    """An hour of that DynamicLease; the last reason of Ready."""
    world = worlds.World()
    world.provider.password = answers.CANARY
    made = world.cluster.user_applies(manifest)
    world.cluster.leases[worlds.KEY] = made.model_copy(update={"status": dl.status})
    for _ in range(4):
        with contextlib.suppress(errors.EdgeError):  # told, and tried again later
            step = await world.settle(after=900)
            assert isinstance(step, actions.Idle | actions.Release)
        _sound(world)
    issues = len(world.provider.tags)
    assert issues <= 10, "issued again and again"
    return world.ready


def _sound(world: worlds.World) -> None:
    """Status fits its schema, is told in words of ours, and holds no credential."""
    status = world.dl.status
    text = json.dumps(status.dump(), allow_nan=False)
    assert lease.DynamicLeaseStatus.model_validate_json(text) == status
    for one in status.conditions:
        assert one.reason in set(conditions.Reason)
    assert answers.CANARY not in text
    assert answers.CANARY not in repr(world.cluster.notes)
