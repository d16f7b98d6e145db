"""Commands on the pages: the command line takes them, and what they name is in the checkout."""

import pathlib
import re
import shlex

import pytest
import yaml

from leaseholder.cli import main, plugin
from tests import pages

EXAMPLES = pages.ROOT / "deploy" / "examples"
PLUGIN = [
    one
    for one in {
        *pages.commands("kubectl leaseholder"),
        *(
            found
            for page in pages.PAGES
            for found in re.findall(r"`(kubectl leaseholder [^`]+)`", pages.prose(page))
        ),
    }
    if "…" not in one
]


def arguments(command: str) -> list[str]:
    """What stands behind `kubectl leaseholder`, without a remark and where the output goes."""
    words = shlex.split(command, comments=True)[2:]
    return words[: words.index(">")] if ">" in words else words


@pytest.mark.parametrize("command", sorted(PLUGIN))
def test_the_plugin_takes_each_command_of_the_pages(command: str) -> None:
    name, *rest = arguments(command)
    found = plugin.main.commands[name]
    if rest or command in pages.commands("kubectl leaseholder"):
        found.make_context(name, rest)  # reads options and arguments, and does nothing


def test_a_command_that_isnt_there_would_be_seen() -> None:
    assert len(PLUGIN) > 5
    assert "rotate" in plugin.main.commands
    assert "no-such" not in plugin.main.commands
    with pytest.raises(Exception, match="No such option"):
        plugin.main.commands["rotate"].make_context("rotate", ["--no-such", "orders-db"])


def test_every_command_of_the_operator_that_is_named_exists() -> None:
    text = "\n".join(pages.prose(page) for page in pages.PAGES)
    named = set(re.findall(r"`leaseholder ([a-z]+)[^`]*`", text))
    assert named - main.main.commands.keys() == set()


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda one: str(one.relative_to(pages.ROOT)))
def test_every_file_that_a_command_names_is_in_the_checkout(page: pathlib.Path) -> None:
    text = "\n".join(pages.blocks(page, "sh"))
    named = set(re.findall(r"(?<![\w./])(?:deploy|crds|tests|bench|tools|docs)/[\w./-]*\w", text))
    assert [one for one in sorted(named) if not (pages.ROOT / one).exists()] == []


def test_the_manifests_of_the_quick_start_are_those_of_the_examples() -> None:
    shown = [
        document
        for block in pages.blocks(pages.DOCS / "quickstart.md", "yaml")
        for document in yaml.safe_load_all(block)
    ]
    files = ("infisical-provider.yaml", "infisical-lease.yaml")
    texts = [(EXAMPLES / name).read_text(encoding="utf-8") for name in files]
    assert shown == [document for text in texts for document in yaml.safe_load_all(text)]
