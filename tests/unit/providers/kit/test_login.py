"""What every provider's login gets from the kit, at a provider that is made up here."""

import asyncio
from dataclasses import dataclass, field

import httpx2
import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import accounts, answers, client, login, methods
from leaseholder.providers.kit.requests import Rank, Request
from leaseholder.secrecy import Hidden
from tests.unit.clocks import FakeClock
from tests.unit.providers import support

LIFE = 1000.0
LOOK = Request(operation="look", method="GET", path="/look", timeout=1.0)


@dataclass
class Method(methods.Method):
    """A password for a numbered token, which lives for ``LIFE`` seconds."""

    clock: FakeClock
    ready_made: bool = False
    new_each_time: bool = False
    identity: str = ""
    password: str = "right"
    refuses: bool = False
    renewable: bool = False
    ended: set[str] = field(default_factory=set)
    exchanges: list[Rank] = field(default_factory=list)
    renewals: int = 0
    not_taken: str = "not taken"

    async def proof(self) -> methods.Proof:
        credentials = None if self.new_each_time else Hidden(self.password)
        return methods.Proof(credentials=credentials, identity=self.identity)

    async def exchange(self, proof: methods.Proof, rank: Rank) -> accounts.Held:
        await asyncio.sleep(0)
        self.exchanges.append(rank)
        if self.refuses:
            raise errors.Denied(Reason.LOGIN_REFUSED, "wrong")
        token = self.password if self.ready_made else f"token-{len(self.exchanges)}"
        return self._held(token)

    async def renewed(self, held: accounts.Held) -> accounts.Held | None:
        self.renewals += 1
        return self._held(held.token.reveal()) if self.renewals < 3 else None

    async def is_ended(self, answer: answers.Answer, token: Hidden) -> bool:
        return answer.status == 401

    def _held(self, token: str) -> accounts.Held:
        now, renewable = self.clock.monotonic(), self.renewable
        return accounts.Held.made(Hidden(token), now, LIFE, LIFE / 2, renewable=renewable)


class World:
    """A login before a server that knows which tokens have ended."""

    def __init__(self, method: Method, shared: accounts.Accounts | None = None) -> None:
        self.method, self.clock = method, method.clock
        self.seen: list[str] = []
        transport = httpx2.MockTransport(self._answer)
        way = support.way_to("https://made.up", clock=self.clock, transport=transport)
        self.connection = client.Client(way)
        self.login = login.Login(method, self.connection, self.clock, shared)

    async def look(self) -> int:
        return (await self.login.send(LOOK)).status

    async def refused(self) -> float:
        """A look that is denied; seconds until the next try makes sense."""
        with pytest.raises(errors.Denied) as caught:
            await self.look()
        assert caught.value.retry_after is not None
        return caught.value.retry_after

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.seen.append(token)
        return httpx2.Response(401 if token in self.method.ended else 200, json={})


def world(**changes: object) -> World:
    method = Method(FakeClock())
    for name, value in changes.items():
        setattr(method, name, value)
    return World(method)


async def test_one_login_serves_all_who_wait_for_it() -> None:
    it = world()
    assert set(await asyncio.gather(*(it.look() for _ in range(20)))) == {200}
    assert it.method.exchanges == [Rank.LOGIN]


async def test_a_token_that_ended_is_made_anew_within_the_request() -> None:
    it = world()
    await it.look()
    it.method.ended.add("token-1")
    assert await it.look() == 200
    assert it.seen == ["token-1", "token-1", "token-2"]


async def test_tokens_that_are_never_taken_are_not_made_again_and_again() -> None:
    it = world(ended={f"token-{n}" for n in range(20)})
    assert await it.refused() == 35
    for _ in range(5):
        await it.refused()
    assert len(it.method.exchanges) == 2
    it.clock.move(36)
    await it.refused()
    assert len(it.method.exchanges) == 4


@pytest.mark.parametrize("ready_made", [False, True])
async def test_what_was_refused_is_tried_ever_more_seldom(ready_made: bool) -> None:
    it = world(refuses=not ready_made, ready_made=ready_made, ended={"right"})
    waits = []
    for _ in range(5):
        waits.append(await it.refused())
        it.clock.move(waits[-1])
    assert waits == [35, 70, 140, 280, 300]


async def test_a_new_password_is_tried_at_once() -> None:
    it = world(refuses=True)
    await it.refused()
    it.method.password, it.method.refuses = "another", False
    assert await it.look() == 200


async def test_no_credentials_are_made_for_a_login_that_would_not_be_tried() -> None:
    it = world(refuses=True, new_each_time=True)
    for _ in range(3):
        await it.refused()
    assert len(it.method.exchanges) == 1


async def test_an_old_token_serves_while_no_new_one_can_be_had_and_no_longer() -> None:
    it = world()
    await it.look()
    it.method.refuses = True
    it.clock.move(LIFE / 2)
    assert await it.look() == 200
    it.clock.move(LIFE / 2)
    await it.refused()


async def test_a_token_is_renewed_before_another_is_made() -> None:
    it = world(renewable=True)
    for _ in range(4):
        assert await it.look() == 200
        it.clock.move(LIFE / 2)
    assert it.seen == ["token-1"] * 3 + ["token-2"]


async def test_a_token_that_lacks_a_right_is_doubted_once_it_is_old() -> None:
    it = world()
    await it.look()
    it.login.doubt()
    await it.look()
    it.clock.move(61)
    it.login.doubt()
    await it.look()
    assert it.seen == ["token-1", "token-1", "token-2"]


async def test_a_lease_may_have_a_login_of_its_own_which_is_not_held() -> None:
    it = world()
    await it.look()
    own = await asyncio.gather(it.login.another(), it.login.another())
    assert {one.reveal() for one in own} == {"token-2", "token-3"}
    assert it.method.exchanges == [Rank.LOGIN, Rank.ISSUE, Rank.ISSUE]
    await it.look()
    assert it.seen == ["token-1", "token-1"]


async def test_the_same_password_of_two_objects_is_one_login_and_one_count_of_tries() -> None:
    clock = FakeClock()
    shared = accounts.Accounts(clock.monotonic)
    first, second = (World(Method(clock, identity="shop"), shared) for _ in range(2))
    await first.look()
    await second.look()
    assert second.method.exchanges == []
    thieves = [World(Method(clock, identity="shop", refuses=True), shared) for _ in range(4)]
    for number, thief in enumerate(thieves):
        thief.method.password = f"guess-{number}"
        await thief.refused()
    assert sum(len(thief.method.exchanges) for thief in thieves) == 2
    await first.look()


def test_a_secret_that_no_credential_is_as_long_as_is_not_kept() -> None:
    longest = "x" * answers.LONGEST_TOKEN
    assert methods.trimmed(Hidden(f"{longest}\n"), "Somebody") == Hidden(longest)
    with pytest.raises(errors.Denied, match="more than any Somebody credential") as caught:
        methods.trimmed(Hidden(f"{longest}x"), "Somebody")
    assert caught.value.reason is Reason.AUTH_MISSING
