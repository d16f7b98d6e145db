from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder import errors
from leaseholder.api import lease, names, provider, record
from leaseholder.cluster import patches, records

CANARY = "hunter2-canary"


def test_a_key_that_went_is_named_with_null() -> None:
    assert patches.replace({"a": 1, "b": 2}, {"a": 1}) == {"a": 1, "b": None}


def test_keys_that_went_are_found_in_nested_objects() -> None:
    old = {"lease": {"id": "x", "renewAt": "soon"}, "retry": {"failures": 1}}
    new = {"lease": {"id": "y"}}
    assert patches.replace(old, new) == {"lease": {"id": "y", "renewAt": None}, "retry": None}


def test_lists_are_replaced_whole() -> None:
    old = {"conditions": [{"type": "Ready", "message": "gone"}]}
    assert patches.replace(old, {"conditions": [{"type": "Ready"}]}) == {
        "conditions": [{"type": "Ready"}]
    }


def test_an_object_may_take_the_place_of_a_plain_value_and_the_other_way_round() -> None:
    assert patches.replace({"a": 1, "b": {"c": 1}}, {"a": {"d": 1}, "b": 2}) == {
        "a": {"d": 1},
        "b": 2,
    }


def test_an_emptied_object_loses_all_its_keys() -> None:
    assert patches.replace({"handle": {"kind": "sql"}}, {"handle": {}}) == {
        "handle": {"kind": None}
    }


WANTED: dict[str, Any] = {
    "providerRef": {"name": "infisical"},
    "renewal": {"strategy": "AddedLater"},
    "target": {"secretName": "orders-db", "type": 7},
    "deletion": {"policy": "Orphan"},
}
GOING = {"deletionTimestamp": "2026-11-21T12:00:00Z"}


@pytest.mark.parametrize(
    ("change", "secret", "policy"),
    [
        ({}, "orders-db", "Orphan"),
        ({"target": 7, "deletion": {"policy": "AddedLater"}}, "orders", "Revoke"),
        ({"target": {"secretName": 7}}, "orders", "Orphan"),
    ],
)
def test_of_one_that_goes_what_can_be_read_is_enough(
    change: dict[str, Any], secret: str, policy: str
) -> None:
    meta = {"namespace": "shop", "name": "orders", "uid": "u", "finalizers": [names.FINALIZER]}
    body = {"metadata": {**meta, **GOING}, "spec": {**WANTED, **change}}
    going = patches.read(lease.DynamicLease, body)
    assert (going.secret_name, going.spec.deletion.policy) == (secret, policy)
    assert (going.deleting, going.source) == (True, {})
    with pytest.raises(errors.Unreadable, match=r"see .*spec\.renewal\.strategy") as stays:
        patches.read(lease.DynamicLease, {**body, "metadata": meta})
    rest = stays.value.rest
    assert isinstance(rest, lease.DynamicLease)
    assert rest.metadata.finalizers == (names.FINALIZER,)


@pytest.mark.parametrize("kind", [provider.LeaseProvider, provider.ClusterLeaseProvider])
@pytest.mark.parametrize("going", [{}, GOING])
def test_of_a_provider_status_can_be_written_and_nothing_else_is_done_with_it(
    going: dict[str, str], kind: type[provider.AnyProvider]
) -> None:
    body = {
        "metadata": {"namespace": "shop", "name": "infisical", "uid": "u", **going},
        "spec": {"sweep": "AddedLater"},
        "status": {"serverVersion": "1.2.3"},
    }
    with pytest.raises(errors.Unreadable, match=r"see spec\.sweep") as unread:
        patches.read(kind, body)
    rest = unread.value.rest
    assert isinstance(rest, kind)
    assert (rest.metadata.uid, rest.status.server_version) == ("u", "1.2.3")
    assert provider.type_of(rest.spec) is None


@pytest.mark.parametrize("spec", [None, [], "x"])
def test_of_what_is_no_object_at_all_nothing_can_be_read(spec: object) -> None:
    with pytest.raises(errors.Unreadable) as unread:
        patches.read(lease.DynamicLease, {"metadata": {"name": "x", **GOING}, "spec": spec})
    assert unread.value.rest is None
    with pytest.raises(errors.Unreadable) as nameless:
        patches.read(lease.DynamicLease, {"metadata": GOING, "spec": WANTED})
    assert nameless.value.rest is None


def test_an_unreadable_object_is_refused_by_its_field_and_without_its_value() -> None:
    body = {
        "metadata": {"namespace": "shop", "name": "orders"},
        "spec": {
            "providerRef": {"name": "infisical"},
            "infisical": {
                "projectSlug": "demo",
                "environmentSlug": "prod",
                "dynamicSecretName": "orders-db",
            },
            "ttl": CANARY,
        },
    }
    with pytest.raises(errors.Refused) as refused:
        patches.read(lease.DynamicLease, body)
    assert "shop/orders" in refused.value.sentence
    assert "spec.ttl" in refused.value.sentence
    assert CANARY not in repr(refused.value)
    assert refused.value.__context__ is None


def test_keys_that_a_user_made_up_smuggle_nothing_into_the_sentence() -> None:
    data = {f"a\nREADY {number}\u202e" * 50: number for number in range(300)}
    spec = {"providerRef": {"name": "infisical"}, "target": {"template": {"data": data}}}
    with pytest.raises(errors.Refused) as refused:
        patches.read(lease.DynamicLease, {"metadata": {"name": "orders"}, "spec": spec})
    assert refused.value.sentence.isprintable()
    assert len(refused.value.sentence) < 4000


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_forged_status_with_an_odd_moment_can_be_read(moment: str) -> None:
    spec = {"providerRef": {"name": "infisical"}}
    status = {"drift": {"attempt": "r", "times": 1, "at": moment}}
    body = {"metadata": {"name": "orders"}, "spec": spec, "status": status}
    found = patches.read(lease.DynamicLease, body).status
    assert lease.DynamicLeaseStatus.model_validate(found.dump()) == found


_STATUS = lease.DynamicLeaseStatus.model_validate(
    {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "reason": "x",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for kind in ("Ready", "LeaseHeld")
        ],
        "retry": {"failures": 1, "nextAt": "2026-01-01T00:00:00Z", "reason": "x"},
        "handled": {"rotate": "1"},
        "target": {"secretName": "orders", "keys": ["A"]},
    }
)
_BODY: dict[str, Any] = {
    "metadata": {"name": "orders", "namespace": "shop"},
    "spec": {
        "providerRef": {"name": "infisical"},
        "infisical": {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "d"},
        "rotation": {"restartTargets": [{"kind": "Deployment", "name": "orders"}]},
        "target": {"template": {"metadata": {"labels": {}}, "data": {"A": "b"}}},
    },
    "status": _STATUS.dump(),
}
_FREE = ("labels", "data", "metadata")
"""Below these no field is unknown, or it isn't ours."""
_UNKNOWN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def _with(value: Any, draw: st.DataObject) -> Any:
    """The same, with a field that nobody knows in some of its objects."""
    if isinstance(value, list):
        return [_with(one, draw) for one in value]
    if not isinstance(value, dict):
        return value
    inner = {k: one if k in _FREE else _with(one, draw) for k, one in value.items()}
    return {**inner, "later": draw.draw(_UNKNOWN)} if draw.draw(st.booleans()) else inner


def _merged(stored: Any, patch: Any) -> Any:
    """What an API server makes of a merge patch (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    found = dict(stored) if isinstance(stored, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merged(found.get(key), value)
    return found


@given(st.data())
def test_fields_that_a_newer_version_stored_are_no_matter_to_who_reads(data: st.DataObject) -> None:
    stored = _with(_BODY, data)
    assert patches.read(lease.DynamicLease, stored) == patches.read(lease.DynamicLease, _BODY)


@given(st.data())
def test_a_write_loses_nothing_unknown_but_within_what_it_says_anew(data: st.DataObject) -> None:
    stored = _with(_BODY, data)
    known = patches.read(lease.DynamicLease, stored).status
    second = known.conditions[1].model_copy(update={"reason": "y"})
    changes = {"conditions": (known.conditions[0], second), "observed_generation": 2, "retry": None}
    new = known.model_copy(update=changes)
    there = stored["status"]
    written = _merged(there, patches.replace(known.dump(), new.dump(), there))
    conditions = [there["conditions"][0], second.dump()]
    wanted = {**there, "conditions": conditions, "observedGeneration": 2}
    del wanted["retry"]
    assert written == wanted


@pytest.mark.parametrize("stored", [None, [], {"a": None}, {"a": {}}, {"a": [1, {"c": 1}, "x"]}])
def test_of_what_is_stored_otherwise_nothing_is_taken(stored: object) -> None:
    assert patches.replace({}, {"a": [{"b": 1}]}, stored) == {"a": [{"b": 1}]}


_MOMENT = "2026-01-01T00:00:00Z"
_PROVIDER = {
    "type": "phase",
    "kind": "LeaseProvider",
    "name": "phase",
    "uid": "3",
    "address": "https://phase.example.com",
}
_LEASES = [
    {
        "attemptId": attempt,
        "holderUid": "2",
        "state": "Revoking",
        "provider": _PROVIDER,
        "sourceHash": "4",
        "startedAt": _MOMENT,
        "deadline": _MOMENT,
        "revoke": {"reason": "Deleting"},
    }
    for attempt in ("a1", "a2")
]
_ON_RECORD = record.RecordSpec.model_validate(
    {
        "for": {"namespace": "shop", "namespaceUid": "1", "name": "orders"},
        "installation": "here",
        "trusts": {"0": {"caBundle": "PEM"}},
        "ended": [{"attemptId": "a0", "at": _MOMENT, "why": "Confirmed"}],
        "leases": _LEASES,
    }
).dump()


def _record(spec: Any) -> record.LeaseRecord:
    return patches.read(record.LeaseRecord, {"metadata": {"name": "shop.orders.0"}, "spec": spec})


def _without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: _without_nulls(one) for key, one in value.items() if one is not None}


@given(st.data())
def test_what_a_newer_version_wrote_on_a_record_survives_our_write(data: st.DataObject) -> None:
    stored = {**_without_nulls(_with(_ON_RECORD, data)), "trusts": _ON_RECORD["trusts"]}
    known = _record(stored)
    held = known.leases[1].but(state=record.State.HELD)
    wanted = known.spec.model_copy(update={"leases": (known.leases[0], held)})
    written = _merged(stored, records.changed(known, wanted)["spec"])
    first, second = stored["leases"]
    assert written == {**stored, "leases": [first, {**second, "state": "Held"}]}


def test_why_a_lease_ended_in_a_newer_versions_words_hides_no_record() -> None:
    ended = [{"attemptId": "a0", "at": _MOMENT, "why": "Evaporated", "by": {"whom": "x"}}]
    known = _record({**_ON_RECORD, "ended": ended})
    assert known.names_ended("a0")
    assert known.spec.dump()["ended"] == ended


@pytest.mark.parametrize(
    ("stands", "going", "wanted"),
    [
        (["a", names.ON_RECORD], True, ["a", names.ON_RECORD]),
        (["a"], True, ["a"]),  # the API server refuses new ones there
        (["a"], False, ["a", names.ON_RECORD]),
    ],
)
def test_a_finalizer_is_put_on_no_record_that_is_being_deleted(
    stands: list[str], going: bool, wanted: list[str]
) -> None:
    known = _record(_ON_RECORD)
    meta = known.metadata.model_copy(
        update={
            "finalizers": tuple(stands),
            "deletion_timestamp": datetime(2026, 1, 1, tzinfo=UTC) if going else None,
        }
    )
    body = records.changed(known.model_copy(update={"metadata": meta}), known.spec)
    assert body["metadata"]["finalizers"] == wanted
