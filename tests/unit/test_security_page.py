"""docs/security.md names a test for each threat: they exist. What it says of rights is tried."""

import pathlib
import re

from tests import pages
from tests.cluster import rights

ROOT = pathlib.Path(__file__).parents[2]


def test_every_test_that_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    known = {name for text in sources for name in re.findall(r"def (test_\w+)\(", text)}
    assert len(named) > 30
    assert named <= known, named - known


def test_every_attack_stands_on_the_page() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    attacks = {
        name
        for path in (ROOT / "tests" / "cluster").glob("test_tenants*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8"))
    }
    assert attacks <= set(re.findall(r"`(test_\w+)`", page))


def test_what_fails_without_each_right_is_on_the_page_as_it_is_tried() -> None:
    table = pages.rows(ROOT / "docs" / "security.md", "Right | Of | Without it | Reported by")
    tried = [one.cells for one in rights.RIGHTS]
    assert [[first, *rest] for first, rest in table.items()] == [
        [first.strip("`"), *rest] for first, *rest in tried
    ]
