"""Nothing outlives the world: parts go with their starter, however it ends."""

import json
import pathlib
import signal
import subprocess
import sys

import pytest

from tests.world import processes

STARTER = """
import json, pathlib, sys
from tests.world import kubernetes, postgres

directory = pathlib.Path(sys.argv[1])
plane = kubernetes.ControlPlane.start(directory)
server = postgres.Postgres.start(directory)
print(json.dumps(plane.pids + server.pids), flush=True)
sys.stdin.read()
"""
SLEEPER = "import sys, time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER


def start_python(code: str, directory: pathlib.Path) -> processes.Process:
    part = processes.Process.start("part", [sys.executable, "-c", code], directory=directory)
    processes.wait_until(lambda: "up" in part.last_words(), what="up", part=part)
    return part


def descendants(pid: int) -> list[int]:
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    direct = [int(child) for child in children.read_text().split()] if children.exists() else []
    return direct + [grandchild for child in direct for grandchild in descendants(child)]


def all_gone(pids: list[int]) -> bool:
    return not any(processes.alive(pid) for pid in pids)


@pytest.mark.usefixtures("control_plane_binary")
def test_a_killed_parent_takes_every_part_with_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG_FOR_TESTS", raising=False)
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        cwd=processes.CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as starter:
        assert starter.stdout is not None
        pids: list[int] = json.loads(starter.stdout.readline())
        pids += [child for pid in pids for child in descendants(pid)]
        assert all(processes.alive(pid) for pid in pids[:4])
        starter.send_signal(signal.SIGKILL)
    processes.wait_until(lambda: all_gone(pids), what="every part is gone")
    assert not (tmp_path / "etcd").exists()


def test_a_part_that_is_stopped_is_gone(tmp_path: pathlib.Path) -> None:
    part = start_python(SLEEPER, tmp_path)
    part.stop()
    assert all_gone([part.pid, part.guard_pid])


def test_a_part_that_ignores_the_signal_is_killed(tmp_path: pathlib.Path) -> None:
    part = start_python(STUBBORN, tmp_path)
    part.stop()
    assert all_gone([part.pid, part.guard_pid])


def test_a_killed_guard_takes_its_part_with_it(tmp_path: pathlib.Path) -> None:
    part = start_python(SLEEPER, tmp_path)
    part.kill()
    processes.wait_until(lambda: all_gone([part.pid]), what="the part is gone")


def test_a_part_that_ends_by_itself_is_reported_with_its_last_words(
    tmp_path: pathlib.Path,
) -> None:
    code = "import sys; sys.exit('no more')"
    with (
        processes.Process.start("part", [sys.executable, "-c", code], directory=tmp_path) as part,
        pytest.raises(processes.PartFailed, match="no more"),
    ):
        processes.wait_until(lambda: False, timeout=10, what="never", part=part)


def test_a_command_that_does_not_exist_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(processes.PartFailed, match="did not start"):
        processes.Process.start("part", [tmp_path / "missing"], directory=tmp_path)


def test_free_ports_are_all_different() -> None:
    assert len(set(processes.free_ports(20))) == 20


async def test_waiting_gives_up_in_time() -> None:
    async def never() -> bool:
        return False

    with pytest.raises(processes.NotInTime, match="what never comes"):
        await processes.wait_until_async(never, timeout=0.1, what="what never comes")
