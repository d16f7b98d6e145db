"""deploy/chart by the real Helm: what it renders, and what it does to a cluster."""

import collections.abc
import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys
import typing

import yaml

from tests.world import build, kube, processes

CHART: typing.Final = processes.CHECKOUT / "deploy" / "chart"
RELEASE: typing.Final = "leaseholder"
Values = collections.abc.Mapping[str, typing.Any]
HOSTS: typing.Final[Values] = {"providerHosts": ["us.infisical.com"]}
"""The least that has to be written."""


class Refused(Exception):
    """Helm said no; the text is what a user would read."""


@dataclasses.dataclass(frozen=True, slots=True)
class Helm:
    """Helm, for one cluster or none."""

    kubeconfig: pathlib.Path | None = None
    namespace: str = RELEASE
    chart: pathlib.Path = CHART

    def run(self, *arguments: str, values: Values | None = None) -> str:
        """What Helm prints.

        Args:
            arguments: of the command.
            values: beside the chart's own, as a user's file.

        Raises:
            Refused: it ended with an error.
        """
        program = build.HELM.ensure(lambda line: print(line, file=sys.stderr))
        given = ["--values", "-"] if values is not None else []
        done = subprocess.run(
            [str(program), *arguments, "--namespace", self.namespace, *given],
            input=json.dumps(values),
            env={**_environment(), "KUBECONFIG": str(self.kubeconfig or os.devnull)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stdout + done.stderr)
        return done.stdout

    def template(self, values: Values, release: str = RELEASE) -> list[kube.Object]:
        """The objects of a release, without a cluster."""
        text = self.run("template", release, str(self.chart), values=values)
        return [one for one in yaml.load_all(text, _Loader) if one is not None]

    def install(self, values: Values, *flags: str) -> None:
        """Install or upgrade the release."""
        self.run("upgrade", "--install", RELEASE, str(self.chart), *flags, values=values)


def _environment() -> dict[str, str]:
    """Ours, without a word of the developer's own Helm."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HELM_")}
    home = str(build.cache_directory() / "helm-home")
    return {**kept, **{f"HELM_{one}_HOME": home for one in ("CACHE", "CONFIG", "DATA")}}


_Loader: typing.Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.cache
def _rendered(text: str) -> str:
    return json.dumps(Helm().template(json.loads(text)))


def rendered(values: Values = HOSTS) -> list[kube.Object]:
    """The objects of the release `leaseholder`; rendered once for each set of values."""
    found: list[kube.Object] = json.loads(_rendered(json.dumps(dict(values))))
    return found


def rights(*powers: str, shards: collections.abc.Sequence[str] = ()) -> Values:
    """Values that bind Secrets, and these powers too, cluster-wide."""
    bound = {power: {"enabled": True} for power in powers}
    return {**HOSTS, "rights": bound, "shards": list(shards)}


ROLES: typing.Final = frozenset(
    {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
)
"""The kinds that say what a process may do."""
