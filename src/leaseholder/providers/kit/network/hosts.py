"""Where providers may be: the administrator's list, and addresses that no name may lead to.

Tenants write urls, and the operator calls them from inside the cluster, where more answers than
outside: cloud metadata, the API server, whatever listens on loopback. So a url must be https to
a listed host, a bare address must be listed itself, and what a name stands for is judged by the
addresses that are connected to (``dialing``), because a name may mean something else by then.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

import idna

from leaseholder import errors
from leaseholder.api.conditions import Reason

SETTING: Final = "LEASEHOLDER_PROVIDER_HOSTS"
EVERY_NAME: Final = "*"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_METADATA: Final = frozenset(
    map(
        ipaddress.ip_address,
        (
            "168.63.129.16",  # Azure's; the others' are link-local (169.254.169.254), but for these
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle, older
            "fd00:ec2::254",  # AWS
            "fd20:ce::254",  # Google
        ),
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_PORTS: Final = {"http": 80, "https": 443}
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_NAME: Final = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_NUMERIC: Final = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)")
"""How a name ends that resolvers read as an address: 127.1, 0x7f000001, 2130706433. No entry
admits one."""
_SENTENCE: Final = (
    "write host names, *.names or addresses such as 10.0.0.0/8, separated by commas, with http:// "
    "before those that may be spoken to without TLS; * stands for every name"
)


@dataclass(frozen=True, slots=True)
class _HostPattern:
    """One entry of the list: a pattern of names, or a network."""

    names: str
    network: Network | None
    plain: bool
    """Plain http will do."""

    def admits(self, host: str | Address) -> bool:
        if isinstance(host, str):
            if _NUMERIC.fullmatch(host):
                return False
            if self.names.startswith("*."):
                return host.endswith(self.names[1:])
            return self.names in (EVERY_NAME, host)
        return self.network is not None and host in self.network


@dataclass(frozen=True, slots=True)
class Hosts:
    """The list, ready to be asked."""

    entries: tuple[_HostPattern, ...] = (_HostPattern(EVERY_NAME, None, plain=False),)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The setting's text as a list.

        Raises:
            ValueError: an entry is none, or there is no entry; says what to write.
        """
        entries = tuple(_entry(one.strip().lower()) for one in text.split(",") if one.strip())
        if not entries:
            raise ValueError(_SENTENCE)
        return cls(entries)

    def check(self, url: str) -> None:
        """Let a provider's base URL pass.

        Raises:
            Invalid: HostNotAllowed or PlainHttp.
        """
        parts = urlsplit(url)
        host = _literal(parts.hostname or "")
        admitting = [entry for entry in self.entries if entry.admits(host)]
        if not admitting:
            if isinstance(host, str) and not _NUMERIC.fullmatch(host):
                sentence = f"the host isn't one that providers may be at: {_advice('it')}"
            else:
                sentence = f"the url has an address for a host: write its name, or {_advice('it')}"
            raise refusal(sentence)
        if parts.scheme != "https" and not any(entry.plain for entry in admitting):
            raise errors.Invalid(
                Reason.PLAIN_HTTP,
                "the url is plain http, and credentials could be read on the way: write https://, "
                f"or let the administrator add http:// and the host to {SETTING}",
            )

    def admits(self, address: Address) -> bool:
        """Whether a name may stand for this address."""
        if any(entry.admits(address) for entry in self.entries):
            return True
        inner = _inner(address)
        if inner is not None:
            return self.admits(inner)
        never = address.is_loopback or address.is_link_local or address.is_unspecified
        return not (never or address.is_multicast or address in _METADATA)

    def lists(self, address: Address) -> bool:
        """Whether the administrator named this address, or its network."""
        return any(entry.admits(address) for entry in self.entries)


ANY_NAME: Final = Hosts()
"""The list of an administrator who wrote none: every name, over https."""


def spelled(url: str, tails: tuple[str, ...] = ()) -> str | None:
    """A base URL in one spelling, without what ends it; None where nothing can be asked there.

    Args:
        url: as somebody wrote it.
        tails: how people end it, though it makes no other server of it: ``/v1``.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    strange = "@" in parts.netloc or parts.query or parts.fragment or "\\" in text
    if strange or " " in text or not text.isascii() or not text.isprintable():
        return None
    if parts.scheme not in _PORTS or port == 0 or not host or not is_callable(host):
        return None
    shown = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[parts.scheme]:
        shown = f"{shown}:{port}"
    path = parts.path.rstrip("/")
    for tail in tails:
        path = path.removesuffix(tail).rstrip("/")
    return f"{parts.scheme}://{shown}{path}"


def is_callable(host: str) -> bool:
    """Whether a url's host is an address, or a name that can be looked up at all."""
    name = host.lower().removesuffix(".")
    if "%" in name or len(name) > 253:
        return False
    if not isinstance(_literal(name), str):
        return True
    labels = name.split(".")
    return all(len(one) < 64 and re.fullmatch(_LABEL, one) and _decodes(one) for one in labels)


def _decodes(label: str) -> bool:
    try:
        return not label.startswith("xn--") or bool(idna.ulabel(label))
    except UnicodeError:
        return False


def unusable() -> errors.Invalid:
    """The error for a url that nothing can be asked at."""
    return errors.Invalid(
        Reason.INVALID,
        "the url can't be used: write an http(s) URL without user, query or fragment, such as "
        "https://us.infisical.com, with a port from 1 to 65535 and a host whose labels have 1 to "
        "63 of a-z, 0-9 and - (other letters as xn--…)",
    )


def refusal(sentence: str) -> errors.Invalid:
    """The error for a host or address that isn't called."""
    return errors.Invalid(Reason.HOST_NOT_ALLOWED, sentence)


def led_astray() -> errors.Invalid:
    """The error for a name that stands for an address that isn't called."""
    return refusal(
        "the host's name stands for an address that providers can't be at (loopback, link-local, "
        f"cloud metadata, the API server): {_advice('the address')}"
    )


def _advice(what: str) -> str:
    return f"the administrator may add {what} to {SETTING}"


def _entry(text: str) -> _HostPattern:
    plain = text.startswith("http://")
    name = text.removeprefix("http://").removeprefix("https://")
    try:
        return _HostPattern("", ipaddress.ip_network(name.strip("[]")), plain)
    except ValueError:
        network = None
    if name != EVERY_NAME and (not _NAME.fullmatch(name) or _NUMERIC.fullmatch(name)):
        raise ValueError(_SENTENCE)
    return _HostPattern(name, network, plain)


def _literal(host: str) -> str | Address:
    """A url's host: an address where it is one, else the name without its last dot."""
    name = host.lower().rstrip(".")
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return name


def _inner(address: Address) -> Address | None:
    """The IPv4 address that an IPv6 address leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
