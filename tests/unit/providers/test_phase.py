"""The adapter to Phase before a scripted server: what is sent, and what answers mean."""

import asyncio
import logging
import traceback
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import MOST_MARKED, Capabilities, Lease
from leaseholder.providers.phase import api
from tests.unit.providers import phasebench, support
from tests.unit.providers.phasebench import (
    ACCOUNT,
    APPS,
    CANARY,
    DYNAMIC,
    HEX,
    INTERNAL,
    ISSUE,
    LEASE_ID,
    LEASES,
    NOTES,
    SECRET_ID,
    SOURCE,
    WHOAMI,
    answer,
    attempt,
    bench,
    held,
    leased,
    owner,
    page,
    refused,
    wire_lease,
    wire_secret,
)

NOW = support.NOW
Kind = type[errors.ProviderError]


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


# ------------------------------------------------------------------------------ issuing


async def test_an_issue_is_one_get_for_one_id_with_token_and_name() -> None:
    it = bench()
    issued = await it.adapter.issue(attempt())
    (asked,) = it.server.requests
    assert dict(asked.url.params) == {
        "app_id": "app",
        "env": "production",
        "id": SECRET_ID,
        "lease": "true",
        "ttl": "3600",
    }
    assert asked.url.path == DYNAMIC
    assert asked.headers["Authorization"] == f"Bearer ServiceAccount {HEX}"
    assert asked.headers["User-Agent"].startswith("leaseholder/")
    assert issued.credentials.reveal()["AWS_SECRET_ACCESS_KEY"] == f"{CANARY}-key"
    lease = issued.lease
    assert (lease.id, lease.source) == (LEASE_ID, SOURCE)
    assert (lease.issued_at, lease.expires_at) == (NOW, NOW + seconds(3600))
    assert lease.latest == NOW + seconds(86_400)
    assert lease.handle == {
        **NOTES,
        "keys": ["AWS_SECRET_ACCESS_KEY", "AWS_USERNAME"],
        "firstExpiresAt": "2026-11-21T13:00:00Z",
        "owner": ACCOUNT,
        "personal": False,
    }


async def test_an_issue_without_notes_finds_the_dynamic_secret_first() -> None:
    it = bench()
    await it.adapter.issue(attempt(handle={}))
    look, issue = it.server.requests
    assert "lease" not in look.url.params
    assert issue.url.params["id"] == SECRET_ID


@pytest.mark.parametrize(
    "failure",
    [httpx2.ReadTimeout("x"), httpx2.ReadError("x"), httpx2.RemoteProtocolError("x")],
)
async def test_an_issue_whose_answer_is_lost_is_never_sent_again(failure: Exception) -> None:
    it = bench()
    it.server.say(ISSUE, DYNAMIC, failure)
    with pytest.raises(errors.Unavailable) as caught:
        await it.adapter.issue(attempt())
    assert caught.value.sent
    assert len(it.server.issues()) == 1


async def test_an_issue_that_could_not_connect_was_not_sent() -> None:
    it = bench()
    it.server.say(ISSUE, DYNAMIC, httpx2.ConnectError("x"))
    with pytest.raises(errors.Unavailable) as caught:
        await it.adapter.issue(attempt())
    assert not caught.value.sent


async def test_an_issue_after_its_deadline_is_not_sent() -> None:
    it = bench()
    with pytest.raises(errors.Unavailable) as caught:
        await it.adapter.issue(attempt(deadline=NOW))
    assert not caught.value.sent
    assert it.server.requests == []


OTHER = {"key": "A", "value": "b"}


@pytest.mark.parametrize(
    "reply",
    [
        page(),
        httpx2.Response(200, text=""),
        answer([]),
        answer({}),
        answer(wire_secret()),
        answer([wire_secret()]),
        answer([wire_secret(lease=wire_lease())]),
        answer([wire_secret(id="other", lease=wire_lease(credentials=[OTHER]))]),
        answer([wire_secret(lease=wire_lease(credentials=[OTHER]))] * 2),
        answer([wire_secret(lease=wire_lease(credentials=[{"key": "A", "value": None}]))]),
        answer([wire_secret(lease=wire_lease(credentials=[{"key": "", "value": "x"}]))]),
        answer([wire_secret(lease=wire_lease(credentials=[OTHER], id="../x"))]),
        answer([wire_secret(lease=wire_lease(credentials=[OTHER], expiresAt="soon"))]),
        httpx2.Response(204),
    ],
)
async def test_an_issue_that_is_answered_wrongly_may_have_happened(reply: httpx2.Response) -> None:
    it = bench()
    it.server.say(ISSUE, DYNAMIC, reply)
    with pytest.raises(errors.Unavailable) as caught:
        await it.adapter.issue(attempt())
    assert (caught.value.reason, caught.value.sent) == (Reason.BAD_ANSWER, True)
    assert len(it.server.issues()) == 1


@pytest.mark.parametrize(
    "reply",
    [
        page(404),
        page(403),
        page(401),
        httpx2.Response(302, headers={"location": "/login"}),
        httpx2.Response(400, json=["x"]),
        httpx2.Response(404, json={"detail": "Not found."}),
    ],
)
async def test_an_answer_that_is_not_phases_was_given_by_something_before_it(
    reply: httpx2.Response,
) -> None:
    it = bench()
    it.server.say(ISSUE, DYNAMIC, reply)
    with pytest.raises(errors.Unavailable) as caught:
        await it.adapter.issue(attempt())
    assert (caught.value.reason, caught.value.sent) == (Reason.BAD_ANSWER, False)
    assert "/service/public" in caught.value.sentence


REFUSALS: list[tuple[int, str, Kind, Reason, str]] = [
    (400, "The specified TTL exceeds the maximum TTL for this dynamic secret.",
     errors.Invalid, Reason.TTL_TOO_LONG, "maximum"),
    (400, "The specified TTL must be at least 60 seconds.",
     errors.Invalid, Reason.INVALID, "too short"),
    (400, "ttl must be a valid integer (seconds)", errors.Invalid, Reason.INVALID, "environment"),
    (400, "SSE is not enabled for this App", errors.Invalid, Reason.INVALID, "server-side"),
    (401, "Service account cannot access this environment",
     errors.Denied, Reason.DENIED, "no access to environment production"),
    (403, "User cannot access this environment", errors.Denied, Reason.DENIED, "no access"),
    (403, "Access denied: a network access policy restricts access from your IP address.",
     errors.Denied, Reason.DENIED, "network access policy"),
    (403, "You don't have permission to read secrets in this environment.",
     errors.Denied, Reason.DENIED, "Secrets:read"),
    (403, "You don't have permission to create dynamic secret leases in this environment.",
     errors.Denied, Reason.DENIED, "DynamicSecretLeases:create"),
    (403, "Dynamic secrets are only available on the Enterprise plan.",
     errors.Denied, Reason.PLAN, "Enterprise"),
    (404, "App with ID app not found", errors.Invalid, Reason.SOURCE_MISSING, "check appId"),
    (404, "Environment 'production' not found in App demo",
     errors.Invalid, Reason.SOURCE_MISSING, "check env"),
    (404, "No dynamic secrets found", errors.Invalid, Reason.SOURCE_MISSING, "check name"),
    (405, 'Method "GET" not allowed.', errors.Invalid, Reason.INVALID, "doesn't take"),
    (500, INTERNAL.format("creating"), errors.Invalid, Reason.BACKEND_FAILED, "Enterprise"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "text", "kind", "reason", "part"), REFUSALS)
async def test_a_refused_issue_left_nothing_and_says_what_to_do(
    status: int, text: str, kind: Kind, reason: Reason, part: str
) -> None:
    it = bench()
    it.server.say(ISSUE, DYNAMIC, refused(status, text))
    with pytest.raises(kind) as caught:
        await it.adapter.issue(attempt())
    assert caught.value.reason is reason
    assert part in caught.value.sentence
    assert f"Phase answered {status}" in caught.value.sentence
    assert len(it.server.issues()) == 1


@pytest.mark.parametrize(
    "reply", [refused(500, "Internal server error."), page(502), page(503), page(504)]
)
async def test_a_server_in_trouble_may_have_issued(reply: httpx2.Response) -> None:
    it = bench()
    it.server.say(ISSUE, DYNAMIC, reply)
    with pytest.raises(errors.Unavailable) as caught:
        await it.adapter.issue(attempt())
    assert caught.value.sent


async def test_a_backend_that_fails_opens_no_circuit_and_a_proxy_does() -> None:
    it = bench()
    it.server.say(ISSUE, DYNAMIC, refused(500, INTERNAL.format("creating")))
    for _ in range(8):
        with pytest.raises(errors.Invalid):
            await it.adapter.issue(attempt())
    assert len(it.server.issues()) == 8
    it.server.say(ISSUE, DYNAMIC, page(502))
    for _ in range(8):
        with pytest.raises(errors.Unavailable):
            await it.adapter.issue(attempt())
    assert len(it.server.issues()) == 8 + 5


async def test_throttling_names_its_wait_with_and_without_header() -> None:
    text = "Request was throttled. Expected available in 37 seconds."
    for reply in (refused(429, text, **{"Retry-After": "37"}), refused(429, text)):
        it = bench()
        it.server.say(ISSUE, DYNAMIC, reply)
        with pytest.raises(errors.Throttled) as caught:
            await it.adapter.issue(attempt())
        assert caught.value.retry_after == 37


@pytest.mark.parametrize("exclusive", [True, False])
async def test_a_failed_issue_is_looked_after_where_its_lease_can_be_told(exclusive: bool) -> None:
    it = bench(exclusive=exclusive)
    it.server.say(ISSUE, DYNAMIC, refused(500, INTERNAL.format("creating")))
    it.server.say("GET", LEASES, answer([wire_lease()]))
    with pytest.raises(errors.ProviderError) as caught:
        await it.adapter.issue(attempt(handle=NOTES | {"owner": ACCOUNT}))
    unclear = isinstance(caught.value, errors.Unavailable) and caught.value.sent
    assert unclear is exclusive


async def test_a_failed_issue_that_cannot_be_looked_after_is_unclear() -> None:
    it = bench(exclusive=True)
    it.server.say(ISSUE, DYNAMIC, refused(500, INTERNAL.format("creating")))
    it.server.say("GET", LEASES, page(502))
    with pytest.raises(errors.Unavailable) as caught:
        await it.adapter.issue(attempt())
    assert caught.value.sent


# --------------------------------------------------------- which dynamic secret is meant


async def test_notes_say_where_the_lease_will_be_and_what_it_is_asked_for() -> None:
    it = bench()
    assert await it.adapter.prepare(attempt(handle={})) == NOTES
    (look,) = it.server.looks()
    assert dict(look.url.params) == {
        "app_id": "app",
        "env": "production",
        "name": "aws",
        "path": "/",
    }


async def test_an_id_is_looked_up_without_name_and_path() -> None:
    it = bench()
    by_id = {"appId": "app", "env": "production", "path": "/", "id": SECRET_ID}
    await it.adapter.prepare(attempt(source=by_id, handle={}))
    (look,) = it.server.looks()
    assert dict(look.url.params) == {"app_id": "app", "env": "production", "id": SECRET_ID}


async def test_looks_that_come_together_are_one_and_it_holds_for_a_moment() -> None:
    it = bench()
    await asyncio.gather(*(it.adapter.prepare(attempt(handle={})) for _ in range(5)))
    assert len(it.server.looks()) == 1
    it.clock.move(2.1)
    await it.adapter.prepare(attempt(handle={}))
    assert len(it.server.looks()) == 2


async def test_a_refused_look_is_made_again() -> None:
    it = bench()
    reply = refused(404, "No dynamic secrets found")
    it.server.say("GET", DYNAMIC, reply, answer([wire_secret()]))
    with pytest.raises(errors.Invalid):
        await it.adapter.prepare(attempt(handle={}))
    assert (await it.adapter.prepare(attempt(handle={})))["secretId"] == SECRET_ID


async def test_an_issue_that_finds_nothing_forgets_the_look() -> None:
    it = bench()
    await it.adapter.prepare(attempt(handle={}))
    it.server.say(ISSUE, DYNAMIC, refused(404, "No dynamic secrets found"))
    with pytest.raises(errors.Invalid):
        await it.adapter.issue(attempt())
    await it.adapter.prepare(attempt(handle={}))
    assert len(it.server.looks()) == 2


async def test_more_than_one_is_refused() -> None:
    it = bench()
    it.server.say("GET", DYNAMIC, answer([wire_secret(), wire_secret(id="other")]))
    with pytest.raises(errors.Invalid) as caught:
        await it.adapter.prepare(attempt(handle={}))
    assert "Phase has 2 of the dynamic secret aws in /" in caught.value.sentence


@pytest.mark.parametrize("reply", [page(), answer([]), answer([{"id": "x"}])])
async def test_a_look_that_is_answered_wrongly_sent_nothing(reply: httpx2.Response) -> None:
    it = bench()
    it.server.say("GET", DYNAMIC, reply)
    with pytest.raises(errors.Unavailable) as caught:
        await it.adapter.prepare(attempt(handle={}))
    assert (caught.value.reason, caught.value.sent) == (Reason.BAD_ANSWER, False)


@pytest.mark.parametrize(
    ("ttl", "secret", "reason", "part"),
    [
        (59, {}, Reason.INVALID, "below 1m"),
        (86_401, {}, Reason.TTL_TOO_LONG, "which is 24h"),
        (None, {"maxTtl": "00:30:00"}, Reason.TTL_TOO_LONG, "default ttl"),
        (None, {"defaultTtl": "00:00:30"}, Reason.INVALID, "below 1m"),
    ],
)
async def test_a_ttl_out_of_bounds_is_refused(
    ttl: int | None, secret: dict[str, Any], reason: Reason, part: str
) -> None:
    it = bench()
    it.server.say("GET", DYNAMIC, answer([wire_secret(**secret)]))
    with pytest.raises(errors.Invalid) as caught:
        await it.adapter.prepare(attempt(ttl_seconds=ttl, handle={}))
    assert caught.value.reason is reason
    assert part in caught.value.sentence


async def test_where_the_account_is_ours_alone_the_ttl_carries_a_fingerprint() -> None:
    it = bench(exclusive=True)
    notes = await it.adapter.prepare(attempt(handle={}))
    assert 3540 <= notes["ttl"] < 3600
    assert notes["owner"] == ACCOUNT
    await it.adapter.issue(attempt(handle=notes))
    assert it.server.issues()[0].url.params["ttl"] == str(notes["ttl"])


# ------------------------------------------------------------------------------ the token


async def test_a_token_is_read_seldom_and_a_replaced_one_noticed_in_peace() -> None:
    it = bench()
    for _ in range(3):
        await it.adapter.check()
    assert it.credentialing.reads == 1
    it.credentialing.values["token"] = "ab" * 32
    it.clock.move(301)
    await it.adapter.check()
    assert it.server.requests[-1].headers["Authorization"] == f"Bearer ServiceAccount {'ab' * 32}"


async def test_a_token_that_works_is_kept_where_its_secret_is_gone() -> None:
    it = bench()
    await it.adapter.check()
    del it.credentialing.values["token"]
    it.clock.move(301)
    await it.adapter.check()
    assert it.server.requests[-1].headers["Authorization"].endswith(HEX)


async def test_a_missing_secret_is_told() -> None:
    it = bench()
    it.credentialing.values.clear()
    with pytest.raises(errors.Denied) as caught:
        await it.adapter.check()
    assert caught.value.reason is Reason.AUTH_MISSING
    assert it.server.requests == []


GONE = refused(401, "Token expired or deleted")


async def test_a_replaced_token_issues_once() -> None:
    it = bench()

    def replace(_: httpx2.Request) -> httpx2.Response:
        it.credentialing.values["token"] = "ab" * 32
        return GONE

    it.server.say(ISSUE, DYNAMIC, replace, leased())
    await it.adapter.issue(attempt())
    assert [one.headers["Authorization"][-2:] for one in it.server.issues()] == [HEX[-2:], "ab"]


async def test_a_refused_token_is_tried_ever_more_seldom_and_a_new_one_at_once() -> None:
    it = bench()
    it.server.say("GET", APPS, GONE)
    tries = []
    for _ in range(60):
        with pytest.raises(errors.Denied) as caught:
            await it.adapter.check()
        assert caught.value.reason is Reason.LOGIN_REFUSED
        tries.append(len(it.server.requests))
        it.clock.move(10)
    assert tries[-1] in range(3, 7)
    it.credentialing.values["token"] = "ab" * 32
    it.clock.move(40)
    it.server.say("GET", APPS, answer({"data": []}))
    await it.adapter.check()


async def test_two_wrong_tokens_are_told() -> None:
    it = bench()

    def replace(_: httpx2.Request) -> httpx2.Response:
        it.credentialing.values["token"] = "ab" * 32
        return GONE

    it.server.say("GET", APPS, replace, GONE)
    with pytest.raises(errors.Denied):
        await it.adapter.check()
    assert len(it.server.requests) == 2


async def test_a_lost_environment_keeps_the_token() -> None:
    it = bench()
    it.server.say("GET", LEASES, refused(401, "Service account cannot access this environment"))
    for _ in range(3):
        with pytest.raises(errors.Denied):
            await it.adapter.inspect(held())
    assert it.server.count(LEASES) == 3
    assert it.credentialing.reads == 1


# ------------------------------------------------------------------------------- health


async def test_health_is_an_answer_to_the_token() -> None:
    it = bench(exclusive=True)
    health = await it.adapter.check()
    assert health.capabilities == ("Renew", "Inspect", "Revoke", "Recover", "Sweep")
    assert (health.server_version, health.clock_skew) == (None, 0)
    it.server.say("GET", APPS, refused(403, "You don't have permission to view apps."))
    await it.adapter.check()


@pytest.mark.parametrize("reply", [page(), page(404), page(403), refused(500, "x"), answer([])])
async def test_a_server_that_does_not_answer_as_phase_is_not_healthy(
    reply: httpx2.Response,
) -> None:
    it = bench()
    it.server.say("GET", APPS, reply)
    with pytest.raises(errors.Unavailable):
        await it.adapter.check()


async def test_an_address_that_a_policy_keeps_out_is_not_healthy() -> None:
    it = bench()
    text = "Access denied: a network access policy restricts access from your IP address."
    it.server.say("GET", APPS, refused(403, text))
    with pytest.raises(errors.Denied):
        await it.adapter.check()


async def test_a_personal_token_has_limits() -> None:
    it = bench()
    it.credentialing.values["token"] = f"User {HEX}"
    assert (await it.adapter.check()).capabilities == ("Inspect",)
    assert not it.adapter.capabilities({}).renewable
    assert it.adapter.capabilities({"personal": False}).renewable
    assert it.adapter.capabilities({"personal": True}).revocable


# ----------------------------------------------------------------------------- renewing


def renewed(moment: str) -> httpx2.Response:
    return answer({"message": f"Lease renewed successfully. Updated expiry: {moment}"})


@pytest.mark.parametrize(
    "moment",
    [
        "2026-11-21 13:10:00.069460+00:00",
        "2026-11-21 13:10:00+00:00",
        "2026-11-21T13:10:00.5Z",
        "2026-11-21 13:10:00",
    ],
)
async def test_a_renewal_adds_the_difference_and_reads_the_new_end(moment: str) -> None:
    it = bench()
    it.server.say("PUT", LEASES, renewed(moment))
    longer = await it.adapter.renew(held(), NOW + seconds(4200))
    (asked,) = it.server.requests
    assert support.body(asked) == {"lease_id": LEASE_ID, "ttl": 600}
    assert dict(asked.url.params) == {
        "app_id": "app",
        "env": "production",
        "secret_id": SECRET_ID,
    }
    assert longer.expires_at == NOW + seconds(4200)
    assert longer.latest == NOW + seconds(86_400)
    assert longer.handle == NOTES


async def test_a_renewal_that_does_not_tell_its_end_is_looked_at() -> None:
    it = bench()
    it.server.say("PUT", LEASES, answer({"message": "Lease renewed successfully."}))
    it.server.say("GET", LEASES, answer([wire_lease(expires=4200.25, ttl="01:10:00")]))
    longer = await it.adapter.renew(held(), NOW + seconds(4200))
    assert longer.expires_at == NOW + seconds(4200)


async def test_a_renewal_is_cut_to_what_the_notes_and_the_server_allow() -> None:
    it = bench()
    past = "The renewal TTL would exceed the maximum TTL for this dynamic secret. "
    left = refused(400, f"{past}Maximum remaining renewal time: 90 seconds")
    it.server.say("PUT", LEASES, left, renewed("2026-11-21 13:01:30+00:00"))
    await it.adapter.renew(held(), NOW + seconds(999_999))
    assert [support.body(one)["ttl"] for one in it.server.requests] == [82_800, 90]


@pytest.mark.parametrize("number", [0, 700])
async def test_nothing_left_is_the_end(number: int) -> None:
    it = bench()
    text = f"Maximum remaining renewal time: {number} seconds"
    it.server.say("PUT", LEASES, refused(400, text))
    with pytest.raises(errors.CannotRenew) as caught:
        await it.adapter.renew(held(), NOW + seconds(4200))
    assert caught.value.latest == held().expires_at
    assert it.server.count(LEASES) == 1


async def test_a_lease_at_its_known_maximum_is_not_asked_about() -> None:
    it = bench()
    at_end = held(expires_at=NOW + seconds(86_400))
    with pytest.raises(errors.CannotRenew) as caught:
        await it.adapter.renew(at_end, NOW + seconds(90_000))
    assert caught.value.reason is Reason.CANNOT_RENEW
    with pytest.raises(errors.CannotRenew) as soon:
        await it.adapter.renew(held(), held().expires_at)
    assert soon.value.reason is Reason.RENEWAL_TOO_SOON
    assert it.server.requests == []


async def test_a_lease_of_a_personal_token_is_not_asked_to_live_longer() -> None:
    it = bench()
    personal = held(handle={**NOTES, "personal": True})
    with pytest.raises(errors.CannotRenew) as caught:
        await it.adapter.renew(personal, NOW + seconds(4200))
    assert (caught.value.reason, caught.value.latest) == (
        Reason.CANNOT_RENEW,
        personal.expires_at,
    )
    assert it.server.requests == []


RENEWALS: list[tuple[httpx2.Response, Kind, Reason]] = [
    (refused(400, "This lease has expired and cannot be renewed"),
     errors.CannotRenew, Reason.CANNOT_RENEW),
    (refused(400, "Lease has already been revoked at 2026-11-21 12:00:00+00:00"),
     errors.LeaseGone, Reason.GONE),
    (refused(404, "Lease not found"), errors.LeaseGone, Reason.GONE),
    (refused(403, "Dynamic secrets are only available on the Enterprise plan."),
     errors.Denied, Reason.PLAN),
    (refused(403, "You don't have permission to update leases for other accounts."),
     errors.Denied, Reason.DENIED),
    (refused(400, "lease_id is required"), errors.Invalid, Reason.INVALID),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "kind", "reason"), RENEWALS)
async def test_a_refused_renewal_says_why(
    reply: httpx2.Response, kind: Kind, reason: Reason
) -> None:
    it = bench()
    it.server.say("PUT", LEASES, reply)
    with pytest.raises(kind) as caught:
        await it.adapter.renew(held(), NOW + seconds(4200))
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "reply",
    [httpx2.ReadTimeout("x"), refused(500, INTERNAL.format("renewing")), page(502), page()],
)
async def test_an_unclear_renewal_is_not_sent_again(reply: support.Reply) -> None:
    it = bench()
    it.server.say("PUT", LEASES, reply)
    with pytest.raises(errors.Unavailable) as caught:
        await it.adapter.renew(held(), NOW + seconds(4200))
    assert caught.value.sent
    assert it.server.count(LEASES) == 1


# ------------------------------------------------------------------ looking and revoking


async def test_a_look_lists_by_secret_and_picks() -> None:
    it = bench()
    rows = [wire_lease(id="other"), wire_lease(expires=7200.25, ttl="02:00:00")]
    it.server.say("GET", LEASES, answer(rows))
    seen = await it.adapter.inspect(held())
    (asked,) = it.server.requests
    assert asked.url.params["secret_id"] == SECRET_ID
    assert seen.expires_at == NOW + seconds(7200)
    assert seen.latest == NOW + seconds(86_400)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [wire_lease(id="other")],
        [wire_lease(status="expired", expires=99_999.0)],
        [wire_lease(status="revoked")],
        [wire_lease(status="Revoked")],
        [wire_lease(revokedAt=phasebench.stamp(1))],
    ],
)
async def test_a_lease_that_is_not_active_is_gone_whatever_its_expiry(rows: list[Any]) -> None:
    it = bench()
    it.server.say("GET", LEASES, answer(rows))
    with pytest.raises(errors.LeaseGone):
        await it.adapter.inspect(held())


async def test_a_lease_past_its_expiry_that_is_active_is_there() -> None:
    it = bench()
    it.clock.move(99_999)
    it.server.say("GET", LEASES, answer([wire_lease()]))
    assert (await it.adapter.inspect(held())).expires_at == NOW + seconds(3600)


async def test_a_lease_without_notes_is_looked_up_by_its_source() -> None:
    it = bench()
    it.server.say("GET", LEASES, answer([wire_lease()]))
    await it.adapter.inspect(held(handle={}))
    assert len(it.server.looks()) == 1
    await it.adapter.inspect(held(handle={}, source=SOURCE | {"id": SECRET_ID}))
    assert len(it.server.looks()) == 1


async def test_looks_at_one_list_that_come_together_are_one() -> None:
    it = bench()
    rows = [wire_lease(id=f"lease-{n}") for n in range(5)]
    it.server.say("GET", LEASES, answer(rows))
    looks = [it.adapter.inspect(held(id=row["id"])) for row in rows]
    assert [one.id for one in await asyncio.gather(*looks)] == [row["id"] for row in rows]
    assert it.server.count(LEASES) == 1


async def test_a_list_is_never_older_than_the_question() -> None:
    it = bench()
    later: list[asyncio.Task[Lease]] = []

    def first(_: httpx2.Request) -> httpx2.Response:
        later.append(asyncio.create_task(it.adapter.inspect(held())))
        return answer([wire_lease()])

    it.server.say("GET", LEASES, first, answer([wire_lease(status="expired")]))
    assert (await it.adapter.inspect(held())).id == LEASE_ID
    with pytest.raises(errors.LeaseGone):
        await later[0]


async def test_a_list_that_fails_fails_for_each() -> None:
    it = bench()
    it.server.say("GET", LEASES, httpx2.ReadError("x"))
    looks = (it.adapter.inspect(held()) for _ in range(3))
    failed = await asyncio.gather(*looks, return_exceptions=True)
    assert all(isinstance(one, errors.Unavailable) and not one.sent for one in failed)
    assert len({id(one) for one in failed}) == 3
    it.server.say("GET", LEASES, answer([wire_lease()]))
    await it.adapter.inspect(held())


async def test_an_adapter_that_is_closed_waits_for_no_list() -> None:
    it = bench()
    it.server.hangs = True
    look = asyncio.create_task(it.adapter.inspect(held()))
    await it.server.hanging.wait()
    await it.adapter.aclose()
    with pytest.raises(asyncio.CancelledError):
        await look


@pytest.mark.parametrize("reply", [page(), answer({}), answer(["x"]), httpx2.Response(200)])
async def test_a_list_that_makes_no_sense_says_nothing_of_a_lease(reply: httpx2.Response) -> None:
    it = bench()
    it.server.say("GET", LEASES, reply)
    with pytest.raises(errors.Unavailable) as caught:
        await it.adapter.inspect(held())
    assert caught.value.reason is Reason.BAD_ANSWER


async def test_only_the_row_that_is_looked_for_has_to_make_sense() -> None:
    it = bench()
    it.server.say("GET", LEASES, answer([{"id": 5, "status": "revoked"}, wire_lease()]))
    assert (await it.adapter.inspect(held())).id == LEASE_ID
    it.server.say("GET", LEASES, answer([wire_lease(ttl="soon")]))
    with pytest.raises(errors.Unavailable):
        await it.adapter.inspect(held())
    with pytest.raises(errors.Unavailable):
        await it.adapter.recover(attempt(handle=OURS))


async def test_a_revoked_lease_is_seen_gone_without_the_list() -> None:
    it = bench()
    done, again = ({"message": one} for one in ("Lease revoked", "Lease was already revoked"))
    it.server.say("DELETE", LEASES, answer(done), answer(again))
    await it.adapter.revoke(held())
    with pytest.raises(errors.LeaseGone):
        await it.adapter.inspect(held())
    assert it.server.count(LEASES, "DELETE") == 2
    it.server.say("GET", LEASES, answer([wire_lease(status="revoked")]))
    with pytest.raises(errors.LeaseGone):
        await it.adapter.inspect(held())
    assert it.server.count(LEASES, "GET") == 1


async def test_a_look_after_a_revocation_tells_what_the_server_tells() -> None:
    it = bench()
    failed = refused(500, INTERNAL.format("revoking"))
    it.server.say("DELETE", LEASES, answer({"message": "Lease revoked"}), failed)
    it.server.say("GET", LEASES, answer([wire_lease()]))
    await it.adapter.revoke(held())
    assert (await it.adapter.inspect(held())).id == LEASE_ID


@pytest.mark.parametrize("message", ["Lease revoked successfully", "Lease was already revoked"])
async def test_both_forms_of_done_are_done(message: str) -> None:
    it = bench()
    it.server.say("DELETE", LEASES, answer({"message": message}))
    assert (await it.adapter.revoke(held())).done
    (asked,) = it.server.requests
    assert support.body(asked) == {"lease_id": LEASE_ID}
    assert dict(asked.url.params) == {
        "app_id": "app",
        "env": "production",
        "lease_id": LEASE_ID,
        "secret_id": SECRET_ID,
    }


async def test_a_revocation_that_failed_behind_the_server_is_not_done() -> None:
    it = bench()
    it.server.say("DELETE", LEASES, refused(500, INTERNAL.format("revoking")))
    revocation = await it.adapter.revoke(held())
    assert (revocation.done, revocation.reason) == (False, Reason.FAILED_TO_DELETE)
    assert "Phase answered 500" in revocation.sentence


REVOCATIONS: list[tuple[support.Reply, Kind]] = [
    (refused(404, "Lease not found"), errors.LeaseGone),
    (refused(404, "App with ID app not found"), errors.Invalid),
    (refused(500, "Internal server error."), errors.Unavailable),
    (page(), errors.Unavailable),
    (page(404), errors.Unavailable),
    (httpx2.ReadError("x"), errors.Unavailable),
]


@pytest.mark.parametrize(("reply", "kind"), REVOCATIONS)
async def test_what_is_no_revocation_is_not_taken_for_one(reply: support.Reply, kind: Kind) -> None:
    it = bench()
    it.server.say("DELETE", LEASES, reply)
    with pytest.raises(kind):
        await it.adapter.revoke(held())


@pytest.mark.parametrize(
    ("row", "kind"), [({"status": "expired"}, errors.LeaseGone), ({}, errors.Denied)]
)
async def test_who_may_not_revoke_sees_at_least_whether_it_is_gone(
    row: dict[str, Any], kind: Kind
) -> None:
    it = bench()
    text = "You don't have permission to delete leases for other accounts."
    it.server.say("DELETE", LEASES, refused(403, text))
    it.server.say("GET", LEASES, answer([wire_lease(**row)]))
    with pytest.raises(kind):
        await it.adapter.revoke(held())


# ---------------------------------------------------------------- leases of lost answers


OURS = NOTES | {"owner": ACCOUNT}


@pytest.mark.parametrize(
    ("row", "ours"),
    [
        ({}, True),
        ({"created": -2.0}, True),
        ({"created": -2.5}, False),
        ({"created": 30 + 150.0}, True),
        ({"created": 30 + 150.5}, False),
        ({"ttl": "00:59:59"}, False),
        ({"ttl": "01:00:00.500000"}, False),
        ({"status": "expired"}, False),
        ({"status": "revoked"}, False),
        ({"owner": owner("somebody")}, False),
        ({"owner": None}, False),
    ],
)
async def test_a_lease_is_the_attempts_by_owner_time_and_ttl(
    row: dict[str, Any], ours: bool
) -> None:
    it = bench(exclusive=True)
    it.server.say("GET", LEASES, answer([wire_lease(**row)]))
    found = await it.adapter.recover(attempt(handle=OURS))
    assert [one.id for one in found] == ([LEASE_ID] if ours else [])


async def test_what_is_found_has_the_notes_that_it_takes_to_revoke_it() -> None:
    it = bench(exclusive=True)
    it.server.say("GET", LEASES, answer([wire_lease()]))
    (found,) = await it.adapter.recover(attempt(handle=OURS))
    assert found.source == SOURCE
    assert found.handle["secretId"] == SECRET_ID


async def test_a_sweep_shows_the_accounts_own_active_leases_that_are_not_known() -> None:
    it = bench(exclusive=True)
    rows = [
        wire_lease(),
        wire_lease(id="known"),
        wire_lease(id="over", status="revoked"),
        wire_lease(id="theirs", owner=owner("somebody")),
    ]
    it.server.say("GET", LEASES, answer(rows))
    await it.adapter.issue(attempt())
    (found,) = await it.adapter.sweep("here", SOURCE, {"known"})
    assert (found.lease.id, found.attempt_id) == (LEASE_ID, "")
    assert found.lease.handle["secretId"] == SECRET_ID
    assert it.adapter.capabilities({}).sweepable


async def test_a_sweep_of_a_long_list_takes_no_more_than_it_tells() -> None:
    it = bench(exclusive=True)
    await it.adapter.issue(attempt())
    it.server.say("GET", LEASES, answer([wire_lease(id=f"lease-{n}") for n in range(150)]))
    assert len(await it.adapter.sweep("here", SOURCE, set())) == MOST_MARKED


async def test_a_sweep_of_an_account_that_others_use_or_nobody_knows_shows_nothing() -> None:
    assert await bench(exclusive=False).adapter.sweep("here", SOURCE, set()) == ()
    it = bench(exclusive=True)
    it.server.say("GET", WHOAMI, refused(404, "x"))
    it.server.say("GET", LEASES, answer([wire_lease()]))
    with pytest.raises(errors.Unavailable, match="hasn't said yet which leases are this account's"):
        await it.adapter.sweep("here", SOURCE, set())


async def test_a_token_of_another_account_does_not_pass_for_the_last_one() -> None:
    it = bench(exclusive=True)
    await it.adapter.issue(attempt())
    it.credentialing.values["token"] = "ab" * 32
    it.clock.move(301)
    it.server.say("GET", WHOAMI, answer({"account_id": "other"}))
    it.server.say("GET", LEASES, answer([wire_lease(created=301.0)]))
    searched = attempt(started_at=NOW + seconds(300), deadline=NOW + seconds(320))
    await it.adapter.check()
    assert await it.adapter.recover(searched) == ()


async def test_what_a_lease_of_anothers_tells_does_not_change_who_we_are() -> None:
    """Another account's token made it once; now it is on a record of ours."""
    it = bench(exclusive=True)
    await it.adapter.issue(attempt())
    it.server.say("GET", LEASES, answer([wire_lease(owner=owner("somebody"))]))
    await it.adapter.inspect(held())
    assert (await it.adapter.prepare(attempt(handle={})))["owner"] == ACCOUNT


async def test_a_lease_that_is_revoked_for_another_account_does_not_tell_who_we_are() -> None:
    """A ClusterLeaseProvider revokes it (``revocationAuth``), and hasn't issued any yet."""
    it = bench(exclusive=True)
    it.server.say("GET", WHOAMI, page(404))
    theirs = wire_lease(owner=owner("somebody"))
    it.server.say("GET", LEASES, answer([theirs]), answer([{**theirs, "status": "revoked"}]))
    it.server.say("DELETE", LEASES, refused(403, "You cannot revoke leases for other accounts"))
    with pytest.raises(errors.Denied):
        await it.adapter.revoke(held())
    with pytest.raises(errors.LeaseGone):
        await it.adapter.inspect(held())
    assert "owner" not in await it.adapter.prepare(attempt(handle={}))


async def test_what_our_own_lease_tells_corrects_what_anothers_told() -> None:
    it = bench(exclusive=True)
    it.server.say("GET", WHOAMI, page(404))
    it.server.say("GET", LEASES, answer([wire_lease(owner=owner("somebody"))]))
    await it.adapter.inspect(held())
    await it.adapter.issue(attempt())
    assert (await it.adapter.prepare(attempt(handle={})))["owner"] == ACCOUNT


async def test_a_service_account_is_known_by_its_account() -> None:
    it = bench(exclusive=True)
    it.server.say("GET", WHOAMI, answer({"account_id": ACCOUNT, "user_id": "maker"}))
    assert (await it.adapter.prepare(attempt(handle={})))["owner"] == ACCOUNT


async def test_what_another_accounts_token_is_not_shown_is_not_taken_for_gone() -> None:
    """In place of the token stands another account's: a lease of the former one lives on."""
    it = bench(exclusive=True)
    former = held(handle=NOTES | {"owner": "former"})
    it.server.say("GET", LEASES, answer([]), answer([]), answer([]))
    it.server.say("GET", WHOAMI, answer({"account_id": ACCOUNT}))
    it.server.say("DELETE", LEASES, refused(404, "Lease not found"))
    others = "another account's than the one that took it"
    with pytest.raises(errors.Denied, match=others):
        await it.adapter.inspect(former)
    with pytest.raises(errors.Denied, match=others):
        await it.adapter.revoke(former)
    with pytest.raises(errors.Denied, match=others):
        await it.adapter.recover(attempt(handle=NOTES | {"owner": "former"}))
    own = held(handle=NOTES | {"owner": ACCOUNT})
    with pytest.raises(errors.LeaseGone):
        await it.adapter.inspect(own)


async def test_whose_token_it_is_is_asked_at_once_where_the_token_is_another() -> None:
    """Else a lease of the former account would count as gone for five minutes."""
    it = bench(exclusive=True)
    it.server.say("GET", WHOAMI, answer({"account_id": "former"}))
    notes = await it.adapter.prepare(attempt(handle={}))
    assert notes["owner"] == "former"
    it.credentialing.values["token"] = HEX[::-1]
    it.server.say("GET", LEASES, GONE, answer([]))
    it.server.say("GET", WHOAMI, answer({"account_id": ACCOUNT}))
    with pytest.raises(errors.Denied, match="another account's"):
        await it.adapter.inspect(held(handle=NOTES | {"owner": "former"}))


@pytest.mark.parametrize("reply", [httpx2.ReadError("x"), refused(429, "slow down")])
async def test_while_nobody_tells_whose_token_it_is_no_lease_is_taken_for_gone(
    reply: support.Reply,
) -> None:
    it = bench(exclusive=True)
    former = held(handle=NOTES | {"owner": "former"})
    it.server.say("GET", WHOAMI, reply)
    await it.adapter.prepare(attempt(handle={}))
    it.server.say("GET", LEASES, answer([]), answer([]))
    with pytest.raises((errors.Unavailable, errors.Throttled)):
        await it.adapter.inspect(former)
    it.clock.move(61)
    it.server.say("GET", WHOAMI, answer({"account_id": ACCOUNT}))
    with pytest.raises(errors.Denied, match="another account's"):
        await it.adapter.inspect(former)


async def test_the_owner_that_was_noted_before_the_issue_counts() -> None:
    """The token may have been replaced by another account's since."""
    it = bench(exclusive=True)
    await it.adapter.issue(attempt())
    it.server.say("GET", LEASES, answer([wire_lease()]))
    searched = attempt(handle=NOTES | {"owner": "former"})
    with pytest.raises(errors.Denied, match="another account's"):
        await it.adapter.recover(searched)


@pytest.mark.parametrize(
    "reply",
    [
        page(404),
        page(),
        refused(403, "Token expired or deleted"),
        answer({"account_id": None}),
        httpx2.ReadError("x"),
    ],
)
async def test_who_we_are_is_asked_seldom_where_it_is_not_told(reply: support.Reply) -> None:
    it = bench(exclusive=True)
    it.server.say("GET", WHOAMI, reply)
    for _ in range(3):
        assert "owner" not in await it.adapter.prepare(attempt(handle={}))
    assert it.server.count(WHOAMI) == 1
    it.clock.move(301)
    it.server.say("GET", WHOAMI, answer({"user_id": "member"}))
    assert (await it.adapter.prepare(attempt(handle={})))["owner"] == "member"


@pytest.mark.parametrize("exclusive", [True, False])
async def test_capabilities_say_what_cannot_be_relied_upon(exclusive: bool) -> None:
    can = bench(exclusive=exclusive).adapter.capabilities({})
    assert can == Capabilities(
        renewable=True,
        revocable=True,
        verifiable=True,
        recoverable=exclusive,
        sweepable=exclusive,
        found_by="OwnerAndTime",
        proven_after=120,
        minimum_renewal=1,
        settle=150,
        replica_lag=5,
        probe_seconds=30,
    )


# ------------------------------------------------------------------------------- secrecy


@pytest.mark.parametrize(
    "reply",
    [
        refused(400, CANARY),
        refused(401, CANARY),
        refused(403, CANARY),
        refused(404, CANARY),
        refused(429, CANARY),
        refused(500, f"{INTERNAL.format('creating')}: {CANARY}"),
        httpx2.Response(200, text=CANARY),
        answer([wire_secret(lease=wire_lease(credentials=[{"key": CANARY, "value": 5}]))]),
        httpx2.ReadError(CANARY),
        httpx2.ConnectError(CANARY),
    ],
)
async def test_no_failure_of_an_issue_shows_a_secret(
    reply: support.Reply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    it = bench()
    it.server.say(ISSUE, DYNAMIC, reply)
    with pytest.raises(errors.ProviderError) as caught:
        await it.adapter.issue(attempt())
    assert caught.value.__context__ is None
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert CANARY not in shown + caplog.text
    assert HEX not in shown + caplog.text


def test_answers_do_not_show_what_they_carry() -> None:
    read = api.LeasedAnswer.model_validate_json(leased().content)
    assert CANARY not in f"{read!r} {read}"
