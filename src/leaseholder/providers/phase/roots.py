"""Where Phase's API begins at a host: Cloud's API host has it at once, others under a path."""

from typing import Final
from urllib.parse import urlsplit

_API_HOST: Final = "api.phase.dev"
_USUAL: Final = "/service/public"
_PUBLIC: Final = "/public"
_TOKENS: Final = "/secrets/tokens/"


def root(address: str) -> str:
    """The address that ``/v1`` follows: a server has one, however its url was written.

    Args:
        address: an http(s) address without trailing slash, and without ``/v1``.
    """
    parts = urlsplit(address)
    if parts.path or parts.hostname == _API_HOST:
        return address
    return f"{address}{_USUAL}"


def tokens(base: str) -> str:
    """Where a token can be asked whose it is; Cloud's API host may not have that."""
    return f"{base.removesuffix(_PUBLIC)}{_TOKENS}"
