"""What the process asks of its machine before it works."""

import resource
from collections.abc import Callable

import pytest

from leaseholder import app, errors
from leaseholder.api.conditions import Reason
from leaseholder.clock import SystemClock
from leaseholder.cluster import client
from leaseholder.settings import Settings


def test_it_takes_as_many_open_files_as_it_may_have() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] - 1, before[1]))
        app.allow_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_what_the_api_server_dates_is_judged_by_a_clock_that_runs_on_in_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SystemClock, "monotonic", lambda _: 7.0)
    given: list[float] = []

    async def connect(*_: object, monotonic: Callable[[], float], **__: object) -> None:
        given.append(monotonic())
        raise errors.ClusterUnavailable(Reason.CLUSTER, "away")

    monkeypatch.setattr(client.Api, "connect", connect)
    settings = Settings(operator_namespace="leaseholder", leader_election=False)
    with pytest.raises(errors.ClusterUnavailable):
        async with app.composed(settings):
            pass
    assert given == [7.0]
