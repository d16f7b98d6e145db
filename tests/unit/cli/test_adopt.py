"""What ``leaseholder adopt`` lists before it begins, and reports when it is over."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from click import testing

from leaseholder.api import base
from leaseholder.api.record import LeaseRecord, RecordSpec, name_of
from leaseholder.cli import adopt, main, session
from leaseholder.cli.exits import Exit, Failed
from leaseholder.clock import SystemClock
from leaseholder.cluster import client
from leaseholder.cluster import places as urls
from leaseholder.controller import adopt as adopting
from tests.unit.clocks import FakeClock
from tests.unit.core import views

HOMES = adopt.Homes("old", "new")


class Nothing:
    """A ledger of which only what can't be read is asked."""

    def __init__(self, *unread: str) -> None:
        self.unread = unread

    async def records(self) -> list[LeaseRecord]:
        return []

    async def record_named(self, name: str) -> LeaseRecord | None:
        raise AssertionError(name)

    async def create_record(self, spec: RecordSpec) -> LeaseRecord:
        raise AssertionError(spec)

    async def write_record(self, known: LeaseRecord, spec: RecordSpec) -> LeaseRecord:
        raise AssertionError(known, spec)

    async def give_up_record(self, known: LeaseRecord) -> None:
        raise AssertionError(known)

    def unreadable_objects(self, kind: str) -> tuple[str, ...]:
        return self.unread


def page(*leases: int) -> LeaseRecord:
    recorded = tuple(views.record(number) for number in leases)
    spec = RecordSpec(for_=views.SUBJECT, installation="cluster/old", leases=recorded)
    return LeaseRecord(
        metadata=base.ObjectMeta(name=name_of("cluster/old", views.SUBJECT)), spec=spec
    )


def work(*unread: str) -> adopting.Adoption:
    source, target = Nothing(*unread), Nothing()
    return adopting.Adoption(source, "cluster/old", target, "cluster/new", FakeClock(), print)


def test_what_would_be_adopted_is_listed_by_the_name_of_the_dynamiclease() -> None:
    known = work("old/odd")
    known.found, known.others = [page(1, 2)], ["shop.others.1"]
    assert [*adopt.listed(known, HOMES)] == [
        "1 LeaseRecord with 2 leases in old, for new",
        "shop/orders: 2 leases",
        "LeaseRecord old/odd is left: this version can't read it",
        "LeaseRecord old/shop.others.1 is left: another installation wrote it",
    ]
    assert adopt.values(known, HOMES, dry_run=True) == {
        "from": "old",
        "to": "new",
        "dryRun": True,
        "adopted": [{"name": "shop/orders", "leases": 2}],
        "left": [
            {"record": "old/odd", "reason": "unreadable"},
            {"record": "old/shop.others.1", "reason": "foreign"},
        ],
    }


def test_a_clean_end_says_what_is_to_be_done_next() -> None:
    known = work()
    known.taken = {"shop/orders": 1, "shop/billing": 0}
    assert [*adopt.reported(known, HOMES)] == [
        "adopted: 2 LeaseRecords with 1 lease, now in new",
        "Now start the operator in new, and delete namespace old: an operator that starts there "
        "again would issue all leases anew",
    ]


def test_what_is_left_has_its_reason() -> None:
    known = work()
    known.left, known.trouble = {"shop/orders": "no right"}, "the API server is away"
    assert [*adopt.reported(known, HOMES)] == [
        "adopted: 0 LeaseRecords with 0 leases, now in new",
        "shop/orders is left: no right",
        "what is left isn't known: the API server is away",
        "Something is left: see docs/runbook.md, What an adoption leaves",
    ]
    assert adopt.values(known, HOMES, dry_run=False)["left"] == [
        {"name": "shop/orders", "reason": "no right"},
        {"reason": "what is left isn't known: the API server is away"},
    ]


class Silent(Nothing):
    """A ledger that never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def records(self) -> list[LeaseRecord]:
        self.asked.set()
        await asyncio.Event().wait()
        return []


async def test_an_adoption_that_is_stopped_says_how_many_records_are_moved() -> None:
    source = Silent()
    known = adopting.Adoption(source, "cluster/old", Nothing(), "cluster/new", FakeClock(), print)
    known.found, known.taken = [page(1), page(2)], {"shop/billing": 1}
    task = asyncio.create_task(adopt.take_over(known, until=60))
    await source.asked.wait()
    task.cancel()
    told = "1 of 2 LeaseRecords adopted. To go on, give the command again"
    with pytest.raises(Failed, match=told) as failed:
        await task
    assert failed.value.code is Exit.STOPPED


class Elections:
    """An API server with the Leases of elections alone; that of a shard is taken."""

    may_act = staticmethod(lambda: True)
    endpoint = None

    async def pages(self, place: urls.Place, **_: Any) -> AsyncIterator[client.Body]:
        batch = ["leaseholder-operator-batch"] if place.namespace == "old" else []
        found = ["leaseholder-operator", "others", *batch]
        yield {"items": [{"metadata": {"name": name}} for name in found]}

    async def request(self, method: str, place: urls.Place, **more: Any) -> client.Body:
        taken = {"holderIdentity": "a-pod", "leaseDurationSeconds": 15}
        free = more["body"]["spec"] if method == "PATCH" else {}
        spec = taken if place.name.endswith("-batch") else free
        return {"metadata": {"resourceVersion": "1"}, "spec": spec}


async def test_nothing_is_adopted_while_a_pod_of_a_shard_works() -> None:
    api = cast("client.Api", Elections())
    led = await adopt.places(session.Session(api, "new"), HOMES)
    assert [*map(str, led)] == [
        "in namespace old",
        "in namespace new",
        "in namespace old, shard batch",
    ]
    said, until = list[str](), SystemClock().monotonic() + 0.3
    told = "the Lease isn't free in namespace old, shard batch: "
    with pytest.raises(Failed, match=told) as failed:
        async with adopt._leading(api, api, led, said.append, until):
            raise AssertionError("it began")
    assert failed.value.code is Exit.NOT_DONE
    assert said == [
        "waiting for the Lease of the operator in namespace old, shard batch: a-pod leads; scale "
        "its Deployment to 0"
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["adopt", "--from", "old", "--to", "old"], 2, "--from and --to are the same namespace"),
        (["adopt", "--from", "old"], 2, "Missing option '--to'"),
        (
            ["adopt", "--kubeconfig", "nowhere", "--from", "old", "--to", "new"],
            1,
            "there is no kubeconfig nowhere",
        ),
        (["drain", "--kubeconfig", "nowhere"], 1, "there is no kubeconfig nowhere"),
    ],
)
def test_a_command_line_that_cannot_be_obeyed_gets_a_sentence(
    arguments: list[str], code: int, sentence: str
) -> None:
    done = testing.CliRunner().invoke(main.main, arguments)
    assert done.exit_code == code
    assert sentence in done.output
