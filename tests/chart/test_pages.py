"""Each `helm install` on the pages renders, with the very values that stand there."""

import shlex

import pytest

from tests import pages
from tests.world import charts

INSTALLS = sorted(
    {one for one in pages.commands("helm") if one.split()[1] in ("install", "upgrade")}
)


def test_the_pages_say_how_to_install_by_helm() -> None:
    assert len(INSTALLS) >= 2


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize("command", INSTALLS)
def test_the_chart_takes_the_values_of_a_command(command: str) -> None:
    _, _, release, chart, *flags = shlex.split(command)
    assert pages.ROOT / chart == charts.CHART
    namespace = flags.index("--namespace")
    del flags[namespace : namespace + 2]  # Helm.run writes its own
    assert "kind: Deployment" in charts.Helm().run("template", release, str(charts.CHART), *flags)
