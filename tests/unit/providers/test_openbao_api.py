"""What is taken of an OpenBao server's answers: nothing that could pass for another text."""

import json
from typing import Any

import pytest

from leaseholder.providers.kit import answers
from leaseholder.providers.openbao import api

TEXTS = ["a b", "a\nERROR", "a\x1b[31m", "a\u202eb", "a\u2028b", "x" * 701]


def parsed(model: type[api.Leased] | type[api.HealthAnswer], **body: Any) -> Any:
    return answers.Answer(status=200, content=json.dumps(body).encode()).parse(model)


@pytest.mark.parametrize("text", TEXTS)
def test_an_id_that_is_no_id_is_no_answer(text: str) -> None:
    assert parsed(api.Leased, lease_id=text) is None


@pytest.mark.parametrize("text", [*TEXTS, "x" * 65, "1.0/evil"])
def test_a_version_that_is_none_is_no_answer(text: str) -> None:
    assert parsed(api.HealthAnswer, version=text) is None


@pytest.mark.parametrize("text", ["database/creds/orders/x9.N1", "kv/r\u00f6le/abc", ""])
def test_an_id_is_taken_as_it_is(text: str) -> None:
    assert parsed(api.Leased, lease_id=text).lease_id == text


def test_nothing_is_said_with_null() -> None:
    assert parsed(api.Leased, lease_id=None).lease_id == ""
    assert parsed(api.HealthAnswer, version=None).version == ""


def test_an_enterprise_version_is_one() -> None:
    assert parsed(api.HealthAnswer, version="1.15.0+ent.hsm").version == "1.15.0+ent.hsm"
