"""A fork is a program of its own, and ends as every part of the world does."""

import collections.abc
import json
import os
import pathlib
import signal

import pytest

from tests.world import forks, processes

PROGRAM = """
import json, os, sys, time
print(json.dumps([sys.argv[1:], __name__, dict(os.environ), os.getpid()]), flush=True)
if sys.argv[1:] == ["end"]:
    sys.exit("no more")
time.sleep(600)
"""


@pytest.fixture
def forking(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> collections.abc.Iterator[forks.Forks]:
    (tmp_path / "forked_program.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *_path()]))
    with forks.Forks.start("json", directory=tmp_path, environment={"OF_ALL": "1"}) as started:
        yield started


def _path() -> list[str]:
    given = os.environ.get("PYTHONPATH")
    return [given] if given else []


def fork(forking: forks.Forks, directory: pathlib.Path, *arguments: str) -> processes.Process:
    part = forking.fork(
        "part", "forked_program", *arguments, directory=directory, environment={"OF_ONE": "1"}
    )
    processes.wait_until(lambda: "[" in part.last_words(), timeout=30, what="up", part=part)
    return part


def all_gone(*pids: int) -> bool:
    return not any(processes.alive(pid) for pid in pids)


def test_a_fork_runs_as_a_program_with_its_own_process_environment_and_log(
    forking: forks.Forks, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET_LATER", "1")
    with fork(forking, tmp_path, "--word") as part:
        arguments, name, environment, pid = json.loads(part.last_words(1))
        assert (arguments, name, pid) == (["--word"], "__main__", part.pid)
        expected = {**os.environ, "OF_ONE": "1"}
        assert {key: environment.get(key) for key in expected} == expected
        assert len({part.pid, part.guard_pid, forking.process.pid, os.getpid()}) == 4
        assert os.getpgid(part.pid) == part.pid


def test_a_fork_that_is_stopped_is_gone(forking: forks.Forks, tmp_path: pathlib.Path) -> None:
    part = fork(forking, tmp_path)
    part.check()
    part.stop()
    assert not part.running
    assert all_gone(part.pid)
    # The guard tells how its part ended, and ends a moment later itself.
    processes.wait_until(lambda: all_gone(part.guard_pid), what="the guard is gone")
    part.stop()


def test_a_killed_fork_is_gone_and_others_stay(
    forking: forks.Forks, tmp_path: pathlib.Path
) -> None:
    with fork(forking, tmp_path) as other:
        part = fork(forking, tmp_path)
        part.kill()
        processes.wait_until(lambda: all_gone(part.pid), timeout=10, what="the fork is gone")
        assert other.running


def test_a_fork_that_ends_is_reported_with_its_code_and_last_words(
    forking: forks.Forks, tmp_path: pathlib.Path
) -> None:
    with (
        fork(forking, tmp_path, "end") as part,
        pytest.raises(processes.PartFailed, match=r"ended with code 1\n(?s:.*)no more"),
    ):
        processes.wait_until(lambda: False, timeout=10, what="never", part=part)


def test_forks_end_with_the_process_that_they_are_forked_from(
    forking: forks.Forks, tmp_path: pathlib.Path
) -> None:
    part = fork(forking, tmp_path)
    os.kill(forking.process.pid, signal.SIGKILL)
    gone = (part.pid, part.guard_pid)
    processes.wait_until(lambda: all_gone(*gone), timeout=10, what="all is gone")
    assert not part.running
