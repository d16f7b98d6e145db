"""Phase: a revocation is said once more, later, because a renewal may have undone it."""

from collections.abc import Callable

import httpx2
import pytest

from leaseholder import errors
from leaseholder.ports.provider import Lease, RevocationAnswer
from leaseholder.providers.phase import afterwards
from leaseholder.providers.settings import PhaseSettings
from tests.unit.providers import support
from tests.unit.providers.phasebench import INTERNAL, LEASES, answer, bench, held, refused
from tests.world import processes


async def test_a_revoked_lease_is_revoked_once_more_when_the_settle_time_is_over() -> None:
    it = bench(settings=PhaseSettings(settle_seconds=0))
    done = answer({"message": "Lease was already revoked"})
    it.server.say("DELETE", LEASES, done, done, httpx2.ReadError("x"), done, done)
    await it.adapter.revoke(held())
    with pytest.raises(errors.LeaseGone):
        await it.adapter.inspect(held())
    await _until(lambda: it.server.count(LEASES, "DELETE") == 4)
    await it.adapter.aclose()
    assert it.server.count(LEASES, "DELETE") == 4, "the third failed, the fourth is the last"


@pytest.mark.parametrize(
    ("reply", "tries"),
    [
        (refused(404, "Lease not found"), 1),
        (refused(500, INTERNAL.format("revoking")), afterwards.TRIES),
        (refused(403, "You don't have permission"), afterwards.TRIES),
    ],
)
async def test_a_later_revocation_that_fails_is_tried_a_few_times(
    reply: support.Reply, tries: int
) -> None:
    it = bench(settings=PhaseSettings(settle_seconds=0))
    done = answer({"message": "Lease revoked successfully"})
    it.server.say("DELETE", LEASES, done, done, reply)
    await it.adapter.revoke(held())
    with pytest.raises(errors.LeaseGone):
        await it.adapter.inspect(held())
    await _until(lambda: it.server.count(LEASES, "DELETE") == 2 + tries)
    await it.adapter.aclose()
    assert it.server.count(LEASES, "DELETE") == 2 + tries


async def test_later_revocations_are_bounded_and_the_oldest_are_let_go() -> None:
    asked: list[str] = []

    async def revoke(lease: Lease) -> RevocationAnswer:
        asked.append(lease.id)
        return RevocationAnswer(done=True)

    later = afterwards.Afterwards(revoke, 0.0)
    for number in range(afterwards.MOST + 2):
        later.plan(held(id=f"lease-{number}"))
    await _until(lambda: len(asked) == afterwards.MOST)
    await later.aclose()
    assert (asked[0], len(asked)) == ("lease-2", afterwards.MOST)


async def _until(holds: Callable[[], bool]) -> None:
    async def is_so() -> bool:
        return holds()

    await processes.wait_until_async(is_so, what="what is asked", interval=0.001)
