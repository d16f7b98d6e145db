import pytest

from leaseholder import errors
from leaseholder.api import lease
from leaseholder.cluster import patches

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
    status = {"drift": {"record": "r", "times": 1, "at": moment}}
    body = {"metadata": {"name": "orders"}, "spec": spec, "status": status}
    found = patches.read(lease.DynamicLease, body).status
    assert lease.DynamicLeaseStatus.model_validate(found.dump()) == found
