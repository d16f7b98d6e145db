import logging
import typing
from datetime import UTC, datetime

import pytest

from leaseholder import errors
from leaseholder.api import base, names
from leaseholder.api.conditions import Reason
from leaseholder.cluster import announcing, client, places
from leaseholder.ports.events import Note

NOW = datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC)
NOTE = Note("Warning", Reason.THROTTLED, "x" * 2000)


def test_an_event_is_in_its_resources_namespace_and_cut_to_what_the_api_takes() -> None:
    meta = base.ObjectMeta(name="orders", namespace="shop", uid="u-1", resource_version="7")
    body = announcing.event("DynamicLease", meta, NOTE, NOW)
    assert body["metadata"]["namespace"] == "shop"
    assert len(body["message"]) == 1024
    assert body["involvedObject"]["uid"] == "u-1"
    assert body["firstTimestamp"] == body["lastTimestamp"] == "2026-11-21T03:04:05Z"


def test_an_event_about_a_cluster_scoped_provider_is_in_default() -> None:
    body = announcing.event("ClusterLeaseProvider", base.ObjectMeta(name="shared"), NOTE, NOW)
    assert body["metadata"]["namespace"] == "default"
    assert "namespace" not in body["involvedObject"]


@pytest.mark.parametrize("at_the_cut", ["x", ".", "-", "x-", "--"])
def test_an_events_name_is_one_that_the_api_takes(at_the_cut: str) -> None:
    name = f"{at_the_cut:x>230}" + "x" * 23
    body = announcing.event("DynamicLease", base.ObjectMeta(name=name), NOTE, NOW)
    assert names.is_name(name)
    assert names.is_name(body["metadata"]["name"])


class Refusing:
    """An API server that takes no event."""

    def __init__(self) -> None:
        self.answers: list[errors.ClusterError] = []

    async def request(self, method: str, place: places.Place, **_: object) -> client.Body:
        raise self.answers.pop(0)


async def test_a_right_to_events_that_is_missing_is_logged_once_in_ten_minutes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    now, api = 0.0, Refusing()
    announcer = announcing.Announcer(typing.cast(client.Api, api), lambda: now)
    refused = errors.Refused(Reason.DENIED, "no right to create events")
    away = errors.ClusterUnavailable(Reason.CLUSTER, "it is away")
    api.answers = [refused, refused, away, refused]
    for moment in (0.0, 1.0, 2.0, 601.0):
        now = moment
        await announcer.emit("DynamicLease", base.ObjectMeta(name="orders"), NOTE)
    assert [one.levelname for one in caplog.records] == ["WARNING", "DEBUG", "DEBUG", "WARNING"]


class Taking:
    """An API server that takes every event."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    async def request(self, method: str, place: places.Place, **_: object) -> client.Body:
        self.methods.append(method)
        return {}


async def test_events_that_read_alike_when_they_are_cut_are_one_that_is_counted() -> None:
    api = Taking()
    announcer = announcing.Announcer(typing.cast(client.Api, api), lambda: 0.0)
    for tail in "abc":
        note = Note("Warning", Reason.KEYS_CHANGED, "x" * 250_000 + tail)
        await announcer.emit("DynamicLease", base.ObjectMeta(name="orders"), note)
    assert api.methods == ["POST", "PATCH", "PATCH"]
