""".github/workflows: sound by actionlint, pinned, with few rights, and of targets that exist."""

import collections.abc
import pathlib
import re
import subprocess
import typing

import pytest
import yaml

from tests import pages

FOLDER: typing.Final = pages.ROOT / ".github" / "workflows"
WORKFLOWS: typing.Final = tuple(sorted(FOLDER.glob("*.yml")))
Job = dict[str, typing.Any]

each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda one: one.stem)


def jobs(workflow: pathlib.Path) -> dict[str, Job]:
    found: dict[str, Job] = yaml.safe_load(pages.read(workflow))["jobs"]
    return found


def steps(workflow: pathlib.Path) -> collections.abc.Iterator[Job]:
    for job in jobs(workflow).values():
        yield from job.get("steps", ())


def linted(actionlint: pathlib.Path, *workflows: pathlib.Path) -> str:
    """What actionlint alone has to say: the same on machines that have shellcheck or pyflakes."""
    done = subprocess.run(
        [str(actionlint), "-no-color", "-shellcheck=", "-pyflakes=", *map(str, workflows)],
        cwd=pages.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_there_are_the_three_workflows() -> None:
    assert {one.stem for one in WORKFLOWS} == {"ci", "kind", "release"}


def test_actionlint_finds_nothing(actionlint: pathlib.Path) -> None:
    assert linted(actionlint, *WORKFLOWS) == ""


def test_actionlint_sees_a_fault(actionlint: pathlib.Path, tmp_path: pathlib.Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        pages.read(FOLDER / "ci.yml").replace("matrix.python", "matrix.pyhton"), encoding="utf-8"
    )
    assert "pyhton" in linted(actionlint, wrong)


@each_workflow
def test_every_action_is_pinned_by_a_commit_with_its_version_beside_it(
    workflow: pathlib.Path,
) -> None:
    uses = re.findall(r"\buses: (.*)$", pages.read(workflow), re.MULTILINE)
    foreign = [one for one in uses if not one.startswith("./")]
    pinned = r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"
    assert foreign
    assert [one for one in foreign if not re.fullmatch(pinned, one)] == []


def test_an_action_is_of_one_commit_everywhere() -> None:
    texts = "\n".join(map(pages.read, WORKFLOWS))
    uses = set(re.findall(r"\buses: ([^.\s@]+)@(.*)$", texts, re.MULTILINE))
    assert len({name for name, _ in uses}) == len(uses)


@pytest.mark.parametrize("path", [*WORKFLOWS, pages.ROOT / "Makefile"], ids=lambda one: one.name)
def test_every_image_is_pinned_by_its_digest(path: pathlib.Path) -> None:
    images = re.findall(r"\b(?:moby|docker|tonistiigi|kindest)/[\w-]+:\S+", pages.read(path))
    assert [one for one in images if not re.search(r"@sha256:[0-9a-f]{64}$", one)] == []


def test_kind_has_four_versions_of_kubernetes_one_after_the_other() -> None:
    nodes = jobs(FOLDER / "kind.yml")["kind"]["strategy"]["matrix"]["node"]
    minors = [int(re.findall(r":v1\.(\d+)\.", one)[0]) for one in nodes]
    assert minors == [*range(minors[0], minors[0] - 4, -1)]


@each_workflow
def test_every_target_that_a_workflow_makes_exists(workflow: pathlib.Path) -> None:
    made = set().union(*(pages.made(step.get("run", "")) for step in steps(workflow)))
    assert made
    assert made - pages.targets()[0] == set()


@each_workflow
def test_a_workflow_may_read_the_code_and_nothing_else_by_default(workflow: pathlib.Path) -> None:
    assert yaml.safe_load(pages.read(workflow))["permissions"] == {"contents": "read"}


def test_only_the_job_that_releases_may_write() -> None:
    may = {f"{one.stem}/{name}" for one in WORKFLOWS for name in jobs(one) if _writes(one, name)}
    assert may == {"release/release"}


def _writes(workflow: pathlib.Path, name: str) -> bool:
    return "write" in jobs(workflow)[name].get("permissions", {}).values()


@each_workflow
def test_no_checkout_leaves_its_token_behind(workflow: pathlib.Path) -> None:
    checkouts = [one for one in steps(workflow) if "actions/checkout@" in one.get("uses", "")]
    assert checkouts
    assert [one for one in checkouts if one["with"]["persist-credentials"] is not False] == []


@each_workflow
def test_no_line_of_a_shell_is_made_of_what_others_write(workflow: pathlib.Path) -> None:
    """An expression in a script would run what a branch's or a tag's name says."""
    assert [one["run"] for one in steps(workflow) if "${{" in one.get("run", "")] == []
