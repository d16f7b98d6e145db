"""What the note on a Secret says of its data, and what the seal proves."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api import names
from leaseholder.core import contents
from leaseholder.secrecy import Credentials
from tests.unit.core import views

VALUES = st.dictionaries(st.sampled_from(["A", "B", "C", "D"]), st.text(max_size=4), min_size=1)
RECORD = views.record()


@given(VALUES)
def test_what_was_written_holds_and_a_changed_value_does_not(values: dict[str, str]) -> None:
    filling = contents.filled(views.lease(), RECORD, values)
    whole = replace(views.secret(), values=filling.values, keys=tuple(filling.values.keys()))
    assert contents.holds(whole, RECORD, filling.contents)
    key = min(values)
    edited = views.changed(whole, **{key: values[key] + "!"})
    assert not contents.holds(edited, RECORD, filling.contents)


@given(VALUES)
def test_data_that_lacks_a_key_of_its_note_does_not_hold(values: dict[str, str]) -> None:
    filling = contents.filled(views.lease(), RECORD, values)
    less = {key: value for key, value in values.items() if key != min(values)}
    assert not contents.holds(
        replace(views.secret(), values=Credentials(less)), RECORD, filling.contents
    )


@pytest.mark.parametrize("seal", ["é", "x", "0" * 31])
def test_a_note_with_a_seal_that_is_none_is_no_note(seal: str) -> None:
    note = json.dumps({"own": ["A"], "seal": seal})
    assert contents.noted(replace(views.secret(), annotations={names.CONTENTS: note})) is None


def test_a_note_of_a_version_that_notes_more_still_proves_the_data() -> None:
    filling = contents.filled(views.lease(), RECORD, {"A": "x"})
    note = {**json.loads(filling.contents.text()), "addedLater": ["A"]}
    marked = {names.CONTENTS: json.dumps(note)}
    whole = replace(views.secret(), values=filling.values, annotations=marked)
    read = contents.noted(whole)
    assert read == filling.contents
    assert contents.holds(whole, RECORD, read)


class _Newer(contents.Contents):
    """A note with a field that a later version may have."""

    added_later: tuple[str, ...] = ("A",)


def test_a_seal_is_the_same_whatever_fields_notes_get_and_in_every_version() -> None:
    filling = contents.filled(views.lease(), RECORD, {"A": "x"})
    whole = replace(views.secret(), values=filling.values)
    assert contents.holds(whole, RECORD, _Newer.model_validate(filling.contents.dump()))
    # With another one, an upgrade would replace the lease in every Secret.
    assert filling.contents.seal == "22fa50c2fca218a80fcfd9cf902e467b"


@given(VALUES)
def test_a_seal_is_worth_nothing_for_another_record(values: dict[str, str]) -> None:
    filling = contents.filled(views.lease(), RECORD, values)
    whole = replace(views.secret(), values=filling.values)
    assert not contents.holds(whole, views.record(2), filling.contents)


@given(VALUES, st.sampled_from(["Merge", "Replace"]), st.sampled_from(["A", "E"]))
def test_what_is_rendered_anew_is_what_a_delivery_would_write(
    values: dict[str, str], policy: str, key: str
) -> None:
    old = views.lease()
    name = min(values)
    template = {"data": {key: f"<{{{{ {name} }}}}>"}, "mergePolicy": policy}
    new = views.lease({"target": {"template": template}})
    first = contents.filled(old, RECORD, values)
    whole = replace(views.secret(), values=first.values)
    assert contents.refillable(new, first.contents)
    again = contents.refilled(new, RECORD, whole, first.contents)
    fresh = contents.filled(new, RECORD, values)
    assert again.values.reveal() == fresh.values.reveal()
    assert again.contents == fresh.contents


def test_the_note_on_a_secret_names_keys_and_no_value() -> None:
    filling = contents.filled(views.lease(), RECORD, {"DB_PASSWORD": "hunter2"})
    assert "DB_PASSWORD" in filling.contents.text()
    assert "hunter2" not in filling.contents.text()


def test_a_template_that_can_not_be_read_renders_nothing_anew() -> None:
    broken = views.lease({"target": {"template": {"data": {"URL": "{{ 1 + 1 }}"}}}})
    rendered = views.lease({"target": {"template": {"data": {"URL": "{{ A }}"}}}})
    filling = contents.filled(rendered, RECORD, {"A": "x"})
    assert contents.refillable(broken, filling.contents) is False
