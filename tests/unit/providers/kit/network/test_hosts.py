"""Which urls and addresses providers may be at."""

import ipaddress

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit.network.hosts import ANY_NAME, Hosts


def refused(allowed: str, url: str) -> Reason | None:
    try:
        Hosts.parse(allowed).check(url)
    except errors.Invalid as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    "url", ["https://us.infisical.com", "https://bao.vault.svc:8200", "https://a.b./x"]
)
def test_every_name_over_https_needs_no_leave(url: str) -> None:
    ANY_NAME.check(url)


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fd00:ec2::254]",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "a.1",
    ],
)
def test_an_address_in_whatever_spelling_is_no_name(host: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        ANY_NAME.check(f"https://{host}")
    assert caught.value.reason is Reason.HOST_NOT_ALLOWED
    assert "LEASEHOLDER_PROVIDER_HOSTS" in caught.value.sentence


@pytest.mark.parametrize(
    ("allowed", "url", "reason"),
    [
        ("us.infisical.com", "https://us.infisical.com", None),
        ("US.Infisical.com", "https://us.infisical.COM.", None),
        ("us.infisical.com", "https://eu.infisical.com", Reason.HOST_NOT_ALLOWED),
        ("us.infisical.com", "https://us.infisical.com.evil.test", Reason.HOST_NOT_ALLOWED),
        ("us.infisical.com", "https://xus.infisical.com", Reason.HOST_NOT_ALLOWED),
        ("*.infisical.com", "https://us.infisical.com", None),
        ("*.infisical.com", "https://a.us.infisical.com", None),
        ("*.infisical.com", "https://infisical.com", Reason.HOST_NOT_ALLOWED),
        ("*.infisical.com", "https://evilinfisical.com", Reason.HOST_NOT_ALLOWED),
        ("*.infisical.com", "http://us.infisical.com", Reason.PLAIN_HTTP),
        ("*", "http://us.infisical.com", Reason.PLAIN_HTTP),
        ("*, http://bao.vault.svc", "http://bao.vault.svc:8200", None),
        ("*, http://bao.vault.svc", "http://other.vault.svc", Reason.PLAIN_HTTP),
        ("http://bao.vault.svc", "https://bao.vault.svc", None),
        ("10.0.0.0/8", "https://10.1.2.3", None),
        ("10.0.0.0/8", "http://10.1.2.3", Reason.PLAIN_HTTP),
        ("10.0.0.0/8", "https://11.1.2.3", Reason.HOST_NOT_ALLOWED),
        ("10.0.0.0/8", "https://us.infisical.com", Reason.HOST_NOT_ALLOWED),
        ("http://127.0.0.1", "http://127.0.0.1:3000", None),
        ("[fd00::]/8", "https://[fd00::5]", Reason.HOST_NOT_ALLOWED),
        ("fd00::/8", "https://[fd00::5]", None),
        ("*.1", "https://127.1", Reason.HOST_NOT_ALLOWED),
    ],
)
def test_the_list_says_which_hosts_and_whether_plain_http_will_do(
    allowed: str, url: str, reason: Reason | None
) -> None:
    try:
        assert refused(allowed, url) is reason
    except ValueError:
        assert allowed in ("*.1", "[fd00::]/8")


@pytest.mark.parametrize("text", ["", " , ", "a b", "https://", "a/b", "*.*", "x.*", "127.1", "-a"])
def test_what_is_no_host_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write host names"):
        Hosts.parse(text)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "169.254.169.254",
        "169.254.170.2",
        "168.63.129.16",
        "100.100.100.200",
        "224.0.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
    ],
)
def test_no_name_may_stand_for_loopback_link_local_or_metadata(address: str) -> None:
    assert not ANY_NAME.admits(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["10.0.0.1", "1.2.3.4", "fd12::1", "2606:4700::1"])
def test_a_name_may_stand_for_what_is_in_the_network(address: str) -> None:
    assert ANY_NAME.admits(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_a_listed_network_may_be_stood_for(address: str) -> None:
    assert Hosts.parse("*, 127.0.0.0/8").admits(ipaddress.ip_address(address))
