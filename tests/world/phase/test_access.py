"""Who is let in: paths, tokens, environments, rights, throttle, in the server's order."""

import pytest

from tests.world.phase import bench as benches
from tests.world.phase import seeds, server

ROOTS = ["", "/public", "/service", "/service/public"]


@pytest.mark.parametrize("root", ROOTS)
async def test_all_roots_lead_to_the_same_routes(bench: benches.Bench, root: str) -> None:
    assert (await bench.call("GET", f"{root}/v1/apps/")).status == 200


@pytest.mark.parametrize("path", [benches.DYNAMIC[:-1], "/v1/nothing/", "/api/v1/apps/"])
async def test_an_unknown_path_is_a_page(bench: benches.Bench, path: str) -> None:
    reply = await bench.call("GET", path, benches.WHERE)
    assert (reply.status, reply.body) == (404, server.NOT_FOUND)
    assert reply.headers["Content-Type"].startswith("text/html")
    await bench.admin.turn(webUi=True)
    assert (await bench.call("GET", path, benches.WHERE)).status == 200


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "Authentication credentials were not provided."),
        ("Bearer {}", "Invalid token"),
        ("Token ServiceAccount {}", "Invalid token"),
        ("Bearer serviceaccount {}", "Invalid token"),
        ("Bearer  ServiceAccount {}", "Invalid token"),
        ("Bearer ServiceAccount pss_service:v2:{}:a:b:c", "Invalid token"),
        ("Bearer User {}", "Token expired or deleted"),
        ("Bearer ServiceAccount " + "0" * 64, "Token expired or deleted"),
    ],
)
async def test_a_token_that_is_not_right_is_a_401(
    bench: benches.Bench, said: str, told: str
) -> None:
    token = await bench.admin.token()
    reply = await bench.call("GET", "/v1/apps/", authorization=said.format(token))
    assert (reply.status, reply.error) == (401, told)
    assert reply.headers["WWW-Authenticate"] == "Bearer"


async def test_bearer_is_taken_in_any_case(bench: benches.Bench) -> None:
    said = bench.authorization.replace("Bearer", "bearer")
    assert (await bench.call("GET", "/v1/apps/", authorization=said)).status == 200


async def test_a_token_ends_and_another_of_the_account_goes_on(bench: benches.Bench) -> None:
    ended = f"Bearer ServiceAccount {await bench.admin.issue_token(seconds=-1)}"
    assert (await bench.call("GET", "/v1/apps/", authorization=ended)).status == 401
    await bench.admin.delete_tokens()
    assert (await bench.call("GET", "/v1/apps/")).error == "Token expired or deleted"
    bench.authorization = f"Bearer ServiceAccount {await bench.admin.issue_token()}"
    assert (await bench.call("GET", "/v1/apps/")).status == 200


async def test_app_and_environment_have_to_be_known(bench: benches.Bench) -> None:
    reply = await bench.dynamic(app_id="nope")
    assert (reply.status, reply.error) == (404, "App with ID nope not found")
    reply = await bench.dynamic(env="nope")
    assert (reply.status, reply.error) == (404, "Environment 'nope' not found in App demo")
    reply = await bench.call("GET", benches.DYNAMIC, headers={"Environment": "nope"})
    assert (reply.status, reply.error) == (401, "Environment not found")


@pytest.mark.parametrize("name", ["production", "PRODUCTION", "Production"])
async def test_environments_are_told_apart_regardless_of_case(
    bench: benches.Bench, name: str
) -> None:
    assert (await bench.dynamic(env=name)).status == 200


async def test_names_of_the_query_may_be_camel_case(bench: benches.Bench) -> None:
    reply = await bench.call("GET", benches.DYNAMIC, {"appId": seeds.DEMO_APP, "env": "staging"})
    assert [one["name"] for one in reply.body] == ["aws-staging"]


@pytest.mark.parametrize("where", [{}, {"app_id": seeds.DEMO_APP}])
async def test_a_missing_environment_is_a_500(bench: benches.Bench, where: dict[str, str]) -> None:
    reply = await bench.call("GET", benches.DYNAMIC, where)
    assert (reply.status, reply.error) == (500, "Internal server error.")


async def test_a_lost_environment_is_a_401_for_accounts_and_a_403_for_users(
    bench: benches.Bench,
) -> None:
    for account, status, who in (("kube-bot", 401, "Service account"), ("rohan", 403, "User")):
        await bench.act_as(account)
        await bench.admin.allow("Production", allowed=False, account=account)
        reply = await bench.dynamic()
        assert (reply.status, reply.error) == (status, f"{who} cannot access this environment")
        await bench.admin.allow("Production", allowed=True, account=account)
        assert (await bench.dynamic()).status == 200


async def test_the_throttle_counts_by_account_and_not_what_it_refuses(
    bench: benches.Bench,
) -> None:
    await bench.admin.turn(requestsPerMinute=3)
    replies = [await bench.call("GET", "/v1/apps/") for _ in range(3)]
    replies.append(await bench.dynamic())
    assert [one.status for one in replies] == [200, 200, 200, 429]
    wait = replies[3].headers["Retry-After"]
    assert replies[3].error == f"Request was throttled. Expected available in {wait} seconds."
    assert int(wait) in range(55, 61)
    assert (await bench.call("GET", "/v1/apps/", authorization="Bearer x")).status == 401
    await bench.act_as("other-bot")
    assert (await bench.call("GET", "/v1/apps/")).status == 200
    await bench.act_as("kube-bot")
    await bench.admin.turn(clockOffsetSeconds=61)
    assert (await bench.call("GET", "/v1/apps/")).status == 200


async def test_who_may_not_read_secrets_may_not_lease_either(bench: benches.Bench) -> None:
    account = seeds.Account(name="poor", role="Nothing")
    await bench.admin.seed(seeds.Seed(accounts=[account]))
    lease = await bench.leased()
    await bench.act_as("poor")
    refused = [
        await bench.dynamic(lease="true"),
        await bench.call("GET", benches.LEASES, {"secret_id": lease["secret"]}),
    ]
    told = "You don't have permission to read secrets in this environment."
    assert [(one.status, one.error) for one in refused] == [(403, told)] * 2


async def test_an_address_that_is_not_allowed_is_refused(bench: benches.Bench) -> None:
    account = seeds.Account(name="outside", allowed_ips=False)
    await bench.admin.seed(seeds.Seed(accounts=[account]))
    await bench.act_as("outside")
    reply = await bench.dynamic()
    assert reply.status == 403
    assert reply.error.startswith("Access denied: a network access policy")


async def test_an_app_without_server_side_encryption_is_refused(bench: benches.Bench) -> None:
    apps = (await bench.admin.state())["apps"]
    closed = next(one["id"] for one in apps if one["name"] == "closed")
    reply = await bench.dynamic(app_id=closed)
    assert (reply.status, reply.error) == (400, "SSE is not enabled for this App")


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "HEAD"])
async def test_methods_that_are_not_supported_issue_nothing(
    bench: benches.Bench, method: str
) -> None:
    reply = await bench.call(method, benches.DYNAMIC, benches.WHERE | {"lease": "true"})
    assert reply.status == 403
    assert await bench.admin.keys() == []
    reply = await bench.call("POST", benches.DYNAMIC, benches.WHERE)
    assert (reply.status, reply.error) == (405, 'Method "POST" not allowed.')


async def test_apps_and_environments_show_what_the_account_sees(bench: benches.Bench) -> None:
    shown = (await bench.call("GET", "/v1/apps/")).body["data"]
    assert [(one["name"], one["sseEnabled"]) for one in shown] == [
        ("demo", True),
        ("closed", False),
    ]
    await bench.admin.allow("Staging", allowed=False)
    query = {"app_id": seeds.DEMO_APP}
    shown = (await bench.call("GET", "/v1/environments/", query)).body["data"]
    assert [one["name"] for one in shown] == ["Development", "Production"]


async def test_apps_are_shown_by_a_right_of_their_own(bench: benches.Bench) -> None:
    lesser = seeds.Role(name="Service", permissions=list(seeds.RECOMMENDED))
    await bench.admin.seed(seeds.Seed(roles=[lesser]))
    reply = await bench.call("GET", "/v1/apps/")
    assert (reply.status, reply.error) == (403, "You don't have permission to read apps.")


@pytest.mark.parametrize("part", ["app_id", "id", "name"])
async def test_a_nul_byte_is_the_servers_own_error(bench: benches.Bench, part: str) -> None:
    reply = await bench.dynamic(**{part: "a\0b"})
    assert (reply.status, reply.error) == (500, "Internal server error.")


async def test_only_the_secret_key_is_masked(bench: benches.Bench) -> None:
    ((known, *_),) = [(await bench.dynamic(name="aws-deploy")).body]
    masked = {one["id"]: one["masked"] for one in known["keyMap"]}
    assert masked == {"username": False, "access_key_id": False, "secret_access_key": True}


async def test_a_token_tells_whose_it_is(bench: benches.Bench) -> None:
    path = "/service/secrets/tokens/"
    assert (await bench.call("GET", path)).body["account_id"] == seeds.DEMO_ACCOUNT
    await bench.act_as("rohan")
    assert (await bench.call("GET", path)).body["user_id"] == seeds.DEMO_USER
    assert (await bench.call("GET", path, authorization="Bearer User x")).status == 403
    await bench.admin.turn(whoami=False)
    assert (await bench.call("GET", path)).status == 404


async def test_bursts_are_the_servers_own_or_a_proxys(bench: benches.Bench) -> None:
    await bench.admin.turn(burst=1, burstStatus=500)
    assert (await bench.dynamic()).error == "Internal server error."
    await bench.admin.turn(burst=1, burstStatus=502)
    assert (await bench.dynamic()).body.startswith("<html>")
    assert (await bench.dynamic()).status == 200


async def test_dates_are_the_servers_own(bench: benches.Bench) -> None:
    await bench.admin.turn(clockOffsetSeconds=86_400, latencyMs=1)
    first = (await bench.dynamic()).headers["Date"]
    await bench.admin.turn(clockOffsetSeconds=0)
    assert (await bench.dynamic()).headers["Date"][:16] != first[:16]
