"""Documents of any depth are read, without what is too deep in them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "It is.",
    "lastTransitionTime": "2026-11-21T03:00:00Z",
}
HELD = {
    "attempt": "a",
    "id": "lease",
    "issuedAt": "2026-11-21T03:00:00Z",
    "expiresAt": "2026-11-21T03:04:05Z",
    "strategy": "Renew",
}


@pytest.mark.parametrize(
    ("status", "ends"),
    [
        ({"conditions": [READY], "lease": HELD}, True),
        ({"conditions": [{**READY, "status": "False"}], "lease": HELD}, False),
        ({"conditions": [READY]}, False),
        ({"conditions": [READY], "lease": {**HELD, "expiresAt": "soon"}}, False),
        ({"conditions": [1, None], "lease": HELD}, False),
        ("Ready", False),
    ],
)
def test_when_a_lease_ends_is_read_in_status_whatever_else_it_holds(
    status: Any, ends: bool
) -> None:
    body = {"metadata": {"name": "orders"}, "spec": [[]], "status": status}
    found = documents.outline(json.dumps(body).encode())
    assert found is not None
    assert found.ends == (datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC) if ends else None)


def test_what_has_no_metadata_is_known_for_nothing() -> None:
    assert documents.outline(b'{"status": {}}') is None
    assert documents.outline(b'{"metadata": []}') is None
    assert documents.outline(deep(5_000).encode()) is None
