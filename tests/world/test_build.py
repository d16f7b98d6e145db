"""The cache of Go programs: what is built once is found again, and only that."""

import dataclasses
import pathlib
import shutil

import pytest

from tests.world import build


@pytest.fixture
def copied(tmp_path: pathlib.Path) -> build.Program:
    sources = shutil.copytree(build.CONTROL_PLANE.sources, tmp_path / "controlplane")
    return dataclasses.replace(build.CONTROL_PLANE, sources=pathlib.Path(sources))


def test_equal_sources_have_the_same_key_wherever_they_lie(copied: build.Program) -> None:
    assert copied.key() == build.CONTROL_PLANE.key()


@pytest.mark.parametrize("name", ["go.mod", "go.sum", "main.go"])
def test_a_change_of_any_source_changes_the_key(copied: build.Program, name: str) -> None:
    with (copied.sources / name).open("a") as source:
        source.write("\n")
    assert copied.key() != build.CONTROL_PLANE.key()


def test_a_new_go_file_changes_the_key(copied: build.Program) -> None:
    (copied.sources / "more.go").write_text("package main\n")
    assert copied.key() != build.CONTROL_PLANE.key()


def test_other_files_do_not_change_the_key(copied: build.Program) -> None:
    (copied.sources / "notes.txt").write_text("notes")
    assert copied.key() == build.CONTROL_PLANE.key()


@pytest.mark.parametrize("program", build.PROGRAMS, ids=lambda one: one.name)
def test_a_binary_in_the_cache_is_used_in_silence(
    program: build.Program, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tmp_path in program.binary.parents
    program.binary.parent.mkdir(parents=True)
    program.binary.touch()
    said: list[str] = []
    assert program.ensure(said.append) == program.binary
    assert said == []


def test_every_tool_that_is_pinned_is_built() -> None:
    pinned = {path.parent.name for path in build.HELM.sources.parent.glob("*/go.mod")}
    assert pinned == {one.name for one in build.PROGRAMS} - {"controlplane"}
