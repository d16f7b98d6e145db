"""What kubectl is told when somebody types Tab after ``kubectl leaseholder``."""

import pathlib
import tomllib

import pytest

from leaseholder.cli import completion, plugin

CHECKOUT = pathlib.Path(__file__).parents[3]


def tab(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[set[str], str]:
    """The values that are offered, and the directive."""
    completion.main(words)
    *lines, directive = capsys.readouterr().out.splitlines()
    return {line.partition("\t")[0] for line in lines}, directive


def test_commands_are_offered_and_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    found, directive = tab(capsys, "")
    assert found == {*plugin.main.commands}
    assert directive == ":4"
    completion.main(["do"])
    assert capsys.readouterr().out.startswith("doctor\tCheck what is missing")


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["init", "op"], "openbao"),
        (["init", "openbao", "--auth", "k"], "kubernetes"),
        (["list", "--out"], "--output"),
        (["list", "-o", "y"], "yaml"),
        (["explain", "slot"], "SlotTaken"),
    ],
)
def test_options_and_their_values_are_offered(
    capsys: pytest.CaptureFixture[str], words: list[str], value: str
) -> None:
    assert tab(capsys, *words) == ({value}, ":4")


def test_where_a_file_is_asked_for_the_shell_offers_files(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert tab(capsys, "plan", "-f", "") == (set(), ":0")


def test_without_an_api_server_no_name_is_offered(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    words = ("show", "--kubeconfig", str(tmp_path / "none"), "")
    assert tab(capsys, *words) == (set(), ":0")


def test_the_program_has_the_name_that_kubectl_looks_for() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"]["kubectl_complete-leaseholder"] == "leaseholder.cli.completion:main"
