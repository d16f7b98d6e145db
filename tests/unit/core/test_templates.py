import pathlib
import re
import shlex
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from types import TracebackType

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from leaseholder import errors
from leaseholder.api import lease
from leaseholder.api.conditions import Reason
from leaseholder.core import filters, templates

VALUES = {"DB_USERNAME": "dyn-user", "DB_PASSWORD": "p@ss:w/rd %ü"}
URL = "postgresql://{{ DB_USERNAME }}:{{ DB_PASSWORD | urlquote }}@db/orders"
MANY = lease.MOST_TEMPLATE_BYTES


def attempt(text: str, values: Mapping[str, str]) -> errors.Invalid | None:
    """The error with which a text isn't compiled or rendered; None where it is."""
    try:
        templates.compiled({"KEY": text}).rendered(values)
    except errors.Invalid as error:
        return error
    return None


def refusal(text: str, values: Mapping[str, str] = VALUES) -> str:
    """The sentence with which a text isn't compiled or rendered."""
    error = attempt(text, values)
    assert error is not None
    assert error.reason is Reason.TEMPLATE_INVALID
    return error.sentence


def made(text: str, values: Mapping[str, str] = VALUES) -> str:
    return templates.compiled({"KEY": text}, "Replace").rendered(values)["KEY"]


def test_a_connection_string_is_put_beside_the_providers_own_keys() -> None:
    template = templates.compiled({"DATABASE_URL": URL})
    url = "postgresql://dyn-user:p%40ss%3Aw%2Frd%20%25%C3%BC@db/orders"
    assert template.rendered(VALUES) == {**VALUES, "DATABASE_URL": url}
    assert template.variables == {"DB_USERNAME", "DB_PASSWORD"}


def test_replace_keeps_only_the_keys_of_the_template() -> None:
    template = templates.compiled({"user": "{{ DB_USERNAME }}"}, "Replace")
    assert template.rendered(VALUES) == {"user": "dyn-user"}


def test_a_text_under_a_providers_key_takes_its_place() -> None:
    template = templates.compiled({"DB_PASSWORD": "{{ DB_PASSWORD | json }}"})
    assert template.rendered(VALUES)["DB_PASSWORD"] == '"p@ss:w/rd %ü"'


def test_without_texts_the_data_are_the_providers_own() -> None:
    assert templates.compiled({}).rendered(VALUES) == VALUES


def test_a_digest_tells_templates_apart_and_not_the_order_of_their_keys() -> None:
    some = templates.compiled({"a": "1", "b": "2"}).digest
    assert some == templates.compiled({"b": "2", "a": "1"}).digest
    others = [
        templates.compiled({"a": "1", "b": "2"}, "Replace"),
        templates.compiled({"a": "2", "b": "1"}),
        templates.compiled({"a": "1"}),
    ]
    assert len({some, *(other.digest for other in others)}) == 4
    assert len(some) == 16


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user={{ DB_USERNAME }}\n", "user=dyn-user\n"),
        ("a {{- ' b ' -}} c", "a b c"),
        ("a{# a remark #}b", "ab"),
        ("{% raw %}{{ kept }}{% endraw %}", "{{ kept }}"),
        ("{{ 'a' 'b' }}", "ab"),
        ("{{ (DB_USERNAME) }}", "dyn-user"),
        ("a\r\nb{{ '\\r\\n' }}", "a\nb\r\n"),
        ("", ""),
    ],
)
def test_texts_mean_what_they_mean_to_jinja(text: str, expected: str) -> None:
    assert made(text) == expected


@pytest.mark.parametrize(
    ("written", "value", "expected"),
    [
        ("urlquote", "a/b:c@d e~", "a%2Fb%3Ac%40d%20e~"),
        ("b64encode", "grün", "Z3LDvG4="),
        ("b64decode", " Z3LD\nvG4=\n", "grün"),
        ("json", 'a"b\\c\nü', '"a\\"b\\\\c\\nü"'),
        ("shellquote", "it's $HOME", "'it'\"'\"'s $HOME'"),
        ("trim", "\n key \n", "key"),
        ("replace(':', '\\\\:')", "a:b", "a\\:b"),
        ("trim | urlquote", " a b ", "a%20b"),
    ],
)
def test_filters_make_what_a_format_needs(written: str, value: str, expected: str) -> None:
    assert made("{{ X | " + written + " }}", {"X": value}) == expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_quoted_is_read_back_as_it_was(value: str) -> None:
    values = {"X": value}
    assert urllib.parse.unquote(made("{{ X | urlquote }}", values)) == value
    assert shlex.split(made("{{ X | shellquote }}", values)) == [value]
    assert made("{{ X | b64encode | b64decode }}", values) == value


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{% for x in y %}{% endfor %}", "line 1: a loop isn't taken"),
        ("{% if x %}{% endif %}", "a condition isn't taken"),
        ("{% set x = 1 %}", "assign of Jinja isn't taken"),
        ("{% filter json %}{% endfilter %}", "filterblock of Jinja isn't taken"),
        ("{% include 'x' %}", "include of Jinja isn't taken"),
        ("\n\n{{ f(1) }}", "line 3: a call isn't taken"),
        ("{{ f() | trim }}", "a call isn't taken"),
        ("{{ 2 * 3 }}", "arithmetic isn't taken"),
        ("{{ a-b }}", "arithmetic (or a name with a hyphen) isn't taken"),
        ("{{ a.b }}", "an attribute (or a name with a dot) isn't taken"),
        ("{{ a['b'] }}", "an index isn't taken"),
        ("{{ a ~ b }}", "joining with ~ isn't taken"),
        ("{{ a is defined }}", "a test isn't taken"),
        ("{{ a, b }}", "a list isn't taken"),
        ("{{ {'a': 1} }}", "a mapping isn't taken"),
        ("{{ 5432 }}", "a constant that isn't a text in quotes isn't taken"),
        ("{{ none }}", "a constant that isn't a text in quotes isn't taken"),
        ("{{ a | replace(b, 'c') }}", "name of Jinja isn't taken"),
        ("a\n{{ b", "line 2: unexpected end of template"),
        ("{% wrong %}", "line 1: Encountered unknown tag 'wrong': write only"),
        ("{{" + "(" * 3000 + "}}", "it can't be read"),
        ("{{ " + "9" * 5000 + " }}", "it can't be read"),
        ("{{ \u0661.\u0662 }}", "it can't be read"),
    ],
)
def test_what_is_not_taken_is_named_with_what_to_write_instead(text: str, what: str) -> None:
    told = refusal(text)
    assert told.startswith("template.data.KEY: ")
    assert what in told
    assert "write only {{ NAME }} and {{ NAME | filter }}" in told
    assert "urlquote" in told


def test_an_unknown_filter_is_told_with_those_that_there_are() -> None:
    told = refusal("{{ DB_PASSWORD | urlencode }}")
    assert "line 1: there is no filter urlencode: write one of b64decode, b64encode" in told


@pytest.mark.parametrize(
    ("written", "usage"),
    [
        ("trim('x')", "trim"),
        ("replace('x')", "replace('old', 'new')"),
        ("replace('x', new='y')", "replace('old', 'new')"),
        ("replace(*x)", "replace('old', 'new')"),
        ("replace(**x)", "replace('old', 'new')"),
    ],
)
def test_wrong_arguments_of_a_filter_are_told_with_the_right_ones(written: str, usage: str) -> None:
    assert refusal("{{ X | " + written + " }}").endswith(f"write the filter as {usage}")


@pytest.mark.parametrize("text", ["{{ '\\ud800' }}", "a\ud800", "{{ X | replace('\\udfff', '') }}"])
def test_half_a_character_is_refused(text: str) -> None:
    assert "a lone surrogate is no character: leave it out" in refusal(text)


def test_texts_of_64_kib_are_taken_and_more_are_not() -> None:
    template = templates.compiled({"a": "ü" * (MANY // 4), "b": "x" * (MANY // 2)})
    assert len(template.rendered({})) == 2
    assert refusal("x" * (MANY + 1)).endswith("65537 bytes are too many: write at most 65536")


def test_a_missing_name_is_told_with_those_that_there_are_and_a_preview() -> None:
    told = refusal(URL.replace("DB_PASSWORD", "DB_PASSWD"))
    assert told == (
        "template.data.KEY: there is no DB_PASSWD, only DB_PASSWORD, DB_USERNAME; preview: "
        "postgresql://{{ DB_USERNAME }}:‹missing DB_PASSWD›@db/orders"
    )


def test_missing_names_are_told_before_there_are_any_values() -> None:
    template = templates.compiled({"KEY": URL})
    template.require(["DB_USERNAME", "DB_PASSWORD", "more"])
    with pytest.raises(
        errors.Invalid, match="there is no DB_PASSWORD, DB_USERNAME, only an empty answer"
    ):
        template.require([])


def test_a_preview_shows_places_as_they_were_written() -> None:
    text = "{{ 'a' | replace('b', 'c') }}\n{{ X | trim | json }} {{ GONE }}"
    told = refusal(text, {"X": "value"})
    preview = "{{ 'a' | replace('b', 'c') }}⏎{{ X | trim | json }} ‹missing GONE›"
    assert told.endswith(f"preview: {preview}")


def test_a_preview_is_cut_around_what_is_missing() -> None:
    told = refusal("a" * 500 + "{{ GONE }}" + "b" * 500, {})
    preview = told.partition("preview: ")[2]
    assert preview == f"…{'a' * 100}‹missing GONE›{'b' * 86}…"


@pytest.mark.parametrize(
    ("text", "value", "why"),
    [
        ("a\n{{ X | b64decode }}", "%", "line 2: b64decode: the value isn't base64 of a text"),
        ("{{ X | b64decode }}", "/w==", "line 1: b64decode: the value isn't base64 of a text"),
        ("{{ X | b64decode }}", "ü", "line 1: b64decode: the value isn't base64 of a text"),
        ("{{ X | replace('', 'abc') }}", "x" * 500_000, "replace: more than 1 MiB would come"),
        ("{{ X | json }}", '"' * 600_000, "line 1: too much text comes of it"),
        ("{{ X | replace('a', '') }}" * 5, "a" * 1_000_000, "too much text comes of it"),
        ("{{ X }}", "\ud800", "line 1: the value isn't a text in UTF-8"),
    ],
)
def test_a_value_that_can_not_be_filled_in_is_told_without_it(
    text: str, value: str, why: str
) -> None:
    told = refusal(text, {"X": value})
    assert why in told
    assert "; preview: " in told
    assert "‹{{ X" in told
    assert value not in told.partition("; preview")[0].replace("b64decode", "")


def test_a_secret_of_more_than_1_mib_is_refused() -> None:
    value = "x" * (filters.MOST // 2)
    assert "a Secret holds at most 1 MiB" in refusal("{{ X }}{{ X }}", {"X": value})
    assert len(made("{{ X }}{{ X }}", {"X": value})) == filters.MOST


WORDS = st.sampled_from(
    [
        *(
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "-",
            "|",
            "(",
            ")",
            "'",
            '"',
            "[",
            "]",
            ".",
            ",",
            "~",
        ),
        *("X", "Y", " ", "\n", "\\", "1", "1e9", "_", "for", "in", "if", "else", "endif", "raw"),
        *("endraw", "set", "=", "not", "is", "**", "true", "ü", "\ud800", "\x00", "{", "%"),
        *(" | ", *filters.FILTERS, "replace('a', 'b')"),
    ]
)
TEXTS = st.one_of(
    st.text(st.characters()),
    st.lists(WORDS, max_size=40).map("".join),
    st.lists(WORDS, max_size=12).map(lambda words: "{{ " + " ".join(words) + " }}"),
    st.lists(st.sampled_from(sorted(filters.FILTERS)), max_size=6).map(
        lambda names: "{{ " + " | ".join(["X", *names]) + " }}"
    ),
)


def shown(trace: TracebackType | None) -> Iterator[str]:
    """What a reporter that shows variables would show of the frames that aren't ours here."""
    while trace is not None:
        if trace.tb_frame.f_globals["__name__"] != __name__:
            yield repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


@given(text=TEXTS, value=st.text(st.characters(), max_size=50))
def test_any_text_is_compiled_and_rendered_or_refused_without_a_value(
    text: str, value: str
) -> None:
    canary = f"canary-{value}-yranac"
    error = attempt(text, {"X": canary, "Z": f"{canary}!"})
    if error is not None:
        assert "canary" not in error.sentence
        assert error.__context__ is None
        assert error.__cause__ is None
        assert "canary" not in "".join(shown(error.__traceback__))


@pytest.mark.parametrize(
    ("opening", "word", "end"),
    [
        ("", "{{X}}", ""),
        ("{{X", "|trim", "}}"),
        ("{{", "(", "}}"),
        ("{{", "not ", "X}}"),
        ("{{", "X if ", "X}}"),
        ("{{", "X.", "}}"),
        ("{{", "1_", "1}}"),
        ("{{", "''", "}}"),
        ("", "{% if X %}", ""),
        ("", "{% raw %}", ""),
        ("", "\n{{-X}}", ""),
    ],
)
def test_the_longest_texts_are_read_in_bounded_time(opening: str, word: str, end: str) -> None:
    room = MANY - len(opening) - len(end)
    text = opening + word * (room // len(word)) + end
    before = time.process_time()
    attempt(text, {"X": "x" * 10})
    assert time.process_time() - before < 0.5  # ten times what it takes


@pytest.mark.parametrize("word", ["{{X}}", "{{ X | trim }}\n", "{{X|trim|trim|trim}}", "{{ X~X }}"])
def test_more_places_than_can_be_read_in_passing_are_refused(word: str) -> None:
    texts = {f"KEY{number}": word * 600 for number in range(5)}
    with pytest.raises(errors.Invalid, match="write at most 400 places") as told:
        templates.compiled(texts)
    assert told.value.reason is Reason.TEMPLATE_INVALID


def test_as_many_places_as_are_promised_are_read() -> None:
    made = templates.compiled({"A": "{{ X | trim }}\n" * 200, "B": "{{ X | json }}\n" * 200})
    assert made.rendered({"X": "x"})["B"] == '"x"\n' * 200


def test_the_greatest_values_are_rendered_in_bounded_time() -> None:
    before = time.process_time()
    assert "too long" in refusal("{{X|urlquote|replace('%22','')}}" * 200, {"X": '"' * 300_000})
    assert time.process_time() - before < 5


def test_what_few_letters_make_holds_nobody_up() -> None:
    many = "😀" * 3_000
    grown = f"{{{{ '{'b' * 340}' | replace('b', '{many}') | urlquote }}}}"
    assert "urlquote: the text is too long for it" in refusal(grown)  # before it begins


def test_a_text_that_is_too_long_for_a_filter_is_told_so() -> None:
    assert len(made("{{ X | urlquote }}", {"X": "é" * 100_000})) == 600_000
    told = refusal("{{ X | urlquote }}", {"X": "é" * 150_000})
    assert "line 1: urlquote: the text is too long for it" in told


def test_a_template_shows_no_text_of_its_own() -> None:
    assert "dyn" not in repr(templates.compiled({"KEY": "dyn"}))


PAGE = (pathlib.Path(__file__).parents[3] / "docs" / "templates.md").read_text()
TABLE = PAGE.partition("## Filters")[2].partition("## Merge")[0]


def test_the_examples_for_users_render() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for example in examples:
        wanted = lease.Template.model_validate(
            yaml.safe_load(example)["spec"]["target"]["template"]
        )
        rendered = templates.compiled(wanted.data, wanted.merge_policy).rendered(VALUES)
        assert set(wanted.data) <= set(rendered)
    assert len(examples) == 4


def test_the_table_of_filters_for_users_is_right_and_whole() -> None:
    rows = re.findall(r"^\| `(.+?)` \| .+ \| `(.+)` \| `(.+)` \|$", TABLE, re.MULTILINE)
    for written, value, becomes in rows:
        assert made("{{ X | " + written + " }}", {"X": value}) == becomes
    assert {written.partition("(")[0] for written, _, _ in rows} == set(filters.FILTERS)
