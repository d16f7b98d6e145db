"""The emulator against the examples of the API document: same requests, same shapes."""

import datetime
from typing import Any

import pytest

from tests.world.phase import bench as benches
from tests.world.phase import clock as clocks
from tests.world.phase import golden, seeds

KEYS = {
    "username": "AWS_USERNAME",
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
}


@pytest.fixture
async def documented(bench: benches.Bench) -> benches.Bench:
    """The document's own app, environment and dynamic secret."""
    example = golden.EXAMPLES["dynamic"][0]
    secret = seeds.DynamicSecret.model_validate(
        {
            "name": example["name"],
            "id": example["id"],
            "environment": "Development",
            "path": "/backend",
            "keys": KEYS,
        }
    )
    await bench.admin.seed(seeds.Seed(dynamic_secrets=[secret]))
    return bench


QUERY = {
    "app_id": "72b9ddd5-8fce-49ab-89d9-c431d53a9552",
    "env": "development",
    "path": "/backend",
    "name": "AWS IAM credentials",
}


async def leased(bench: benches.Bench) -> dict[str, Any]:
    reply = await bench.call("GET", benches.DYNAMIC, QUERY | {"lease": "true"})
    lease: dict[str, Any] = reply.body[0]["lease"]
    return lease


async def test_a_lease_is_answered_as_documented(documented: benches.Bench) -> None:
    reply = await documented.call("GET", benches.DYNAMIC, QUERY | {"lease": "true"})
    assert reply.status == 200
    assert golden.complaints(reply.body, golden.EXAMPLES["dynamic"]) == set()
    (got,), (example,) = reply.body, golden.EXAMPLES["dynamic"]
    for name in ("id", "name", "type", "description", "defaultTtl", "maxTtl", "provider"):
        assert got[name] == example[name]
    shown = [(one["id"], one["keyName"]) for one in got["keyMap"]]
    assert shown == [(one["id"], one["keyName"]) for one in example["keyMap"]]
    keys = [one["key"] for one in got["lease"]["credentials"]]
    assert keys == [one["key"] for one in example["lease"]["credentials"]]
    assert (got["lease"]["ttl"], got["lease"]["status"]) == ("01:00:00", "active")


async def test_without_lease_the_lease_is_null(documented: benches.Bench) -> None:
    reply = await documented.call("GET", benches.DYNAMIC, QUERY)
    assert golden.complaints(reply.body, golden.EXAMPLES["dynamic"]) == set()
    assert reply.body[0]["lease"] is None
    assert await documented.admin.keys() == []


async def test_the_standard_endpoint_shows_dynamic_secrets_as_documented(
    documented: benches.Bench,
) -> None:
    query = {name: QUERY[name] for name in ("app_id", "env", "path")}
    query |= {"dynamic": "true", "lease": "true"}
    reply = await documented.call("GET", "/v1/secrets/", query)
    assert golden.complaints(reply.body, golden.EXAMPLES["secrets"]) == set()
    assert reply.body[0]["lease"]["credentials"]


async def test_the_history_is_as_documented_for_every_status_and_owner(
    documented: benches.Bench,
) -> None:
    await documented.admin.turn(expiryLagSeconds=0, workerBusySeconds=0)
    await documented.act_as("owner")
    lease = await leased(documented)
    await documented.call("DELETE", benches.LEASES, QUERY, body={"lease_id": lease["id"]})
    await documented.act_as("kube-bot")
    await leased(documented)
    await documented.admin.turn(clockOffsetSeconds=4000)
    row = None
    while row is None or row["status"] != "expired":
        row = await documented.row(lease | {"id": (await documented.admin.keys())[1].lease_id})
    await leased(documented)
    reply = await documented.call("GET", benches.LEASES, {"secret_id": lease["secret"]})
    assert golden.complaints(reply.body, golden.EXAMPLES["leases"]) == set()
    assert [one["status"] for one in reply.body] == ["active", "expired", "revoked"]
    assert [one["credentials"] for one in reply.body] == [[], [], []]


async def test_renewal_and_revocation_say_what_is_documented(documented: benches.Bench) -> None:
    lease = await leased(documented)
    where = {name: QUERY[name] for name in ("app_id", "env")}
    body = {"lease_id": lease["id"], "ttl": 3600}
    renewed = await documented.call("PUT", benches.LEASES, where, body=body)
    start, _, moment = renewed.body["message"].partition(": ")
    assert golden.EXAMPLES["renew"]["message"].startswith(f"{start}: ")
    row = await documented.row(lease)
    assert row["expiresAt"] == moment.replace(" ", "T").replace("+00:00", "Z")
    revoked = await documented.call("DELETE", benches.LEASES, where, body={"lease_id": lease["id"]})
    assert revoked.body == golden.EXAMPLES["revoke"]


def test_a_missing_or_a_new_field_is_noticed() -> None:
    (example,) = golden.EXAMPLES["dynamic"]
    changed = {**{k: v for k, v in example.items() if k != "path"}, "news": 1, "maxTtl": 86400}
    assert golden.complaints([changed], golden.EXAMPLES["dynamic"]) == {
        "answer[].path",
        "answer[].news",
        "answer[].maxTtl",
    }


@pytest.mark.parametrize("text", ["01:00:00", "1 00:00:00", "00:01:41.500000", "366 23:59:59"])
def test_lengths_are_written_as_documented(text: str) -> None:
    days, _, clock = text.rpartition(" ")
    hours, minutes, seconds = clock.split(":")
    lasting = datetime.timedelta(
        days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=float(seconds)
    )
    assert clocks.length(lasting) == text
