"""The world as fixtures: each part starts when the first test asks for it, once per session."""

import collections.abc
import contextlib
import gc
import importlib
import os
import pathlib
import signal
import sys
import typing

import hypothesis
import pytest
import xdist.scheduler
import xdist.workermanage

from tests.world import build, forks, kubernetes, operator
from tests.world import openbao as openbao_server
from tests.world import postgres as postgres_server
from tests.world import world as worlds

hypothesis.settings.register_profile("shared-machine", deadline=None)
hypothesis.settings.load_profile("shared-machine")
"""No example fails for being slow: machines are shared."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has its background jobs ignore Ctrl-C, and so would each command that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_BUILT: typing.Final = {
    "control_plane": build.CONTROL_PLANE,
    "control_plane_binary": build.CONTROL_PLANE,
    "helm": build.HELM,
    "world": build.HELM,  # operators get their rights from the chart
    "kustomize": build.KUSTOMIZE,
    "glua": build.GLUA,
    "actionlint": build.ACTIONLINT,
    "promtool": build.PROMTOOL,
}
"""The Go programs that fixtures need."""
_SERVERS = frozenset({"bao", "control_plane", "postgres", "world"})
_UNIT = pathlib.Path(__file__).parent / "unit"
SLOWEST = (
    *("phase", "outage", "storm", "crash", "rights", "mistakes", "kills", "drift", "change"),
    *("faults", "shards", "election", "hanging", "clocks", "sweep"),
)
"""Modules of tests/cluster that take a minute or more, the longest first."""


def pytest_collection(session: pytest.Session) -> None:
    """Import the test modules, each process beginning with others.

    What one of them has rewritten for its asserts and compiled, the next ones find done. Were it
    left to the collection, all would do the same at the same moment in a fresh checkout.

    Nothing of what a collection makes is garbage, and to look for some took a third of its time.
    """
    gc.disable()
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return
    modules = _modules(session.config)
    count = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    if worker == _last(count):
        os.nice(5)
    first = len(modules) * int(worker.removeprefix("gw")) // count
    for name in modules[first:] + modules[:first]:
        with contextlib.suppress(Exception):  # told when the module is collected
            importlib.import_module(name)


class _Scheduling(xdist.scheduler.LoadFileScheduling):  # type: ignore[misc] # it has no types
    """The last process takes modules from the end of the line: those that only compute.

    The others begin with those that wait, for a lease's end above all, and leave a third of two
    processors to it. It gives way to them: what waits mustn't be late.
    """

    def _assign_work_unit(self, node: xdist.workermanage.WorkerController) -> None:
        if node.workerinput["workerid"] == _last(node.workerinput["workercount"]):
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


def _last(count: int) -> str:
    return f"gw{count - 1}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: typing.Any) -> _Scheduling | None:
    """See there; other ways to share tests out are xdist's own."""
    return _Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def _modules(config: pytest.Config) -> list[str]:
    """The names of the test modules that are asked for."""
    asked = (config.rootpath / one.partition("::")[0] for one in config.args)
    files = {file for one in asked for file in (one.rglob("test_*.py") if one.is_dir() else [one])}
    parts = (one.relative_to(config.rootpath).with_suffix("").parts for one in files)
    return sorted(".".join(one) for one in parts)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits longest, and end with what only computes.

    Modules are dealt out in this order. Begun last, a long one would run alone in the end; and
    who waits for a lease's end leaves its processor to the others, as long as there are others.

    Unit tests alone count for coverage: tracing takes longer than most of what is traced.
    """
    for one in items:
        if not one.path.is_relative_to(_UNIT):
            one.add_marker(pytest.mark.no_cover)
    waiting = {one.path for one in items if _SERVERS & set(getattr(one, "fixturenames", ()))}
    slowest = {f"test_{name}.py": rank for rank, name in enumerate(SLOWEST)}

    def rank(item: pytest.Item) -> tuple[int, bool]:
        of_cluster = item.path.parent.name == "cluster"
        place = slowest.get(item.path.name, len(SLOWEST)) if of_cluster else len(SLOWEST)
        return place, item.path not in waiting

    items.sort(key=rank)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build Go programs before the first test: a build takes longer than a test may."""
    gc.freeze()  # modules and tests stay to the end: nobody needs to look through them again
    gc.enable()
    if session.config.option.collectonly:
        return
    asked = {name for one in session.items for name in getattr(one, "fixturenames", ())}
    for program in dict.fromkeys(one for name, one in _BUILT.items() if name in asked):
        if program is not build.CONTROL_PLANE or not _foreign_cluster():
            program.ensure(_say)


@pytest.fixture(scope="session")
def control_plane_binary() -> pathlib.Path:
    """For tests that start control planes of their own."""
    return build.CONTROL_PLANE.ensure(_say)


@pytest.fixture(scope="session")
def helm() -> pathlib.Path:
    """The program Helm."""
    return build.HELM.ensure(_say)


@pytest.fixture(scope="session")
def kustomize() -> pathlib.Path:
    """The program kustomize."""
    return build.KUSTOMIZE.ensure(_say)


@pytest.fixture(scope="session")
def glua() -> pathlib.Path:
    """The Lua of Argo CD."""
    return build.GLUA.ensure(_say)


@pytest.fixture(scope="session")
def promtool() -> pathlib.Path:
    """The program that checks rules of Prometheus."""
    return build.PROMTOOL.ensure(_say)


@pytest.fixture(scope="session")
def actionlint() -> pathlib.Path:
    """The program that checks workflows."""
    return build.ACTIONLINT.ensure(_say)


@pytest.fixture(scope="session")
def control_plane(
    tmp_path_factory: pytest.TempPathFactory,
) -> collections.abc.Iterator[kubernetes.ControlPlane]:
    """One Kubernetes for all tests; each works in namespaces of its own."""
    with kubernetes.ControlPlane.start(tmp_path_factory.mktemp("kubernetes")) as running:
        yield running


@pytest.fixture(scope="session")
def postgres(
    tmp_path_factory: pytest.TempPathFactory,
) -> collections.abc.Iterator[postgres_server.Postgres]:
    """One PostgreSQL for all tests."""
    with postgres_server.Postgres.start(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="session")
def bao(
    postgres: postgres_server.Postgres, tmp_path_factory: pytest.TempPathFactory
) -> collections.abc.Iterator[openbao_server.OpenBao]:
    """One OpenBao for all tests; who seals it or cuts its database mends it again."""
    directory = tmp_path_factory.mktemp("openbao")
    with openbao_server.OpenBao.start(directory, postgres) as running:
        yield running


@pytest.fixture(scope="session")
def world(
    control_plane: kubernetes.ControlPlane,
    postgres: postgres_server.Postgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> collections.abc.Iterator[worlds.World]:
    """Everything, with fault proxies before Kubernetes and Infisical, and leases of seconds.

    Its operators are forked. Started as users start it is the operator in tests/chart/test_install
    and tests/cluster/test_restore, which have worlds of their own.
    """
    directory = tmp_path_factory.mktemp("world")
    imported, image = operator.IMPORTED, operator.IMAGE
    with (
        forks.Forks.start(*imported, directory=directory, environment=image) as forking,
        worlds.World.start(
            directory=directory,
            control_plane=control_plane,
            database=postgres,
            kubernetes_faults=True,
            provider_faults=True,
            forks=forking,
            min_ttl=2,
        ) as running,
    ):
        yield running


def _foreign_cluster() -> bool:
    return kubernetes.KUBECONFIG_VARIABLE in os.environ


def _say(line: str) -> None:
    """Past pytest's capture, which would keep the progress of minutes to itself."""
    stream = sys.__stderr__ or sys.stderr
    stream.write(line + "\n")
    stream.flush()
