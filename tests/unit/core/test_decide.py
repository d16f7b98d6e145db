"""Rules that hold for every view, whatever is in it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaseholder.api import conditions, names
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.lease import DynamicLease, DynamicLeaseStatus, Handled, RestartTarget, Retry
from leaseholder.api.record import RecordedLease, Revocation, State
from leaseholder.core import actions, handover, obstacles, plan, revocations, rollout, status
from leaseholder.core.memory import Failure, LeaseMemory, Memory, RefusedRestart
from leaseholder.core.observation import Restarted, TargetView
from leaseholder.core.view import View
from leaseholder.ports.provider import Capabilities
from leaseholder.ports.secrets import SecretView
from leaseholder.ports.workloads import Workload
from leaseholder.secrecy import Credentials
from tests.unit.core import views
from tests.unit.core.views import decide

pytestmark = pytest.mark.no_cover
"""Tracing takes longer than deciding, and each rule has tests of its own that cover it."""

MOMENTS = st.integers(-7200, 7200).map(views.at)
STAMP = rollout.stamp_key(views.lease())
NONCES = st.sampled_from(["", "a", "b", "x" * 2000])
FLAGS = st.booleans()
WHY = st.sampled_from(
    [Reason.SUPERSEDED, Reason.UNDELIVERED, Reason.UNCLEAR, Reason.GONE, Reason.ROTATING]
)
CAPABILITIES = st.builds(
    Capabilities,
    renewable=FLAGS,
    revocable=FLAGS,
    verifiable=FLAGS,
    recoverable=FLAGS,
    slots=st.sampled_from(["Many", "Many", "One"]),
    minimum_renewal=st.sampled_from([1, 60, 3000]),
    settle=st.sampled_from([0, 60]),
    replica_lag=st.sampled_from([0, 60]),
)
TARGETS = [
    {"kind": "Deployment", "name": "orders"},
    {"kind": "Deployment", "selector": {"matchLabels": {"app": "orders"}}},
]
REVOCATIONS = st.fixed_dictionaries(
    {
        "reason": WHY,
        "since": st.none() | MOMENTS,
        "not_before": st.none() | MOMENTS,
        "first_seen_at": st.none() | MOMENTS,
        "searched_at": st.none() | MOMENTS,
        "attempts": st.integers(0, 5),
        "next_at": st.none() | MOMENTS,
        "last_reason": st.sampled_from(["", "AuthGone", "FromTheFuture"]),
        "answered_at": st.none() | MOMENTS,
        "forced_nonce": st.sampled_from(["", "a"]),
    }
).map(Revocation.model_validate)
RETRIES = st.fixed_dictionaries(
    {
        "failures": st.integers(1, 9),
        "next_at": MOMENTS,
        "reason": st.sampled_from(["ProviderUnavailable", "FromTheFuture"]),
    }
).map(Retry.model_validate)
FAILURES = st.builds(
    Failure,
    reason=st.sampled_from([Reason.UNAVAILABLE, Reason.DENIED]),
    sentence=st.just("no"),
    permanent=FLAGS,
    retry_after=st.none() | st.just(30.0),
)


@st.composite
def records(draw: st.DrawFn) -> tuple[RecordedLease, ...]:
    found = []
    for number in draw(st.lists(st.integers(1, 9), unique=True, max_size=7).map(sorted)):
        state = draw(st.sampled_from(State))
        lost = state is State.ATTEMPT or (state is State.REVOKING and draw(FLAGS))
        pending = state in (State.SUPERSEDED, State.REVOKING, State.ABANDONED)
        life = draw(st.sampled_from([60, 3600, 86400]))
        issued = draw(st.integers(-7200, 0))
        found.append(
            views.record(
                number,
                state,
                lease_id="" if lost else None,
                issued=issued,
                expires=None if lost else issued + life,
                ttl=draw(st.none() | st.just(life)),
                source_hash=draw(st.sampled_from([views.HASH, views.HASH, "another"])),
                rotate_nonce=draw(st.sampled_from(["", "a"])),
                restarts=draw(FLAGS),
                rolled=draw(st.sampled_from([None, None, 0])),
                revoke=draw(REVOCATIONS) if pending else None,
                holder=draw(st.sampled_from([views.UID, views.UID, "former"])),
            )
        )
    return tuple(found)


@st.composite
def leases(draw: st.DrawFn, deleting: bool | None = None) -> DynamicLease:
    going = draw(FLAGS) if deleting is None else deleting
    spec: dict[str, Any] = {
        "ttl": draw(st.sampled_from([None, "60s", "1h", "48h"])),
        "renewal": {"strategy": draw(st.sampled_from(["Auto", "Renew", "Rotate"]))},
        "rotation": {
            "maxAge": draw(st.sampled_from([None, "60s", "1h"])),
            "overlap": draw(st.sampled_from(["0s", "2m", "9h"])),
            "waitForRollout": draw(st.sampled_from([True, True, False])),
            "rolloutTimeout": draw(st.sampled_from(["0s", "15m"])),
            "restartTargets": draw(st.sampled_from([[], TARGETS, TARGETS])),
        },
        "deletion": {
            "policy": draw(st.sampled_from(["Revoke", "Orphan"])),
            "timeout": draw(st.sampled_from(["0s", "15m"])),
        },
        "suspend": draw(FLAGS),
    }
    status = DynamicLeaseStatus(
        observed_generation=draw(st.integers(0, 1)),
        retry=draw(st.none() | RETRIES),
        handled=draw(st.none() | st.just(Handled())),
    )
    return views.lease(
        spec,
        annotations={
            names.ROTATE: draw(NONCES),
            names.RENEW: draw(NONCES),
            names.FORCE: draw(NONCES),
        },
        status=status,
        finalizers=draw(st.sampled_from([(names.FINALIZER,), (names.FINALIZER,), ()])),
        deleted_at=draw(MOMENTS) if going else None,
    )


@st.composite
def memories(draw: st.DrawFn, on_record: tuple[RecordedLease, ...]) -> Memory:
    may_be = st.none() | MOMENTS

    def known(record: RecordedLease) -> LeaseMemory:
        issued = record.state in (State.ATTEMPT, State.HELD) and draw(FLAGS)
        latest, ends = draw(st.none() | st.just(7200)), draw(st.integers(-100, 7200))
        return LeaseMemory(
            shown=views.known(record, ends, latest=latest) if issued else None,
            credentials=Credentials({}) if issued and draw(FLAGS) else None,
            gone_since=draw(may_be),
            unrenewable=draw(FLAGS),
            not_renewed=draw(FLAGS),
            ours=draw(FLAGS),
            inspected_at=draw(may_be),
            shown_at=draw(may_be),
            shown_since=draw(st.none() | st.floats(900, 1000)),
            sustain_at=draw(may_be),
        )

    return Memory(
        leases={record.attempt_id: known(record) for record in on_record},
        failure=draw(st.none() | FAILURES),
        refused=draw(st.sampled_from([{}, {"Deployment-orders": RefusedRestart("no", 980.0)}])),
        deleting_since=draw(st.none() | st.floats(0, 1000)),
        vanished_since=draw(st.none() | st.floats(900, 1000)),
        renew_handled=draw(st.sampled_from([None, "a"])),
        poked=draw(FLAGS),
    )


def restarts(known: tuple[RecordedLease, ...]) -> st.SearchStrategy[Restarted]:
    stamps = st.sampled_from(["another", *(r.attempt_id for r in known)])
    return st.builds(Restarted, st.floats(0, 1000), st.just(STAMP), stamps)


@st.composite
def targets(
    draw: st.DrawFn, dl: DynamicLease | None, known: tuple[RecordedLease, ...]
) -> tuple[TargetView, ...]:
    def view_of(wanted: RestartTarget) -> TargetView:
        stamp = draw(st.sampled_from([{}, *({STAMP: r.attempt_id} for r in known)]))
        found = views.workload(
            observed=draw(FLAGS), updated=draw(st.integers(0, 2)), stuck=draw(FLAGS), stamps=stamp
        )
        refusal = draw(st.sampled_from(["", "", "", "no right to look"]))
        return TargetView(wanted, (found,) if draw(FLAGS) and not refusal else (), refusal)

    wanted = dl.spec.rotation.restart_targets if dl is not None else ()
    return tuple(view_of(one) for one in wanted)


@st.composite
def any_view(draw: st.DrawFn, dl: st.SearchStrategy[DynamicLease | None]) -> View:
    known = draw(records())
    lease = draw(dl)
    shown = draw(st.sampled_from([None, *known]))
    target = draw(
        st.sampled_from(
            [None, views.secret(shown), views.secret(shown), views.secret(shown, owner="other")]
        )
    )
    former = views.secret(draw(st.sampled_from([None, *known])), name="former")
    ours = [target] if target is not None and target.labels[names.OWNER_UID] == views.UID else []
    away = draw(FLAGS)
    return View(
        now=views.NOW,
        monotonic=1000.0,
        subject=views.SUBJECT,
        holder=views.HOLDER,
        dl=lease,
        records=known,
        record_version="uid/1" if draw(FLAGS) or known else "",
        capabilities={r.attempt_id: draw(CAPABILITIES) for r in known if draw(st.integers(0, 9))},
        secrets=(*ours, *([former] if draw(FLAGS) else [])),
        target=target if lease is not None else None,
        target_contested=target is not None and not ours and draw(FLAGS),
        supply=None if away or lease is None else views.supply(),
        supply_failure=draw(FAILURES) if away else None,
        terminating=(lease is None or lease.deleting) and draw(FLAGS),
        shared=draw(FLAGS),
        targets=draw(targets(lease, known)),
        rolled=draw(st.dictionaries(st.just("Deployment-orders"), restarts(known))),
        memory=draw(memories(known)),
    )


ANY = any_view(st.none() | leases())
LIVE = any_view(leases(deleting=False))
GOING = any_view(leases(deleting=True))


# ------------------------------------------------------------------------------- a world


def moved(seen: View, record: RecordedLease, to: RecordedLease) -> View:
    return replace(seen, records=tuple(to if r == record else r for r in seen.records))


def noted(memory: Memory, record: RecordedLease, **known: Any) -> Memory:
    """The same, with that known of one lease."""
    later = replace(memory.of(record.attempt_id), **known)
    return replace(memory, leases={**memory.leases, record.attempt_id: later})


def without(seen: View, secret: SecretView) -> View:
    left = tuple(s for s in seen.secrets if s != secret)
    return replace(seen, secrets=left, target=None if seen.target == secret else seen.target)


def with_workload(seen: View, old: Workload, new: Workload) -> View:
    def swapped(target: TargetView) -> TargetView:
        found = tuple(new if one == old else one for one in target.workloads)
        return replace(target, workloads=found)

    return replace(seen, targets=tuple(swapped(target) for target in seen.targets))


def obeyed(seen: View, step: actions.Action) -> View:
    """The view after a step, in a world where the API server obeys and the provider refuses."""
    refused = replace(seen, memory=replace(seen.memory, failure=views.FAILURE, poked=False))
    match step:
        case actions.Report(status):
            return views.tell(seen, status)
        case actions.Move(record, to):
            return moved(seen, record, to)
        case actions.Hold(record):
            held = {"state": State.HELD, "lease_id": "late", "expires_at": views.at(3600)}
            return moved(seen, record, record.but(**held))
        case actions.Drop(record):
            return replace(seen, records=tuple(r for r in seen.records if r != record))
        case actions.Discard():
            return replace(seen, record_version="")
        case actions.DeleteSecret(secret) | actions.Disown(secret):
            return without(seen, secret)
        case actions.Search(record) | actions.Revoke(record):
            return moved(seen, record, revocations.after_failure(seen, record, Reason.UNAVAILABLE))
        case actions.Inspect(record):
            return replace(refused, memory=noted(refused.memory, record, inspected_at=seen.now))
        case actions.Restart(workload, key, value):
            stamped = replace(workload, stamps={**workload.stamps, key: value}, observed=False)
            return with_workload(seen, workload, stamped)
        case actions.Sustain(record):
            return replace(seen, memory=noted(seen.memory, record, sustain_at=views.at(60)))
        case actions.Deliver():
            generation = views.wanted(seen).metadata.generation
            tried = replace(
                refused.memory,
                repairs=1,
                repaired=seen.monotonic,
                repaired_generation=generation,
            )
            return replace(refused, memory=tried)
        case actions.Acquire() | actions.Renew():
            return refused
        case actions.Protect():
            dl = views.wanted(seen)
            meta = dl.metadata.model_copy(update={"finalizers": (names.FINALIZER,)})
            return replace(seen, dl=dl.model_copy(update={"metadata": meta}))
        case actions.Idle() | actions.Release():
            return seen


def at_rest(seen: View) -> tuple[View, actions.Idle | actions.Release]:
    """What it comes to when the provider refuses everything; it comes to rest, that is."""
    asked = 0
    for _ in range(60):
        step = decide(seen)
        if isinstance(step, actions.Idle | actions.Release):
            return seen, step
        asked += isinstance(
            step,
            actions.Acquire
            | actions.Deliver
            | actions.Renew
            | actions.Inspect
            | actions.Search
            | actions.Revoke,
        )
        assert asked <= len(seen.records) + 4, f"asked again and again: {step}"
        seen = obeyed(seen, step)
    raise AssertionError(f"no rest: {decide(seen)}")


# ------------------------------------------------------------------------------ properties


@given(seen=ANY)
def test_every_view_has_one_decision(seen: View) -> None:
    assert decide(seen) == decide(seen)


@settings(max_examples=400)
@given(seen=ANY)
def test_whoever_refuses_everything_is_left_in_peace(seen: View) -> None:
    at_rest(seen)


@settings(max_examples=400)
@given(seen=ANY, share=st.floats(0, 1))
def test_nothing_becomes_due_before_the_wake_up(seen: View, share: float) -> None:
    rested, step = at_rest(seen)
    if isinstance(step, actions.Release):
        return
    end = step.until or views.NOW + timedelta(days=30)
    assert end > rested.now
    assert isinstance(decide(views.later(rested, _before(rested.now, end, share))), actions.Idle)


def _before(start: datetime, end: datetime, share: float) -> float:
    """Some whole second before ``end``."""
    return int(((end - start).total_seconds() - 1) * share)


@given(seen=LIVE)
def test_what_was_told_is_not_told_again(seen: View) -> None:
    told = views.told(seen)
    once = views.told(told)
    assert status.status(once, views.wanted(once)) == views.wanted(once).status


@given(seen=ANY)
def test_nothing_is_issued_where_it_must_not_be(seen: View) -> None:
    if not isinstance(decide(seen), actions.Acquire):
        return
    dl = views.wanted(seen)
    assert names.FINALIZER in dl.metadata.finalizers
    assert not dl.deleting
    assert not dl.spec.suspend
    assert not seen.target_contested
    assert not seen.in_state(State.ATTEMPT)
    assert len(obstacles.live(seen)) < obstacles.MOST_LIVE
    assert seen.memory.failure is None
    for record in seen.records:
        can = seen.capabilities.get(record.attempt_id)
        assert can is None or can.slots == "Many" or record.state is State.ABANDONED


@given(seen=LIVE)
def test_a_lease_that_the_secret_names_is_revoked_only_if_gone_or_in_the_way(seen: View) -> None:
    step = decide(seen)
    if isinstance(step, actions.Revoke) and seen.names(step.record):
        assert step.record.revoke is not None
        assert step.record.revoke.reason in (Reason.GONE, Reason.ROTATING)


@given(seen=LIVE)
def test_an_older_lease_is_never_delivered_over_a_newer(seen: View) -> None:
    step = decide(seen)
    if isinstance(step, actions.Deliver):
        assert seen.place(step.record) >= seen.shown
        assert not seen.expired(step.record)


@given(seen=GOING)
def test_on_deletion_secrets_are_gone_before_any_revocation(seen: View) -> None:
    if isinstance(decide(seen), actions.Revoke):
        assert all(secret.deleting for secret in seen.secrets)


@given(seen=GOING)
def test_the_finalizer_goes_only_when_nothing_is_pending_or_the_time_is_over(seen: View) -> None:
    if not isinstance(decide(seen), actions.Release):
        return
    dl = views.wanted(seen)
    pending = [r for r in seen.records if r.state is not State.ABANDONED]
    begun, limit = seen.memory.deleting_since, dl.spec.deletion.timeout
    waited = seen.monotonic - begun if begun is not None else 0
    over = waited >= (0 if limit == "0s" else 900)
    tried = all(r.revoke and r.revoke.attempts for r in pending)
    assert not pending or over or (seen.terminating and tried)


@given(seen=ANY)
def test_a_lease_in_memory_is_never_lost_to_a_claim(seen: View) -> None:
    step = decide(seen)
    if isinstance(step, actions.Move) and step.record.state is State.ATTEMPT:
        assert seen.memory.of(step.record.attempt_id).shown is None
        assert step.to.state is State.REVOKING


@given(seen=ANY)
def test_an_attempt_that_may_be_anothers_is_left_alone_until_its_deadline(seen: View) -> None:
    step = decide(seen)
    if isinstance(step, actions.Move) and step.record.state is State.ATTEMPT:
        ours = seen.memory.of(step.record.attempt_id).ours
        assert ours or seen.now >= step.record.deadline


@given(seen=ANY)
def test_of_what_another_shard_serves_only_what_nobody_else_can_end_is_ended(seen: View) -> None:
    memory = seen.memory
    match decide(replace(seen, elsewhere=True)):
        case actions.Hold(record):
            assert memory.of(record.attempt_id).shown is not None
        case actions.Move(record, to):
            assert memory.of(record.attempt_id).ours
            assert (record.state, to.state) == (State.ATTEMPT, State.REVOKING)
        case actions.Deliver(record):
            assert memory.of(record.attempt_id).credentials is not None
        case actions.Discard():
            assert (seen.dl, seen.records) == (None, ())
        case other:
            assert other == actions.Idle(None)


@given(seen=ANY)
def test_no_lease_is_issued_beside_one_that_another_shard_may_deliver(seen: View) -> None:
    until = handover.awaited(seen)
    if until is not None:
        step = decide(seen)
        assert not isinstance(step, actions.Acquire)
        assert not isinstance(step, actions.Idle) or step.until is not None


@given(seen=ANY)
def test_a_move_changes_one_lease_and_never_which_it_is(seen: View) -> None:
    step = decide(seen)
    if isinstance(step, actions.Move):
        assert step.record in seen.records
        assert step.to != step.record
        for name in ("attempt_id", "seal_key", "lease_id", "provider", "notes", "handle"):
            assert getattr(step.to, name) == getattr(step.record, name)
        if step.to.holder_uid != step.record.holder_uid:
            assert step.to.holder_uid == seen.holder.uid
            assert (step.record.state, step.to.state) == (State.HELD, State.HELD)


@given(seen=ANY)
def test_a_record_goes_only_when_nothing_is_on_it_and_nobody_stands(seen: View) -> None:
    if isinstance(decide(seen), actions.Discard):
        assert not seen.records
        assert seen.dl is None or names.FINALIZER not in seen.dl.metadata.finalizers


@given(seen=LIVE)
def test_ready_is_never_true_of_a_lease_that_nobody_saw_live(seen: View) -> None:
    dl, held = views.wanted(seen), seen.delivered
    ready = conditions.is_true(status.status(seen, dl).conditions, ConditionType.READY)
    if held is not None and plan.unseen(seen, held):
        assert not ready
