"""What data a Secret can hold, and the data of a rehearsal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder import errors
from leaseholder.api import secret_types
from leaseholder.core import secret_data

TYPES = st.sampled_from(["Opaque", "example.com/own", *secret_types.TYPES])
GOOD = {
    "kubernetes.io/basic-auth": {"username": "u"},
    "kubernetes.io/ssh-auth": {"ssh-privatekey": "k"},
    "kubernetes.io/tls": {"tls.crt": "", "tls.key": ""},
    "kubernetes.io/dockerconfigjson": {".dockerconfigjson": '{"auths": {}}'},
    "kubernetes.io/dockercfg": {".dockercfg": "{}"},
}
NO_OBJECTS = [
    "",
    "null",
    "[]",
    '"text"',
    "{",
    "{'a': 1}",
    '{"a": NaN}',
    '{"a":' * 5000,
    "[" * 10**6,
]


def test_every_type_is_looked_at() -> None:
    assert GOOD.keys() == secret_types.TYPES.keys()


@pytest.mark.parametrize("type_", GOOD)
def test_data_that_the_type_asks_for_is_taken_beside_other_keys(type_: str) -> None:
    secret_data.require_values(type_, GOOD[type_])
    secret_data.require_values(type_, {**GOOD[type_], "DB_USERNAME": "u"})


@pytest.mark.parametrize("type_", GOOD)
def test_a_key_that_is_missing_is_named_with_what_to_write(type_: str) -> None:
    with pytest.raises(errors.Invalid) as told:
        secret_data.require_keys(type_, ["DB_PASSWORD", "DB_USERNAME"])
    asked = secret_types.TYPES[type_]
    assert f"a Secret of type {type_} needs {asked.demand}" in told.value.sentence
    assert "the keys are DB_PASSWORD, DB_USERNAME" in told.value.sentence
    for key in asked.keys:
        assert f'target.template.data["{key}"]' in told.value.sentence


def test_only_the_missing_half_of_a_pair_is_to_be_written() -> None:
    with pytest.raises(errors.Invalid) as told:
        secret_data.require_keys("kubernetes.io/tls", ["tls.crt"])
    assert told.value.sentence.endswith('write target.template.data["tls.key"]')


@pytest.mark.parametrize("key", ["aws/key", "", ".", "..", "..data", "k" * 254, "grün", "a\nb"])
def test_a_key_that_no_secret_can_hold_is_named_with_what_to_write(key: str) -> None:
    with pytest.raises(errors.Invalid) as told:
        secret_data.require_keys("Opaque", ["fine", key])
    shown = json.dumps(key if len(key) < 60 else key[:59] + "…")
    assert f"the provider gives {shown}, and no Secret can hold such a key" in told.value.sentence
    assert "target.template.mergePolicy: Replace" in told.value.sentence
    assert "fine" not in told.value.sentence


@pytest.mark.parametrize("key", ["a", ".a", "a..b", "-", "_", "k" * 253, "9.x-Y_z"])
def test_a_key_that_a_secret_can_hold_is_taken(key: str) -> None:
    secret_data.require_keys("Opaque", [key])


def test_of_many_odd_keys_a_few_are_named() -> None:
    with pytest.raises(errors.Invalid) as told:
        secret_data.require_keys("Opaque", [f"/{n:05}" for n in range(10_000)])
    assert '"/00004" and 9995 more' in told.value.sentence
    assert len(told.value.sentence) < 400


@pytest.mark.parametrize("value", NO_OBJECTS)
@pytest.mark.parametrize("type_", ["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"])
def test_a_value_that_is_no_json_object_is_told_without_it(type_: str, value: str) -> None:
    [key] = secret_types.TYPES[type_].keys
    with pytest.raises(errors.Invalid) as told:
        secret_data.require_values(type_, {key: value})
    assert told.value.sentence.startswith(f"{key} isn't a JSON object")
    assert len(told.value.sentence) < 250


def test_an_empty_key_for_ssh_is_told() -> None:
    with pytest.raises(errors.Invalid, match="ssh-privatekey is empty"):
        secret_data.require_values("kubernetes.io/ssh-auth", {"ssh-privatekey": ""})


def test_names_that_no_note_could_list_are_refused() -> None:
    secret_data.require_names(["n" * 16_384])
    with pytest.raises(errors.Invalid, match="16385 bytes: at most 16384"):
        secret_data.require_names(["n" * 16_384, "x"])


@given(type_=TYPES, keys=st.lists(st.text()))
def test_a_rehearsal_is_data_that_the_type_takes(type_: str, keys: list[str]) -> None:
    values = secret_data.rehearsal(type_, keys).reveal()
    secret_data.require_values(type_, values)
    assert all(values.values())
