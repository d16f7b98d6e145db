"""Documents of any depth are read, without what is too deep in them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api import base
from leaseholder.cluster import documents

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def deep(levels: int, opening: str = '{"a]":', closing: str = "}") -> str:
    return opening * levels + "1" + closing * levels


def depth(value: Any) -> int:
    levels = 0
    while value not in (1, None):
        value = value[0] if isinstance(value, list) else next(iter(value.values()))
        levels += 1
    return levels


@pytest.mark.parametrize("levels", [199, 200, 201, 400, 9_990])
@pytest.mark.parametrize(("opening", "closing"), [('{"a]":', "}"), ("[", "]")])
def test_what_is_too_deep_is_cut_out(levels: int, opening: str, closing: str) -> None:
    document = deep(levels, opening, closing).encode()
    found = json.loads(documents.shallow(document))
    assert depth(found) == min(levels, documents.DEEPEST)


def test_what_stands_beside_it_is_kept() -> None:
    text = f'{{"items": [{deep(5_000)}, {{"name": "other ]}}\\" [[["}}], "kind": "List"}}'
    found = documents.parse(text.encode())
    assert found["items"][1] == {"name": 'other ]}" [[['}
    assert found["kind"] == "List"


@given(VALUES)
def test_a_document_that_is_not_too_deep_is_read_as_it_is(value: Any) -> None:
    text = json.dumps([value, [[]] * documents.DEEPEST])
    assert json.loads(documents.shallow(text.encode())) == json.loads(text)


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"status": {"end": "2026-11-21T03:04:05Z"}}, "2026-11-21T03:04:05Z"),
        ({"status": {"end": "soon"}}, None),
        ({"status": {"end": ["2026"]}}, None),
        ({"status": {}}, None),
        ({"status": "2026-11-21T03:04:05Z"}, None),
        ({}, None),
        ([], None),
    ],
)
def test_a_moment_is_found_at_its_place_or_not_at_all(document: Any, found: str | None) -> None:
    moment = documents.moment(document, "status", "end")
    assert (None if moment is None else base.render_moment(moment)) == found


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"conditions": [{"type": "Stalled", "status": "False"}, {"type": "Ready"}]}, False),
        ({"conditions": [{"type": "Ready", "status": "True"}]}, True),
        ({"conditions": [{"type": "Ready", "status": "False"}]}, False),
        ({"conditions": [1, None]}, False),
        ({"conditions": {"type": "Ready", "status": "True"}}, False),
        ("Ready", False),
    ],
)
def test_whether_a_status_says_ready_is_read_whatever_it_holds(status: Any, says: bool) -> None:
    assert documents.says_ready({"status": status}) is says
    assert not documents.says_ready(None)
