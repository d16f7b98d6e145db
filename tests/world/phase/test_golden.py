"""The emulator against the API document: the requests of its examples, answers of its shapes."""

import datetime
from typing import Any

import pytest

from tests.world.emulation import openapi
from tests.world.phase import bench as benches
from tests.world.phase import clock as clocks
from tests.world.phase import seeds

KEYS = {
    "username": "AWS_USERNAME",
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
}


@pytest.fixture
async def documented(bench: benches.Bench) -> benches.Bench:
    """The document's own app, environment and dynamic secret."""
    secret = seeds.DynamicSecret.model_validate(
        {"name": QUERY["name"], "environment": "Development", "path": "/backend", "keys": KEYS}
    )
    await bench.admin.seed(seeds.Seed(dynamic_secrets=[secret]))
    return bench


OPERATIONS = openapi.operations("phase")


def held_to(name: str, reply: benches.Reply) -> None:
    assert OPERATIONS[name].complaints(reply.status, reply.body) == []


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
    held_to("getDynamicSecrets", reply)
    (got,) = reply.body
    shown = (got["name"], got["path"], got["defaultTtl"], got["maxTtl"])
    assert shown == (QUERY["name"], QUERY["path"], "01:00:00", "1 00:00:00")
    assert [(one["id"], one["keyName"]) for one in got["keyMap"]] == [*KEYS.items()]
    assert [one["key"] for one in got["lease"]["credentials"]] == [*KEYS.values()]
    assert (got["lease"]["ttl"], got["lease"]["status"]) == ("01:00:00", "active")


async def test_without_lease_the_lease_is_null(documented: benches.Bench) -> None:
    reply = await documented.call("GET", benches.DYNAMIC, QUERY)
    held_to("getDynamicSecrets", reply)
    assert reply.body[0]["lease"] is None
    assert await documented.admin.keys() == []


async def test_the_standard_endpoint_shows_dynamic_secrets_as_documented(
    documented: benches.Bench,
) -> None:
    query = {name: QUERY[name] for name in ("app_id", "env", "path")}
    query |= {"dynamic": "true", "lease": "true"}
    reply = await documented.call("GET", "/v1/secrets/", query)
    held_to("getSecrets", reply)
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
    held_to("getLeases", reply)
    assert [one["status"] for one in reply.body] == ["active", "expired", "revoked"]
    assert [one["credentials"] for one in reply.body] == [[], [], []]


async def test_renewal_and_revocation_say_what_is_documented(documented: benches.Bench) -> None:
    lease = await leased(documented)
    where = {name: QUERY[name] for name in ("app_id", "env")}
    body = {"lease_id": lease["id"], "ttl": 3600}
    renewed = await documented.call("PUT", benches.LEASES, where, body=body)
    held_to("renewLease", renewed)
    start, _, moment = renewed.body["message"].partition(": ")
    assert start == "Lease renewed successfully. Updated expiry"
    row = await documented.row(lease)
    assert row["expiresAt"] == moment.replace(" ", "T").replace("+00:00", "Z")
    revoked = await documented.call("DELETE", benches.LEASES, where, body={"lease_id": lease["id"]})
    assert revoked.body == {"message": "Lease revoked successfully"}


def test_a_missing_or_a_new_field_is_noticed() -> None:
    moment, length = "2025-09-04T13:36:48.455604Z", "01:00:00"
    lease: dict[str, object] = {
        **dict.fromkeys(("id", "secret"), seeds.DEMO_APP),
        **dict.fromkeys(("renewedAt", "revokedAt", "deletedAt")),
        **dict.fromkeys(("createdAt", "expiresAt"), moment),
        "name": "aws",
        "description": "",
        "ttl": length,
        "status": "active",
    }
    lease |= {"credentials": []}
    of_leases = OPERATIONS["getLeases"]
    assert of_leases.complaints(200, [lease]) == []
    changed = {name: one for name, one in lease.items() if name != "secret"}
    for wrong in (changed, lease | {"news": 1}, lease | {"ttl": 3600}, lease | {"id": "one"}):
        assert len(of_leases.complaints(200, [wrong])) == 1
    assert of_leases.complaints(418, [lease]) == ["getLeases never answers 418"]


@pytest.mark.parametrize("text", ["01:00:00", "1 00:00:00", "00:01:41.500000", "366 23:59:59"])
def test_lengths_are_written_as_documented(text: str) -> None:
    days, _, clock = text.rpartition(" ")
    hours, minutes, seconds = clock.split(":")
    lasting = datetime.timedelta(
        days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=float(seconds)
    )
    assert clocks.length(lasting) == text
