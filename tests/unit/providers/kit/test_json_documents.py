"""JSON is counted before it is built, and lists are read row by row."""

import asyncio
import json
import tracemalloc
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from leaseholder.providers.infisical import api
from leaseholder.providers.kit import json_documents
from leaseholder.providers.kit.answers import Answer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(st.text(max_size=6), JSON, max_size=4), max_size=6)


async def read(content: bytes, under: str | None = None) -> list[Any]:
    return [row async for row in json_documents.rows(content, under=under)]


@hypothesis.given(rows=ROWS)
async def test_a_list_is_read_as_json_would_be(rows: list[dict[str, Any]]) -> None:
    assert await read(json.dumps(rows).encode()) == rows


@hypothesis.given(rows=ROWS, before=JSON, after=JSON)
async def test_a_list_is_found_under_its_name(
    rows: list[dict[str, Any]], before: Any, after: Any
) -> None:
    whole = {"x": before, "leases": rows, "y": after, "z": {"leases": [{"not": "this"}]}}
    assert await read(json.dumps(whole).encode(), "leases") == rows


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"leases":{}}',
        b'{"leases":[1]}',
        b'{"leases":[[]]}',
        b'{"leases":[null]}',
        b'{"leases":[{}',
        b'{"leases":[NaN]}',
        b'{"x":{"leases":[{}]}}',
        b'[{"leases":[{}]}]',
        b'{"leases":[{"id":' + b"9" * 100_000 + b"}]}",
        b'{"leases":[{"id":1e999}]}',
        b'{"leases":[{"id":"\xff"}]}',
        b'{"leases":' + b"[" * 100_000,
        b'{"leases":[{"id":"' + b"a" * 100_000 + b'"}]}',
        b'{"leases":[' + b" " * 100_000 + b"]}",
        b'{"leases":[' + b'{"a":' * 100_000,
        b'{"leases":[' + b"{}," * json_documents.ROWS + b"{}]}",
        b'{"leases":[{"config":[' + b"{}," * json_documents.ROW_EVENTS + b"{}]}]}",
    ],
)
async def test_what_is_no_list_or_too_much_of_one_is_malformed(content: bytes) -> None:
    with pytest.raises(json_documents.Malformed) as caught:
        await read(content, "leases")
    assert caught.value.__context__ is None
    assert caught.value.args == ()


async def test_a_long_list_gives_the_loop_a_turn_every_two_kibibytes() -> None:
    content = json.dumps([{"id": "x", "n": number} for number in range(15_000)]).encode()
    turns, done = 0, False

    async def count() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    assert len(await read(content)) == 15_000
    done = True
    await counting
    assert turns >= len(content) / 2048


@pytest.mark.parametrize(
    "content",
    [
        b'{"lease":{},"data":{' + b'"a":{},' * 100_000 + b'"b":1}}',
        b'{"errors":[' + b"{}," * 100_000 + b"{}]}",
        b'{"inputs":' + b"[" * 100_000 + b"}",
        b'{"x":[' + b"1," * 400_000 + b"1]}",
    ],
)
def test_a_document_of_many_values_is_refused_before_anything_is_built(content: bytes) -> None:
    tracemalloc.start()
    try:
        found = Answer(status=200, content=content).parse(api.CreateAnswer)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found is None
    assert most < 2**16


def test_an_honest_document_is_modest() -> None:
    data = {f"KEY_{number}": "a" * 1000 for number in range(500)}
    assert json_documents.is_modest(json.dumps({"lease": {}, "data": data}).encode())
