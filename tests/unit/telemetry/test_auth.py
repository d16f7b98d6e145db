"""Who may read /metrics, before an API server that the test plays."""

import asyncio
import collections
import logging
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.reviews import User
from leaseholder.secrecy import Hidden
from leaseholder.telemetry import auth

READER, OTHER, FORGED = "Bearer reader", "Bearer other", "Bearer forged"


@dataclass
class ApiServer:
    """``ports.Reviews``: the token ``reader-7`` is of the ServiceAccount reader in namespace a."""

    now: float = 0.0
    away: bool = False
    readers: frozenset[str] = frozenset({"reader"})
    """Who may get metrics."""
    asked: list[tuple[str, float]] = field(default_factory=list)
    """Each token that was reviewed, and when."""
    under_way: int = 0
    most: int = 0
    """So many were under way at once."""

    async def authenticate(self, token: Hidden) -> User | None:
        self.asked.append((token.reveal(), self.now))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)  # all who ask now come first
        self.under_way -= 1
        if self.away:
            raise errors.ClusterUnavailable(Reason.CLUSTER, "no answer in time")
        name = token.reveal().partition("-")[0]
        return None if name == "forged" else User(f"system:serviceaccount:a:{name}", "7", ["g"])

    async def may_get(self, user: User, path: str) -> bool:
        assert path == "/metrics"
        return user.name.rpartition(":")[2] in self.readers


@pytest.fixture
def api_server() -> ApiServer:
    return ApiServer()


@pytest.fixture
def token_auth(api_server: ApiServer) -> auth.MetricsAuth:
    return of(api_server)


def of(api_server: ApiServer) -> auth.MetricsAuth:
    return auth.MetricsAuth(api_server, now=lambda: api_server.now)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic cmVhZGVyOg==",
        "reader",
        "Bearer reader reader",
        "Bearer r\udce9ader",
        'Bearer "reader"',
        "Bearer reader,reader",
        f"Bearer {'a' * (auth.LONGEST + 1)}",
    ],
    ids=lambda header: str(header)[:20],
)
async def test_what_is_no_token_is_answered_401_and_reviewed_by_nobody(
    api_server: ApiServer, token_auth: auth.MetricsAuth, header: str | None
) -> None:
    told = await token_auth.answer(header)
    assert told.status == 401
    assert "send a" in told.sentence
    assert told.headers["WWW-Authenticate"].startswith("Bearer ")
    assert api_server.asked == []


@pytest.mark.parametrize("header", [READER, "bearer reader", "BEARER  reader "])
async def test_who_may_get_metrics_does(token_auth: auth.MetricsAuth, header: str) -> None:
    assert (await token_auth.answer(header)).status == 200


async def test_a_token_as_long_as_may_be_is_reviewed(
    api_server: ApiServer, token_auth: auth.MetricsAuth
) -> None:
    token = "reader-".ljust(auth.LONGEST, "a")
    assert (await token_auth.answer(f"Bearer {token}")).status == 200
    assert [one for one, _ in api_server.asked] == [token]


async def test_a_token_that_the_api_server_doesnt_know_is_answered_401(
    token_auth: auth.MetricsAuth,
) -> None:
    told = await token_auth.answer(FORGED)
    assert told.status == 401
    assert told.sentence == ("the API server doesn't take this token: send one that is valid there")


async def test_whoever_has_no_right_to_metrics_is_answered_403_with_the_role_to_bind(
    token_auth: auth.MetricsAuth,
) -> None:
    told = await token_auth.answer(OTHER)
    assert told.status == 403
    assert told.sentence == (
        "'system:serviceaccount:a:other' has no right to get /metrics: bind a ClusterRole to it "
        "that has the nonResourceURL /metrics, such as leaseholder-metrics-reader"
    )


@pytest.mark.parametrize("header", [READER, OTHER, FORGED])
async def test_an_answer_is_believed_for_its_time_and_then_asked_for_anew(
    api_server: ApiServer, token_auth: auth.MetricsAuth, header: str
) -> None:
    told = await token_auth.answer(header)
    believed = auth.BELIEVED[told.status]
    api_server.now = believed - 0.1
    assert await token_auth.answer(header) == told
    assert len(api_server.asked) == 1
    api_server.now = believed + 0.1
    assert await token_auth.answer(header) == told
    assert len(api_server.asked) == 2


async def test_while_the_api_server_is_away_metrics_are_refused_and_that_is_logged_once(
    api_server: ApiServer, token_auth: auth.MetricsAuth, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await token_auth.answer(READER)
    api_server.away = True
    for _ in range(3):
        api_server.now += auth.BELIEVED[200] + 1
        told = await token_auth.answer(READER)
        assert told.status == 503
        assert told.sentence == "whether you may have metrics isn't known now: no answer in time"
    assert len(api_server.asked) == 4
    api_server.away = False
    assert (await token_auth.answer(READER)).status == 503  # a moment ago nobody knew
    api_server.now += auth.BELIEVED[503] + 0.1
    assert (await token_auth.answer(READER)).status == 200
    assert caplog.messages == ["metrics are refused: no answer in time", "metrics are served again"]


async def test_those_who_send_the_same_token_at_once_share_its_review(
    api_server: ApiServer, token_auth: auth.MetricsAuth
) -> None:
    waiting = [asyncio.create_task(token_auth.answer(READER)) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # who hangs up
    told = await asyncio.gather(*waiting[1:])
    assert {one.status for one in told} == {200}
    assert len(api_server.asked) == 1


async def test_any_number_of_tokens_costs_few_reviews_at_once_and_in_a_second(
    api_server: ApiServer, token_auth: auth.MetricsAuth
) -> None:
    flood = [asyncio.create_task(token_auth.answer(f"{FORGED}-{n}")) for n in range(1000)]
    told = collections.Counter([one.status for one in await asyncio.gather(*flood)])
    assert told == {401: auth.MOST_AT_ONCE, 429: 1000 - auth.MOST_AT_ONCE}
    for number in range(1000):
        await token_auth.answer(f"{FORGED}-more-{number}")
    assert len(api_server.asked) == auth.MOST_PER_SECOND
    assert api_server.most == auth.MOST_AT_ONCE


async def test_who_read_metrics_before_goes_on_while_others_send_tokens_without_end(
    api_server: ApiServer, token_auth: auth.MetricsAuth
) -> None:
    assert (await token_auth.answer(READER)).status == 200
    for _ in range(10):
        api_server.now += auth.BELIEVED[200] + 1
        for number in range(100):
            await token_auth.answer(f"{FORGED}-{number}")
        assert (await token_auth.answer(f"{READER}-new")).status == 429
        assert (await token_auth.answer(READER)).status == 200


async def test_a_token_that_was_good_loses_its_turn_when_its_right_is_taken_away(
    api_server: ApiServer, token_auth: auth.MetricsAuth
) -> None:
    await token_auth.answer(READER)
    api_server.readers = frozenset()
    api_server.now = auth.BELIEVED[200] + 1
    assert (await token_auth.answer(READER)).status == 403
    api_server.now += auth.BELIEVED[403] + 1
    for number in range(auth.MOST_PER_SECOND):
        await token_auth.answer(f"{FORGED}-{number}")
    assert (await token_auth.answer(READER)).status == 429


async def test_tokens_are_neither_kept_nor_logged(
    api_server: ApiServer, token_auth: auth.MetricsAuth, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for header in (READER, OTHER, FORGED):
        await token_auth.answer(f"{header}-c4n4ry")
    api_server.away = True
    told = await token_auth.answer(f"{FORGED}-c4n4ry-2")
    kept = [str(one) for one in vars(token_auth).values() if one is not api_server]
    assert "c4n4ry" not in f"{kept} {told} {caplog.text}"


@given(
    scrapes=st.lists(
        st.tuples(
            st.sampled_from(["reader", "other", "forged"]),
            st.integers(0, 40),
            st.sampled_from([0.0, 0.0, 0.3, 2.0, 70.0]),
        ),
        max_size=120,
    )
)
def test_only_readers_ever_read_and_no_second_has_more_reviews_of_others(
    scrapes: list[tuple[str, int, float]],
) -> None:
    api_server = ApiServer()

    async def play() -> None:
        token_auth = of(api_server)
        for name, number, pause in scrapes:
            api_server.now += pause
            told = await token_auth.answer(f"Bearer {name}-{number}")
            usual = {"reader": 200, "other": 403, "forged": 401}[name]
            assert told.status in (usual, 429)

    asyncio.run(play())
    strangers = collections.Counter(
        int(at) for token, at in api_server.asked if not token.startswith("reader")
    )
    assert max(strangers.values(), default=0) <= auth.MOST_PER_SECOND
