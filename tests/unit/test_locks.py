"""What is installed is what the locks name: complete for every Python, nothing of pip's choice."""

import collections.abc
import dataclasses
import hashlib
import importlib.metadata
import pathlib
import re
import subprocess
import sys
import tomllib
import typing
import zipfile

import pytest
from packaging import markers, requirements, utils

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
PYTHONS = [
    classifier.rpartition(" ")[2]
    for classifier in PROJECT["project"]["classifiers"]
    if re.search(r":: 3\.\d+$", classifier)
]
INSTALL = re.compile(r"\binstall (.*?-r \S+\.lock)")


@dataclasses.dataclass(frozen=True, slots=True)
class Locked:
    """One entry of a lock."""

    requirement: requirements.Requirement
    hashes: tuple[str, ...]

    @property
    def version(self) -> str:
        (pin,) = self.requirement.specifier
        assert pin.operator == "==", f"{self.requirement} isn't pinned"
        return pin.version

    def applies(self, environment: dict[str, str]) -> bool:
        marker = self.requirement.marker
        return marker is None or marker.evaluate(environment)


def read_lock(name: str) -> list[Locked]:
    text = (CHECKOUT / name).read_text("utf-8").replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        words, *hashes = re.split(r"\s+--hash=", line)
        found.append(Locked(requirements.Requirement(words), tuple(map(str.strip, hashes))))
    return found


def environment(python: str, machine: str) -> dict[str, str]:
    """CPython on Linux, as markers see it."""
    ours = typing.cast("dict[str, str]", markers.default_environment())
    return ours | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_version": f"{python}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


def group(name: str) -> collections.abc.Iterator[str]:
    for entry in PROJECT["dependency-groups"][name]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from group(entry["include-group"])


def requires(name: str) -> list[str]:
    """What a distribution asks for; nothing is known of one that this Python has no use for."""
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def faults(roots: collections.abc.Iterable[str], lock: str, env: dict[str, str]) -> list[str]:
    """What one environment needs, from the roots on, and the lock doesn't name."""
    entries: dict[str, list[Locked]] = {}
    for entry in read_lock(lock):
        entries.setdefault(utils.canonicalize_name(entry.requirement.name), []).append(entry)
    found: list[str] = []
    seen: set[tuple[str, str]] = set()
    todo = [(text, "") for text in roots]
    while todo:
        text, extra = todo.pop()
        needed = requirements.Requirement(text)
        if needed.marker and not needed.marker.evaluate({**env, "extra": extra}):
            continue
        name = utils.canonicalize_name(needed.name)
        held = [entry for entry in entries.get(name, []) if entry.applies(env)]
        if len(held) != 1:
            found.append(f"{text}: {len(held)} entries")
        elif not needed.specifier.contains(held[0].version, prereleases=True):
            found.append(f"{text}: {held[0].version} doesn't fit")
        for wanted in {"", *needed.extras}:
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                todo += [(other, wanted) for other in requires(name)]
    return found


LOCKS = {
    "requirements.lock": [*PROJECT["project"]["dependencies"], *group("dev")],
    "requirements-runtime.lock": PROJECT["project"]["dependencies"],
    "requirements-build.lock": list(group("build")),
}


def test_the_pythons_that_are_held_to_it_are_the_supported_ones() -> None:
    assert {"3.11", "3.12", "3.13", "3.14"} <= set(PYTHONS)
    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"
    assert f"PYTHONS := {' '.join(PYTHONS)}\n" in (CHECKOUT / "Makefile").read_text("utf-8")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_all_that_a_supported_python_needs(
    lock: str, python: str, machine: str
) -> None:
    assert faults(LOCKS[lock], lock, environment(python, machine)) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_is_one_version_and_has_hashes(lock: str) -> None:
    for entry in read_lock(lock):
        assert entry.version
        assert entry.hashes, entry.requirement.name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in entry.hashes)


def test_a_hole_in_a_lock_is_seen() -> None:
    runtime = PROJECT["project"]["dependencies"]
    env = environment("3.12", "x86_64")
    assert faults([*runtime, "no-such-package"], "requirements-runtime.lock", env) == [
        "no-such-package: 0 entries"
    ]
    (fault,) = faults(["pydantic<2"], "requirements-runtime.lock", env)
    assert re.fullmatch(r"pydantic<2: 2\.\S+ doesn't fit", fault)
    missing = faults(["pytest"], "requirements-runtime.lock", env)
    assert any(fault.startswith("pluggy<") for fault in missing)  # what pytest asks for in its turn


def test_the_locks_agree_on_versions() -> None:
    every = {entry.requirement.name: entry.requirement for entry in read_lock("requirements.lock")}
    for lock in ("requirements-runtime.lock", "requirements-build.lock"):
        for entry in read_lock(lock):
            ours, theirs = entry.requirement, every[entry.requirement.name]
            assert ours.specifier == theirs.specifier
            # What development tools ask for, too, may be wanted where the program alone needs none.
            assert theirs.marker is None or theirs.marker == ours.marker


def test_the_wheel_is_built_with_what_is_locked() -> None:
    assert PROJECT["build-system"]["requires"] == list(group("build"))


def installs() -> dict[str, list[str]]:
    """The options of each `pip install -r …lock` that Makefile and Dockerfile run."""
    found = {}
    for name in ("Makefile", "deploy/Dockerfile"):
        for options in INSTALL.findall((CHECKOUT / name).read_text("utf-8")):
            *words, _, lock = options.split()
            found[f"{name}: {lock}"] = words
    return found


def wheel(directory: pathlib.Path, name: str, version: str, *needs: str) -> pathlib.Path:
    path = directory / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {n}" for n in needs)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\n" + "\n".join(metadata) + "\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_all_that_is_installed_comes_from_a_lock() -> None:
    assert set(installs()) == {
        "Makefile: requirements.lock",
        "deploy/Dockerfile: requirements-build.lock",
        "deploy/Dockerfile: requirements-runtime.lock",
    }
    for name, count in (("Makefile", 3), ("deploy/Dockerfile", 4)):
        text = (CHECKOUT / name).read_text("utf-8").replace("\\\n", " ")
        steps = [s for s in re.split(r"\n|&&", text) if re.search(r"\b(install|wheel) --", s)]
        assert len(steps) == count, steps
        for step in steps:
            assert "--no-deps" in step
            assert "--require-hashes -r requirements" in step or "--no-index" in step


@pytest.mark.parametrize("which", installs())
def test_a_newer_release_in_the_index_changes_nothing(which: str, tmp_path: pathlib.Path) -> None:
    """What plain pip stumbles over: an extra of a locked package, a newer one without a hash."""
    index = tmp_path / "index"
    index.mkdir()
    locked = {
        "app": wheel(index, "app", "1.0", "lib[fast]>=1.0"),
        "lib": wheel(index, "lib", "1.0"),
    }
    wheel(index, "app", "1.1", "lib[fast]>=1.0")
    wheel(index, "lib", "2.0")
    lock = tmp_path / "some.lock"
    hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in locked.items()}
    lock.write_text("".join(f"{name}==1.0 --hash=sha256:{has}\n" for name, has in hashes.items()))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install"),
            *(word for word in installs()[which] if word != "--quiet"),
            *("--no-index", "--find-links", str(index), "--target", str(tmp_path / "place")),
            *("-r", str(lock)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Successfully installed app-1.0 lib-1.0" in done.stdout
