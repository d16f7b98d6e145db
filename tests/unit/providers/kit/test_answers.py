"""The ladder of answers, and the tables of the three providers as parts of it."""

import dataclasses
import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.infisical import refusals as infisical
from leaseholder.providers.kit import answers, refusals
from leaseholder.providers.kit.refusals import Refusal, Refusals
from leaseholder.providers.openbao import api as openbao_api
from leaseholder.providers.openbao import refusals as openbao
from leaseholder.providers.phase import refusals as phase
from tests.unit.providers.support import CANARY


def read(answer: answers.Answer) -> str | None:
    try:
        said = json.loads(answer.content)
    except ValueError:
        return None
    return said.lower() if isinstance(said, str) else None


LADDER = Refusals(
    who="Somebody",
    read=read,
    throttled="too many",
    trouble="in trouble",
    strange="but not as Somebody does",
    otherwise=Refusal(0, "", Reason.INVALID, "not taken for {what}"),
    table=(
        Refusal(404, "^no lease", Reason.GONE, "no such lease", "gone"),
        Refusal(range(400, 500), "lease", Reason.DENIED, "no right to {what}", "right"),
        Refusal(503, None, Reason.UNAVAILABLE, "asleep", "asleep"),
        Refusal(500, "half done", Reason.UNAVAILABLE, "half done", unclear=True),
    ),
)


def answer(status: int, said: str | None = None, wait: float | None = None) -> answers.Answer:
    content = json.dumps(said).encode() if said is not None else b"<html>"
    return answers.Answer(status=status, content=content, retry_after=wait)


def error(status: int, said: str | None = None, *, effect: bool = False) -> errors.ProviderError:
    return LADDER.error(answer(status, said), effect=effect, source={"what": "x"})


def test_the_first_line_that_fits_counts() -> None:
    assert isinstance(error(404, "No lease here"), errors.LeaseGone)
    denied = error(403, "no lease")
    assert isinstance(denied, errors.Denied)
    assert denied.sentence == "Somebody answered 403: no right to x"
    assert LADDER.about(answer(404, "no lease")) == "gone"
    assert LADDER.about(answer(404, "a lease")) == "right"
    assert LADDER.about(answer(404, "else")) == ""


def test_what_no_line_is_about_is_a_request_that_is_not_taken() -> None:
    assert isinstance(error(400, "else"), errors.Invalid)


def test_a_refusal_is_looked_at_as_far_as_it_is_short() -> None:
    longest = refusals.LONGEST_REFUSAL
    assert LADDER.about(answer(403, "lease".rjust(longest))) == "right"
    assert LADDER.about(answer(403, "lease".rjust(longest + 1))) == ""
    assert isinstance(error(403, "lease".rjust(longest + 1)), errors.Invalid)


def test_a_429_is_throttled_whatever_it_says_and_tells_the_wait() -> None:
    throttled = LADDER.error(answer(429, "lease", wait=7.0))
    assert isinstance(throttled, errors.Throttled)
    assert throttled.retry_after == 7.0


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize(
    ("status", "said", "reason", "may_be_done"),
    [
        (502, None, Reason.UNAVAILABLE, True),
        (500, "half done", Reason.UNAVAILABLE, True),
        (503, None, Reason.UNAVAILABLE, False),
        (200, "fine", Reason.BAD_ANSWER, True),
        (302, "lease", Reason.BAD_ANSWER, False),
        (403, None, Reason.BAD_ANSWER, False),
    ],
)
def test_what_may_have_been_done_is_said_only_of_what_leaves_something_behind(
    status: int, said: str | None, reason: Reason, may_be_done: bool, effect: bool
) -> None:
    found = error(status, said, effect=effect)
    assert isinstance(found, errors.Unavailable)
    assert found.reason is reason
    assert found.sent is (effect and may_be_done)


def test_who_passes_refusals_on_may_have_done_what_was_asked_before() -> None:
    relaying = dataclasses.replace(LADDER, relayed=True)
    found = relaying.error(answer(403), effect=True)
    assert isinstance(found, errors.Unavailable)
    assert found.sent


def test_a_line_may_mean_something_else_where_something_else_was_asked() -> None:
    instead = {"gone": Refusal(0, "", Reason.SOURCE_MISSING, "nothing at {what}")}
    found = LADDER.error(answer(404, "no lease"), {"what": "x"}, instead=instead)
    assert found.reason is Reason.SOURCE_MISSING
    assert found.sentence == "Somebody answered 404: nothing at x"


@pytest.mark.parametrize("effect", [False, True])
def test_a_word_that_is_missing_costs_the_word_alone(effect: bool) -> None:
    found = LADDER.error(answer(403, "lease"), effect=effect)
    assert isinstance(found, errors.Denied)
    assert found.sentence == "Somebody answered 403: no right to ?"


@pytest.mark.parametrize("sentence", ["{", "}", "{}", "{0}", "{where.x}", "{where[x]}", "{x:d}"])
def test_a_sentence_that_cannot_be_told_is_no_line(sentence: str) -> None:
    with pytest.raises((ValueError, AttributeError, TypeError, IndexError)):
        Refusal(404, "", Reason.GONE, sentence)


TABLES: dict[str, tuple[Refusals, Any]] = {
    "infisical": (infisical.ERRORS, {}),
    "infisical's logins": (infisical.LOGIN_ERRORS, None),
    "phase": (phase.ERRORS, {}),
    "openbao": (openbao.ERRORS, None),
    "openbao's logins": (openbao.LOGIN_ERRORS, None),
    "openbao's issues": (
        dataclasses.replace(openbao.ERRORS, table=tuple(openbao.UNISSUED.values())),
        openbao_api.source({"path": "database/creds/x"}),
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_no_sentence_of_a_table_names_what_the_request_does_not_have(name: str) -> None:
    ladder, source = TABLES[name]
    words = ladder.words(answer(400), source) if source is not None else {}
    for line in (*ladder.table, ladder.otherwise):
        named = {field for _, field, _, _ in string.Formatter().parse(line.sentence) if field}
        assert named <= set(words), line.sentence


@pytest.mark.parametrize("name", TABLES)
@given(
    status=st.integers(200, 599),
    key=st.sampled_from(["error", "message", "errors", "reqId"]),
    start=st.sampled_from(["", "project with ", "lease not found ", "an internal error occurred "]),
)
def test_nothing_of_an_answer_gets_into_the_sentence(
    name: str, status: int, key: str, start: str
) -> None:
    ladder, source = TABLES[name]
    said = f"{start}{CANARY}"
    body = {"error": "x", "statusCode": status, key: [said] if key == "errors" else said}
    found = ladder.error(answers.Answer(status=status, content=json.dumps(body).encode()), source)
    assert CANARY not in f"{found.sentence} {found!r}"


class Row(answers.Wire):
    id: str


def listing(rows: object, status: int = 200) -> answers.Answer:
    return answers.Answer(status=status, content=json.dumps({"rows": rows}).encode())


async def listed(rows: object, status: int = 200) -> list[str]:
    found = await LADDER.listed(
        listing(rows, status), Row, under="rows", wanted=lambda row: row.get("ours") is True
    )
    return [one.id for one in found]


async def test_of_a_list_only_the_rows_that_are_wanted_are_read() -> None:
    ours = {"id": "a", "ours": True}
    assert await listed([ours, {"id": 5}, {"id": "b", "ours": False}]) == ["a"]


@pytest.mark.parametrize(
    "rows",
    [
        "none",
        [[]],
        [{"id": CANARY, "ours": True}] * (refusals.MOST_WANTED + 1),
        [{"id": [CANARY], "ours": True}],
    ],
)
async def test_a_list_that_makes_no_sense_is_told_without_its_words(rows: object) -> None:
    with pytest.raises(errors.Unavailable) as caught:
        await listed(rows)
    assert caught.value.reason is Reason.BAD_ANSWER
    assert caught.value.__context__ is None
    assert CANARY not in repr(caught.value)


async def test_a_refusal_of_a_list_is_that_refusal() -> None:
    with pytest.raises(errors.Denied):
        await LADDER.listed(
            answer(403, "lease"), Row, wanted=lambda _: True, source={"what": "rows"}
        )


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"row": {"id": "a", "more": 1}, "else": 2}, "a"),
        ({"row": {}}, None),
        ({"other": {"id": "a"}}, None),
        ({"id": "a"}, None),
        ([], None),
    ],
)
def test_what_stands_under_a_name_is_read_as_it_stands_there(
    said: object, found: str | None
) -> None:
    row = answers.Answer(status=200, content=json.dumps(said).encode()).parse(Row, under="row")
    assert (row.id if row is not None else None) == found
