"""Trust, time and trouble on the way to a provider."""

import asyncio
import contextlib
import gc
import pathlib
import ssl
import weakref
from datetime import datetime, timedelta
from email import utils

import httpx2
import pytest

import leaseholder
from leaseholder import circuit, errors
from leaseholder.api import provider
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Reading
from leaseholder.providers.kit import client, connections, gate, requests
from leaseholder.providers.kit.network import dialing
from tests.unit.providers import support
from tests.world import certificates

DATE = "Sat, 21 Nov 2026 12:00:10 GMT"


class World:
    """An Http before a scripted server."""

    def __init__(self, limits: provider.Limits | None = None) -> None:
        self.clock = support.FakeClock()
        self.server = support.Server(self.clock)
        self.credentialing = support.FakeCredentialing()
        self.observed: list[tuple[str, str]] = []
        self.news: list[tuple[str, str]] = []
        way = support.way_to(
            "https://infisical.test",
            limits=limits,
            credentialing=self.credentialing,
            clock=self.clock,
            observe=lambda operation, outcome, _: self.observed.append((operation, outcome)),
            on_news=lambda address, news: self.news.append((address, news)),
            transport=httpx2.MockTransport(self.server),
        )
        self.http = client.Client(way)

    def say(self, *replies: support.Reply | support.Handler) -> None:
        self.server.say("GET", "/x", *replies)


def request(**changes: object) -> requests.Request:
    values: dict[str, object] = {
        "operation": "look",
        "method": "GET",
        "path": "/x",
        "timeout": 40.0,
    }
    return requests.Request(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "reason", "sent", "outcome"),
    [
        (httpx2.ConnectError("x"), Reason.UNREACHABLE, False, "unreachable"),
        (httpx2.ConnectTimeout("x"), Reason.UNREACHABLE, False, "unreachable"),
        (httpx2.PoolTimeout("x"), Reason.UNREACHABLE, False, "unreachable"),
        (httpx2.ReadTimeout("x"), Reason.UNAVAILABLE, True, "lost"),
        (httpx2.ReadError("x"), Reason.UNAVAILABLE, True, "lost"),
        (httpx2.WriteError("x"), Reason.UNAVAILABLE, True, "lost"),
        (httpx2.RemoteProtocolError("x"), Reason.UNAVAILABLE, True, "lost"),
    ],
)
async def test_a_failure_tells_whether_something_may_have_happened(
    error: Exception, reason: Reason, sent: bool, outcome: str
) -> None:
    world = World()
    world.say(error)
    with pytest.raises(errors.Unavailable) as caught:
        await world.http.send(request(effect=True))
    assert (caught.value.reason, caught.value.sent) == (reason, sent)
    assert world.observed == [("look", outcome)]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_a_lost_look_leaves_nothing_behind() -> None:
    world = World()
    world.say(httpx2.ReadTimeout("x"))
    with pytest.raises(errors.Unavailable) as caught:
        await world.http.send(request(effect=False))
    assert not caught.value.sent


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "ok"), (302, "refused"), (404, "refused"), (503, "failed")]
)
async def test_an_answer_is_returned_whatever_its_status(status: int, outcome: str) -> None:
    world = World()
    world.say(httpx2.Response(status, headers={"location": "https://elsewhere.test/"}))
    answer = await world.http.send(request())
    assert answer.status == status
    assert world.observed == [("look", outcome)]


async def test_requests_name_us_and_keep_no_cookies() -> None:
    world = World()
    world.say(httpx2.Response(200, headers={"set-cookie": "a=b; Path=/"}))
    await world.http.send(request())
    await world.http.send(request())
    sent = world.server.requests[-1]
    assert sent.headers["user-agent"] == f"leaseholder/{leaseholder.__version__}"
    assert "cookie" not in sent.headers


async def test_nothing_is_sent_at_or_after_the_deadline() -> None:
    world = World()
    world.say(httpx2.Response(200))
    await world.http.send(request(deadline=support.NOW + timedelta(seconds=1)))
    with pytest.raises(errors.Unavailable) as caught:
        await world.http.send(request(deadline=support.NOW, effect=True))
    assert not caught.value.sent
    assert len(world.server.requests) == 1


async def test_the_deadline_is_looked_at_again_right_before_the_write() -> None:
    """A transport that connects slowly, and then tells that it is about to write."""
    world = World()

    class Slow(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, sent: httpx2.Request) -> httpx2.Response:
            await sent.extensions["trace"]("connection.connect_tcp.complete", {})
            world.clock.move(60)
            await sent.extensions["trace"]("http11.send_request_headers.started", {})
            raise AssertionError("it was written")

    world.http._connections._network = Slow()
    with pytest.raises(errors.Unavailable) as caught:
        await world.http.send(request(deadline=support.NOW + timedelta(seconds=30), effect=True))
    assert not caught.value.sent
    assert world.observed == [("look", "late")]


@pytest.mark.parametrize(("written", "reason"), [(False, "Unreachable"), (True, "Unavailable")])
async def test_a_request_that_was_never_written_leaves_nothing_unclear(
    written: bool, reason: str
) -> None:
    world = World()

    class Late(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, sent: httpx2.Request) -> httpx2.Response:
            if written:
                await sent.extensions["trace"]("http11.send_request_headers.started", {})
            raise TimeoutError

    world.http._connections._network = Late()
    with pytest.raises(errors.Unavailable) as caught:
        await world.http.send(request(effect=True))
    assert caught.value.sent is written
    assert caught.value.reason.name == reason.upper()


async def test_no_more_requests_are_under_way_than_allowed() -> None:
    world = World(provider.Limits(concurrency=2))
    under_way, most, full, gate = 0, 0, asyncio.Event(), asyncio.Event()

    class Counting(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, _: httpx2.Request) -> httpx2.Response:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            if under_way == 2:
                full.set()
            await gate.wait()
            under_way -= 1
            return httpx2.Response(200)

    world.http._connections._network = Counting()
    tasks = [asyncio.create_task(world.http.send(request())) for _ in range(6)]
    await full.wait()
    gate.set()
    await asyncio.gather(*tasks)
    assert most == 2


async def down(world: World, reply: support.Reply) -> None:
    """The server fails until the circuit opens."""
    world.say(reply)
    for _ in range(circuit.OPEN_AFTER):
        with contextlib.suppress(errors.Unavailable):
            await world.http.send(request())


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (httpx2.Response(503), Reason.UNAVAILABLE),
        (httpx2.ReadTimeout("x"), Reason.UNAVAILABLE),
        (httpx2.ConnectError("x"), Reason.UNREACHABLE),
    ],
)
async def test_a_server_that_is_down_is_asked_no_more_but_for_trials(
    reply: support.Reply, reason: Reason
) -> None:
    world = World()
    await down(world, reply)
    for _ in range(50):
        with pytest.raises(errors.Unavailable) as caught:
            await world.http.send(request(effect=True))
        assert (caught.value.reason, caught.value.sent) == (reason, False)
        assert 0 < (caught.value.retry_after or 0) <= circuit.FIRST
    assert len(world.server.requests) == circuit.OPEN_AFTER
    world.clock.move(circuit.FIRST)
    world.say(httpx2.Response(404))
    assert (await world.http.send(request())).status == 404
    assert (await world.http.send(request())).status == 404
    assert world.news == [("https://infisical.test", "down"), ("https://infisical.test", "up")]


async def test_refusals_and_429s_are_answers() -> None:
    world = World()
    world.say(httpx2.Response(403))
    for _ in range(2 * circuit.OPEN_AFTER):
        await world.http.send(request())
    world.say(httpx2.Response(429, headers={"retry-after": "1"}))
    for _ in range(2 * circuit.OPEN_AFTER):
        await world.http.send(request())
        world.clock.move(2)
    assert world.news == []


async def test_trouble_on_the_way_to_a_request_is_none_of_the_servers() -> None:
    world = World()
    world.credentialing.bundle = "nonsense"
    for _ in range(2 * circuit.OPEN_AFTER):
        with pytest.raises(errors.Unavailable):
            await world.http.send(request())
    assert world.news == []


async def test_an_issue_is_never_the_trial() -> None:
    world = World()
    await down(world, httpx2.Response(503))
    world.clock.move(circuit.LONGEST)
    for _ in range(3):
        with pytest.raises(errors.Unavailable) as caught:
            await world.http.send(request(effect=True, rank=requests.Rank.ISSUE))
        assert not caught.value.sent
    assert len(world.server.requests) == circuit.OPEN_AFTER


async def test_a_lease_near_its_end_is_tried_before_the_pause_is_over() -> None:
    world = World()
    await down(world, httpx2.Response(503))
    for _ in range(8):
        world.clock.move(circuit.LONGEST)
        await world.http.send(request())
    world.clock.move(2)
    with pytest.raises(errors.Unavailable):
        await world.http.send(request())
    ends = world.http.clock.now() + timedelta(seconds=10)
    assert (await world.http.send(request(expires=ends))).status == 503
    past = world.http.clock.now() - timedelta(seconds=1)
    with pytest.raises(errors.Unavailable):
        await world.http.send(request(expires=past))


async def test_who_waited_for_a_turn_is_told_at_once_when_the_circuit_opens() -> None:
    world = World(provider.Limits(concurrency=1))
    world.say(httpx2.Response(503))
    outcomes = await asyncio.gather(
        *(world.http.send(request()) for _ in range(30)), return_exceptions=True
    )
    assert len(world.server.requests) == circuit.OPEN_AFTER
    held_back = [one for one in outcomes if isinstance(one, errors.Unavailable)]
    assert len(held_back) == 30 - circuit.OPEN_AFTER


async def test_what_connections_show_is_their_circuit_and_their_clock() -> None:
    world = World()
    assert world.http.reading() == Reading(False, None, 0)
    await down(world, httpx2.Response(503))
    assert world.http.reading().circuit_open


def untrusted() -> httpx2.ConnectError:
    error = httpx2.ConnectError("certificate verify failed")
    error.__cause__ = OSError()
    error.__cause__.__context__ = ssl.SSLCertVerificationError("verify failed")
    return error


async def test_an_untrusted_certificate_is_told_from_an_unreachable_server() -> None:
    world = World()
    world.say(untrusted())
    with pytest.raises(errors.Unavailable) as caught:
        await world.http.send(request(effect=True))
    assert (caught.value.reason, caught.value.sent) == (Reason.UNTRUSTED, False)
    assert len(world.server.requests) == 1


async def test_a_changed_ca_bundle_is_read_after_an_untrusted_certificate(
    tmp_path: pathlib.Path,
) -> None:
    world = World()
    world.say(httpx2.Response(200), untrusted(), httpx2.Response(201))
    files = certificates.write_server(tmp_path, "server")
    assert (await world.http.send(request())).status == 200
    world.credentialing.bundle = files.ca.read_text()
    assert (await world.http.send(request())).status == 201
    await world.http.aclose()


async def test_a_client_that_nobody_uses_is_let_go_and_the_next_request_makes_another() -> None:
    closed = asyncio.Event()

    class Closing(httpx2.AsyncBaseTransport):
        async def aclose(self) -> None:
            closed.set()

    dialer = dialing.Dialer(support.LOOPBACK)
    known = connections.Pools(support.FakeCredentialing(), dialer, Closing(), idle=0)
    async with known.current() as first, known.current() as same:
        assert first is same
    await asyncio.wait_for(closed.wait(), 20)
    known._network = Closing()
    async with known.current() as second:
        assert second is not first
    await known.aclose()


class _Text(str):
    """A text of which can be said whether anybody keeps it."""


class _Bundles(support.FakeCredentialing):
    """Reads a bundle anew each time, as it is read from a ConfigMap of a megabyte."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[weakref.ref[str]] = []

    async def ca_bundle(self) -> str | None:
        text = _Text("nonsense")
        self.given.append(weakref.ref(text))
        return text


async def test_bundles_that_nobody_can_trust_are_not_kept() -> None:
    bundles, dialer = _Bundles(), dialing.Dialer(support.LOOPBACK)
    providers = [connections.Pools(bundles, dialer) for _ in range(5)]
    for known in providers:
        with pytest.raises(errors.Unavailable):
            async with known.current():
                pass
    gc.collect()
    assert sum(one() is not None for one in bundles.given) <= 1  # the last error has it


async def test_a_bundle_of_thousands_of_certificates_is_refused(tmp_path: pathlib.Path) -> None:
    world = World()
    world.credentialing.bundle = certificates.write_server(tmp_path, "x").ca.read_text() * 300
    with pytest.raises(errors.Unavailable, match="more than 256 certificates") as caught:
        await world.http.send(request())
    assert caught.value.reason is Reason.UNTRUSTED


@pytest.mark.parametrize(
    "bundle",
    [
        "-----BEGIN CERTIFICATE-----\nnonsense\n",
        "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
        "nonsense",
    ],
)
async def test_a_bundle_without_certificates_is_refused(bundle: str) -> None:
    world = World()
    world.credentialing.bundle = bundle
    with pytest.raises(errors.Unavailable) as caught:
        await world.http.send(request())
    assert caught.value.reason is Reason.UNTRUSTED
    assert caught.value.__context__ is None


async def test_a_429_stops_its_category_for_as_long_as_it_says() -> None:
    world = World()
    world.say(httpx2.Response(429, headers={"retry-after": "7"}), httpx2.Response(200))
    answer = await world.http.send(request())
    assert answer.retry_after == 7
    with pytest.raises(errors.Throttled) as caught:
        await world.http.send(request())
    assert caught.value.retry_after == 7
    assert len(world.server.requests) == 1
    assert (await world.http.send(request(category="write"))).status == 200
    world.clock.move(7)
    assert (await world.http.send(request())).status == 200


@pytest.mark.parametrize(
    ("headers", "message", "wait"),
    [
        ({"retry-after": "30"}, "", 30),
        ({"retry-after": "60000"}, "", 120),
        ({"retry-after": "60000"}, "Rate limit exceeded. Please try again in 42 seconds", 42),
        ({}, "Rate limit exceeded. Please try again in 9 seconds", 9),
        ({"x-ratelimit-reset": "5"}, "", 5),
        ({"retry-after": "soon"}, "", gate.UNSTATED),
        ({}, "", gate.UNSTATED),
    ],
)
def test_the_wait_is_read_from_where_it_makes_sense(
    headers: dict[str, str], message: str, wait: float
) -> None:
    learned = gate.Pace(support.FakeClock(), None)
    assert learned.throttled("read", headers, message) == wait
    assert learned.wait("read") == wait


@pytest.mark.parametrize("ahead", [0, 3600])
def test_a_wait_that_is_told_as_a_moment_is_reckoned_by_the_servers_clock(ahead: int) -> None:
    clock = support.FakeClock()
    now = clock.wall() + timedelta(seconds=ahead)
    date, until = (http_date(now + timedelta(seconds=more)) for more in (0, 45))
    learned = gate.Pace(clock, None)
    assert learned.throttled("read", {"date": date, "retry-after": until}, "") == 45


@pytest.mark.parametrize(("left", "wait"), [(45, 45), (3600, 120), (-45, gate.LEAST)])
def test_without_a_date_a_moment_to_try_again_is_reckoned_by_the_wall_clock(
    left: int, wait: float
) -> None:
    clock = support.FakeClock()
    learned = gate.Pace(clock, None)
    until = http_date(clock.wall() + timedelta(seconds=left))
    assert learned.throttled("read", {"retry-after": until}, "") == wait


def http_date(moment: datetime) -> str:
    return utils.format_datetime(moment, usegmt=True)


def test_an_exhausted_quota_is_noticed_before_the_429() -> None:
    clock = support.FakeClock()
    learned = gate.Pace(clock, None)
    learned.learn("write", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "20"})
    assert learned.wait("write") == 20
    assert learned.wait("read") == 0
    clock.move(20)
    assert learned.wait("write") == 0


def test_the_administrators_bound_holds_over_any_minute() -> None:
    clock = support.FakeClock()
    learned = gate.Pace(clock, 2)
    learned.sent()
    clock.move(10)
    learned.sent()
    assert learned.wait("read") == 50
    clock.move(50)
    assert learned.wait("read") == 0


@pytest.mark.parametrize(
    ("seconds", "told"), [(-600, False), (-20, False), (20, False), (600, True)]
)
async def test_it_is_told_when_the_providers_clock_was_set(seconds: int, told: bool) -> None:
    world = World()
    world.say(httpx2.Response(200))
    await world.http.send(request())
    world.clock.move(1000)
    await world.http.send(request())
    assert world.news == []
    at = world.clock.wall() + timedelta(seconds=seconds)
    world.say(httpx2.Response(200, headers={"date": utils.format_datetime(at, usegmt=True)}))
    await world.http.send(request())
    doubted = [("https://infisical.test", "clock-doubted")] if told else []
    assert world.news == doubted
    await world.http.send(request())
    assert world.news == doubted + ([("https://infisical.test", "clock-set")] if told else [])


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, content=b" " * (8 * 2**20 + 1)),
        httpx2.Response(200, content=b"{}", headers={"Content-Encoding": "x-bomb"}),
    ],
)
async def test_an_answer_without_bounds_is_not_taken(answer: httpx2.Response) -> None:
    world = World()
    world.say(lambda _: answer)
    with pytest.raises(errors.Unavailable) as caught:
        await world.http.send(request(effect=True))
    assert caught.value.reason is Reason.BAD_ANSWER
    assert caught.value.sent
    assert world.observed == [("look", "lost")]


async def test_nobody_is_asked_to_compress_an_answer() -> None:
    world = World()
    seen: list[str] = []

    def note(sent: httpx2.Request) -> httpx2.Response:
        seen.append(sent.headers["accept-encoding"])
        return httpx2.Response(200, content=b"{}")

    world.say(note)
    await world.http.send(request())
    assert seen == ["identity"]
