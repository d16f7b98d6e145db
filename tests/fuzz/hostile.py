"""A server that abuses HTTP, TLS and JSON, in a process of its own.

``python -m tests.fuzz.hostile NAME DIRECTORY`` serves one way of it on a free port of loopback, and
prints the port. Logins are answered honestly unless the way is about them: what is behind a login
is worth more. Each way is a function that is given a socket on which a request was read, and that
writes for as long as somebody reads.
"""

import collections.abc
import contextlib
import datetime
import functools
import gzip
import itertools
import json
import pathlib
import socket
import ssl
import sys
import threading
import time
import typing

from tests.fuzz import chains

Way = collections.abc.Callable[[typing.Any], None]
OK: typing.Final = b"HTTP/1.1 200 OK\r\n"
CHUNKED: typing.Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"
JSON: typing.Final = OK + b"Content-Type: application/json\r\n"
WAYS: dict[str, Way] = {}
PLACES: dict[str, str] = {}
SECURED: set[str] = set()
"""Ways that are about TLS."""


def way(place: str, *, tls: bool = False) -> collections.abc.Callable[[Way], Way]:
    """Register a way; ``place``: body, framing, compression, TLS or below."""

    def registered(made: Way) -> Way:
        name = made.__name__.replace("_", "-")
        WAYS[name], PLACES[name] = made, place
        if tls:
            SECURED.add(name)
        return made

    return registered


def forever(sock: typing.Any, *parts: bytes, pause: float = 0.0) -> None:
    """Write these for as long as somebody takes them; short ones many at once, if not paused."""
    for part in itertools.cycle(parts):
        sock.sendall(part if pause else part * max(1, 16_384 // len(part)))
        if pause:
            time.sleep(pause)


def body(sock: typing.Any, content: bytes, head: bytes = JSON) -> None:
    """A well-formed answer."""
    sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(content) + content)


def leases(row: bytes, size: int) -> bytes:
    """A list of that row, of about so many bytes."""
    return b'{"leases":[' + b",".join([row] * (size // (len(row) + 1))) + b"]}"


@functools.cache
def bomb(times: int) -> bytes:
    """128 MiB, packed so many times."""
    packed = b" " * 2**27
    for _ in range(times):
        packed = gzip.compress(packed)
    return packed


@way("framing")
def one_byte_chunks(sock: typing.Any) -> None:
    sock.sendall(CHUNKED)
    forever(sock, b"1\r\nx\r\n")


@way("framing")
def one_byte_chunks_slowly(sock: typing.Any) -> None:
    sock.sendall(CHUNKED)
    forever(sock, b"1\r\nx\r\n", pause=0.0005)


@way("framing")
def chunk_extensions(sock: typing.Any) -> None:
    sock.sendall(CHUNKED)
    forever(sock, b"1;" + b"a" * 60_000 + b"\r\nx\r\n")


@way("framing")
def short_chunk_extensions(sock: typing.Any) -> None:
    sock.sendall(CHUNKED)
    forever(sock, b"1;a=b\r\nx\r\n")


@way("framing")
def chunk_size_without_end(sock: typing.Any) -> None:
    sock.sendall(CHUNKED)
    forever(sock, b"0" * 1000)


@way("framing")
def many_headers(sock: typing.Any) -> None:
    sock.sendall(OK + b"a:\n" * 33_000 + b"\r\n")


@way("framing")
def headers_without_end(sock: typing.Any) -> None:
    sock.sendall(OK)
    forever(sock, b"a: b\r\n")


@way("framing")
def one_header_without_end(sock: typing.Any) -> None:
    sock.sendall(OK + b"a: ")
    forever(sock, b"b" * 1000)


@way("framing")
def folded_headers(sock: typing.Any) -> None:
    sock.sendall(OK + b"a: b\r\n" + b" x\r\n" * 24_000 + b"\r\n")


@way("framing")
def informational_answers(sock: typing.Any) -> None:
    forever(sock, b"HTTP/1.1 103 Early Hints\r\n\r\n")


@way("framing")
def large_informational_answers(sock: typing.Any) -> None:
    forever(sock, b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 90_000 + b"\r\n\r\n")


@way("framing")
def trailers(sock: typing.Any) -> None:
    sock.sendall(CHUNKED + b"2\r\n{}\r\n0\r\n" + b"a:\n" * 33_000 + b"\r\n")


@way("framing")
def trailers_without_end(sock: typing.Any) -> None:
    sock.sendall(CHUNKED + b"2\r\n{}\r\n0\r\n")
    forever(sock, b"a: b\r\n")


@way("framing")
def length_that_lies(sock: typing.Any) -> None:
    body(sock, b" " * 100, JSON + b"X: y\r\nContent-Length: 99999999999\r\n")
    time.sleep(60)


@way("framing")
def length_never_reached(sock: typing.Any) -> None:
    sock.sendall(JSON + b"Content-Length: 8000000\r\n\r\n{")
    time.sleep(60)


@way("framing")
def no_http_at_all(sock: typing.Any) -> None:
    forever(sock, b"SSH-2.0-OpenSSH\r\n")


@way("framing")
def lines_of_nothing(sock: typing.Any) -> None:
    forever(sock, b"\r\n")


@way("framing")
def status_line_without_end(sock: typing.Any) -> None:
    sock.sendall(b"HTTP/1.1 200 ")
    forever(sock, b"O" * 1000)


@way("framing")
def http2_preface(sock: typing.Any) -> None:
    forever(sock, b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18)


@way("framing")
def answers_nobody_asked_for(sock: typing.Any) -> None:
    forever(sock, JSON + b"Content-Length: 2\r\n\r\n{}")


@way("framing")
def cookies(sock: typing.Any) -> None:
    one = b"Set-Cookie: a=b; expires=Thu, 01 Jan 2099 00:00:00 GMT" + b" 1" * 400 + b"\r\n"
    body(sock, b"{}", JSON + one * 110)


@way("framing")
def a_date_that_is_long(sock: typing.Any) -> None:
    body(sock, b"{}", JSON + b"Date: " + b"(" * 90_000 + b"\r\n")


@way("framing")
def redirects(sock: typing.Any) -> None:
    body(sock, b"", b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\n")


@way("compression")
def a_gzip_bomb(sock: typing.Any) -> None:
    body(sock, bomb(1), JSON + b"Content-Encoding: gzip\r\n")


@way("compression")
def a_bomb_under_two_names(sock: typing.Any) -> None:
    body(sock, bomb(2), JSON + b"Content-Encoding: identity\r\nContent-Encoding: gzip, gzip\r\n")


@way("compression")
def a_packed_transfer(sock: typing.Any) -> None:
    sock.sendall(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n")
    forever(sock, b"5\r\nxxxxx\r\n")


@way("body")
def a_body_without_end(sock: typing.Any) -> None:
    sock.sendall(JSON + b"\r\n")
    forever(sock, b" " * 65_536)


@way("body")
def leases_of_nothing(sock: typing.Any) -> None:
    body(sock, leases(b"{}", 6_200_000))


@way("body")
def one_lease_of_many_things(sock: typing.Any) -> None:
    body(sock, b'{"leases":[{"config":' + b"[" + b"{}," * 2_050_000 + b"{}]}]}")


@way("body")
def leases_that_are_all_ours(sock: typing.Any) -> None:
    body(sock, leases(json.dumps(lease(TAG)).encode(), 6_200_000))


@way("body")
def many_honest_leases(sock: typing.Any) -> None:
    row = {**lease(None), "externalEntityId": "x" * 300}  # as long as a real one
    body(sock, leases(json.dumps(row).encode(), 6_200_000))


@way("body")
def a_list_under_many_names(sock: typing.Any) -> None:
    body(sock, b'{"x":1,' + b'"leases":[],' * 500_000 + b'"y":1}')


@way("body")
def a_deep_document(sock: typing.Any) -> None:
    body(sock, b'{"leases":' + b'{"a":' * 1_200_000)


@way("body")
def a_long_number(sock: typing.Any) -> None:
    body(sock, b'{"leases":[{"id":' + b"9" * 6_200_000 + b"}]}")


@way("body")
def one_long_text(sock: typing.Any) -> None:
    emoji = "\N{GRINNING FACE}".encode()
    body(sock, b'{"leases":[{"id":"' + emoji + b"a" * 6_200_000 + b'"}]}')


@way("body")
def no_utf8(sock: typing.Any) -> None:
    body(sock, b'{"leases":["' + b"\xff" * 6_200_000 + b'"]}')


@way("body")
def credentials_of_many_names(sock: typing.Any) -> None:
    data = b",".join(b'"%x":{}' % number for number in range(90_000))
    body(sock, b'{"lease":{},"data":{' + data + b"}}")


@way("body")
def errors_of_many_kinds(sock: typing.Any) -> None:
    content = b'{"message":[' + b"{}," * 80_000 + b"{}]}"
    body(sock, content, b"HTTP/1.1 422 No\r\nContent-Type: application/json\r\n")


@way("body")
def an_access_token_of_many_claims(sock: typing.Any) -> None:
    claims = chains.part(b"[" + b"{}," * 60_000 + b"{}]")
    body(sock, json.dumps({"accessToken": f"a.{claims}.b", "expiresIn": 7200}).encode())


@way("below")
def a_byte_at_a_time(sock: typing.Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(JSON + b"Content-Length: 5000000\r\n\r\n")
    while True:
        sock.sendall(b" ")


@way("below")
def a_byte_a_second(sock: typing.Any) -> None:
    sock.sendall(JSON + b"Content-Length: 5000000\r\n\r\n")
    forever(sock, b" ", pause=1.0)


@way("below")
def silence(sock: typing.Any) -> None:
    time.sleep(60)


@way("below")
def a_half_closed_connection(sock: typing.Any) -> None:
    sock.sendall(JSON)
    sock.shutdown(socket.SHUT_WR)
    time.sleep(60)


@way("below")
def resets(sock: typing.Any) -> None:
    sock.sendall(JSON)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@way("below")
def an_answer_before_the_request(sock: typing.Any) -> None:
    """Sent as soon as somebody connects: see ``serve``."""
    forever(sock, b"x" * 1000)


@way("below")
def a_request_that_is_never_read(sock: typing.Any) -> None:
    """Nothing is read: see ``serve``."""
    time.sleep(60)


@way("TLS", tls=True)
def tls_records_of_one_byte(sock: typing.Any) -> None:
    sock.sendall(JSON + b"Content-Length: 5000000\r\n\r\n")
    while True:
        sock.sendall(b" ")


@way("TLS", tls=True)
def tls_chunks_of_one_byte(sock: typing.Any) -> None:
    one_byte_chunks(sock)


@way("TLS", tls=True)
def a_chain_of_large_keys(sock: typing.Any) -> None:
    """The handshake does it: see ``chains``."""
    body(sock, b"{}", JSON + b"Connection: close\r\n")


@way("TLS", tls=True)
def a_chain_of_many_names(sock: typing.Any) -> None:
    """The handshake does it: see ``chains``."""
    body(sock, b"{}", JSON + b"Connection: close\r\n")


@way("TLS", tls=True)
def a_handshake_of_garbage(sock: typing.Any) -> None:
    """Sent in place of a handshake: see ``serve``."""
    forever(sock, b"\x16\x03\x03\x40\x00" + b"\x02" * 16_384)


@way("TLS", tls=True)
def a_handshake_of_tiny_records(sock: typing.Any) -> None:
    """Sent in place of a handshake: see ``serve``."""
    forever(sock, b"\x16\x03\x03\x00\x01\x02")


@way("TLS", tls=True)
def a_handshake_that_never_ends(sock: typing.Any) -> None:
    """Nothing is sent: see ``serve``."""
    time.sleep(60)


RAW: typing.Final = {
    "an-answer-before-the-request",
    "a-request-that-is-never-read",
    "a-handshake-of-garbage",
    "a-handshake-of-tiny-records",
    "a-handshake-that-never-ends",
}
"""Ways that start as soon as somebody connects."""
TAG: typing.Final = {"leaseholder": {"installation": "kube-1/leaseholder", "attempt": "attempt-1"}}


def lease(config: object) -> dict[str, typing.Any]:
    """A lease as Infisical shows it."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        "id": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
        "createdAt": now.isoformat(),
        "expireAt": (now + datetime.timedelta(hours=1)).isoformat(),
        "status": None,
        "config": config,
    }


def honest(sock: typing.Any, path: bytes) -> None:
    """What a well-behaved server answers, as far as a login and a look at a lease need it."""
    kinds = {"name": "orders-db", "type": "sql-database", "defaultTTL": "1h", "maxTTL": "24h"}
    if b"/auth/" in path:
        found: object = {"accessToken": "token", "expiresIn": 7200}
    elif b"/leases/" in path:
        found = {"lease": {**lease(None), "dynamicSecret": kinds}}
    else:
        found = {"dynamicSecret": kinds, "version": "1.0", "leases": []}
    body(sock, json.dumps(found).encode())


def serve(name: str, directory: pathlib.Path) -> None:
    """Serve one way, or the honest one, until the process is ended."""
    context = chains.context(name, directory) if name in SECURED else None
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)
    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=_talk, args=(accepted, name, context), daemon=True).start()


def _talk(sock: typing.Any, name: str, context: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError, ValueError), contextlib.closing(sock):
        if name in RAW:
            WAYS[name](sock)
        if context is not None:
            sock = context.wrap_socket(sock, server_side=True)
        while True:
            path = _request(sock)
            if not path:
                return
            of_a_login = b"/auth/" in path
            about_logins = name == "an-access-token-of-many-claims"
            if name == "honest" or of_a_login != about_logins:
                honest(sock, path)
            else:
                WAYS[name](sock)
                if name == "resets":
                    return


def _request(sock: typing.Any) -> bytes:
    """Read one request; returns its path, nothing at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65_536)
        if not part:
            return b""
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    stated = [line.split(b":")[1] for line in lines if line.startswith(b"content-length:")]
    length = int(stated[0]) if stated else 0
    while len(rest) < length:
        rest += sock.recv(65_536)
    return head.split(b" ")[1]


if __name__ == "__main__":
    serve(sys.argv[1], pathlib.Path(sys.argv[2]))
