"""The command answers at once: the operator is imported where it runs."""

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

import leaseholder

ASK = """
import sys
from leaseholder.cli import main
try:
    main.main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
HEAVY = {
    "aiohttp",
    "asyncio",
    "jinja2",
    "kopf",
    "kubernetes",
    "pydantic",
    "pydantic_settings",
    "rich",
}


def ask(*arguments: str) -> tuple[str, set[str]]:
    """What the command prints, and the packages that it imported for it."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout, set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["version"], ["run", "--help"], ["records", "--help"]]
)
def test_help_and_version_import_nothing_of_the_operator(arguments: list[str]) -> None:
    _, imported = ask(*arguments)
    assert "click" in imported
    assert not imported & HEAVY


def test_the_version_is_said() -> None:
    assert ask("--version")[0] == f"leaseholder, version {leaseholder.__version__}\n"
    assert ask("version")[0] == f"{leaseholder.__version__}\n"


def test_the_crds_that_are_printed_are_those_of_the_checkout_and_need_no_cluster() -> None:
    printed, imported = ask("crds")
    files = sorted((pathlib.Path(__file__).parents[3] / "crds").glob("*.yaml"))
    wanted = [yaml.safe_load(one.read_text(encoding="utf-8")) for one in files]
    known = yaml.safe_load_all(printed)
    assert sorted(known, key=lambda one: str(one["metadata"]["name"])) == wanted
    assert not imported & {"aiohttp", "kopf", "kubernetes"}


def test_the_help_names_the_command() -> None:
    assert "Run the operator" in ask("--help")[0]


SYNCHRONOUS = """
import sys
from leaseholder.cluster import lean, login
print(*sorted({name.partition(".")[0] for name in sys.modules}))
import kubernetes
print(kubernetes.config.load_kube_config.__module__, kubernetes.client.Configuration.__module__)
print(*lean.PUT_OFF - sys.modules.keys())
"""
OPERATOR = """
import sys
import leaseholder.app
print(*sorted({name.partition(".")[0] for name in sys.modules}))
import kubernetes
print(kubernetes.client.Configuration.__module__)
"""
COMMAND = """
import sys
from leaseholder.cli import plugin
try:
    plugin.main()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""
NOWHERE = """
{current-context: c, users: [], clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}],
contexts: [{name: c, context: {cluster: c, user: c}}]}
"""
UNUSED = {
    *("_ctypes", "ijson", "jinja2", "kopf", "prometheus_client", "pydantic_settings", "requests"),
    *("httpx2", "xml", "leaseholder.cli.drawing", "leaseholder.app", "leaseholder.controller"),
}


def imported_by(*arguments: str, kubeconfig: pathlib.Path) -> set[str]:
    """The modules that a command has imported when it ends, without an API server."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        # Who is traced imports more.
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "no connection" in done.stderr, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        *(["list"], ["show", "orders"], ["providers"], ["records"], ["rotate", "orders"]),
        *(["suspend", "orders"], ["wait", "orders"], ["list", "-o", "json"]),
    ],
    ids="_".join,
)
def test_a_command_imports_nothing_that_it_does_without(
    arguments: list[str], tmp_path: pathlib.Path
) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(NOWHERE, "utf-8")
    modules = imported_by(*arguments, kubeconfig=kubeconfig)
    assert "aiohttp" in modules
    assert not modules & UNUSED
    assert not modules & {"rich"}, "a failure is said without it"
    assert not any(name.startswith("kubernetes.aio.client.models.") for name in modules)


def test_a_login_imports_nothing_of_the_synchronous_client_until_somebody_uses_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SYNCHRONOUS], capture_output=True, text=True, check=True
    )
    packages, used, unknown = done.stdout.splitlines()
    assert "kubernetes" in packages.split()
    assert not {*packages.split()} & {"requests", "oauthlib", "urllib3", "requests_oauthlib"}
    assert used == "kubernetes.config.kube_config kubernetes.client.configuration"
    assert unknown == "", "the library has no such modules any more: mend lean.py"


def test_the_operator_imports_nothing_of_the_synchronous_client() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPERATOR], capture_output=True, text=True, check=True
    )
    packages, used = done.stdout.splitlines()
    assert {"kopf", "kubernetes"} <= {*packages.split()}
    assert not {*packages.split()} & {"requests", "oauthlib", "urllib3", "websocket"}
    assert used == "kubernetes.client.configuration"


ENCODINGS = [
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp1252"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]
INIT = ["init", "infisical", "--project", "demo", "--environment", "p", "--dynamic-secret", "db"]


@pytest.mark.parametrize("setting", ENCODINGS, ids=lambda one: "".join(one.values()))
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("plugin", INIT),
        ("plugin", ["explain"]),
        ("plugin", ["rotate", "--help"]),
        ("plugin", ["plan", "-f", "…"]),
        ("main", ["--help"]),
        ("main", ["drain", "--help"]),
    ],
)
def test_a_terminal_without_a_character_gets_it_escaped(
    module: str, arguments: list[str], setting: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"leaseholder.cli.{module}", *arguments],
        env={**os.environ, **setting},
        capture_output=True,
        check=False,
    )
    assert done.returncode == (1 if "plan" in arguments else 0), done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout or b"Error: " in done.stderr
    if arguments is INIT:
        (made, _) = yaml.safe_load_all(done.stdout.decode("ascii", errors="replace"))
        assert made["kind"] == "LeaseProvider"


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["explain"], ["version"], INIT], ids=lambda one: one[0])
def test_a_full_disk_is_said(arguments: list[str], buffered: str) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "leaseholder.cli.plugin", *arguments],
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    sentence = "Error: what is shown can't be written: No space left on device"
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, sentence)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
@pytest.mark.parametrize(
    ("module", "arguments", "code"),
    [
        ("main", ["version"], 0),
        ("plugin", ["explain", "Ready"], 0),
        ("plugin", ["explain", "Redy"], 1),
        ("plugin", ["plan", "-f", "-"], 1),
        ("completion", ["explain", "Secret"], 0),
    ],
)
def test_closed_streams_end_no_command(
    module: str, arguments: list[str], code: int, closed: tuple[int, ...]
) -> None:
    redirections = " ".join(f"{number}>&-" for number in closed)
    done = subprocess.run(
        [
            *("/bin/sh", "-c", f'exec "$@" {redirections}', "sh"),
            *(sys.executable, "-m", f"leaseholder.cli.{module}", *arguments),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
