"""Leasing, renewing, revoking, expiring: what is answered, and whether the key then logs in."""

import asyncio
import datetime
from typing import Any

import aiohttp
import pytest

from tests.world.phase import bench as benches
from tests.world.phase import errors, leases, seeds

TOO_LONG = "The specified TTL exceeds the maximum TTL for this dynamic secret."


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


async def ended(bench: benches.Bench, lease: dict[str, Any], status: str) -> None:
    async def is_so() -> bool:
        return bool((await bench.row(lease))["status"] == status)

    await bench.until(is_so)


async def test_a_key_logs_in_until_its_lease_is_revoked(bench: benches.Bench) -> None:
    lease = await bench.leased(ttl="600")
    assert await bench.logs_in(lease)
    assert (await bench.revoke(lease)).body["message"] == "Lease revoked successfully"
    assert not await bench.logs_in(lease)
    assert (await bench.revoke(lease)).body["message"] == "Lease was already revoked"
    row = await bench.row(lease)
    assert (row["status"], bool(row["revokedAt"])) == ("revoked", True)


async def test_a_wrong_secret_key_does_not_log_in(bench: benches.Bench) -> None:
    lease = await bench.leased()
    values = [one["value"] for one in lease["credentials"]]
    assert await bench.admin.can_log_in(values[1], values[2]) == values[0]
    assert await bench.admin.can_log_in(values[1], "wrong") is None


async def test_credentials_are_shown_once(bench: benches.Bench) -> None:
    lease = await bench.leased()
    assert len(lease["credentials"]) == 3
    assert [one["credentials"] for one in await bench.history()] == [[]]


async def test_a_lease_is_created_a_little_after_its_ttl_began(bench: benches.Bench) -> None:
    lease = await bench.leased(ttl="600")
    began = moment(lease["expiresAt"]) - datetime.timedelta(seconds=600)
    late = (moment(lease["createdAt"]) - began).total_seconds()
    assert 0.0003 <= late <= 0.0013


@pytest.mark.parametrize("said", ["true", "", "0", "no", "False ", "lease"])
async def test_any_lease_but_false_issues_one(bench: benches.Bench, said: str) -> None:
    found = await bench.admin.secret()
    assert (await bench.dynamic(id=found["id"], lease=said)).body[0]["lease"]


@pytest.mark.parametrize("said", ["false", "FALSE"])
async def test_lease_false_issues_nothing(bench: benches.Bench, said: str) -> None:
    assert {one["lease"] for one in (await bench.dynamic(lease=said)).body} == {None}


async def test_without_an_id_everything_that_matches_is_leased(bench: benches.Bench) -> None:
    reply = await bench.dynamic(name="twice", lease="true")
    assert [one["path"] for one in reply.body] == ["/", "/backend"]
    assert len(await bench.admin.alive()) == 2
    reply = await bench.dynamic(path="backend//", name="twice", lease="false")
    assert [one["path"] for one in reply.body] == ["/backend"]


@pytest.mark.parametrize("query", [{"name": "nope"}, {"id": "no-uuid"}, {"path": "/nope"}])
async def test_nothing_that_matches_is_a_404(bench: benches.Bench, query: dict[str, str]) -> None:
    reply = await bench.dynamic(**query)
    assert (reply.status, reply.error) == (404, "No dynamic secrets found")


async def test_an_id_of_another_environment_or_a_deleted_one_is_a_404(
    bench: benches.Bench,
) -> None:
    found = await bench.admin.secret("aws-staging")
    assert (await bench.dynamic(id=found["id"], lease="true")).status == 404
    await bench.admin.delete_secret("aws-deploy")
    assert (await bench.lease()).status == 404
    assert await bench.history() == []


@pytest.mark.parametrize("ttl", ["abc", "1h", "90.5"])
async def test_a_ttl_that_is_no_integer_is_refused_even_without_a_lease(
    bench: benches.Bench, ttl: str
) -> None:
    reply = await bench.dynamic(ttl=ttl)
    assert (reply.status, reply.error) == (400, "ttl must be a valid integer (seconds)")


@pytest.mark.parametrize(
    ("ttl", "told"),
    [
        ("86401", TOO_LONG),
        ("9" * 30, TOO_LONG),
        ("59", "The specified TTL must be at least 60 seconds."),
        ("-5", "The specified TTL must be at least 60 seconds."),
    ],
)
async def test_a_ttl_has_bounds(bench: benches.Bench, ttl: str, told: str) -> None:
    reply = await bench.lease(ttl=ttl)
    assert (reply.status, reply.error) == (400, told)
    assert await bench.admin.keys() == []


@pytest.mark.parametrize("query", [{}, {"ttl": ""}, {"ttl": "0"}])
async def test_no_ttl_is_the_default(bench: benches.Bench, query: dict[str, str]) -> None:
    assert (await bench.leased(**query))["ttl"] == "01:00:00"


async def test_a_default_above_the_maximum_is_refused_when_it_is_used(
    bench: benches.Bench,
) -> None:
    assert (await bench.lease("misconfigured")).error == TOO_LONG
    assert (await bench.leased("misconfigured", ttl="60"))["ttl"] == "00:01:00"


async def test_three_at_once_are_three_leases(bench: benches.Bench) -> None:
    await asyncio.gather(*(bench.lease() for _ in range(3)))
    assert len(await bench.admin.alive()) == 3


async def test_a_failure_among_several_leaks_those_before_it(quick: benches.Bench) -> None:
    await quick.admin.turn(awsDenies=["aws-backend"])
    reply = await quick.dynamic(lease="true")
    assert (reply.status, reply.error) == (500, errors.LEASING)
    leaked = await quick.admin.alive()
    assert [one.secret for one in leaked] == ["aws-deploy", "aws-short"]
    assert not any(one.answered for one in leaked)


async def test_the_standard_endpoint_tells_the_cause_and_leaks_as_well(
    quick: benches.Bench,
) -> None:
    await quick.admin.turn(awsDenies=["aws-backend"])
    query = benches.WHERE | {"includeDynamic": "1", "lease": "1", "path": "/backend"}
    reply = await quick.call("GET", "/v1/secrets/", query)
    assert (reply.status, reply.body["successfulLeases"]) == (400, 1)
    (failed,) = reply.body["failedLeases"]
    assert (failed["secretName"], "error" in failed) == ("aws-backend", True)
    assert [one.secret for one in await quick.admin.alive()] == ["twice"]


async def test_the_standard_endpoint_takes_lease_ttl_and_ignores_ttl(
    bench: benches.Bench,
) -> None:
    query = benches.WHERE | {"dynamic": "true", "lease": "true", "env": "staging", "ttl": "77"}
    assert (await bench.call("GET", "/v1/secrets/", query)).body[0]["lease"]["ttl"] == "01:00:00"
    reply = await bench.call("GET", "/v1/secrets/", query | {"leaseTtl": "120"})
    assert reply.body[0]["lease"]["ttl"] == "00:02:00"


async def test_the_standard_endpoint_shows_static_secrets_first(bench: benches.Bench) -> None:
    reply = await bench.call("GET", "/v1/secrets/", benches.WHERE)
    assert [one["type"] for one in reply.body] == ["secret"]
    reply = await bench.call("GET", "/v1/secrets/", benches.WHERE | {"dynamic": ""})
    assert [one["type"] for one in reply.body[:2]] == ["secret", "dynamic"]
    query = benches.WHERE | {"dynamic": "true", "env": "development"}
    assert (await bench.call("GET", "/v1/secrets/", query)).body == []


@pytest.mark.parametrize("plan", ["FR", "PR"])
async def test_another_plan_is_a_500_a_403_and_no_hindrance_to_revoke(
    bench: benches.Bench, plan: str
) -> None:
    lease = await bench.leased()
    await bench.admin.turn(plan=plan)
    refused = await bench.lease()
    assert (refused.status, refused.error) == (500, errors.LEASING)
    refused = await bench.renew(lease)
    assert (refused.status, refused.error) == (403, errors.PLAN)
    assert (await bench.dynamic()).status == 200
    assert (await bench.revoke(lease)).status == 200
    query = benches.WHERE | {"dynamic": "1", "lease": "1"}
    reply = await bench.call("GET", "/v1/secrets/", query)
    assert {one["error"] for one in reply.body["failedLeases"]} == {errors.PLAN}


async def test_a_legacy_token_cannot_lease(bench: benches.Bench) -> None:
    legacy = seeds.LegacyToken()
    await bench.admin.seed(seeds.Seed(legacy_tokens=[legacy]))
    bench.authorization = f"Bearer Service {legacy.token}"
    assert (await bench.lease()).status == 500


async def test_an_aws_that_is_away_fails_leases_and_revocations_not_renewals(
    quick: benches.Bench,
) -> None:
    lease = await quick.leased()
    await quick.admin.turn(awsDown=True)
    assert [(await quick.lease()).error, (await quick.revoke(lease)).error] == [
        errors.LEASING,
        errors.REVOKING,
    ]
    assert (await quick.renew(lease)).status == 200
    assert (await quick.row(lease))["status"] == "active"
    await quick.admin.turn(awsDown=False)
    assert (await quick.revoke(lease)).body["message"] == "Lease revoked successfully"
    assert not await quick.logs_in(lease)


async def test_a_group_that_is_missing_leaves_a_user_at_aws_with_each_try(
    quick: benches.Bench,
) -> None:
    await quick.admin.turn(awsLacksGroup=["aws-deploy"])
    assert [(await quick.lease()).error for _ in range(2)] == [errors.LEASING] * 2
    assert len(await quick.admin.strays()) == 2
    assert (await quick.history(), await quick.admin.keys()) == ([], [])


async def test_without_its_queue_the_server_fails_what_it_did(bench: benches.Bench) -> None:
    await bench.admin.turn(queueDown=True)
    refused = await bench.lease()
    assert (refused.status, refused.error) == (500, errors.LEASING)
    (key,) = await bench.admin.alive()
    (row,) = await bench.history()
    assert (key.lease_id, row["status"]) == (row["id"], "active")
    refused = await bench.renew(row, 60)
    assert (refused.status, refused.error) == (500, errors.RENEWING)
    assert (await bench.row(row))["ttl"] == "01:01:00"
    assert (await bench.revoke(row)).status == 200


async def test_a_user_that_is_gone_at_aws_is_revoked_all_the_same(bench: benches.Bench) -> None:
    lease = await bench.leased()
    await bench.admin.kill(lease["id"])
    assert not await bench.logs_in(lease)
    assert (await bench.renew(lease)).status == 200
    assert (await bench.revoke(lease)).body["message"] == "Lease revoked successfully"


async def test_a_key_dies_at_its_expiry(quick: benches.Bench) -> None:
    lease = await quick.leased(ttl="1")
    await ended(quick, lease, "expired")
    assert not await quick.logs_in(lease)
    assert (await quick.revoke(lease)).body["message"] == "Lease was already revoked"


async def test_a_renewed_lease_ends_at_its_first_expiry(quick: benches.Bench) -> None:
    lease = await quick.leased(ttl="1")
    assert (await quick.renew(lease, 600)).status == 200
    assert await quick.logs_in(lease)
    await ended(quick, lease, "expired")
    row = await quick.row(lease)
    assert moment(row["expiresAt"]) - moment(row["revokedAt"]) > datetime.timedelta(seconds=500)
    assert row["renewedAt"] is None
    assert not await quick.logs_in(lease)


async def test_at_a_mended_server_a_renewed_lease_lives_on(quick: benches.Bench) -> None:
    await quick.admin.turn(renewal="Fixed")
    lease, other = await quick.leased(ttl="1"), await quick.leased(ttl="1")
    await quick.renew(lease, 600)
    await ended(quick, other, "expired")
    await quick.admin.turn(clockOffsetSeconds=5)
    assert (await quick.row(lease))["status"] == "active"
    assert await quick.logs_in(lease)
    await quick.admin.turn(clockOffsetSeconds=650)
    await ended(quick, lease, "expired")


async def test_renewals_add_up_to_the_maximum_and_tell_what_is_left(
    bench: benches.Bench,
) -> None:
    lease = await bench.leased("aws-short", ttl="60")
    assert (await bench.renew(lease, 500)).status == 200
    row = await bench.row(lease)
    assert row["ttl"] == "00:09:20"
    grown = moment(row["expiresAt"]) - moment(lease["expiresAt"])
    assert grown == datetime.timedelta(seconds=500)
    refused = await bench.renew(lease, 41)
    assert (refused.status, refused.error) == (400, leases.PAST_MAXIMUM.format(left=40))
    assert (await bench.renew(lease, 40)).status == 200
    assert (await bench.renew(lease, 1)).error == leases.PAST_MAXIMUM.format(left=0)


async def test_any_number_is_a_renewal_and_anything_else_a_500(bench: benches.Bench) -> None:
    lease = await bench.leased(ttl="600")
    for ttl in (0, 1.5, -30):
        assert (await bench.renew(lease, ttl)).status == 200
    assert (await bench.row(lease))["ttl"] == "00:09:31.500000"
    for bad in ("60", None, True, 1e300, -1e11):
        reply = await bench.renew(lease, bad)
        assert (reply.status, reply.error) == (500, errors.RENEWING)
    body = {"lease_id": lease["id"]}
    assert (await bench.call("PUT", benches.LEASES, benches.WHERE, body=body)).status == 200
    assert (await bench.row(lease))["ttl"] == "01:09:31.500000"


async def test_renewals_at_once_count_once(bench: benches.Bench) -> None:
    lease = await bench.leased(ttl="600")
    replies = await asyncio.gather(*(bench.renew(lease, 100) for _ in range(3)))
    assert {one.status for one in replies} == {200}
    assert (await bench.row(lease))["ttl"] == "00:11:40"


async def test_a_revoked_lease_is_renewed_and_then_refused(bench: benches.Bench) -> None:
    lease = await bench.leased(ttl="600")
    await bench.revoke(lease)
    reply = await bench.renew(lease, 100)
    assert reply.status == 400
    assert reply.error.startswith("Lease has already been revoked at 20")
    assert (await bench.row(lease))["ttl"] == "00:11:40"


async def test_a_lease_past_its_expiry_cannot_be_renewed_but_revoked(
    quick: benches.Bench,
) -> None:
    await quick.admin.turn(workerDown=True)
    lease = await quick.leased(ttl="1")
    await quick.admin.turn(clockOffsetSeconds=60)
    assert (await quick.renew(lease)).error == "This lease has expired and cannot be renewed"
    assert (await quick.row(lease))["status"] == "active"
    assert await quick.logs_in(lease)
    assert (await quick.revoke(lease)).body["message"] == "Lease revoked successfully"
    assert not await quick.logs_in(lease)


async def test_a_worker_that_was_down_catches_up(quick: benches.Bench) -> None:
    await quick.admin.turn(workerDown=True)
    lease = await quick.leased(ttl="1")
    await quick.admin.turn(clockOffsetSeconds=60)
    assert await quick.logs_in(lease)
    await quick.admin.turn(workerDown=False)
    await ended(quick, lease, "expired")


async def test_an_expiry_job_that_failed_is_never_tried_again(quick: benches.Bench) -> None:
    lease, later = await quick.leased(ttl="1"), await quick.leased(ttl="3")
    await quick.admin.turn(awsDown=True, clockOffsetSeconds=1.5)

    async def tried() -> bool:
        return quick.server.jobs.failed == 1

    await quick.until(tried)
    await quick.admin.turn(awsDown=False, clockOffsetSeconds=60)
    await ended(quick, later, "expired")
    assert (await quick.row(lease))["status"] == "active"
    assert await quick.logs_in(lease)


async def test_a_job_that_failed_half_way_leaves_an_active_row_over_a_dead_key(
    quick: benches.Bench,
) -> None:
    await quick.admin.turn(jobsFailLate=True)
    lease = await quick.leased(ttl="1")

    async def tried() -> bool:
        return quick.server.jobs.failed == 1

    await quick.until(tried)
    assert (await quick.row(lease))["status"] == "active"
    assert not await quick.logs_in(lease)
    assert (await quick.revoke(lease)).body["message"] == "Lease revoked successfully"


async def test_a_key_is_dead_before_its_row_says_so_and_jobs_wait_for_one_another(
    quick: benches.Bench,
) -> None:
    first, second = await quick.leased(ttl="1"), await quick.leased(ttl="1")
    await quick.admin.turn(awsSeconds=1)

    async def dead() -> bool:
        return not await quick.logs_in(first)

    await quick.until(dead)
    assert (await quick.row(first))["status"] == "active"
    assert await quick.logs_in(second)
    await ended(quick, first, "expired")
    assert (await quick.row(second))["status"] == "active"
    await ended(quick, second, "expired")


async def test_a_renewal_that_meets_a_revocation_leaves_an_active_row_over_a_dead_key(
    bench: benches.Bench,
) -> None:
    await bench.admin.turn(awsSeconds=0.2, renewalSeconds=0.6)
    lease = await bench.leased(ttl="600")
    revoked, renewed = await asyncio.gather(bench.revoke(lease), bench.renew(lease, 100))
    assert (revoked.status, renewed.status) == (200, 200)
    row = await bench.row(lease)
    assert (row["status"], row["revokedAt"], row["ttl"]) == ("active", None, "00:11:40")
    assert not await bench.logs_in(lease)
    assert (await bench.revoke(lease)).body["message"] == "Lease revoked successfully"
    assert (await bench.row(lease))["status"] == "revoked"


async def test_a_deleted_secret_ends_its_leases(quick: benches.Bench) -> None:
    lease = await quick.leased(ttl="600")
    await quick.admin.delete_secret("aws-deploy")
    await ended(quick, lease, "expired")
    assert not await quick.logs_in(lease)


async def test_other_names_of_keys_are_for_the_next_lease(bench: benches.Bench) -> None:
    await bench.admin.edit_secret("aws-deploy", keys={"username": "WHO"})
    assert "WHO" in {one["key"] for one in (await bench.leased())["credentials"]}


async def test_only_the_holder_renews_and_revokes(bench: benches.Bench) -> None:
    lease = await bench.leased()
    await bench.act_as("other-bot")
    told = [(await bench.renew(lease)).error, (await bench.revoke(lease)).error]
    assert told == [leases.OTHERS.format(verb="update"), leases.OTHERS.format(verb="delete")]
    assert [one["id"] for one in await bench.history()] == [lease["id"]]
    await bench.act_as("owner")
    assert (await bench.renew(lease)).status == 200
    assert (await bench.revoke(lease)).status == 200


async def test_a_holder_without_any_right_revokes_and_sees_own_leases_only(
    bench: benches.Bench,
) -> None:
    await bench.leased()
    reader = seeds.Role(name="Reader", permissions=["Secrets:read"])
    await bench.admin.seed(
        seeds.Seed(roles=[reader], accounts=[seeds.Account(name="poor", role="Reader")])
    )
    await bench.act_as("poor")
    lease = await bench.leased()
    assert [one["id"] for one in await bench.history()] == [lease["id"]]
    assert (await bench.revoke(lease)).status == 200


async def test_a_user_does_not_hold_own_leases(bench: benches.Bench) -> None:
    await bench.act_as("rohan")
    lease = await bench.leased()
    assert lease["owner"]["type"] == "organisation_member"
    assert (await bench.revoke(lease)).status == 403
    await bench.admin.turn(pr1024=True)
    assert (await bench.revoke(lease)).status == 200


async def test_after_pr_1024_leasing_is_a_right_and_lists_are_bound(bench: benches.Bench) -> None:
    await bench.admin.turn(pr1024=True)
    lease = await bench.leased()
    query = {"secret_id": lease["secret"], **benches.WHERE, "env": "staging"}
    assert (await bench.call("GET", benches.LEASES, query)).error == "Secret not found"
    await bench.admin.turn(pr1024=False)
    assert (await bench.call("GET", benches.LEASES, query)).status == 200
    await bench.admin.turn(pr1024=True)
    reader = seeds.Role(name="Service", permissions=["Secrets:read"])
    await bench.admin.seed(seeds.Seed(roles=[reader]))
    assert (await bench.lease()).status == 403
    assert (await bench.dynamic()).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_lease_has_to_be_named_and_in_the_environment(
    bench: benches.Bench, method: str
) -> None:
    lease = await bench.leased()
    body = {"lease_id": lease["id"], "ttl": 60}
    camel = await bench.call(method, benches.LEASES, benches.WHERE, body={"leaseId": lease["id"]})
    assert (camel.status, camel.error) == (400, "lease_id is required")
    for where in ({}, benches.WHERE | {"env": "staging"}):
        reply = await bench.call(method, benches.LEASES, where, body=body)
        assert (reply.status, reply.error) == (404, "Lease not found")
    reply = await bench.call(method, benches.LEASES, benches.WHERE, body={"lease_id": "nope"})
    assert reply.error == "Lease not found"
    reply = await bench.call(method, benches.LEASES, benches.WHERE, body=[1])
    assert (reply.status, reply.error) == (500, "Internal server error.")


async def test_bodies_have_to_be_json(bench: benches.Bench) -> None:
    for kind, data, status in (
        ("application/json", b"{", 400),
        ("text/plain", b"x", 415),
        ("application/x-www-form-urlencoded", b"ttl=60", 400),
    ):
        reply = await bench.call(
            "PUT", benches.LEASES, benches.WHERE, data=data, headers={"Content-Type": kind}
        )
        assert reply.status == status
    lease = await bench.leased()
    form = f"lease_id={lease['id']}&ttl=60".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await bench.call("PUT", benches.LEASES, benches.WHERE, data=form, headers=headers)
    assert (reply.status, reply.error) == (500, errors.RENEWING)


async def test_a_revocation_may_name_its_lease_in_the_query(bench: benches.Bench) -> None:
    lease = await bench.leased()
    query = benches.WHERE | {"lease_id": lease["id"]}
    assert (await bench.call("DELETE", benches.LEASES, query)).status == 200
    assert not await bench.logs_in(lease)


async def test_revocations_at_once_all_say_that_it_is_done(bench: benches.Bench) -> None:
    lease = await bench.leased()
    replies = await asyncio.gather(*(bench.revoke(lease) for _ in range(3)))
    assert {one.status for one in replies} == {200}


async def test_the_history_needs_the_secret_alone_which_wins_over_the_rest(
    bench: benches.Bench,
) -> None:
    assert (await bench.call("GET", benches.LEASES)).error == "secret_id is required"
    reply = await bench.call("GET", benches.LEASES, {"secret_id": "nope"})
    assert (reply.status, reply.error) == (404, "Secret not found")
    lease = await bench.leased()
    query = {"secret_id": lease["secret"], "app_id": "nope", "env": "nope"}
    assert (await bench.call("GET", benches.LEASES, query)).status == 200


async def test_the_history_is_newest_first(bench: benches.Bench) -> None:
    made = [(await bench.leased())["id"] for _ in range(3)]
    assert [one["id"] for one in await bench.history()] == made[::-1]


async def test_answers_can_be_lost_after_what_they_tell_is_done(bench: benches.Bench) -> None:
    await bench.admin.turn(loseLeases=1, loseRenewals=1, loseRevocations=1)
    with pytest.raises(aiohttp.ClientError):
        await bench.lease()
    (row,) = await bench.history()
    (key,) = await bench.admin.keys()
    assert (key.alive, key.answered, key.lease_id) == (True, False, row["id"])
    with pytest.raises(aiohttp.ClientError):
        await bench.renew(row, 600)
    assert (await bench.row(row))["ttl"] == "01:10:00"
    with pytest.raises(aiohttp.ClientError):
        await bench.revoke(row)
    assert (await bench.row(row))["status"] == "revoked"


async def test_a_lease_can_come_after_its_connection_is_gone(bench: benches.Bench) -> None:
    await bench.admin.turn(lateLeases=1, lateSeconds=0.1)
    with pytest.raises(aiohttp.ClientError):
        await bench.lease()
    assert await bench.admin.keys() == []

    async def there() -> bool:
        return len(await bench.admin.alive()) == 1

    await bench.until(there)


async def test_requests_are_counted_and_issuing_gets_apart(bench: benches.Bench) -> None:
    await bench.leased()
    await bench.dynamic()
    counted = (await bench.admin.counters()).by_route
    assert counted == {"GET /v1/secrets/dynamic/ lease": 1, "GET /v1/secrets/dynamic/": 1}
    assert [one.status for one in await bench.admin.log()] == [200, 200]
    await bench.admin.reset_counters()
    assert (await bench.admin.counters()).by_route == {}
