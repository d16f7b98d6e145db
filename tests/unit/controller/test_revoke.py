"""Revoke: a lease is off the ledger when the provider says so and a look agrees, not before."""

import dataclasses
from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api import base, names, provider
from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord, RecordSpec, Revocation, State
from leaseholder.core import actions, contents, marks
from leaseholder.ports.namespaces import NamespaceView
from leaseholder.ports.provider import Attempt, RevocationAnswer
from tests.unit.controller import fakes
from tests.unit.controller.world import (
    AUTH,
    HERE,
    KEY,
    NAME,
    SHOP,
    World,
    away,
    cluster_away,
    denied,
    manifest,
)


async def deleted() -> World:
    """A world whose delivered lease is to be revoked because its DynamicLease goes."""
    world = World()
    await world.settle()
    world.cluster.user_deletes(*KEY)
    return world


def pending(world: World) -> Revocation:
    known = world.recorded
    assert known.revoke is not None
    return known.revoke


async def test_the_secret_goes_first_and_the_record_when_a_look_confirms_the_revocation() -> None:
    world = await deleted()
    world.trace.calls.clear()
    assert await world.settle() == actions.Release()
    told = ("delete secret", "patch record", "revoke", "inspect", "patch record", "get record")
    assert [call for call in world.trace.calls if call in told] == [*told]
    assert (world.records, world.provider.live) == ([], {})
    assert world.meter.revocations == ["ok"]
    assert world.cluster.notes[-1][1].reason == Reason.REVOKED


async def test_a_lease_that_still_shows_is_looked_at_again_before_its_record_goes() -> None:
    world = await deleted()
    kept = world.provider.live["lease-1"]
    world.provider.after("revoke", lambda: world.provider.live.update({kept.id: kept}))
    await world.settle()
    assert pending(world).last_reason == Reason.NOT_CONFIRMED
    assert pending(world).answered_at is not None
    world.provider.live.clear()
    assert await world.settle(after=10) == actions.Release()
    assert world.count("revoke") == 1


async def test_a_lease_that_is_gone_before_its_revocation_is_believed_when_said_twice() -> None:
    world = await deleted()
    world.provider.live.clear()
    world.clock.move(120)
    assert await world.settle() != actions.Release()
    assert pending(world).answered_at is not None
    assert await world.settle(after=6) == actions.Release()


async def test_a_young_lease_that_a_stale_replica_does_not_show_is_revoked_later() -> None:
    world = await deleted()
    world.provider.before("revoke", errors.LeaseGone(Reason.GONE, "no such lease"))
    await world.settle()
    assert pending(world).answered_at is None
    assert await world.settle(after=61) == actions.Release()
    assert world.provider.live == {}


async def test_a_revocation_that_did_not_succeed_is_on_record_and_waits_longer_each_time() -> None:
    world = await deleted()
    waits = []
    for attempts in (1, 2, 3):
        no = RevocationAnswer(done=False, reason=Reason.FAILED_TO_DELETE, sentence="it failed")
        world.provider.answers.append(no)
        await world.settle()
        assert (pending(world).attempts, pending(world).last_reason) == (attempts, "FailedToDelete")
        next_at = pending(world).next_at
        assert next_at is not None
        waits.append((next_at - world.provider.now()).total_seconds())
        before = world.count("revoke")
        await world.settle()
        assert world.count("revoke") == before
        world.clock.move(waits[-1])
    assert waits[0] < waits[1] < waits[2]
    assert world.meter.revocations == ["refused"] * 3
    assert await world.settle() == actions.Release()


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (away(), Reason.UNAVAILABLE),
        (denied(), Reason.LOGIN_REFUSED),
        (denied(Reason.AUTH_MISSING), Reason.AUTH_GONE),
    ],
)
async def test_a_provider_that_does_not_answer_keeps_the_pending_revocation(
    failure: errors.ProviderError, reason: Reason
) -> None:
    world = await deleted()
    world.provider.before("revoke", failure)
    assert await world.settle() != actions.Release()
    assert (pending(world).attempts, pending(world).last_reason) == (1, reason)
    assert await world.settle(after=5) == actions.Release()


@pytest.mark.parametrize(
    ("failure", "at_once"),
    [
        (denied(Reason.AUTH_MISSING), True),
        (denied(Reason.LOGIN_REFUSED), True),
        (denied(Reason.DENIED), False),
        (away(), False),
    ],
)
async def test_a_login_that_failed_is_tried_as_soon_as_something_changes(
    failure: errors.ProviderError, at_once: bool
) -> None:
    world = await deleted()
    world.provider.before("revoke", failure, failure)
    await world.settle()
    world.memory.poked = True
    await world.settle()
    assert pending(world).attempts == (2 if at_once else 1), "once for each change"
    world.memory.poked = True
    assert (await world.settle() == actions.Release()) is at_once


async def test_a_pending_revocation_outlives_its_dynamiclease() -> None:
    world = await deleted()
    world.provider.before("revoke", away())
    await world.settle()
    world.cluster.vanish(*KEY)
    await world.settle(after=5)
    assert (world.records, world.provider.live) == ([], {})


async def test_the_finalizer_goes_when_the_time_is_over_and_the_pending_revocation_stays() -> None:
    world = await deleted()
    world.provider.before("revoke", *[away()] * 9)
    await world.settle()
    last = await world.settle(after=901)
    assert isinstance(last, actions.Release)
    assert last.note is not None
    assert world.records == [("Revoking", "lease-1")]


async def test_restarts_do_not_begin_the_time_of_a_deletion_anew() -> None:
    world = await deleted()
    world.provider.before("revoke", *[away()] * 60)
    began = world.clock.monotonic()
    for _ in range(20):  # each of a minute, of the 15 that it waits at most
        await world.settle(after=60)
        if KEY not in world.cluster.leases:
            break
        world.crash()
    assert KEY not in world.cluster.leases
    assert world.clock.monotonic() - began == pytest.approx(900, abs=60)
    assert world.records == [("Revoking", "lease-1")]


@pytest.mark.parametrize("timeout", ["15m", "0s"])
async def test_a_deletion_whose_time_was_over_before_it_was_seen_revokes_all_the_same(
    timeout: str,
) -> None:
    world = World()
    world.cluster.user_applies(manifest(deletion={"timeout": timeout}))
    await world.settle()
    world.cluster.user_deletes(*KEY)
    world.clock.move(1800 if timeout == "15m" else 0)
    world.crash()
    await world.settle()
    assert (world.records, world.provider.live, world.secret) == ([], {}, None)
    assert KEY not in world.cluster.leases
    assert "DeletionTimedOut" not in [note.reason for _, note in world.cluster.notes]


async def test_a_secret_at_whose_deletion_the_api_server_always_fails_wedges_nothing() -> None:
    world = await deleted()
    world.cluster.before("delete secret", *[cluster_away()] * 9)  # a webhook of others is down
    for _ in range(3):
        with pytest.raises(errors.ClusterUnavailable):
            await world.settle()
    assert isinstance(await world.settle(after=900), actions.Release)
    assert KEY not in world.cluster.leases
    assert world.records == [("Held", "lease-1")]


async def test_who_may_not_read_secrets_any_more_wedges_nothing() -> None:
    world = await deleted()
    no_right = errors.Refused(Reason.DENIED, "the operator has no right to get secrets")
    world.cluster.before("get secret", *[no_right] * 9)  # the namespace's RoleBinding went first
    with pytest.raises(errors.Refused):
        await world.settle(after=890)
    assert isinstance(await world.settle(after=10), actions.Release)
    assert KEY not in world.cluster.leases
    assert world.records == [("Held", "lease-1")]


async def test_an_outage_while_a_secret_is_deleted_is_no_refusal() -> None:
    world = await deleted()
    world.cluster.before("delete secret", cluster_away())
    with pytest.raises(errors.ClusterUnavailable):
        await world.settle()
    await world.settle(after=900)
    assert (world.records, world.provider.live, world.secret) == ([], {}, None)


async def test_without_a_date_of_the_api_server_a_deletion_is_measured_from_its_first_sight() -> (
    None
):
    world = await deleted()
    world.cluster.tells_time = False
    world.provider.before("revoke", *[away()] * 60)
    await world.settle(after=2000)
    await world.settle(after=890)
    assert KEY in world.cluster.leases
    await world.settle(after=20)
    assert KEY not in world.cluster.leases


async def test_a_terminating_namespace_is_not_held_up() -> None:
    world = await deleted()
    view = NamespaceView(name=SHOP, labels={}, terminating=True, uid=SHOP)
    world.cluster.namespaces[SHOP] = view
    world.provider.before("revoke", away())
    assert isinstance(await world.settle(after=5), actions.Release)
    assert world.records == [("Revoking", "lease-1")]


async def test_a_force_command_is_passed_on_once() -> None:
    world = await deleted()
    world.provider.before("revoke", away())
    await world.settle()
    manifested = manifest(annotations={names.FORCE: "1"})
    known = world.dl.metadata.deletion_timestamp
    changed = world.cluster.user_applies(manifested)
    meta = changed.metadata.model_copy(update={"deletion_timestamp": known})
    world.cluster.leases[KEY] = changed.model_copy(update={"metadata": meta})
    assert await world.settle() == actions.Release()
    assert world.provider.forced == ["lease-1"]


async def undelivered(**secret: Any) -> tuple[World, actions.Revoke]:
    """A held lease that another process issued and never delivered, about to be revoked."""
    world = World()
    await world.settle()
    world.crash()
    issued = world.provider.make(
        Attempt(
            installation="i",
            attempt_id="rival-2",
            source={},
            ttl_seconds=3600,
            started_at=world.provider.now(),
            deadline=world.provider.now(),
        )
    )
    ends = issued.lease.expires_at
    world.rival(2, state="Held", leaseId="lease-2", issuedAt=ends, expiresAt=ends)
    _, step = await world.upto(actions.Revoke)
    return world, step


async def test_an_undelivered_lease_is_fenced_before_it_is_revoked() -> None:
    world, step = await undelivered()
    assert step.fence is not None
    before = world.cluster.secrets[KEY].resource_version
    await world.settle()
    assert world.cluster.secrets[KEY].resource_version != before
    assert [*world.provider.live] == ["lease-1"]
    assert world.secret == "lease-1"


@pytest.mark.parametrize("labelled", [True, False])
async def test_a_lease_that_was_delivered_after_all_is_not_revoked(labelled: bool) -> None:
    world, step = await undelivered()
    view, _ = await world.look()

    def late() -> None:
        known = world.cluster.secrets[KEY]
        values = {"DB_USERNAME": "lease-2", "DB_PASSWORD": "x"}
        filling = contents.filled(world.dl, step.record, values)
        notes = marks.annotations(world.dl, step.record, filling.contents)
        labels = known.labels if labelled else {}
        world.cluster.user_writes_secret(
            SHOP, NAME, labels=labels, annotations=notes, values=values
        )

    world.cluster.after("touch secret", late)
    await world.performer.perform(view, step)
    assert "lease-2" in world.provider.live
    await world.settle()
    assert ("Held", "lease-2") in world.records


async def test_a_secret_that_went_meanwhile_does_not_keep_a_lease_alive() -> None:
    world, step = await undelivered()
    view, _ = await world.look()
    world.cluster.after("touch secret", world.cluster.secrets.clear)
    await world.performer.perform(view, step)
    assert "lease-2" not in world.provider.live


async def test_a_late_delivery_that_meets_the_fence_conflicts() -> None:
    world, step = await undelivered()
    view, _ = await world.look()
    assert step.fence is not None
    world.cluster.user_writes_secret(SHOP, NAME)
    with pytest.raises(errors.Conflict):
        await world.performer.perform(view, step)
    assert "lease-2" in world.provider.live


async def test_one_slot_is_vacated_before_the_next_issue() -> None:
    world = World(can=dataclasses.replace(fakes.CAN, slots="One"))
    await world.settle()
    world.cluster.user_applies(manifest(annotations={names.ROTATE: "1"}))
    await world.settle()
    calls = world.trace.calls
    last = len(calls) - 1 - calls[::-1].index("issue")
    gone = calls.index("patch record", calls.index("revoke"))
    assert calls.index("revoke") < gone < last
    assert (world.records, world.secret) == ([("Held", "lease-2")], "lease-2")


async def test_a_record_of_another_installation_is_left_alone() -> None:
    world = World()
    world.rival(1, state="Revoking", leaseId="theirs")
    (known,) = world.cluster.ledger.values()
    theirs = known.spec.model_copy(update={"installation": "another"})
    world.cluster.ledger.clear()
    await world.cluster.create_record(theirs)
    await world.settle()
    await world.observer.records.compare()
    await world.settle()
    assert world.count("revoke") == 0
    assert world.records == [("Revoking", "theirs"), ("Held", "lease-1")]
    assert world.secret == "lease-1"


# ------------------------------------------------------------------- found by owner and time


BY_TIME = dataclasses.replace(fakes.CAN, found_by="OwnerAndTime", settle=20, replica_lag=10)


async def unclear() -> World:
    """A world in which an issue's answer was lost, at a provider that keeps no tag."""
    world = World(can=BY_TIME)
    view, step = await world.upto(actions.Acquire)
    world.provider.after("issue", away(sent=True))
    await world.performer.perform(view, step)
    await world.settle()
    await world.settle(after=5)
    return world


async def neighbour(world: World, **fields: Any) -> LeaseRecord:
    """The record of another DynamicLease, with a lease of the same account."""
    (attempt,) = (one for one in world.cluster.recorded if not one.lease_id)
    theirs = attempt.but(attempt_id="theirs", holder_uid="other-uid", revoke=None, **fields)
    subject = world.subject.model_copy(update={"name": "other"})
    spec = RecordSpec(for_=subject, installation=HERE, leases=(theirs,))
    return await world.cluster.create_record(spec)


async def test_a_lease_that_nothing_explains_is_the_attempts_and_taken_back() -> None:
    world = await unclear()
    await world.settle(after=50)
    assert [*world.provider.live] == ["lease-2"]
    assert world.records == [("Held", "lease-2")]


async def test_leases_on_record_or_in_a_secret_are_never_taken_for_the_attempts() -> None:
    world = await unclear()
    for kept in ("on-record", "in-a-secret"):
        world.provider.live[kept] = dataclasses.replace(world.provider.live["lease-1"], id=kept)
    await neighbour(world, state=State.HELD, lease_id="on-record")
    shown = world.cluster.secrets[KEY]
    marked = {**shown.annotations, names.LEASE_ID: "in-a-secret"}
    world.cluster.secrets[SHOP, "other"] = dataclasses.replace(
        shown, name="other", uid="other", annotations=marked, labels={names.OWNER_UID: "other-uid"}
    )
    await world.settle(after=50)
    assert {*world.provider.live} == {"lease-2", "on-record", "in-a-secret"}


@pytest.mark.parametrize("by", ["a Secret", "another server"])
async def test_a_search_goes_on_while_somebody_says_that_the_lease_is_anothers(by: str) -> None:
    """Who sees its id writes it on a Secret, or has a server give it out."""
    world = await unclear()
    posted = None
    if by == "a Secret":
        shown = world.cluster.secrets[KEY]
        marked = {**shown.annotations, names.LEASE_ID: "lease-1"}
        forged = dataclasses.replace(shown, name="forged", uid="forged", annotations=marked)
        world.cluster.secrets[SHOP, "forged"] = forged
    else:
        (attempt,) = (one for one in world.cluster.recorded if not one.lease_id)
        at = attempt.provider.model_copy(update={"address": "https://evil.example"})
        posted = await neighbour(world, state=State.HELD, lease_id="lease-1", provider=at)
    for _ in range(5):
        await world.settle(after=50)
    assert [*world.provider.live] == ["lease-1", "lease-2"]
    assert world.records[0] == ("Revoking", "")
    if posted is None:
        del world.cluster.secrets[SHOP, "forged"]
    else:
        world.cluster.user_takes_record(posted.name)
    await world.settle(after=11)
    assert [*world.provider.live] == ["lease-2"]


async def test_a_search_waits_while_another_attempt_is_open_at_that_provider() -> None:
    world = await unclear()
    posted = await neighbour(world, state=State.ATTEMPT)
    await world.settle(after=50)
    assert "lease-1" in world.provider.live
    world.cluster.user_takes_record(posted.name)
    await world.settle(after=11)
    assert [*world.provider.live] == ["lease-2"]


def last_resort(
    world: World, *, url: str = "https://infisical.example", **spec: Any
) -> fakes.FakeProvider:
    """A ClusterLeaseProvider that revokes for others: it shows the same leases to its own login."""
    at = {"infisical": {"url": url, "auth": AUTH}, "revocationAuth": "AllAtUrl", **spec}
    known = provider.ClusterLeaseProvider(
        metadata=base.ObjectMeta(name="revoker", uid="revoker-uid", generation=1),
        spec=provider.ClusterLeaseProviderSpec.model_validate(at),
    )
    world.cluster.put_provider(known)
    world.supplies.note_revoker("revoker", known)
    other = fakes.FakeProvider(world.trace, world.clock)
    other.live, other.tags = world.provider.live, world.provider.tags
    world.build = lambda: other
    return other


async def test_a_lease_whose_login_is_gone_is_revoked_by_a_provider_that_is_told_to() -> None:
    world = await deleted()
    last_resort(world)
    world.provider.down = denied(Reason.AUTH_MISSING)
    assert await world.settle() == actions.Release()
    assert (world.records, world.provider.live) == ([], {})
    access, _ = world.built[-1]
    assert (access.of.name, access.spec.ca_bundle) == ("revoker", None)


async def test_an_unclear_attempt_whose_login_is_gone_is_searched_for_by_it_too() -> None:
    world = World()
    world.provider.after("issue", away(sent=True))
    await world.settle()
    world.cluster.user_deletes(*KEY)
    last_resort(world)
    world.provider.down = denied(Reason.AUTH_GONE)
    for _ in range(4):
        await world.settle(after=120)
    assert (world.records, world.provider.live) == ([], {})


@pytest.mark.parametrize(
    ("met", "spec"),
    [
        (Reason.LOGIN_REFUSED, {}),
        (Reason.DENIED, {}),
        (Reason.AUTH_GONE, {"url": "https://elsewhere.example"}),
        (Reason.AUTH_GONE, {"revocationAuth": "OwnLeases"}),
    ],
)
async def test_the_last_resort_is_asked_for_a_login_that_is_gone_and_at_its_own_url_only(
    met: Reason, spec: dict[str, Any]
) -> None:
    world = await deleted()
    other = last_resort(world, **spec)
    world.provider.down = denied(met)
    await world.settle()
    assert world.provider.live
    assert other not in [made for _, made in world.built]
    assert pending(world).last_reason == met


async def test_a_lease_that_the_last_resort_does_not_see_is_kept_while_it_may_live() -> None:
    world = await deleted()
    last_resort(world).live = {}  # another organization's project of that name
    world.provider.down = denied(Reason.AUTH_GONE)
    for _ in range(4):
        await world.settle(after=120)
    assert pending(world).last_reason == Reason.AUTH_GONE
    assert world.provider.live
    for _ in range(3):
        await world.settle(after=3700)
    assert world.records == [], "it is over by itself"


async def test_an_attempt_that_the_last_resort_does_not_find_is_kept_while_it_may_live() -> None:
    world = World()
    world.provider.after("issue", away(sent=True))
    await world.settle()
    world.cluster.user_deletes(*KEY)
    last_resort(world).live = {}
    world.provider.down = denied(Reason.AUTH_GONE)
    for _ in range(6):
        await world.settle(after=120)
    assert [state for state, _ in world.records] == ["Revoking"]
    for _ in range(4):
        await world.settle(after=3700)
    assert world.records == []


async def test_the_last_resorts_own_failure_keeps_the_pending_revocation() -> None:
    world = await deleted()
    last_resort(world).down = denied()
    world.provider.down = denied(Reason.AUTH_GONE)
    await world.settle()
    assert pending(world).last_reason == Reason.LOGIN_REFUSED


async def test_a_clusterleaseprovider_that_cannot_be_read_keeps_no_other_from_revoking() -> None:
    world = await deleted()
    last_resort(world)
    world.supplies._revokers.add("an-older")
    world.provider.down = denied(Reason.AUTH_GONE)
    unreadable = errors.Unreadable(Reason.INVALID, "of no form that is known")
    world.cluster.before("get provider", unreadable)
    await world.settle()
    assert world.provider.live == {}


async def test_a_provider_that_is_told_no_more_revokes_for_nobody() -> None:
    world = await deleted()
    last_resort(world)
    del world.cluster.providers["ClusterLeaseProvider", "", "revoker"]
    world.provider.down = denied(Reason.AUTH_GONE)
    await world.settle()
    assert pending(world).last_reason == Reason.AUTH_GONE
    world.supplies.note_revoker("revoker", None)
    calls = world.count("get provider")
    await world.settle(after=600)
    assert world.count("get provider") - calls <= 1, "its name isn't asked for any more"
