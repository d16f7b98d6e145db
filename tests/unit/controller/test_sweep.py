"""Sweeps: a lease that nothing knows is reported, and put on record where that is wanted."""

import asyncio
import dataclasses
import functools

import pytest

from leaseholder import errors
from leaseholder.api import conditions
from leaseholder.api.conditions import Condition, ConditionType, Reason
from leaseholder.api.record import Holder
from leaseholder.controller import keys, providers, survey, sweep
from leaseholder.ports.namespaces import NamespaceView
from leaseholder.ports.provider import MOST_MARKED, Attempt, Capabilities, Marked, RevocationAnswer
from tests.unit.controller import fakes
from tests.unit.controller.world import (
    HERE,
    KEY,
    NAME,
    SHOP,
    World,
    away,
    cluster_away,
    infisical,
    manifest,
    shared,
)

REF = ("LeaseProvider", SHOP, "infisical")
CAN = dataclasses.replace(fakes.CAN, sweepable=True)
OLD = 120.0
"""Seconds after which an issue can't be under way any more."""


class Bench:
    """A world whose provider is swept, and a sweeper."""

    def __init__(self, say: str | None = "Revoke", can: Capabilities = CAN) -> None:
        self.world = World(can=can)
        self.world.cluster.put_provider(infisical(sweep=say))
        self.offered: list[keys.Key] = []
        self.sweeper = self.restarted()

    def restarted(self) -> sweep.Sweeper:
        """The sweeper of a process that has just started."""
        world = self.world
        world.crash()
        known = world.observer.records
        eyes = survey.Survey(world.cluster, known, world.supplies)
        parts = world.clock, world.meter, world.journal
        return sweep.Sweeper(world.cluster, known, eyes, *parts, self._offer)

    async def _offer(self, key: keys.Key) -> None:
        self.offered.append(key)

    async def lost(self, number: int = 1) -> list[str]:
        """Leases of the source that a lost history had issued; their ids."""
        attempt = self._attempt()
        ids = [self.world.provider.make(attempt).lease.id for _ in range(number)]
        self.world.clock.move(OLD)
        return ids

    def _attempt(self) -> Attempt:
        now = self.world.clock.wall()
        return Attempt(
            installation=HERE,
            attempt_id="f" * 32,
            source=self.world.dl.source,
            ttl_seconds=3600,
            started_at=now,
            deadline=now,
        )

    @property
    def condition(self) -> Condition | None:
        """The condition at the provider."""
        found = self.world.cluster.providers[REF].status.conditions
        return conditions.find(found, ConditionType.UNRECORDED_LEASES)


async def held(say: str | None = "Revoke", can: Capabilities = CAN) -> Bench:
    """A bench whose DynamicLease holds lease-1."""
    bench = Bench(say, can)
    await bench.world.settle()
    return bench


async def test_a_lease_of_a_lost_history_is_revoked_and_the_one_on_record_lives() -> None:
    bench = await held()
    (lost,) = await bench.lost()
    sweeper = bench.restarted()
    assert await sweeper.round() == {REF}
    assert bench.offered == [keys.Key(*KEY)]
    assert bench.world.records == [("Held", "lease-1"), ("Revoking", lost)]
    assert bench.world.cluster.recorded[1].revocation.reason == Reason.UNRECORDED
    await bench.world.settle()
    assert bench.world.records == [("Held", "lease-1")]
    assert [*bench.world.provider.live] == ["lease-1"]
    assert bench.world.secret == "lease-1"
    assert await sweeper.round() == frozenset()
    assert bench.condition is not None
    assert (bench.condition.status, bench.condition.reason) == ("False", "AllOnRecord")
    assert bench.world.meter.unrecorded == {REF: 0}


async def test_it_is_only_told_where_nobody_wants_it_revoked_and_told_once() -> None:
    bench = await held("Report")
    await bench.lost(2)
    for _ in range(3):
        assert await bench.sweeper.round() == frozenset()
    assert bench.world.records == [("Held", "lease-1")]
    assert bench.condition is not None
    assert bench.condition.message.startswith("2 leases of this installation are on no record")
    assert bench.world.meter.unrecorded == {REF: 2}
    told = [note for _, note in bench.world.cluster.notes if note.reason == Reason.UNRECORDED]
    assert [note.type for note in told] == ["Warning"]
    assert bench.world.journal.kinds.count("leases on no record") == 1


async def test_nobody_is_asked_where_no_sweep_is_wanted() -> None:
    bench = await held(None)
    await bench.lost()
    await bench.sweeper.round()
    assert bench.world.count("sweep") == 0
    (found,) = await bench.sweeper.survey.find(unasked=True)
    assert (found.name, [one.lease.id for one in found.lost]) == (
        "LeaseProvider shop/infisical",
        ["lease-2"],
    )
    assert not found.revokes


async def test_what_was_issued_while_the_provider_was_asked_is_on_record_by_then() -> None:
    bench = await held()
    await bench.lost()
    lost = bench.world.provider.live["lease-2"]
    bench.world.provider.after(
        "sweep",
        lambda: bench.world.rival(1, state="Held", leaseId=lost.id),
    )
    await bench.sweeper.round()
    assert ("Revoking", lost.id) not in bench.world.records


async def test_a_lease_that_a_secret_of_ours_names_is_reported_and_not_revoked() -> None:
    """It may be in use, where its record was lost; or somebody wrote that there, to hide it."""
    bench = await held()
    bench.world.others_write()
    bench.world.clock.move(OLD)
    assert await bench.restarted().round() == frozenset()
    assert bench.world.records == []
    assert bench.condition is not None
    assert bench.condition.message == (
        "1 lease of this installation is on no record: 1 that Secrets or other addresses name "
        "stay, any others are revoked"
    )


async def test_no_more_is_kept_of_who_names_a_source_than_who_they_are() -> None:
    """A DynamicLease may have 64 KiB, and a sweep looks at all there are."""
    bench = await held()
    bench.world.cluster.user_applies(manifest("other"))
    bench.world.cluster.user_applies(manifest("another", providerRef={"name": "nobody"}))
    (lost,) = await bench.lost()
    (swept,) = await bench.sweeper.survey.find()
    assert [one.lease.id for one in swept.lost] == [lost]
    assert {user.name for user in swept.lost[0].place.users} == {NAME, "other"}
    assert {type(user) for user in swept.lost[0].place.users} == {Holder}


@pytest.mark.parametrize("change", ["gone", "another source", "another provider", "unreadable"])
async def test_a_source_that_nobody_names_any_more_is_not_asked_about(change: str) -> None:
    bench = await held()
    cluster = bench.world.cluster

    def changed() -> None:
        if change == "gone":
            cluster.vanish(*KEY)
        elif change == "another source":
            elsewhere = {**bench.world.dl.source, "dynamicSecretName": "other"}
            cluster.user_applies(manifest(infisical=elsewhere))
        elif change == "another provider":
            cluster.user_applies(manifest(providerRef={"name": "other"}))
        else:
            raise errors.Unreadable(Reason.INVALID, "of no form that is known")

    cluster.before("get dynamiclease", changed)
    (swept,) = await bench.sweeper.survey.find()
    assert swept.lost == []
    assert bench.world.count("sweep") == 0


async def test_what_this_process_is_to_put_back_is_not_lost() -> None:
    bench = await held()
    bench.world.others_write()
    del bench.world.cluster.secrets[KEY], bench.world.cluster.values[KEY]
    await bench.world.observer.records.compare()
    bench.world.clock.move(OLD)
    (found,) = await bench.sweeper.survey.find()
    assert found.lost == []


async def test_an_orphaned_lease_is_not_lost_while_it_may_live() -> None:
    bench = Bench()
    bench.world.cluster.user_applies(manifest(deletion={"policy": "Orphan"}))
    await bench.world.settle()
    bench.world.cluster.user_deletes(*KEY)
    await bench.world.settle()
    bench.world.cluster.user_applies(manifest())
    await bench.world.settle(after=OLD)
    assert await bench.restarted().round() == frozenset()
    assert "lease-1" in bench.world.provider.live


async def test_a_record_that_cannot_be_read_may_hold_any_lease() -> None:
    bench = await held()
    await bench.lost()
    bench.world.cluster.unread["LeaseRecord"] = ("leaseholder/odd",)
    await bench.sweeper.round()
    assert bench.world.records == [("Held", "lease-1")]
    assert bench.condition is not None
    assert bench.condition.status == "Unknown"
    assert "a LeaseRecord can't be read, and any lease may be on it" in bench.condition.message


async def test_a_lease_that_may_be_under_way_is_left_alone() -> None:
    bench = await held()
    await bench.lost()
    bench.world.provider.live["lease-2"] = dataclasses.replace(
        bench.world.provider.live["lease-2"], issued_at=bench.world.provider.own_now()
    )
    await bench.sweeper.round()
    assert bench.world.records == [("Held", "lease-1")]


async def test_a_lease_whose_revocation_would_end_the_one_in_use_is_told_and_left() -> None:
    bench = await held()
    await bench.lost()
    bench.world.provider.can = dataclasses.replace(CAN, slots="One")
    await bench.sweeper.round()
    assert bench.world.records == [("Held", "lease-1")]
    assert bench.condition is not None
    assert "1 of a shared account stay" in bench.condition.message


async def test_a_server_that_lists_thousands_gets_few_on_record_and_issues_go_on() -> None:
    bench = await held()
    await bench.lost(3000)
    swept = await bench.sweeper.survey.find()
    assert len(swept[0].lost) == MOST_MARKED
    assert await bench.sweeper.put_on_record(swept[0].lost) == sweep.MOST_BESIDE - 1
    bench.world.provider.answers.extend([_refused()] * 5)
    await bench.world.settle()
    bench.world.cluster.user_applies(manifest(annotations={"leaseholder.dev/rotate": "1"}))
    await bench.world.settle()
    states = [state for state, _ in bench.world.records]
    assert states.count("Held") == 1
    assert bench.world.secret == "lease-3002", "the next lease was issued and delivered"


async def test_ids_and_tags_that_a_server_makes_up_end_nothing_elsewhere() -> None:
    bench = await held()
    (unknown,) = await bench.lost()
    world, other = bench.world, fakes.FakeProvider(bench.world.trace, bench.world.clock, CAN)
    mine = world.dl.source
    other.live, other.tags = dict(world.provider.live), dict(world.provider.tags)
    world.build = lambda: other
    known = infisical("evil", "evil-uid", sweep="Revoke")
    spec = known.spec.model_copy(
        update={
            "infisical": known.spec.infisical.model_copy(update={"url": "https://evil.example"})
        }
    )
    meta = known.metadata.model_copy(update={"namespace": "evil"})
    world.cluster.put_provider(known.model_copy(update={"spec": spec, "metadata": meta}))
    applied = manifest("evil", providerRef={"name": "evil"})
    applied["metadata"]["namespace"] = "evil"
    world.cluster.user_applies(applied)
    world.cluster.put_provider(infisical(sweep=None))
    assert world.dl.source == mine

    assert await bench.sweeper.round() == {("LeaseProvider", "evil", "evil")}
    pages = {page.subject.namespace: page.leases for page in world.cluster.ledger.values()}
    assert [one.lease_id for one in pages[SHOP]] == ["lease-1"], "nothing is on the victim's"
    (entry,) = pages["evil"]
    assert (entry.lease_id, entry.provider.address) == (unknown, "https://evil.example")
    assert entry.attempt_id not in {attempt for _, attempt in world.provider.tags.values()}
    world.holder = world.cluster.leases["evil", "evil"].holder
    await world.settle()
    assert unknown not in other.live
    assert {*world.provider.live} == {"lease-1", unknown}, "the victim's server wasn't asked"


def _refused() -> RevocationAnswer:
    return RevocationAnswer(done=False, reason=Reason.FAILED_TO_DELETE, sentence="it failed")


async def test_leases_of_one_source_are_spread_over_those_who_name_it() -> None:
    bench = await held()
    bench.world.cluster.user_applies(manifest(name="other"))
    lost = await bench.lost(5)
    swept = await bench.sweeper.survey.find()
    assert await bench.sweeper.put_on_record(swept[0].lost) == 4
    pages = {page.subject.name: len(page.leases) for page in bench.world.cluster.ledger.values()}
    assert pages == {NAME: 3, "other": 2}
    assert len(lost) == 5


async def test_a_conflict_is_judged_again_and_a_full_or_refused_record_gets_nothing() -> None:
    bench = await held()
    await bench.lost()
    conflict = errors.Conflict(Reason.CONFLICT, "written meanwhile")
    bench.world.cluster.before("patch record", conflict)
    await bench.sweeper.round()
    assert bench.world.records == [("Held", "lease-1"), ("Revoking", "lease-2")]
    again = await held()
    await again.lost()
    again.world.cluster.before("patch record", *[conflict] * 6)
    await again.sweeper.round()
    assert again.world.records == [("Held", "lease-1")]
    refused = errors.Refused(Reason.TOO_MANY, "no room")
    again.world.cluster.before("patch record", *[refused] * 2)
    await again.sweeper.round()
    assert again.world.records == [("Held", "lease-1")]
    for number in (1, 2):
        again.world.cluster.before(
            "patch record", functools.partial(_by_another, again.world, number)
        )
    await again.sweeper.round()
    assert ("Revoking", "lease-2") not in again.world.records, "another process filled it"


def _by_another(world: World, number: int) -> None:
    world.rival(number, state="Held", leaseId=f"theirs-{number}")


@pytest.mark.parametrize("terminating", [True, False])
async def test_nothing_is_put_on_record_for_a_namespace_that_goes(terminating: bool) -> None:
    bench = await held()
    await bench.lost()
    going = NamespaceView(name=SHOP, labels={}, terminating=True, uid=SHOP)
    bench.world.cluster.namespaces[SHOP] = going if terminating else None
    assert await bench.sweeper.round() == {REF}, "it is tried again"
    assert bench.world.records == [("Held", "lease-1")]


async def test_nothing_is_put_on_record_for_a_dynamiclease_that_goes() -> None:
    bench = await held()
    await bench.lost()
    bench.world.cluster.user_deletes(*KEY)
    assert await bench.sweeper.round() == frozenset()
    assert bench.world.count("sweep") == 0


async def test_one_providers_failure_is_told_there_and_keeps_nobody_else_from_being_swept() -> None:
    bench = await held("Report")
    bench.world.cluster.put_provider(infisical("other", "other-uid", sweep="Report"))
    bench.world.cluster.user_applies(manifest(name="other", providerRef={"name": "other"}))
    await bench.lost()
    bench.world.provider.before("sweep", away(), None)
    await bench.sweeper.round()
    told = {
        name: conditions.find(known.status.conditions, ConditionType.UNRECORDED_LEASES)
        for (_, _, name), known in bench.world.cluster.providers.items()
    }
    reasons = {one.reason for one in told.values() if one is not None}
    assert Reason.UNAVAILABLE in reasons
    assert len(reasons) == 2


@pytest.mark.parametrize(
    ("met", "status"),
    [
        (errors.Invalid(Reason.SOURCE_MISSING, "there is no such secret"), "False"),
        (errors.Denied(Reason.DENIED, "no right to it"), "Unknown"),
    ],
)
async def test_a_source_that_cannot_be_listed_keeps_no_other_from_being_asked_about(
    met: errors.ProviderError, status: str
) -> None:
    bench = await held("Report")
    source = {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "other"}
    bench.world.cluster.user_applies(manifest("other", infisical=source))
    bench.world.provider.before("sweep", met)
    await bench.sweeper.round()
    assert bench.world.count("sweep") == 2
    assert bench.condition is not None
    assert bench.condition.status == status


async def test_a_list_that_is_to_be_asked_for_later_is_asked_for_again_but_not_for_ever() -> None:
    bench = await held("Report")
    (lost,) = await bench.lost()
    later = errors.Unavailable(Reason.UNAVAILABLE, "later", sent=False, retry_after=0.001)
    bench.world.provider.before("sweep", later, later)
    (swept,) = await bench.sweeper.survey.find()
    assert [one.lease.id for one in swept.lost] == [lost]
    bench.world.provider.before("sweep", later, later, later)
    (swept,) = await bench.sweeper.survey.find()
    assert swept.failure is later


@pytest.mark.parametrize(
    ("met", "reason"),
    [(TimeoutError(), Reason.UNAVAILABLE), (RuntimeError("odd"), Reason.INTERNAL)],
)
async def test_whatever_a_provider_does_ends_no_round(met: Exception, reason: Reason) -> None:
    bench = await held("Report")
    bench.world.provider.before("sweep", met)
    await bench.sweeper.round()
    assert bench.condition is not None
    assert (bench.condition.status, bench.condition.reason) == ("Unknown", reason)
    assert bench.world.meter.unrecorded == {}


async def test_a_provider_object_that_cannot_be_read_keeps_no_other_from_being_swept() -> None:
    bench = await held()
    bench.world.cluster.put_provider(infisical("other", "other-uid", sweep="Revoke"))
    bench.world.cluster.user_applies(manifest(name="other", providerRef={"name": "other"}))
    unreadable = errors.Unreadable(Reason.INVALID, "of no form that is known")
    bench.world.cluster.before("get provider", unreadable)
    assert len(await bench.sweeper.survey.find()) == 1


async def test_a_status_that_cannot_be_written_keeps_no_other_from_being_put_on_record() -> None:
    bench = await held()
    bench.world.cluster.put_provider(infisical("another", "another-uid", sweep="Report"))
    bench.world.cluster.user_applies(manifest(name="another", providerRef={"name": "another"}))
    await bench.lost()
    full = errors.Refused(Reason.INVALID, "conditions: too many")
    bench.world.cluster.before("patch provider", full)
    assert await bench.sweeper.round() == {REF}
    assert ("Revoking", "lease-2") in bench.world.records


async def test_a_shared_account_is_known_by_any_source_that_names_it_and_counted_once() -> None:
    bench = await held()
    (lost,) = await bench.lost()
    provider, own = bench.world.provider, bench.world.dl.source
    bench.world.cluster.user_applies(manifest("alias", infisical={**own, "config": {"a": "b"}}))

    async def sweep_(*asked: object) -> list[Marked]:
        notes = {"slots": "One"} if asked[1] == own else {}
        return [Marked(dataclasses.replace(provider.live[lost], handle=notes), "f" * 32)]

    provider.sweep = sweep_  # type: ignore[method-assign,assignment]
    provider.capabilities = lambda handle: (  # type: ignore[method-assign]
        dataclasses.replace(CAN, slots=handle.get("slots", "Many"))
    )
    (swept,) = await bench.sweeper.survey.find()
    assert [(one.lease.id, one.shared) for one in swept.lost] == [(lost, True)]
    assert await bench.sweeper.round() == frozenset()
    assert bench.world.records == [("Held", "lease-1")]


async def test_a_round_fails_where_the_api_server_is_away() -> None:
    bench = await held()
    bench.world.cluster.before("get provider", cluster_away())
    bench.world.supplies.invalidate(REF)
    with pytest.raises(errors.ClusterUnavailable):
        await bench.sweeper.round()


async def test_where_leases_cannot_be_told_from_others_the_provider_says_so() -> None:
    bench = await held("Report", fakes.CAN)
    await bench.sweeper.round()
    assert bench.condition is not None
    assert (bench.condition.status, bench.condition.reason) == ("Unknown", "NotSweepable")
    assert bench.world.count("sweep") == 0


async def test_a_dynamiclease_that_may_not_use_the_provider_names_no_source_there() -> None:
    bench = await held("Report")
    secret = shared()
    spec = secret.spec.model_copy(update={"sweep": "Report"})
    bench.world.cluster.put_provider(secret.model_copy(update={"spec": spec}))
    ref = {"kind": "ClusterLeaseProvider", "name": "shared"}
    bench.world.cluster.user_applies(manifest(name="guest", providerRef=ref))
    bench.world.cluster.user_applies(manifest(name="nobodys", providerRef={"name": "none"}))
    swept = await bench.sweeper.survey.find()
    assert [one.name for one in swept] == [
        "ClusterLeaseProvider shared",
        "LeaseProvider shop/infisical",
    ]
    assert bench.world.count("sweep") == 1


async def test_a_namespace_has_only_so_many_of_its_providers_asked_in_a_round() -> None:
    bench = await held("Report")
    for number in range(survey.MOST_OF_NAMESPACE + 5):
        name = f"p-{number}"
        bench.world.cluster.put_provider(infisical(name, f"uid-{number}", sweep="Report"))
        bench.world.cluster.user_applies(manifest(name=name, providerRef={"name": name}))
    assert len(await bench.sweeper.survey.find()) == survey.MOST_OF_NAMESPACE


async def test_a_provider_has_only_so_many_sources_asked_about_in_a_round() -> None:
    bench = Bench("Report")
    for number in range(survey.MOST_SOURCES + 5):
        source = {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": f"d-{number}"}
        bench.world.cluster.user_applies(manifest(name=f"n-{number}", infisical=source))
    await bench.sweeper.round()
    assert bench.world.count("sweep") == survey.MOST_SOURCES


async def test_what_is_told_goes_when_the_provider_is_not_swept_any_more() -> None:
    bench = await held("Report")
    await bench.sweeper.round()
    bench.world.cluster.put_provider(infisical(sweep=None))
    await bench.sweeper.round()
    assert bench.world.meter.unrecorded == {REF: None}


async def test_a_status_that_was_written_meanwhile_is_read_again() -> None:
    bench = await held("Report")
    conflict = errors.Conflict(Reason.CONFLICT, "written meanwhile")
    bench.world.cluster.before("patch provider", conflict)
    await bench.sweeper.round()
    assert bench.condition is not None
    fresh = await held("Report")
    fresh.world.cluster.before("patch provider", *[conflict] * 3)
    await fresh.sweeper.round()
    assert fresh.condition is None


@pytest.mark.parametrize("again", [True, False])
async def test_a_provider_that_went_or_was_made_again_is_told_nothing(again: bool) -> None:
    bench = await held("Report")

    def goes() -> None:
        del bench.world.cluster.providers[REF]
        if again:
            bench.world.cluster.put_provider(infisical(uid="another"))

    bench.world.provider.after("sweep", goes)
    await bench.sweeper.round()
    assert bench.world.count("patch provider") == 0


async def test_leases_of_an_account_are_left_while_an_attempt_there_is_open() -> None:
    bench = await held(can=dataclasses.replace(CAN, found_by="OwnerAndTime"))
    await bench.lost()
    bench.world.rival(1)
    await bench.sweeper.round()
    assert ("Revoking", "lease-2") not in bench.world.records


async def test_sweeps_begin_after_the_comparison_and_go_on_whatever_they_meet() -> None:
    bench = await held()
    compared = asyncio.Event()
    await bench.lost()
    bench.world.cluster.before("list dynamicleases", cluster_away())
    async with asyncio.timeout(60):
        running = asyncio.create_task(bench.sweeper.run(compared, 0.001))
        await asyncio.sleep(0.01)
        assert bench.world.count("list dynamicleases") == 0
        compared.set()
        while not bench.offered:
            bench.world.clock.move(sweep.AGAIN)
            await asyncio.sleep(0.001)
        bench.world.provider.can = fakes.CAN
        while bench.condition is None or bench.condition.reason != Reason.NOT_SWEEPABLE:
            bench.world.clock.move(1)
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_provider_is_swept_once_more_soon_after_leases_were_put_on_record() -> None:
    bench = await held()
    await bench.lost(3)
    compared = asyncio.Event()
    compared.set()
    bench.sweeper.first, bench.sweeper.again = 0.0, 0.001
    async with asyncio.timeout(60):
        running = asyncio.create_task(bench.sweeper.run(compared, 3600.0))
        while bench.condition is None or bench.condition.status != "False":
            await bench.world.settle()
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert len(bench.offered) == 3


async def test_what_a_sweep_told_stays_while_the_provider_is_looked_at() -> None:
    bench = await held("Report")
    await bench.sweeper.round()
    parts = bench.world.cluster, bench.world.clock, bench.world.supplies, bench.world.controller
    watch = providers.ProviderWatch(*parts, bench.world.journal)
    await watch._ask(REF)
    assert bench.condition is not None
    known = bench.world.cluster.providers[REF]
    plain = known.model_copy(update={"spec": infisical().spec})
    bench.world.cluster.put_provider(plain)
    await watch._ask(REF)
    assert bench.condition is None


async def test_a_lease_that_was_found_stands_in_its_place_by_age() -> None:
    bench = Bench()
    await bench.lost()
    await bench.world.settle()
    await bench.sweeper.round()
    assert [state for state, _ in bench.world.records] == ["Revoking", "Held"]
    await bench.world.settle()
    assert [state for state, _ in bench.world.records] == ["Held"]
