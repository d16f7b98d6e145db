"""Keeps what is made of the code in step: ``python -m tools.pages [--check]``, or ``make crds``.

In come the models of the API, the reasons, the metrics and the commands; out go the manifests under
``crds/`` and the generated pages of ``docs/``. ``tools.chart`` copies the manifests from there.
"""

import pathlib
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from leaseholder.api import crds
from leaseholder.cli import page
from leaseholder.telemetry import catalogue
from tools import reasons, reference

ROOT: Final = pathlib.Path(__file__).parents[1]


def files(root: pathlib.Path = ROOT) -> Iterator[tuple[pathlib.Path, str]]:
    """Each file that is made of the code, and its text."""
    for name, text in crds.rendered():
        yield root / "crds" / name, text
    yield root / "docs" / "reference.md", reference.rendered()
    yield root / "docs" / "reasons.md", reasons.rendered()
    yield root / "docs" / "metrics.md", catalogue.rendered()
    yield root / "docs" / "cli.md", page.rendered()


def keep(made: Iterable[tuple[pathlib.Path, str]], *, check: bool) -> int:
    """Write the files that are out of step; with ``check`` only tell which.

    Returns:
        The exit code: 1 where ``check`` found a file out of step.
    """
    stale = [(path, text) for path, text in made if _read(path) != text]
    if check and stale:
        names = ", ".join(path.name for path, _ in stale)
        sys.stderr.write(f"out of step with the code, run `make crds`: {names}\n")
        return 1
    for path, text in stale:
        path.write_text(text, encoding="utf-8")
    return 0


def _read(path: pathlib.Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(keep(files(), check="--check" in sys.argv[1:]))
