"""deploy/Dockerfile: by digest, without root, for two architectures, of what it copies alone."""

import re

from tests import pages
from tests.world import operator

DOCKERFILE = (pages.ROOT / "deploy" / "Dockerfile").read_text("utf-8")
IGNORED = (pages.ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8")


def stages() -> list[str]:
    """The text of each stage, the last one is the image."""
    return re.split(r"^FROM ", DOCKERFILE.replace("\\\n", " "), flags=re.MULTILINE)[1:]


def copied() -> set[str]:
    """What is copied from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    return {word for line in lines for word in line.split()}


def test_everything_stands_on_one_base_that_a_digest_names() -> None:
    base, *others = (stage.splitlines()[0] for stage in stages())
    assert re.fullmatch(r"python:[\w.-]+@sha256:[0-9a-f]{64} AS python", base)
    assert [one.split()[0] for one in others] == ["python"] * len(others)


def test_nothing_fixes_the_architecture() -> None:
    assert "--platform" not in DOCKERFILE
    makefile = (pages.ROOT / "Makefile").read_text("utf-8")
    assert "PLATFORMS ?= linux/amd64,linux/arm64\n" in makefile


def test_the_process_isnt_root_and_the_image_has_only_what_runs() -> None:
    last = stages()[-1]
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user is not None
    assert all(int(one) >= 1000 for one in user.groups())
    assert re.findall(r"^COPY (.*)$", last, re.MULTILINE) == ["--from=build /venv /venv"]
    assert "RUN" not in last


def test_the_operator_of_the_tests_has_the_environment_of_the_image() -> None:
    lines = re.findall(r"^ENV (.*)$", stages()[-1], re.MULTILINE)
    assert dict(one.split("=") for line in lines for one in line.split()) == operator.IMAGE


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    lines = [one for one in IGNORED.splitlines() if not one.startswith("#")]
    assert lines[0] == "*"
    assert {one[1:] for one in lines if one.startswith("!")} == {
        one.removeprefix("./") for one in copied()
    }


def test_what_is_copied_is_in_the_checkout() -> None:
    assert copied()
    assert [one for one in copied() if not (pages.ROOT / one).exists()] == []
