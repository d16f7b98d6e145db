"""The command answers at once: the operator is imported where it runs."""

import subprocess
import sys

import pytest

import leaseholder

ASK = """
import sys
from leaseholder.cli import main
try:
    main.main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
HEAVY = {"aiohttp", "jinja2", "kopf", "kubernetes", "pydantic", "pydantic_settings", "rich"}


def ask(*arguments: str) -> tuple[str, set[str]]:
    """What the command prints, and the packages that it imported for it."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout, set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_help_and_version_import_nothing_of_the_operator(arguments: list[str]) -> None:
    _, imported = ask(*arguments)
    assert "click" in imported
    assert not imported & HEAVY


def test_the_version_is_said() -> None:
    assert ask("--version")[0] == f"leaseholder, version {leaseholder.__version__}\n"


def test_the_help_names_the_command() -> None:
    assert "Run the operator" in ask("--help")[0]
