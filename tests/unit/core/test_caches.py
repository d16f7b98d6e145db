"""What is kept is bounded in bytes, whatever tenants ask for, and goes with its owner."""

import gc
import tracemalloc
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api import names
from leaseholder.core import contents, templates
from leaseholder.core.caches import ByteCache
from leaseholder.ports.secrets import SecretView
from tests.unit.core import views

MIB = 2**20
ACTS = st.lists(
    st.tuples(st.sampled_from(["keep", "get", "forget"]), st.integers(0, 9), st.integers(0, 120)),
    max_size=60,
)


@given(ACTS)
def test_never_more_is_kept_than_was_said_and_what_is_given_was_kept(
    acts: list[tuple[str, int, int]],
) -> None:
    cache = ByteCache[int, str](100)
    last: dict[int, tuple[str, int]] = {}
    for number, (act, key, size) in enumerate(acts):
        match act:
            case "keep":
                assert cache.keep(key, str(number), size) == str(number)
                last[key] = str(number), size
            case "forget":
                cache.forget(key)
                last.pop(key, None)
            case _:
                assert cache.get(key) in (None, last.get(key, (None, 0))[0])
        assert cache.size <= 100
        assert len(cache) <= len(last)
        assert cache.size == sum(last[k][1] for k in last if cache.get(k) is not None)


def _template(number: int, places: int = 150) -> dict[str, object]:
    text = f"{number}" + "{{ DB_USERNAME | replace('a', 'b') }} " * places
    return {"target": {"template": {"data": {"X": text}}}}


def test_what_a_template_is_said_to_take_is_about_what_it_takes() -> None:
    templates.compiled({"X": "{{ DB_USERNAME }}"})
    texts = {"X": "{{ DB_USERNAME | replace('a', 'b') }} " * 150}
    gc.collect()
    tracemalloc.start()
    compiled = templates.compiled(texts)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / 2 < compiled.size < taken * 3


def test_edits_of_a_template_keep_one_and_its_owners_end_none() -> None:
    before = contents._templates.size
    assert contents.digest(views.lease(_template(0))) != ""
    one = contents._templates.size - before
    for number in range(1, 40):
        assert contents.digest(views.lease(_template(number % 10))) != ""
    assert contents._templates.size - before == one
    contents.forget(views.UID)
    assert contents._templates.size <= before


def test_a_template_that_can_not_be_read_is_told_each_time_and_read_once() -> None:
    broken = views.lease({"target": {"template": {"data": {"X": "{{ " * 1000}}}})
    found = [contents.fault(broken, None) for _ in range(3)]
    assert len({str(one) for one in found}) == 1
    assert found[0] is not None


def test_notes_of_any_length_take_a_bounded_part_of_memory() -> None:
    held = views.record()
    tracemalloc.start()
    for number in range(60):
        contents.noted(_noting(views.secret(held), f'{{"own":["{number}", "{"x" * 200_000}"]}}'))
        broken = _noting(views.secret(held), f'{{"own":[{number}{",1" * 100_000}]}}')
        assert contents.noted(broken) is None
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after < 8 * MIB
    assert peak < 16 * MIB


def _noting(secret: SecretView, note: str) -> SecretView:
    return replace(secret, annotations={**secret.annotations, names.CONTENTS: note})
