"""Lists of what a tenant labels: any number of objects, and each a megabyte and a half."""

import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from leaseholder.api import names
from leaseholder.cluster import client, objects, places, secrets, unreadable, workloads
from leaseholder.ports.secrets import MOST_OWNED
from tests.unit.cluster.test_client import connected

LARGE = "[" + ",".join(["{}"] * 90_000) + "]"
"""Managed fields, such as a schema bounds nowhere."""
STAMP = f"{names.RESTART}/orders"


class Objects:
    """An API server with forty objects under each name; notes how many it gives at once."""

    def __init__(self) -> None:
        self.given = list[int]()

    async def listed(self, request: web.Request) -> web.Response:
        """A page, or all where no pages are wanted."""
        first, most = int(request.query.get("continue", "0")), int(request.query.get("limit", "40"))
        following = min(40, first + most)
        self.given.append(following - first)
        more = str(following) if following < 40 else ""
        items = [_object(number) for number in range(first, following)]
        page = json.dumps({"metadata": {"continue": more}, "items": items})
        return web.Response(text=page.replace("null", LARGE), content_type="application/json")


def _object(number: int) -> dict[str, Any]:
    notes = {STAMP: "a-1", f"{names.RESTART}/x": "x" * 10_000}
    notes |= {f"{names.RESTART}/z{one}": "z" for one in range(1_000)}
    meta = {"name": f"o-{number}", "namespace": "shop", "uid": str(number), "managedFields": None}
    return {"metadata": meta, "spec": {"template": {"metadata": {"annotations": notes}}}}


@pytest.fixture
async def large(tmp_path: pathlib.Path) -> AsyncIterator[tuple[Objects, client.Api]]:
    (tmp_path / "token").write_text("first\n")
    there = Objects()
    async with connected(tmp_path / "kubeconfig", there.listed) as api:
        yield there, api


async def test_secrets_with_one_uid_come_in_pages_until_there_are_enough(
    large: tuple[Objects, client.Api],
) -> None:
    there, api = large
    found = await secrets.KubernetesSecrets(api).owned("shop", "u-1")
    assert [one.name for one in found] == [f"o-{number}" for number in range(MOST_OWNED)]
    assert there.given[-1] == 1
    assert len(there.given) < 3 * MOST_OWNED


async def test_records_with_one_slot_come_in_pages_until_there_are_enough(
    large: tuple[Objects, client.Api],
) -> None:
    there, api = large
    kept = objects.Objects(api, unreadable.UnreadableObjects())
    found = await kept.listed(places.RECORDS.at("leaseholder"), "slot.leaseholder.dev/x", most=20)
    assert [one["metadata"]["name"] for one in found] == [f"o-{number}" for number in range(20)]
    assert there.given[-1] == 1


async def test_workloads_with_one_label_come_in_pages(large: tuple[Objects, client.Api]) -> None:
    there, api = large
    found = await workloads.KubernetesWorkloads(api).labelled("Deployment", "shop", {"app": "x"})
    assert [one.name for one in found] == [f"o-{number}" for number in range(40)]
    assert there.given[-1] == 1
    assert all(one.stamps[STAMP] == "a-1" for one in found)
    assert sum(len(value) for one in found for value in one.stamps.values()) < 40 * 1_000
