"""What is made of the code: told where it is out of step, written without ``--check``."""

import pathlib

import pytest
import yaml

from tools import pages


def test_a_file_out_of_step_is_told_and_only_written_without_check(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "made.md"
    assert pages.keep([(path, "new")], check=True) == 1
    assert "run `make crds`: made.md" in capsys.readouterr().err
    assert not path.exists()
    assert pages.keep([(path, "new")], check=False) == 0
    assert path.read_text() == "new"
    assert pages.keep([(path, "new")], check=True) == 0


def test_manifests_and_pages_are_written_where_they_stand_in_the_repository(
    tmp_path: pathlib.Path,
) -> None:
    for folder in ("crds", "docs"):
        (tmp_path / folder).mkdir()
    assert pages.keep(pages.files(tmp_path), check=False) == 0
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.*")}
    assert made == {path: (pages.ROOT / path).read_text() for path in made}
    crds = [yaml.safe_load(text) for path, text in made.items() if path.suffix == ".yaml"]
    assert {one["kind"] for one in crds} == {"CustomResourceDefinition"}
    assert len(made) == len(crds) + 4
