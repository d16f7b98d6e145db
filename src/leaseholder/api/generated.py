"""Files that are generated from the models: written, or compared with what stands there."""

import pathlib
import sys
from collections.abc import Iterable


def keep(files: Iterable[tuple[pathlib.Path, str]], *, check: bool) -> int:
    """Write the files that are out of step; with ``check`` only tell which.

    Returns:
        The exit code: 1 where ``check`` found a file out of step.
    """
    stale = [(path, text) for path, text in files if _read(path) != text]
    if check and stale:
        names = ", ".join(path.name for path, _ in stale)
        sys.stderr.write(f"out of step with the models, run `make crds`: {names}\n")
        return 1
    for path, text in stale:
        path.write_text(text, encoding="utf-8")
    return 0


def _read(path: pathlib.Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
