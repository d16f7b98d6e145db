"""The documentation as a site: it builds without a warning, and fetches nothing from elsewhere."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from tests import pages


def build(checkout: pathlib.Path, site: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Build as `make docs` does."""
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site))
    return subprocess.run(
        command,
        cwd=checkout,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(pages.ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_becomes_one_of_the_site(site: pathlib.Path) -> None:
    names = {one.relative_to(pages.DOCS).with_suffix(".html") for one in pages.DOCS.rglob("*.md")}
    built = {one.relative_to(site) for one in site.rglob("*.html")}
    assert built - {pathlib.Path("404.html")} == {
        pathlib.Path("index.html") if one.stem == "README" else one for one in names
    }


def test_a_reader_of_the_site_fetches_nothing_from_elsewhere(site: pathlib.Path) -> None:
    fetched = r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"?(https?://[^\s\">]+)"
    texts = {one: one.read_text(encoding="utf-8") for one in site.rglob("*.html")}
    assert {found for text in texts.values() for found in re.findall(fetched, text)} == set()


def test_a_bar_in_a_table_is_shown_without_the_backslash_that_markdown_wants(
    site: pathlib.Path,
) -> None:
    assert "{{ NAME | filter }}" in (site / "templates.html").read_text(encoding="utf-8")
    cells = {
        one.name: re.findall(r"<td>(?:(?!</td>).)*\\\|", one.read_text(encoding="utf-8"))
        for one in site.rglob("*.html")
    }
    assert {name: found for name, found in cells.items() if found} == {}


def test_no_text_is_taken_for_a_tag(site: pathlib.Path) -> None:
    """`<name>` outside of code would vanish."""
    tags = "a|abbr|br|button|circle|code|col|colgroup|del|div|em|h[1-6]|hr|img|kbd|li|nav|ol|p|path"
    tags += "|pre|span|strong|svg|sup|table|tbody|td|th|thead|tr|ul"
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        found = re.search(r"<article.*?>(.*)</article>", text, re.DOTALL)
        if found is not None:
            body = re.sub(r"<(form|aside)\b.*?</\1>", "", found[1], flags=re.DOTALL)
            unknown = set(re.findall(r"<([a-zA-Z][\w-]*)", body))
            assert {one for one in unknown if not re.fullmatch(tags, one)} == set(), page.name


def test_links_that_lead_nowhere_and_pages_that_no_menu_has_end_the_build(
    tmp_path: pathlib.Path,
) -> None:
    shutil.copytree(pages.DOCS, tmp_path / "docs")
    shutil.copy(pages.ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(pages.ROOT / "tools", tmp_path / "tools")
    (tmp_path / "docs" / "forgotten.md").write_text(
        "# Forgotten\n\n[anchor](install.md#nowhere) and [page](nowhere.md)\n", encoding="utf-8"
    )
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode
    for said in ("- forgotten.md", "an anchor '#nowhere'", "a link 'nowhere.md'"):
        assert said in done.stderr
