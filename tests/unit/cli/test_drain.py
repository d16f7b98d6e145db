"""What ``leaseholder drain`` lists before it begins, and reports when it is over."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from leaseholder.api import lease
from leaseholder.api.record import State
from leaseholder.cli import drain
from leaseholder.controller import drain as draining
from leaseholder.settings import Settings
from tests.unit.clocks import FakeClock
from tests.unit.controller import fakes
from tests.unit.core import views

NAME = draining.Name("shop", "orders")


class Nobody:
    """An API server without objects; only what can't be read is asked for."""

    async def dynamic_leases(self) -> AsyncIterator[lease.DynamicLease]:
        for one in list[lease.DynamicLease]():
            yield one

    async def delete_dynamic_lease(self, dl: lease.DynamicLease) -> None:
        raise AssertionError(dl)

    async def records(self) -> list[Any]:
        return []

    def unreadable_objects(self, kind: str) -> list[str]:
        return ["shop/odd"] if kind == lease.DynamicLease.KIND else []


def work(remains: draining.Remains) -> draining.Drain:
    tally = draining.Tally(fakes.FakeJournal())
    return draining.Drain(Nobody(), "here", FakeClock(), tally, print, left={NAME: remains})


RESTARTS = {"rotation": {"restartTargets": [{"kind": "Deployment", "name": "orders"}]}}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "1 lease to revoke; Secret orders goes"),
        (RESTARTS, "1 lease to revoke; Secret orders goes, used by Deployment orders"),
        (
            {"deletion": {"policy": "Orphan"}},
            "1 lease; Secret orders and the lease in it stay (deletion.policy: Orphan)",
        ),
        (None, "1 lease to revoke, the DynamicLease is gone"),
    ],
)
def test_each_dynamiclease_is_listed_with_what_workloads_lose(
    spec: dict[str, Any] | None, told: str
) -> None:
    dl = views.lease(spec) if spec is not None else None
    listed = [*drain.listed(work(draining.Remains(dl, [views.record()])), Settings())]
    assert listed == [
        "1 DynamicLease with 1 lease in 1 namespace, on record in leaseholder",
        f"shop/orders: {told}",
        "DynamicLease shop/odd can't be read by this version and is left as it is",
    ]


def test_a_wrong_namespace_of_the_operator_is_named_with_what_to_set() -> None:
    said = drain.misplaced([NAME] * 6, "ops")
    assert f"{', '.join(['shop/orders'] * 5)}, ... hold leases" in said
    assert "no LeaseRecord in namespace ops is theirs" in said
    assert "set LEASEHOLDER_OPERATOR_NAMESPACE" in said


def test_what_is_left_is_reported_with_its_reason() -> None:
    given_up = views.pending().but(state=State.ABANDONED, attempt_id="a1", lease_id="L1")
    done = work(draining.Remains(None, [given_up]))
    done.seen, done.trouble = {NAME, draining.Name("shop", "gone")}, "the API server is away"
    assert [*drain.reported(done)] == [
        "drained: 1 DynamicLease; no lease was held",
        "shop/orders is left: lease L1 is given up (kubectl leaseholder forget a1)",
        "DynamicLease shop/odd is left: this version can't read it",
        "what is left isn't known: the API server is away",
        "Something is left: run it again, or see docs/runbook.md, What a drain leaves",
    ]
    told = "1 of 2 DynamicLeases drained. To go on, give the command again"
    assert drain.progress(done) == told
