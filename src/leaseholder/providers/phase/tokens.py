"""Tokens of Phase in all the forms in which its console and its tools write them.

The console shows one token twice: as the API takes it (``ServiceAccount <hex>``) and as command
line, SDK and operator do (``pss_service:v2:<hex>:…``), of which the second field is the API's.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.secrecy import Hidden

Kind = Literal["ServiceAccount", "User"]
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
_KINDS: Final[dict[str, Kind]] = {"serviceaccount": "ServiceAccount", "user": "User"}
_PREFIXES: Final[dict[str, Kind]] = {"pss_service": "ServiceAccount", "pss_user": "User"}
_LEGACY_VERSION: Final = "v1"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as the API takes it after ``Bearer``."""

    kind: Kind
    bearer: Hidden


def parse(written: Hidden) -> Token:
    """The token that a Secret holds.

    Raises:
        Denied: it is none, or one of a kind that can't lease.
    """
    words = written.reveal().split()
    if words and words[0].lower() == "bearer":
        words = words[1:]
    if len(words) == 1 and ":" in words[0]:
        return _long(words[0].split(":"))
    kind, value = ("serviceaccount", *words) if len(words) == 1 else (*words, "", "")[:2]
    if len(words) == 2 and kind.lower() == "service":
        raise _legacy()
    if len(words) > 2 or kind.lower() not in _KINDS:
        raise _unknown()
    return _token(_KINDS[kind.lower()], value)


def _long(fields: list[str]) -> Token:
    """``pss_service:v2:<hex>:<key>:<share>:<key>``; the first version is the legacy token's."""
    prefix, version = fields[0].lower(), fields[1].lower()
    if prefix == "pss_service" and version == _LEGACY_VERSION:
        raise _legacy()
    if prefix not in _PREFIXES or len(fields) < 3:
        raise _unknown()
    return _token(_PREFIXES[prefix], fields[2])


def _token(kind: Kind, value: str) -> Token:
    if not _HEX.fullmatch(value):
        raise _unknown()
    return Token(kind, Hidden(f"{kind} {value}"))


def _legacy() -> errors.Denied:
    sentence = (
        "a legacy service token of Phase can't lease, because no account stands behind it: make a "
        "service account and a token of that"
    )
    return errors.Denied(Reason.LOGIN_REFUSED, sentence)


def _unknown() -> errors.Denied:
    sentence = (
        "the Secret to log in with holds no token of Phase: write it as the console shows it, "
        "pss_service:v2:… or ServiceAccount and 64 hexadecimal digits"
    )
    return errors.Denied(Reason.AUTH_MISSING, sentence)
