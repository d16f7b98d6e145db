"""Names and types that a target Secret mustn't have."""

import pathlib
import re

import pytest

from leaseholder.api import reserved

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "security.md"


@pytest.mark.parametrize(
    "name",
    [
        "team",
        "example.com/team",
        "app.kubernetes.io/name",
        "reloader.stakater.com/match",
        "myhelm.sh/team",
        "kubernetes.io.example.com/team",
        "ownership",
    ],
)
def test_names_that_nobody_acts_on_are_free(name: str) -> None:
    assert reserved.is_free(name)


@pytest.mark.parametrize("domain", sorted(reserved.DOMAINS))
def test_a_domain_is_taken_with_all_below_it(domain: str) -> None:
    assert not reserved.is_free(f"{domain}/x")
    assert not reserved.is_free(f"deep.below.{domain}/x")
    assert reserved.is_free(f"not{domain}/x")
    assert reserved.is_free(f"{domain}.example.com/x")


@pytest.mark.parametrize("name", reserved.BARE)
def test_some_names_without_a_domain_are_taken(name: str) -> None:
    assert not reserved.is_free(name)


def test_the_page_on_security_lists_what_the_code_refuses() -> None:
    page = PAGE.read_text(encoding="utf-8")
    section = page.partition("## What a target Secret mustn't be")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([^`]+)`", section))
    wanted = {*reserved.DOMAINS, *reserved.BARE, *reserved.TYPES, f"{reserved.BINDING}…"}
    assert wanted <= named, wanted - named
    rows = set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))
    assert rows == {*reserved.DOMAINS, *reserved.BARE}
