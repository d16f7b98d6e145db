"""README, CONTRIBUTING and docs/ against the code: what they name is there, and lists are whole."""

import collections.abc
import functools
import pathlib
import re
import token
import tokenize
import typing
import xml.etree.ElementTree

import pydantic
import pytest
import yaml

from leaseholder import settings
from leaseholder.api import lease, names, provider, refs
from leaseholder.telemetry import catalogue
from tests import pages
from tests.world.phase import seeds

OF_TESTS: typing.Final = frozenset({"LEASEHOLDER_SEED"})
"""Variables that tests read, not the operator."""

each_page = pytest.mark.parametrize(
    "page", pages.PAGES, ids=lambda one: str(one.relative_to(pages.ROOT))
)


# ------------------------------------------------------------------------------ links


def anchors(page: pathlib.Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", pages.prose(page), flags=re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", one).lower() for one in headings)
    return {re.sub(r"[^\w\- ]", "", one).replace(" ", "-") for one in plain}


@each_page
def test_links_lead_to_what_is_there(page: pathlib.Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", pages.prose(page))
    assert [one for one in links if _broken(page, one)] == []


def _broken(page: pathlib.Path, link: str) -> bool:
    if re.match(r"https?://", link):
        return False
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return not target.exists() or bool(anchor and anchor not in anchors(target))


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = pages.read(pages.DOCS / "README.md")
    found = {str(page.relative_to(pages.DOCS)) for page in pages.DOCS.rglob("*.md")}
    assert {one for one in found - {"README.md"} if f"({one})" not in contents} == set()


# ------------------------------------------------------------------------------ words

EARLIER: typing.Final = re.compile(
    r"\b(?:mint(?:s|ed|ing)?|extend(?:s|ed|ing)?|extensions?|debts?|ow(?:e|es|ed|ing)|pa(?:y|ys|id)"
    r"|told|tell(?:s|ing)?|look(?:s|ed|ing)|(?:an?|the|one|each|next|first) look"
    r"|namesakes?|forerunners?)\b",
    re.IGNORECASE,
)
"""Words that the glossary replaces. "Look at the log" is said to people, and stays."""
GLOSSARY: typing.Final = pages.DOCS / "glossary.md"
WRITTEN: typing.Final = tuple(
    page
    for page in pages.PAGES
    if page not in (GLOSSARY, pages.ROOT / "CHANGELOG.md", pages.DOCS / "providers/conformance.md")
    and page.parent.name != "design"
    and not pages.read(page).startswith("<!-- Generated")
)
"""Pages that people write today: decisions keep the words of their day, others come from code."""

GENERATED: typing.Final = tuple(
    page
    for page in pages.PAGES
    if pages.read(page).startswith("<!-- Generated") and page.name != "conformance.md"
)
OF_TEXTS: typing.Final = re.compile(
    r"\b(?:mint(?:s|ed|ing)?|extend(?:s|ed|ing)?|extensions?|debts?|ow(?:e|es|ed|ing)|paid)\b",
    re.IGNORECASE,
)
"""What no page that is made from the code says any more."""


def plain(page: pathlib.Path) -> str:
    """What a reader reads: no code, no addresses of links."""
    return re.sub(r"`[^`]*`|\]\([^)]*\)", " ", pages.prose(page))


@pytest.mark.parametrize("page", WRITTEN, ids=lambda one: str(one.relative_to(pages.ROOT)))
def test_a_page_uses_the_words_of_the_glossary(page: pathlib.Path) -> None:
    assert EARLIER.findall(plain(page)) == []


OF_CODE: typing.Final = re.compile(
    r"mint(?:s|ed|ing)?|extend(?:s|ed|ing|able)?|extensions?|debts?|owe[sd]?|owing|pay(?:s|er|ing)?"
    r"|paid|tell(?:s|er|ing)?|told|untold|look(?:s|ed|ing)?|reinstat(?:e|ed)|namesakes?|forerunners?"
)
"""Parts of names that the glossary replaces."""
OF_OTHERS: typing.Final = frozenset({"extensions"})
"""What a library calls one of its own."""
SOURCES: typing.Final = tuple(sorted((pages.ROOT / "src").rglob("*.py")))
OF_TESTS_CODE: typing.Final = re.compile(
    r"(?:un)?mint(?:s|ed|ing)?|extend(?:s|ed|ing|able)?|extensions?|debts?|owe[sd]?|owing|paid"
    r"|namesakes?|forerunners?"
)
"""The same in tests, where people look at things and are told of them."""
IN_TESTS: typing.Final = re.compile(rf"(?<![a-z])(?:{OF_TESTS_CODE.pattern})(?![a-z])", re.I)
NAMED_BY_OTHERS: typing.Final = frozenset(
    {
        "add_extension",
        "chunk_extensions",
        "extend",
        "extensions",
        "ExtendedKeyUsage",
        "ExtendedKeyUsageOID",
        "short_chunk_extensions",
    }
)
"""What lists, certificates and HTTP call their own."""
ELSEWHERE: typing.Final = tuple(
    sorted(one for base in ("tests", "bench", "tools") for one in (pages.ROOT / base).rglob("*.py"))
)
SAID_BY_OTHERS: typing.Final = re.compile(
    r"chunk extensions?|extension ``most``|paid feature|extend-kubernetes"
)
OF_COMMENTS: typing.Final = re.compile(rf"{OF_TEXTS.pattern}|\b(?:namesakes?|forerunners?)\b", re.I)


def parts(name: str) -> list[str]:
    """The words of a name: ``renewal_at`` and ``CannotRenew`` have two each."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_").split("_")


def tokens(module: pathlib.Path) -> list[tokenize.TokenInfo]:
    with module.open("rb") as text:
        return [*tokenize.tokenize(text.readline)]


def names_of(module: pathlib.Path) -> set[str]:
    """The names in a module, and its own."""
    return {*(one.string for one in tokens(module) if one.type == token.NAME), module.stem}


def comments(module: pathlib.Path) -> list[str]:
    """Comments, and strings that are statements: docstrings."""
    found, begins = [], True
    for one in tokens(module):
        if one.type == token.COMMENT or (one.type == token.STRING and begins):
            found.append(SAID_BY_OTHERS.sub("", one.string))
        if one.type not in (token.COMMENT, token.NL):
            begins = one.type in (token.NEWLINE, token.INDENT, token.DEDENT, token.ENCODING)
    return found


@pytest.mark.parametrize("module", SOURCES, ids=lambda one: str(one.relative_to(pages.ROOT)))
def test_a_name_in_the_code_uses_the_words_of_the_glossary(module: pathlib.Path) -> None:
    used = names_of(module) - OF_OTHERS
    assert {one for one in used if any(map(OF_CODE.fullmatch, parts(one)))} == set()


def test_names_in_tests_and_all_comments_use_the_words_of_the_glossary() -> None:
    earlier = {}
    for module in (*SOURCES, *ELSEWHERE):
        if IN_TESTS.search(module.read_text()) is None:
            continue  # most have none, and to part a module into tokens takes long
        said = {one for text in comments(module) for one in OF_COMMENTS.findall(text)}
        names_ = names_of(module) - NAMED_BY_OTHERS if module in ELSEWHERE else set()
        said |= {one for one in names_ if any(map(OF_TESTS_CODE.fullmatch, parts(one)))}
        earlier[str(module.relative_to(pages.ROOT))] = said
    assert {module: said for module, said in earlier.items() if said} == {}


@pytest.mark.parametrize("page", GENERATED, ids=lambda one: str(one.relative_to(pages.ROOT)))
def test_what_the_code_says_to_users_has_no_earlier_word(page: pathlib.Path) -> None:
    assert OF_TEXTS.findall(plain(page)) == []


def test_the_glossary_says_what_stands_for_each_earlier_word() -> None:
    earlier = pages.rows(GLOSSARY, "Earlier word")
    assert earlier
    assert [one for one in earlier if not any(map(EARLIER.search, (one, f"a {one}")))] == []


def test_the_glossary_is_in_order_and_has_each_word_once() -> None:
    words = [one.replace("*", "").lower() for one in pages.rows(GLOSSARY, "Word")]
    assert len(words) > 20
    assert words == sorted({*words})


# --------------------------------------------------------------------------- pictures


def pictures() -> list[tuple[pathlib.Path, str, str]]:
    """Every picture of every page: the page, what is said of it, and its address."""
    pattern = r"!\[([^]]*)\]\(([^)\s]+)\)"
    return [(page, *one) for page in pages.PAGES for one in re.findall(pattern, pages.prose(page))]


def test_a_page_says_what_each_of_its_pictures_shows() -> None:
    assert len(pictures()) > 1
    assert [(page.name, path) for page, said, path in pictures() if len(said) < 40] == []


def test_a_picture_of_ours_says_by_itself_what_it_shows() -> None:
    for page, _, path in pictures():
        if path.endswith(".svg") and "/bench-" not in path:  # plots have what the page says of them
            root = xml.etree.ElementTree.parse(page.parent / path).getroot()
            named = root.attrib["aria-labelledby"].split()
            texts = {one.attrib.get("id"): one.text for one in root}
            assert all(texts.get(name) for name in named), path


def test_no_picture_is_left_over() -> None:
    shown = {(page.parent / path).resolve() for page, _, path in pictures()}
    assert {*(pages.DOCS / "images").iterdir()} - shown == set()


# --------------------------------------------------------------------------- settings


def variables() -> dict[str, typing.Any]:
    """Every setting's variable and default."""
    found: dict[str, typing.Any] = {}
    for name, field in settings.Settings.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, pydantic.BaseModel):
            inner = {f"{name}__{one}": known for one, known in nested.model_fields.items()}
        else:
            inner = {name: field}
        for path, known in inner.items():
            found[f"LEASEHOLDER_{path.upper()}"] = known.default
    return found


@each_page
def test_every_setting_that_is_named_exists(page: pathlib.Path) -> None:
    named = set(re.findall(r"LEASEHOLDER_[A-Z_]+[A-Z]", pages.read(page)))
    assert named - variables().keys() - OF_TESTS == set()


def test_every_setting_stands_on_the_page_of_the_installation_with_its_default() -> None:
    table = {
        name: cells[0] for name, cells in pages.rows(pages.DOCS / "install.md", "Variable").items()
    }
    known = variables()
    assert table.keys() == known.keys()
    told = {name: table[name].strip("`") for name in known}
    plain = {n: d for n, d in known.items() if isinstance(d, str | int | float) and d != ""}
    assert {n: told[n] for n in plain} == {n: _written(d) for n, d in plain.items()}


def _written(default: str | float) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return default if isinstance(default, str) else f"{default:g}"


# --------------------------------------------------------------------- targets of make


@each_page
def test_every_target_that_is_named_exists(page: pathlib.Path) -> None:
    code = "\n".join([*pages.blocks(page, "sh"), *re.findall(r"`([^`\n]+)`", pages.prose(page))])
    assert pages.made(code) - pages.targets()[0] == set()


def test_every_public_target_is_in_the_table_of_contributing() -> None:
    table = {
        one.removeprefix("make ") for one in pages.rows(pages.ROOT / "CONTRIBUTING.md", "Target")
    }
    assert pages.targets()[1] - table - {"help"} == set()


# ------------------------------------------------------------- providers, folders, roles


def test_every_provider_is_named_where_providers_are_listed() -> None:
    assert {*pages.NAMES} == {*refs.TYPES}
    for page in (pages.ROOT / "README.md", pages.DOCS / "README.md", pages.DOCS / "install.md"):
        assert [one for one in pages.NAMES.values() if one not in pages.prose(page)] == [], page
    for page, folder in ((pages.ROOT / "README.md", "docs/"), (pages.DOCS / "README.md", "")):
        links = [f"({folder}providers/{one}.md)" for one in pages.NAMES]
        assert [one for one in links if one not in pages.read(page)] == [], page
    examples = pages.ROOT / "deploy" / "examples"
    assert {one.name for one in examples.iterdir()} == {
        f"{one}-{part}.yaml" for one in pages.NAMES for part in ("provider", "lease")
    }


def test_no_provider_is_said_to_be_missing() -> None:
    status = pages.read(pages.ROOT / "README.md").split("## Status", 1)[1]
    assert [one for one in pages.NAMES.values() if one in status] == []


def test_the_layout_in_readme_is_that_of_the_checkout() -> None:
    table = pages.rows(pages.ROOT / "README.md", "Folder")
    told = {path for cell in table for path in _paths(cell)}
    assert {one for one in told if not (pages.ROOT / one).exists()} == set()
    packages = {path.parent for path in (pages.ROOT / "src/leaseholder").glob("*/__init__.py")}
    assert {str(one.relative_to(pages.ROOT)) for one in packages} - told == set()
    tops = {path.name for path in pages.ROOT.iterdir() if path.is_dir()} & KEPT_FOLDERS
    assert tops - told == set()


KEPT_FOLDERS: typing.Final = frozenset({"crds", "deploy", "docs", "tests", "bench", "tools"})


def _paths(cell: str) -> collections.abc.Iterator[str]:
    """The paths of a cell: ``a/{b,c}.py`, `d``; what has no folder stands beside the one before."""
    folder = ""
    for part in cell.replace("`", "").split(", ") if "{" not in cell else _braced(cell):
        folder = part.rpartition("/")[0] if "/" in part else folder
        yield part if "/" in part or not folder else f"{folder}/{part}"


def _braced(cell: str) -> list[str]:
    found = re.fullmatch(r"([^{]*)\{([^}]*)\}([^,`]*)`?(?:, `?([^`]*))?", cell)
    assert found is not None, cell
    before, inner, after, more = found.groups()
    return [f"{before}{one}{after}" for one in inner.split(",")] + ([more] if more else [])


def test_the_role_that_the_page_of_phase_asks_for_is_the_one_that_tests_have() -> None:
    asked = re.search(
        r"A role with two rights: (.*?)\. ", pages.read(pages.DOCS / "providers/phase.md")
    )
    assert asked is not None
    rights = {one.replace(": ", ":") for one in re.findall(r"`([^`]+)`", asked[1])}
    assert rights == {*seeds.RECOMMENDED}
    accounts = {one.id: one.role for one in seeds.default().accounts}
    roles = {one.name: one.permissions for one in seeds.default().roles}
    assert {*roles[accounts[seeds.DEMO_ACCOUNT]]} == rights


@each_page
def test_every_metric_that_is_named_exists(page: pathlib.Path) -> None:
    named = set(re.findall(r"leaseholder_[a-z_]+[a-z]", pages.read(page)))
    known = {one.name for one in catalogue.ALL}
    assert {re.sub("_(bucket|count|sum)$", "", one) for one in named} - known == set()


# -------------------------------------------------------------------------- manifests

MODELS: typing.Final[dict[str, type[pydantic.BaseModel]]] = {
    one.KIND: one
    for one in (lease.DynamicLease, provider.LeaseProvider, provider.ClusterLeaseProvider)
}


def test_every_manifest_is_one_that_the_models_take() -> None:
    ours = [(where, one) for where, one in pages.documents() if one.get("kind") in MODELS]
    assert len(ours) > 10
    assert {where: wrong for where, one in ours if (wrong := _wrong(one))} == {}


def test_every_part_of_a_manifest_is_one_that_the_models_take() -> None:
    """A block that begins with ``spec:`` is a part of a DynamicLease or of a provider."""
    parts = [
        (where, one) for where, one in pages.documents() if "kind" not in one and "spec" in one
    ]
    assert len(parts) > 1
    assert {where: wrong for where, one in parts if (wrong := _wrong(pages.completed(one)))} == {}


def _wrong(document: pages.Document) -> str:
    meta = {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    whole = {**document, "metadata": {**meta, **document["metadata"]}}
    try:
        MODELS[document["kind"]].model_validate(whole)
    except pydantic.ValidationError as error:
        return str(error)
    return ""


# ------------------------------------------------------------- kubectl, fields, labels

CORE: typing.Final = frozenset(
    {
        "namespace",
        "secret",
        "pods",
        "clusterrole",
        "clusterrolebinding",
        "rolebinding",
        "event",
        "events",
        "deployment",
        "configmap",
        "vaultdynamicsecrets",
    }
)


@functools.cache
def schemas() -> dict[str, pages.Document]:
    """The schema of each of our kinds, by its plural, singular and short names."""
    found: dict[str, pages.Document] = {}
    for path in (pages.ROOT / "crds").glob("*.yaml"):
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        schema = spec["versions"][0]["schema"]["openAPIV3Schema"]
        known = spec["names"]
        for name in (known["plural"], known["singular"], *known.get("shortNames", ())):
            found[name] = schema
    return found


def test_every_kind_that_a_command_asks_for_exists() -> None:
    verbs = r"(?:get|describe|delete|annotate|patch|create) "
    asked = [
        found[1]
        for one in pages.commands("kubectl")
        if (found := re.search(rf"{verbs}([a-z]+)", one))
    ]
    assert len(asked) > 10
    assert {*asked} - schemas().keys() - CORE == set()


def test_every_field_that_a_command_shows_exists() -> None:
    missing = []
    for command in pages.commands("kubectl"):
        kind = re.search(r"(?:get|describe) ([a-z]+)", command)
        if kind is None or kind[1] not in schemas():
            continue
        shown = re.findall(r"jsonpath='\{(\.[^}]*)\}'", command)
        columns = re.search(r"custom-columns=(\S+)", command)
        shown += re.findall(r":(\.[^,\s]+)", columns[1]) if columns else []
        missing += [path for path in shown if not _has(schemas()[kind[1]], path)]
    assert missing == []


def test_every_field_that_is_named_in_prose_exists() -> None:
    pattern = r"`((?:spec|status)\.[A-Za-z][A-Za-z.\[\]]*)`"
    named = {one for page in pages.PAGES for one in re.findall(pattern, pages.prose(page))}
    assert len(named) > 10
    ours = {id(one): one for one in schemas().values()}.values()
    missing = {one for one in named if not any(_has(schema, f".{one}") for schema in ours)}
    assert missing - FOREIGN == set()


FOREIGN: typing.Final = frozenset({"spec.restartAt", "spec.revoke", "spec.leaseRevocationPolicy"})
"""Fields of others: Argo's Rollout, Vault Secrets Operator, Infisical's operator."""


def _has(schema: pages.Document, path: str) -> bool:
    """Whether a schema has the field of a path such as ``.status.conditions[?(…)].message``."""
    for part in re.sub(r"\[[^]]*\]", "[]", path).lstrip(".").split("."):
        name = part.removesuffix("[]")
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            return True
        schema = schema.get("properties", {}).get(name, {}) if name != "metadata" else METADATA
        if part.endswith("[]"):
            schema = schema.get("items", {})
        if not schema:
            return False
    return True


METADATA: typing.Final[pages.Document] = {
    "properties": {name: {"type": "string"} for name in ("name", "namespace", "uid")}
}


@each_page
def test_every_label_and_annotation_that_is_named_is_one_of_ours(page: pathlib.Path) -> None:
    # Not what kubectl prints: dynamiclease.leaseholder.dev/orders-db.
    named = set(re.findall(r"(?<!\.)leaseholder\.dev/([a-z][a-z0-9-]*)", pages.read(page)))
    known = {str(one).rpartition("/")[2] for one in vars(names).values() if isinstance(one, str)}
    code = {
        found
        for path in (pages.ROOT / "src").rglob("*.py")
        for found in re.findall(r"\{names\.GROUP\}/([a-z-]+)", path.read_text(encoding="utf-8"))
    }
    assert named - known - code == set()
