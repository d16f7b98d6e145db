"""Ctrl-C: the command says what is done and what isn't, and ends with 130."""

import asyncio
import functools
import pathlib
import re
import signal
import typing

from leaseholder.cli.exits import Exit
from tests.unit.cli import apiserver
from tests.world import processes

ALL: typing.Final = ("rotate", "--all", "--provider", "infisical", "--at-once", "2")


async def until(stream: asyncio.StreamReader | None, words: str) -> None:
    """Read what a process prints up to some words."""
    assert stream is not None
    async with asyncio.timeout(processes.PATIENCE):
        await stream.readuntil(words.encode())


def is_asleep(pid: int) -> bool:
    """Whether a process waits for something: a signal just before a read would be lost."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "S"


async def interrupted(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """What the process ends with after Ctrl-C, and what it says then."""
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(processes.PATIENCE):
        _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_many_rotations_that_are_stopped_say_which_are_done_begun_and_left(
    tmp_path: pathlib.Path,
) -> None:
    server = apiserver.Server(*map(apiserver.lease, ("a", "b", "c", "d")))
    server.obedient = {"a"}
    async with apiserver.serving(server, tmp_path) as kubeconfig:
        process = await apiserver.started(kubeconfig, *ALL, "--yes")
        await until(process.stdout, "[1/4] shop/a is rotated")
        await server.until_watched("b", "c")
        code, said = await interrupted(process)
    assert code == int(Exit.STOPPED) == 130
    told = (
        "Error: stopped by Ctrl-C: 1 of 4 leases rotated, 0 not, 1 not begun, the operator goes on "
        r"with shop/b, shop/c. To go on, add --issued-before 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\n"
    )
    assert re.fullmatch(told, said)
    assert server.asked == {"a", "b", "c"}


async def test_ctrl_c_at_the_question_ends_the_command_at_once(tmp_path: pathlib.Path) -> None:
    server = apiserver.Server(apiserver.lease("a"))
    async with apiserver.serving(server, tmp_path) as kubeconfig:
        process = await apiserver.started(kubeconfig, *ALL)
        await until(process.stderr, "Their workloads restart [y/N]: ")
        asleep = functools.partial(is_asleep, process.pid)
        await asyncio.to_thread(processes.wait_until, asleep, what="the question")
        code, said = await interrupted(process)
    assert (code, said) == (Exit.STOPPED, "Error: stopped by Ctrl-C: nothing was done\n")
    assert server.asked == set()


async def test_a_wait_that_is_stopped_names_those_that_are_still_waited_for(
    tmp_path: pathlib.Path,
) -> None:
    known = [apiserver.lease("a"), *(apiserver.lease(one, ready="False") for one in "bc")]
    async with apiserver.serving(apiserver.Server(*known), tmp_path) as kubeconfig:
        process = await apiserver.started(kubeconfig, "wait", "c", "a", "b")
        await until(process.stdout, "a: Ready True\n")
        await until(process.stderr, "waiting for b: ")
        code, said = await interrupted(process)
    assert code == Exit.STOPPED
    assert said.endswith(
        "Error: stopped by Ctrl-C: not Ready True yet, as far as status says: c, b\n"
    )


async def test_a_command_that_was_given_goes_on_though_nobody_waits_for_it_any_more(
    tmp_path: pathlib.Path,
) -> None:
    server = apiserver.Server(apiserver.lease("a"))
    async with apiserver.serving(server, tmp_path) as kubeconfig:
        process = await apiserver.started(kubeconfig, "rotate", "a", "--wait")
        await server.until_watched("a")
        code, said = await interrupted(process)
    assert code == Exit.STOPPED
    assert said == (
        "Error: stopped by Ctrl-C: rotate is asked for, and the operator goes on with it; "
        "see kubectl leaseholder show a -n shop\n"
    )
