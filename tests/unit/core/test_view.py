from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from leaseholder.api import names
from leaseholder.api.lease import DynamicLeaseStatus, Handled, LeaseStatus
from leaseholder.api.record import State
from leaseholder.core.memory import SecretsSeen
from leaseholder.core.view import View
from leaseholder.ports.secrets import SecretView
from tests.unit.core import views


def test_the_delivered_lease_is_the_held_one_that_our_secret_names() -> None:
    old, new = views.record(1), views.record(2)
    assert views.view(old, new, shows=new).delivered == new


def test_a_secret_of_somebody_else_delivers_nothing() -> None:
    held = views.record()
    assert views.view(held, target=views.secret(held, owner="other")).delivered is None
    assert views.view(held).delivered is None


def test_a_secret_that_names_another_lease_of_the_same_record_delivers_nothing() -> None:
    held = views.record()
    assert views.view(held, shows=views.record(lease_id="restored")).delivered is None


def test_a_lease_on_its_way_out_is_not_delivered() -> None:
    pending = views.pending()
    assert views.view(pending, shows=pending).delivered is None


def test_the_newest_lease_in_memory_is_in_hand() -> None:
    old, new = views.record(1), views.record(2)
    assert views.view(old, new, memory=views.in_hand(old, new)).in_hand == new


def test_a_lease_that_the_secret_has_overtaken_is_not_in_hand() -> None:
    old, newer = views.record(1), views.pending(2)
    assert views.view(old, newer, shows=newer, memory=views.in_hand(old)).in_hand is None


def test_a_lease_that_died_before_its_delivery_is_not_in_hand() -> None:
    dead = views.record(expires=0)
    assert views.view(dead, memory=views.in_hand(dead)).in_hand is None


def test_the_expiry_is_the_latest_that_record_provider_or_status_know() -> None:
    held = views.record(expires=10)
    seen = views.view(held, memory=views.remembers(held, shown=views.known(held, 30)))
    assert seen.expiry(held) == views.at(30)
    status = LeaseStatus(
        attempt=held.attempt_id,
        id="lease-1",
        issued_at=views.NOW,
        expires_at=views.at(50),
        strategy="Renew",
    )
    dl = views.lease(status=DynamicLeaseStatus(lease=status, handled=Handled()))
    assert replace(seen, dl=dl).expiry(held) == views.at(50)
    assert replace(seen, dl=dl).expiry(views.record(2, expires=10)) == views.at(10)


def test_a_lease_of_unknown_expiry_is_not_expired() -> None:
    unknown = views.record(expires=None)
    assert not views.view(unknown).expired(unknown)
    assert views.view(unknown).granted(unknown) == timedelta(0)


def test_a_lease_is_held_at_the_life_that_is_asked_for() -> None:
    held = views.record(ttl=600, issued=-60, expires=60)
    assert views.view(held, dl=views.lease({"ttl": "2h"})).life(held) == timedelta(hours=2)
    unasked = views.lease({"ttl": None})
    assert views.view(held, dl=unasked).life(held) == timedelta(minutes=10)
    granted = views.record(ttl=None, issued=-60, expires=60)
    assert views.view(granted, dl=unasked).life(granted) == timedelta(minutes=2)
    assert views.view(granted, vanished=True).life(granted) == timedelta(minutes=2)


def test_a_secret_under_a_former_name_still_names_its_lease() -> None:
    held = views.record()
    seen = views.view(held, secrets=(views.secret(held, name="former"),))
    assert seen.named_anywhere(held)
    assert not seen.names(held)


def test_a_secret_without_a_record_shows_no_lease() -> None:
    held = views.record()
    assert views.view(held, target=views.secret()).shown == -1
    assert views.view(held).shown == -1
    odd = replace(views.secret(), annotations={names.ATTEMPT: "orders-²"})
    assert views.view(held, target=odd).shown == -1
    assert views.view(held, shows=views.record(2)).shown == -1


def test_of_two_leases_the_one_later_on_the_record_is_the_newer() -> None:
    first, second = views.record(2), views.record(1)
    seen = views.view(first, second, shows=second)
    assert (seen.place(first), seen.place(second), seen.shown) == (0, 1, 1)
    assert seen.place(views.record(3)) == -1


def test_a_lease_of_an_earlier_dynamic_lease_of_the_name_is_inherited() -> None:
    mine, former = views.record(2), views.record(1, holder="former")
    seen = views.view(former, mine, shows=former)
    assert (seen.inherited(former), seen.inherited(mine)) == (True, False)
    assert seen.delivered == former


def test_the_version_of_a_secret_tells_one_made_again_from_the_one_before() -> None:
    held = views.record()
    seen = views.view(held, shows=held)
    assert seen.target_version == "secret-orders/1"
    assert seen.target is not None
    again = replace(seen, target=replace(seen.target, uid="another"))
    assert again.target_version != seen.target_version
    assert views.view().target_version == ""


def test_the_seal_is_made_with_a_key_that_only_the_record_has() -> None:
    held = views.record()
    assert views.view(held, target=views.secret(held)).intact(views.secret(held), held)
    stripped = replace(
        views.secret(held),
        annotations={
            key: value
            for key, value in views.secret(held).annotations.items()
            if key != names.ATTEMPT
        },
    )
    other_key = held.but(seal_key="guessed")
    assert views.view(held, target=stripped).names(held)
    assert not views.view(other_key, target=stripped).names(other_key)


def test_what_is_known_of_a_record_is_forgotten_with_it() -> None:
    gone, lost, there = views.record(1), views.record(2), views.record(3)
    memory = views.in_hand(gone, lost, there)
    memory.of(lost.attempt_id).ours = memory.of(there.attempt_id).ours = True
    memory.keep_only({there.attempt_id}, missing={lost.attempt_id})
    assert {*memory.leases} == {lost.attempt_id, there.attempt_id}
    assert memory.of(lost.attempt_id).credentials is not None
    assert not memory.of(lost.attempt_id).ours
    assert memory.of(there.attempt_id).ours


def test_records_are_found_by_state_oldest_first() -> None:
    records = (views.record(1), views.pending(2), views.superseded(3))
    found = views.view(*records).in_state(State.HELD, State.SUPERSEDED)
    assert [r.attempt_id for r in found] == ["attempt-1", "attempt-3"]


def _seen(view: View) -> SecretsSeen:
    return SecretsSeen(("asked",), view.secrets, view.target)


def test_a_secret_that_proves_the_delivered_lease_is_known_without_its_values() -> None:
    held = views.record()
    before = views.view(held, shows=held)
    before.memory.secrets = _seen(before)
    kept = before.secrets_to_keep
    assert kept is not None
    assert kept.target == before.target
    assert kept.target is not None
    assert not kept.target.values.reveal()
    after = replace(before, target=kept.target, secrets=kept.labelled, proven=kept.proven, _held={})
    assert after.delivered == held
    assert not after.edited(held)
    after.memory.secrets = kept
    assert after.secrets_to_keep == kept


def test_only_what_proves_the_delivered_lease_is_kept() -> None:
    held, other = views.record(1), views.record(2)
    good = views.view(held, shows=held)
    assert good.target is not None
    changed = views.changed(good.target, DB_PASSWORD="guessed")
    nowhere = replace(good.target, annotations={})
    beside = replace(good.target, name="former", uid="another")
    views_of = {
        "none was read": (good, None),
        "the target isn't what was read": (good, SecretsSeen((), good.secrets, None)),
        "somebody else has it": (replace(good, target_contested=True), _seen(good)),
        "it goes": _with(replace(good.target, deleting=True), good),
        "its data was changed": _with(changed, good),
        "it has no note": _with(nowhere, good),
        "there is another": (good, SecretsSeen((), (*good.secrets, beside), good.target)),
        "it shows no held lease": (replace(good, records=(other,)), _seen(good)),
    }
    for why, (view, seen) in views_of.items():
        view.memory.secrets = seen
        assert view.secrets_to_keep is None, why


@pytest.mark.parametrize("field", ["labels", "annotations", "keys", "owner_uids"])
def test_a_secret_that_much_is_written_on_is_read_at_each_go(field: str) -> None:
    held = views.record()
    good = views.view(held, shows=held).target
    assert good is not None
    much = {str(number): "x" * 50 for number in range(400)}
    before = getattr(good, field)
    more: Any = {**before, **much} if isinstance(before, dict) else (*before, *much.values())
    written: dict[str, Any] = {field: more}
    view, seen = _with(replace(good, **written), views.view(held, shows=held))
    view.memory.secrets = seen
    assert view.delivered == held
    assert view.secrets_to_keep is None


def test_nothing_is_kept_of_secrets_that_something_told_a_change_of_meanwhile() -> None:
    held = views.record()
    view = views.view(held, shows=held)
    view.memory.secrets = _seen(view)
    assert view.secrets_to_keep is not None
    view.memory.doubted = True
    assert view.secrets_to_keep is None


def _with(target: SecretView, view: View) -> tuple[View, SecretsSeen]:
    made = replace(view, target=target, secrets=(target,), _held={})
    return made, _seen(made)


def test_after_our_own_deletion_of_a_secret_the_others_are_known() -> None:
    held = views.record()
    view = views.view(held, shows=held)
    assert view.target is not None
    former = replace(view.target, name="former", uid="another")
    seen = SecretsSeen(("asked",), (view.target, former), view.target, proven=held.attempt_id)
    without_former = seen.deleted(former)
    assert (without_former.target, without_former.labelled) == (view.target, (view.target,))
    assert without_former.proven == held.attempt_id
    without_target = seen.deleted(view.target)
    assert (without_target.target, without_target.labelled) == (None, (former,))
    assert (without_target.proven, without_target.is_old) == ("", True)
