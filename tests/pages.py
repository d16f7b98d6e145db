"""The pages of the documentation, read: their prose, blocks of code, tables and manifests."""

import collections.abc
import functools
import pathlib
import re
import textwrap
import typing

import yaml

from leaseholder.api import names

Document = dict[str, typing.Any]
ROOT: typing.Final = pathlib.Path(__file__).parents[1]
DOCS: typing.Final = ROOT / "docs"
PAGES: typing.Final = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.rglob("*.md")),
)
NAMES: typing.Final = {"infisical": "Infisical", "phase": "Phase", "openbao": "OpenBao"}
"""How a provider type is called in prose; Vault goes with OpenBao."""


@functools.cache
def read(page: pathlib.Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: pathlib.Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^( *)```.*?^\1```$", "", read(page), flags=re.DOTALL | re.MULTILINE)


def blocks(page: pathlib.Path, language: str) -> list[str]:
    """The blocks of code of a language; those of lists without their indentation."""
    pattern = rf"^( *)```{language}\n(.*?)^\1```$"
    found = re.findall(pattern, read(page), flags=re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def commands(program: str) -> list[str]:
    """Every command of a program in the shell blocks of all pages, on one line each."""
    text = "\n".join(block for page in PAGES for block in blocks(page, "sh"))
    joined = re.sub(r"\\\n\s*", "", text)
    return re.findall(rf"\b{program} [^\n;|)]*", joined)


def rows(page: pathlib.Path, heading: str) -> dict[str, list[str]]:
    """The cells of a table's rows, by the first one without its backticks."""
    table = read(page).split(f"| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    cells = ([cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table)
    return {first.strip("`"): rest for first, *rest in cells}


def targets() -> tuple[set[str], set[str]]:
    """The targets of the Makefile: all, and those that ``make help`` lists."""
    text = read(ROOT / "Makefile")
    every = set(re.findall(r"^([a-z][a-z-]*):", text, flags=re.MULTILINE))
    return every, set(re.findall(r"^([a-z][a-z-]*):.*##", text, flags=re.MULTILINE))


def made(code: str) -> set[str]:
    """The targets that lines of a shell make."""
    pattern = r"(?:^|[;&(] ?)(?:[A-Z_]+=\S* )*make (?:-s )?([a-z][a-z-]*)"
    return set(re.findall(pattern, code, re.MULTILINE))


def documents() -> collections.abc.Iterator[tuple[str, Document]]:
    """Every YAML document of every page, and where it stands."""
    for page in PAGES:
        for number, block in enumerate(blocks(page, "yaml"), start=1):
            for document in yaml.safe_load_all(block):
                yield f"{page.relative_to(ROOT)}, block {number}", document


def completed(part: Document) -> Document:
    """A part that begins with ``spec:``, made a whole DynamicLease or LeaseProvider."""
    meta = {"name": "orders-db", "namespace": "shop"}
    spec = dict(part["spec"])
    kind = "DynamicLease" if not {*spec} & {"limits", "probe", "sweep"} else "LeaseProvider"
    if kind == "DynamicLease":
        spec = {"providerRef": {"name": "infisical"}, **spec}
        if not {*spec} & {*NAMES}:
            spec["infisical"] = {
                "projectSlug": "d",
                "environmentSlug": "p",
                "dynamicSecretName": "o",
            }
    elif not {*spec} & {*NAMES}:
        token = {"tokenSecretRef": {"name": "infisical-auth", "key": "token"}}
        spec["infisical"] = {"url": "https://us.infisical.com", "auth": {"tokenAuth": token}}
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": meta, "spec": spec}
