"""What is connected to: the addresses that were judged, and nothing else."""

import httpcore2
import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import client, requests
from leaseholder.providers.kit.network import dialing, sockets
from leaseholder.providers.kit.network.hosts import ANY_NAME, Hosts
from tests.unit.providers import support

PUBLIC = "203.0.113.7"
API_SERVER = ("10.96.0.1", 443)


class Network(sockets.Network):
    """Takes note of what is connected to; some addresses don't answer."""

    def __init__(self, *silent: str) -> None:
        super().__init__()
        self.silent = silent
        self.dialled: list[tuple[str, int]] = []

    async def connect(
        self, address: str, port: int, patience: float
    ) -> httpcore2.AsyncNetworkStream:
        self.dialled.append((address, port))
        if address in self.silent:
            raise httpcore2.ConnectTimeout
        return httpcore2.AsyncMockStream([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"])


class Names:
    """A name server whose answers change with each question."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        if host == API_SERVER[0]:
            return [host]
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not found:
            raise OSError(host)
        return found


def dialer(names: Names, network: Network, allowed: Hosts = ANY_NAME) -> dialing.Dialer:
    return dialing.Dialer(allowed, API_SERVER, network, resolve=names)


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["fd00:ec2::254"],
        ["::1"],
        ["10.96.0.1"],
        [PUBLIC, "127.0.0.1"],
    ],
)
async def test_a_name_that_stands_for_a_forbidden_address_is_not_connected_to(
    answer: list[str],
) -> None:
    network = Network()
    with pytest.raises(dialing.AddressRefused):
        await dialer(Names(answer), network).connect_tcp("evil.test", 443)
    assert network.dialled == []


async def test_the_addresses_that_were_judged_are_those_that_are_connected_to() -> None:
    names, network = Names([PUBLIC], ["127.0.0.1"]), Network()
    await dialer(names, network).connect_tcp("rebinding.test", 443)
    assert network.dialled == [(PUBLIC, 443)]
    assert names.asked == ["rebinding.test"]
    with pytest.raises(dialing.AddressRefused):
        await dialer(names, network).connect_tcp("rebinding.test", 443)


async def test_the_next_address_is_tried_where_one_is_silent() -> None:
    network = Network("203.0.113.1")
    await dialer(Names(["203.0.113.1", PUBLIC]), network).connect_tcp("two.test", 443, 1.0)
    assert network.dialled == [("203.0.113.1", 443), (PUBLIC, 443)]


async def test_nobody_there_is_no_refusal() -> None:
    with pytest.raises(httpcore2.ConnectTimeout):
        await dialer(Names([PUBLIC]), Network(PUBLIC)).connect_tcp("silent.test", 443)
    with pytest.raises(httpcore2.ConnectError):
        await dialer(Names([]), Network()).connect_tcp("unknown.test", 443)


async def test_a_name_server_that_never_answers_is_given_up() -> None:
    async def hang(host: str, port: int) -> list[str]:
        raise TimeoutError

    given = dialing.Dialer(ANY_NAME, network=Network(), resolve=hang)
    with pytest.raises(httpcore2.ConnectTimeout):
        await given.connect_tcp("slow.test", 443)


@pytest.mark.parametrize(("port", "goes"), [(443, False), (8200, True)])
async def test_the_api_servers_port_stays_shut_even_where_its_address_is_listed(
    port: int, goes: bool
) -> None:
    network = Network()
    given = dialer(Names([API_SERVER[0]]), network, Hosts.parse("*, 10.96.0.0/16"))
    if goes:
        await given.connect_tcp("bao.test", port)
    else:
        with pytest.raises(dialing.AddressRefused):
            await given.connect_tcp("bao.test", port)
    assert bool(network.dialled) is goes


def http_over(names: Names, network: Network) -> client.Client:
    return client.Client(support.way_to("http://infisical.test", dialer=dialer(names, network)))


async def test_a_forbidden_address_is_told_and_nothing_of_httpx_with_it() -> None:
    network = Network()
    client = http_over(Names(["169.254.169.254"]), network)
    request = requests.Request(
        operation="issue", method="POST", path="/x", timeout=5.0, effect=True
    )
    with pytest.raises(errors.Invalid) as caught:
        await client.send(request)
    await client.aclose()
    assert caught.value.reason is Reason.HOST_NOT_ALLOWED
    assert "169.254" not in caught.value.sentence
    assert caught.value.__context__ is None
    assert network.dialled == []


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    network = Network()
    client = http_over(Names([PUBLIC]), network)
    answer = await client.send(
        requests.Request(operation="x", method="GET", path="/x", timeout=5.0)
    )
    await client.aclose()
    assert answer.status == 200
    assert network.dialled == [(PUBLIC, 80)]


async def test_the_systems_resolver_is_asked_by_default() -> None:
    assert "127.0.0.1" in await dialing.addresses_of("127.0.0.1", 80)
