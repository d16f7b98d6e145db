"""An adoption over fakes: stopped at each write, and begun again, it ends the same."""

import itertools
from collections.abc import Callable

import pytest

from leaseholder import errors
from leaseholder.api import base, names
from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord, RecordSpec, State, Subject, name_of
from leaseholder.controller import adopt
from tests.unit.clocks import FakeClock
from tests.unit.core import views

pytestmark = pytest.mark.asyncio

OLD, NEW = "cluster/old", "cluster/new"


class Crash(BaseException):
    """The process ends."""


class Cluster:
    """Counts the writes to both ledgers; at one of them the process ends, or the answer is lost."""

    def __init__(self) -> None:
        self.writes = 0
        self.ends_at = -1
        self.lost = False
        """Whether the write at which the process ends is made all the same."""
        self.versions = itertools.count(1)

    def write(self) -> bool:
        """Whether a write is made; afterwards ``written`` is called."""
        self.writes += 1
        if self.writes == self.ends_at and not self.lost:
            raise Crash
        return True

    def written(self) -> None:
        """A write was made."""
        if self.writes == self.ends_at:
            raise Crash


class Ledger:
    """The records of one namespace: uid and resourceVersion count, a finalizer keeps."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.pages: dict[str, LeaseRecord] = {}
        self.fails: list[errors.ClusterError] = []
        """What the next requests meet."""
        self.prunes = False
        self.meanwhile: Callable[[], object] = lambda: None
        """What somebody else does before a record is made."""
        self.unread: list[str] = []

    def put(self, spec: RecordSpec, name: str = "") -> LeaseRecord:
        name = name or name_of(spec.installation, spec.for_)
        known = self.pages.get(name)
        version = str(next(self.cluster.versions))
        meta = base.ObjectMeta(
            name=name,
            uid=known.metadata.uid if known is not None else f"uid-{version}",
            resource_version=version,
            finalizers=(names.ON_RECORD,) if spec.leases else (),
        )
        if self.prunes:
            leases = tuple(one.but(installation="") for one in spec.leases)
            spec = spec.model_copy(update={"leases": leases})
        self.pages[name] = LeaseRecord(metadata=meta, spec=spec)
        return self.pages[name]

    def _met(self) -> None:
        if self.fails:
            raise self.fails.pop(0)

    async def records(self) -> list[LeaseRecord]:
        self._met()
        return [*self.pages.values()]

    async def record_named(self, name: str) -> LeaseRecord | None:
        return self.pages.get(name)

    async def create_record(self, spec: RecordSpec) -> LeaseRecord:
        self._met()
        self.meanwhile()
        self.cluster.write()
        if name_of(spec.installation, spec.for_) in self.pages:
            raise errors.Conflict(Reason.CONFLICT, "it exists already")
        made = self.put(spec)
        self.cluster.written()
        return made

    async def write_record(self, known: LeaseRecord, spec: RecordSpec) -> LeaseRecord:
        self._same(known)
        self.cluster.write()
        made = self.put(spec)
        self.cluster.written()
        return made

    async def give_up_record(self, known: LeaseRecord) -> None:
        self._met()
        if known.name not in self.pages:
            return
        self._same(known)
        self.cluster.write()
        kept = known.metadata.model_copy(
            update={"finalizers": (), "resource_version": str(next(self.cluster.versions))}
        )
        self.pages[known.name] = known.model_copy(update={"metadata": kept})
        self.cluster.written()
        self.cluster.write()
        del self.pages[known.name]
        self.cluster.written()

    def _same(self, known: LeaseRecord) -> None:
        now = self.pages.get(known.name)
        if now is None or now.version != known.version:
            raise errors.Conflict(Reason.CONFLICT, "it was changed meanwhile")

    def unreadable_objects(self, kind: str) -> list[str]:
        assert kind == LeaseRecord.KIND
        return self.unread


class Bench:
    def __init__(self) -> None:
        self.cluster = Cluster()
        self.source, self.target = Ledger(self.cluster), Ledger(self.cluster)
        self.said: list[str] = []
        for name in ("billing", "orders"):
            self.source.put(spec(name, State.HELD, State.REVOKING))

    def process(self) -> adopt.Adoption:
        """As a run of the command has it."""
        clock = FakeClock()
        return adopt.Adoption(
            self.source, OLD, self.target, NEW, clock, self.said.append, again=0.0
        )

    async def adopted(self) -> adopt.Adoption:
        work = self.process()
        await work.run(work.clock.monotonic() + 60)
        return work

    @property
    def ends(self) -> tuple[list[str], dict[str, RecordSpec]]:
        """What is on record in both places."""
        return [*self.source.pages], {name: one.spec for name, one in self.target.pages.items()}


def spec(name: str, *states: State, installation: str = OLD) -> RecordSpec:
    leases = tuple(views.record(number, one) for number, one in enumerate(states, 1))
    subject = Subject(namespace="shop", namespace_uid="shop-uid", name=name)
    return RecordSpec(for_=subject, installation=installation, leases=leases)


async def test_records_move_with_all_their_leases() -> None:
    bench = Bench()
    work = await bench.adopted()
    assert work.is_clean
    assert bench.source.pages == {}
    assert {one.subject.name: len(one.leases) for one in bench.target.pages.values()} == {
        "billing": 2,
        "orders": 2,
    }
    for page in bench.target.pages.values():
        assert page.spec.installation == NEW
        assert page.name == name_of(NEW, page.subject)
        assert {one.installation for one in page.leases} == {OLD}
    assert bench.said == [
        "shop/billing is adopted: 2 leases",
        "shop/orders is adopted: 2 leases",
    ]


@pytest.mark.parametrize("lost", [False, True])
async def test_stopped_at_any_write_and_begun_again_it_ends_the_same(lost: bool) -> None:
    whole = Bench()
    await whole.adopted()
    assert whole.cluster.writes == 6
    for moment in range(1, whole.cluster.writes + 1):
        bench = Bench()
        bench.cluster.ends_at, bench.cluster.lost = moment, lost
        with pytest.raises(Crash):
            await bench.adopted()
        on_record = {one.subject.name for one in bench.source.pages.values()} | {
            one.subject.name for one in bench.target.pages.values()
        }
        assert on_record == {"billing", "orders"}
        assert (await bench.adopted()).is_clean
        assert bench.ends == whole.ends


async def test_a_record_that_the_new_operator_moved_on_before_it_went_here_isnt_set_back() -> None:
    bench = Bench()
    bench.cluster.ends_at, bench.cluster.lost = 1, True
    with pytest.raises(Crash):
        await bench.adopted()
    (copy,) = bench.target.pages.values()
    moved = copy.leases[0].but(state=State.SUPERSEDED)
    bench.target.put(copy.spec.model_copy(update={"leases": (moved, *copy.leases[1:])}))
    assert (await bench.adopted()).is_clean
    states = [one.state for one in bench.target.pages[copy.name].leases]
    assert states == [State.SUPERSEDED, State.REVOKING]


async def test_a_write_that_came_between_is_taken_along() -> None:
    bench = Bench()
    changed = spec("billing", State.SUPERSEDED, State.REVOKING)
    bench.target.meanwhile = lambda: bench.source.put(changed)
    assert (await bench.adopted()).is_clean
    copy = bench.target.pages[name_of(NEW, changed.for_)]
    assert copy.leases[0].state is State.SUPERSEDED


async def test_an_api_server_that_is_away_is_waited_for() -> None:
    bench = Bench()
    away = errors.ClusterUnavailable(Reason.CLUSTER, "the API server is away")
    bench.source.fails, bench.target.fails = [away, away], [away]
    assert (await bench.adopted()).is_clean
    bench.source.fails = [away]
    work = bench.process()
    await work.run(work.clock.monotonic())
    assert work.trouble == "the API server is away"
    assert not work.is_clean


async def test_a_refusal_leaves_that_record_where_it_is_with_its_sentence() -> None:
    bench = Bench()
    bench.target.fails = [errors.Refused(Reason.DENIED, "no right")]
    work = await bench.adopted()
    assert work.left == {"shop/billing": "no right"}
    assert work.taken == {"shop/orders": 2}
    assert not work.is_clean
    assert [one.subject.name for one in bench.source.pages.values()] == ["billing"]
    bench.source.fails = [errors.Refused(Reason.DENIED, "no right to list")]
    assert (await bench.adopted()).trouble == "no right to list"


async def test_a_record_that_isnt_stored_as_it_was_written_keeps_the_old_one() -> None:
    bench = Bench()
    bench.target.prunes = True
    work = await bench.adopted()
    assert all("apply the CRDs of this version" in why for why in work.left.values())
    assert len(bench.source.pages) == len(work.left) == 2


async def test_another_installations_records_are_left_alone_here_and_there() -> None:
    bench = Bench()
    foreign = spec("others", State.HELD, installation="cluster/third")
    bench.source.put(foreign)
    spoofed = spec("spoofed", State.HELD)
    bench.source.put(spoofed, name="shop.spoofed.0")
    taken = spec("orders", State.HELD, installation="cluster/third")
    name = name_of(NEW, taken.for_)
    bench.target.put(taken, name=name)
    bench.source.unread = ["home/odd"]
    work = await bench.adopted()
    assert sorted(work.others) == sorted([name_of("cluster/third", foreign.for_), "shop.spoofed.0"])
    assert work.left == {
        "shop/orders": f"LeaseRecord {name} is there already, and another installation's: delete it"
    }
    assert work.unreadable == ["home/odd"]
    assert bench.target.pages[name].spec == taken


async def test_a_record_with_more_leases_than_fit_waits_for_the_operator() -> None:
    bench = Bench()
    bench.source.pages.clear()
    bench.source.put(spec("orders", *[State.REVOKING] * 16))
    there = spec("orders", *[State.REVOKING] * 10, installation=NEW)
    more = tuple(one.but(attempt_id=f"more-{one.attempt_id}") for one in there.leases)
    bench.target.put(there.model_copy(update={"leases": more}))
    work = await bench.adopted()
    assert "more than 24 leases" in work.left["shop/orders"]
