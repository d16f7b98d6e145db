"""One httpx client: whom it trusts, what it keeps to itself, how much of an answer it takes.

Servers may be a tenant's own: they get no redirect followed, no cookie back, and no more room than
an honest answer needs.
"""

import asyncio
import functools
import logging
import ssl
from http import cookiejar
from typing import Final

import httpx

import leaseholder
from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers import dialing

_KEEP_ALIVE: Final = 4.0
"""Shorter than servers' usual 5 s: a mint on a connection that the server is just closing would
be an unclear one."""
_MOST_READ: Final = 8 * 2**20
"""Bytes that the answer to a GET may have: a list of some ten thousand leases."""
_MOST_DONE: Final = 2 * 2**20
"""Bytes that any other answer may have: twice what a Secret can hold."""
_CONTEXTS: Final = 64


class Unreadable(Exception):
    """An answer is too large, or compressed, which could make it too large when unpacked."""


async def new(
    base_url: str,
    *,
    bundle: str | None,
    dialer: dialing.Dialer,
    transport: httpx.AsyncBaseTransport | None,
) -> httpx.AsyncClient:
    """A client for one provider; ``transport`` takes the network's place.

    Raises:
        Unavailable: the CA bundle can't be read.
    """
    _hush()
    context = await asyncio.to_thread(_tls, bundle)
    return httpx.AsyncClient(
        base_url=base_url,
        follow_redirects=False,
        trust_env=False,
        headers={
            "User-Agent": f"leaseholder/{leaseholder.__version__}",
            "Accept-Encoding": "identity",
        },
        cookies=cookiejar.CookieJar(cookiejar.DefaultCookiePolicy(allowed_domains=[])),
        transport=transport or dialing.Transport(context, dialer, keep_alive=_KEEP_ALIVE),
    )


async def answered(
    client: httpx.AsyncClient, request: httpx.Request
) -> tuple[httpx.Response, bytes]:
    """The answer to a request, and its content.

    Raises:
        Unreadable: it goes beyond all bounds.
        httpx.HTTPError, dialing.Refused: there is none.
    """
    most, content = _MOST_READ if request.method == "GET" else _MOST_DONE, bytearray()
    response = await client.send(request, stream=True)
    try:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Unreadable
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > most:
                raise Unreadable
    finally:
        await response.aclose()
    return response, bytes(content)


@functools.lru_cache(_CONTEXTS)
def _tls(bundle: str | None) -> ssl.SSLContext:
    """What trusts the system's CAs and those of the bundle; shared, because it takes memory."""
    context = ssl.create_default_context()
    if bundle is None:
        return context
    try:
        context.load_verify_locations(cadata=bundle)
    except (ssl.SSLError, ValueError):
        bundle = None
    if bundle is None:
        sentence = "the CA bundle holds no readable certificate: write PEM certificates"
        raise errors.Unavailable(Reason.UNTRUSTED, sentence, sent=False)
    return context


def _hush() -> None:
    """Keep httpx's and httpcore's own logs out of ours: they show URLs, headers, exceptions."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
