"""Each rule of logging in."""

import asyncio
from typing import Any

import httpx2
import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from tests.unit.providers import support

UNAUTHORIZED = "UnauthorizedError"
SERVICE_ACCOUNT: dict[str, Any] = {
    "identityId": "identity",
    "serviceAccountRef": {"name": "shop"},
    "audience": "infisical",
    "organizationSlug": "sub",
}
TOKEN_AUTH = {"tokenAuth": {"tokenSecretRef": {"name": "auth", "key": "token"}}}


def prepared(auth: dict[str, Any] | None = None) -> support.Bench:
    bench = support.bench(auth)
    bench.server.say("GET", "/api/status", support.ok(message="Ok"))
    bench.server.say("GET", f"{support.LEASES}/{support.LEASE_ID}", support.ok(lease=LEASE))
    return bench


LEASE = support.wire_lease(dynamicSecret=support.wire_secret())


async def look(bench: support.Bench) -> None:
    """Any authenticated call, never from a cache."""
    bench.server.say("POST", support.LEASES, support.created())
    issued = await bench.adapter.issue(support.attempt(deadline=support.NOW.replace(year=2030)))
    assert issued.lease.id == support.LEASE_ID


async def test_universal_auth_sends_id_secret_and_organization() -> None:
    bench = prepared()
    await bench.adapter.check()
    assert support.body(bench.server.asked(support.LOGIN)[0]) == {
        "clientId": "client",
        "clientSecret": f"{support.CANARY}-secret",
        "organizationSlug": "sub",
        "subOrganizationName": "sub",
    }


async def test_the_client_id_may_be_kept_in_a_secret() -> None:
    ref = {"name": "auth", "key": "id"}
    auth = {"clientIdSecretRef": ref, "clientSecretRef": {"name": "auth", "key": "secret"}}
    bench = prepared({"universalAuth": auth})
    bench.credentialing.values = {"id": "kept\n", "secret": "hush\n"}
    await bench.adapter.check()
    sent = support.body(bench.server.asked(support.LOGIN)[0])
    assert sent == {"clientId": "kept", "clientSecret": "hush"}


async def test_a_secret_with_odd_characters_is_refused_before_it_is_sent() -> None:
    bench = prepared()
    bench.credentialing.values["secret"] = "a\nb"
    with pytest.raises(errors.Denied) as caught:
        await bench.adapter.check()
    assert caught.value.reason is Reason.AUTH_MISSING
    assert bench.server.requests == []


@pytest.mark.parametrize(
    ("auth", "path"),
    [("kubernetesAuth", "kubernetes-auth"), ("oidcAuth", "oidc-auth")],
)
async def test_each_login_of_a_service_account_makes_a_fresh_token(auth: str, path: str) -> None:
    bench = prepared({auth: SERVICE_ACCOUNT})
    login = f"/api/v1/auth/{path}/login"
    bench.server.say("POST", login, support.logged_in(expires_in=100))
    await bench.adapter.check()
    bench.clock.move(80)
    await bench.adapter.check()
    sent = [support.body(request)["jwt"] for request in bench.server.asked(login)]
    assert sent == [f"{support.CANARY}-sa-1", f"{support.CANARY}-sa-2"]
    assert bench.credentialing.audiences == ["infisical", "infisical"]
    assert support.body(bench.server.asked(login)[0])["organizationSlug"] == "sub"


async def test_many_callers_share_one_login() -> None:
    bench = prepared()
    await asyncio.gather(*(bench.adapter.check() for _ in range(20)))
    assert bench.server.count(support.LOGIN) == 1


async def test_many_callers_share_one_failed_login() -> None:
    bench = prepared()
    bench.server.say("POST", support.LOGIN, httpx2.ConnectError("x"))
    outcomes = await asyncio.gather(
        *(bench.adapter.check() for _ in range(20)), return_exceptions=True
    )
    assert bench.server.count(support.LOGIN) == 1
    assert all(isinstance(one, errors.Unavailable) and not one.sent for one in outcomes)
    assert len({id(one) for one in outcomes}) == 20


async def test_a_caller_that_gives_up_does_not_stop_the_login_of_others() -> None:
    bench = prepared()
    gate = asyncio.Event()

    class Gated(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await gate.wait()
            return await bench.server(request)

    bench.adapter._http._connections._network = Gated()
    impatient = asyncio.create_task(bench.adapter.check())
    patient = asyncio.create_task(bench.adapter.check())
    for _ in range(5):
        await asyncio.sleep(0)
    impatient.cancel()
    gate.set()
    await patient
    assert impatient.cancelled()
    assert bench.server.count(support.LOGIN) == 1


async def test_the_token_is_replaced_at_three_quarters_of_its_life() -> None:
    bench = prepared()
    bench.server.say("POST", support.LOGIN, support.logged_in(expires_in=1000))
    await bench.adapter.check()
    bench.clock.move(749)
    await bench.adapter.check()
    assert bench.server.count(support.LOGIN) == 1
    bench.clock.move(1)
    await bench.adapter.check()
    assert bench.server.count(support.LOGIN) == 2


@pytest.mark.parametrize(
    ("token", "life"),
    [
        (support.jwt(iat=0, exp=400), 400),
        (support.jwt(exp=support.NOW.timestamp() + 800), 800),
        (support.jwt(sub="x"), 3600),
        (support.jwt(exp=None), 3600),
        ("opaque", 3600),
        ("a.!!!.c", 3600),
        ("a.W10.c", 3600),
    ],
)
async def test_a_token_without_configured_life_says_itself_how_long_it_lives(
    token: str, life: float
) -> None:
    bench = prepared()
    bench.server.say("POST", support.LOGIN, support.logged_in(token, expires_in=0))
    await bench.adapter.check()
    bench.clock.move(life * 0.75 - 1)
    await bench.adapter.check()
    assert bench.server.count(support.LOGIN) == 1
    bench.clock.move(1)
    await bench.adapter.check()
    assert bench.server.count(support.LOGIN) == 2


async def test_while_no_new_token_can_be_had_the_old_one_is_used_to_its_end() -> None:
    bench = prepared()
    bench.server.say("POST", support.LOGIN, support.logged_in(expires_in=1000))
    await bench.adapter.check()
    del bench.credentialing.values["secret"]
    bench.clock.move(800)
    await bench.adapter.check()
    await bench.adapter.check()
    assert bench.credentialing.reads == 2
    bench.clock.move(200)
    with pytest.raises(errors.Denied) as caught:
        await bench.adapter.check()
    assert caught.value.reason is Reason.AUTH_MISSING


@pytest.mark.parametrize(
    "failure",
    [
        support.refused(401, "Failed to authorize: token has been revoked", UNAUTHORIZED),
        support.refused(403, "Your token has expired. Please re-authenticate.", "TokenError"),
        httpx2.Response(401, text="<html>"),
    ],
)
async def test_a_token_that_ended_is_replaced_once_and_the_call_repeated(
    failure: httpx2.Response,
) -> None:
    bench = prepared()
    bench.server.say("POST", support.LEASES, failure, support.created())
    issued = await bench.adapter.issue(support.attempt())
    assert issued.lease.id == support.LEASE_ID
    assert bench.server.count(support.LOGIN) == 2
    assert bench.server.count(support.LEASES) == 2


async def test_a_new_token_that_is_refused_too_is_not_tried_for_ever() -> None:
    bench = prepared()
    no = support.refused(401, "nope", UNAUTHORIZED)
    bench.server.say("POST", support.LEASES, no)
    with pytest.raises(errors.Denied) as caught:
        await bench.adapter.issue(support.attempt())
    assert caught.value.reason is Reason.LOGIN_REFUSED
    assert bench.server.count(support.LOGIN) == 2
    with pytest.raises(errors.Denied):
        await bench.adapter.issue(support.attempt())
    assert bench.server.count(support.LOGIN) == 2


async def test_a_missing_right_is_no_reason_to_log_in_again() -> None:
    bench = prepared()
    denied = support.refused(403, "You are not allowed to lease", "PermissionDenied")
    bench.server.say("POST", support.LEASES, denied)
    with pytest.raises(errors.Denied) as caught:
        await bench.adapter.issue(support.attempt())
    assert caught.value.reason is Reason.DENIED
    assert "permission 'lease'" in caught.value.sentence
    assert "environment prod, path /" in caught.value.sentence
    assert bench.server.count(support.LOGIN) == 1


async def tries_within(bench: support.Bench, seconds: int) -> list[int]:
    """At which second a login was tried, when somebody asks every second."""
    tried, known = [], bench.server.count(support.LOGIN)
    for second in range(seconds):
        with pytest.raises(errors.Denied):
            await bench.adapter.check()
        if bench.server.count(support.LOGIN) > known:
            known = bench.server.count(support.LOGIN)
            tried.append(second)
        bench.clock.move(1)
    return tried


async def test_a_refused_login_is_tried_ever_more_seldom() -> None:
    bench = prepared()
    no = support.refused(401, "Invalid credentials", UNAUTHORIZED)
    bench.server.say("POST", support.LOGIN, no)
    tried = await tries_within(bench, 1200)
    assert tried == [0, 35, 105, 245, 525, 825, 1125]


async def test_changed_credentials_are_tried_at_once() -> None:
    bench = prepared()
    no = support.refused(401, "Invalid credentials", UNAUTHORIZED)
    bench.server.say("POST", support.LOGIN, no, support.logged_in())
    with pytest.raises(errors.Denied) as caught:
        await bench.adapter.check()
    assert caught.value.reason is Reason.LOGIN_REFUSED
    assert caught.value.retry_after == 35
    with pytest.raises(errors.Denied):
        await bench.adapter.check()
    bench.credentialing.values["secret"] = "right"
    await bench.adapter.check()
    assert bench.server.count(support.LOGIN) == 2


async def test_three_different_wrong_credentials_are_not_tried_within_the_lockout_window() -> None:
    bench = prepared()
    no = support.refused(401, "Invalid credentials", UNAUTHORIZED)
    bench.server.say("POST", support.LOGIN, no)
    for n in range(3):
        bench.credentialing.values["secret"] = f"wrong-{n}"
        with pytest.raises(errors.Denied):
            await bench.adapter.check()
        bench.clock.move(5)
    assert bench.server.count(support.LOGIN) == 2
    bench.clock.move(20)
    with pytest.raises(errors.Denied):
        await bench.adapter.check()
    assert bench.server.count(support.LOGIN) == 3


async def test_a_locked_identity_is_left_alone_until_the_lock_is_over() -> None:
    bench = prepared()
    text = "This identity auth method is temporarily locked, please try again later"
    locked = support.refused(401, text, UNAUTHORIZED)
    bench.server.say("POST", support.LOGIN, locked, support.logged_in())
    with pytest.raises(errors.Denied) as caught:
        await bench.adapter.check()
    assert (caught.value.reason, caught.value.retry_after) == (Reason.LOCKED_OUT, 300)
    bench.clock.move(299)
    with pytest.raises(errors.Denied) as caught:
        await bench.adapter.check()
    assert (caught.value.reason, caught.value.retry_after) == (Reason.LOCKED_OUT, 1)
    bench.clock.move(1)
    await bench.adapter.check()


async def test_no_service_account_token_is_made_while_the_login_is_refused() -> None:
    bench = prepared({"kubernetesAuth": SERVICE_ACCOUNT})
    no = support.refused(401, "Access denied: K8s namespace not allowed.", UNAUTHORIZED)
    bench.server.say("POST", "/api/v1/auth/kubernetes-auth/login", no)
    for _ in range(5):
        with pytest.raises(errors.Denied) as caught:
            await bench.adapter.check()
        assert "namespace" in caught.value.sentence
    assert bench.credentialing.tokens == 1


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (support.refused(403, "IP not trusted", "ForbiddenError"), errors.Denied, "LoginRefused"),
        (support.refused(404, "auth method not found", "NotFound"), errors.Denied, "LoginRefused"),
        (support.refused(422, [{"path": ["x"]}], "ValidationFailure"), errors.Denied, None),
        (support.refused(429, "rate limit exceeded"), errors.Throttled, "Throttled"),
        (httpx2.Response(502, text="bad"), errors.Unavailable, "ProviderUnavailable"),
        (httpx2.Response(404, text="<html>"), errors.Unavailable, "BadProviderAnswer"),
        (httpx2.Response(301), errors.Unavailable, "BadProviderAnswer"),
        (support.ok(token="x"), errors.Unavailable, "BadProviderAnswer"),
        (support.logged_in("two words"), errors.Unavailable, "BadProviderAnswer"),
        (httpx2.Response(200, text="<html>"), errors.Unavailable, "BadProviderAnswer"),
    ],
)
async def test_each_refusal_of_a_login_has_its_type(
    reply: httpx2.Response, kind: type[errors.ProviderError], reason: str | None
) -> None:
    bench = prepared()
    bench.server.say("POST", support.LOGIN, reply)
    with pytest.raises(kind) as caught:
        await bench.adapter.issue(support.attempt())
    assert reason in (None, caught.value.reason)
    assert not getattr(caught.value, "sent", False)


async def test_a_ready_made_token_needs_no_login() -> None:
    bench = prepared(TOKEN_AUTH)
    bench.credentialing.values["token"] = "ready\n"
    await look(bench)
    assert bench.server.requests[-1].headers["authorization"] == "Bearer ready"
    assert bench.server.count(support.LOGIN) == 0


async def test_a_refused_ready_made_token_is_read_once_more() -> None:
    bench = prepared(TOKEN_AUTH)
    bench.credentialing.values["token"] = "old"
    await look(bench)
    no = support.refused(401, "token has been revoked", UNAUTHORIZED)

    def judge(request: httpx2.Request) -> httpx2.Response:
        return support.created() if request.headers["authorization"] == "Bearer new" else no

    bench.server.say("POST", support.LEASES, judge)
    bench.credentialing.values["token"] = "new"
    await bench.adapter.issue(support.attempt())
    assert bench.server.count(support.LEASES) == 3


async def test_an_unchanged_refused_token_is_not_sent_again() -> None:
    bench = prepared(TOKEN_AUTH)
    bench.credentialing.values["token"] = "old"
    no = support.refused(401, "token has been revoked", UNAUTHORIZED)
    bench.server.say("POST", support.LEASES, no)
    for _ in range(3):
        with pytest.raises(errors.Denied) as caught:
            await bench.adapter.issue(support.attempt())
        assert caught.value.reason is Reason.LOGIN_REFUSED
    assert bench.server.count(support.LEASES) == 1


async def test_many_calls_that_meet_an_ended_token_count_as_one() -> None:
    bench = prepared(TOKEN_AUTH)
    bench.credentialing.values["token"] = "old"
    bench.server.say("POST", support.LEASES, support.refused(401, "no", UNAUTHORIZED))
    calls = (bench.adapter.issue(support.attempt()) for _ in range(8))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, errors.Denied) and one.retry_after == 35 for one in outcomes)
    assert bench.server.count(support.LEASES) == 8


async def test_many_calls_that_meet_an_ended_token_log_in_once() -> None:
    bench = prepared()
    tokens = iter(("first", "second", "third"))
    bench.server.say("POST", support.LOGIN, lambda _: support.logged_in(next(tokens)))
    no = support.refused(403, "Your token has expired.", "TokenError")

    def judge(request: httpx2.Request) -> httpx2.Response:
        return no if request.headers["authorization"] == "Bearer first" else support.created()

    bench.server.say("POST", support.LEASES, judge)
    await asyncio.gather(*(bench.adapter.issue(support.attempt()) for _ in range(8)))
    assert bench.server.count(support.LOGIN) == 2


async def test_a_replaced_ready_made_token_is_noticed_in_peace() -> None:
    bench = prepared(TOKEN_AUTH)
    bench.credentialing.values["token"] = "old"
    await look(bench)
    bench.credentialing.values["token"] = "new"
    bench.clock.move(300)
    await look(bench)
    assert bench.server.requests[-1].headers["authorization"] == "Bearer new"


async def test_both_ready_made_tokens_refused_is_a_denial() -> None:
    bench = prepared(TOKEN_AUTH)
    bench.credentialing.values["token"] = "one"

    def judge(request: httpx2.Request) -> httpx2.Response:
        bench.credentialing.values["token"] = "two"
        return support.refused(401, "no", UNAUTHORIZED)

    bench.server.say("POST", support.LEASES, judge)
    with pytest.raises(errors.Denied):
        await bench.adapter.issue(support.attempt())
    assert bench.server.count(support.LEASES) == 2


async def test_a_spec_without_a_way_to_log_in_is_denied() -> None:
    bench = support.bench({})
    with pytest.raises(errors.Denied) as caught:
        await bench.adapter.check()
    assert caught.value.reason is Reason.AUTH_MISSING


async def test_closing_stops_a_login_under_way() -> None:
    bench = prepared()

    class Stuck(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await asyncio.Event().wait()
            raise AssertionError

    bench.adapter._http._connections._network = Stuck()
    waiting = asyncio.create_task(bench.adapter.check())
    for _ in range(5):
        await asyncio.sleep(0)
    await bench.adapter.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_providers_with_the_same_credentials_share_one_login() -> None:
    first = prepared()
    second = support.bench(beside=first)
    await first.adapter.check()
    await second.adapter.check()
    assert len(first.server.asked(support.LOGIN)) == 1


async def test_providers_with_other_credentials_log_in_for_themselves() -> None:
    first = prepared()
    second = support.bench(beside=first)
    second.credentialing.values = {"secret": "another"}
    await first.adapter.check()
    await second.adapter.check()
    assert len(first.server.asked(support.LOGIN)) == 2


async def test_wrong_tries_of_others_dont_keep_good_credentials_from_logging_in() -> None:
    first = prepared()
    first.server.say("POST", support.LOGIN, support.logged_in(expires_in=40))
    await first.adapter.check()
    thief = support.bench(beside=first)
    first.clock.move(25)
    first.server.say("POST", support.LOGIN, support.refused(401, "Invalid credentials"))
    for number in range(2):
        thief.credentialing.values = {"secret": f"guess-{number}"}
        with pytest.raises(errors.Denied):
            await thief.adapter.check()
    first.clock.move(16)
    first.server.say("POST", support.LOGIN, support.logged_in())
    await first.adapter.check()


async def test_wrong_tries_at_once_dont_lock_an_identity_out() -> None:
    first = prepared()
    first.server.say("POST", support.LOGIN, support.refused(401, "Invalid credentials"))
    others = [support.bench(beside=first) for _ in range(5)]
    for number, bench in enumerate(others):
        bench.credentialing.values = {"secret": f"guess-{number}"}
    tried = await asyncio.gather(*(b.adapter.check() for b in others), return_exceptions=True)
    assert all(isinstance(error, errors.Denied) for error in tried)
    assert len(first.server.asked(support.LOGIN)) == 2


async def test_wrong_tries_of_many_providers_count_together() -> None:
    first = prepared()
    others = [support.bench(beside=first) for _ in range(5)]
    refusal = support.refused(401, UNAUTHORIZED, "Invalid credentials")
    first.server.say("POST", support.LOGIN, refusal)
    for bench in (first, *others):
        with pytest.raises(errors.Denied):
            await bench.adapter.check()
    assert len(first.server.asked(support.LOGIN)) == 1
