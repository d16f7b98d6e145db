"""Keeps deploy/ in step: ``python -m tools.chart [--check]``, or ``make chart``.

The chart is the one source of what is installed. It holds copies of what lies elsewhere, because
Helm reads nothing outside a chart; from it come the table of values in docs/install.md and,
rendered by Helm, the manifest for kubectl.
"""

import collections.abc
import pathlib
import subprocess
import sys
import typing

from tests.world import build
from tools import values

ROOT: typing.Final = pathlib.Path(__file__).parents[1]
CHART: typing.Final = ROOT / "deploy" / "chart"
PAGE: typing.Final = ROOT / "docs" / "install.md"
MANIFEST: typing.Final = ROOT / "deploy" / "install.yaml"
RELEASE: typing.Final = "leaseholder"
_BEGIN: typing.Final = "<!-- Written by `make chart` from deploy/chart/values.yaml -->\n"
_END: typing.Final = "<!-- end -->\n"
_HEAD: typing.Final = """\
# Everything of the operator for kubectl, rendered from deploy/chart by `make chart`. Write the
# hosts that providers may be at into LEASEHOLDER_PROVIDER_HOSTS. Until then the operator ends with
# a sentence that asks for them; docs/install.md says how, and what else to change.
"""


def copies() -> collections.abc.Iterator[tuple[pathlib.Path, str]]:
    """What the chart holds of other folders, and of its own values: each and what it is to be."""
    for folder, inside in (("crds", "crds"), ("deploy/monitoring", "monitoring")):
        for path in sorted((ROOT / folder).glob("*.*")):
            yield CHART / "files" / inside / path.name, path.read_text(encoding="utf-8")
    yield CHART / "files" / "kinds.yaml", values.kinds(values.read(CHART / "values.yaml"))


def strays() -> list[pathlib.Path]:
    """Copies of what isn't there any more."""
    known = {path for path, _ in copies()}
    return [one for one in (CHART / "files").rglob("*") if one.is_file() and one not in known]


def page() -> str:
    """docs/install.md with the table of the present values."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{values.table(values.read(CHART / 'values.yaml'))}\n{_END}{after}"


def manifest(helm: pathlib.Path) -> str:
    """deploy/install.yaml: the namespace, and the chart with its defaults.

    The schema asks for hosts. Here they stay empty, and the operator asks for them instead.
    """
    namespace = (ROOT / "deploy" / "namespace.yaml").read_text(encoding="utf-8")
    done = subprocess.run(
        [
            *(str(helm), "template", RELEASE, str(CHART), "--namespace", RELEASE),
            "--skip-schema-validation",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return f"{_HEAD}{namespace}{done.stdout}"


def stale(helm: pathlib.Path) -> list[tuple[pathlib.Path, str]]:
    """The files that are out of step, and what they are to be, but for the manifest.

    The manifest comes from the copies, so it is looked at when they are in step.
    """
    wanted = [*copies(), (PAGE, page())]
    found = [(path, text) for path, text in wanted if _read(path) != text]
    if not found and _read(MANIFEST) != (text := manifest(helm)):
        found = [(MANIFEST, text)]
    return found


def write(helm: pathlib.Path) -> None:
    """Bring everything in step."""
    for path in strays():
        path.unlink()
    while found := stale(helm):
        for path, text in found:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def _read(path: pathlib.Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _main(arguments: list[str]) -> int:
    helm = build.HELM.ensure(lambda line: print(line, file=sys.stderr, flush=True))
    if "--check" not in arguments:
        write(helm)
        return 0
    wrong = [*strays(), *(path for path, _ in stale(helm))]
    for path in wrong:
        print(f"out of step, run `make chart`: {path.relative_to(ROOT)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
