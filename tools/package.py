"""Packs the chart as a release has it: ``python -m tools.package DIRECTORY``, or ``make dist``.

In the checkout the chart names an image that its user builds. Where ``make image-pushed`` has left
build/image.json, the packed chart names the image that was pushed, by its digest.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import typing

from tests.world import build
from tools import chart

PUSHED: typing.Final = chart.ROOT / "build" / "image.json"
"""What docker buildx says of the image that it pushed."""


def pinned(values: str, image: str, digest: str) -> str:
    """The text of values.yaml with another image.

    Args:
        values: the text as it stands in the checkout.
        image: registry, name and tag, as in ``registry.example.com/leaseholder:0.1.0``.
        digest: such as ``sha256:…``.

    Raises:
        ValueError: the text has no default image, or more than one.
    """
    repository = re.sub(r":[^:/]*$", "", image)
    for line, written in (
        ("  repository: leaseholder", f"  repository: {repository}"),
        ('  digest: ""', f"  digest: {digest}"),
    ):
        if values.splitlines().count(line) != 1:
            raise ValueError(f"values.yaml is to have one line {line.strip()!r}")
        values = values.replace(f"{line}\n", f"{written}\n")
    return values


def pack(helm: pathlib.Path, directory: pathlib.Path, pushed: pathlib.Path = PUSHED) -> None:
    """Write the chart's archive into a directory.

    Raises:
        subprocess.CalledProcessError: Helm refused.
        ValueError: see `pinned`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / chart.CHART.name
        shutil.copytree(chart.CHART, copy)
        if pushed.exists():
            said = json.loads(pushed.read_text(encoding="utf-8"))
            values = copy / "values.yaml"
            text = values.read_text(encoding="utf-8")
            text = pinned(text, said["image.name"], said["containerimage.digest"])
            values.write_text(text, encoding="utf-8")
        subprocess.run(
            [str(helm), "package", str(copy), "--destination", str(directory)], check=True
        )


if __name__ == "__main__":
    pack(build.HELM.ensure(print), pathlib.Path(sys.argv[1]))
