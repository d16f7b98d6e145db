"""What the command says where it can't show anything: each sentence names what to look at."""

import asyncio
import pathlib

import pytest

from leaseholder.cli.exits import Exit
from tests.unit.cli import apiserver


async def ended(
    server: apiserver.Server, folder: pathlib.Path, *arguments: str, namespace: str = apiserver.HOME
) -> tuple[int | None, str, str]:
    """How a command ends, and what it prints to stdout and stderr."""
    async with apiserver.serving(server, folder, namespace) as kubeconfig:
        process = await apiserver.started(kubeconfig, *arguments)
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--check"],
        ["providers"],
        ["records", "-n", "typo"],
        ["doctor"],
        ["rotate", "--all", "--provider", "infisical", "--yes"],
    ],
    ids=lambda words: words[0],
)
async def test_a_namespace_that_is_not_there_is_said(
    arguments: list[str], tmp_path: pathlib.Path
) -> None:
    done = await ended(apiserver.Server(), tmp_path, *arguments, namespace="typo")
    assert done == (Exit.FAILED, "", "Error: there is no namespace typo: mind -n\n")


async def test_whether_a_namespace_is_there_need_not_be_known(tmp_path: pathlib.Path) -> None:
    server = apiserver.Server()
    server.forbidden = {"/namespaces/shop"}
    done = await ended(server, tmp_path, "list", "--check")
    assert done == (Exit.OK, "", "no DynamicLeases in namespace shop\n")


async def test_a_missing_right_is_said_with_verb_and_place(tmp_path: pathlib.Path) -> None:
    server = apiserver.Server()
    server.forbidden = {"/dynamicleases"}
    one, every = "in namespace shop", "in all namespaces: write -n NAMESPACE"
    for more, where in (((), one), (("-A",), every)):
        done = await ended(server, tmp_path, "list", *more)
        said = f"Error: you have no right to list dynamicleases {where} (docs/cli.md, Rights)\n"
        assert done == (Exit.FAILED, "", said)


@pytest.mark.parametrize("arguments", [["list"], ["show", "a"], ["wait", "a", "--for", "delete"]])
async def test_without_the_crds_it_says_so_and_nothing_counts_as_gone(
    arguments: list[str], tmp_path: pathlib.Path
) -> None:
    server = apiserver.Server()
    server.served = False
    done = await ended(server, tmp_path, *arguments)
    said = (
        "Error: the API server has no dynamicleases: is the operator installed there "
        "(docs/install.md), and is it the --context that you mean?\n"
    )
    assert done == (Exit.FAILED, "", said)


async def test_an_api_server_that_does_not_answer_is_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "kubeconfig"
    away = apiserver.CONFIG.format(server="http://127.0.0.1:1", namespace="shop")
    await asyncio.to_thread(path.write_text, away)
    process = await apiserver.started(path, "list")
    _, err = await process.communicate()
    assert err.decode() == (
        "Error: the API server at 127.0.0.1:1 couldn't list dynamicleases in namespace shop now: "
        "no connection (ClientConnectorError)\n"
    )
    assert process.returncode == Exit.FAILED
