import copy
import json
import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from leaseholder.ports.provider import Issued
from leaseholder.secrecy import Credentials, Hidden
from tests.unit.core import views

CANARY = "hunter2-canary"
CREDENTIALS = Credentials({"DB_PASSWORD": CANARY, "DB_USERNAME": "u"})
HIDDEN = Hidden(CANARY)
BOTH = pytest.mark.parametrize("secret", [CREDENTIALS, HIDDEN], ids=["credentials", "hidden"])


@BOTH
@pytest.mark.parametrize(
    "show",
    [repr, str, format, ascii, lambda s: f"{s!r:>40} {s}", lambda s: f"{[s]} { ({'k': s}) }"],
    ids=["repr", "str", "format", "ascii", "f-string", "container"],
)
def test_a_secret_is_not_shown(secret: object, show: Callable[[object], str]) -> None:
    assert CANARY not in show(secret)
    assert "DB_" not in show(secret)
    assert "<hidden>" in show(secret)


@BOTH
def test_a_secret_is_not_logged(secret: object, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").debug("%s %r", secret, secret)
    assert CANARY not in caplog.text


@BOTH
@pytest.mark.parametrize(
    "take", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps], ids=lambda f: f.__qualname__
)
def test_a_secret_is_neither_copied_nor_written(secret: object, take: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as raised:
        take(secret)
    assert CANARY not in str(raised.value)


@BOTH
def test_a_secret_has_no_attributes_to_dump(secret: object) -> None:
    with pytest.raises(TypeError):
        vars(secret)


def test_what_holds_a_secret_does_not_show_it() -> None:
    issued = Issued(views.known(views.record(), 3600), CREDENTIALS)
    seen = views.view(memory=views.in_hand(views.record()))
    assert CANARY not in repr(issued)
    assert "DB_PASSWORD" not in repr(seen.memory)


def test_reveal_is_the_one_way_out() -> None:
    assert CREDENTIALS.reveal() == {"DB_PASSWORD": CANARY, "DB_USERNAME": "u"}
    assert list(CREDENTIALS.keys()) == ["DB_PASSWORD", "DB_USERNAME"]
    assert HIDDEN.reveal() == CANARY


def test_what_was_revealed_is_a_copy() -> None:
    CREDENTIALS.reveal().clear()
    values = {"a": "b"}
    kept = Credentials(values)
    values.clear()
    assert kept.reveal() == {"a": "b"}
    assert CREDENTIALS.reveal()


def test_hidden_values_are_compared_by_value() -> None:
    assert Hidden("a") == Hidden("a") != Hidden("b")
    assert Hidden("a") != "a"
    assert hash(Hidden("a")) == hash(Hidden("a"))
