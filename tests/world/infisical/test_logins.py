"""Universal auth, tokens in both generations, OIDC with a key of our own."""

from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from aiohttp import test_utils, web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.world.infisical import bench as benches
from tests.world.infisical import logins, seeds, tokens

RENEW = f"{benches.API}/auth/token/renew"
REVOKE = f"{benches.API}/auth/token/revoke"
OIDC = f"{benches.API}/auth/oidc-auth/login"


async def newcomer(bench: benches.Bench, **auth: Any) -> seeds.Identity:
    seed = benches.someone(universal_auth=seeds.UniversalAuth(**auth))
    await bench.admin.seed(seed)
    return seed.identities[0]


async def wrong(bench: benches.Bench, identity: seeds.Identity) -> benches.Reply:
    body = {**benches.credentials(identity), "clientSecret": "wrong"}
    return await bench.call("POST", benches.LOGIN, body)


async def probe(bench: benches.Bench, token: str | None = None) -> benches.Reply:
    query = benches.address()
    return await bench.call("GET", f"{benches.API}/dynamic-secrets", query=query, token=token)


async def test_a_login_tells_the_configured_life(bench: benches.Bench) -> None:
    reply = await bench.login(await newcomer(bench))
    assert reply.status == 200
    assert {**reply.body, "accessToken": ""} == {
        "accessToken": "",
        "expiresIn": seeds.THIRTY_DAYS,
        "accessTokenMaxTTL": seeds.THIRTY_DAYS,
        "tokenType": "Bearer",
    }


async def test_no_ttl_is_a_zero_and_ninety_days_in_the_jwt(bench: benches.Bench) -> None:
    identity = await newcomer(bench, access_token_ttl=0, access_token_max_ttl=0)
    body = (await bench.login(identity)).body
    claims = jwt.decode(body["accessToken"], options={"verify_signature": False})
    assert (body["expiresIn"], claims["exp"] - claims["iat"]) == (0, tokens.CEILING_SECONDS)


async def test_a_period_is_the_ttl_and_has_no_maximum(bench: benches.Bench) -> None:
    body = (await bench.login(await newcomer(bench, access_token_period=3600))).body
    assert (body["expiresIn"], body["accessTokenMaxTTL"]) == (3600, tokens.FOREVER_SECONDS)


async def test_three_wrong_secrets_lock_the_identity_out(bench: benches.Bench) -> None:
    identity = await newcomer(bench)
    told = [(await wrong(bench, identity)).message for _ in range(4)]
    assert told == [logins.WRONG] * 3 + [logins.LOCKED]
    assert (await bench.login(identity)).message == logins.LOCKED
    await bench.admin.turn(clockOffsetSeconds=301)
    assert (await bench.login(identity)).status == 200


async def test_failing_logins_may_meet_a_busy_lock(bench: benches.Bench) -> None:
    identity = await newcomer(bench)
    await bench.admin.turn(loginLockBusy=True)
    reply = await wrong(bench, identity)
    assert (reply.status, reply.message) == (429, "Failed to acquire lock: rate limit exceeded")
    assert "retry-after" not in reply.headers


async def test_a_good_login_clears_the_counter(bench: benches.Bench) -> None:
    identity = await newcomer(bench)
    for _ in range(3):
        assert (await wrong(bench, identity)).message == logins.WRONG
        assert (await wrong(bench, identity)).message == logins.WRONG
        assert (await bench.login(identity)).status == 200


async def test_the_counters_window_ends(bench: benches.Bench) -> None:
    identity = await newcomer(bench)
    for offset in (0, 31, 62):
        await bench.admin.turn(clockOffsetSeconds=offset)
        assert (await wrong(bench, identity)).message == logins.WRONG
        assert (await wrong(bench, identity)).message == logins.WRONG


async def test_every_login_burns_a_use(bench: benches.Bench) -> None:
    identity = await newcomer(bench, num_uses_limit=2)
    assert [(await bench.login(identity)).status for _ in range(2)] == [200, 200]
    told = (await bench.login(identity)).message
    assert told == "Access denied due to client secret usage limit reached"
    assert (await bench.login(identity)).message == logins.WRONG


async def test_a_client_secret_can_expire(bench: benches.Bench) -> None:
    identity = await newcomer(bench, client_secret_ttl=60)
    await bench.admin.turn(clockOffsetSeconds=61)
    assert (await bench.login(identity)).message == "Access denied due to expired client secret"


async def test_organizations_are_checked_by_name(bench: benches.Bench) -> None:
    seed = benches.someone(sub_organizations=["mine"])
    seed.sub_organizations = ["mine", "other"]
    await bench.admin.seed(seed)
    body = benches.credentials(seed.identities[0])

    async def login(slug: str) -> benches.Reply:
        return await bench.call("POST", benches.LOGIN, {**body, "organizationSlug": slug})

    assert (await login("none")).message == "Sub organization with name none not found"
    told = "Identity not authorized to access sub organization other"
    assert (await login("other")).message == told
    mine = (await login("mine")).body["accessToken"]
    assert (await probe(bench, mine)).message == "Project with slug 'demo' not found"
    assert (await login("x" * 65)).status == 422


async def test_an_expired_token_is_a_403(bench: benches.Bench) -> None:
    await bench.login(await newcomer(bench, access_token_ttl=60))
    assert (await probe(bench)).status == 200
    await bench.admin.turn(clockOffsetSeconds=61)
    reply = await probe(bench)
    assert (reply.status, reply.body["error"], reply.message) == (403, "TokenError", tokens.EXPIRED)
    renewed = await bench.call("POST", RENEW, {"accessToken": bench.token})
    assert (renewed.status, renewed.body["error"]) == (403, "TokenError")


async def test_what_is_no_token_is_a_403_as_well(bench: benches.Bench) -> None:
    foreign = jwt.encode({"a": 1}, "k" * 32, algorithm="HS256")
    other = jwt.encode({"a": 1}, "k" * 64, algorithm="HS512")
    told = [(await probe(bench, one)).message for one in ("nonsense", foreign, other)]
    assert told == [tokens.MALFORMED, "invalid signature", tokens.BAD_ALGORITHM]
    assert (await probe(bench, "st.abc")).body["error"] == "ForbiddenError"


async def test_a_revoked_token_is_a_401(bench: benches.Bench) -> None:
    reply = await bench.call("POST", REVOKE, {"accessToken": bench.token})
    assert reply.body == {"message": "Successfully revoked access token"}
    assert ((await probe(bench)).status, (await probe(bench)).message) == (401, tokens.REVOKED)
    renewed = await bench.call("POST", RENEW, {"accessToken": bench.token})
    assert renewed.message == "Cannot renew: token has been revoked"


async def test_a_token_can_be_used_up(bench: benches.Bench) -> None:
    await bench.login(await newcomer(bench, access_token_num_uses_limit=1))
    assert (await probe(bench)).status == 200
    assert ((await probe(bench)).status, (await probe(bench)).message) == (401, tokens.USED_UP)
    renewed = await bench.call("POST", RENEW, {"accessToken": bench.token})
    assert renewed.message == "Cannot renew exhausted access token"


async def test_the_new_renewal_is_a_new_string_that_shrinks(bench: benches.Bench) -> None:
    identity = await newcomer(bench, access_token_ttl=100, access_token_max_ttl=150)
    first = (await bench.login(identity)).body["accessToken"]
    await bench.admin.turn(clockOffsetSeconds=90)
    renewed = (await bench.call("POST", RENEW, {"accessToken": first})).body
    assert renewed["accessToken"] != first
    assert 58 <= renewed["expiresIn"] <= 60


async def test_the_new_renewal_ends_at_the_maximum(bench: benches.Bench) -> None:
    identity = await newcomer(bench, access_token_ttl=0, access_token_max_ttl=150)
    token = (await bench.login(identity)).body["accessToken"]
    await bench.admin.turn(clockOffsetSeconds=151)
    refused = await bench.call("POST", RENEW, {"accessToken": token})
    told = "Cannot renew: identity access token has reached its max TTL"
    assert (refused.status, refused.message) == (401, told)


async def test_the_old_renewal_is_the_same_string_and_may_kill_it(bench: benches.Bench) -> None:
    await bench.admin.turn(tokenGeneration="old")
    identity = await newcomer(bench, access_token_ttl=100, access_token_max_ttl=150)
    token = (await bench.login(identity)).body["accessToken"]
    await bench.admin.turn(clockOffsetSeconds=40)
    renewed = await bench.call("POST", RENEW, {"accessToken": token})
    assert renewed.body["accessToken"] == token
    await bench.admin.turn(clockOffsetSeconds=60)
    refused = await bench.call("POST", RENEW, {"accessToken": token})
    told = "Failed to renew MI access token past its Max TTL expiration"
    assert (refused.status, refused.message) == (401, told)
    assert (await probe(bench)).status == 401


async def test_an_administrator_can_revoke_everything(bench: benches.Bench) -> None:
    static = await bench.admin.issue_token()
    assert (await probe(bench, static)).status == 200
    await bench.admin.revoke_all_tokens()
    assert (await probe(bench, static)).status == 401
    assert (await bench.login()).status == 200


class Issuer:
    """An OIDC issuer: its key may be known, or discovered."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def public(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/.well-known/openid-configuration", self.discover)
        application.router.add_get("/keys", self.keys)
        return application

    async def discover(self, request: web.Request) -> web.Response:
        return web.json_response({"jwks_uri": str(request.url.origin() / "keys")})

    async def keys(self, _: web.Request) -> web.Response:
        key = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return web.json_response({"keys": [{**key, "kid": "k1", "use": "sig"}]})

    def token(self, claims: Mapping[str, object], kid: str = "k1") -> str:
        return jwt.encode(dict(claims), self.key, algorithm="RS256", headers={"kid": kid})


GOOD: dict[str, object] = {
    "iss": "https://issuer",
    "sub": "ci:main",
    "aud": ["infisical"],
    "exp": 99_999_999_999,
    "env": {"name": "prod"},
}


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({}, 200, None),
        ({"iss": "https://other"}, 401, "Access denied: jwt issuer invalid."),
        ({"sub": "ops:main"}, 403, "Access denied: OIDC subject not allowed."),
        ({"aud": "other"}, 401, "Access denied: OIDC audience not allowed."),
        ({"env": {}}, 401, "Access denied: token has no env.name field"),
        ({"env": {"name": "dev"}}, 401, "Access denied: OIDC claim not allowed."),
        ({"exp": 1}, 401, "Access denied: jwt expired"),
    ],
)
async def test_a_foreign_token_is_held_to_the_policy(
    bench: benches.Bench, change: dict[str, object], status: int, message: str | None
) -> None:
    issuer = Issuer()
    auth = seeds.OidcAuth(
        public_key=issuer.public(),
        bound_issuer="https://issuer",
        bound_subject="ci:*",
        bound_audiences="vault, infisical",
        bound_claims={"env.name": "prod"},
    )
    seed = benches.someone(universal_auth=None, oidc_auth=auth)
    await bench.admin.seed(seed)
    token = issuer.token({**GOOD, **change})
    reply = await bench.call("POST", OIDC, {"identityId": seed.identities[0].id, "jwt": token})
    assert reply.status == status
    assert message is None or reply.message.startswith(message)


@pytest.mark.parametrize(("kid", "status"), [("k1", 200), ("k2", 401)])
async def test_an_issuers_keys_are_discovered(bench: benches.Bench, kid: str, status: int) -> None:
    issuer = Issuer()
    async with test_utils.TestServer(issuer.application()) as served:
        auth = seeds.OidcAuth(oidc_discovery_url=str(served.make_url("/")))
        seed = benches.someone(universal_auth=None, oidc_auth=auth)
        await bench.admin.seed(seed)
        body = {"identityId": seed.identities[0].id, "jwt": issuer.token(GOOD, kid)}
        assert (await bench.call("POST", OIDC, body)).status == status


async def test_a_foreign_token_with_another_key_is_refused(bench: benches.Bench) -> None:
    seed = benches.someone(
        universal_auth=None, oidc_auth=seeds.OidcAuth(public_key=Issuer().public())
    )
    await bench.admin.seed(seed)
    body = {"identityId": seed.identities[0].id, "jwt": Issuer().token(GOOD)}
    assert (await bench.call("POST", OIDC, body)).message == "Access denied: invalid signature"


async def test_an_identity_without_the_method_is_not_found(bench: benches.Bench) -> None:
    body = {"identityId": seeds.DEMO_IDENTITY_ID, "jwt": "x"}
    assert (await bench.call("POST", OIDC, body)).message == logins.NO_OIDC
    path = f"{benches.API}/auth/kubernetes-auth/login"
    assert (await bench.call("POST", path, body)).message == logins.NO_KUBERNETES
