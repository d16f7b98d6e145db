"""Lines of the log: one for each record, which nothing in a field or an exception can break."""

import json
import logging
import string
import typing

import hypothesis
import hypothesis.strategies as st
import pytest

from leaseholder.telemetry import logs

SECRET = "hunter2-canary"


def record(
    message: str,
    *args: object,
    name: str = "leaseholder.x",
    level: int = logging.INFO,
    **more: object,
) -> logging.LogRecord:
    made = logging.LogRecord(name, level, __file__, 1, message, args, None)
    for key, value in more.items():
        setattr(made, key, value)
    return made


def text(*args: typing.Any, **more: typing.Any) -> str:
    return logs.Text().format(record(*args, **more))


def as_json(*args: typing.Any, **more: typing.Any) -> dict[str, typing.Any]:
    line = logs.Json().format(record(*args, **more))
    assert "\n" not in line
    found: dict[str, typing.Any] = json.loads(line)
    return found


def test_fields_stand_beside_the_words() -> None:
    fields = {"namespace": "shop", "name": "orders", "keys": 3, "reason": "", "until": None}
    assert text("lease delivered", fields=fields).endswith(
        "Z INFO lease delivered namespace=shop name=orders keys=3"
    )
    found = as_json("lease delivered", fields=fields)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "INFO",
        "message": "lease delivered",
        "logger": "leaseholder.x",
        "namespace": "shop",
        "name": "orders",
        "keys": 3,
    }


def test_a_long_id_of_a_lease_is_cut_in_text_and_whole_in_json() -> None:
    fields = {"lease": "database/creds/orders/n1iUabcdefgh9Nu"}
    assert text("lease issued", fields=fields).endswith(" lease=…defgh9Nu")
    assert as_json("lease issued", fields=fields)["lease"] == fields["lease"]


@hypothesis.given(st.text(), st.text())
def test_whatever_a_field_holds_it_stays_one_line_and_one_field(value: str, words: str) -> None:
    line = text("%s", words, fields={"name": value, "why": "end"})
    assert line.isprintable()
    assert line.endswith(" why=end")
    found = as_json("x", fields={"name": value})
    assert found.get("name", "") == value


def test_a_value_cannot_forge_another_field_or_a_line() -> None:
    forged = 'x namespace=other "\n2026-01-01T00:00:00Z ERROR forged'
    line = text("lease issued", fields={"name": forged})
    assert line.count("\n") == 0
    quoted = line.partition(" name=")[2]
    assert json.loads(quoted) == forged


def test_no_field_takes_the_place_of_time_level_or_message() -> None:
    found = as_json("lease issued", fields={"message": "x", "level": "x", "time": "x"})
    assert (found["message"], found["level"]) == ("lease issued", "INFO")


def test_what_a_library_quotes_is_cut() -> None:
    quoting = [
        "Patching with: {'spec': '%s'}",
        "Patching failed with inconsistencies: (('remove', ('%s',)),)",
        "Task exception was never retrieved\nfuture: <Task %s>",
        "Body was [%s]",
    ]
    for message in quoting:
        for line in (
            text(message % SECRET, name="kopf.objects"),
            json.dumps(as_json(message % SECRET, name="asyncio")),
        ):
            assert SECRET not in line
    assert text("Patching with: {}", name="kopf.objects").endswith("kopf.objects: Patching with")


def test_an_exception_is_its_type_and_place() -> None:
    try:
        raise RuntimeError(SECRET)
    except RuntimeError as error:
        made = record("Handler failed.", name="kopf.objects", exc_info=(type(error), error, None))
    line = logs.Text().format(made) + logs.Json().format(made)
    assert SECRET not in line
    assert line.count("RuntimeError at tests.unit.telemetry.test_logs:") == 2


def test_kopfs_object_is_named() -> None:
    about = {"namespace": "shop", "name": "orders", "uid": "u", "kind": "DynamicLease"}
    line = text("Handler failed.", name="kopf.objects", k8s_ref=about, k8s_skip=True)
    assert line.endswith("kopf.objects: Handler failed. namespace=shop name=orders uid=u")
    assert as_json("x", name="kopf.objects", k8s_ref=about)["name"] == "orders"


@pytest.fixture
def root() -> typing.Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    known = logging.getLogger()
    before = known.level, known.handlers[:]
    yield known
    known.setLevel(before[0])
    known.handlers[:] = before[1]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_kopfs_own_work_is_for_debug(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    for level in ("INFO", "DEBUG"):
        logs.configure(level, log_format)
        logging.getLogger("kopf.objects").info("Handler 'sync' succeeded.")
        logging.getLogger("kopf.objects").warning("Handler 'sync' failed.")
        logging.getLogger("httpx2").info("HTTP Request: GET https://x")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "failed" in lines[0]
    assert "DEBUG" in lines[1]
    assert "succeeded" in lines[1]


def test_letters_of_names_need_no_quotes() -> None:
    plain = string.ascii_letters + string.digits + "./:@%+*,-_"
    assert text("x", fields={"a": plain}).endswith(f" a={plain}")
