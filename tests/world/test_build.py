"""The cache of the control plane: what is built once is found again, and only that."""

import pathlib
import shutil

import pytest

from tests.world import build


@pytest.fixture
def sources(tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(build.SOURCES, tmp_path / "sources"))


def test_equal_sources_have_the_same_key_wherever_they_lie(sources: pathlib.Path) -> None:
    assert build.cache_key(sources) == build.cache_key()


@pytest.mark.parametrize("name", ["go.mod", "go.sum", "main.go"])
def test_a_change_of_any_source_changes_the_key(sources: pathlib.Path, name: str) -> None:
    with (sources / name).open("a") as source:
        source.write("\n")
    assert build.cache_key(sources) != build.cache_key()


def test_a_new_go_file_changes_the_key(sources: pathlib.Path) -> None:
    (sources / "more.go").write_text("package main\n")
    assert build.cache_key(sources) != build.cache_key()


def test_other_files_do_not_change_the_key(sources: pathlib.Path) -> None:
    (sources / "notes.txt").write_text("notes")
    assert build.cache_key(sources) == build.cache_key()


def test_a_binary_in_the_cache_is_used_in_silence(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    binary = build.binary_path()
    assert tmp_path in binary.parents
    binary.parent.mkdir(parents=True)
    binary.touch()
    said: list[str] = []
    assert build.ensure(said.append) == binary
    assert said == []
