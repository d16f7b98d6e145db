"""Answers that are well formed and make no sense; the fuzzer found most of them."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import httpx2
import pydantic
import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.infisical import api as infisical
from leaseholder.providers.openbao import api as openbao
from tests.unit.providers import baosupport, phasebench, support

YEARS = pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"]
)
LONG = 10**400


@YEARS
async def test_a_lease_of_infisical_without_a_sensible_end_is_kept_all_the_same(
    moment: str,
) -> None:
    bench = support.bench()
    lease = support.wire_lease() | {"expireAt": moment, "createdAt": moment}
    bench.server.say(
        "POST", support.LEASES, support.ok(lease=lease, data={"PASSWORD": support.CANARY})
    )
    issued = await bench.adapter.issue(support.attempt())
    assert 1970 <= issued.lease.expires_at.year < 3000


@YEARS
async def test_a_lease_of_phase_without_a_sensible_end_is_kept_all_the_same(moment: str) -> None:
    bench = phasebench.bench()
    lease: dict[str, Any] = {"createdAt": moment, "expiresAt": moment, "ttl": "P999999999D"}
    bench.server.say("GET", phasebench.LEASES, phasebench.answer([phasebench.wire_lease(**lease)]))
    found = await bench.adapter.inspect(phasebench.held())
    assert 1970 <= found.expires_at.year < 3000


@pytest.mark.parametrize("seconds", [LONG, -LONG, 2**63])
async def test_a_lease_of_openbao_of_any_length_is_kept_all_the_same(seconds: int) -> None:
    bench = baosupport.bench()
    bench.server.say("GET", baosupport.READ, baosupport.leased(seconds))
    token = baosupport.token(None, creation_time=seconds, issue_time=None)
    bench.server.say("GET", baosupport.LOOKUP_SELF, token)
    found = (await bench.issued()).lease
    assert 1900 < found.expires_at.year < 2200


async def test_a_moment_without_a_time_zone_is_no_moment() -> None:
    bench = baosupport.bench()
    bench.server.say("POST", baosupport.LOOKUP, baosupport.seen(expire_time="2026-11-21T13:00:00"))
    with pytest.raises(errors.Unavailable) as raised:
        await bench.adapter.inspect(await bench.lease())
    assert raised.value.reason is Reason.BAD_ANSWER


@pytest.mark.parametrize("held", [[[]], [{}], "root", {"root": 1}, None, [None, 1]])
async def test_rights_told_in_a_way_that_is_not_known_are_no_rights(held: Any) -> None:
    bench = baosupport.bench()
    told = dict.fromkeys(["sys/leases/renew", "sys/leases/lookup"], held)
    bench.server.say("POST", baosupport.RIGHTS, baosupport.ok(data=told))
    with pytest.raises(errors.Denied, match="lack rights"):
        await bench.adapter.check()


@pytest.mark.parametrize("token", ["t\u00e4", "a b", "a\r\nX: y", "\u2028", "x" * 2**14])
async def test_a_login_token_that_no_header_takes_is_a_bad_answer(token: str) -> None:
    bench = baosupport.bench()
    made = baosupport.auth(client_token=f"{support.CANARY}{token}")
    bench.server.say("POST", baosupport.LOGIN, made)
    with pytest.raises(errors.Unavailable) as raised:
        await bench.prepared()
    assert raised.value.reason is Reason.BAD_ANSWER
    assert support.CANARY not in repr(raised.value)


async def test_a_long_access_token_of_infisical_is_not_kept() -> None:
    bench = support.bench()
    bench.server.say("POST", support.LOGIN, support.logged_in("x" * (2**14 + 1)))
    with pytest.raises(errors.Unavailable) as raised:
        await bench.adapter.check()
    assert raised.value.reason is Reason.BAD_ANSWER


@pytest.mark.parametrize(
    "model",
    [infisical.LoginAnswer(access_token=support.CANARY), openbao.Auth(client_token="x-canary")],
)
def test_a_token_does_not_show(model: pydantic.BaseModel) -> None:
    assert "canary" not in repr(model)


async def test_a_token_in_a_secret_that_no_header_takes_is_told_and_not_shown() -> None:
    bench = baosupport.bench(baosupport.TOKEN)
    bench.credentialing.values["secret"] = f"{support.CANARY}\u00e4"
    with pytest.raises(errors.Denied, match="characters that no OpenBao credential has") as raised:
        await bench.adapter.check()
    assert raised.value.reason is Reason.AUTH_MISSING
    assert raised.value.__context__ is None
    assert bench.server.count(baosupport.LOOKUP_SELF) == 0


async def test_a_list_of_leases_nested_without_end_is_a_bad_answer() -> None:
    bench = phasebench.bench()
    nested = httpx2.Response(200, content=b"[" * 100_000)
    bench.server.say("GET", phasebench.LEASES, nested)
    with pytest.raises(errors.Unavailable) as raised:
        await bench.adapter.inspect(phasebench.held())
    assert raised.value.reason is Reason.BAD_ANSWER


@pytest.mark.parametrize(
    "claims", [{"exp": LONG}, {"exp": "x"}, [[]], {"exp": 1e308, "iat": -LONG}]
)
async def test_a_token_with_claims_that_make_no_sense_is_used_all_the_same(claims: Any) -> None:
    bench = support.bench()
    token = f"a.{_encoded(claims)}.b"
    bench.server.say("POST", support.LOGIN, support.logged_in(token))
    bench.server.say("GET", "/api/status", support.ok())
    assert (await bench.adapter.check()).clock_skew == 0


@pytest.mark.parametrize(
    "date", ["Fri, 31 Dec 9999 23:59:59 -2300", "Mon, 01 Jan 0001 00:00:00 +2300", "\xff", "99"]
)
async def test_a_date_that_nobody_lives_in_stops_nothing(date: str) -> None:
    bench = support.bench()
    headers = [(b"date", date.encode("latin-1"))]
    bench.server.say("GET", "/api/status", httpx2.Response(200, headers=headers, json={}))
    await bench.adapter.check()
    assert datetime(1969, 1, 1, tzinfo=UTC) < bench.adapter.now()


async def test_an_answer_too_long_to_be_one_is_not_read_to_its_end() -> None:
    bench = support.bench()
    endless = _Endless()
    bench.server.spoil = lambda answer: (
        httpx2.Response(200, stream=endless) if bench.server.count("/api/status") else answer
    )
    bench.server.say("GET", "/api/status", support.ok())
    with pytest.raises(errors.ProviderError):
        await bench.adapter.check()
    assert endless.sent < 2**24
    assert endless.closed


class _Endless(httpx2.AsyncByteStream):
    """Megabytes for ever."""

    PART = b" " * 1024 * 1024

    def __init__(self) -> None:
        self.sent = 0
        self.closed = False

    async def __aiter__(self) -> Any:
        while True:
            self.sent += len(self.PART)
            yield self.PART

    async def aclose(self) -> None:
        self.closed = True


def _encoded(claims: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
