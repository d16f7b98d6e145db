"""Expiry, replica lag, limits, faults: what a test can turn, and what it then sees."""

import asyncio
import datetime
import email.utils

import aiohttp
import pytest

from tests.world.infisical import bench as benches
from tests.world.infisical import client


async def only(bench: benches.Bench) -> client.Lease:
    (known,) = await bench.admin.leases()
    return known


async def test_the_expiry_job_revokes_and_deletes(bench: benches.Bench) -> None:
    created = await bench.created("k8s", ttl="1h")
    await bench.admin.turn(clockOffsetSeconds=3601)

    async def gone() -> bool:
        return (await bench.get(created["lease"]["id"])).status == 404

    await bench.until(gone)
    assert not (await only(bench)).alive


async def test_an_expiry_that_fails_stays_listed_and_is_retried(bench: benches.Bench) -> None:
    await bench.created("k8s", ttl="1h")
    await bench.admin.turn(clockOffsetSeconds=3601, revokeError="no route")

    async def marked() -> bool:
        row = (await only(bench)).row
        return row is not None and row.status == "Failed to delete"

    await bench.until(marked)
    (listed,) = (await bench.leases_of("k8s")).body["leases"]
    assert listed["statusDetails"] == "no route - Retrying automatically"
    await bench.admin.turn(clockOffsetSeconds=3601 + 6 * 3600, revokeError=None)

    async def gone() -> bool:
        return (await only(bench)).row is None

    await bench.until(gone)


async def test_a_renewed_lease_is_not_expired_by_its_old_job(bench: benches.Bench) -> None:
    created = await bench.created("k8s", ttl="1h")
    other = await bench.created("aws-sts", ttl="1h")
    await bench.renew(created["lease"]["id"], ttl="1h")
    await bench.admin.turn(clockOffsetSeconds=3601)

    async def gone() -> bool:
        return (await bench.get(other["lease"]["id"])).status == 404

    await bench.until(gone)
    assert (await bench.get(created["lease"]["id"])).status == 200


async def test_a_lagging_replica_does_not_know_what_was_just_made(bench: benches.Bench) -> None:
    await bench.admin.turn(replicaLagSeconds=30)
    lease_id = (await bench.created("k8s"))["lease"]["id"]
    told = f"Dynamic secret lease with ID '{lease_id}' not found"
    assert (await bench.get(lease_id)).message == told
    assert (await bench.renew(lease_id)).message == told
    assert (await bench.revoke(lease_id)).message == told
    assert (await bench.leases_of("k8s")).body == {"leases": []}
    await bench.admin.turn(clockOffsetSeconds=31)
    assert (await bench.revoke(lease_id)).status == 200


async def test_a_lagging_replica_still_shows_what_was_just_deleted(bench: benches.Bench) -> None:
    lease_id = (await bench.created("k8s"))["lease"]["id"]
    await bench.admin.turn(replicaLagSeconds=30)
    await bench.revoke(lease_id)
    assert (await bench.get(lease_id)).status == 200
    assert len((await bench.leases_of("k8s")).body["leases"]) == 1
    await bench.admin.turn(clockOffsetSeconds=31)
    assert (await bench.get(lease_id)).status == 404


async def test_nothing_is_limited_by_default(bench: benches.Bench) -> None:
    reply = await bench.leases_of("k8s")
    assert "x-ratelimit-limit" not in reply.headers


async def test_the_call_after_the_last_is_a_429(bench: benches.Bench) -> None:
    await bench.admin.turn(limits={"enabled": True, "write": 2, "read": 1})
    left = [(await bench.create("k8s")).headers["x-ratelimit-remaining"] for _ in range(2)]
    assert left == ["1", "0"]
    refused = await bench.create("k8s")
    assert (refused.status, refused.body["error"]) == (429, "RateLimitExceeded")
    seconds = refused.headers["retry-after"]
    assert refused.message == f"Rate limit exceeded. Please try again in {seconds} seconds"
    assert refused.headers["x-ratelimit-limit"] == "2"
    assert (await bench.leases_of("k8s")).status == 200
    await bench.admin.turn(clockOffsetSeconds=61)
    assert (await bench.create("k8s")).status == 200


async def test_old_servers_give_the_wait_in_milliseconds(bench: benches.Bench) -> None:
    limits = {"enabled": True, "write": 0, "retryAfterUnit": "milliseconds"}
    await bench.admin.turn(limits=limits)
    refused = await bench.create("k8s")
    assert int(refused.headers["retry-after"]) == 1000 * int(refused.headers["x-ratelimit-reset"])


async def test_a_lost_answer_leaves_a_lease_behind(bench: benches.Bench) -> None:
    await bench.admin.turn(loseAnswers=1)
    with pytest.raises(aiohttp.ClientError):
        await bench.create("k8s", config={"attempt": "a1"})
    (listed,) = (await bench.leases_of("k8s")).body["leases"]
    assert listed["config"] == {"attempt": "a1"}
    assert (await only(bench)).alive
    assert (await bench.admin.log())[-2].status == 0


async def test_a_burst_fails_before_anything_is_done(bench: benches.Bench) -> None:
    await bench.admin.turn(burst=2, burstStatus=504)
    assert [(await bench.create("k8s")).status for _ in range(3)] == [504, 504, 200]
    assert len(await bench.admin.leases()) == 1


async def test_a_proxys_page_is_no_json(bench: benches.Bench) -> None:
    await bench.admin.turn(burst=1, burstStatus=503)
    async with bench.session.get(f"{bench.url}/api/status") as response:
        assert (response.status, response.content_type) == (503, "text/html")


async def test_a_target_may_refuse_to_create(bench: benches.Bench) -> None:
    await bench.admin.turn(createError="quota")
    reply = await bench.create("k8s")
    assert reply.message == "Failed to create lease from provider: quota"
    reply = await bench.create("aws-sts")
    assert reply.message == "Failed to create temporary credentials: quota"


async def test_the_shortest_ttl_can_be_lowered(bench: benches.Bench) -> None:
    await bench.admin.turn(minTtlSeconds=2)
    assert (await bench.create("k8s", ttl="2s")).status == 200
    assert (await bench.create("k8s", ttl="1s")).status == 422


async def test_the_date_moves_with_the_clock(bench: benches.Bench) -> None:
    await bench.admin.turn(clockOffsetSeconds=-7200)
    reply = await bench.leases_of("k8s")
    told = email.utils.parsedate_to_datetime(reply.headers["Date"])
    behind = datetime.datetime.now(datetime.UTC) - told
    assert datetime.timedelta(hours=2) <= behind < datetime.timedelta(hours=2, minutes=1)


async def test_requests_are_counted_by_route_and_at_their_peak(bench: benches.Bench) -> None:
    await bench.admin.turn(latencyMs=500)
    await bench.admin.reset_counters()
    await asyncio.gather(*(bench.leases_of("k8s") for _ in range(5)))
    counters = await bench.admin.counters()
    assert counters.by_route == {"GET /api/v1/dynamic-secrets/{name}/leases": 5}
    assert (counters.by_status, counters.peak_in_flight) == ({"200": 5}, 5)
    assert all(entry.milliseconds >= 495 for entry in await bench.admin.log())


async def test_an_unknown_switch_is_refused(bench: benches.Bench) -> None:
    with pytest.raises(RuntimeError, match="nonsense"):
        await bench.admin.turn(nonsense=1)


async def test_revoking_at_once_is_done_once(sql_bench: benches.Bench) -> None:
    lease_id = (await sql_bench.created())["lease"]["id"]
    replies = await asyncio.gather(*(sql_bench.revoke(lease_id) for _ in range(4)))
    confirmed = [r for r in replies if r.status == 200 and r.body["lease"]["status"] is None]
    assert len(confirmed) == 1
    assert {reply.status for reply in replies} <= {200, 404}
    assert (await sql_bench.get(lease_id)).status == 404


async def test_a_thousand_leases_are_made_in_no_time(sql_bench: benches.Bench) -> None:
    async with asyncio.timeout(60):
        async with asyncio.TaskGroup() as group:
            made = [group.create_task(sql_bench.create()) for _ in range(1000)]
    assert {task.result().status for task in made} == {200}
    assert len(await sql_bench.admin.alive()) == 1000
    await sql_bench.admin.turn(clockOffsetSeconds=3700)

    async def expired() -> bool:
        return not await sql_bench.admin.alive() and not len(sql_bench.server.world.leases)

    await sql_bench.until(expired)
